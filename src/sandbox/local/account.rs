//! Which account a sandboxed server runs as. A database server has no business being root, least of all one that
//! executes whatever a restored dump tells it to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use crate::error::{Error, OrFailed, Result};
use crate::unprivileged::fresh_id;

/// What an instance's account is called in its own view of the host.
const NAME: &str = "sandbox";

/// An unprivileged account of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Of one instance: no other process and no file of this host belongs to it.
    pub(super) own: bool,
}

impl Account {
    /// The account of a new instance: none (our own) unless we are root. One of its own wherever the kernel knows such ids
    /// and `program` can be reached by it; else the first of `candidates` that this machine has.
    pub(super) fn of_new_instance(candidates: &[&str], program: &Path) -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let own = fresh_id().map(|id| Self { name: NAME.to_owned(), uid: id, gid: id, own: true });
        let known = own.is_some();
        if let Some(own) = own.as_ref().filter(|own| own.reaches(program)) {
            return Ok(Some(own.clone()));
        }
        match Self::first_of(candidates) {
            // It cannot help: what is wrong is said of the one that was meant.
            Ok(named) if known && !named.reaches(program) => Ok(own),
            Err(_) if known => Ok(own),
            named => named.map(Some),
        }
    }

    fn reaches(&self, program: &Path) -> bool {
        program.canonicalize().is_ok_and(|real| real.parent().is_some_and(|directory| self.may_traverse(directory)))
    }

    fn first_of(candidates: &[&str]) -> Result<Self> {
        let passwd = fs::read_to_string("/etc/passwd").or_inconclusive("cannot read /etc/passwd")?;
        candidates.iter().find_map(|name| Self::parse(&passwd, name)).ok_or_else(|| {
            let names = candidates.join("` or `");
            Error::inconclusive(format!("cannot choose a user for the sandbox: there is no `{names}`")).hint(
                "as root the sandbox's server runs as an unprivileged user: create one of them, or run backup-sla as another user",
            )
        })
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = passwd.lines().map(|line| line.split(':').collect()).find(
            |fields: &Vec<&str>| matches!(fields.as_slice(), [first, _, uid, ..] if *first == name && *uid != "0"),
        )?;
        Some(Self {
            name: name.to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            own: false,
        })
    }

    /// Whether the mode bits let this account pass through `directory` and everything above it. `directory` must be
    /// absolute and free of symbolic links. Access lists are not looked at: they can only make us choose another place.
    pub(super) fn may_traverse(&self, directory: &Path) -> bool {
        directory.ancestors().all(|ancestor| {
            ancestor.metadata().is_ok_and(|meta| {
                let needed = match () {
                    () if meta.uid() == self.uid => 0o100,
                    () if meta.gid() == self.gid => 0o010,
                    () => 0o001,
                };
                meta.mode() & needed != 0
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        evil:x:0:1::/:/bin/sh\n";

    #[test]
    fn an_account_is_found_by_name_and_is_never_root() {
        let nobody = Account::parse(PASSWD, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert_eq!(Account::parse(PASSWD, "mysql"), None);
        assert_eq!(Account::parse(PASSWD, "evil"), None);
    }

    #[test]
    fn a_private_directory_on_the_way_bars_another_account() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().canonicalize().unwrap().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000, own: true };
        assert!(!stranger.may_traverse(&inner));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.may_traverse(&inner));
    }
}
