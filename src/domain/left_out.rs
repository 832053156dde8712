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

impl LeftOut {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let kept = if self.definition.is_some() { "; its definition is kept in the manifest" } else { "" };
        format!("{} {} is NOT in the backup: {}{kept}", self.kind, self.name, self.reason)
    }

    /// One sentence for people, where it is in the backup but cannot come back.
    pub fn will_not_return(&self) -> String {
        format!("{} {} will not come back: {}", self.kind, self.name, self.reason)
    }
}
