//! What a server sees of this host: its own directory, the programs, and nothing else.
//!
//! A dump can name any path and any host, and what a server does with them is its own affair. So it gets a root file
//! system of its own, made in a mount namespace: programs and libraries read-only, no `/proc` of others, a few devices, the
//! instance's directory at its own path, and private directories in place of those that restored definitions name. What
//! is not there cannot be read, written or connected to, whatever the server is told. `view.sh` does the mounting.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::account::Account;
use super::workspace::Workspace;
use crate::error::{Error, Result};

/// Makes the view and becomes the program.
pub(super) const SCRIPT: &str = include_str!("view.sh");
/// Where programs and libraries are. What is a symbolic link on this host is one in the view.
const PROGRAMS: [&str; 7] = ["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr"];
/// What programs look up in `/etc` and what tells nothing about this host.
const LOOKED_UP: [&str; 6] = [
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/timezone",
];
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];
/// Below `/usr`, and yet no part of the system: programs of a distribution need nothing of it.
const LOCAL: &str = "/usr/local";
/// What of [`LOCAL`] is programs.
const OF_PROGRAMS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libexec"];
/// What of an installation is none.
const DATA: [&str; 3] = ["data", "etc", "var"];
/// Places that nothing private may take.
const RESERVED: [&str; 5] = ["/", "/dev", "/etc", "/proc", "/.host"];

/// One line of the script's arguments: what, from where, to where.
#[derive(Debug, PartialEq, Eq)]
struct Part(&'static str, OsString, PathBuf);

/// A view for one program of one workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    mountpoint: PathBuf,
    directory: PathBuf,
    parts: Vec<Part>,
}

impl View {
    /// The view of `program`, which is absolute and free of symbolic links, with private directories for `outside`.
    pub(super) fn of(workspace: &Workspace, program: &Path, outside: &[PathBuf]) -> Result<Self> {
        let directory = workspace.directory().to_owned();
        let mut parts = Vec::new();
        for place in PROGRAMS.map(Path::new) {
            match place.read_link() {
                Ok(target) => parts.push(Part("link", target.into_os_string(), place.to_owned())),
                Err(_) if place.is_dir() => parts.push(tree(place)),
                Err(_) => {}
            }
        }
        let small = LOOKED_UP.into_iter().chain(DEVICES).map(Path::new);
        parts.extend(small.filter(|place| place.exists()).map(tree));
        parts.extend(text_files(workspace.account()));
        parts.extend(programs(program, &directory).map(|place| tree(&place)));
        parts.extend(all_provided(outside, workspace, program)?);
        if !parts.iter().any(|part| part.0 == "empty" && part.2 == Path::new(LOCAL)) {
            parts.extend(data_of(Path::new(LOCAL), program, &directory).into_iter().map(empty));
        }
        let socket = workspace.socket();
        let owned = [Some(directory.as_path()), socket.parent().filter(|place| *place != directory)];
        parts.extend(owned.into_iter().flatten().map(|place| Part("own", place.into(), place.to_owned())));
        // What is further up is mounted first and hides nothing.
        parts.sort_by(|a, b| a.2.cmp(&b.2));
        Ok(Self { mountpoint: workspace.mountpoint(), directory, parts })
    }

    /// The words of the script up to the program; `loopback` brings that device up, `itself` shows the program what `/proc`
    /// says of it and nothing else.
    pub(super) fn words(self, loopback: bool, itself: bool) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["sh".into(), "-c".into(), SCRIPT.into(), "sh".into()];
        words.push(self.mountpoint.into_os_string());
        if loopback {
            words.extend(["up", "lo", "/"].map(OsString::from));
        }
        if itself {
            words.extend(["self", "", "/proc/self"].map(OsString::from));
        }
        for Part(kind, from, to) in self.parts {
            words.extend([kind.into(), from, to.into_os_string()]);
        }
        words.extend(["--".into(), self.directory.into_os_string()]);
        words
    }
}

fn empty(place: PathBuf) -> Part {
    Part("empty", OsString::new(), place)
}

/// What is shown among programs and is data: all of `local` that is no program or library, and the settings and data in the
/// program's own installation. Keys and passwords lie there as easily as in `/etc`.
fn data_of(local: &Path, program: &Path, instance: &Path) -> Vec<PathBuf> {
    let is_directory = |place: &Path| place.symlink_metadata().is_ok_and(|facts| facts.is_dir());
    let prefix = program.parent().and_then(Path::parent);
    let prefix = prefix.filter(|prefix| prefix.components().count() > 2 && *prefix != local);
    let of_program = prefix.into_iter().flat_map(|prefix| DATA.map(|name| prefix.join(name)));
    let entries = std::fs::read_dir(local).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_local = entries.filter(|place| {
        let name = place.file_name().unwrap_or_default();
        let is_its_own = program.starts_with(local) && (name == "share" || program.starts_with(place));
        !OF_PROGRAMS.iter().any(|known| name == *known) && !is_its_own
    });
    let all: BTreeSet<PathBuf> = of_program.chain(of_local).filter(|place| is_directory(place)).collect();
    all.into_iter().filter(|place| !instance.starts_with(place) && !program.starts_with(place)).collect()
}

fn tree(place: &Path) -> Part {
    Part("tree", place.into(), place.to_owned())
}

/// Names that programs look up, without those of this host's people.
fn text_files(account: Option<&Account>) -> [Part; 4] {
    let (passwd, group) = match account {
        Some(account) => (
            format!("{}:x:{}:{}::/:/bin/false\n", account.name, account.uid, account.gid),
            format!("{}:x:{}:\n", account.name, account.gid),
        ),
        None => Default::default(),
    };
    let (passwd, group) = (format!("root:x:0:0::/:/bin/false\n{passwd}"), format!("root:x:0:\n{group}"));
    let file = |path: &str, text: String| Part("text", text.into(), PathBuf::from(path));
    [
        file("/etc/passwd", passwd),
        file("/etc/group", group),
        file("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
        file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
    ]
}

/// Whether programs are there anyway.
fn is_usual(place: &Path) -> bool {
    PROGRAMS.iter().any(|usual| place.starts_with(usual))
}

/// Whether `program` needs no place of its own in the view.
pub(super) fn has(program: &Path) -> bool {
    is_usual(program)
}

/// The tree that a program of an unusual place belongs to: `PREFIX/bin/mysqld` needs `PREFIX/lib` and `PREFIX/share`. One
/// that would show the instance's neighbours, or all that is in a directory at the top, is cut to the program's own
/// directory or to the program.
fn programs(program: &Path, instance: &Path) -> Option<PathBuf> {
    if is_usual(program) {
        return None;
    }
    let fits = |place: &&Path| !instance.starts_with(place) && place.components().count() > 2;
    let candidates = [program.parent().and_then(Path::parent), program.parent(), Some(program)];
    candidates.into_iter().flatten().find(fits).map(Path::to_owned)
}

/// The directory that a path leads to where nothing is a link, and those that it passes on its way back up (`/a/../b`).
fn plain(place: &Path) -> (PathBuf, Vec<PathBuf>) {
    let (mut at, mut passed) = (PathBuf::new(), Vec::new());
    for part in place.components() {
        if part == Component::ParentDir {
            passed.push(at.clone());
            at.pop();
        } else {
            at.push(part);
        }
    }
    (at, passed)
}

/// What gives restored definitions their directories. Several spellings may lead to one place.
fn all_provided(outside: &[PathBuf], workspace: &Workspace, program: &Path) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (place, private) in outside.iter().zip(workspace.outside()) {
        parts.extend(provided(place, private, workspace.directory(), program)?);
    }
    let mut seen = BTreeSet::new();
    parts.sort_by_key(|part| part.0 != "own");
    parts.retain(|part| seen.insert(part.2.clone()));
    Ok(parts)
}

/// What gives a restored definition a private directory at `place`.
fn provided(place: &Path, private: PathBuf, instance: &Path, program: &Path) -> Result<Vec<Part>> {
    let (real, passed) = plain(place);
    let is_local = |place: &Path| place.starts_with(LOCAL) && place != Path::new(LOCAL) && !program.starts_with(LOCAL);
    let is_free = |place: &Path| {
        let taken = RESERVED.iter().any(|reserved| place == Path::new(reserved))
            || ["/dev", "/proc"].iter().any(|reserved| place.starts_with(reserved))
            || is_usual(place) && !is_local(place)
            || place.starts_with(instance);
        place.is_absolute() && !taken
    };
    if !is_free(&real) || !passed.iter().all(|place| is_free(place)) {
        return Err(Error::inconclusive(format!(
            "cannot provide directory {} in the sandbox: it is not free there",
            place.display()
        ))
        .hint(
            "a table's definition names this directory; move the table's files out of the system's own directories",
        ));
    }
    let mut parts = vec![Part("own", private.into_os_string(), real.clone())];
    if passed.iter().chain([&real]).any(|place| is_local(place)) {
        parts.push(Part("empty", OsString::new(), PathBuf::from(LOCAL)));
    }
    parts.extend(passed.into_iter().map(|place| Part("directory", OsString::new(), place)));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_an_unusual_place_brings_its_installation_and_nothing_private() {
        let instance = Path::new("/var/lib/backup-sla/sandboxes/run");
        let of = |program: &str| programs(Path::new(program), instance).map(|place| place.display().to_string());
        assert_eq!(of("/usr/sbin/mariadbd"), None);
        assert_eq!(of("/opt/mysql-9.7/bin/mysqld").as_deref(), Some("/opt/mysql-9.7"));
        assert_eq!(of("/opt/bin/mysqld").as_deref(), Some("/opt/bin"), "not all of /opt");
        assert_eq!(of("/var/lib/bin/mysqld").as_deref(), Some("/var/lib/bin"), "not what holds the instance");
        assert_eq!(of("/var/lib/mysqld").as_deref(), Some("/var/lib/mysqld"), "only the program");
    }

    #[test]
    fn of_a_place_of_programs_data_is_hidden_whatever_its_name_is() {
        let place = tempfile::tempdir().unwrap();
        let local = place.path().join("local");
        for name in ["bin", "lib", "etc", "var", "share", "keys", "mysql/bin", "mysql/lib", "mysql/data", "mysql/etc"] {
            std::fs::create_dir_all(local.join(name)).unwrap();
        }
        std::os::unix::fs::symlink("share", local.join("man")).unwrap();
        let of = |program: &str| {
            let hidden = data_of(&local, &local.join(program), Path::new("/var/lib/backup-sla/sandboxes/run"));
            let hidden = hidden.iter().map(|place| place.strip_prefix(&local).unwrap().display().to_string());
            hidden.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("/usr/sbin/mariadbd"), "etc keys mysql share var");
        assert_eq!(of("bin/mysqld"), "etc keys mysql var", "its messages are in share");
        assert_eq!(of("mysql/bin/mysqld"), "etc keys mysql/data mysql/etc var");
    }

    #[test]
    fn a_path_is_followed_back_up_and_every_directory_on_the_way_is_there() {
        let of = |place: &str| {
            let parts =
                provided(Path::new(place), PathBuf::from("private"), Path::new("/run/x"), Path::new("/usr/sbin/x"));
            let parts = parts.unwrap().into_iter().map(|Part(kind, _, place)| format!("{kind} {}", place.display()));
            parts.collect::<Vec<_>>()
        };
        assert_eq!(of("/x//ssd/"), ["own /x/ssd"]);
        assert_eq!(of("/x/a/.././ssd/"), ["own /x/ssd", "directory /x/a"]);
        assert_eq!(of("/usr/local/x"), ["own /usr/local/x", "empty /usr/local"]);
    }

    #[test]
    fn private_directories_take_no_place_of_the_system() {
        let of_server = |program: &str, place: &str| {
            let instance = Path::new("/var/lib/backup-sla/sandboxes/run");
            provided(Path::new(place), PathBuf::from("private"), instance, Path::new(program))
        };
        assert!(of_server("/usr/local/mysql/bin/mysqld", "/usr/local/ssd").is_err(), "its libraries are there");
        let free = |place: &str| of_server("/usr/sbin/mariadbd", place).is_ok();
        for place in [
            "/x/ssd",
            "/usr/local/ssd",
            "/x/a/../b",
            "/usr/local/a/../b",
            "/var/lib/mysql",
            "/var",
            "/home/data",
            "/etc/data",
            "/var/lib/backup-sla",
        ] {
            assert!(free(place), "{place}");
        }
        let system = [
            "/",
            "/usr/share/data",
            "/bin",
            "/lib64/x",
            "/dev/shm",
            "/proc/1",
            "/etc",
            "data",
            "/x/../etc",
            "/usr/local",
            "/x/../../dev",
            "/usr/share/../../x",
        ];
        for place in system.into_iter().chain(["/var/lib/backup-sla/sandboxes/run/data"]) {
            assert!(!free(place), "{place}");
        }
    }
}
