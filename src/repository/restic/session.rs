//! The opened repository: the password is tried again when it, the repository's key files or its config changed (that costs
//! scrypt), the index is kept until files of it change.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustic_core::repofile::MasterKey;
use rustic_core::{
    Credentials, FileType, Id, IndexedFullStatus, OpenStatus, Repository, RepositoryBackends, RepositoryOptions,
    WriteBackend,
};
use secrecy::{ExposeSecret, SecretString};

use super::backend::PlaceBackend;
use super::bounds::{Bounded, PackLengths};
use super::failure::{DAMAGE_HINT, OrRefused, io_failure};
use super::packs::SeenPacks;
use super::secret::Secret;
use crate::error::{Error, Result, Side};

/// An opened repository with its whole index in memory.
pub type Indexed = Repository<IndexedFullStatus>;

/// Opens a repository as rarely as possible.
pub struct Session {
    backend: Arc<dyn WriteBackend>,
    secret: Secret,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    key: Option<MasterKey>,
    /// With what the key was found.
    proof: Option<Proof>,
    /// Of the repository that was opened, as its config has it.
    identity: Option<String>,
    index: Option<Index>,
}

/// What the index files said when they were read.
#[derive(Clone)]
struct Index {
    files: BTreeSet<(Id, u32)>,
    handle: Arc<Indexed>,
    packs: Arc<PackLengths>,
}

/// The passwords that were tried, and the key files and the config they were tried on. As long as none of them changes, a
/// further try would end as the last one did: key files are encrypted with the password and nothing else.
#[derive(PartialEq, Eq)]
pub struct Proof {
    passwords: [u8; 32],
    key_files: BTreeSet<Id>,
    config: [u8; 32],
}

impl Session {
    /// Nothing is opened yet.
    pub fn new(backend: Arc<dyn WriteBackend>, secret: Secret) -> Self {
        Self { backend, secret, state: Mutex::default() }
    }

    /// The same repository and secret, and nothing that was read before.
    pub fn afresh(&self) -> Self {
        Self::new(self.backend.clone(), self.secret.clone())
    }

    /// The files underneath.
    pub fn backend(&self) -> &Arc<dyn WriteBackend> {
        &self.backend
    }

    /// The password for a new repository as `rustic_core` wants it, and its digest: what proves later that it is still the same.
    pub fn new_credentials(&self) -> Result<(Credentials, [u8; 32])> {
        let passwords = self.secret.candidates()?;
        Ok((Credentials::password(passwords[0].expose_secret()), digest(&passwords)))
    }

    /// Whether the secret opens the repository as both are now, whatever was opened before.
    ///
    /// Errors: there is no repository, the secret cannot be read, no key file is left, or none opens with it.
    pub fn prove(&self) -> Result<()> {
        self.require()?;
        let passwords = self.secret.candidates()?;
        let mut state = self.state();
        let proof = self.proof(digest(&passwords))?;
        // A file that is not what its name says is read by the one who tries it, who can say what is wrong.
        let are_whole = proof.key_files.iter().all(|id| self.backend.read_full(FileType::Key, id).is_ok());
        if are_whole && state.key.is_some() && state.proof.as_ref() == Some(&proof) {
            return Ok(());
        }
        // Another repository may be in its place.
        *state = State::default();
        let (key, identity) = self.unlock(&passwords)?;
        *state = State { key: Some(key), proof: Some(proof), identity: Some(identity), index: None };
        Ok(())
    }

    /// The id of the repository as it is now, which is made with it and stays for its life.
    pub fn identity(&self) -> Result<String> {
        self.prove()?;
        let state = self.state();
        state.identity.clone().ok_or_else(|| Error::failed(format!("{}: it has no id", self.what())))
    }

    fn proof(&self, passwords: [u8; 32]) -> Result<Proof> {
        let config = self.backend.read_full(FileType::Config, &Id::default()).or_refused(self.what())?;
        Ok(Proof { passwords, key_files: self.key_files()?, config: *blake3::hash(&config).as_bytes() })
    }

    fn key_files(&self) -> Result<BTreeSet<Id>> {
        let found: BTreeSet<Id> = self.backend.list(FileType::Key).or_refused(self.what())?.into_iter().collect();
        if found.is_empty() {
            return Err(Error::failed(format!("{}: its directory `keys` is empty", self.what())).hint(
                "put the key file back from a copy of the repository: without it nothing in the repository can be decrypted",
            ));
        }
        Ok(found)
    }

    /// The master key, by the first password that opens a key file, and the repository's id.
    fn unlock(&self, passwords: &[SecretString; 2]) -> Result<(MasterKey, String)> {
        let open = |password: &SecretString| {
            self.handle(self.backend.clone(), &Credentials::password(password.expose_secret()))
        };
        let opened = match open(&passwords[0]) {
            Err(Refusal::Password(error)) => open(&passwords[1]).map_err(|_| error),
            other => other.map_err(Refusal::into_error),
        };
        let opened = opened?;
        Ok((opened.key(), identity_of(&opened)))
    }

    /// Open through `backend`, which may be a gate in front of this session's own.
    pub fn open_through(&self, backend: Arc<dyn WriteBackend>) -> Result<Repository<OpenStatus>> {
        let key = self.key(&mut self.state())?;
        self.handle(backend, &Credentials::Masterkey(key)).map_err(Refusal::into_error)
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
    pub fn adopt(&self, created: &Repository<OpenStatus>, made_with: [u8; 32]) {
        let proof = self.proof(made_with).ok();
        *self.state() = State { key: Some(created.key()), proof, identity: Some(identity_of(created)), index: None };
    }

    /// The repository with an index that knows everything on the disk now. Whenever index files came or went since the
    /// last call, it is read again from the disk.
    pub fn indexed(&self) -> Result<Arc<Indexed>> {
        self.index().map(|index| index.handle)
    }

    /// The same, and the packs that its index promises, with their lengths.
    pub fn promised_packs(&self) -> Result<(Arc<Indexed>, Arc<PackLengths>)> {
        self.index().map(|index| (index.handle, index.packs))
    }

    /// What of the packs that the index promises is not there, or not as long as it should be.
    pub fn lost_packs(&self, files: &PlaceBackend, seen: &SeenPacks) -> Result<Option<Error>> {
        // Somebody's `prune` takes packs away after it wrote an index without them.
        for attempt in 0..3 {
            let index = self.index()?;
            let found = seen.lengths(files.place()).map_err(|error| io_failure(self.what(), error))?;
            let lost: Vec<(&Id, &u32)> =
                index.packs.iter().filter(|(id, length)| found.get(*id) != Some(*length)).collect();
            let Some((first, length)) = lost.first() else { return Ok(None) };
            if attempt == 0 {
                // What came within the grain of a directory's time was not seen.
                seen.forget();
                continue;
            }
            if self.index()?.files == index.files {
                let is = found.get(*first).map_or("missing".to_owned(), |found| format!("{found} bytes long"));
                return Ok(Some(
                    Error::failed(format!(
                        "cannot read repository {} whole: {} of {} packs are missing or of another length, one is {}, which \
                         is {is} and should have {length} bytes",
                        self.location(),
                        lost.len(),
                        index.packs.len(),
                        first.to_hex().as_str()
                    ))
                    .hint(DAMAGE_HINT)
                    .on(Side::Repository),
                ));
            }
        }
        Ok(None)
    }

    fn index(&self) -> Result<Index> {
        let mut state = self.state();
        let key = self.key(&mut state)?;
        let now: BTreeSet<(Id, u32)> =
            self.backend.list_with_size(FileType::Index).or_refused(self.what())?.into_iter().collect();
        if let Some(known) = state.index.as_ref().filter(|known| known.files == now) {
            return Ok(known.clone());
        }
        // The old one goes first: two of them need not be in memory together.
        state.index = None;
        let bounded = Bounded::indexing(self.backend.clone(), &key)?;
        let handle = self.open_bounded(bounded.clone(), &Credentials::Masterkey(key)).map_err(Refusal::into_error)?;
        let handle =
            handle.to_indexed().or_refused(format!("cannot read the index of repository {}", self.location()))?;
        let index = Index { files: now, handle: Arc::new(handle), packs: Arc::new(bounded.promised_packs()) };
        state.index = Some(index.clone());
        Ok(index)
    }

    fn key(&self, state: &mut State) -> Result<MasterKey> {
        if let Some(key) = &state.key {
            return Ok(key.clone());
        }
        self.require()?;
        let passwords = self.secret.candidates()?;
        let proof = self.proof(digest(&passwords))?;
        let (key, identity) = self.unlock(&passwords)?;
        *state = State { key: Some(key.clone()), proof: Some(proof), identity: Some(identity), index: None };
        Ok(key)
    }

    fn handle(
        &self,
        backend: Arc<dyn WriteBackend>,
        credentials: &Credentials,
    ) -> Result<Repository<OpenStatus>, Refusal> {
        let backend = match credentials {
            Credentials::Password(_) => Bounded::keys(backend),
            Credentials::Masterkey(key) => Bounded::unpacking(backend, key).map_err(Refusal::Other)?,
        };
        self.open_bounded(backend, credentials)
    }

    fn open_bounded(
        &self,
        backend: Arc<Bounded>,
        credentials: &Credentials,
    ) -> Result<Repository<OpenStatus>, Refusal> {
        // Its cache in the home directory is for slow remote places, and would hide damage from us.
        let mut options = RepositoryOptions::default();
        options.no_cache = true;
        let opened = Repository::new(&options, &RepositoryBackends::new(backend, None))
            .and_then(|repository| repository.open(credentials));
        match opened {
            Err(error) if error.is_incorrect_password() => {
                Err(Refusal::Password(Error::failed(format!("{}: the password is wrong", self.what())).hint(
                    "the password must be the one that the repository was created with: look at its password_file",
                )))
            }
            other => other.or_refused(self.what()).map_err(Refusal::Other),
        }
    }

    fn what(&self) -> String {
        format!("cannot open repository {}", self.location())
    }

    fn location(&self) -> String {
        self.backend.location()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity_of(opened: &Repository<OpenStatus>) -> String {
    opened.config().id.to_hex().as_str().to_owned()
}

/// Why a repository was not opened.
enum Refusal {
    /// No key file opens with the password.
    Password(Error),
    Other(Error),
}

impl Refusal {
    fn into_error(self) -> Error {
        match self {
            Self::Password(error) | Self::Other(error) => error,
        }
    }
}

/// Enough to see that a password changed, and nothing to find it by without a search.
fn digest(passwords: &[SecretString; 2]) -> [u8; 32] {
    *blake3::hash(passwords[0].expose_secret().as_bytes()).as_bytes()
}
