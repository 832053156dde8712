//! What a source has and a backup of it has not, by name: never left out in silence.

use serde::{Deserialize, Serialize};

/// One thing that was left out of a backup so that the rest could be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What it is, as people write it: `table`, `view`.
    pub kind: String,
    /// Qualified name, as in the inventory.
    pub name: String,
    /// Why, in the words of whoever refused it.
    pub reason: String,
    /// Its definition, where that could still be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// How many things were left out of a backup, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeftOutCounts {
    /// Tables: data is missing.
    pub table: u32,
    /// Views.
    pub view: u32,
    /// Everything else: events, …
    pub other: u32,
}

impl LeftOutCounts {
    /// Of what was left out.
    pub fn of(left_out: &[LeftOut]) -> Self {
        let mut counts = Self::default();
        for one in left_out {
            match one.kind.as_str() {
                "table" | LeftOut::ROWS => counts.table += 1,
                "view" => counts.view += 1,
                _ => counts.other += 1,
            }
        }
        counts
    }

    /// Each kind and how many of it.
    pub fn by_kind(self) -> [(&'static str, u32); 3] {
        [("table", self.table), ("view", self.view), ("other", self.other)]
    }

    /// The larger number of each kind.
    #[must_use]
    pub fn max(self, than: Self) -> Self {
        Self { table: self.table.max(than.table), view: self.view.max(than.view), other: self.other.max(than.other) }
    }

    /// What is said of a backup that lacks these, after "the backup": `is INCOMPLETE; left out: 2 tables, 1 view`, or, where no
    /// data is missing, `has all rows, but lacks 1 view`. None if nothing was left out. Command, page and report all say this.
    pub fn of_the_backup(self) -> Option<String> {
        let missing = self.in_words()?;
        // A view has no rows of its own.
        let has_all_data = self.table == 0 && self.other == 0;
        Some(format!("{} {missing}", if has_all_data { "has all rows, but lacks" } else { "is INCOMPLETE; left out:" }))
    }

    /// `2 tables, 1 view`; none if nothing was left out.
    pub fn in_words(self) -> Option<String> {
        let names = [("table", "tables"), ("view", "views"), ("other object", "other objects")];
        let counted = self.by_kind().into_iter().zip(names).filter(|((_, count), _)| *count > 0);
        let words: Vec<String> = counted
            .map(|((_, count), (one, many))| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl LeftOut {
    /// A kind: the table's definition is in the backup, its rows are not.
    pub const ROWS: &str = "rows of table";

    /// The table whose rows were left out, if this is about rows.
    pub fn rows_of(&self) -> Option<&str> {
        (self.kind == Self::ROWS).then_some(self.name.as_str())
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let kept = if self.definition.is_some() { "; its definition is kept in the manifest" } else { "" };
        let is = if self.kind == Self::ROWS { "are" } else { "is" };
        format!("{} {} {is} NOT in the backup: {}{kept}", self.kind, self.name, self.reason)
    }

    /// One sentence for people, where it is in the backup but cannot come back.
    pub fn will_not_return(&self) -> String {
        format!("{} {} will not come back: {}", self.kind, self.name, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, definition: Option<&str>) -> LeftOut {
        let definition = definition.map(str::to_owned);
        LeftOut { kind: kind.to_owned(), name: "d.x".to_owned(), reason: "it is broken (1)".to_owned(), definition }
    }

    #[test]
    fn everything_that_is_left_out_is_counted_once() {
        let kinds = ["table", LeftOut::ROWS, "view", "view", "event", "procedure", "package body"];
        let counts = LeftOutCounts::of(&kinds.map(|kind| one(kind, None)));
        assert_eq!(counts.by_kind(), [("table", 2), ("view", 2), ("other", 3)]);
        assert_eq!(counts.in_words().as_deref(), Some("2 tables, 2 views, 3 other objects"));
        assert_eq!(LeftOutCounts::default().in_words(), None);
        assert_eq!(LeftOutCounts::default().of_the_backup(), None);
        let said = "is INCOMPLETE; left out: 2 tables, 2 views, 3 other objects";
        assert_eq!(counts.of_the_backup().as_deref(), Some(said));
        let views = LeftOutCounts { view: 1, ..LeftOutCounts::default() };
        assert_eq!(views.of_the_backup().as_deref(), Some("has all rows, but lacks 1 view"));
        let fewer = LeftOutCounts { table: 4, view: 0, other: 1 };
        assert_eq!(counts.max(fewer), LeftOutCounts { table: 4, view: 2, other: 3 });
        assert_eq!(fewer.max(counts), counts.max(fewer));
        assert_eq!(fewer.in_words().as_deref(), Some("4 tables, 1 other object"));
    }

    #[test]
    fn a_sentence_says_what_is_missing_and_whether_its_text_is_kept() {
        assert_eq!(one("event", None).sentence(), "event d.x is NOT in the backup: it is broken (1)");
        let kept = "event d.x is NOT in the backup: it is broken (1); its definition is kept in the manifest";
        assert_eq!(one("event", Some("x")).sentence(), kept);
        assert_eq!(one("event", None).will_not_return(), "event d.x will not come back: it is broken (1)");
    }
}
