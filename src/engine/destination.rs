//! Where to load and what to inspect, and how people name it: `mysql://USER@HOST:PORT`, a directory.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use crate::error::{Error, Result};

/// Where to load or what to inspect: whatever the engine that made it needs to get there. Nobody else looks into it.
#[derive(Debug, Clone)]
pub struct Destination(Arc<dyn Any + Send + Sync>);

impl Destination {
    /// The destination that `place` describes.
    pub fn new(place: impl Any + Send + Sync) -> Self {
        Self(Arc::new(place))
    }

    /// What it was made from.
    ///
    /// # Errors
    /// Another kind of source made it.
    pub fn place<P: Any>(&self) -> Result<&P> {
        let place: &(dyn Any + Send + Sync) = &*self.0;
        place.downcast_ref().ok_or_else(|| Error::failed("cannot use a destination of another kind of source"))
    }
}

/// How to get into a destination that somebody named. A kind takes what it needs and ignores the rest.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Account name, where the address has none.
    pub user: Option<String>,
    /// Password; none means none is sent.
    pub password: Option<SecretString>,
    /// CA certificate file: TLS is required and the server verified against it.
    pub tls_ca: Option<PathBuf>,
    /// `HOST:PORT` of a second port, for servers that take files through one.
    pub rpc_address: Option<String>,
}

/// User, host (an IPv6 address in its brackets) and port of `rest`, which is `USER@HOST:PORT` and the end of `address`.
pub fn user_host_and_port(address: &str, rest: &str, user: &str, port: u16) -> Result<(String, String, u16)> {
    let (user, place) = rest.rsplit_once('@').unwrap_or((user, rest));
    if user.contains(':') {
        return Err(Error::configuration(
            "cannot use a destination with a password in its address: everybody would see it",
        )
        .hint("put the password into a file of mode 0600 and use --password-file"));
    }
    let (host, port) = match place.rsplit_once(':') {
        // A bare IPv6 address would lose its last part to the port.
        Some((host, port)) if host.contains(':') && !host.ends_with(']') && !port.contains(']') => ("", None),
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (place, Some(port)),
    };
    match port.filter(|_| !host.is_empty()) {
        Some(port) => Ok((user.to_owned(), host.to_owned(), port)),
        None => {
            Err(Error::configuration(format!("cannot use `{address}` as a destination: its host or port is not valid"))
                .hint("use KIND://USER@HOST:PORT, and put an IPv6 address into brackets"))
        }
    }
}
