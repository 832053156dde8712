//! What a backup promises about the git repositories in it, learnt before and after the walk: what moved meanwhile is in
//! the archive in some state that nobody can tell, so it is not promised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::borrowed::{Lender, elsewhere, is_in_backup, lenders};
use super::exclude::Excludes;
use super::git::{self, Git, State, Worked};
use super::jail::{Jail, Rules};
use super::shown::Tree;
use crate::clock::Clock;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::ObjectFacts;
use crate::error::{Error, Kind, Result};
use crate::run_context::RunContext;

/// Repositories of the configured paths while they are backed up.
pub struct Repositories {
    found: Vec<Repository>,
    unanswered: Vec<LeftOut>,
    /// What a reader of the manifest must know.
    pub warnings: Vec<String>,
}

struct Repository {
    path: PathBuf,
    jail: Jail,
    lenders: Vec<Lender>,
    before: State,
}

/// What is promised.
#[derive(Debug, Default)]
pub struct Promise {
    /// Heads and branches.
    pub objects: Vec<ObjectFacts>,
    /// Results of `git fsck` and `git status`.
    pub settings: BTreeMap<String, String>,
    /// What a reader of the manifest must know.
    pub warnings: Vec<String>,
    /// Repositories of which git told nothing, although it should have.
    pub left_out: Vec<LeftOut>,
}

impl Repositories {
    /// Look at the repositories of `paths` before the walk.
    pub fn before(
        paths: &[PathBuf],
        excludes: &Excludes,
        rules: &Rules<'_>,
        clock: &Arc<dyn Clock>,
        context: &RunContext,
    ) -> Result<Self> {
        let mut repositories = Self { found: Vec::new(), unanswered: Vec::new(), warnings: Vec::new() };
        for worked in paths.iter().map(|root| git::find(root, excludes)) {
            repositories.warnings.extend(leading_out(&worked, paths, excludes));
            repositories.look(worked.repositories, (paths, excludes), rules, clock, context)?;
        }
        Ok(repositories)
    }

    fn look(
        &mut self,
        found: Vec<PathBuf>,
        (paths, excludes): (&[PathBuf], &Excludes),
        rules: &Rules<'_>,
        clock: &Arc<dyn Clock>,
        context: &RunContext,
    ) -> Result<()> {
        let repositories = self;
        for path in found {
            let shown = path.display();
            if path.to_str().is_none() {
                repositories
                    .warnings
                    .push(format!("git repository {shown}: its path is no text, so its HEAD is not promised"));
                continue;
            }
            if git::program().is_none() {
                repositories
                    .warnings
                    .push(format!("git repository {shown}: there is no `git`, so its HEAD is not promised"));
                continue;
            }
            let lenders = lenders(&path, None);
            if let Some(lost) = lenders.iter().find(|lender| !is_in_backup(&lender.live, paths, excludes)) {
                repositories.warnings.push(format!(
                    "git repository {shown} borrows objects of {}, which is not in this backup: alone it is incomplete, and its \
                     HEAD and branches are not promised; add that to `paths`, or run `git repack -a -d` and remove \
                     .git/objects/info/alternates",
                    lost.live.display()
                ));
                continue;
            }
            let seen: Vec<PathBuf> = lenders.iter().map(|lender| lender.at.clone()).collect();
            let jail = match Jail::new(&path, Tree::ReadOnly, &Rules { seen: &seen, ..*rules }, clock, context) {
                Ok(jail) => jail,
                Err(error) => {
                    repositories.warnings.push(not_promised(&path, error)?);
                    continue;
                }
            };
            let before = Git::new(&jail, &path).borrowing(&lenders).state();
            match before {
                Ok(before) => repositories.found.push(Repository { path, jail, lenders, before }),
                Err(error) => repositories.unanswered.push(unanswered(&path, error)?),
            }
        }
        Ok(())
    }

    /// Look again after the walk. `incomplete` are the paths below which something was left out of the archive.
    pub fn after(self, incomplete: &[PathBuf]) -> Result<Promise> {
        let mut promise = Promise { warnings: self.warnings, left_out: self.unanswered, ..Promise::default() };
        for repository in &self.found {
            if let Err(error) = repository.promise(incomplete, &mut promise) {
                promise.left_out.push(unanswered(&repository.path, error)?);
            }
        }
        promise.objects.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
        Ok(promise)
    }
}

/// Worktrees and submodules whose repository is not backed up with them.
pub fn leading_out(worked: &Worked, paths: &[PathBuf], excludes: &Excludes) -> Vec<String> {
    let mut warnings = Vec::new();
    for directory in &worked.linked {
        let Some(place) = elsewhere(directory).filter(|place| !is_in_backup(place, paths, excludes)) else { continue };
        warnings.push(format!(
            "the `.git` of {} leads to {}, which is not in this backup: its files are backed up, its history is not; add that to \
             `paths`",
            directory.display(),
            place.display()
        ));
    }
    warnings
}

/// A repository of which git tells nothing is backed up all the same, with HEAD and branches in their files. What a drill
/// would have asked git about them is not known, and that is said wherever something is missing.
fn unanswered(path: &Path, error: Error) -> Result<LeftOut> {
    if error.kind() == Kind::Cancelled {
        return Err(error);
    }
    let reason = format!("{error}; all its files are in the backup");
    Ok(LeftOut { kind: LeftOut::GIT_HEAD.to_owned(), name: path.display().to_string(), reason, definition: None })
}

/// Where no command can be run in a jail nothing is promised of any repository.
fn not_promised(path: &Path, error: Error) -> Result<String> {
    if error.kind() == Kind::Cancelled {
        return Err(error);
    }
    Ok(format!("git repository {}: its HEAD is not promised: {error}", path.display()))
}

impl Repository {
    fn promise(&self, incomplete: &[PathBuf], promise: &mut Promise) -> Result<()> {
        let git = Git::new(&self.jail, &self.path).borrowing(&self.lenders);
        let path = self.path.display().to_string();
        if self.before.head.starts_with("unreadable") {
            promise.warnings.push(format!("git repository {path}: its HEAD is {}", self.before.head));
            return Ok(());
        }
        let after = git.state()?;
        let moved = |what: &str| format!("git repository {path}: {what} moved while it was backed up: not promised");
        if (&after.head, &after.branches) != (&self.before.head, &self.before.branches) {
            promise.warnings.push(moved("HEAD or a branch"));
            return Ok(());
        }
        promise.objects.extend(after.objects(&path));
        match git.fsck() {
            Ok(fsck) => {
                if fsck != "clean" {
                    promise.warnings.push(format!("git repository {path}: git fsck says {fsck}"));
                }
                promise.settings.insert(git::setting("fsck", &path), fsck);
            }
            Err(error) if error.kind() == Kind::Cancelled => return Err(error),
            // It reads everything and may take longer than anything else that git is asked.
            Err(error) => promise.warnings.push(format!(
                "git repository {path}: drills will not run `git fsck`, because it gave no result here: {error}"
            )),
        }
        // For people: what git makes of the files depends on its caches and filters; that they are the same is proved by
        // their digests.
        if after.status != "clean" {
            let left_out = incomplete.iter().any(|root| self.path.starts_with(root));
            let more = if left_out { ", and something of it was left out" } else { "" };
            promise.warnings.push(format!("git repository {path} is dirty: {}{more}", after.status));
        }
        promise.settings.insert(git::setting("status", &path), after.status);
        Ok(())
    }
}
