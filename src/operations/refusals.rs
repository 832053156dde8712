//! Why no recovery point was chosen, and what to do about it.

use chrono::{DateTime, SecondsFormat, Utc};

use super::selection::Selection;
use crate::app::Source;
use crate::domain::chain::{Chains, Closing, NoPlan, Plan, Unrestorable, Window};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::error::{Error, Result};

/// Windows that a refusal names.
const SHOWN: usize = 6;

/// What was asked for, of what is there.
pub(super) struct Asked<'a, 'm> {
    pub source: &'a Source,
    pub selection: &'a Selection,
    pub chains: &'a Chains<'m>,
}

/// The error that `why` means. `damaged` is what cannot be read: what was asked for may be among it.
pub(super) fn refuse(asked: &Asked<'_, '_>, why: NoPlan, mut damaged: Vec<Error>) -> Error {
    let name = &asked.source.name;
    match why {
        NoPlan::Empty => match damaged.pop() {
            Some(error) => error.context(format!("cannot choose a recovery point of {name}: none can be read")),
            None => Error::failed(format!("cannot choose a recovery point of {name}: the repository lists none"))
                .hint(format!("take one with `backup-sla backup {name}`")),
        },
        NoPlan::SeveralPoints => {
            let Some(id) = asked.selection.id() else { return not_there(asked, damaged) };
            Error::configuration(format!("cannot choose recovery point {id}: several ids begin with it"))
                .hint("write more of its id: `backup-sla list` shows them")
        }
        NoPlan::NoSuchPoint | NoPlan::Outside => not_there(asked, damaged),
        NoPlan::Unrestorable(id, why) => unrestorable(asked, &id, why),
        NoPlan::Ambiguous(fulls) => ambiguous(asked, &fulls),
    }
}

fn not_there(asked: &Asked<'_, '_>, mut damaged: Vec<Error>) -> Error {
    let name = &asked.source.name;
    let what = format!("cannot choose a recovery point of {name}: none");
    if !damaged.is_empty() {
        return damaged.swap_remove(0).context(format!("{what} that can be read {}", wanted(asked)));
    }
    Error::configuration(format!("{what} {}", wanted(asked))).hint(there(asked))
}

/// What nothing that is there is.
fn wanted(asked: &Asked<'_, '_>) -> String {
    match asked.selection {
        Selection::Id(id) => format!("matches {id}"),
        Selection::At(time) if asked.chains.has_increments() => {
            format!("covers {}: it is outside of every restore window", shown(*time))
        }
        Selection::At(time) => format!("is of {} or before", shown(*time)),
        Selection::BeforePosition(place) => format!("covers {place}: no increment contains this place"),
        Selection::BeforeGtid(gtid) => format!("covers {gtid}: no increment contains this transaction"),
        Selection::Within(id, _) => format!("matches {id} and contains what is named beside it"),
        Selection::Newest | Selection::Oldest | Selection::Random | Selection::ClosedChain(_) => {
            "can be chosen".to_owned()
        }
    }
}

/// What there is instead.
fn there(asked: &Asked<'_, '_>) -> String {
    let list = format!("`backup-sla list {}` shows", asked.source.name);
    let is_moment =
        asked.selection.is_place() || matches!(asked.selection, Selection::At(_)) && asked.chains.has_increments();
    if is_moment {
        return format!("{}; {list} the recovery points", windows(&asked.chains.windows()));
    }
    let times: Vec<DateTime<Utc>> = asked.chains.dated().map(|point| point.as_of).collect();
    let there = match times.as_slice() {
        [] => "there is none with a right date".to_owned(),
        [only] => format!("the only one is of {}", shown(*only)),
        [oldest, .., newest] => {
            format!("there are {} from {} to {}", times.len(), shown(*oldest), shown(*newest))
        }
    };
    format!("{there}; {list} them by id")
}

/// The restore windows, newest first.
fn windows(windows: &[Window]) -> String {
    let one = |window: &Window| {
        let end = if window.is_instant() { "(one full backup)".to_owned() } else { format!("to {}", shown(window.to)) };
        format!("{} {end}", shown(window.from))
    };
    let each: Vec<String> = windows.iter().rev().take(SHOWN).map(one).collect();
    match (each.is_empty(), windows.len().saturating_sub(SHOWN)) {
        (true, _) => "there is no restore window".to_owned(),
        (_, 0) => format!("restore windows: {}", each.join(", ")),
        (_, more) => format!("restore windows: {}, and {more} older", each.join(", ")),
    }
}

fn ambiguous(asked: &Asked<'_, '_>, fulls: &[RecoveryPointId]) -> Error {
    let what = match asked.selection {
        Selection::BeforePosition(place) => place.to_string(),
        Selection::BeforeGtid(gtid) => gtid.clone(),
        other => format!("{other:?}"),
    };
    let name = &asked.source.name;
    let each = asked.chains.dated().filter(|point| fulls.contains(&point.id));
    let each: Vec<String> = each.map(|full| format!("{} of {}", full.id, shown(full.as_of))).collect();
    Error::configuration(format!(
        "cannot choose a recovery point of {name}: {what} occurs more than once, because the server began its log anew: in the \
         chains of {}",
        each.join(" and ")
    ))
    .hint(format!(
        "add --recovery-point ID, which names the increment, as `backup-sla events` prints it; or use --at TIME; {}", windows(&asked.chains.windows())
    ))
}

fn unrestorable(asked: &Asked<'_, '_>, id: &RecoveryPointId, why: Unrestorable) -> Error {
    let name = &asked.source.name;
    let point = asked.chains.point(id);
    if let Some(point) = point.filter(|it| it.kind == BackupKind::Incremental && !asked.source.engine.has_increments())
    {
        return beyond_engine(asked, point);
    }
    if let (Unrestorable::Physical { full }, Some(point)) = (&why, point) {
        let what = if full == id { "a physical copy" } else { "an increment of a physical copy" };
        return too_new(asked, point, what);
    }
    if let Unrestorable::Unreplayable { .. } = why {
        return Error::failed(format!("cannot use recovery point {id} of {name}: {why}"))
            .hint(format!("restore a recovery point before that{}", instead(asked)));
    }
    Error::failed(format!("cannot use recovery point {id} of {name}: it is an increment whose chain is broken"))
        .because(why)
        .hint(format!("`backup-sla check` finds what is damaged{}", instead(asked)))
}

/// The chain that begins with the full backup `id`, or the newest that can be proved, up to the place of the full backup after it, and
/// that full backup. Errors: there is none.
pub(super) fn closed_chain<'m>(
    asked: &Asked<'_, 'm>,
    id: Option<&RecoveryPointId>,
) -> Result<(Plan<'m>, &'m Manifest)> {
    let name = &asked.source.name;
    let mut unreached = None;
    for (full, closing) in asked.chains.closings().into_iter().rev() {
        match closing {
            _ if id.is_some_and(|id| *id != full.id) => {}
            Closing::Proof { plan, next } => return Ok((plan, next)),
            Closing::Unreached { next } => unreached = unreached.or(Some((full, next))),
            Closing::Open | Closing::Alone => {}
        }
    }
    let error = Error::configuration(format!("cannot prove a closed chain of {name}: there is none"));
    Err(match unreached {
        Some((full, next)) => error.hint(format!(
            "the increments of full backup {} do not reach the next full backup {}: the chain broke between them",
            full.id, next.id
        )),
        None => error.hint("a chain of increments is closed by the next full backup"),
    })
}

/// The error about an increment of a source whose engine cannot replay one.
pub(super) fn beyond_engine(asked: &Asked<'_, '_>, point: &Manifest) -> Error {
    too_new(asked, point, "an incremental backup")
}

/// The error about a recovery point that is sound, as far as anybody knows, and beyond this version.
fn too_new(asked: &Asked<'_, '_>, point: &Manifest, what: &str) -> Error {
    let Manifest { id, created_by, .. } = point;
    Error::inconclusive(format!(
        "cannot use recovery point {id} of {}: it is {what}, which needs a newer version of backup-sla",
        asked.source.name
    ))
    .hint(format!("it was made by {created_by}: use that version or a later one{}", instead(asked)))
}

fn instead(asked: &Asked<'_, '_>) -> String {
    let can_replay = asked.source.engine.has_increments();
    let mut restorable = asked.chains.restorable().filter(|point| can_replay || point.kind == BackupKind::Full);
    restorable.next_back().map_or(String::new(), |point| {
        let as_of = shown(point.as_of);
        format!("; the newest that this version can restore is of {as_of}: --recovery-point {}", point.id)
    })
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
