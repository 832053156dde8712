//! Repository in the restic format, over a [`Place`]: any restic binary lists, checks and dumps what is stored here.
//!
//! A published recovery point is one snapshot with the tags `backup-sla`, `source=NAME`, `point=ID` and `stored=BYTES`, and
//! in it the directory `/NAME` with the streams and `manifest.json`. Nothing else in the repository is ours or is touched.
//! What we rely on, and which traps are covered where: `docs/restic-format.md`. This folder is the only one that
//! names `rustic_core`.

mod backend;
mod bounds;
mod candidate;
mod catalogue;
mod checking;
mod cipher;
mod failure;
mod freeing;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gate;
mod packs;
mod publication;
mod restic_lock;
mod secret;
mod session;
mod setup;
mod space;
mod stored_file;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::WriteBackend;
use secrecy::SecretString;

use self::backend::PlaceBackend;
use self::candidate::Stored;
use self::catalogue::Found;
use self::packs::SeenPacks;
use self::secret::Secret;
use self::session::Session;
pub use self::setup::ResticOptions;
use self::space::Measured;
use super::admission::{check_manifest, check_new};
use super::place::{Place, local::LocalPlace};
use super::{
    Candidate, CheckDepth, Checked, FreeRequest, Freed, Listing, NewCandidate, Repository, Space, StoredFile, Storing,
};
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::error::{Error, Result};
use crate::run_context::RunContext;

/// A restic repository.
pub struct ResticRepository {
    files: Arc<PlaceBackend>,
    session: Session,
    options: ResticOptions,
    measured: Measured,
    packs: SeenPacks,
}

impl ResticRepository {
    /// The repository in the directory `location`; nothing is opened before it is needed.
    pub fn new(location: PathBuf, password: SecretString) -> Self {
        Self::at(Arc::new(LocalPlace::new(location)), Secret::Fixed(password))
    }

    /// The same with the password in `file`, which is read again whenever the repository is opened to be looked at.
    pub fn with_password_file(location: PathBuf, file: PathBuf) -> Self {
        Self::at(Arc::new(LocalPlace::new(location)), Secret::File(file))
    }

    /// The repository in `place`.
    fn at(place: Arc<dyn Place>, secret: Secret) -> Self {
        let files = Arc::new(PlaceBackend::new(place));
        Self::through(files.clone(), files, secret)
    }

    /// Settings for a repository that [`Storing::prepare`] has to create.
    #[must_use]
    pub fn with_options(mut self, options: ResticOptions) -> Self {
        self.options = options;
        self
    }

    fn through(files: Arc<PlaceBackend>, backend: Arc<dyn WriteBackend>, secret: Secret) -> Self {
        Self {
            files,
            session: Session::new(backend, secret),
            options: ResticOptions::default(),
            measured: Measured::default(),
            packs: SeenPacks::default(),
        }
    }

    fn check_unused(&self, source: &str, id: &RecoveryPointId) -> Result<()> {
        match catalogue::find(&self.session, source, id)? {
            Found::No | Found::Perhaps(_) => Ok(()),
            Found::Tree(_) => {
                Err(Error::failed(format!("cannot store backup {id} of {source}: it is published already")))
            }
        }
    }
}

impl Repository for ResticRepository {
    fn location(&self) -> String {
        self.files.place().location()
    }

    fn exists(&self) -> Result<bool> {
        self.session.exists()
    }

    fn open_existing(&self) -> Result<()> {
        self.files.refuse_links()?;
        self.session.prove()
    }

    fn identity(&self) -> Result<Option<String>> {
        self.session.identity().map(Some)
    }

    fn incomplete(&self) -> Result<Option<Error>> {
        self.session.lost_packs(&self.files, &self.packs)
    }

    fn afresh(&self) -> Option<Arc<dyn Repository>> {
        Some(Arc::new(Self {
            files: self.files.clone(),
            session: self.session.afresh(),
            options: self.options,
            measured: Measured::default(),
            packs: SeenPacks::default(),
        }))
    }

    fn listing(&self, source: Option<&str>) -> Result<Listing> {
        catalogue::list(&self.session, source)
    }

    fn space(&self) -> Result<Space> {
        self.measured.space(self.files.place())
    }

    fn storing(&self) -> Result<&dyn Storing> {
        Ok(self)
    }

    fn open(&self, source: &str, point: &RecoveryPointId, path: &str) -> Result<Arc<dyn StoredFile>> {
        stored_file::open(&self.session, source, point, path)
    }
}

impl Storing for ResticRepository {
    fn prepare(&self) -> Result<()> {
        setup::prepare(&self.files, &self.session, &self.options)
    }

    fn store(&self, new: NewCandidate) -> Result<Candidate> {
        check_new(&new)?;
        self.check_unused(&new.source, &new.id)?;
        candidate::store(&self.session, new)
    }

    fn forget(&self, source: &str, points: &[RecoveryPointId]) -> Result<()> {
        freeing::forget(&self.session, source, points)
    }

    fn free(&self, request: &FreeRequest<'_>) -> Result<Freed> {
        freeing::free(&self.session, &self.files, request)
    }

    fn check(&self, depth: CheckDepth<'_>, context: &RunContext) -> Result<Checked> {
        checking::check(&self.session, depth, context)
    }

    fn publish(&self, candidate: Candidate, manifest: &Manifest) -> Result<u64> {
        check_manifest(&candidate, manifest)?;
        self.check_unused(&candidate.source, &candidate.id)?;
        let what = format!("cannot publish backup {} of {}", candidate.id, candidate.source);
        let stored = candidate
            .handle
            .downcast_ref::<Stored>()
            .ok_or_else(|| Error::failed(format!("{what}: it was stored in another kind of repository")))?;
        publication::publish(&self.session, &candidate, stored, manifest).map_err(|e| e.context(what))
    }
}
