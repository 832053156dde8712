//! Reads `--to` and `--against`: `mysql://user@host:port`, `unix:/path`, `http://user@host:port`, or a directory.

use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;

use crate::config;
use crate::engine::{Destination, HttpDestination};
use crate::error::{Error, Result};

/// Where an InfluxDB answers if nobody changed it.
const HTTP_PORT: u16 = 8086;

/// How to get into the destination.
#[derive(Debug, Args)]
pub struct Credentials {
    /// Account at a `unix:` destination [default: root]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the password of the account at the destination (mode 0600)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// CA certificate: TLS is required and the server verified against it
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Backup service of an InfluxDB destination, its own `bind-address` [default: port 8088 where the server answers on
    /// port 8086; required otherwise]
    #[arg(long, value_name = "HOST:PORT")]
    rpc_address: Option<String>,
}

impl Credentials {
    /// What was typed, for another command to the same place.
    pub fn typed(&self) -> Vec<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let typed = [
            ("--user", self.user.clone()),
            ("--password-file", path(&self.password_file)),
            ("--tls-ca", path(&self.tls_ca)),
            ("--rpc-address", self.rpc_address.clone()),
        ];
        typed.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])).flatten().collect()
    }
}

/// Read a destination.
pub fn parse(text: &str, credentials: &Credentials) -> Result<Destination> {
    let password = credentials.password_file.as_deref().map(config::read_secret_file).transpose()?;
    let user = |fallback: &str| credentials.user.clone().unwrap_or_else(|| fallback.to_owned());
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Destination::Unix { socket: PathBuf::from(path), user: user("root"), password });
    }
    if let Some(rest) = text.strip_prefix("mysql://").or_else(|| text.strip_prefix("mariadb://")) {
        return tcp(text, rest.trim_end_matches('/'), &user("root"), password, credentials.tls_ca.clone());
    }
    if let Some((scheme, rest)) = text.split_once("://")
        && matches!(scheme, "http" | "https" | "influxdb")
    {
        return http(text, scheme, rest.trim_end_matches('/'), credentials, password);
    }
    if text.contains("://") {
        return Err(Error::configuration(format!("read destination `{text}`: unknown kind"))
            .hint("use mysql://USER@HOST:PORT, unix:/PATH/TO/SOCKET, http://USER@HOST:PORT or a directory"));
    }
    Ok(Destination::Directory(Path::new(text).to_owned()))
}

fn tcp(
    text: &str,
    rest: &str,
    user: &str,
    password: Option<SecretString>,
    tls_ca: Option<PathBuf>,
) -> Result<Destination> {
    let (user, host, port) = place(text, rest, user, 3306)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Destination::Tcp { host, port, user, password, tls_ca })
}

fn http(
    text: &str,
    scheme: &str,
    rest: &str,
    credentials: &Credentials,
    password: Option<SecretString>,
) -> Result<Destination> {
    let (user, host, port) = place(text, rest, credentials.user.as_deref().unwrap_or_default(), HTTP_PORT)?;
    if host.contains(['/', '?', '#']) {
        return Err(Error::configuration(format!("read destination `{text}`: something follows the port")));
    }
    let scheme = if scheme == "https" || credentials.tls_ca.is_some() { "https" } else { "http" };
    Ok(Destination::Http(Box::new(HttpDestination {
        url: format!("{scheme}://{host}:{port}"),
        socket: None,
        // Beside a server on another port, the usual port of the same host is as a rule production's.
        transfer_address: credentials.rpc_address.clone().or((port == HTTP_PORT).then(|| format!("{host}:8088"))),
        user,
        password,
        tls_ca: credentials.tls_ca.clone(),
        enter: Vec::new(),
        fresh: false,
    })))
}

/// User, host (an IPv6 address in its brackets) and port of `USER@HOST:PORT`.
fn place(text: &str, rest: &str, user: &str, port: u16) -> Result<(String, String, u16)> {
    let (user, place) = rest.rsplit_once('@').unwrap_or((user, rest));
    if user.contains(':') {
        return Err(Error::configuration("read destination: a password in the address would be seen by everybody")
            .hint("put it into a file of mode 0600 and use --password-file"));
    }
    let (host, port) = match place.rsplit_once(':') {
        // A bare IPv6 address would lose its last part to the port.
        Some((host, port)) if host.contains(':') && !host.ends_with(']') && !port.contains(']') => ("", None),
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (place, Some(port)),
    };
    match port.filter(|_| !host.is_empty()) {
        Some(port) => Ok((user.to_owned(), host.to_owned(), port)),
        None => Err(Error::configuration(format!("read destination `{text}`: host or port is not valid"))
            .hint("use KIND://USER@HOST:PORT, an IPv6 address in brackets")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Destination> {
        parse(text, &Credentials { user: None, password_file: None, tls_ca: None, rpc_address: None })
    }

    #[test]
    fn the_usual_transfer_port_is_assumed_only_beside_the_usual_http_port() {
        let transfer = |text: &str| match read(text) {
            Ok(Destination::Http(to)) => to.transfer_address,
            other => panic!("{other:?}"),
        };
        assert_eq!(transfer("http://[::1]").as_deref(), Some("[::1]:8088"));
        assert_eq!(transfer("https://new.example.org:8086/").as_deref(), Some("new.example.org:8088"));
        assert_eq!(transfer("http://127.0.0.1:9086"), None);
    }

    #[test]
    fn destinations_are_read_as_people_write_them() {
        let Ok(Destination::Tcp { host, port, user, .. }) = read("mysql://dba@[::1]:3307/") else { panic!() };
        assert_eq!((host.as_str(), port, user.as_str()), ("::1", 3307, "dba"));
        let Ok(Destination::Tcp { host, port, .. }) = read("mysql://[fe80::1]") else { panic!() };
        assert_eq!((host.as_str(), port), ("fe80::1", 3306));
        let Ok(Destination::Tcp { host, port, .. }) = read("mysql://db.example.org") else { panic!() };
        assert_eq!((host.as_str(), port), ("db.example.org", 3306));
        let Ok(Destination::Unix { socket, user, .. }) = read("unix:/run/x.sock") else { panic!() };
        assert_eq!((socket.to_str(), user.as_str()), (Some("/run/x.sock"), "root"));
        assert!(matches!(read("/srv/tree"), Ok(Destination::Directory(_))));
        for bad in ["mysql://u:p@h:1", "mysql://h:x", "mysql://:1", "mysql://::1", "mysql://fe80::1:3306", "ftp://h"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
