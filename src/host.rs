//! The identity of this host: made once, kept in the state directory, so that a host may be renamed.
//!
//! It is derived from what stays the same when the state directory is lost or is another one (the machine's id and its name),
//! so that a host that lost only its history, or drills from a copy by a second configuration, finds its backups again. The
//! name is in it because copies of one virtual machine often keep its machine id. Where the system has no machine id, as in
//! most containers, the identity is drawn at random.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::domain::host::{HostIdentity, ThisHost};
use crate::error::{Error, OrFailed, Result, Side};

/// Where the id is, in the state directory.
const ID_FILE: &str = "host-id";
const MACHINE_ID_FILE: &str = "/etc/machine-id";
/// Keeps the id apart from anything else that is derived from the machine id, which should not be told to others.
const PURPOSE: &str = "backup-sla 2026-11 host identity";

/// The identity that is kept in `state_dir`, made at the first time; `configured` is the name to use.
pub fn this_host(state_dir: &Path, configured: Option<&str>) -> Result<ThisHost> {
    let file = state_dir.join(ID_FILE);
    let id = match fs::read_to_string(&file) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(state_dir, &file)?,
        Err(error) => {
            return Err(Error::failed(format!("cannot read {}", file.display())).because(error).on(Side::State));
        }
    };
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        let what = format!("cannot use {}: it is not the id of a host", file.display());
        return Err(Error::failed(what).hint(
            "put back the file from a copy of the state directory, or remove it and set `host` in the configuration to the \
             name that `backup-sla list` shows",
        ));
    }
    let name = configured.map_or_else(host_name, str::to_owned);
    Ok(ThisHost { identity: HostIdentity { id, name }, takes_over: configured.is_some() })
}

/// Write the id so that of two processes that start together one wins, and a crash leaves nothing half-written.
fn make(state_dir: &Path, file: &Path) -> Result<String> {
    let what = || format!("cannot write {}", file.display());
    let id = derive().unwrap_or_else(random);
    let mine = state_dir.join(format!(".{ID_FILE}.{}", random()));
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mine).and_then(|mut out| {
        writeln!(out, "{id}")?;
        out.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&mine, file));
    let _ = fs::remove_file(&mine);
    match linked {
        Ok(()) => Ok(id),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(fs::read_to_string(file).or_failed(what())?.trim().to_owned())
        }
        Err(error) => Err(Error::failed(what())
            .because(error)
            .on(Side::State)
            .hint("the file system of `state_dir` must have room, and be writable for the user that runs backup-sla")),
    }
}

fn derive() -> Option<String> {
    let machine = fs::read_to_string(MACHINE_ID_FILE).ok()?;
    let machine = machine.trim();
    // It says `uninitialized` in an image that was never started.
    if machine.len() != 32 || !machine.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let material = format!("{machine}\0{}", host_name());
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::derive_key(PURPOSE, material.as_bytes())[..16]);
    Some(hex(id))
}

fn random() -> String {
    hex(rand::random())
}

fn hex(id: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(id))
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_is_the_machines() {
        let [one, other, old] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let first = this_host(one.path(), None).unwrap();
        assert!(!first.takes_over);
        assert_eq!(this_host(one.path(), None).unwrap(), first, "kept");
        let again = this_host(other.path(), None).unwrap();
        let has_machine_id = derive().is_some();
        assert_eq!(
            again == first,
            has_machine_id,
            "the state directory was lost, or a second configuration has its own"
        );
        fs::write(old.path().join(ID_FILE), "0f\n").unwrap();
        assert_eq!(this_host(old.path(), None).unwrap().identity.id, "0f", "what an earlier version derived stays");
        let named = this_host(one.path(), Some("db1")).unwrap();
        assert_eq!((named.identity.id, named.takes_over), (first.identity.id, true));
        assert_eq!(named.identity.name, "db1");
    }

    #[test]
    fn of_two_that_start_together_both_get_the_same_id() {
        let directory = tempfile::tempdir().unwrap();
        let ids: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| this_host(directory.path(), None).unwrap().identity.id)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "only the id is left");
    }

    #[test]
    fn a_file_that_holds_no_id_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for text in ["", "\n", "two words\n"] {
            fs::write(directory.path().join(ID_FILE), text).unwrap();
            let error = this_host(directory.path(), None).unwrap_err();
            assert!(error.to_string().contains("host-id") && error.hint_text().is_some(), "{error}");
        }
    }
}
