//! What a backup promises about the git repositories in it, learnt before and after the walk: what moved meanwhile is in
//! the archive in some state that nobody can tell, so it is not promised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exclude::Excludes;
use super::git::{self, Git, State};
use super::jail::{Jail, Rules, Tree};
use crate::clock::Clock;
use crate::domain::manifest::ObjectFacts;
use crate::error::{Error, Kind, Result};
use crate::run_context::RunContext;

/// Repositories of the configured paths while they are backed up.
pub struct Repositories {
    found: Vec<Repository>,
    /// What a reader of the manifest must know.
    pub warnings: Vec<String>,
}

struct Repository {
    path: PathBuf,
    jail: Jail,
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
        let mut repositories = Self { found: Vec::new(), warnings: Vec::new() };
        for path in paths.iter().flat_map(|root| git::find(root, excludes)) {
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
            let looked = Jail::new(&path, Tree::ReadOnly, rules, clock, context)
                .and_then(|jail| Ok((Git::new(&jail, &path).state()?, jail)));
            match looked {
                Ok((before, jail)) => repositories.found.push(Repository { path, jail, before }),
                Err(error) => repositories.warnings.push(not_promised(&path, error)?),
            }
        }
        Ok(repositories)
    }

    /// Look again after the walk. `incomplete` are the paths below which something was left out of the archive.
    pub fn after(self, incomplete: &[PathBuf]) -> Result<Promise> {
        let mut promise = Promise { warnings: self.warnings, ..Promise::default() };
        for repository in &self.found {
            if let Err(error) = repository.promise(incomplete, &mut promise) {
                promise.warnings.push(not_promised(&repository.path, error)?);
            }
        }
        promise.objects.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
        Ok(promise)
    }
}

/// A repository that cannot be looked at is backed up all the same.
fn not_promised(path: &Path, error: Error) -> Result<String> {
    if error.kind() == Kind::Cancelled {
        return Err(error);
    }
    Ok(format!("git repository {}: its HEAD is not promised: {error}", path.display()))
}

impl Repository {
    fn promise(&self, incomplete: &[PathBuf], promise: &mut Promise) -> Result<()> {
        let (path, git) = (self.path.display().to_string(), Git::new(&self.jail, &self.path));
        if self.path.join(".git/objects/info/alternates").exists() {
            promise.warnings.push(format!(
                "git repository {path} borrows objects of another one: where that is lost, this one is incomplete"
            ));
        }
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
        let fsck = git.fsck()?;
        if fsck != "clean" {
            promise.warnings.push(format!("git repository {path}: git fsck says {fsck}"));
        }
        promise.settings.insert(git::setting("fsck", &path), fsck);
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
