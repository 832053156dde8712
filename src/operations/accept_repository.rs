//! What somebody says was meant: another repository, or recovery points that are gone.

use std::collections::BTreeMap;

use super::listing::refresh_points;
use crate::app::App;
use crate::error::{Error, Result};

/// What [`accept`] did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// Name of the repository in the configuration.
    pub repository: String,
    /// The id that it has now.
    pub identity: String,
    /// The id that it had; none where nothing was known of it.
    pub before: Option<String>,
}

/// Take the repository that is there now for the one that `name` means.
pub fn accept(app: &App, name: &str) -> Result<Accepted> {
    let repository = app.repository(name).ok_or_else(|| unknown(app, name))?;
    repository.open_existing()?;
    let identity = repository.identity()?.ok_or_else(|| {
        Error::configuration(format!("cannot accept repository {name}: its kind has no id to tell it by"))
    })?;
    let before = app.block_on(app.ledger.accept(name, &identity))?;
    Ok(Accepted { repository: name.to_owned(), identity, before })
}

/// Recovery points that somebody said are gone on purpose.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AcceptedPoints {
    /// Name of the repository in the configuration.
    pub repository: String,
    /// By source: how many. What is not in it had none.
    pub gone_points: BTreeMap<String, u64>,
}

/// Points of `name` that are gone before their retention are gone on purpose. What the repository lists now is read first.
pub fn accept_gone_points(app: &App, name: &str) -> Result<AcceptedPoints> {
    if app.repository(name).is_none() {
        return Err(unknown(app, name));
    }
    for source in app.built_sources().filter(|source| source.repository_name == name) {
        refresh_points(app, &source)?;
    }
    let gone_points = app.block_on(app.ledger.accept_gone_points(name))?;
    for (source, points) in &gone_points {
        tracing::warn!(%source, repository = %name, "{points} missing recovery points were accepted as removed on purpose");
    }
    Ok(AcceptedPoints { repository: name.to_owned(), gone_points })
}

fn unknown(app: &App, name: &str) -> Error {
    let known: Vec<&str> = app.config.repositories.keys().map(String::as_str).collect();
    Error::configuration(format!("unknown repository {name}"))
        .hint(format!("the configuration has {}", known.join(", ")))
}
