//! From the configured paths to the streams of a backup, and what it contains.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::exclude::Excludes;
use super::jail::Rules;
use super::pack::{Meanwhile, Packed, Packer};
use super::promise::{Promise, Repositories};
use super::stored::{ARCHIVE, INDEX};
use super::table::FilesConfig;
use super::{entry, git, pack, promise, walk};
use crate::clock::Clock;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::{FileRole, Inventory, ServerIdentity, StoredFileFacts};
use crate::domain::promise::Promise as Promised;
use crate::engine::{Captured, Dump, Preflight, Ready, stream};
use crate::error::{Error, Result};
use crate::repository::{Stream, in_order};
use crate::run_context::RunContext;

/// Trees that can be walked.
pub struct Found<'e> {
    config: &'e FilesConfig,
    clock: &'e Arc<dyn Clock>,
    /// Our own places: no part of a backup.
    private: &'e [PathBuf],
    /// What no jail shows.
    hidden: Vec<PathBuf>,
    /// In the order of the walk.
    paths: Vec<PathBuf>,
    excludes: Excludes,
    meanwhile: Meanwhile,
}

impl<'e> Found<'e> {
    /// What `config` names. `private` are our own places, no jail shows what is `hidden`.
    pub fn of(
        config: &'e FilesConfig,
        clock: &'e Arc<dyn Clock>,
        private: &'e [PathBuf],
        hidden: Vec<PathBuf>,
    ) -> Result<Self> {
        let excludes = Excludes::new(&config.exclude)?;
        let mut paths = config.paths.clone();
        paths.sort_by(|a, b| entry::order(&walk::archive_path(a), &walk::archive_path(b)));
        for path in &paths {
            let missing = |error| pack::missing_path(&path.display().to_string(), error);
            walk::Walk::of_source(path, Excludes::none()).map_err(missing)?;
        }
        Ok(Self { config, clock, private, hidden, paths, excludes, meanwhile: Box::new(|_| {}) })
    }

    /// A backup of itself would grow with every backup, and hold its own key.
    fn refuse_own_places(&self) -> Result<()> {
        for (own, path) in self.private.iter().flat_map(|own| self.paths.iter().map(move |path| (own, path))) {
            let (Ok(own), Ok(path)) = (own.canonicalize(), path.canonicalize()) else { continue };
            let Ok(relative) = own.strip_prefix(&path) else { continue };
            if !self.excludes.covers(&path, &own) {
                let what = format!(
                    "cannot back up {}: it contains {}, where backup-sla keeps its own data",
                    path.display(),
                    own.display()
                );
                return Err(Error::failed(what).hint(format!("add \"/{}\" to `exclude`", relative.display())));
            }
        }
        Ok(())
    }

    /// The same, with this done while files are read.
    #[cfg(test)]
    pub fn with(mut self, meanwhile: Meanwhile) -> Box<Self> {
        self.meanwhile = meanwhile;
        Box::new(self)
    }
}

impl Ready for Found<'_> {
    fn describe(&self) -> Result<Preflight> {
        let mut warnings = Vec::new();
        let (user, paths, excludes) = (rustix::process::geteuid(), &self.paths, &self.excludes);
        let mut repositories = 0;
        for path in paths {
            let shown = path.display().to_string();
            let failed = |error| pack::missing_path(&shown, error);
            let meta = path.metadata().map_err(failed)?;
            if meta.is_dir() {
                if path.read_dir().map_err(failed)?.next().is_none() {
                    warnings.push(format!("{shown} is empty"));
                }
                let worked = git::find(path, excludes);
                repositories += worked.repositories.len();
                warnings.extend(promise::leading_out(&worked, paths, excludes));
            } else if meta.is_file() {
                std::fs::File::open(path).map_err(failed)?;
            }
            if !user.is_root() && meta.uid() != user.as_raw() {
                warnings.push(format!("{shown} belongs to another user: only root can read and restore it as it is"));
            }
        }
        let idle = excludes.idle(paths);
        warnings.extend(idle.iter().map(|pattern| {
            format!("`exclude` has {pattern:?}, which fits nothing in `paths` now: is it meant so? It is held against names, or with a `/` against paths")
        }));
        if repositories > 0 && git::program().is_none() {
            warnings.push("there is no `git`: HEAD and branches of the repositories are not promised".to_owned());
        }
        let summary = format!("{} path(s) with {repositories} git repositories", paths.len());
        Ok(Preflight { summary, warnings, impossible: None })
    }

    fn dump(self: Box<Self>, context: &RunContext) -> Result<Dump> {
        for path in &self.paths {
            let missing = |error| pack::missing_path(&path.display().to_string(), error);
            if path.is_dir() && path.read_dir().map_err(missing)?.next().is_none() {
                return Err(Error::failed(format!("cannot back up {}: it is empty", path.display()))
                    .hint("is its file system mounted? A directory that may be empty needs a file in it"));
            }
        }
        self.refuse_own_places()?;
        let Self { config, clock, hidden, paths, excludes, meanwhile, .. } = *self;
        let limit = config.assertion_timeout;
        context.progress.phase("backup", None);
        let as_of = clock.wall();
        let (inside, clock) = (context.clone(), clock.clone());
        let (mut readers, outcome) = stream::run("walk", context, move |sink| {
            let rules = Rules { limit, hidden: &hidden, seen: &[] };
            let repositories = Repositories::before(&paths, &excludes, &rules, &clock, &inside)?;
            let (packed, index) = Packer::new(sink, &inside, meanwhile)?.pack(&paths, &excludes)?;
            let promise = repositories.after(&packed.incomplete)?;
            // The archive ends well only now that everything about the source is known.
            sink.copy(index, "the index")?;
            if sink.end()? != packed.index {
                return Err(Error::failed("cannot read the index back: it is not what was written")
                    .hint("look at the disk and at the memory of this host"));
            }
            Ok((packed, promise))
        })?;
        let streams = in_order(vec![
            Stream { path: ARCHIVE.to_owned(), reader: readers.reader() },
            Stream { path: INDEX.to_owned(), reader: readers.last() },
        ]);
        let (progress, exclude) = (context.progress.clone(), config.exclude.clone());
        let finish = Box::new(move || {
            progress.finish();
            let (packed, promise) = outcome.take()?;
            Ok(captured(packed, promise, &exclude))
        });
        Ok(Dump { streams, as_of, finish })
    }
}

/// What a complete archive contains.
fn captured(packed: Packed, promise: Promise, exclude: &[String]) -> Captured {
    let file = |path: &str, role, part: stream::Part| StoredFileFacts {
        path: path.to_owned(),
        role,
        bytes: part.bytes,
        digest: part.digest,
    };
    let counts = packed.counts;
    let mut settings: BTreeMap<String, String> = [
        ("bytes", counts.bytes),
        ("directories", counts.directories),
        ("files", counts.files),
        ("hard_links", counts.hard_links),
        ("links", counts.links),
        ("others", counts.others),
        ("excluded", counts.excluded),
    ]
    .map(|(name, count)| (name.to_owned(), count.to_string()))
    .into();
    if !exclude.is_empty() {
        settings.insert("exclude".to_owned(), exclude.join(", "));
    }
    settings.extend(promise.settings);
    let mut tables = packed.roots;
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let left_out = [packed.left_out, promise.left_out].concat();
    let missing = left_out.iter().map(LeftOut::sentence);
    Captured {
        server: ServerIdentity {
            product: "files".to_owned(),
            version: rustix::system::uname().release().to_string_lossy().into_owned(),
            series: "1".to_owned(),
        },
        tool: concat!("backup-sla ", env!("CARGO_PKG_VERSION")).to_owned(),
        settings,
        position: None,
        files: vec![file(ARCHIVE, FileRole::Stream, packed.archive), file(INDEX, FileRole::Facts, packed.index)],
        promise: Promised::Exact(Inventory { tables, objects: promise.objects, reach: None }),
        segments: Vec::new(),
        needs: None,
        warnings: missing.chain(packed.warnings).chain(promise.warnings).collect(),
        left_out,
        cannot_return: Vec::new(),
        canaries: BTreeMap::new(),
        capture: crate::domain::capture::Capture::default(),
        evidence: packed.evidence,
    }
}
