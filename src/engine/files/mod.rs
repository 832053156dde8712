//! Engine `files`: trees of files, with everything a file system knows of them, and the git repositories among them.
//!
//! A backup is a tar that GNU tar extracts, and an index with one line per entry. The archive is made in one walk
//! (`pack`), restored by handles of directories that never follow a link (`load`, `place`), and proved by walking the
//! restored tree beside the index (`inspect`). Commands that look at a tree run in a jail (`jail`).

mod backup;
mod borrowed;
mod covers;
mod entry;
mod evidence;
mod exclude;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod git;
mod holes;
mod inspect;
mod jail;
mod kind;
mod load;
mod neutral;
mod notes;
mod pack;
mod place;
mod plainly;
mod powers;
mod promise;
mod shown;
mod stored;
mod table;
mod tape;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::backup::Found;
use self::borrowed::{Lender, lenders};
use self::git::Git;
use self::jail::{Jail, Rules};
pub use self::kind::Files;
use self::shown::Tree;
use self::stored::{INDEX, IndexReader};
pub use self::table::FilesConfig;
use self::target::Target;
use super::assertion::{Assertion, Question};
use super::destination::Destination;
use super::{Engine, InspectOptions, Inspection, LoadOptions, LoadReport, Ready, StoredPoint};
use crate::clock::Clock;
use crate::domain::drill::Check;
use crate::domain::manifest::{Inventory, Manifest, ObjectKind};
use crate::error::{Error, Result};
use crate::run_context::RunContext;
use crate::sandbox::{Access, SandboxSpec};

/// The engine of one source.
pub struct FilesEngine {
    config: FilesConfig,
    clock: Arc<dyn Clock>,
    private: Vec<PathBuf>,
    /// Files of ours: the configuration and its passwords. They may be part of a backup.
    secrets: Vec<PathBuf>,
}

impl FilesEngine {
    /// The engine of a source with this configuration.
    ///
    /// `private` are our own places: the state directory and local repositories. They are no part of a backup, and no
    /// command in a jail sees them.
    pub fn new(config: FilesConfig, clock: Arc<dyn Clock>, private: Vec<PathBuf>) -> Self {
        Self { config, clock, private, secrets: Vec::new() }
    }

    /// The same, which shows these files to no command in a jail, either.
    #[must_use]
    pub fn hiding(mut self, secrets: Vec<PathBuf>) -> Self {
        self.secrets = secrets;
        self
    }

    /// What no jail shows.
    fn hidden(&self) -> Vec<PathBuf> {
        [self.private.as_slice(), &self.secrets].concat()
    }

    fn jail(&self, tree: &Path, how: Tree, context: &RunContext) -> Result<Jail> {
        let hidden = self.hidden();
        let rules = Rules { limit: self.config.assertion_timeout, hidden: &hidden, seen: &[] };
        Jail::new(tree, how, &rules, &self.clock, context)
    }

    fn found(&self) -> Result<Found<'_>> {
        Found::of(&self.config, &self.clock, &self.private, self.hidden())
    }

    /// A jail for git around a restored repository that borrows what `lenders` have.
    fn git_jail(&self, repository: &Path, lenders: &[Lender], context: &RunContext) -> Result<Jail> {
        let restored: Vec<&Lender> = lenders.iter().filter(|lender| lender.at.is_dir()).collect();
        let seen: Vec<PathBuf> = restored.iter().map(|lender| lender.at.clone()).collect();
        // What is proved is the restored one: where this host has the original as well, it must not stand in for it.
        let originals = restored.iter().filter(|lender| lender.live != lender.at).map(|lender| lender.live.clone());
        let hidden: Vec<PathBuf> = self.hidden().into_iter().chain(originals).collect();
        let rules = Rules { limit: self.config.assertion_timeout, hidden: &hidden, seen: &seen };
        Jail::new(repository, Tree::ReadOnly, &rules, &self.clock, context)
    }
}

impl Engine for FilesEngine {
    fn preflight<'e>(&'e self, _context: &RunContext) -> Result<Box<dyn Ready + 'e>> {
        Ok(Box::new(self.found()?))
    }

    fn sandbox(&self, point: &StoredPoint) -> Result<SandboxSpec> {
        let manifest = &point.manifest;
        let promises_git = manifest.inventory().objects.iter().any(|object| object.kind == ObjectKind::GitHead);
        if promises_git && git::program().is_none() {
            return Err(
                Error::inconclusive("cannot check restored git repositories: there is no `git`").hint("install git")
            );
        }
        Ok(SandboxSpec::Directory)
    }

    fn destination(&self, _spec: &SandboxSpec, access: &Access) -> Destination {
        Destination::new(Target::Sandbox(access.directory.clone()))
    }

    fn table_name(&self, typed: &str) -> Result<String> {
        load::normal_path(typed)
    }

    fn load(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<LoadReport> {
        load::load(point, Target::of(to)?.directory(), &self.config.paths, options, context)
    }

    fn inspect(
        &self,
        at: &Destination,
        point: &StoredPoint,
        options: &InspectOptions,
        context: &RunContext,
    ) -> Result<Inspection> {
        let (directory, roots) = (Target::of(at)?.directory(), load::roots(&point.manifest)?);
        let only = load::selected(&options.only, &roots)?;
        let total = point.manifest.settings.get("bytes").and_then(|bytes| bytes.parse().ok());
        context.progress.phase("verify", total.filter(|_| only.is_empty()));
        let index = IndexReader::new((point.open)(INDEX)?);
        let mut findings = inspect::compare(directory, index, &roots, (&only, options.may_have_more), context)?;
        let mut objects = Vec::new();
        if only.is_empty() {
            let heads = point.manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::GitHead);
            for head in heads {
                let path = head.name.as_str();
                let restored = directory.join(path.trim_start_matches('/'));
                if !restored.join(".git").is_dir() {
                    continue;
                }
                let root = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
                let lenders = lenders(&root.join(path.trim_start_matches('/')), Some(&root));
                let jail = self.git_jail(&restored, &lenders, context).map_err(|error| {
                    error.context(format!(
                        "every entry was compared, {} differ; ask git",
                        findings.checks.iter().filter(|c| !c.ok).count()
                    ))
                })?;
                let git = Git::new(&jail, &restored).borrowing(&lenders);
                let state = git.state()?;
                objects.extend(state.objects(path));
                findings.checks.extend(git_checks(&point.manifest, path, &git)?);
            }
        }
        context.progress.finish();
        let inventory = Inventory { tables: findings.tables, objects, reach: None };
        // What is missing is told of every backup, by whoever asks for the inspection.
        let left_out = &point.manifest.left_out;
        let is_told = |warning: &&String| left_out.iter().any(|one| one.is_told_by(warning));
        let said = point.manifest.warnings.iter().filter(|warning| !is_told(warning));
        Ok(Inspection {
            inventory,
            problems: findings.problems,
            checks: findings.checks,
            notes: said.map(|warning| format!("the backup said: {warning}")).collect(),
            more: findings.more,
            ..Inspection::default()
        })
    }

    fn assert(&self, at: &Destination, assertion: &Assertion, context: &RunContext) -> Result<Check> {
        let Question::Command(command) = &assertion.question else {
            return Err(Error::configuration(format!("cannot run assertion {}: it is not a command", assertion.name)));
        };
        let (target, limit) = (Target::of(at)?, self.config.assertion_timeout);
        let tree = target.directory();
        // What somebody named may be anything, the source itself too.
        let how = if matches!(target, Target::Sandbox(_)) { Tree::Writable } else { Tree::ReadOnly };
        let jail = self.jail(tree, how, context)?;
        let check = |actual: String, ok: bool| Check {
            name: format!("assertion {}", assertion.name),
            expected: "exit 0".to_owned(),
            actual,
            ok,
        };
        let Some(first) = self.config.paths.first() else {
            return Ok(check("no path is configured".to_owned(), false));
        };
        // Of the real place: the tree may have been named through a link.
        let real = tree
            .canonicalize()
            .map_err(|error| Error::failed(format!("cannot open {}", tree.display())).because(error))?;
        let restored = real.join(String::from_utf8_lossy(&walk::archive_path(first)).as_ref());
        let directory = match restored.symlink_metadata() {
            Ok(meta) if meta.is_dir() => restored.as_path(),
            Ok(meta) if meta.is_file() => restored.parent().unwrap_or(&real),
            _ => return Ok(check(format!("there is no {} in the restored tree", first.display()), false)),
        };
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        let ended = jail.run_named(directory, &command)?;
        if ended.was_killed() {
            return Err(Error::inconclusive(format!(
                "cannot run assertion {} to its end: {}",
                assertion.name,
                ended.describe(limit)
            ))
            .hint("something on this host killed it: look for the OOM killer in the kernel's log (journalctl -k)"));
        }
        let mut actual = if ended.is_good() { "exit 0".to_owned() } else { ended.describe(limit) };
        if !jail.has_private_network() {
            actual.push_str(" (the kernel allows no private network)");
        }
        Ok(check(actual, ended.is_good()))
    }
}

/// What held of the repository `path` at the source must hold of the restored one.
fn git_checks(manifest: &Manifest, path: &str, git: &Git<'_>) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let promised = |what: &str| manifest.settings.get(&git::setting(what, path));
    let mut check = |what: &str, expected: &str, actual: &str| {
        let name = git::setting(what, path);
        checks.push(Check { name, expected: expected.to_owned(), actual: actual.to_owned(), ok: expected == actual });
    };
    // What was broken at the source is not held against the backup of it.
    if promised("fsck").is_some_and(|fsck| fsck == "clean") {
        check("fsck", "clean", &git.fsck()?);
    }
    Ok(checks)
}
