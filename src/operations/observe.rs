//! Look at a repository: what it lists, and whether it can be read at all.

use super::look_at_repository;
use crate::app::{App, Source};
use crate::exporter::service_state::{RepositoryState, ServiceState};

/// What was seen.
#[derive(Debug)]
pub struct Observation {
    repository: String,
    state: Option<RepositoryState>,
}

/// Ask the repository of `source` what it lists and write that to the ledger.
pub fn observe(app: &App, source: &Source) -> Observation {
    let opened = match look_at_repository(app, source) {
        // Before the first backup there is nothing to be up or down.
        Ok(None) => return Observation { repository: source.repository_name.clone(), state: None },
        Ok(Some(mut listing)) => listing.damaged.pop().map_or(Ok(()), Err),
        Err(error) => Err(error),
    };
    if let Err(error) = &opened {
        tracing::error!(source = %source.name, hint = error.hint_text(), "look at repository: {error}");
    }
    let state =
        RepositoryState { up: Some(opened.is_ok()), key_available: Some(opened.is_ok()), ..RepositoryState::default() };
    Observation { repository: source.repository_name.clone(), state: Some(state) }
}

impl Observation {
    /// Let those who watch know.
    pub fn note_in(&self, service: &mut ServiceState) {
        if let Some(state) = self.state {
            service.repositories.insert(self.repository.clone(), state);
        }
    }
}
