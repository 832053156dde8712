//! What is promised of git repositories: HEAD, branches, and, where it holds at the source, a clean `git fsck`. Git runs in a jail: a repository's own configuration can make it run any program.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::borrowed::Lender;
use super::exclude::Excludes;
use super::jail::Jail;
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
}

impl<'j> Git<'j> {
    /// Look at the repository at `at`.
    pub fn new(jail: &'j Jail, at: &Path) -> Self {
        // The jail knows it by this path.
        Self { jail, at: at.canonicalize().unwrap_or_else(|_| at.to_owned()), borrowed: OsString::new() }
    }

    /// The same where it borrows objects that are in the directories `lenders` now, wherever it says that they are.
    #[must_use]
    pub fn borrowing(mut self, lenders: &[Lender]) -> Self {
        let places: Vec<_> = lenders.iter().map(|lender| lender.at.as_os_str()).collect();
        self.borrowed = places.join(OsStr::new(":"));
        self
    }

    /// Standard output, or what git said instead.
    fn ask(&self, arguments: &[&str]) -> Result<Result<Vec<u8>, String>> {
        let mut command: Vec<OsString> = Vec::new();
        // Nothing of this host's own configuration, and no program that the repository names where that can be told.
        let environment =
            ["GIT_OPTIONAL_LOCKS=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0"];
        command.push("env".into());
        command.extend(environment.map(OsString::from));
        if !self.borrowed.is_empty() {
            let mut variable = OsString::from("GIT_ALTERNATE_OBJECT_DIRECTORIES=");
            variable.push(&self.borrowed);
            command.push(variable);
        }
        command.push("git".into());
        for setting in
            ["safe.directory=*", "core.fsmonitor=false", "core.hooksPath=/dev/null", "fsck.skipList=/dev/null"]
        {
            command.extend(["-c".into(), setting.into()]);
        }
        // Said outright: a damaged repository must not make git take one further up.
        let (mut directory, mut tree) = (OsString::from("--git-dir="), OsString::from("--work-tree="));
        directory.push(self.at.join(".git"));
        tree.push(&self.at);
        command.extend([directory, tree]);
        command.extend(arguments.iter().map(OsString::from));
        let ended = self.jail.run(&self.at, &command, true)?;
        if ended.is_good() {
            return Ok(Ok(ended.output));
        }
        // No answer of git's: it ran out of time, was killed, or could not be started in there.
        let code = ended.status.and_then(|status| status.code());
        if code.is_none_or(|code| matches!(code, 126 | 127)) || ended.was_killed() || ended.never_began() {
            return Err(Error::inconclusive(format!("ask git: {}", ended.describe(self.jail.limit())))
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
        let status = match self.ask(&["status", "--porcelain=v1", "-z", "--untracked-files=normal"])? {
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
    ObjectFacts { kind, name, definition: Digest::of(text.as_bytes()), shown: Some(text.to_owned()), definer: None }
}

/// Settings of a manifest about one repository.
pub fn setting(what: &str, path: &str) -> String {
    format!("git {what} {path}")
}
