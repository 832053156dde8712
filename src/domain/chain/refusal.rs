//! Why something cannot be restored.

use std::fmt;

use crate::domain::manifest::RecoveryPointId;

/// Why a recovery point that is listed cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrestorable {
    /// A physical copy: this version cannot restore one.
    Physical {
        /// The copy.
        full: RecoveryPointId,
    },
    /// An increment that does not say what it continues.
    NoParent {
        /// The increment.
        increment: RecoveryPointId,
    },
    /// What an increment of its line continues is not there, or cannot be read.
    ParentMissing {
        /// The increment.
        increment: RecoveryPointId,
        /// What it continues.
        parent: RecoveryPointId,
    },
    /// An increment of its line does not begin where the one before it ends.
    Hole {
        /// The increment.
        increment: RecoveryPointId,
        /// What it says that it continues.
        parent: RecoveryPointId,
    },
    /// What an increment of its line says of itself: it can never be replayed.
    Unreplayable {
        /// The increment.
        increment: RecoveryPointId,
        /// Why.
        why: String,
    },
    /// Its line leads back to itself.
    Circle {
        /// An increment of the circle.
        increment: RecoveryPointId,
    },
}

impl fmt::Display for Unrestorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Physical { full } => write!(f, "{full} is a physical copy"),
            Self::NoParent { increment } => write!(f, "increment {increment} does not say what it continues"),
            Self::ParentMissing { increment, parent } => {
                write!(f, "increment {increment} continues {parent}, which is missing or cannot be read")
            }
            Self::Hole { increment, parent } => {
                write!(f, "increment {increment} does not begin where {parent} ends")
            }
            Self::Unreplayable { increment, why } => write!(f, "increment {increment} cannot be replayed: {why}"),
            Self::Circle { increment } => write!(f, "increment {increment} leads back to itself"),
        }
    }
}

impl std::error::Error for Unrestorable {}

/// Why there is no plan for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPlan {
    /// There is no recovery point to choose from.
    Empty,
    /// No recovery point has this name.
    NoSuchPoint,
    /// Several names begin with it.
    SeveralPoints,
    /// The recovery point that is meant cannot be restored.
    Unrestorable(RecoveryPointId, Unrestorable),
    /// The target is in no window.
    Outside,
    /// Several logs have the place or transaction: the chains that begin with these fulls, oldest first.
    Ambiguous(Vec<RecoveryPointId>),
}
