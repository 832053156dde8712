//! After each backup: does its content look as if somebody had emptied or encrypted the source? What the figures mean,
//! [`crate::domain::change`] says; here is where they come from and where they go.
//!
//! A suspect change fails no backup and no drill: both did what they promise. It is told of until the operator says that it was
//! meant, or the data is back.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::app::{App, Source};
use crate::domain::change::{Assessment, Past, Point, State, assess};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::error::{Error, Result};
use crate::ledger::{ChangeFigures, Compared};
use crate::repository::Published;

/// Backups that are compared at once, where none was compared before.
const CAUGHT_UP: usize = 100;

/// Compare the backups of `source` that were not compared yet with those before them, and write down what was found. The newest
/// of `listed` is the one that was just made: what was found in it is given back.
pub(super) fn compare(app: &App, source: &Source, listed: &[Published]) -> Result<Option<Assessment>> {
    if !source.watch.enabled {
        return Ok(None);
    }
    let mut compared = app.block_on(app.ledger.compared(&source.name))?;
    let misdated = app.block_on(app.ledger.suspect_points(&source.name))?;
    let sound = |it: &&Published| it.manifest.kind == BackupKind::Full && !misdated.contains(&it.manifest.id.0);
    let points: Vec<&Manifest> = listed.iter().filter(sound).map(|it| &it.manifest).collect();
    let mut last = None;
    for (at, now) in points.iter().enumerate().skip(points.len().saturating_sub(CAUGHT_UP)) {
        if compared.contains_key(&now.id) {
            continue;
        }
        let found = assess(&past(&points[..at], &compared), now, &source.watch);
        let state = found.state;
        app.block_on(app.ledger.record_change(&source.name, &Point::of(now), &found))?;
        compared.insert(now.id.clone(), Compared { state, is_accepted: false });
        last = Some((now.id.clone(), found));
    }
    let newest = points.last().map(|newest| &newest.id);
    Ok(last.filter(|(id, _)| Some(id) == newest).map(|(_, found)| tell(source, found)))
}

/// What a backup is compared with: `before` it are these, oldest first. What was accepted is the beginning.
fn past<'m>(before: &[&'m Manifest], compared: &BTreeMap<RecoveryPointId, Compared>) -> Past<'m> {
    let is = |manifest: &Manifest, what: fn(Compared) -> bool| compared.get(&manifest.id).is_some_and(|it| what(*it));
    let accepted = before.iter().rposition(|it| is(it, |compared| compared.is_accepted));
    let since = &before[accepted.unwrap_or(0)..];
    let is_critical = |it: &&&Manifest| is(it, |it| it.state == State::Critical && !it.is_accepted);
    let (suspect, trusted): (Vec<&Manifest>, Vec<&Manifest>) = since.iter().partition(|it| is_critical(it));
    // A suspect one that others followed in which nothing was found is over.
    let newest = trusted.last().map_or(0, |trusted| since.iter().rposition(|it| it.id == trusted.id).unwrap_or(0));
    let suspect = suspect.into_iter().filter(|it| since[newest..].iter().any(|later| later.id == it.id)).collect();
    Past { trusted, suspect, is_accepted: accepted.is_some() }
}

fn tell(source: &Source, found: Assessment) -> Assessment {
    let said = found.reasons.join("; ");
    let hint = hint(&source.name, &found);
    match found.state {
        State::Critical => {
            tracing::error!(source = %source.name, hint, "the data of {} looks destroyed: {said}", source.name)
        }
        State::Warning => {
            tracing::warn!(source = %source.name, hint, "the data of {} changed in an unusual way: {said}", source.name)
        }
        State::Quiet | State::Pending => {}
    }
    found
}

/// What to do about a change.
fn hint(source: &str, found: &Assessment) -> String {
    let before = found.before.as_ref().map_or_else(String::new, |before| {
        format!("look at the source; the last recovery point before the change is {} of {}; ", before.id, shown(before))
    });
    format!("{before}if the change was meant, run `backup-sla accept-change {source}`")
}

fn shown(point: &Point) -> String {
    point.as_of.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// One sentence on what was found in a backup that was just made; none where that is nothing.
pub(super) fn warning(source: &str, found: &Assessment) -> Option<String> {
    let said = found.reasons.join("; ");
    found
        .state
        .is_suspect()
        .then(|| format!("{}: the data is SUSPECT: {said}; {}", found.state.name(), hint(source, found)))
}

/// What whoever restores the recovery point of `as_of` of `source` has to know: that its data looks destroyed, and which one is the
/// last before that. None where nothing critical is known of it.
pub fn caution(app: &App, source: &str, as_of: DateTime<Utc>) -> Result<Option<String>> {
    let Some(change) = app.block_on(app.ledger.newest_change(source))? else { return Ok(None) };
    let since = change.since.as_ref().unwrap_or(&change.point);
    if change.state() != State::Critical || as_of < since.as_of {
        return Ok(None);
    }
    let said = change.found.reasons.join("; ");
    let before = change.found.before.as_ref().map_or_else(String::new, |before| {
        let id = &before.id;
        format!(
            "; the last recovery point before that is {id} of {}: restore it with --recovery-point {id}",
            shown(before)
        )
    });
    Ok(Some(format!(
        "the data of {source} looks DESTROYED since the recovery point of {}: {said}{before}",
        shown(since)
    )))
}

/// Changes that were meant.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AcceptedChange {
    /// Source name.
    pub source: String,
    /// Recovery points of which nothing is suspect any more, oldest first.
    pub recovery_points: Vec<RecoveryPointId>,
    /// What had been found in the newest of them.
    pub reasons: Vec<String>,
}

/// What was found in backups of `source` so far was meant: the next ones are compared with the newest of them.
pub fn accept_change(app: &App, source: &str) -> Result<AcceptedChange> {
    if !app.config.sources.contains_key(source) {
        return Err(Error::configuration(format!("unknown source {source}"))
            .hint("name a source of the configuration; `backup-sla list` shows them"));
    }
    let accepted: Vec<ChangeFigures> = app.block_on(app.ledger.accept_changes(source))?;
    let reasons = accepted.last().map(|newest| newest.found.reasons.clone()).unwrap_or_default();
    if !accepted.is_empty() {
        tracing::warn!(%source, "the change of the data of {source} was accepted as meant: {}", reasons.join("; "));
    }
    let recovery_points = accepted.into_iter().map(|change| change.point.id).collect();
    Ok(AcceptedChange { source: source.to_owned(), recovery_points, reasons })
}
