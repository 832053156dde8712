//! What is promised of git repositories: HEAD, branches, and, where it holds at the source, a clean `git fsck`. Git runs in a
//! jail, and on a git directory ([`super::neutral`]) without what the repository tells it to do.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::borrowed::Lender;
use super::exclude::Excludes;
use super::jail::Jail;
use super::neutral::{self, NeutralDirectory};
use crate::domain::digest::Digest;
use crate::domain::manifest::{ObjectFacts, ObjectKind};
use crate::error::{Error, Result};
use crate::process::find_program;

/// How deep below a configured path repositories are looked for.
const DEPTH: usize = 3;

/// The program, for whether there is one.
pub fn program() -> Option<PathBuf> {
    find_program(None, &["git"])
}

/// Directories that git would work in.
#[derive(Debug, Default)]
pub struct Worked {
    /// With a `.git` directory, which is backed up with them.
    pub repositories: Vec<PathBuf>,
    /// With a `.git` that leads to another place.
    pub linked: Vec<PathBuf>,
}

/// Directories at and below `root` that git would work in.
pub fn find(root: &Path, excludes: &Excludes) -> Worked {
    let mut found = Worked::default();
    search(root, root, excludes, DEPTH, &mut found);
    found.repositories.sort();
    found.linked.sort();
    found
}

fn search(root: &Path, directory: &Path, excludes: &Excludes, depth: usize, found: &mut Worked) {
    // What cannot be read fails the walk, which says so.
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_git = entry.file_name() == ".git";
        if !(is_directory || is_git) || excludes.covers(root, &path) {
            continue;
        }
        if is_git {
            let list = if is_directory { &mut found.repositories } else { &mut found.linked };
            list.push(directory.to_owned());
        } else if depth > 0 {
            search(root, &path, excludes, depth - 1, found);
        }
    }
}

/// What can be said of a repository at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `refs/heads/main 0123…`, `detached 0123…`, or why it cannot be said.
    pub head: String,
    /// Commits by full name.
    pub branches: BTreeMap<String, String>,
    /// `clean`, or how many changes and their digest.
    pub status: String,
}

/// Runs git on the repository whose copy, or original, is at `at`.
pub struct Git<'j> {
    jail: &'j Jail,
    at: PathBuf,
    borrowed: OsString,
    /// Made for the first question. Or why there is none.
    neutral: OnceCell<Result<NeutralDirectory, String>>,
}

/// Settings of ours, whatever the version of git: no program is run, nothing is fetched, nothing of this host is looked up.
const ENVIRONMENT: [&str; 11] = [
    "GIT_ALLOW_PROTOCOL=",
    "GIT_ASKPASS=false",
    "GIT_ATTR_NOSYSTEM=1",
    "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_NO_LAZY_FETCH=1",
    "GIT_OPTIONAL_LOCKS=0",
    "GIT_PAGER=cat",
    "GIT_SSH_COMMAND=false",
    "GIT_TERMINAL_PROMPT=0",
    "SSH_ASKPASS=false",
];

impl<'j> Git<'j> {
    /// Look at the repository at `at`.
    pub fn new(jail: &'j Jail, at: &Path) -> Self {
        // The jail knows it by this path.
        let at = at.canonicalize().unwrap_or_else(|_| at.to_owned());
        Self { jail, at, borrowed: OsString::new(), neutral: OnceCell::new() }
    }

    /// The same where it borrows objects that are in the directories `lenders` now, wherever it says that they are.
    #[must_use]
    pub fn borrowing(mut self, lenders: &[Lender]) -> Self {
        let places: Vec<_> = lenders.iter().map(|lender| lender.at.as_os_str()).collect();
        self.borrowed = places.join(OsStr::new(":"));
        self
    }

    /// The git directory that git is shown, or why it cannot be made.
    fn neutral(&self) -> Result<Result<&Path, String>> {
        if self.neutral.get().is_none() {
            let made = self.make_neutral()?;
            return Ok(self.neutral.get_or_init(|| made).as_ref().map(NeutralDirectory::path).map_err(Clone::clone));
        }
        Ok(self
            .neutral
            .get()
            .map_or(Err(String::new()), |made| made.as_ref().map(NeutralDirectory::path).map_err(Clone::clone)))
    }

    fn make_neutral(&self) -> Result<Result<NeutralDirectory, String>> {
        let real = neutral::of(&self.at);
        if let Some(odd) = neutral::odd_one(&real) {
            // The same words of the source and of what was restored.
            let path = Path::new(".git").join(odd);
            return Ok(Err(format!("git was not asked: {} is neither a file nor a directory", path.display())));
        }
        let file = real.join("config");
        let mut settings = Vec::new();
        if file.symlink_metadata().is_ok() {
            // It works in no repository, so that it reads this file and nothing that is named in it.
            let mut command = command(Path::new("/nonexistent"), &self.at, &OsString::new());
            command.extend(["config", "--no-includes", "--list", "-z", "--file"].map(OsString::from));
            command.push(file.into());
            match self.run(&command, &[])? {
                Ok(listed) => settings = listed,
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(NeutralDirectory::new(&real, &settings)?.map_err(|error| format!("read {}: {error}", real.display())))
    }

    /// Standard output, or what git said instead.
    fn ask(&self, arguments: &[&str]) -> Result<Result<Vec<u8>, String>> {
        let directory = match self.neutral()? {
            Ok(directory) => directory,
            Err(why) => return Ok(Err(why)),
        };
        let mut command = command(directory, &self.at, &self.borrowed);
        command.extend(arguments.iter().map(OsString::from));
        let said = self.run(&command, &[directory.to_owned()])?;
        // What it says is about the real one.
        let shown = directory.display().to_string();
        Ok(said.map_err(|why| why.replace(&shown, &neutral::of(&self.at).display().to_string())))
    }

    fn run(&self, command: &[OsString], more: &[PathBuf]) -> Result<Result<Vec<u8>, String>> {
        let ended = self.jail.run(&self.at, command, more, true)?;
        if ended.is_good() {
            return Ok(Ok(ended.output));
        }
        // No answer of git's: it ran out of time, was killed, or could not be started in there.
        let code = ended.status.and_then(|status| status.code());
        if code.is_none_or(|code| matches!(code, 126 | 127)) || ended.was_killed() || ended.never_began() {
            return Err(Error::inconclusive(format!("cannot ask git: {}", ended.describe(self.jail.limit())))
                .hint("git and bubblewrap must work on this host; `assertion_timeout` limits git too"));
        }
        // Some of what git has to say about damage goes to standard output.
        let output = String::from_utf8_lossy(&ended.output);
        let lines: Vec<String> = output.lines().take(5).map(|line| format!("{line:.200}")).collect();
        let why = ended.describe(self.jail.limit());
        Ok(Err(if lines.is_empty() { why } else { format!("{why}: {}", lines.join("; ")) }))
    }

    fn line(&self, arguments: &[&str]) -> Result<Result<String, String>> {
        Ok(self.ask(arguments)?.map(|output| String::from_utf8_lossy(&output).trim().to_owned()))
    }

    /// HEAD, branches and changes.
    pub fn state(&self) -> Result<State> {
        let name = self.line(&["symbolic-ref", "--quiet", "HEAD"])?;
        let commit = self.line(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"])?;
        let head = match (name, commit) {
            (Ok(name), Ok(commit)) => format!("{name} {commit}"),
            (Ok(name), Err(_)) => format!("{name} without a commit"),
            (Err(_), Ok(commit)) => format!("detached {commit}"),
            (Err(why), Err(_)) => format!("unreadable: {why}"),
        };
        let refs = self.line(&["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads"])?;
        let (head, pairs) = match refs {
            Ok(pairs) => (head, pairs),
            Err(why) => (format!("unreadable: {why}"), String::new()),
        };
        let branches = pairs.lines().filter_map(|line| line.split_once(' '));
        let status = match self.ask(&[
            "status",
            "--porcelain=v1",
            "-z",
            "--untracked-files=normal",
            "--ignore-submodules=all",
        ])? {
            Ok(output) if output.is_empty() => "clean".to_owned(),
            Ok(output) => {
                let changes = output.split(|byte| *byte == 0).count() - 1;
                format!("{changes} changed, {}", &Digest::of(&output).to_string()[..16])
            }
            Err(why) => format!("unreadable: {why}"),
        };
        let branches = branches.map(|(commit, name)| (name.to_owned(), commit.to_owned())).collect();
        Ok(State { head, branches, status })
    }

    /// `clean`, or what `git fsck` says.
    pub fn fsck(&self) -> Result<String> {
        Ok(self.ask(&["fsck", "--no-progress", "--no-dangling"])?.map_or_else(|why| why, |_| "clean".to_owned()))
    }
}

/// Git with our settings, for this git directory, work tree and what it borrows.
fn command(directory: &Path, tree: &Path, borrowed: &OsStr) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec!["env".into()];
    command.extend(ENVIRONMENT.map(OsString::from));
    if !borrowed.is_empty() {
        command.push(joined("GIT_ALTERNATE_OBJECT_DIRECTORIES=", borrowed));
    }
    // The directory of settings that all worktrees share is this one, too.
    command.push(joined("GIT_COMMON_DIR=", directory.as_os_str()));
    command.push("git".into());
    for setting in ["safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "fsck.skipList=/dev/null"] {
        command.extend(["-c".into(), setting.into()]);
    }
    // Said outright: a damaged repository must not make git take one further up.
    command.extend([joined("--git-dir=", directory.as_os_str()), joined("--work-tree=", tree.as_os_str())]);
    command
}

fn joined(first: &str, second: &OsStr) -> OsString {
    let mut word = OsString::from(first);
    word.push(second);
    word
}

impl State {
    /// As the inventory holds it, of the repository at `path`.
    pub fn objects(&self, path: &str) -> Vec<ObjectFacts> {
        let head = object(ObjectKind::GitHead, path.to_owned(), &self.head);
        let branches = self.branches.iter();
        let branches = branches.map(|(name, commit)| object(ObjectKind::GitBranch, format!("{path} {name}"), commit));
        std::iter::once(head).chain(branches).collect()
    }
}

fn object(kind: ObjectKind, name: String, text: &str) -> ObjectFacts {
    ObjectFacts {
        kind,
        name,
        definition: Digest::of(text.as_bytes()),
        shown: Some(text.to_owned()),
        definer: None,
        ends: None,
    }
}

/// Settings of a manifest about one repository.
pub fn setting(what: &str, path: &str) -> String {
    format!("git {what} {path}")
}
