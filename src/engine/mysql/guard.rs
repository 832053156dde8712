//! What must hold before anything is loaded: the destination is of the right product, is not the source, and is empty
//! where the backup would write. `--overwrite` is the operator's word that it may be otherwise.

use super::account::Account;
use super::connection::Session;
use super::destination;
use super::names;
use super::programs;
use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::LoadOptions;
use crate::error::{Error, Result};

/// Check the destination; returns what should be known but does not forbid the load.
pub fn check(source: &Account, to: &Account, manifest: &Manifest, options: &LoadOptions) -> Result<Vec<String>> {
    let mut session = Session::open(to)?;
    let server = session.identity()?;
    if server.product != manifest.server.product {
        return Err(Error::failed(format!(
            "cannot restore to {}: it is {}, the backup is of {} {}",
            to.describe(),
            server.product,
            manifest.server.product,
            manifest.server.version
        ))
        .hint("restore to a server of the same product; the stored file is plain SQL if you must convert it"));
    }
    let mut warnings = Vec::new();
    if server.series != manifest.server.series {
        warnings.push(format!(
            "the destination is {} {}, the backup is of {}",
            server.product, server.version, manifest.server.version
        ));
    }
    if !options.overwrite {
        let occupied = occupied(&mut session, manifest, options)?;
        if is_source(source, to, &mut session, !occupied.is_empty(), &mut warnings)? {
            let what = if options.tables.is_empty() { "the live data".to_owned() } else { options.tables.join(", ") };
            return Err(Error::failed(format!(
                "cannot restore to {}: it is the source itself, or has its address",
                to.describe()
            ))
            .hint(format!("restore to another server; --overwrite replaces {what}")));
        }
        if !occupied.is_empty() {
            return Err(Error::failed(format!("cannot restore to {}: it already has {occupied}", to.describe()))
                .hint("restore to an empty server, or replace what is there with --overwrite"));
        }
    }
    destination::check(&mut session, to, manifest, options)?;
    Ok(warnings)
}

/// Whether both are the same running server. A source that cannot be asked may refuse only its own account (in a
/// disaster it is usually gone): then the addresses must do, unless nothing of the backup is there: a new data directory in
/// the old place.
fn is_source(
    source: &Account,
    to: &Account,
    destination: &mut Session,
    occupied: bool,
    warnings: &mut Vec<String>,
) -> Result<bool> {
    const IDENTITY: &str = "SELECT CONCAT_WS('|', @@hostname, @@port, @@datadir, @@pid_file, @@socket)";
    match Session::open(source) {
        Ok(mut session) => Ok(session.value(IDENTITY)? == destination.value(IDENTITY)?),
        Err(_) if source.has_address_of(to) => Ok(occupied),
        Err(error) => {
            warnings.push(format!("cannot tell whether the destination is the source itself: {error}"));
            Ok(false)
        }
    }
}

/// First few things at the destination that the load would collide with.
fn occupied(session: &mut Session, manifest: &Manifest, options: &LoadOptions) -> Result<String> {
    let mut found = Vec::new();
    for database in manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Database) {
        let name = names::unquoted(&database.name);
        let sql = format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} \
             UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} LIMIT 100000",
            schema = names::quote_text(&name)
        );
        let mut present = session.column(&sql)?;
        present.extend(programs::events_of(session, &name)?.into_iter().map(|(event, _)| event));
        present.extend(programs::libraries(session, &name)?.into_iter().map(|library| library.name));
        let present = present.into_iter().map(|table| names::qualified(&name, &table));
        found.extend(present.filter(|table| options.tables.is_empty() || options.tables.contains(table)));
    }
    let more = found.len().saturating_sub(3);
    found.truncate(3);
    Ok(if more > 0 { format!("{} and {more} more", found.join(", ")) } else { found.join(", ") })
}
