//! Whether there should be a repository, and what is done where it is not there.

use super::identity::check_identity;
use super::listing::refresh_points;
use super::ownership::Listed;
use crate::app::{App, Source};
use crate::error::Result;

/// Make ready to write to the repository, and create it only for its very first backup: a place that was in use and is
/// empty now is a disk that is not mounted, and a new repository there would hide that every backup is gone.
///
/// Errors: its kind is only read.
pub fn prepare_repository(app: &App, source: &Source) -> Result<()> {
    let storing = source.repository.storing()?;
    if was_used(app, source)? && !source.repository.exists()? {
        return source.repository.open_existing().map_err(|error| {
            let missing = "is missing or cannot be opened, but earlier backups were recorded in it";
            error.context(format!("repository {} {missing}", source.repository_name)).hint(
                "mount its file system; a repository that is meant to be new needs a new name in the configuration",
            )
        });
    }
    // Nothing is written to another one, not even what makes it ready.
    if source.repository.exists()? {
        check_identity(app, source)?;
    }
    storing.prepare()?;
    check_identity(app, source)
}

/// Look at the repository without changing anything. None where there is none, as it should be before its first backup.
pub fn look_at_repository(app: &App, source: &Source) -> Result<Option<Listed>> {
    if !is_expected(app, source)? {
        return Ok(None);
    }
    source.repository.open_existing()?;
    let mut listed = refresh_points(app, source)?;
    listed.own.damaged.extend(source.repository.incomplete()?);
    Ok(Some(listed))
}

/// Whether there is a repository, or there should be one.
pub(super) fn is_expected(app: &App, source: &Source) -> Result<bool> {
    Ok(source.repository.exists()? || was_used(app, source)?)
}

fn was_used(app: &App, source: &Source) -> Result<bool> {
    app.block_on(app.ledger.has_backups_in(&source.repository_name))
}
