//! What a manifest promises. Tagged, so that a reader never takes one kind of promise for another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::inventory::Inventory;

/// What must be true of restored data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Parts")]
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
    /// Tables that it touches, by qualified name.
    #[serde(default)]
    pub tables: BTreeMap<String, TableChanges>,
}

/// Rows of one table that an increment changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TableChanges {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
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
