//! Rows as SQLite prints them, many in one text: the cheapest way to see that none of them is another than it was. What is
//! printed is compared with what this program had printed before, and with nothing else, so the form may be each product's own.

use super::chain::Subject;
use super::records::{Column, Type, tables};

/// Columns of an entry of the chain.
const ENTRY: [Column; 7] = [
    ("position", Type::Whole),
    ("subject", Type::Text),
    ("name", Type::Text),
    ("content", Type::Text),
    ("state", Type::Text),
    ("sealed_at", Type::Whole),
    ("seal", Type::Text),
];

/// Statements that print, as one text each, what is sealed of those records of a kind of which `range` says something about
/// their key.
pub(super) fn records(subject: Subject, range: impl Fn(&str) -> String) -> Vec<String> {
    let statement =
        |(table, columns, key, order): (&str, Vec<Column>, &str, &str)| printing(table, &columns, &range(key), order);
    tables(subject).into_iter().map(statement).collect()
}

/// The same of entries of the chain.
pub(super) fn chain(range: &str) -> String {
    printing("seals", &ENTRY, range, "position")
}

/// No two rows print the same. `quote` alone would end a text at its first NUL.
fn printing(table: &str, columns: &[Column], range: &str, order: &str) -> String {
    let print = |(name, kind): &Column| match kind {
        Type::Text => format!("typeof({name}) || hex({name})"),
        Type::Whole | Type::Real => format!("quote({name})"),
    };
    let row = columns.iter().map(print).collect::<Vec<_>>().join(" || ',' || ");
    format!("SELECT group_concat({row}, ';') FROM (SELECT * FROM {table} WHERE {range} ORDER BY {order})")
}
