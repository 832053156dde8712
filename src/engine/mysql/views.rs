//! Views that the dump client cannot describe. MariaDB tells the columns of a view only to an account that may run every
//! function in it, and the client asks for them. Their definitions are shown without that right: such views are read here
//! and put at the end of the stream, in the client's own words. The backup account needs no EXECUTE, which would let it
//! run any program of the server with the rights of whoever made it.

use std::fmt::Write as _;

use super::connection::{ByteRows, Session};
use super::names;
use super::relations::{Relation, relations};
use crate::domain::left_out::LeftOut;
use crate::error::Result;

/// The account may not run a function that the view uses.
pub const MAY_NOT_RUN: u16 = 1370;
/// How the definition of a view with a check option ends.
pub const CHECKS: [&str; 2] = [" WITH CASCADED CHECK OPTION", " WITH LOCAL CHECK OPTION"];

/// The views of `databases` that this account cannot have described, without those that were left out of a backup.
pub fn undescribed(session: &mut Session, databases: &[String], left_out: &[LeftOut]) -> Result<Vec<Relation>> {
    let mut out = Vec::new();
    for database in databases {
        for view in relations(session, database)?.into_iter().filter(|relation| relation.kind == "view") {
            let name = names::qualified(database, &view.name);
            if left_out.iter().any(|one| one.kind == "view" && one.name == name) {
                continue;
            }
            let answer = session.ask(&format!("SHOW FIELDS FROM {}", path(&view)))?;
            if answer.is_err_and(|refusal| refusal.number == MAY_NOT_RUN) {
                out.push(view);
            }
        }
    }
    Ok(out)
}

/// The statements that make `views`, and what the server did not print. A view over one of them cannot be described either,
/// so none that the client prints needs them; they need each other.
pub fn statements(session: &mut Session, views: &[Relation]) -> Result<(Vec<u8>, Vec<String>)> {
    // As long as no database is in use, every name comes with its database.
    let mut waiting = Vec::new();
    for view in views {
        waiting.push((view, answer(session.ask_bytes(&show(view))?.unwrap_or_default(), 1).unwrap_or_default()));
    }
    let (mut text, mut refused) = (Vec::new(), Vec::new());
    while !waiting.is_empty() {
        let (view, _) = waiting.remove(next(&waiting));
        session.rows(&format!("USE {}", names::quote(&view.database)))?;
        let rows = session.ask_bytes(&show(view))?.unwrap_or_default();
        match Shown::read(rows) {
            Some(shown) => text.extend(shown.write(view)),
            None => {
                refused
                    .push(format!("cannot read view {} from the server", names::qualified(&view.database, &view.name)));
            }
        }
    }
    Ok((text, refused))
}

/// The first that uses no other; the first of all if they use each other.
fn next(waiting: &[(&Relation, Vec<u8>)]) -> usize {
    let uses = |text: &[u8], view: &Relation| memchr::memmem::find(text, path(view).as_bytes()).is_some();
    let is_free =
        |(own, text): &(&Relation, Vec<u8>)| waiting.iter().all(|(other, _)| other == own || !uses(text, other));
    waiting.iter().position(is_free).unwrap_or_default()
}

fn path(view: &Relation) -> String {
    format!("{}.{}", names::quote(&view.database), names::quote(&view.name))
}

fn show(view: &Relation) -> String {
    format!("SHOW CREATE VIEW {}", path(view))
}

fn answer(rows: ByteRows, at: usize) -> Option<Vec<u8>> {
    rows.into_iter().next()?.into_iter().nth(at)?
}

/// What `SHOW CREATE VIEW` says.
#[derive(Debug)]
struct Shown {
    statement: Vec<u8>,
    charset: String,
    collation: String,
}

impl Shown {
    fn read(rows: ByteRows) -> Option<Self> {
        let mut row = rows.into_iter().next()?.into_iter().skip(1);
        let statement = row.next()??;
        let mut word = || Some(String::from_utf8_lossy(&row.next()??).into_owned());
        Some(Self { statement, charset: word()?, collation: word()? })
    }

    /// As the client writes the final structure of a view. It comes behind the client's last statements, which give the
    /// session its own settings back.
    fn write(&self, view: &Relation) -> Vec<u8> {
        const SAVED: [(&str, &str); 4] = [
            ("saved_cs_client", "character_set_client"),
            ("saved_cs_results", "character_set_results"),
            ("saved_col_connection", "collation_connection"),
            ("saved_sql_mode", "sql_mode"),
        ];
        let (database, name) = (names::quote(&view.database), names::quote(&view.name));
        let shown = |name: &str| name.replace(['\n', '\r'], " ");
        let mut out = format!("/*!40101 SET NAMES utf8mb4 */;\n--\n-- Current Database: {}\n--\n\n", shown(&database));
        _ = write!(out, "USE {database};\n\n--\n-- Final view structure for view {}\n--\n\n", shown(&name));
        _ = writeln!(out, "/*!50001 DROP VIEW IF EXISTS {name}*/;");
        for (saved, setting) in SAVED {
            _ = writeln!(out, "/*!50001 SET @{saved} = @@{setting} */;");
        }
        let (charset, collation) = (&self.charset, &self.collation);
        for (setting, value) in SAVED.map(|(_, setting)| setting).into_iter().zip([charset, charset, collation, "''"]) {
            _ = writeln!(out, "/*!50001 SET {setting} = {value} */;");
        }
        let mut out = out.into_bytes();
        out.extend(as_the_client_writes(&self.statement));
        for (saved, setting) in SAVED {
            out.extend(format!("/*!50001 SET {setting} = @{saved} */;\n").into_bytes());
        }
        out.push(b'\n');
        out
    }
}

/// `CREATE … DEFINER=… VIEW …` in the three or four parts in which the client writes it: source and sandbox are compared by
/// this text.
fn as_the_client_writes(statement: &[u8]) -> Vec<u8> {
    let definer = find_outside_names(statement, b" DEFINER=").unwrap_or_default();
    let view = find_outside_names(statement, b" VIEW ").unwrap_or(definer);
    let (head, rest) = statement.split_at(definer);
    let (definer, mut rest) = rest.split_at(view - definer);
    let check = CHECKS.into_iter().find(|check| rest.ends_with(check.as_bytes()));
    rest = &rest[..rest.len() - check.map_or(0, str::len)];
    let mut out = b"/*!50001 ".to_vec();
    for part in [head, b" */\n/*!50013", definer, b" */\n/*!50001", rest, b" */"] {
        out.extend_from_slice(part);
    }
    out.extend(check.map(|check| format!("\n/*!50002{check} */")).unwrap_or_default().into_bytes());
    out.extend_from_slice(b";\n");
    out
}

fn find_outside_names(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut is_name = false;
    (0..text.len()).find(|at| {
        is_name ^= text[*at] == b'`';
        !is_name && text[*at..].starts_with(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_written_as_the_client_writes_it() {
        let written = |statement: &str| String::from_utf8(as_the_client_writes(statement.as_bytes())).unwrap();
        assert_eq!(
            written(
                "CREATE ALGORITHM=MERGE DEFINER=`a VIEW ``b`@`h` SQL SECURITY INVOKER VIEW `v` AS select 1 AS ` VIEW `"
            ),
            "/*!50001 CREATE ALGORITHM=MERGE */\n/*!50013 DEFINER=`a VIEW ``b`@`h` SQL SECURITY INVOKER */\n\
             /*!50001 VIEW `v` AS select 1 AS ` VIEW ` */;\n"
        );
        assert_eq!(
            written(
                "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`h` SQL SECURITY DEFINER VIEW `v` AS select 1 WITH LOCAL CHECK OPTION"
            ),
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`h` SQL SECURITY DEFINER */\n\
             /*!50001 VIEW `v` AS select 1 */\n/*!50002 WITH LOCAL CHECK OPTION */;\n"
        );
    }

    #[test]
    fn a_view_comes_behind_those_that_it_uses() {
        let view = |name: &str| Relation { kind: "view", database: "d".to_owned(), name: name.to_owned() };
        let (a, b) = (view("a"), view("b"));
        let text = |text: &str| text.as_bytes().to_vec();
        assert_eq!(
            next(&[(&a, text("VIEW `d`.`a` AS select `d`.`b`.`x` from `d`.`b`")), (&b, text("VIEW `d`.`b`"))]),
            1
        );
        assert_eq!(next(&[(&a, text("VIEW `d`.`a` AS select 1 AS `b`")), (&b, text("VIEW `d`.`b`"))]), 0);
        assert_eq!(next(&[(&a, text("`d`.`b`")), (&b, text("`d`.`a`"))]), 0);
    }
}
