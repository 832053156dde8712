//! The engine on real files, with real git, bubblewrap and GNU tar. As root everything is tried; as another user what that
//! user may do.

mod changing;
mod differences;
mod hostile;
mod jailed;
mod parts;
mod repositories;
mod round_trip;
mod tricks;
mod whole;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::FilesEngine;
use super::target::Target;
use crate::clock::SystemClock;
use crate::domain::captured::Made;
use crate::domain::comparison::{Comparison, compare};
use crate::domain::host::HostIdentity;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::engine::files::table::FilesConfig;
use crate::engine::{Destination, Dump, Engine, InspectOptions, LoadOptions, LoadReport, Preflight, StoredPoint};
use crate::error::Result;
use crate::repository::memory::MemoryRepository;
use crate::repository::{NewCandidate, Repository, Storing};
use crate::run_context::RunContext;

/// A source tree `live` and an empty destination `restored`, in a private directory.
struct Bench {
    directory: tempfile::TempDir,
    exclude: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("live")).unwrap();
        fs::create_dir(directory.path().join("restored")).unwrap();
        Self { directory, exclude: Vec::new() }
    }

    /// The same in a directory that jails show.
    fn among_programs() -> Self {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in("/usr/local").unwrap();
        mode(directory.path(), 0o755);
        fs::create_dir(directory.path().join("live")).unwrap();
        fs::create_dir(directory.path().join("restored")).unwrap();
        Self { directory, exclude: Vec::new() }
    }

    fn excluding(patterns: &[&str]) -> Self {
        let mut bench = Self::new();
        bench.exclude = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        bench
    }

    fn live(&self) -> PathBuf {
        self.directory.path().join("live")
    }

    fn restored(&self) -> PathBuf {
        self.directory.path().join("restored")
    }

    /// Where the restored copy of `live` is.
    fn copy(&self) -> PathBuf {
        self.inside(&self.restored())
    }

    /// Where `live` is in a destination.
    fn inside(&self, destination: &Path) -> PathBuf {
        destination.join(self.live().strip_prefix("/").unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.live().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn engine(&self) -> FilesEngine {
        self.engine_of(vec![self.live()], Duration::from_mins(1))
    }

    fn engine_of(&self, paths: Vec<PathBuf>, assertion_timeout: Duration) -> FilesEngine {
        let config = FilesConfig { paths, exclude: self.exclude.clone(), assertion_timeout };
        FilesEngine::new(config, SystemClock::shared(), Vec::new())
    }

    /// An engine that has these places of its own.
    fn engine_with(&self, own: Vec<PathBuf>) -> FilesEngine {
        let assertion_timeout = Duration::from_mins(1);
        let config = FilesConfig { paths: vec![self.live()], exclude: self.exclude.clone(), assertion_timeout };
        FilesEngine::new(config, SystemClock::shared(), own)
    }

    fn back_up(&self) -> StoredPoint {
        store(self.dump(&RunContext::silent()).unwrap()).unwrap()
    }

    fn dump(&self, context: &RunContext) -> Result<Dump> {
        self.engine().preflight(context)?.dump(context)
    }

    /// What `check-config --connect` shows.
    fn describe(&self) -> Preflight {
        self.engine().preflight(&RunContext::silent()).unwrap().describe().unwrap()
    }

    fn load(&self, point: &StoredPoint, options: &LoadOptions) -> Result<LoadReport> {
        self.engine().load(point, &Destination::new(Target::Named(self.restored())), options, &RunContext::silent())
    }

    fn restore(&self, point: &StoredPoint) -> LoadReport {
        self.load(point, &LoadOptions::default()).unwrap()
    }

    /// What differs between the destination and the promise, as a report would say it.
    fn differences(&self, point: &StoredPoint) -> String {
        self.compare(point, &self.restored()).reason()
    }

    fn compare(&self, point: &StoredPoint, destination: &Path) -> Comparison {
        let at = Destination::new(Target::Named(destination.to_owned()));
        let inspection = self.engine().inspect(&at, point, &InspectOptions::default(), &RunContext::silent()).unwrap();
        assert_eq!(inspection.problems, [""; 0]);
        // In the order of a reader's interest: what differs by its own name before what follows from it.
        let mut comparison = Comparison { checks: inspection.checks, ..Comparison::default() };
        comparison.checks.extend(compare(point.manifest.inventory(), &inspection.inventory).checks);
        assert!(!comparison.checks.is_empty());
        comparison
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A directory that its owner may not write to cannot be emptied.
        let _ = Command::new("chmod").args(["-R", "u+rwX"]).arg(self.directory.path()).output();
    }
}

/// Store a dump in a repository of its own.
fn store(dump: Dump) -> Result<StoredPoint> {
    let repository = MemoryRepository::default();
    let id = RecoveryPointId("point".to_owned());
    let new = NewCandidate { source: "tree".to_owned(), id: id.clone(), as_of: dump.as_of, streams: dump.streams };
    let stored = repository.store(new);
    let captured = (dump.finish)()?;
    let candidate = stored?;
    for file in &captured.files {
        assert!(candidate.files.contains(&(file.path.clone(), file.bytes)), "{}", file.path);
    }
    let manifest = captured.full(Made {
        id: id.clone(),
        source: "tree".to_owned(),
        engine: "files".to_owned(),
        host: HostIdentity { id: "0a".to_owned(), name: "here".to_owned() },
        as_of: candidate.as_of,
        finished: candidate.as_of,
        created_by: "a test".to_owned(),
    });
    repository.publish(candidate, &manifest)?;
    Ok(point(repository, manifest, id))
}

fn point(repository: MemoryRepository, manifest: Manifest, id: RecoveryPointId) -> StoredPoint {
    StoredPoint::full(manifest, Arc::new(move |path| repository.open("tree", &id, path)))
}

/// All bytes of a stored file.
fn stored(point: &StoredPoint, path: &str) -> Vec<u8> {
    let file = (point.open)(path).unwrap();
    file.read_at(0, usize::try_from(file.len()).unwrap()).unwrap().to_vec()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
