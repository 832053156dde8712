//! A git directory that is the repository's in everything but what it tells git to do.
//!
//! Settings name programs in more ways than can be listed (`filter.*`, `core.fsmonitor`, `core.sshCommand`, `include.path`,
//! aliases, whatever the next version brings), and hooks are programs. So git is not asked to ignore them: it is given a
//! directory with links to the repository's objects and refs, and a configuration of our own, with only those of its settings that
//! say what the data is.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::plainly;
use crate::error::{OrFailed, Result};

/// What of a git directory is not linked: settings, programs, and what leads to another directory's settings.
const NOT_LINKED: [&str; 6] = ["HEAD", "commondir", "config", "config.worktree", "gitdir", "hooks"];
/// Settings of `core` that say how files are stored, not what to run.
const CORE: [&str; 14] = [
    "autocrlf",
    "bigfilethreshold",
    "checkstat",
    "eol",
    "excludesfile",
    "filemode",
    "ignorecase",
    "precomposeunicode",
    "repositoryformatversion",
    "sparsecheckout",
    "sparsecheckoutcone",
    "symlinks",
    "trustctime",
    "ignorestat",
];
/// The longest HEAD that is read, in bytes.
const LONGEST_HEAD: u64 = 4096;

/// The directory, gone when dropped.
pub struct NeutralDirectory(TempDir);

impl NeutralDirectory {
    /// For the git directory `real` with these settings, as `git config --list -z` prints them; or why that cannot be read.
    ///
    /// Errors: inconclusive if this host has no room for it.
    pub fn new(real: &Path, settings: &[u8]) -> Result<io::Result<Self>> {
        let entries: Vec<_> = match fs::read_dir(real).and_then(Iterator::collect) {
            Ok(entries) => entries,
            Err(error) => return Ok(Err(error)),
        };
        let head = match head(&real.join("HEAD")) {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        Self::make(real, &entries, head, settings).map(Ok).or_inconclusive("cannot make a temporary directory for git")
    }

    fn make(real: &Path, entries: &[fs::DirEntry], head: Option<Head>, settings: &[u8]) -> io::Result<Self> {
        let directory = crate::temporary::directory("git")?;
        for name in entries.iter().map(fs::DirEntry::file_name) {
            if NOT_LINKED.iter().all(|not| name != *not) {
                std::os::unix::fs::symlink(real.join(&name), directory.path().join(&name))?;
            }
        }
        let place = directory.path().join("HEAD");
        match head {
            Some(Head::Link(target)) => std::os::unix::fs::symlink(target, place)?,
            Some(Head::Text(text)) => fs::write(place, text)?,
            None => {}
        }
        fs::write(directory.path().join("config"), configuration(settings))?;
        Ok(Self(directory))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What a repository has as HEAD.
enum Head {
    Link(PathBuf),
    Text(Vec<u8>),
}

/// HEAD must be no link to elsewhere, or git does not take the directory for one of its own.
fn head(from: &Path) -> io::Result<Option<Head>> {
    match from.read_link() {
        Ok(target) if target.starts_with("refs") => return Ok(Some(Head::Link(target))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It could lead to any file; git says what it makes of none.
        Ok(_) => return Ok(None),
        Err(_) => {}
    }
    Ok(Some(Head::Text(plainly::read(from, LONGEST_HEAD)?.unwrap_or_default())))
}

/// The first thing in the git directory `real` that is neither file, directory nor link: git would wait for it, or read without
/// end. By its path in there. A socket cannot be opened: git's own file system monitor leaves one.
pub fn odd_one(real: &Path) -> Option<PathBuf> {
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        // What cannot be read fails the walk, which says so.
        let Ok(entries) = fs::read_dir(real.join(&directory)) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = directory.join(entry.file_name());
            if kind.is_dir() {
                directories.push(path);
                continue;
            }
            let is_odd = if kind.is_symlink() {
                entry.path().metadata().is_ok_and(|to| !to.is_file() && !to.is_dir())
            } else {
                !kind.is_file() && !kind.is_socket()
            };
            if is_odd {
                return Some(path);
            }
        }
    }
    None
}

/// The settings that are kept, as a configuration file.
fn configuration(settings: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for setting in settings.split(|byte| *byte == 0).filter(|setting| !setting.is_empty()) {
        let (key, value) = match memchr::memchr(b'\n', setting) {
            Some(at) => (&setting[..at], Some(&setting[at + 1..])),
            None => (setting, None),
        };
        let Some((section, below, name)) = std::str::from_utf8(key).ok().and_then(parts) else { continue };
        if !says_what_data_is(section, below, name) {
            continue;
        }
        let below = below.map_or(String::new(), |below| format!(" \"{}\"", escaped(below.as_bytes(), false)));
        text.extend(format!("[{section}{below}]\n\t{name}").as_bytes());
        if let Some(value) = value {
            text.extend(format!(" = \"{}\"", escaped(value, true)).as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// `section.name` or `section.anything.name`; git prints section and name in small letters.
fn parts(key: &str) -> Option<(&str, Option<&str>, &str)> {
    let (section, rest) = key.split_once('.')?;
    let (below, name) = rest.rsplit_once('.').map_or((None, rest), |(below, name)| (Some(below), name));
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (plain(section) && plain(name)).then_some((section, below, name))
}

fn says_what_data_is(section: &str, below: Option<&str>, name: &str) -> bool {
    match (section, below) {
        ("core", None) => CORE.contains(&name),
        // One that git does not know ends it, as it should. Settings of the work tree are left out.
        ("extensions", None) => name != "worktreeconfig",
        // What the owner holds for no damage. A list of objects would be a file to read.
        ("fsck", _) => name != "skiplist",
        ("index", None) => matches!(name, "version" | "sparse" | "skiphash"),
        // Objects that are somewhere else on purpose; nothing is fetched.
        ("remote", Some(_)) => matches!(name, "promisor" | "partialclonefilter"),
        _ => false,
    }
}

/// As git reads it between double quotes; a subsection knows no other escapes than these two.
fn escaped(text: &[u8], value: bool) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if value => out.push_str("\\n"),
            '\n' | '\0' => {}
            other => out.push(other),
        }
    }
    out
}

/// The git directory of the repository at `at`.
pub fn of(at: &Path) -> PathBuf {
    at.join(".git")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_say_what_the_data_is_are_kept() {
        let settings = b"core.repositoryformatversion\n1\0core.fsmonitor\n/bin/evil\0core.bare\nfalse\0filter.e.clean\nevil\0\
            extensions.objectformat\nsha256\0extensions.worktreeconfig\ntrue\0include.path\n/x\0remote.a\"b.promisor\n\
            true\0remote.a.uploadpack\nevil\0core.symlinks\0fsck.skiplist\n/x\0fsck.missingemail\nignore\0core.eol\na\"\\\nb\0";
        assert_eq!(
            String::from_utf8(configuration(settings)).unwrap(),
            "[core]\n\trepositoryformatversion = \"1\"\n[extensions]\n\tobjectformat = \"sha256\"\n\
             [remote \"a\\\"b\"]\n\tpromisor = \"true\"\n[core]\n\tsymlinks\n[fsck]\n\tmissingemail = \"ignore\"\n\
             [core]\n\teol = \"a\\\"\\\\\\nb\"\n"
        );
    }

    #[test]
    fn hooks_settings_and_leads_to_others_are_not_in_it_and_the_rest_is() {
        let real = tempfile::tempdir().unwrap();
        for name in ["objects", "refs", "hooks"] {
            fs::create_dir(real.path().join(name)).unwrap();
        }
        for name in ["HEAD", "index", "config", "config.worktree", "commondir"] {
            fs::write(real.path().join(name), name).unwrap();
        }
        let neutral = NeutralDirectory::new(real.path(), b"").unwrap().unwrap();
        let mut names: Vec<_> = fs::read_dir(neutral.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["HEAD", "config", "index", "objects", "refs"]);
        assert_eq!(fs::read_to_string(neutral.path().join("HEAD")).unwrap(), "HEAD");
        assert_eq!(fs::read_to_string(neutral.path().join("config")).unwrap(), "");
    }
}
