//! The throwaway server a drill restores into: same series as the source; monitoring, continuous queries, retention,
//! subscriptions and reporting off; authentication on. Its backup service asks nobody for a password, so it asks for a
//! network of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::survey;
use crate::domain::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::process::{self, find_program};
use crate::sandbox::{Data, Identity, Installation, Network, Place, ServerSpec, Text};

/// Account of the drill: accounts of the backup are restored as well.
pub const DRILL_ACCOUNT: &str = "backup_sla_drill";
/// Names of the ports.
pub const HTTP: &str = "http";
/// The port of the backup service.
pub const RPC: &str = "rpc";
const CONFIGURATION: &str = "influxd.toml";
/// What of the configuration names no place: the rest of `[data]`, what is off, and the first part of `[http]`.
const FEATURES: &str = r"query-log-enabled = false
max-series-per-database = 0
max-values-per-tag = 0

[retention]
enabled = false

[shard-precreation]
enabled = false

[monitor]
store-enabled = false

[subscriber]
enabled = false

[continuous_queries]
enabled = false

[http]
unix-socket-enabled = true
auth-enabled = true
log-enabled = false
";
/// Setting of the source that the sandbox shares: the index decides how much memory a series takes.
const INDEX: &str = "data.index-version";

/// How InfluxDB is installed on a host, for sandboxes that run there.
pub const INSTALLATION: Installation = Installation {
    server: &["influxd"],
    package: "influxdb",
    ask: &["version"],
    identify,
    first: &[],
    statements: None,
    initial: None,
    libraries: None,
    accounts: &["influxdb", "nobody"],
};

/// `InfluxDB v1.6.7 (git: …)`, of 1.x.
fn identify(said: &str) -> Option<Identity> {
    let version = said.split_whitespace().nth(1)?.trim_start_matches('v');
    let series = survey::identity(version).series;
    version.starts_with("1.").then(|| Identity { version: version.to_owned(), series })
}

/// `influxd` and its version.
pub fn program(directory: Option<&Path>) -> Result<(PathBuf, String)> {
    let program = find_program(directory, INSTALLATION.server).ok_or_else(|| {
        Error::inconclusive("cannot find the program `influxd`")
            .hint("install the server package of the source's series (Debian: influxdb), or set `programs`")
    })?;
    let said = process::answer(&program, INSTALLATION.ask).map_err(|error| error.with_kind(Kind::Inconclusive))?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match identify(&said) {
        Some(found) => Ok((program, found.version)),
        None => Err(Error::inconclusive(format!("cannot use {} as InfluxDB 1.x: it says {said:?}", program.display()))),
    }
}

/// The server to restore `manifest` into, with at most `memory` bytes. On this host its program is in `programs`.
pub fn spec(manifest: &Manifest, programs: Option<&Path>, memory: u64) -> ServerSpec {
    let wanted = &manifest.server;
    let index = manifest.settings.get(INDEX).map_or("inmem", String::as_str);
    let recorded = [
        ("index-version", index),
        ("continuous-queries", "off"),
        ("monitoring", "off"),
        ("reporting", "off"),
        ("retention-enforcement", "off"),
        ("subscriptions", "off"),
        ("authentication", "on"),
    ];
    let recorded = recorded.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ServerSpec {
        product: wanted.product.clone(),
        series: wanted.series.clone(),
        options: vec![("config".to_owned(), Text::from(Place::Own).then(format!("/{CONFIGURATION}")))],
        files: vec![(CONFIGURATION.to_owned(), configuration(index))],
        first_statements: String::new(),
        data: Data::New,
        named_time_zones: false,
        libraries: Vec::new(),
        extras: Vec::new(),
        memory,
        network: Network::Loopback(&[HTTP, RPC]),
        outside: Vec::new(),
        connections: Vec::new(),
        greeting: Some("GET /ping HTTP/1.0\r\n\r\n"),
        user: DRILL_ACCOUNT.to_owned(),
        password: Some(random_password()),
        recorded: BTreeMap::from(recorded),
        installation: INSTALLATION,
        programs: programs.map(Path::to_owned),
    }
}

/// A password that nobody knows.
pub fn random_password() -> SecretString {
    let bytes: [u8; 24] = rand::random();
    SecretString::from(bytes.map(|byte| format!("{byte:02x}")).concat())
}

fn configuration(index: &str) -> Text {
    Text::from("reporting-disabled = true\nbind-address = \"127.0.0.1:")
        .then(Place::Port(RPC))
        .then("\"\n\n[meta]\ndir = \"")
        .then(Place::Data)
        .then("/meta\"\nlogging-enabled = false\n\n[data]\ndir = \"")
        .then(Place::Data)
        .then("/data\"\nwal-dir = \"")
        .then(Place::Data)
        .then("/wal\"\n")
        .then(format!("index-version = \"{index}\"\n"))
        .then(FEATURES)
        .then("bind-address = \"127.0.0.1:")
        .then(Place::Port(HTTP))
        .then("\"\nbind-socket = \"")
        .then(Place::Socket)
        .then("\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_can_be_read_with_every_place_in_it() {
        let text = configuration("tsi1").written(|place| match place {
            Place::Port(name) => format!("{}", name.len()),
            Place::Data => "/x/data".to_owned(),
            other => format!("<{other:?}>"),
        });
        let read: toml::Table = text.parse().unwrap();
        let text = |table: &str, key: &str| read[table][key].as_str().unwrap().to_owned();
        assert_eq!(read["bind-address"].as_str(), Some("127.0.0.1:3"));
        assert_eq!(
            (text("http", "bind-address"), text("http", "bind-socket")),
            ("127.0.0.1:4".into(), "<Socket>".into())
        );
        assert_eq!((text("data", "wal-dir"), text("data", "index-version")), ("/x/data/wal".into(), "tsi1".into()));
        let switches = [&read["http"]["auth-enabled"], &read["retention"]["enabled"]];
        assert_eq!(switches.map(|switch| switch.as_bool().unwrap()), [true, false]);
    }

    #[test]
    fn only_influxdb_1_is_known() {
        assert_eq!(identify("InfluxDB v1.6.7 (git: unknown unknown)").unwrap().series, "1.6");
        assert_eq!(identify("InfluxDB v2.7.1 (git: x)"), None);
    }
}
