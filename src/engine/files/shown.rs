//! What a jail shows of this host: programs, what programs look up, the tree, and what the operator's own command names.
//! Nothing else is there: no key, no configuration, no other tree, whoever may read it outside.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::covers::Covers;

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
/// What a site puts beside its programs.
pub(super) const LOCAL: &str = "/usr/local";
/// Directories of `/usr/local` that hold what belongs to many: none of them is shown because a command names it.
const SHARED: [&str; 10] = ["bin", "etc", "games", "include", "lib", "libexec", "sbin", "share", "src", "var"];
/// Most room a command has for temporary files in each place, in bytes.
const SCRATCH: &str = "536870912";
/// What separates paths in a command line that a shell is given.
const SEPARATORS: &[char] = &[' ', '\t', '\n', '\'', '"', '=', ':', ';', '|', '&', '(', ')', '<', '>', '`', ',', '$'];

/// Where programs are looked for inside.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a command may treat the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// It may only read it.
    ReadOnly,
    /// It may change it.
    Writable,
}

/// A jail's view.
pub struct Shown<'s> {
    pub tree: &'s Path,
    pub how: Tree,
    /// Our own places and files. No place that is shown shows them.
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
        let mut covers = Covers::new(self.hidden, self.tree);
        Self::system(&mut all, &mut covers);
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
            all.0.extend(covers.over(place));
        }
        all.add(if self.how == Tree::Writable { "--bind" } else { "--ro-bind" }, self.tree, self.tree);
        // What is in the tree came with it.
        all.0.extend(covers.over(self.tree));
        // What listens there would do in the host what the command may not.
        let places: Vec<&Path> = self.seen.iter().map(PathBuf::as_path).chain([self.tree]).collect();
        for socket in sockets().iter().filter(|socket| places.iter().any(|place| socket.starts_with(place))) {
            all.add("--ro-bind", Path::new("/dev/null"), socket);
        }
        all.0.extend(covers.close());
        all.words("--remount-ro /dev --remount-ro /");
        all.0
    }

    /// Programs and what they look up, without what is private in it.
    fn system(all: &mut Arguments, covers: &mut Covers) {
        let looked_up = LOOKED_UP.map(|name| Path::new("/etc").join(name));
        let mut shown = Vec::new();
        for place in PROGRAMS.map(Path::new) {
            match place.read_link() {
                Ok(target) => all.add("--symlink", &target, place),
                Err(_) if place.is_dir() => {
                    all.add("--ro-bind", place, place);
                    shown.push(place);
                }
                Err(_) => {}
            }
        }
        for place in looked_up.iter().filter(|place| place.exists()) {
            all.add("--ro-bind", place, place);
            covers.add_private(place);
            shown.push(place);
        }
        covers.add_local(Path::new(LOCAL));
        for place in shown {
            all.0.extend(covers.over(place));
        }
        // They are private where they lie. Whoever names another place that holds them shows them.
        covers.forget_private();
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

/// What `command`, which the operator wrote, names of this host outside of the usual places: installations of its programs,
/// files and directories. Our own directories are never among it, nor below it; our own files are covered in what is.
pub fn named(command: &[OsString], tree: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let hidden: Vec<PathBuf> = hidden.iter().filter_map(|place| place.canonicalize().ok()).collect();
    let may_be_seen = |place: &PathBuf| {
        place.components().filter(|part| matches!(part, Component::Normal(_))).count() > 1
            && (place.is_file() || place.is_dir())
            && !is_usual(place)
            && !NEVER.iter().any(|never| place.starts_with(never))
            && !place.starts_with(tree)
            && !tree.starts_with(place)
            && !hidden.iter().any(|own| own.is_dir() && own.starts_with(place) || place.starts_with(own))
    };
    let words: BTreeSet<&str> =
        command.iter().filter_map(|word| word.to_str()).flat_map(|word| word.split(SEPARATORS)).collect();
    let found = words.into_iter().filter(|word| !word.is_empty()).flat_map(places);
    found.filter(may_be_seen).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a place is there anyway. Of `/usr/local` that does not hold of what is private ([`Covers::add_local`]).
fn is_usual(place: &Path) -> bool {
    let is_local = |rest: &Path| !rest.as_os_str().is_empty() && !SHARED.iter().any(|name| rest == Path::new(name));
    PROGRAMS.iter().any(|usual| place.starts_with(usual)) && !place.strip_prefix(LOCAL).is_ok_and(is_local)
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
    let is_of_one = |prefix: &&Path| prefix.components().count() > 2 && *prefix != Path::new(LOCAL);
    let prefix = bin.and_then(Path::parent).filter(is_of_one);
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
}
