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
    /// Tables, their rows, and files: data is missing.
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
            let counted = match one.kind.as_str() {
                "table" | LeftOut::ROWS | LeftOut::FILE => &mut counts.table,
                "view" => &mut counts.view,
                // All data is in the backup.
                LeftOut::GIT_HEAD => continue,
                _ => &mut counts.other,
            };
            *counted = counted.saturating_add(one.more_files().unwrap_or(1));
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

    /// What is said of a backup that lacks these, after "the backup": `is INCOMPLETE; left out: 2 tables or files, 1 view`, or, where no
    /// data is missing, `has all rows, but lacks 1 view`. None if nothing was left out. Command, page and report all say this.
    pub fn of_the_backup(self) -> Option<String> {
        let missing = self.in_words()?;
        // A view has no rows of its own.
        let has_all_data = self.table == 0 && self.other == 0;
        Some(format!("{} {missing}", if has_all_data { "has all rows, but lacks" } else { "is INCOMPLETE; left out:" }))
    }

    /// `2 tables or files, 1 view`; none if nothing was left out.
    pub fn in_words(self) -> Option<String> {
        let names = [("table or file", "tables or files"), ("view", "views"), ("other object", "other objects")];
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
    /// A kind: a file of a tree. Behind those that are named stands how many more there are (`more_files`).
    pub const FILE: &str = "file";
    /// A kind: all files of a git repository are in the backup, but git did not tell HEAD and branches.
    pub const GIT_HEAD: &str = "git HEAD";

    /// The name that stands for so many files without one.
    pub fn name_of_more_files(count: u64) -> String {
        format!("and {count} more")
    }

    /// How many files this stands for, if it stands for those that are not named. The name of one begins with a slash.
    fn more_files(&self) -> Option<u32> {
        let count = self.name.strip_prefix("and ")?.strip_suffix(" more")?;
        count.parse().ok().filter(|_| self.kind == Self::FILE)
    }

    /// The table whose rows were left out, if this is about rows.
    pub fn rows_of(&self) -> Option<&str> {
        (self.kind == Self::ROWS).then_some(self.name.as_str())
    }

    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let kept = if self.definition.is_some() { "; its definition is kept in the manifest" } else { "" };
        match self.kind.as_str() {
            Self::GIT_HEAD => {
                format!("drills cannot check git repository {}: git did not answer ({})", self.name, self.reason)
            }
            Self::ROWS => format!("{} {} are NOT in the backup: {}{kept}", self.kind, self.name, self.reason),
            _ => match self.more_files() {
                Some(1) => format!("and 1 more file is NOT in the backup: {}", self.reason),
                Some(count) => format!("and {count} more files are NOT in the backup: {}", self.reason),
                None => format!("{} {} is NOT in the backup: {}{kept}", self.kind, self.name, self.reason),
            },
        }
    }

    /// Whether `warning` is what a manifest says of this, also in the words of an earlier version.
    pub fn is_told_by(&self, warning: &str) -> bool {
        let earlier = || format!("{} {} is NOT in the backup: {}", self.kind, self.name, self.reason);
        warning == self.sentence() || warning == earlier()
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
        assert_eq!(counts.in_words().as_deref(), Some("2 tables or files, 2 views, 3 other objects"));
        assert_eq!(LeftOutCounts::default().in_words(), None);
        assert_eq!(LeftOutCounts::default().of_the_backup(), None);
        let said = "is INCOMPLETE; left out: 2 tables or files, 2 views, 3 other objects";
        assert_eq!(counts.of_the_backup().as_deref(), Some(said));
        let views = LeftOutCounts { view: 1, ..LeftOutCounts::default() };
        assert_eq!(views.of_the_backup().as_deref(), Some("has all rows, but lacks 1 view"));
        let fewer = LeftOutCounts { table: 4, view: 0, other: 1 };
        assert_eq!(counts.max(fewer), LeftOutCounts { table: 4, view: 2, other: 3 });
        assert_eq!(fewer.max(counts), counts.max(fewer));
        assert_eq!(fewer.in_words().as_deref(), Some("4 tables or files, 1 other object"));
    }

    #[test]
    fn a_file_that_could_not_be_read_is_data_that_is_missing_and_a_silent_git_is_not() {
        let named = |name: &str| LeftOut { name: name.to_owned(), ..one(LeftOut::FILE, None) };
        let left_out = [named("/srv/a"), named("/srv/and 9 more"), named("and 57 more"), one(LeftOut::GIT_HEAD, None)];
        let counts = LeftOutCounts::of(&left_out);
        assert_eq!(counts.by_kind(), [("table", 59), ("view", 0), ("other", 0)]);
        assert_eq!(counts.in_words().as_deref(), Some("59 tables or files"));
        let one = LeftOutCounts::of(&left_out[..1]).in_words();
        assert_eq!(one.as_deref(), Some("1 table or file"));
        let said = left_out.each_ref().map(LeftOut::sentence);
        let expected = [
            "file /srv/a is NOT in the backup: it is broken (1)",
            "file /srv/and 9 more is NOT in the backup: it is broken (1)",
            "and 57 more files are NOT in the backup: it is broken (1)",
            "drills cannot check git repository d.x: git did not answer (it is broken (1))",
        ];
        assert_eq!(said, expected);
        assert_eq!(named("and 1 more").sentence(), "and 1 more file is NOT in the backup: it is broken (1)");
        // Manifests of earlier versions have these sentences among their warnings.
        assert!(left_out[2].is_told_by("file and 57 more is NOT in the backup: it is broken (1)"));
        assert!(left_out[3].is_told_by("git HEAD d.x is NOT in the backup: it is broken (1)"));
        assert!(!left_out[3].is_told_by("another warning") && left_out[0].is_told_by(&said[0]));
    }

    #[test]
    fn a_sentence_says_what_is_missing_and_whether_its_text_is_kept() {
        assert_eq!(one("event", None).sentence(), "event d.x is NOT in the backup: it is broken (1)");
        let kept = "event d.x is NOT in the backup: it is broken (1); its definition is kept in the manifest";
        assert_eq!(one("event", Some("x")).sentence(), kept);
        assert_eq!(one("event", None).will_not_return(), "event d.x will not come back: it is broken (1)");
    }
}
