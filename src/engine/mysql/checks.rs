//! Rows that violate a CHECK constraint: they came in while checks were off, or before a setting changed that the
//! constraint depends on. They are loaded as they are, because they are the data; whoever restores should know of them.

use std::time::Duration;

use super::connection::Session;
use super::names;
use crate::domain::manifest::{Inventory, ObjectKind};
use crate::error::Result;

/// How long one question may take, which is asked of all rows of a table.
pub const LONGEST: Duration = Duration::from_hours(6);

/// One sentence per constraint that rows at `session`'s server violate, of the tables in `inventory` (`only` these,
/// if any are named). MariaDB only:
/// MySQL takes no such rows in.
pub fn violated(session: &mut Session, inventory: &Inventory, only: &[String]) -> Result<Vec<String>> {
    session.rows("SET SESSION time_zone = '+00:00'")?;
    let mut out = Vec::new();
    for database in inventory.objects.iter().filter(|object| object.kind == ObjectKind::Database) {
        let database = names::unquoted(&database.name);
        let constraints = session.rows(&format!(
            "SELECT TABLE_NAME, CONSTRAINT_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = {} ORDER BY 1, 2",
            names::quote_text(&database)
        ))?;
        for constraint in constraints {
            let [Some(table), Some(name), Some(clause)] = constraint.as_slice() else { continue };
            if is_of_json(name, clause) {
                continue;
            }
            let shown = names::qualified(&database, table);
            let wanted = only.is_empty() || only.contains(&shown);
            if !wanted || !inventory.tables.iter().any(|table| table.name == shown) {
                continue;
            }
            let place = format!("{}.{}", names::quote(&database), names::quote(table));
            match session.ask(&format!("SELECT 1 FROM {place} WHERE NOT ({clause}) LIMIT 1"))? {
                Ok(rows) if rows.is_empty() => {}
                Ok(_) => out.push(format!(
                    "table {shown}: rows violate its CHECK {} ({clause}); they are the same as in the source, but loading the \
                     dump by hand would refuse them",
                    names::quote(name)
                )),
                Err(refusal) => out.push(format!("table {shown}: its CHECK {} could not be tested: {refusal}", names::quote(name))),
            }
        }
    }
    Ok(out)
}

/// Whether the server made the constraint itself, for a column of type JSON: named as the column, and over every row dear.
fn is_of_json(name: &str, clause: &str) -> bool {
    clause.eq_ignore_ascii_case(&format!("json_valid({})", names::quote(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_check_that_a_json_column_brings_is_passed_over() {
        assert!(is_of_json("a`b", "json_valid(`a``b`)"));
        assert!(!is_of_json("mine", "json_valid(`a`)"));
        assert!(!is_of_json("a", "json_valid(`a`) and `a` <> ''"));
    }
}
