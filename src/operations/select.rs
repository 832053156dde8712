//! Which recovery point to restore.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::listing::refresh_points;
use super::ownership::{Others, Whose, refusal};
use super::refusals::{Asked, beyond_engine, closed_chain, refuse};
pub use super::selection::Selection;
pub use super::suspects::{Suspects, split_suspects, suspicion};
use crate::app::{App, Source};
use crate::domain::chain::{Chains, NoPlan, Plan, Until};
use crate::domain::manifest::Manifest;
use crate::engine::{Opener, Proving, StoredIncrement, StoredPoint};
use crate::error::{Error, Result};
use crate::repository::{Listing, Published};

/// What was chosen.
pub struct Selected {
    /// The recovery point, or the one within which replay stops: the last increment, or the full.
    pub published: Published,
    /// The full that its line begins with.
    pub full: Manifest,
    /// What is replayed on top of it, in order.
    pub increments: Vec<Manifest>,
    /// Where in the last of them replay stops.
    pub until: Until,
    /// The full backup that stands where replay stops, if it is held against that.
    pub proved_by: Option<Manifest>,
    /// Whether an increment continues that full backup.
    pub is_continued: bool,
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
        damaged.chain(passed_over).chain(self.full.not_in_it()).collect()
    }
}

/// Choose a recovery point of `source` from what the repository lists now, of the host that `whose` means.
pub fn select(app: &App, source: &Source, selection: &Selection, whose: Whose<'_>) -> Result<Selected> {
    let listed = refresh_points(app, source)?;
    if let (Some(id), Whose::Own | Whose::Unsaid) = (selection.id(), whose)
        && !listed.own.points.iter().any(|point| point.manifest.id.0.starts_with(&id.0))
        && let Some(refusal) = refusal(&listed, source, id)
    {
        return Err(refusal);
    }
    let not_considered = listed.notes(source, whose);
    // Whoever names a recovery point means that one.
    let others = (whose == Whose::Unsaid && selection.id().is_none()).then(|| Others::of(&listed));
    let listing = listed.of_host(source, whose)?;
    let suspects = Suspects::of(app, source)?;
    let mut selected = choose(source, listing, (selection, &suspects), others.as_ref())?;
    selected.not_considered = not_considered;
    Ok(selected)
}

fn choose(
    source: &Source,
    listing: Listing,
    (selection, suspects): (&Selection, &Suspects),
    others: Option<&Others>,
) -> Result<Selected> {
    let Listing { points, damaged, .. } = listing;
    let is_suspect = |manifest: &Manifest| suspects.contains(manifest);
    let chains = Chains::of(points.iter().map(|point| &point.manifest), is_suspect);
    let asked = Asked { source, selection, chains: &chains };
    let (plan, proved_by) = match selection {
        Selection::ClosedChain(full) => {
            let (plan, next) = closed_chain(&asked, full.as_ref())?;
            (Ok(plan), Some(next))
        }
        _ => (chains.plan(&selection.target()), None),
    };
    let suspect = suspects.said(&points, selection, plan.as_ref().ok());
    if let (Err(NoPlan::Empty), Some(said)) = (&plan, suspect.last()) {
        return Err(suspects.nothing_else(source, &points, said));
    }
    if let Some(others) = others.filter(|_| is_meant_by_time(selection, &plan)) {
        let chosen = plan.as_ref().ok().map(|plan| (&plan.newest().id, plan.as_of()));
        let until = if let Selection::At(time) = selection { Some(*time) } else { None };
        others.are_not_meant(source, chosen, until)?;
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(why) => return Err(refuse(&asked, why, damaged)),
    };
    if !plan.increments.is_empty() && !source.engine.has_increments() {
        return Err(beyond_engine(&asked, plan.newest()));
    }
    let (full, until) = (plan.full.clone(), plan.until.clone());
    let increments: Vec<Manifest> = plan.increments.iter().map(|increment| (*increment).clone()).collect();
    let newest = &plan.newest().id;
    let published = points.iter().find(|point| point.manifest.id == *newest).cloned();
    let Some(published) = published else { return Err(refuse(&asked, NoPlan::NoSuchPoint, damaged)) };
    let suspect = suspect.into_iter().map(|(_, said)| said).collect();
    let is_continued = proved_by.is_some_and(|next| chains.is_continued(&next.id));
    let proved_by = proved_by.cloned();
    Ok(Selected { published, full, increments, until, proved_by, is_continued, damaged, not_considered: None, suspect })
}

/// Whether another host's recovery point could be meant as well: nobody gives a place in its log or a GTID by mistake.
fn is_meant_by_time(selection: &Selection, plan: &Result<Plan<'_>, NoPlan>) -> bool {
    !selection.is_place() && matches!(plan, Ok(_) | Err(NoPlan::Outside | NoPlan::NoSuchPoint))
}

/// Open what was chosen for a restore.
pub fn open(source: &Source, selected: &Selected) -> StoredPoint {
    let opener = |manifest: &Manifest| -> Opener {
        let (repository, name, id) = (source.repository.clone(), source.name.clone(), manifest.id.clone());
        Arc::new(move |path| repository.open(&name, &id, path))
    };
    let increment = |manifest: &Manifest| StoredIncrement { manifest: manifest.clone(), open: opener(manifest) };
    StoredPoint {
        increments: selected.increments.iter().map(increment).collect(),
        until: selected.until.clone(),
        proved_by: selected.proved_by.as_ref().map(|full| {
            let is_continued = selected.is_continued;
            Box::new(Proving { full: StoredPoint::full(full.clone(), opener(full)), is_continued })
        }),
        ..StoredPoint::full(selected.full.clone(), opener(&selected.full))
    }
}
