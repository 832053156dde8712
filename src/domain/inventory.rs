//! The inventory: what must exist after a restore, exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// Everything that must exist after a restore. Both lists are sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Everything that has rows.
    pub tables: Vec<TableFacts>,
    /// Everything else that has a definition.
    pub objects: Vec<ObjectFacts>,
    /// What a statement on one table changes in others. None where that is not known: in older manifests, and where anything of the
    /// server is not in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

/// What a change of one table does to others, as the definitions of tables say it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// Tables whose rows are changed by a foreign key (`ON DELETE CASCADE`), by the table that they refer to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub children: BTreeMap<String, BTreeSet<String>>,
    /// Tables whose rows may be those of another table.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub elsewhere: BTreeSet<String>,
}

impl Inventory {
    /// Take out tables and objects that `other` does not have; their names.
    pub fn take_what_is_not_in(&mut self, other: &Self) -> Vec<String> {
        let tables: BTreeSet<&String> = other.tables.iter().map(|table| &table.name).collect();
        let objects: BTreeSet<_> = other.objects.iter().map(|object| (object.kind, &object.name)).collect();
        let more = self.tables.extract_if(.., |table| !tables.contains(&table.name));
        let mut taken: Vec<String> = more.map(|table| format!("table {}", table.name)).collect();
        let more = self.objects.extract_if(.., |object| !objects.contains(&(object.kind, &object.name)));
        taken.extend(more.map(|object| format!("{} {}", object.kind, object.name)));
        taken
    }
}

/// One table (or measurement, or directory): its rows and its definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFacts {
    /// Qualified name as people write it, `database.table`; quoted with backticks where it has to be.
    pub name: String,
    /// Exact number of rows.
    pub rows: u64,
    /// Order-independent digest of all rows.
    pub digest: Digest,
    /// Digest of the definition (`CREATE TABLE`, without the next AUTO_INCREMENT value).
    pub definition: Digest,
    /// Newest value per time column, as the server prints it in UTC; at most a few columns. Other engines put further
    /// small facts here that people read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub newest: BTreeMap<String, String>,
    /// The next id that would be given (`AUTO_INCREMENT`), as the dump says it. A restore may be ahead of it, never behind:
    /// ids would be given twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_id: Option<u64>,
}

/// What an object of the inventory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ObjectKind {
    Database,
    View,
    Procedure,
    Function,
    Package,
    Library,
    Trigger,
    Event,
    Sequence,
    Account,
    #[serde(rename = "retention policy")]
    RetentionPolicy,
    #[serde(rename = "continuous query")]
    ContinuousQuery,
    #[serde(rename = "git head")]
    GitHead,
    #[serde(rename = "git branch")]
    GitBranch,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database => "database",
            Self::View => "view",
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Package => "package",
            Self::Library => "library",
            Self::Trigger => "trigger",
            Self::Event => "event",
            Self::Sequence => "sequence",
            Self::Account => "account",
            Self::RetentionPolicy => "retention policy",
            Self::ContinuousQuery => "continuous query",
            Self::GitHead => "git head",
            Self::GitBranch => "git branch",
        })
    }
}

/// An object without rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// What it is.
    pub kind: ObjectKind,
    /// Qualified name, as in [`TableFacts::name`].
    pub name: String,
    /// Digest of its definition.
    pub definition: Digest,
    /// The definition itself, where it is short enough for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// `user@host` in whose name it runs; a restore without that account is warned about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definer: Option<String>,
    /// An event that ends by itself: its definition without whether it is switched on. None of others, and in older manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Digest>,
}
