//! Who may change what the service obeys. It usually runs as root: whoever can write its configuration, its keys or its state
//! is root, too.
//!
//! Refused is what nobody can want. What may be meant (a group of administrators, the volume of a container) is named in
//! the log, and the service goes on.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};

const BY_GROUP: u32 = 0o020;
const BY_ALL: u32 = 0o002;
const READ_BY_ALL: u32 = 0o004;
const STICKY: u32 = 0o1000;

/// What one file or directory says, and who asks.
#[derive(Debug, Clone, Copy)]
struct Facts {
    mode: u32,
    owner: u32,
    group: u32,
    us: u32,
    our_group: u32,
}

impl Facts {
    fn of(meta: &Metadata) -> Self {
        let (us, our_group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { mode: meta.mode() & 0o7777, owner: meta.uid(), group: meta.gid(), us, our_group }
    }

    fn is_of_a_stranger(&self) -> bool {
        ![0, self.us].contains(&self.owner)
    }

    /// In a sticky directory only the owner of a file can put another in its place.
    fn all_may_write(&self) -> bool {
        self.mode & BY_ALL != 0 && self.mode & STICKY == 0
    }

    fn a_group_may_write(&self) -> bool {
        self.mode & (BY_GROUP | STICKY) == BY_GROUP && ![0, self.our_group].contains(&self.group)
    }

    /// Who else may change it, where that may be meant.
    fn others(&self) -> Option<String> {
        if self.is_of_a_stranger() {
            return Some(format!("it belongs to user {}, neither to us ({}) nor to root", self.owner, self.us));
        }
        if self.all_may_write() {
            return Some(format!("everybody may write it (mode {:04o})", self.mode));
        }
        self.a_group_may_write().then(|| format!("group {} may write it (mode {:04o})", self.group, self.mode))
    }
}

/// A file that the service obeys, by its open handle: an error where everybody may write it.
pub fn refuse_written_by_all(name: &str, path: &Path, meta: &Metadata) -> Result<()> {
    let facts = Facts::of(meta);
    if facts.mode & BY_ALL == 0 {
        return Ok(());
    }
    let what =
        format!("cannot read {name} {}: everybody may write it (mode {:04o})", path.display(), facts.mode & 0o777);
    Err(Error::configuration(what).hint(format!("check its content, then chmod o-w {}", path.display())))
}

/// A private key, by its open handle: an error where everybody may read it. A group may, as `ssl-cert` on Debian does.
pub fn refuse_read_by_all(name: &str, path: &Path, meta: &Metadata) -> Result<()> {
    let facts = Facts::of(meta);
    if facts.mode & READ_BY_ALL == 0 {
        return Ok(());
    }
    let what =
        format!("cannot read {name} {}: everybody may read it (mode {:04o})", path.display(), facts.mode & 0o777);
    Err(Error::configuration(what)
        .hint(format!("make a new key if others use this host, then chmod o-rwx {}", path.display())))
}

/// Why a file with a secret is open to others than its owner; none if it is not. The group that the service itself runs with
/// may read it, as packages make it (`root:backup-sla`, mode 0640). Root's group means nothing to a service that is not in it.
pub fn open_to_others(meta: &Metadata) -> Option<String> {
    let ours = rustix::process::getgroups().unwrap_or_default();
    let ours: Vec<u32> = ours.into_iter().map(rustix::process::Gid::as_raw).collect();
    is_open(Facts::of(meta), &ours)
}

fn is_open(facts: Facts, our_groups: &[u32]) -> Option<String> {
    let mode = facts.mode & 0o777;
    if mode & 0o700 == mode {
        return None;
    }
    if mode & 0o037 != 0 {
        return Some(format!("is open to group or others (mode {mode:04o})"));
    }
    let is_ours = facts.group == facts.our_group || our_groups.contains(&facts.group);
    (!is_ours).then(|| format!("is open to group {}, which the service is not in (mode {mode:04o})", facts.group))
}

/// Who beside us and root may change `path`, or put something else in its place; none if nobody.
pub fn who_else(path: &Path) -> Option<String> {
    let of = |path: &Path| path.metadata().ok().and_then(|meta| Facts::of(&meta).others());
    if let Some(why) = of(path) {
        return Some(format!("{}: {why}", path.display()));
    }
    let real = path.canonicalize().ok()?;
    let directory = real.parent()?;
    Some(format!("directory {}: {}", directory.display(), of(directory)?))
}

/// Say in the log who else may change `path`.
pub fn warn_of_others(name: &str, path: &Path) {
    if let Some(who) = who_else(path) {
        tracing::warn!(
            hint =
                "whoever may change it decides what the service does: chown and chmod it for the service's user alone",
            "other users can change {name}: {who}"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OURS: Facts = Facts { mode: 0o755, owner: 1000, group: 1000, us: 1000, our_group: 1000 };

    #[test]
    fn what_is_ours_or_roots_is_trusted_and_the_group_of_root_is_root() {
        for facts in [
            OURS,
            Facts { owner: 0, group: 0, mode: 0o664, ..OURS },
            Facts { mode: 0o1777, owner: 0, ..OURS },
            Facts { mode: 0o664, ..OURS },
        ] {
            assert_eq!(facts.others(), None, "{facts:?}");
        }
    }

    #[test]
    fn a_stranger_a_group_and_everybody_are_named() {
        let why = |facts: Facts| facts.others().unwrap_or_default();
        assert!(why(Facts { owner: 33, ..OURS }).contains("user 33"));
        assert!(why(Facts { group: 33, mode: 0o775, ..OURS }).contains("group 33"));
        assert!(why(Facts { mode: 0o777, ..OURS }).contains("everybody"));
        assert!(why(Facts { owner: 1000, us: 0, ..OURS }).contains("user 1000"), "root obeys nobody else");
    }

    #[test]
    fn only_the_group_of_the_service_may_read_a_secret_and_it_may_do_no_more() {
        let key = Facts { mode: 0o640, owner: 0, group: 999, us: 1000, our_group: 1000 };
        assert_eq!(is_open(Facts { mode: 0o600, ..key }, &[]), None);
        assert_eq!(is_open(Facts { group: 1000, ..key }, &[]), None, "its effective group");
        assert_eq!(is_open(key, &[7, 999]), None, "a supplementary one");
        assert!(is_open(key, &[7]).unwrap().contains("group 999, which the service is not in"));
        for mode in [0o660, 0o650, 0o644, 0o642, 0o641, 0o604] {
            assert!(is_open(Facts { mode, ..key }, &[999]).unwrap().contains("open to group or others"), "{mode:o}");
        }
    }

    #[test]
    fn the_directory_counts_too() {
        let place = tempfile::tempdir().unwrap();
        let (directory, file) = (place.path().join("d"), place.path().join("d/f"));
        fs::create_dir(&directory).unwrap();
        fs::write(&file, "").unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(who_else(&file), None);
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        assert!(who_else(&file).unwrap().starts_with("directory "));
    }

    #[test]
    fn a_key_that_everybody_may_read_is_refused_and_one_of_a_group_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let asked = |mode| {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let meta = file.as_file().metadata().unwrap();
            (
                refuse_read_by_all("key_file", file.path(), &meta),
                refuse_written_by_all("web configuration", file.path(), &meta),
            )
        };
        assert!(matches!(asked(0o640), (Ok(()), Ok(()))));
        let (read, _) = asked(0o644);
        assert!(read.unwrap_err().hint_text().unwrap().contains("chmod o-rwx"));
        let (_, written) = asked(0o602);
        assert!(written.unwrap_err().to_string().contains("everybody may write it (mode 0602)"));
    }
}
