//! Whether a repository is the one that it was: one that somebody put in its place opens with the same password, lists what it
//! likes under the same names, and would take the new backups.

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
            "repository {name} at {} has id {}: from now on, another repository in its place is refused",
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
        "cannot use repository {name} at {}: another repository is there (id {}) than before (id {}, known since {})",
        source.repository.location(),
        short(found),
        short(&adopted.identity),
        adopted.since.format("%F %T UTC")
    );
    Err(Error::failed(what).because(AnotherRepository).on(Side::Repository).hint(format!(
        "mount or put back the earlier one; if it was replaced on purpose, run `backup-sla accept-repository {name}`"
    )))
}

/// Enough to tell two apart, as restic shows it.
pub fn short(identity: &str) -> &str {
    identity.get(..10).unwrap_or(identity)
}
