//! Whether a repository is the one that it was: one that somebody put in its place opens with the same password, lists what it
//! likes under the same names, and would take the new backups.

use std::collections::BTreeMap;

use super::refresh_points;
use crate::app::{App, Source};
use crate::error::{Error, Result, Side};
use crate::ledger::Adopted;

/// Why a repository is refused: it is another one. A type, because what is said of a backup that is not in it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnotherRepository;

impl std::fmt::Display for AnotherRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not the repository that the backups were made in")
    }
}

impl std::error::Error for AnotherRepository {}

impl AnotherRepository {
    /// Whether this is why something failed.
    pub fn is_why(error: &Error) -> bool {
        error.cause::<Self>().is_some()
    }
}

/// [`check_identity`] where nothing can be written down: whether it is the repository that the ledger knows. Where nobody can
/// tell, there is no answer.
pub(super) fn is_known(app: &App, source: &Source) -> Result<Option<()>> {
    let name = &source.repository_name;
    let Some(found) = source.repository.identity()? else { return Ok(Some(())) };
    match app.block_on(app.ledger.meant_repository(name)) {
        Ok(Some(meant)) => refuse_another(source, &found, &meant).map(Some),
        Ok(None) => Ok(Some(())),
        Err(_) => Ok(None),
    }
}

/// Refuse another repository than the one that the ledger knows by this name; the first one is adopted.
pub(super) fn check_identity(app: &App, source: &Source) -> Result<()> {
    let name = &source.repository_name;
    let Some(found) = source.repository.identity()? else { return Ok(()) };
    let adopted = app.block_on(app.ledger.adopt(name, &found))?;
    if adopted.is_new {
        tracing::info!(
            repository = %name,
            "repository {name} at {} is the one with the id {}: nothing was known of it before, and from now on another one in \
             its place is refused",
            source.repository.location(),
            short(&found)
        );
    }
    refuse_another(source, &found, &adopted)
}

fn refuse_another(source: &Source, found: &str, adopted: &Adopted) -> Result<()> {
    if adopted.identity == found {
        return Ok(());
    }
    let name = &source.repository_name;
    let what = format!(
        "cannot use repository {name} at {}: it is another one (id {}) than before (id {}, known since {})",
        source.repository.location(),
        short(found),
        short(&adopted.identity),
        adopted.since.format("%F %T UTC")
    );
    Err(Error::failed(what).because(AnotherRepository).on(Side::Repository).hint(format!(
        "put back or mount the repository of before; if it was replaced on purpose, run `backup-sla accept-repository {name}`"
    )))
}

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
    let repository = app.repository(name).ok_or_else(|| unknown(name))?;
    repository.open_existing()?;
    let identity = repository
        .identity()?
        .ok_or_else(|| Error::configuration(format!("repository {name} is of a kind that has no id")))?;
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
        return Err(unknown(name));
    }
    for source in app.built_sources().filter(|source| source.repository_name == name) {
        refresh_points(app, &source)?;
    }
    let gone_points = app.block_on(app.ledger.accept_gone_points(name))?;
    for (source, points) in &gone_points {
        tracing::warn!(%source, repository = %name, "{points} recovery points that are gone were accepted as gone on purpose");
    }
    Ok(AcceptedPoints { repository: name.to_owned(), gone_points })
}

fn unknown(name: &str) -> Error {
    Error::configuration(format!("unknown repository {name}"))
        .hint("name a repository of the configuration; `backup-sla list` shows which source uses which")
}

/// Enough to tell two apart, as restic shows it.
pub fn short(identity: &str) -> &str {
    identity.get(..10).unwrap_or(identity)
}
