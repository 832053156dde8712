//! Where the instances of one state directory live.
//!
//! Normally `<state_dir>/sandboxes`. As root the servers run as another account that cannot get there if the state
//! directory, or a directory above it, is private (0700). We do not open the state directory for it: instances then
//! live in a root-owned directory (0711) of our own under `/var/tmp`, which is on disk and survives a reboot, and
//! `<state_dir>/sandboxes-elsewhere` is a symbolic link to it. Either way other users may at most pass through, the
//! area lists its contents to nobody but its owner, and each instance in it is 0700.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::account::Account;
use crate::error::{Error, OrFailed, Result};

/// The usual place, in the state directory.
const HERE: &str = "sandboxes";
/// The link to the other place.
const ELSEWHERE: &str = "sandboxes-elsewhere";
/// How the other place's name begins.
const PREFIX: &str = "backup-sla-";

/// The directory to put new instances into; made if it is missing.
pub(super) fn choose(state_dir: &Path, account: Option<&Account>) -> Result<PathBuf> {
    make_private(state_dir)?;
    let state_dir = state_dir.canonicalize().or_inconclusive(format!("cannot find {}", state_dir.display()))?;
    match account {
        None => {
            let here = state_dir.join(HERE);
            make_private(&here)?;
            Ok(here)
        }
        Some(account) if account.may_traverse(&state_dir) => {
            let here = state_dir.join(HERE);
            make_private(&here)?;
            let passable = Permissions::from_mode(0o711);
            fs::set_permissions(&here, passable)
                .or_inconclusive(format!("cannot let others pass through {}", here.display()))?;
            Ok(here)
        }
        Some(_) => elsewhere(&state_dir),
    }
}

/// Every place where instances of this state directory may be: the choice may have changed since they were made.
pub(super) fn all(state_dir: &Path) -> Vec<PathBuf> {
    let linked = fs::read_link(state_dir.join(ELSEWHERE)).ok().filter(|place| is_ours(place));
    let here = state_dir.join(HERE).canonicalize().ok();
    here.into_iter().chain(linked).collect()
}

/// Remove the other place once nothing is left in it: a state directory may be deleted any day, and nobody would know
/// whose it was. The usual place stays.
pub(super) fn leave(area: &Path) {
    if area.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes())) {
        // Fails, as it should, while another instance lives there.
        let _ = fs::remove_dir(area);
    }
}

fn make_private(directory: &Path) -> Result<()> {
    let done = DirBuilder::new().mode(0o700).recursive(true).create(directory);
    done.or_inconclusive(format!("cannot make directory {}", directory.display()))
        .map_err(|e| e.hint("the state directory must be writable for the user that runs backup-sla"))
}

fn elsewhere(state_dir: &Path) -> Result<PathBuf> {
    let link = state_dir.join(ELSEWHERE);
    let what = || format!("cannot make a place for sandboxes that {} links to", link.display());
    // Two processes must not make two places, one of which nobody would ever reap.
    let lock = File::create(link.with_extension("lock")).or_inconclusive(what())?;
    lock.lock().or_inconclusive(what())?;
    if let Ok(place) = fs::read_link(&link)
        && is_ours(&place)
    {
        // An earlier version left it closed under a umask of 0077.
        fs::set_permissions(&place, Permissions::from_mode(0o711)).or_inconclusive(what())?;
        return Ok(place);
    }
    let base = [Path::new("/var/tmp"), &std::env::temp_dir()].into_iter().find(|dir| dir.is_dir()).map(Path::to_owned);
    let base = base.ok_or_else(|| Error::inconclusive(format!("{}: there is no /var/tmp", what())))?;
    let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base).or_inconclusive(what())?;
    // A mode given when it is made is cut by the umask.
    fs::set_permissions(place.path(), Permissions::from_mode(0o711)).or_inconclusive(what())?;
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).or_inconclusive(what())?,
        _ => symlink(place.path(), &link).or_inconclusive(what())?,
    }
    Ok(place.keep())
}

/// The link may be old and its target gone, or taken by somebody else: `/var/tmp` belongs to everyone.
fn is_ours(place: &Path) -> bool {
    place
        .symlink_metadata()
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger() -> Account {
        Account { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000, own: true }
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn without_another_account_instances_live_in_the_state_directory() {
        let state = tempfile::tempdir().unwrap();
        let area = choose(state.path(), None).unwrap();
        assert_eq!(area, state.path().canonicalize().unwrap().join("sandboxes"));
        assert_eq!(mode(&area), 0o700);
        assert_eq!(all(state.path()), [area]);
    }

    #[test]
    fn a_private_state_directory_stays_private_and_instances_live_elsewhere() {
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), Permissions::from_mode(0o700)).unwrap();
        let area = choose(state.path(), Some(&stranger())).unwrap();
        assert_eq!(mode(state.path()), 0o700);
        assert_eq!(mode(&area), 0o711);
        assert!(!area.starts_with(state.path()) && stranger().may_traverse(&area));
        assert_eq!(choose(state.path(), Some(&stranger())).unwrap(), area, "found again");
        assert_eq!(all(state.path()).as_slice(), std::slice::from_ref(&area));
        fs::remove_dir(&area).unwrap();
        let other = choose(state.path(), Some(&stranger())).unwrap();
        assert_ne!(other, area, "a lost place is replaced");
        fs::remove_dir(other).unwrap();
    }

    #[test]
    fn a_state_directory_that_can_be_passed_is_used_itself() {
        let state = tempfile::tempdir().unwrap();
        fs::set_permissions(state.path(), Permissions::from_mode(0o711)).unwrap();
        let area = choose(state.path(), Some(&stranger())).unwrap();
        assert!(area.ends_with("sandboxes"));
        assert_eq!((mode(&area), mode(state.path())), (0o711, 0o711));
    }
}
