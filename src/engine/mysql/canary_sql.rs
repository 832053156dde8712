//! How canaries are written, in SQL, and how that is read again.

use super::names;
use crate::domain::canary::{Canaries, Canary, DATABASE, TABLE};

const INSERT: &str = "INSERT INTO backup_sla_canary.canary (owner, written, value) VALUES ";
const DELETE: &str = "DELETE FROM backup_sla_canary.canary WHERE owner = ";

/// What makes their database, where there is none.
pub fn definitions() -> [String; 2] {
    [
        format!("CREATE DATABASE IF NOT EXISTS {DATABASE} DEFAULT CHARACTER SET ascii COLLATE ascii_bin"),
        format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.{TABLE} (owner VARCHAR(200) NOT NULL, written VARCHAR(40) NOT NULL, \
             value VARCHAR(40) NOT NULL, PRIMARY KEY (owner)) ENGINE=InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin"
        ),
    ]
}

/// The statements that write one: the row of before goes, so that the log has every column of the new one.
pub fn statements(owner: &str, canary: &Canary) -> [String; 2] {
    let text = names::quote_text;
    [
        format!("{DELETE}{}", text(owner)),
        format!("{INSERT}({}, {}, {})", text(owner), text(&canary.time()), text(&canary.value)),
    ]
}

/// The row of a statement that writes one.
pub fn insert_of(statement: &str) -> Option<Vec<String>> {
    let mut rows = rows(statement.strip_prefix(INSERT)?)?;
    rows.pop().filter(|_| rows.is_empty())
}

/// The owner of a statement that takes one away.
pub fn delete_of(statement: &str) -> Option<String> {
    let (owner, rest) = text(statement.strip_prefix(DELETE)?)?;
    rest.is_empty().then(|| owner.to_owned())
}

/// Canaries in the rows of a dump, `(…),(…)`; none where anything there is not one.
pub fn canaries(rows_of_dump: &[u8]) -> Canaries {
    let canary = |row: Vec<String>| {
        let [owner, time, value] = row.try_into().ok()?;
        Some((owner, Canary::read(&time, &value)?))
    };
    let read = std::str::from_utf8(rows_of_dump).ok().and_then(rows);
    let all: Option<Canaries> = read.and_then(|rows| rows.into_iter().map(canary).collect());
    all.unwrap_or_default()
}

/// Rows of plain texts, one behind the other.
fn rows(mut rest: &str) -> Option<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    while let Some(begun) = rest.strip_prefix('(') {
        let mut row = Vec::new();
        rest = begun;
        loop {
            let (value, behind) = text(rest)?;
            row.push(value.to_owned());
            rest = behind.trim_start_matches(' ');
            match rest.strip_prefix(',') {
                Some(more) => rest = more.trim_start_matches(' '),
                None => break,
            }
        }
        rest = rest.strip_prefix(')')?;
        rows.push(row);
    }
    rest.is_empty().then_some(rows)
}

/// A text in quotes that has none in it, and what stands behind it.
fn text(sql: &str) -> Option<(&str, &str)> {
    let (value, rest) = sql.strip_prefix('\'')?.split_once('\'')?;
    let is_plain = !value.contains('\\') && !rest.starts_with('\'');
    is_plain.then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_from_statements_and_dumps() {
        let canary = Canary::read("2027-01-15T08:00:00.000005Z", "v1").unwrap();
        let [delete, insert] = statements("shop@1", &canary);
        assert_eq!(delete_of(&delete).unwrap(), "shop@1");
        assert_eq!(insert_of(&insert).unwrap(), ["shop@1", "2027-01-15T08:00:00.000005Z", "v1"]);
        assert_eq!((insert_of(&delete), delete_of(&insert)), (None, None));
        let dump = "('a@1','2027-01-15T08:00:00.000005Z','v1')('b@1','2027-01-15T08:00:00.000006Z','v2')";
        assert_eq!(canaries(dump.as_bytes()).len(), 2);
        assert_eq!(canaries(dump.as_bytes())["a@1"], canary);
        for other in
            ["('a','b')", "('a@1','2027-01-15T08:00:00.000005Z',1)", "('a''b','c','d')", "('a\\'b','c','d')", "(", ""]
        {
            assert_eq!(canaries(other.as_bytes()), Canaries::new(), "{other}");
        }
        assert_eq!(delete_of(&format!("{delete} OR 1")), None);
        assert_eq!(insert_of(&format!("{insert}('x','y','z')")), None);
    }
}
