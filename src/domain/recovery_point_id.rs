//! How a recovery point is called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of one recovery point: sortable by time, unique, safe in paths and shells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecoveryPointId(pub String);

impl fmt::Display for RecoveryPointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
