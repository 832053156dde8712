//! Whether a backup looks as if its source had been emptied, encrypted or overwritten: pure, from manifests alone.
//!
//! A backup is held against the ones before it. A drill proves that a backup restores; it cannot see that what restores is
//! no longer what anybody wants back. Nothing here is a proof either, so a change is *suspect*, never wrong: the operator
//! mends the source, or says that the change was meant.
//!
//! What is compared, and why normal days do not show:
//! - [`volume`]: rows, tables and bytes that are gone, against the deepest fall that the same table had in the window before.
//!   Growth takes nothing away; what is emptied every night has fallen as deep before.
//! - `drain`: rows that go away little by little, against the most that there were.
//! - [`content`]: rows and files that were replaced, and whether what replaced them compresses. Updates replace rows by rows that
//!   compress as well as before; encryption does not.

mod apart;
mod assessment;
pub mod content;
mod conversion;
mod drain;
pub mod evidence;
pub mod keep;
mod logs;
mod moved;
pub mod sample;
pub mod texture;
pub mod volume;
pub mod watch;

use chrono::{DateTime, TimeDelta, Utc};

use self::assessment::WINDOW_LEAST;
pub use self::assessment::{Assessment, ENOUGH_HISTORY, Past, Point, State, TableChange};
use self::watch::Watch;
use super::manifest::Manifest;

/// How far back a backup is compared, and with how many at most.
const WINDOW: TimeDelta = TimeDelta::days(14);
const WINDOW_MOST: usize = 400;

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
    let full = drain::last_full(past, good, now, watch);
    found.before = clean.or(full).or(good.last().copied()).map(Point::of);
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
    drain::weigh(&mut found, past, now, watch);
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
