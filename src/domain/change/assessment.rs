//! What is said of one backup, and what it is held against.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::figures::grouped;
pub(super) use crate::domain::figures::size;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::domain::words::Words;

/// Backups that there must be before one is judged, if nobody accepted one.
pub const ENOUGH_HISTORY: usize = 3;
/// With how many backups one is compared at least.
pub(super) const WINDOW_LEAST: usize = 14;
/// Tables that are named one by one.
pub(super) const NAMED: usize = 10;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is too little to compare with.
    #[default]
    Pending,
    /// Nothing.
    Quiet,
    /// Something unusual.
    Warning,
    /// What destroyed data looks like.
    Critical,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Quiet, Self::Warning, Self::Critical];

    /// The word for it everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Quiet => "quiet",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// What to say of the data, after "the data"; nothing is said of what is not suspect.
    pub fn of_the_data(self) -> &'static str {
        match self {
            Self::Pending | Self::Quiet => "",
            Self::Warning => "changed in an unusual way",
            Self::Critical => "looks DESTROYED",
        }
    }

    /// Whether somebody should look.
    pub fn is_suspect(self) -> bool {
        self >= Self::Warning
    }
}

/// What a backup is held against.
#[derive(Debug, Clone, Default)]
pub struct Past<'m> {
    /// Backups that later ones are compared with, oldest first: nothing was found in them, or no more than what one night may be.
    pub trusted: Vec<&'m Manifest>,
    /// How many of the last of these are warnings that nobody accepted.
    pub doubted: usize,
    /// Later ones that are no measure: what was found in them stays until it is accepted or the data is back.
    pub suspect: Vec<&'m Manifest>,
    /// Every backup before in which nothing was found that stays, however old, oldest first.
    pub earlier: Vec<&'m Manifest>,
    /// Whether a person accepted the oldest of the trusted ones: then it is enough by itself.
    pub is_accepted: bool,
    /// What the source's things are called.
    pub words: Words,
}

/// A recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its name.
    pub id: RecoveryPointId,
    /// Its as-of time.
    pub as_of: DateTime<Utc>,
}

impl Point {
    /// The one that `manifest` publishes.
    pub fn of(manifest: &Manifest) -> Self {
        Self { id: manifest.id.clone(), as_of: manifest.as_of }
    }
}

/// A table that lost rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// As in the inventory.
    pub name: String,
    /// Rows in the last backup before.
    pub before: u64,
    /// Rows now; none where the table is gone.
    pub now: Option<u64>,
}

/// What the comparison says of one backup.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Assessment {
    /// The worst of it.
    pub state: State,
    /// The last backup before the change in which nothing suspect was found; where nothing is suspect, the one that it was compared
    /// with. None while pending, or where there is none.
    pub before: Option<Point>,
    /// Rows of all tables, before and now.
    pub rows: [u64; 2],
    /// Bytes of the data, before and now.
    pub bytes: [u64; 2],
    /// Share of the rows that is gone, beyond what comes and goes.
    pub rows_lost: f64,
    /// Share of the bytes; none where the source's bytes say nothing of its content.
    pub bytes_lost: Option<f64>,
    /// Tables that are gone or have lost nearly all their rows, of so many that had any.
    pub tables_emptied: [u64; 2],
    /// Share of the content that was replaced; none where that was not recorded.
    pub replaced: Option<f64>,
    /// Share of the plain content that became noise, as encryption makes it; none where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub became_noise: Option<f64>,
    /// Stored bytes per byte of the new data, usually and now; none where that was not recorded or there was too little.
    pub compression: [Option<f64>; 2],
    /// Tables that lost most rows.
    pub tables: Vec<TableChange>,
    /// One sentence per thing that is suspect.
    pub reasons: Vec<String>,
    /// A warning that does not end by itself: it stays until the data is back or somebody accepts it, as what is critical does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

impl Assessment {
    /// Add a reason.
    pub(super) fn suspect(&mut self, state: State, reason: String) {
        self.state = self.state.max(state);
        self.reasons.push(reason);
    }

    /// Note a share that is suspect from `limit` on, and a warning from half of it.
    pub(super) fn weigh(&mut self, share: f64, limit: f64, reason: impl FnOnce() -> String) {
        if share >= limit {
            self.suspect(State::Critical, reason());
        } else if share >= limit / 2.0 {
            self.suspect(State::Warning, reason());
        }
    }
}

/// A share as people read it.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0))
}

/// A number as people read it: `1 234 567`.
pub(super) fn count(number: u64) -> String {
    grouped(number, ' ')
}
