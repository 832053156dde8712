//! Whether a backup looks as if its source had been emptied, encrypted or overwritten: pure, from manifests alone.
//!
//! A backup is held against the ones before it. A drill proves that a backup restores; it cannot see that what restores is
//! no longer what anybody wants back. Nothing here is a proof either, so a change is *suspect*, never wrong: the operator
//! mends the source, or says that the change was meant.
//!
//! What is compared, and why normal days do not show:
//! - [`volume`]: rows, tables and bytes that are gone, against the deepest fall that the same table had in the window before.
//!   Growth takes nothing away; what is emptied every night has fallen as deep before.
//! - [`content`]: rows and files that were replaced, and whether what replaced them compresses. Updates replace rows by rows that
//!   compress as well as before; encryption does not.

mod apart;
pub mod content;
mod conversion;
pub mod evidence;
pub mod keep;
mod logs;
mod moved;
pub mod sample;
pub mod texture;
pub mod volume;
pub mod watch;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use self::watch::Watch;
use super::manifest::{Manifest, RecoveryPointId};

/// Backups that there must be before one is judged, if nobody accepted one.
pub const ENOUGH_HISTORY: usize = 3;
/// How far back a backup is compared, and with how many at least and at most.
const WINDOW: TimeDelta = TimeDelta::days(14);
const WINDOW_LEAST: usize = 14;
const WINDOW_MOST: usize = 400;
/// Tables that are named one by one.
const NAMED: usize = 10;

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
    fn suspect(&mut self, state: State, reason: String) {
        self.state = self.state.max(state);
        self.reasons.push(reason);
    }

    /// Note a share that is suspect from `limit` on, and a warning from half of it.
    fn weigh(&mut self, share: f64, limit: f64, reason: impl FnOnce() -> String) {
        if share >= limit {
            self.suspect(State::Critical, reason());
        } else if share >= limit / 2.0 {
            self.suspect(State::Warning, reason());
        }
    }
}

/// Compare `now` with what was before it.
pub fn assess(past: &Past<'_>, now: &Manifest, watch: &Watch) -> Assessment {
    match apart::Without::of(past, now) {
        Some(without) => assess_all(&without.past(past), &without.now, watch),
        None => assess_all(past, now, watch),
    }
}

fn assess_all(past: &Past<'_>, now: &Manifest, watch: &Watch) -> Assessment {
    let mut found = compare(past, now, watch);
    if !found.state.is_suspect() {
        return found;
    }
    let (good, doubted) = past.trusted.split_at(past.trusted.len() - past.doubted);
    if !doubted.is_empty() {
        // What is as it was before a warning is over, however it compares with what raised it.
        let suspect = [doubted, &past.suspect].concat();
        let again = compare(&Past { trusted: good.to_vec(), doubted: 0, suspect, ..past.clone() }, now, watch);
        if again.state == State::Quiet {
            return again;
        }
    }
    // What became noise may have begun some backups ago.
    let is_noise = found.became_noise >= Some(watch.replaced / 2.0);
    let clean = if is_noise { conversion::last_clean(window(good, now.as_of), watch) } else { None };
    found.before = clean.or(good.last().copied()).map(Point::of);
    found
}

fn compare(past: &Past<'_>, now: &Manifest, watch: &Watch) -> Assessment {
    // While something is suspect, time stands still: the window must not move away from what was before.
    let until = past.trusted.last().filter(|_| !past.suspect.is_empty()).map_or(now.as_of, |last| last.as_of);
    let trusted = window(&past.trusted, until);
    let mut found = Assessment { rows: [0, now.rows()], bytes: [0, now.logical_bytes()], ..Assessment::default() };
    let needed = if past.is_accepted { 1 } else { ENOUGH_HISTORY };
    let Some(before) = trusted.last().filter(|_| trusted.len() >= needed) else { return found };
    found.state = State::Quiet;
    found.before = Some(Point::of(before));
    (found.rows[0], found.bytes[0]) = (before.rows(), before.logical_bytes());
    let successors = content::Successors::of(before, now);
    volume::weigh(&mut found, past, now, (&successors, watch));
    let past = Past { trusted: trusted.to_vec(), ..past.clone() };
    conversion::weigh(&mut found, &past, now, watch);
    content::weigh(&mut found, &past, now, (&successors, watch));
    found
}

/// The newest of `trusted`: as far back as the window reaches at `now`.
fn window<'s, 'm>(trusted: &'s [&'m Manifest], now: DateTime<Utc>) -> &'s [&'m Manifest] {
    let within = trusted.iter().rev().take_while(|it| now - it.as_of <= WINDOW).count();
    let count = within.clamp(WINDOW_LEAST, WINDOW_MOST).min(trusted.len());
    &trusted[trusted.len() - count..]
}

/// A share as people read it.
fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).clamp(0.0, 100.0))
}

/// A number as people read it: `1 234 567`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let group = |(at, digit): (usize, char)| {
        let space = (at > 0 && (digits.len() - at).is_multiple_of(3)).then_some(' ');
        space.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

/// Bytes as people read them: `1.5 MiB`.
fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec().to_string()
}

#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod innocent;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
