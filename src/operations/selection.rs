//! How a recovery point is named.

use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};

use crate::domain::chain::{Place, Target};
use crate::domain::manifest::RecoveryPointId;

/// How the operator names a recovery point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// The newest.
    #[default]
    Newest,
    /// The oldest that is kept.
    Oldest,
    /// Any.
    Random,
    /// This one; an unambiguous beginning of its name will do.
    Id(RecoveryPointId),
    /// The state at this time; where nothing but full backups is made, the newest that is not newer.
    At(DateTime<Utc>),
    /// The state before the transaction at this place of the server's log.
    BeforePosition(Place),
    /// The state before the transaction of this GTID.
    BeforeGtid(String),
    /// A place or a GTID within this increment.
    Within(RecoveryPointId, Box<Selection>),
    /// The chain that begins with this full backup, up to the place of the next one; none: the newest chain that can be proved so.
    ClosedChain(Option<RecoveryPointId>),
}

impl Selection {
    /// Whether a place in a log or a GTID is named.
    pub(super) fn is_place(&self) -> bool {
        matches!(self, Self::BeforePosition(_) | Self::BeforeGtid(_) | Self::Within(..) | Self::ClosedChain(_))
    }

    /// The recovery point that is named; none where none is.
    pub(super) fn id(&self) -> Option<&RecoveryPointId> {
        if let Self::Id(id) | Self::Within(id, _) = self { Some(id) } else { None }
    }

    /// The same for the plan of a restore.
    pub(super) fn target(&self) -> Target {
        match self {
            // Its plan is made with the next full backup at hand.
            Self::Newest | Self::ClosedChain(_) => Target::Newest,
            Self::Oldest => Target::Oldest,
            // Different from call to call.
            Self::Random => Target::Random(RandomState::new().hash_one(())),
            Self::Id(id) => Target::Id(id.clone()),
            Self::At(time) => Target::At(*time),
            Self::BeforePosition(place) => Target::BeforePosition(place.clone()),
            Self::BeforeGtid(gtid) => Target::BeforeGtid(gtid.clone()),
            Self::Within(id, inner) => Target::Within(id.clone(), Box::new(inner.target())),
        }
    }
}
