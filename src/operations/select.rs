//! Which recovery point to restore.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};

use super::listing::refresh_points;
use super::ownership::{Others, Whose, refusal};
use crate::app::{App, Source};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::domain::order::is_to_come;
use crate::domain::promise::Promise;
use crate::engine::StoredPoint;
use crate::error::{Error, Result};
use crate::repository::{Listing, Published};

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
    /// The newest that is not newer than this.
    At(DateTime<Utc>),
}

/// What was chosen.
pub struct Selected {
    /// The recovery point.
    pub published: Published,
    /// What the repository has and cannot be read: a newer one may be among it.
    pub damaged: Vec<Error>,
    /// What of other hosts, or of none, was not considered.
    pub not_considered: Option<String>,
    /// What was not considered, or was chosen by name, although its date cannot be right.
    pub suspect: Vec<String>,
}

impl Selected {
    /// One sentence per thing that cannot be read, and per thing that the backup has not.
    pub fn warnings(&self) -> Vec<String> {
        let damaged = self.damaged.iter().map(|error| format!("{error}; a newer recovery point may be lost with it"));
        let passed_over = self.not_considered.iter().chain(&self.suspect).cloned();
        damaged.chain(passed_over).chain(self.published.manifest.not_in_it()).collect()
    }
}

/// Choose a recovery point of `source` from what the repository lists now, of the host that `whose` means.
pub fn select(app: &App, source: &Source, selection: &Selection, whose: Whose<'_>) -> Result<Selected> {
    let listed = refresh_points(app, source)?;
    if let (Selection::Id(id), Whose::Own | Whose::Unsaid) = (selection, whose)
        && by_name(&listed.own.points, id)?.is_none()
        && let Some(refusal) = refusal(&listed, source, id)
    {
        return Err(refusal);
    }
    let not_considered = listed.notes(source, whose);
    // Whoever names a recovery point means that one.
    let others = (whose == Whose::Unsaid && !matches!(selection, Selection::Id(_))).then(|| Others::of(&listed));
    let mut listing = listed.of_host(source, whose)?;
    let suspect = pass_over_suspects(app, source, &mut listing, selection)?;
    let restorable = listing.points.iter().rev().find(|point| is_restorable(&point.manifest));
    let instead = restorable.map(|point| (point.manifest.id.clone(), point.manifest.as_of));
    let selected = choose(source, listing, selection, others.as_ref())?;
    if !is_restorable(&selected.published.manifest) {
        return Err(too_new(source, &selected.published.manifest, instead));
    }
    Ok(Selected { not_considered, suspect, ..selected })
}

/// Whether this version can restore and prove it: a full whose contents are known exactly.
fn is_restorable(manifest: &Manifest) -> bool {
    manifest.kind == BackupKind::Full && matches!(manifest.promise, Promise::Exact(_))
}

/// The error about a recovery point that is sound, as far as anybody knows, and beyond this version.
fn too_new(source: &Source, manifest: &Manifest, instead: Option<(RecoveryPointId, DateTime<Utc>)>) -> Error {
    let Manifest { id, created_by, .. } = manifest;
    let what = if manifest.kind == BackupKind::Incremental { "an incremental backup" } else { "a physical copy" };
    let other = instead.map_or(String::new(), |(id, as_of)| {
        let as_of = as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("; the newest that this version can restore is of {as_of}: --recovery-point {id}")
    });
    Error::inconclusive(format!(
        "cannot use recovery point {id} of {}: it is {what}, which needs a newer version of backup-sla",
        source.name
    ))
    .hint(format!("it was made by {created_by}: use that version or a later one{other}"))
}

/// Take out what is dated by a wrong clock, unless it was asked for by its name. What is said of it is given back.
fn pass_over_suspects(app: &App, source: &Source, listing: &mut Listing, selection: &Selection) -> Result<Vec<String>> {
    let now = app.clock.wall();
    if let Selection::Id(id) = selection {
        let named = by_name(&listing.points, id)?.map(|at| listing.points[at].clone());
        let (suspect, _) = split_suspects(app, source, named.into_iter().collect())?;
        return Ok(suspect.iter().map(|point| suspicion(point, now)).collect());
    }
    let (suspect, sound) = split_suspects(app, source, std::mem::take(&mut listing.points))?;
    listing.points = sound;
    let Some(last) = suspect.last().filter(|_| listing.points.is_empty()) else {
        return Ok(suspect.iter().map(|point| format!("{}; it was not considered", suspicion(point, now))).collect());
    };
    let what =
        format!("cannot choose a recovery point of {}: {}, and there is no other", source.name, suspicion(last, now));
    // It may as well be the clock of today that is wrong: nothing is known to be bad.
    Err(Error::inconclusive(what).hint(format!(
        "check the clock of this host (`timedatectl`); to use it anyway, name it: --recovery-point {}",
        last.manifest.id
    )))
}

/// Points whose date cannot be right, and the others.
pub fn split_suspects(app: &App, source: &Source, points: Vec<Published>) -> Result<(Vec<Published>, Vec<Published>)> {
    let (known, now) = (app.block_on(app.ledger.suspect_points(&source.name))?, app.clock.wall());
    let is_suspect = |point: &Published| known.contains(&point.manifest.id.0) || is_to_come(point.manifest.as_of, now);
    Ok(points.into_iter().partition(is_suspect))
}

/// Why a point is suspect.
pub fn suspicion(point: &Published, now: DateTime<Utc>) -> String {
    let Manifest { id, as_of, .. } = &point.manifest;
    let as_of = as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
    if is_to_come(point.manifest.as_of, now) {
        format!(
            "recovery point {id} is dated {as_of}, in the future: the clock was wrong when it was made, or is wrong now"
        )
    } else {
        format!("recovery point {id} is dated {as_of}, older than a backup published before it: a clock was wrong")
    }
}

fn choose(source: &Source, listing: Listing, selection: &Selection, others: Option<&Others>) -> Result<Selected> {
    let Listing { points: mut published, mut damaged, .. } = listing;
    let times = published.first().zip(published.last()).map(|(a, b)| (a.manifest.as_of, b.manifest.as_of));
    let Some((oldest, newest)) = times else {
        if let Some(error) = damaged.pop() {
            return Err(error.context(format!("cannot choose a recovery point of {}: none can be read", source.name)));
        }
        return Err(Error::failed(format!(
            "cannot choose a recovery point of {}: the repository lists none",
            source.name
        ))
        .hint(format!("take one with `backup-sla backup {}`", source.name)));
    };
    let at = match selection {
        Selection::Newest => Some(published.len() - 1),
        Selection::Oldest => Some(0),
        Selection::Random => Some(any(published.len())),
        // People type the seconds that they were shown.
        Selection::At(time) => published.iter().rposition(|p| p.manifest.as_of.trunc_subsecs(0) <= *time),
        Selection::Id(id) => by_name(&published, id)?,
    };
    if let Some(others) = others {
        let until = if let Selection::At(time) = selection { Some(*time) } else { None };
        others.are_not_meant(source, at.map(|at| &published[at]), until)?;
    }
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let there = match published.len() {
        1 => format!("the only one is of {}", shown(newest)),
        many => format!("there are {many} from {} to {}", shown(oldest), shown(newest)),
    };
    let range = format!("{there}; `backup-sla list {}` shows them by id", source.name);
    match at {
        Some(at) => {
            Ok(Selected { published: published.swap_remove(at), damaged, not_considered: None, suspect: Vec::new() })
        }
        None if !damaged.is_empty() => {
            let what = format!(
                "cannot choose a recovery point of {}: none that can be read {}",
                source.name,
                wanted(selection)
            );
            Err(damaged.swap_remove(0).context(what))
        }
        None => {
            let what = format!("cannot choose a recovery point of {}: none {}", source.name, wanted(selection));
            Err(Error::configuration(what).hint(range))
        }
    }
}

fn wanted(selection: &Selection) -> String {
    match selection {
        Selection::Id(id) => format!("matches {id}"),
        Selection::At(time) => format!("is of {} or before", time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        Selection::Newest | Selection::Oldest | Selection::Random => "can be chosen".to_owned(),
    }
}

fn by_name(published: &[Published], id: &RecoveryPointId) -> Result<Option<usize>> {
    let found: Vec<usize> = (0..published.len()).filter(|at| published[*at].manifest.id.0.starts_with(&id.0)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(Error::configuration(format!("cannot choose recovery point {id}: several ids begin with it"))
            .hint("write more of its id: `backup-sla list` shows them")),
    }
}

/// A number below `count`, different from call to call.
fn any(count: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};
    usize::try_from(RandomState::new().hash_one(count) % count as u64).unwrap_or(0)
}

/// Open a published backup for a restore.
pub fn open(source: &Source, published: &Published) -> StoredPoint {
    let (repository, name) = (source.repository.clone(), source.name.clone());
    let id = published.manifest.id.clone();
    StoredPoint::full(published.manifest.clone(), Arc::new(move |path| repository.open(&name, &id, path)))
}
