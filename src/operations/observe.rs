//! Looking without touching: what the repositories list, how much room they have, which sandboxes exist. Recovery points
//! are never remembered from a success, they are read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{know, look_at_repository};
use crate::app::{App, Source};
use crate::error::{Error, Result};
use crate::exporter::service_state::{RepositoryState, ServiceState};
use crate::repository::Listing;

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
}

/// Read what the repository lists for `source` into the ledger, and what room it has. Trouble is logged.
pub fn observe(app: &App, source: &Source) -> Observation {
    let mut seen = look(app, source);
    if seen.state.up.is_some() {
        measure(source, &mut seen.state);
    }
    seen
}

/// Everything that the service knows beside the ledger and that only looking tells.
#[derive(Debug, Default)]
pub struct Census {
    /// By name; only those that are there or should be.
    pub repositories: BTreeMap<String, RepositoryState>,
    /// Sandboxes that exist now; none where they could not be counted.
    pub sandboxes: Option<Sandboxes>,
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

/// [`observe`] all sources, and count the sandboxes.
pub fn observe_all(app: &App) -> Census {
    let mut repositories: BTreeMap<String, RepositoryState> = BTreeMap::new();
    for source in app.config.sources.keys().filter_map(|name| app.source(name).ok()) {
        let seen = look(app, &source);
        if seen.state.up.is_none() {
            continue;
        }
        let state = repositories.entry(source.repository_name.clone()).or_insert_with(|| {
            let mut state = seen.state;
            measure(&source, &mut state);
            state
        });
        // It is up if every source can read its part, and the key is there if it opened it for anyone.
        state.up = state.up.min(seen.state.up);
        state.key_available = state.key_available.max(seen.state.key_available);
    }
    let sandboxes = count_sandboxes(app).map_err(|error| {
        tracing::error!(hint = error.hint_text(), "count sandboxes: {error}");
    });
    Census { repositories, sandboxes: sandboxes.ok() }
}

fn look(app: &App, source: &Source) -> Observation {
    if let Err(error) = know(app, source) {
        tracing::error!(source = %source.name, hint = error.hint_text(), "record source: {error}");
    }
    let mut seen = Observation { state: RepositoryState::default(), listing: None, trouble: None };
    match look_at_repository(app, source) {
        // Before the first backup there is nothing to be up or down.
        Ok(None) => return seen,
        Ok(Some(mut listing)) => {
            seen.trouble = listing.damaged.pop();
            // Damage is found by a key that fits.
            seen.state.key_available = Some(true);
            seen.listing = Some(listing);
        }
        Err(error) => {
            // Where there is nothing to open, no key was refused.
            let is_there = source.repository.exists().unwrap_or(false);
            seen.state.key_available = is_there.then_some(false);
            seen.trouble = Some(error);
        }
    }
    seen.state.up = Some(seen.trouble.is_none());
    if let Some(error) = &seen.trouble {
        tracing::error!(source = %source.name, hint = error.hint_text(), "look at repository: {error}");
    }
    seen
}

fn measure(source: &Source, state: &mut RepositoryState) {
    match source.repository.space() {
        Ok(space) => (state.size_bytes, state.available_bytes) = (space.occupied, space.available),
        Err(error) => {
            let repository = &source.repository_name;
            tracing::warn!(%repository, hint = error.hint_text(), "measure repository: {error}");
        }
    }
}

/// Count the sandboxes that exist. Sources share those of a kind: each kind is asked once.
pub fn count_sandboxes(app: &App) -> Result<Sandboxes> {
    let mut all = Sandboxes::default();
    let mut asked = BTreeSet::new();
    for source in app.config.sources.keys().filter_map(|name| app.source(name).ok()) {
        if asked.insert(source.sandbox.kind()) {
            for made in source.sandbox.existing()? {
                all.count += 1;
                all.oldest = Some(all.oldest.map_or(made, |oldest| oldest.min(made)));
            }
        }
    }
    Ok(all)
}
