//! Looking without touching: what the repositories list, how much room they have, which sandboxes exist. Recovery points
//! are never remembered from a success, they are read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::expectations::{is_expected, look_at_repository};
use super::identity::{AnotherRepository, is_known};
use super::ledger_health::{LedgerHealth, look_at_ledger};
use super::listing::{know, refresh_points_of};
use crate::app::{App, Source};
use crate::error::{Error, Result, Side};
use crate::repository::Listing;
use crate::state::service::{RepositoryState, ServiceState};

/// What was seen of one source.
#[derive(Debug)]
pub struct Observation {
    /// Of its repository, as far as this source's part of it was looked at; nothing is known of one that is not there
    /// yet, before the first backup.
    pub state: RepositoryState,
    /// What the repository lists; none where there is no repository yet, and where it could not be read.
    pub listing: Option<Listing>,
    /// Why the repository is not as it should be.
    pub trouble: Option<Error>,
    /// Why what was seen could not be written down: says nothing about the repository.
    pub unrecorded: Option<Error>,
}

/// Read what the repository lists for `source` into the ledger, and what room it has. Trouble is logged.
pub fn observe(app: &App, source: &Source) -> Observation {
    let mut seen = look(app, source);
    if seen.state.up.is_some() {
        measure(source, &mut seen.state);
    }
    seen.state.last_look = Some(app.clock.wall());
    seen
}

/// Everything that the service knows beside the ledger and that only looking tells.
#[derive(Debug, Default)]
pub struct Census {
    /// By name.
    pub repositories: BTreeMap<String, RepositoryState>,
    /// Sandboxes that exist now; none where they could not be counted.
    pub sandboxes: Option<Sandboxes>,
    /// Why nothing can be written to the state directory, if that is so.
    pub state_trouble: Option<String>,
    /// Whether the ledger can be believed; none where it could not be compared with its seals.
    pub ledger: Option<LedgerHealth>,
}

/// Sandboxes of all kinds, whoever made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sandboxes {
    /// How many there are.
    pub count: u64,
    /// When the oldest was made.
    pub oldest: Option<DateTime<Utc>>,
}

impl Census {
    /// Have it shown. What could not be counted stays as it was.
    pub fn show(self, service: &mut ServiceState) {
        service.repositories = self.repositories;
        service.state_trouble = self.state_trouble;
        if let Some(ledger) = self.ledger {
            ledger.show(service);
        }
        if let Some(sandboxes) = self.sandboxes {
            sandboxes.show(service);
        }
    }
}

impl Sandboxes {
    /// Have them shown.
    pub fn show(self, service: &mut ServiceState) {
        (service.sandboxes, service.oldest_sandbox) = (self.count, self.oldest);
    }
}

/// [`observe`] all sources, each repository once, one after the other, and count the sandboxes.
pub fn observe_all(app: &App) -> Census {
    // Before anything is written.
    let ledger = look_at_ledger(app).map_err(|error| {
        tracing::error!(hint = error.hint_text(), "cannot compare the ledger with its seals: {error}");
    });
    let _ = prepare(app);
    let mut unwritable = app.check_state().err();
    let mut repositories = BTreeMap::new();
    for (name, sources) in by_repository(app) {
        let seen = observe_repository(app, &sources);
        unwritable = unwritable.or(seen.unrecorded);
        repositories.insert(name, seen.state);
    }
    let sandboxes = count_sandboxes(app).map_err(|error| {
        tracing::error!(hint = error.hint_text(), "cannot count sandboxes: {error}");
    });
    let state_trouble = unwritable.map(|error| {
        tracing::error!(hint = error.hint_text(), "cannot write to the state directory: {error}");
        in_words(&error)
    });
    Census { repositories, sandboxes: sandboxes.ok(), state_trouble, ledger: ledger.ok() }
}

/// Before a round of looks: let the ledger know all sources. Trouble is logged.
pub fn prepare(app: &App) -> Result<()> {
    let sources: Vec<Source> = app.built_sources().collect();
    know(app, &sources.iter().collect::<Vec<_>>())
        .inspect_err(|error| tracing::error!(hint = error.hint_text(), "cannot record sources: {error}"))
}

/// The sources of each repository.
pub fn by_repository(app: &App) -> BTreeMap<String, Vec<Source>> {
    let mut sharing: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for source in app.built_sources() {
        sharing.entry(source.repository_name.clone()).or_default().push(source);
    }
    sharing
}

/// [`observe`] all `sources` of one repository (there is one at least), which is asked once.
pub fn observe_repository(app: &App, sources: &[Source]) -> Observation {
    let all: Vec<&Source> = sources.iter().collect();
    let mut seen = judge(app, all[0], look_at_all(app, &all));
    if seen.state.up.is_some() {
        measure(all[0], &mut seen.state);
    }
    seen.state.last_look = Some(app.clock.wall());
    seen
}

/// An error and what to do about it, as it is shown.
pub fn in_words(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    }
}

/// [`look_at_repository`] for all sources of one repository at once.
fn look_at_all(app: &App, sources: &[&Source]) -> Result<Option<Listing>> {
    let source = sources[0];
    if !is_expected(app, source)? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    refresh_points_of(app, sources).map(Some)
}

fn look(app: &App, source: &Source) -> Observation {
    if let Err(error) = know(app, &[source]) {
        tracing::error!(source = %source.name, hint = error.hint_text(), "cannot record source: {error}");
    }
    judge(app, source, look_at_repository(app, source).map(|listed| listed.map(|listed| listed.own)))
}

/// What a look at the repository of `source` says of its state.
fn judge(app: &App, source: &Source, looked: Result<Option<Listing>>) -> Observation {
    let mut seen = Observation { state: RepositoryState::default(), listing: None, trouble: None, unrecorded: None };
    let looked = match looked {
        // What it lists could not be written down, or it was not asked at all: it is asked by itself.
        Err(error) if error.side() == Some(Side::State) => {
            seen.unrecorded = Some(error);
            look_only(app, source)
        }
        looked => looked,
    };
    match looked {
        // Before the first backup there is nothing to be up or down.
        Ok(None) => return seen,
        Ok(Some(mut listing)) => {
            seen.trouble = listing.damaged.pop();
            // Damage is found by a key that fits.
            seen.state.key_available = Some(true);
            seen.listing = Some(listing);
        }
        Err(error) => {
            // Where there is nothing to open, no key was refused; and one that opens another repository says nothing of ours.
            let is_there = source.repository.exists().unwrap_or(false) && !AnotherRepository::is_why(&error);
            seen.state.key_available = is_there.then(|| source.repository.open_existing().is_ok());
            seen.trouble = Some(error);
        }
    }
    seen.state.up = Some(seen.trouble.is_none());
    if let Some(error) = &seen.trouble {
        let repository = &source.repository_name;
        tracing::error!(%repository, hint = error.hint_text(), "cannot list repository: {error}");
    }
    seen
}

/// What the repository lists, and nothing of it written down.
fn look_only(app: &App, source: &Source) -> Result<Option<Listing>> {
    if !source.repository.exists()? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    if is_known(app, source)?.is_none() {
        return Ok(None);
    }
    source.repository.listing(None).map(Some)
}

fn measure(source: &Source, state: &mut RepositoryState) {
    match source.repository.space() {
        Ok(space) => (state.size_bytes, state.available_bytes) = (space.occupied, space.available),
        Err(error) => {
            let repository = &source.repository_name;
            tracing::warn!(%repository, hint = error.hint_text(), "cannot measure repository: {error}");
        }
    }
}

/// Count the sandboxes that exist. Sources share those of a kind: each kind is asked once.
pub fn count_sandboxes(app: &App) -> Result<Sandboxes> {
    let mut all = Sandboxes::default();
    let mut asked = BTreeSet::new();
    for source in app.built_sources() {
        if asked.insert(source.sandbox.kind()) {
            for made in source.sandbox.existing()? {
                all.count += 1;
                all.oldest = Some(all.oldest.map_or(made, |oldest| oldest.min(made)));
            }
        }
    }
    Ok(all)
}
