//! What a manifest promises. Tagged, so that a reader never takes one kind of promise for another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize, Serializer};

use super::canary::CanaryChanges;
use super::inventory::Inventory;

/// What must be true of restored data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Parts")]
#[allow(clippy::large_enum_variant)] // there is one for each manifest, which is larger still
pub enum Promise {
    /// Exactly this must exist, with these contents.
    Exact(Inventory),
    /// An increment: this must be replayed, to the position that the manifest gives. The next full proves the result.
    Changes(Changes),
    /// Exact facts come later: a physical copy is proved by what a drill or the next full finds.
    Pending,
}

/// What an increment brings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changes {
    /// Transactions in it; as many must be replayed.
    pub transactions: u64,
    /// Row events in it, of all tables.
    pub row_events: u64,
    /// Bytes of the change stream.
    pub bytes: u64,
    /// Tables that it touches, by the qualified name that they have at its end.
    #[serde(default)]
    pub tables: BTreeMap<String, TableChanges>,
    /// What may be defined otherwise than before, as checks name it: `view shop.v`; `trigger shop.*` for all of a database,
    /// `account *` for all of a kind, `*` for everything there is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub definitions: BTreeSet<String>,
    /// Databases that it drops. What it creates in them afterwards is among the tables.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dropped: BTreeSet<String>,
    /// Why rows of any table may have changed without being counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<String>,
    /// Rows were changed by statements, which may give others when they are run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_statements: bool,
    /// Of which tables: `shop.t`, `shop.*` for any table of a database, `*` for any there is. Where `by_statements` stands alone, an earlier
    /// version wrote it, and it may be any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stated: BTreeSet<String>,
    /// Every table that a statement wrote to, by the name that it had then, as in `stated`, and the kind of statement. What it changed there,
    /// and in what hangs on it, is not counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wrote: BTreeMap<String, String>,
    /// Why it can never be replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreplayable: Option<String>,
    /// What it does to canaries.
    #[serde(default, skip_serializing_if = "CanaryChanges::is_nothing")]
    pub canaries: CanaryChanges,
    /// Rows that tables have at its end, which were counted there in a snapshot.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, u64>,
    /// Tables whose rows nobody knows at its end, and that are to be counted when there is time: `*` for any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub owed: BTreeSet<String>,
    /// Why something that was to be counted at its end was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_up: Option<String>,
}

/// What an increment does to one table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableChanges {
    /// Rows that were inserted, into what it says of its origin.
    pub inserted: u64,
    /// Rows that were updated.
    pub updated: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// What these are counted from.
    #[serde(default, skip_serializing_if = "Origin::is_before")]
    pub origin: Origin,
    /// A statement may have changed its definition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redefined: bool,
    /// Why its rows cannot be counted, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<String>,
    /// Why a statement on it gives other contents when it is run again, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub varies: Option<String>,
}

/// Where a table's rows come from, before those that are counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is the table of before.
    #[default]
    Before,
    /// It is the table of before, or was created without rows where there was none.
    BeforeOrNothing,
    /// It was created, or emptied.
    Nothing,
    /// It is the table of before that had this name.
    Renamed(String),
    /// It is the table of before that had this name, or was created without rows where there was none.
    RenamedOrNothing(String),
    /// It is gone.
    Gone,
}

impl Origin {
    fn is_before(&self) -> bool {
        *self == Self::Before
    }
}

/// Name of a promise in a manifest. Before it was written every promise was exact.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    #[default]
    Exact,
    Changes,
    Pending,
}

/// As a manifest has it, among its other fields.
#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    promise: Tag,
    inventory: Option<Inventory>,
    changes: Option<Changes>,
}

impl TryFrom<Parts> for Promise {
    type Error = &'static str;

    fn try_from(parts: Parts) -> Result<Self, Self::Error> {
        match (parts.promise, parts.inventory, parts.changes) {
            (Tag::Exact, Some(inventory), None) => Ok(Self::Exact(inventory)),
            (Tag::Changes, None, Some(changes)) => Ok(Self::Changes(changes)),
            (Tag::Pending, None, None) => Ok(Self::Pending),
            (Tag::Exact, None, _) => Err("missing field `inventory`"),
            (Tag::Changes, _, None) => Err("missing field `changes`"),
            _ => Err("more than one promise"),
        }
    }
}

impl Serialize for Promise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'p> {
            promise: Tag,
            #[serde(skip_serializing_if = "Option::is_none")]
            inventory: Option<&'p Inventory>,
            #[serde(skip_serializing_if = "Option::is_none")]
            changes: Option<&'p Changes>,
        }
        let (promise, inventory, changes) = match self {
            Self::Exact(inventory) => (Tag::Exact, Some(inventory), None),
            Self::Changes(changes) => (Tag::Changes, None, Some(changes)),
            Self::Pending => (Tag::Pending, None, None),
        };
        Written { promise, inventory, changes }.serialize(serializer)
    }
}
