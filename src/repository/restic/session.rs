//! The opened repository: the password is checked once (that costs scrypt), the index is kept until files of it change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustic_core::repofile::MasterKey;
use rustic_core::{
    Credentials, FileType, Id, IndexedFullStatus, OpenStatus, Repository, RepositoryBackends, RepositoryOptions,
    WriteBackend,
};
use secrecy::{ExposeSecret, SecretString};

use super::failure::OrRefused;
use crate::error::{Error, Result};

/// An opened repository with its whole index in memory.
pub type Indexed = Repository<IndexedFullStatus>;

/// Opens a repository as rarely as possible.
pub struct Session {
    backend: Arc<dyn WriteBackend>,
    password: SecretString,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    key: Option<MasterKey>,
    index: Option<(BTreeSet<Id>, Arc<Indexed>)>,
}

impl Session {
    /// Nothing is opened yet.
    pub fn new(backend: Arc<dyn WriteBackend>, password: SecretString) -> Self {
        Self { backend, password, state: Mutex::default() }
    }

    /// The files underneath.
    pub fn backend(&self) -> &Arc<dyn WriteBackend> {
        &self.backend
    }

    /// The password as `rustic_core` wants it.
    pub fn credentials(&self) -> Credentials {
        Credentials::password(self.password.expose_secret())
    }

    /// Open through `backend`, which may be a gate in front of this session's own.
    pub fn open_through(&self, backend: Arc<dyn WriteBackend>) -> Result<Repository<OpenStatus>> {
        let key = self.key(&mut self.state())?;
        self.handle(backend, &Credentials::Masterkey(key))
    }

    /// The master key; the first call proves the password.
    pub fn master_key(&self) -> Result<MasterKey> {
        self.key(&mut self.state())
    }

    /// Whether there is a repository now.
    pub fn exists(&self) -> Result<bool> {
        Ok(!self.backend.list(FileType::Config).or_refused(self.what())?.is_empty())
    }

    /// An error where there is none.
    pub fn require(&self) -> Result<()> {
        if self.exists()? {
            return Ok(());
        }
        Err(Error::failed(format!("{}: there is no repository", self.what()))
            .hint("check the path, and that its file system is mounted; the first backup creates the repository"))
    }

    /// The key of a repository that was just created with this session's password.
    pub fn adopt_key(&self, key: MasterKey) {
        self.state().key = Some(key);
    }

    /// The repository with an index that knows everything on the disk now. Whenever index files came or went since the
    /// last call, it is read again from the disk.
    pub fn indexed(&self) -> Result<Arc<Indexed>> {
        let mut state = self.state();
        let key = self.key(&mut state)?;
        let now: BTreeSet<Id> = self.backend.list(FileType::Index).or_refused(self.what())?.into_iter().collect();
        if let Some((known, handle)) = &state.index
            && *known == now
        {
            return Ok(handle.clone());
        }
        // The old one goes first: two of them need not be in memory together.
        state.index = None;
        let handle = self.handle(self.backend.clone(), &Credentials::Masterkey(key))?;
        let handle = Arc::new(handle.to_indexed().or_refused(format!("read index of repository {}", self.location()))?);
        state.index = Some((now, handle.clone()));
        Ok(handle)
    }

    fn key(&self, state: &mut State) -> Result<MasterKey> {
        if let Some(key) = &state.key {
            return Ok(key.clone());
        }
        self.require()?;
        let key = self.handle(self.backend.clone(), &self.credentials())?.key();
        state.key = Some(key.clone());
        Ok(key)
    }

    fn handle(&self, backend: Arc<dyn WriteBackend>, credentials: &Credentials) -> Result<Repository<OpenStatus>> {
        // Its cache in the home directory is for slow remote places, and would hide damage from us.
        let mut options = RepositoryOptions::default();
        options.no_cache = true;
        let opened = Repository::new(&options, &RepositoryBackends::new(backend, None))
            .and_then(|repository| repository.open(credentials));
        match opened {
            Err(error) if error.is_incorrect_password() => {
                Err(Error::failed(format!("{}: the password is wrong", self.what())).hint(
                    "the password must be the one that the repository was created with: look at its password_file",
                ))
            }
            other => other.or_refused(self.what()),
        }
    }

    fn what(&self) -> String {
        format!("open repository {}", self.location())
    }

    fn location(&self) -> String {
        self.backend.location()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
