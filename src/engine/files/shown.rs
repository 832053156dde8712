//! What a jail shows of this host: programs, what programs look up, the tree, and what the operator's own command names.
//! Nothing else is there: no key, no configuration, no other tree, whoever may read it outside.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::jail::{PATH, Tree};

/// Where programs and libraries are. What is a symbolic link on this host is one in the jail.
const PROGRAMS: [&str; 9] =
    ["/bin", "/gnu/store", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/sbin", "/usr"];
/// What programs look up in `/etc`. Files of it that not everybody may read are empty in the jail.
const LOOKED_UP: [&str; 20] = [
    "alternatives",
    "ansible",
    "bash.bashrc",
    "ca-certificates",
    "crypto-policies",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "perl",
    "pki",
    "ssl",
    "terminfo",
    "timezone",
];
/// Places that are the jail's own, or hold what people and services keep for themselves.
const NEVER: [&str; 9] = ["/dev", "/etc/shadow", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/var/run"];
/// Most room a command has for temporary files in each place, in bytes.
const SCRATCH: &str = "536870912";
/// What separates paths in a command line that a shell is given.
const SEPARATORS: &[char] = &[' ', '\t', '\n', '\'', '"', '=', ':', ';', '|', '&', '(', ')', '<', '>', '`', ',', '$'];

/// A jail's view.
pub struct Shown<'s> {
    pub tree: &'s Path,
    pub how: Tree,
    /// Our own places.
    pub hidden: &'s [PathBuf],
    /// Directories that can be read beside the tree.
    pub seen: &'s [PathBuf],
    /// What to put in place of which file.
    pub instead: &'s [(PathBuf, &'static str)],
}

impl Shown<'_> {
    /// Arguments of bubblewrap that make it.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all = Arguments(Vec::new());
        for place in PROGRAMS.map(Path::new) {
            match place.read_link() {
                Ok(target) => all.add("--symlink", &target, place),
                Err(_) if place.is_dir() => all.add("--ro-bind", place, place),
                Err(_) => {}
            }
        }
        for place in LOOKED_UP.map(|name| Path::new("/etc").join(name)).iter().filter(|place| place.exists()) {
            all.add("--ro-bind", place, place);
            for private in private_files(place) {
                all.add("--ro-bind", Path::new("/dev/null"), &private);
            }
        }
        for (file, place) in self.instead {
            all.add("--ro-bind", file, Path::new(place));
        }
        all.words("--dev /dev --proc /proc --remount-ro /proc --dir /run");
        // Whoever the command runs as has to write there.
        for place in ["/tmp", "/var/tmp", "/dev/shm"] {
            all.words(&format!("--size {SCRATCH} --perms 1777 --tmpfs {place}"));
        }
        all.words("--perms 0777 --dir /tmp/home");
        for place in self.seen.iter().filter(|place| !place.starts_with(self.tree)) {
            all.add("--ro-bind", place, place);
        }
        all.add(if self.how == Tree::Writable { "--bind" } else { "--ro-bind" }, self.tree, self.tree);
        for own in self.hidden.iter().filter_map(|place| place.canonicalize().ok()) {
            // What is in the tree came with it.
            if own.starts_with(self.tree) && own != self.tree {
                all.words(&format!("--size {SCRATCH} --tmpfs"));
                all.0.push(own.into_os_string());
            }
        }
        // What listens there would do in the host what the command may not.
        let places: Vec<&Path> = self.seen.iter().map(PathBuf::as_path).chain([self.tree]).collect();
        for socket in sockets().iter().filter(|socket| places.iter().any(|place| socket.starts_with(place))) {
            all.add("--ro-bind", Path::new("/dev/null"), socket);
        }
        all.words("--remount-ro /dev --remount-ro /");
        all.0
    }
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn add(&mut self, word: &str, from: &Path, to: &Path) {
        self.0.extend([word.into(), from.into(), to.into()]);
    }

    fn words(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(OsString::from));
    }
}

/// Sockets of this host that have a path now. They come and go.
fn sockets() -> BTreeSet<PathBuf> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths = table.lines().filter_map(|line| line.find(" /").map(|at| PathBuf::from(&line[at + 1..])));
    paths.filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket())).collect()
}

/// Files at and below `place` that not everybody may read, links not followed.
fn private_files(place: &Path) -> Vec<PathBuf> {
    let Ok(meta) = place.symlink_metadata() else { return Vec::new() };
    let open = meta.permissions().mode() & if meta.is_dir() { 0o005 } else { 0o004 };
    if meta.is_dir() {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        let inside = entries.map(|entry| entry.path());
        // What is in a closed directory is closed, whatever its own mode.
        return if open == 0o005 {
            inside.flat_map(|path| private_files(&path)).collect()
        } else {
            inside.flat_map(|path| all_files(&path)).collect()
        };
    }
    if meta.is_file() && open == 0 { vec![place.to_owned()] } else { Vec::new() }
}

fn all_files(place: &Path) -> Vec<PathBuf> {
    match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => {
            fs::read_dir(place).into_iter().flatten().flatten().flat_map(|entry| all_files(&entry.path())).collect()
        }
        Ok(meta) if meta.is_file() => vec![place.to_owned()],
        _ => Vec::new(),
    }
}

/// What `command`, which the operator wrote, names of this host outside of the usual places: installations of its programs,
/// files and directories. `hidden` is never among it.
pub fn named(command: &[OsString], tree: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let hidden: Vec<PathBuf> = hidden.iter().filter_map(|place| place.canonicalize().ok()).collect();
    let may_be_seen = |place: &PathBuf| {
        place.components().filter(|part| matches!(part, Component::Normal(_))).count() > 1
            && (place.is_file() || place.is_dir())
            && !is_usual(place)
            && !NEVER.iter().any(|never| place.starts_with(never))
            && !place.starts_with(tree)
            && !tree.starts_with(place)
            && !hidden.iter().any(|own| own.starts_with(place) || place.starts_with(own))
    };
    let words: BTreeSet<&str> =
        command.iter().filter_map(|word| word.to_str()).flat_map(|word| word.split(SEPARATORS)).collect();
    let found = words.into_iter().filter(|word| !word.is_empty()).flat_map(places);
    found.filter(may_be_seen).collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_usual(place: &Path) -> bool {
    PROGRAMS.iter().any(|usual| place.starts_with(usual))
}

/// Where `word` leads: itself and what it is a link to; of a program the tree it was installed in.
fn places(word: &str) -> Vec<PathBuf> {
    let path = Path::new(word);
    let given = if path.is_absolute() {
        path.exists().then(|| path.to_owned())
    } else if path.components().count() == 1 {
        PATH.split(':').map(|directory| Path::new(directory).join(path)).find(|file| is_program(file))
    } else {
        None
    };
    let Some(given) = given else { return Vec::new() };
    let real = given.canonicalize().ok();
    let both = [Some(given), real];
    both.into_iter()
        .flatten()
        .flat_map(|place| if is_program(&place) { installation(&place) } else { vec![place] })
        .collect()
}

/// `PREFIX/bin/tool` needs `PREFIX/lib`: the whole installation, where that is not a place of many.
fn installation(program: &Path) -> Vec<PathBuf> {
    let bin = program.parent().filter(|parent| parent.file_name().is_some_and(|name| name == OsStr::new("bin")));
    let prefix = bin.and_then(Path::parent).filter(|prefix| prefix.components().count() > 2);
    vec![prefix.unwrap_or(program).to_owned()]
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_shows_what_it_names_and_never_our_own_places() {
        let directory = tempfile::Builder::new().prefix("named-").tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["venv/bin", "venv/lib", "state/keys", "data", "tree"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for (name, mode) in
            [("venv/bin/tool", 0o755), ("script", 0o755), ("state/keys/key", 0o600), ("data/list", 0o644)]
        {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let (tree, hidden) = (at("tree"), [at("state")]);
        let of = |words: &[&str]| named(&words.iter().map(OsString::from).collect::<Vec<_>>(), &tree, &hidden);
        let shown = |name: &str| at(name).display().to_string();
        assert_eq!(of(&[&shown("venv/bin/tool"), "--check"]), [at("venv")]);
        assert_eq!(
            of(&["sh", "-c", &format!("cd x && '{}' -i={} .", shown("script"), shown("data/list"))]),
            [at("data/list"), at("script")]
        );
        let ours = [shown("state"), shown("state/keys/key"), directory.path().display().to_string(), shown("tree")];
        assert_eq!(of(&ours.each_ref().map(String::as_str)), Vec::<PathBuf>::new());
        assert_eq!(
            of(&["sh", "-c", "cat /etc/shadow /proc/1/environ /root/x / /etc /usr/bin/env; ls /tmp"]),
            Vec::<PathBuf>::new()
        );
    }

    #[test]
    fn files_that_not_everybody_may_read_are_found_below_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at("closed")).unwrap();
        for (name, mode) in [("open", 0o644), ("key", 0o640), ("closed/open", 0o644)] {
            fs::write(at(name), "").unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut found = private_files(directory.path());
        found.sort();
        assert_eq!(found, [at("closed/open"), at("key")]);
    }
}
