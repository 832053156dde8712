//! The web configuration file (`--web.config.file`), in the format of the Prometheus exporter toolkit.
//!
//! It and the files it names are read again at every connection and request; what is wrong with a new version is said
//! once, and the version before stays in use. Nothing here repeats a value of the file: it may be a secret.

mod clients;
mod declared;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod names;
mod tls;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use tokio_rustls::rustls::ServerConfig;

use super::rate::Bucket;
use super::users::Users;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::strict::trust;
use declared::Declared;
use names::ClientAuth;
use tls::{Pem, TlsFiles};

/// Largest file that is read.
const LARGEST: u64 = 4 << 20;

/// What is in use.
pub(super) struct Settings {
    /// For handshakes; none for plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask.
    pub(super) users: Arc<Users>,
    /// How often it may be asked; none for no limit.
    pub(super) bucket: Option<Bucket>,
    verifies_clients: bool,
}

impl Settings {
    /// Without a file: plain HTTP for everybody.
    pub(super) fn open_to_all() -> Self {
        let users = Arc::new(Users::new(std::collections::BTreeMap::new()));
        Self { tls: None, headers: Vec::new(), users, bucket: None, verifies_clients: false }
    }

    /// Which protection `newer` would take away. A file is empty for a moment while it is written.
    fn lost_in(&self, newer: &Self) -> Option<&'static str> {
        if self.tls.is_some() && newer.tls.is_none() {
            return Some("TLS");
        }
        if !self.users.is_everybody() && newer.users.is_everybody() {
            return Some("all users");
        }
        (self.verifies_clients && !newer.verifies_clients).then_some("the verification of client certificates")
    }
}

/// Read and check the file at `path` and all files it names, as the service would.
pub fn check(path: &Path) -> Result<()> {
    Version::read(path).settings(&crate::clock::SystemClock::shared()).map(|_| ())
}

/// The file, followed through its changes.
pub(super) struct WebFile {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    current: Arc<Settings>,
    /// Of the version that was looked at last, whether it is in use or was refused.
    seen: blake3::Hash,
}

impl WebFile {
    /// Read the file for the first time.
    pub(super) fn open(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self> {
        let version = Version::read(&path);
        let seen = version.digest;
        let current = Arc::new(version.settings(&clock)?);
        Ok(Self { path, clock, state: Mutex::new(State { current, seen }) })
    }

    /// What is in use now. Reads files.
    pub(super) fn settings(&self) -> Arc<Settings> {
        let version = Version::read(&self.path);
        // What is in use is replaced in one step: a poisoned lock says nothing about it.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if version.digest == state.seen {
            return state.current.clone();
        }
        state.seen = version.digest;
        let newer = version.settings(&self.clock).and_then(|newer| match state.current.lost_in(&newer) {
            None => Ok(newer),
            Some(lost) => {
                Err(Error::configuration(format!("cannot use {}: it would turn off {lost}", self.path.display()))
                    .hint("restart the service if that is meant"))
            }
        });
        match newer {
            Ok(newer) => {
                state.current = Arc::new(newer);
                tracing::info!(file = %self.path.display(), "the new web configuration is in use");
            }
            Err(error) => {
                let hint = error.hint_text();
                tracing::error!(hint, "cannot reload the web configuration; the previous one stays in use: {error}");
            }
        }
        state.current.clone()
    }
}

/// The file and the files it names at one moment.
struct Version {
    digest: blake3::Hash,
    read: Result<(Declared, Option<TlsFiles>)>,
}

impl Version {
    fn read(path: &Path) -> Self {
        let mut hasher = blake3::Hasher::new();
        let read = read_all(path, &mut hasher);
        if let Err(error) = &read {
            hasher.update(error.to_string().as_bytes());
        }
        Self { digest: hasher.finalize(), read }
    }

    fn settings(self, clock: &Arc<dyn Clock>) -> Result<Settings> {
        let (declared, files) = self.read?;
        let tls = match (&declared.tls, &files) {
            (Some(tls), Some(files)) => {
                Some(tls.build(files).map_err(|e| e.with_kind(crate::error::Kind::Configuration))?)
            }
            _ => None,
        };
        let verifies_clients = declared
            .tls
            .as_ref()
            .is_some_and(|tls| matches!(tls.client_auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify));
        Ok(Settings {
            tls,
            headers: declared.headers,
            users: Arc::new(Users::new(declared.users)),
            bucket: declared.rate.map(|rate| Bucket::new(rate, clock.clone())),
            verifies_clients,
        })
    }
}

fn read_all(path: &Path, hasher: &mut blake3::Hasher) -> Result<(Declared, Option<TlsFiles>)> {
    let bytes = content(path, "web configuration", Some(trust::refuse_written_by_all))?;
    hasher.update(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::configuration(format!("cannot read web configuration {}: it is not UTF-8", path.display()))
    })?;
    let declared = declared::parse(path, &text)?;
    let Some(tls) = &declared.tls else { return Ok((declared, None)) };
    let mut pem = |pem: &Pem, name: &str, refuse: Option<Refuse>| {
        let bytes = match pem {
            Pem::Inline(text) => text.expose_secret().as_bytes().to_vec(),
            Pem::File(path) => content(path, name, refuse)?,
        };
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        Ok::<_, Error>(bytes)
    };
    let files = TlsFiles {
        certificate: pem(&tls.certificate, "cert_file", None)?,
        key: pem(&tls.key, "key_file", Some(trust::refuse_read_by_all))?,
        client_ca: tls
            .client_ca
            .as_ref()
            .map(|ca| pem(ca, "client_ca_file", Some(trust::refuse_written_by_all)))
            .transpose()?,
    };
    Ok((declared, Some(files)))
}

/// Says no to a file by what its mode allows others.
type Refuse = fn(&str, &Path, &fs::Metadata) -> Result<()>;

fn content(path: &Path, name: &str, refuse: Option<Refuse>) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |e: std::io::Error| {
        Error::configuration(format!("cannot read {name} {}", path.display()))
            .because(e)
            .hint("paths in the web configuration are relative to it; the service's account must be able to read them")
    };
    let file = fs::File::open(path).map_err(failed)?;
    if let Some(refuse) = refuse {
        refuse(name, path, &file.metadata().map_err(failed)?)?;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::configuration(format!("cannot read {name} {}: it is larger than 4 MiB", path.display())));
    }
    Ok(bytes)
}
