//! After each backup: does its content look as if somebody had emptied or encrypted the source? What the figures mean,
//! [`crate::domain::change`] says; here is where they come from and where they go.
//!
//! A suspect change fails no backup and no drill: both did what they promise. It is told of until the operator says that it was
//! meant, or the data is back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::SecondsFormat;

use crate::app::{App, Source, unknown_source};
use crate::domain::change::watch::Watch;
use crate::domain::change::{Assessment, Past, Point, State, assess};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::domain::promise::Promise;
use crate::domain::words::Words;
use crate::error::Result;
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
    let compared = app.block_on(app.ledger.compared(&source.name))?;
    let misdated = app.block_on(app.ledger.suspect_points(&source.name))?;
    let sound = |it: &&Published| !misdated.contains(&it.manifest.id.0);
    let points: Vec<&Manifest> = listed.iter().filter(sound).map(|it| &it.manifest).collect();
    let mut last = None;
    for (point, found) in judge(&points, compared, &source.watch, source.kind.words()) {
        app.block_on(app.ledger.record_change(&source.name, &point, &found))?;
        last = Some((point.id, found));
    }
    let newest = points.last().map(|newest| &newest.id);
    Ok(last.filter(|(id, _)| Some(id) == newest).map(|(_, found)| tell(source, found)))
}

/// The newest recovery point of `source` that the operator accepted, for the next manifest.
pub(super) fn accepted(app: &App, source: &Source) -> Result<Option<RecoveryPointId>> {
    let compared = app.block_on(app.ledger.compared(&source.name))?;
    // Their names sort by time.
    Ok(compared.into_iter().filter(|(_, it)| it.is_accepted).map(|(id, _)| id).next_back())
}

/// What is found in those of `points`, oldest first, that were not compared yet.
fn judge(
    points: &[&Manifest],
    mut compared: BTreeMap<RecoveryPointId, Compared>,
    watch: &Watch,
    words: Words,
) -> Vec<(Point, Assessment)> {
    let points: Vec<&Manifest> = points.iter().copied().filter(|it| is_compared(it)).collect();
    let accepted: BTreeSet<RecoveryPointId> = {
        let in_ledger = compared.iter().filter(|(_, it)| it.is_accepted).map(|(id, _)| id);
        in_ledger.chain(points.iter().filter_map(|it| it.evidence.accepted.as_ref())).cloned().collect()
    };
    let mut judged = Vec::new();
    for (at, now) in points.iter().enumerate().skip(points.len().saturating_sub(CAUGHT_UP)) {
        // What a version before made, nobody was told of: it is how things are.
        if compared.contains_key(&now.id) || now.evidence.is_missing() {
            continue;
        }
        let past = Past { words, ..past(&points[..at], &compared, &accepted) };
        let found = assess(&past, now, watch);
        compared.insert(now.id.clone(), Compared::of(&found));
        judged.push((Point::of(now), found));
    }
    judged
}

/// Only a full says what it contains, and only where that is known exactly.
fn is_compared(manifest: &Manifest) -> bool {
    manifest.kind == BackupKind::Full && matches!(manifest.promise, Promise::Exact(_))
}

/// What a backup is compared with: `before` it are these, oldest first. What was accepted is the beginning.
fn past<'m>(
    before: &[&'m Manifest],
    compared: &BTreeMap<RecoveryPointId, Compared>,
    accepted: &BTreeSet<RecoveryPointId>,
) -> Past<'m> {
    let begin = before.iter().rposition(|it| accepted.contains(&it.id));
    let found = |it: &Manifest| compared.get(&it.id).filter(|_| !accepted.contains(&it.id));
    let is_measure = |it: &Manifest| found(it).is_none_or(|it| !it.is_kept_up());
    let mut past = Past { is_accepted: begin.is_some(), ..Past::default() };
    past.earlier = before.iter().filter(|it| is_measure(it)).copied().collect();
    for manifest in &before[begin.unwrap_or(0)..] {
        let is_warning = found(manifest).is_some_and(|it| it.state == State::Warning);
        // A warning after what stays is not its end.
        if !is_measure(manifest) || (is_warning && !past.suspect.is_empty()) {
            past.suspect.push(*manifest);
            continue;
        }
        past.trusted.push(*manifest);
        past.doubted = if is_warning { past.doubted + 1 } else { 0 };
        // What others followed in which nothing was found is over.
        past.suspect.clear();
    }
    past
}

fn tell(source: &Source, found: Assessment) -> Assessment {
    let (name, hint) = (&source.name, hint(&source.name, &found));
    let said = format!("the data of {name} {}: {}", found.state.of_the_data(), found.reasons.join("; "));
    match found.state {
        State::Critical => tracing::error!(source = %name, hint, "{said}"),
        State::Warning => tracing::warn!(source = %name, hint, "{said}"),
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
pub fn warning(source: &str, found: &Assessment) -> Option<String> {
    let (how, said) = (found.state.of_the_data(), found.reasons.join("; "));
    found.state.is_suspect().then(|| format!("the data {how}: {said}; {}", hint(source, found)))
}

/// What is said of a recovery point before it is restored.
#[derive(Debug)]
pub(super) struct Caution {
    /// One sentence.
    pub text: String,
    /// Its data looks destroyed, and nobody said that this was meant.
    pub destroyed: Option<Destroyed>,
}

/// Why a recovery point replaces no data unless it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The one that holds data which looks destroyed.
    pub point: RecoveryPointId,
    /// The last one before that, where it is known.
    pub good: Option<RecoveryPointId>,
    said: String,
}

impl fmt::Display for Destroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for Destroyed {}

impl Caution {
    fn of(chosen: &Manifest, text: String, (is_destroyed, good): (bool, Option<&Point>)) -> Self {
        let (point, good) = (chosen.id.clone(), good.map(|good| good.id.clone()));
        let destroyed = is_destroyed.then(|| Destroyed { point, good, said: text.clone() });
        Self { text, destroyed }
    }
}

/// What whoever restores the recovery point `chosen` of `source` has to know: that something suspect was found in it, be it over or
/// accepted, and which one is the last before that. One that was chosen by its name is held against nothing but its own figures, and
/// those of the `full` that it continues.
pub(super) fn caution(
    app: &App,
    source: &Source,
    (chosen, full): (&Manifest, &Manifest),
    is_named: bool,
) -> Result<Option<Caution>> {
    if !source.watch.enabled {
        return Ok(None);
    }
    let name = &source.name;
    let suspect = app.block_on(app.ledger.suspect_changes(name))?;
    if let Some(own) = suspect.iter().find(|it| it.point.id == full.id) {
        let good = last_good(&suspect, own);
        let is_destroyed = own.found.state == State::Critical && own.accepted.is_none();
        return Ok(Some(Caution::of(chosen, of_own(name, own, good), (is_destroyed, good))));
    }
    if is_named || app.block_on(app.ledger.compared(name))?.contains_key(&chosen.id) {
        return Ok(None);
    }
    let (since, found) = match app.block_on(app.ledger.newest_change(name))? {
        Some(change) if change.state() == State::Critical => (change.since.unwrap_or(change.point), change.found),
        Some(_) => return Ok(None),
        // A new host after a disaster: the manifests say it too.
        None => match unrecorded(source, chosen)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let is_the_last_before = found.before.as_ref().is_some_and(|before| before.id == chosen.id);
    if chosen.as_of < since.as_of || is_the_last_before {
        return Ok(None);
    }
    let how = State::Critical.of_the_data();
    let said = format!("since the recovery point of {}: {}", shown(&since), found.reasons.join("; "));
    let good = found.before.as_ref();
    let text = format!("the data of {name} {how} {said}{}", instead(good));
    Ok(Some(Caution::of(chosen, text, (true, good))))
}

/// What was found in the recovery point itself.
fn of_own(source: &str, own: &ChangeFigures, before: Option<&Point>) -> String {
    let (how, said) = (own.found.state.of_the_data(), own.found.reasons.join("; "));
    let accepted = own.accepted.map_or_else(String::new, |at| {
        format!("; it was accepted as meant on {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    let (at, instead) = (shown(&own.point), instead(before));
    format!("the data of {source} {how} in the recovery point of {at}: {said}{accepted}{instead}")
}

fn instead(before: Option<&Point>) -> String {
    before.map_or_else(String::new, |before| {
        let id = &before.id;
        format!(
            "; the last recovery point before that is {id} of {}: restore it with --recovery-point {id}",
            shown(before)
        )
    })
}

/// The last recovery point before `of` in which nothing suspect was found. Versions before wrote down one that may be suspect itself.
fn last_good<'c>(suspect: &'c [ChangeFigures], of: &'c ChangeFigures) -> Option<&'c Point> {
    let mut before = of.found.before.as_ref()?;
    while let Some(it) = suspect.iter().find(|it| it.point.id == before.id && it.accepted.is_none()) {
        before = it.found.before.as_ref().filter(|earlier| earlier.as_of < before.as_of)?;
    }
    Some(before)
}

/// How the alert ends, for whoever restored a state from before the change.
pub(super) fn end_of_alert(app: &App, source: &Source, chosen: &Manifest) -> Result<Option<String>> {
    let change = app.block_on(app.ledger.newest_change(&source.name))?;
    let change = change.filter(|it| source.watch.enabled && it.state().is_suspect());
    let since = change.and_then(|it| it.since).filter(|since| chosen.as_of < since.as_of);
    let name = &source.name;
    Ok(since.map(|_| format!("once {name} has its data back, `backup-sla backup {name}` ends the alert on its data")))
}

/// Since which point the data looks destroyed that `chosen` holds, from the repository alone.
fn unrecorded(source: &Source, chosen: &Manifest) -> Result<Option<(Point, Assessment)>> {
    let listed = source.repository.listing(Some(&source.name))?.points;
    let is_before = |it: &&Published| it.manifest.host == chosen.host && it.manifest.as_of <= chosen.as_of;
    let points: Vec<&Manifest> = listed.iter().filter(is_before).map(|it| &it.manifest).collect();
    let mut judged = judge(&points, BTreeMap::new(), &source.watch, source.kind.words());
    let since = judged.iter().rposition(|(_, found)| found.state != State::Critical).map_or(0, |last| last + 1);
    let since = judged.get(since).map(|(point, _)| point.clone());
    Ok(since.zip(judged.pop().map(|(_, found)| found)))
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

/// What is suspect now in `source` was meant: the next backups are compared with the newest one of it.
pub fn accept_change(app: &App, source: &str) -> Result<AcceptedChange> {
    if !app.config.sources.contains_key(source) {
        return Err(unknown_source(source, app.config.sources.keys()));
    }
    let accepted: Vec<ChangeFigures> = app.block_on(app.ledger.accept_changes(source))?;
    let reasons = accepted.last().map(|newest| newest.found.reasons.clone()).unwrap_or_default();
    if !accepted.is_empty() {
        tracing::warn!(%source, "the change of the data of {source} was accepted as meant: {}", reasons.join("; "));
    }
    let recovery_points = accepted.into_iter().map(|change| change.point.id).collect();
    Ok(AcceptedChange { source: source.to_owned(), recovery_points, reasons })
}

#[cfg(test)]
mod shops;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::evidence::{Evidence, NewData};
    use crate::repository::Storing;
    use crate::repository::contract;
    use crate::repository::memory::MemoryRepository;

    #[test]
    fn a_suspect_point_is_told_of_although_it_is_over_or_accepted_and_none_suspect_is_named_instead() {
        let point = |at: i64| Point { id: RecoveryPointId(at.to_string()), as_of: contract::moment(at) };
        let row = |at: i64, state, before: i64, accepted: bool| ChangeFigures {
            point: point(at),
            judged: contract::moment(at),
            found: Assessment { state, before: Some(point(before)), ..Assessment::default() },
            accepted: accepted.then(|| contract::moment(9)),
            since: None,
        };
        let rows = [row(1, State::Warning, 0, false), row(2, Critical, 1, false), row(4, Critical, 3, true)];
        let said = rows.each_ref().map(|own| of_own("shop", own, last_good(&rows, own)));
        assert!(said[0].contains("changed in an unusual way in the recovery point of"), "{}", said[0]);
        assert!(
            said[1].contains("looks DESTROYED") && said[1].ends_with("restore it with --recovery-point 0"),
            "{}",
            said[1]
        );
        assert!(
            said[2].contains("it was accepted as meant on") && said[2].ends_with("--recovery-point 3"),
            "{}",
            said[2]
        );
    }

    /// Backups of so many bytes of one table, one an hour; the names are their places.
    fn manifests(rows: &[u64]) -> Vec<Manifest> {
        let repository = MemoryRepository::default();
        let manifest = |(at, rows): (usize, &u64)| {
            let as_of = contract::moment(i64::try_from(at).unwrap());
            let stored =
                repository.store(contract::candidate("shop", &format!("{at:02}"), as_of, &[("d", b"x")])).unwrap();
            let mut manifest = contract::manifest(&stored);
            manifest.inventory_mut().tables = vec![crate::domain::manifest::TableFacts {
                name: "a.t".to_owned(),
                rows: *rows,
                digest: crate::domain::digest::Digest::of(&rows.to_le_bytes()),
                definition: crate::domain::digest::Digest::default(),
                newest: BTreeMap::new(),
                next_id: None,
            }];
            manifest.evidence.new_data = Some(NewData::default());
            manifest
        };
        rows.iter().enumerate().map(manifest).collect()
    }

    fn states(manifests: &[Manifest], compared: BTreeMap<RecoveryPointId, Compared>) -> Vec<(String, State)> {
        let judged = judge(&manifests.iter().collect::<Vec<_>>(), compared, &Watch::default(), Words::default());
        judged.into_iter().map(|(point, found)| (point.id.0, found.state)).collect()
    }

    fn only_states(manifests: &[Manifest]) -> Vec<State> {
        states(manifests, BTreeMap::new()).into_iter().map(|(_, state)| state).collect()
    }

    use State::{Critical, Pending, Quiet};

    #[test]
    fn what_is_critical_is_no_measure_for_what_comes_after_it_until_the_data_is_back() {
        let rows = [100, 100, 100, 100, 0, 0, 0, 100, 100];
        let expected = [Pending, Pending, Pending, Quiet, Critical, Critical, Critical, Quiet, Quiet];
        assert_eq!(only_states(&manifests(&rows)), expected);
    }

    #[test]
    fn what_stays_and_a_warning_after_it_are_no_measure_until_the_data_is_back() {
        let all = manifests(&[100, 100, 100, 100, 100, 100, 100]);
        let stays = |state, stays| Compared { state, stays, is_accepted: false, before: None };
        let known = |of: &[(usize, Compared)]| -> BTreeMap<RecoveryPointId, Compared> {
            of.iter().map(|(at, it)| (all[*at].id.clone(), it.clone())).collect()
        };
        let past = |of: &[(usize, Compared)]| {
            let found = past(&all.iter().collect::<Vec<_>>(), &known(of), &BTreeSet::new());
            (found.trusted.len(), found.doubted, found.suspect.len(), found.earlier.len())
        };
        assert_eq!(past(&[]), (7, 0, 0, 7));
        assert_eq!(past(&[(6, stays(State::Warning, false))]), (7, 1, 0, 7));
        assert_eq!(past(&[(6, stays(State::Warning, true))]), (6, 0, 1, 6));
        assert_eq!(past(&[(5, stays(Critical, false)), (6, stays(State::Warning, false))]), (5, 0, 2, 6));
        assert_eq!(past(&[(5, stays(State::Warning, true))]), (6, 0, 0, 6), "the last one is quiet");
    }

    #[test]
    fn what_was_accepted_is_the_measure_even_if_only_a_manifest_remembers_it() {
        let mut all = manifests(&[100, 100, 100, 100, 0, 20, 25, 0]);
        all[5].evidence.accepted = Some(RecoveryPointId("04".to_owned()));
        assert_eq!(only_states(&all)[4..], [Critical, Quiet, Quiet, Critical]);
        let compared = |state, is_accepted| Compared { state, stays: false, is_accepted, before: None };
        let known = [("03", compared(Quiet, false)), ("04", compared(Critical, true))];
        let known = known.map(|(id, it)| (RecoveryPointId(id.to_owned()), it)).into();
        let found = states(&manifests(&[100, 100, 100, 100, 0, 20, 25]), known);
        assert_eq!(found[3..], [("05".to_owned(), Quiet), ("06".to_owned(), Quiet)]);
    }

    #[test]
    fn what_an_older_version_made_is_how_things_are() {
        let mut all = manifests(&[100, 100, 100, 100, 0, 0, 0]);
        all[..6].iter_mut().for_each(|old| old.evidence = Evidence::default());
        assert_eq!(states(&all, BTreeMap::new()), [("06".to_owned(), Quiet)], "nobody is woken up by an update");
    }

    #[test]
    fn no_more_than_a_hundred_are_caught_up_with() {
        assert_eq!(only_states(&manifests(&[100; CAUGHT_UP + 20])).len(), CAUGHT_UP);
    }
}
