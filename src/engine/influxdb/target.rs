//! The server that a restore writes to: asked over HTTP, given files through a second port.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::engine::destination::{Credentials, Destination, user_host_and_port};
use crate::error::{Error, Result};

/// Where an InfluxDB answers if nobody changed it.
const HTTP_PORT: u16 = 8086;

/// A server that is asked over HTTP and given files through a second port.
#[derive(Debug, Clone)]
pub struct Target {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// Unix socket to speak HTTP through, instead of a connection to the host of `url`.
    pub socket: Option<PathBuf>,
    /// `HOST:PORT` of the port for files; none where it was not given and cannot be told from `url`.
    pub transfer_address: Option<String>,
    /// Account name; empty means none is sent.
    pub user: String,
    /// Password.
    pub password: Option<SecretString>,
    /// CA certificate file that an `https` server is verified against; none means the usual authorities.
    pub tls_ca: Option<PathBuf>,
    /// What to put in front of a program that has to reach `transfer_address`.
    pub enter: Vec<String>,
    /// A fresh server that has no accounts: the one named here is made first.
    pub fresh: bool,
}

impl Target {
    /// What `destination` was made from.
    pub fn of(destination: &Destination) -> Result<&Self> {
        destination.place()
    }

    /// The server at `http://USER@HOST:PORT`, `https://…` or `influxdb://…`.
    pub fn named(address: &str, credentials: &Credentials) -> Result<Self> {
        let unusable = |why: &str| {
            Error::configuration(format!("cannot use `{address}` as a destination: {why}")).hint(
                "use http://USER@HOST:PORT; add --rpc-address HOST:PORT if its backup service is not on port 8088",
            )
        };
        let (scheme, rest) = address
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https" | "influxdb"))
            .ok_or_else(|| unusable("it must be the HTTP address of an InfluxDB server"))?;
        let user = credentials.user.as_deref().unwrap_or_default();
        let (user, host, port) = user_host_and_port(address, rest.trim_end_matches('/'), user, HTTP_PORT)?;
        if host.contains(['/', '?', '#']) {
            return Err(unusable("something follows the port"));
        }
        let scheme = if scheme == "https" || credentials.tls_ca.is_some() { "https" } else { "http" };
        Ok(Self {
            url: format!("{scheme}://{host}:{port}"),
            socket: None,
            // Beside a server on another port, the usual port of the same host is as a rule production's.
            transfer_address: credentials.rpc_address.clone().or((port == HTTP_PORT).then(|| format!("{host}:8088"))),
            user,
            password: credentials.password.clone(),
            tls_ca: credentials.tls_ca.clone(),
            enter: Vec::new(),
            fresh: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str) -> Result<Target> {
        Target::named(address, &Credentials::default())
    }

    #[test]
    fn the_usual_transfer_port_is_assumed_only_beside_the_usual_http_port() {
        let transfer = |address: &str| read(address).unwrap().transfer_address;
        assert_eq!(transfer("http://[::1]").as_deref(), Some("[::1]:8088"));
        assert_eq!(transfer("https://new.example.org:8086/").as_deref(), Some("new.example.org:8088"));
        assert_eq!(transfer("http://127.0.0.1:9086"), None);
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let target = read("influxdb://dba@db.example.org:9086/").unwrap();
        assert_eq!((target.url.as_str(), target.user.as_str()), ("http://db.example.org:9086", "dba"));
        for bad in ["http://u:p@h:1", "http://h:x", "http://:1", "http://h/path", "mysql://h", "unix:/x", "/srv/tree"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
