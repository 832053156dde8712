//! The throwaway server a drill restores into: same series as the source; monitoring, continuous queries, retention,
//! subscriptions and reporting off; authentication on. Its backup service asks nobody for a password, so it asks for a
//! network of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::survey::identity;
use crate::domain::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::process::{self, find_program};
use crate::sandbox::{Fixed, Network, ServerSpec};

/// Account of the drill: accounts of the backup are restored as well.
pub const DRILL_ACCOUNT: &str = "backup_sla_drill";
/// Names of the ports.
pub const HTTP: &str = "http";
/// The port of the backup service.
pub const RPC: &str = "rpc";
const CONFIGURATION: &str = "influxd.toml";
/// Setting of the source that the sandbox shares: the index decides how much memory a series takes.
const INDEX: &str = "data.index-version";

/// `influxd` and its version.
pub fn program(directory: Option<&Path>) -> Result<(PathBuf, String)> {
    let program = find_program(directory, &["influxd"]).ok_or_else(|| {
        Error::inconclusive("cannot find the program `influxd`")
            .hint("install the server package of the source's series (Debian: influxdb), or set `programs`")
    })?;
    let said = process::answer(&program, &["version"]).map_err(|error| error.with_kind(Kind::Inconclusive))?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let version = said.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('v').to_owned();
    if version.starts_with("1.") {
        return Ok((program, version));
    }
    Err(Error::inconclusive(format!("cannot use {} as InfluxDB 1.x: it says {said:?}", program.display())))
}

/// The server to restore `manifest` into, with at most `memory` bytes.
pub fn spec(manifest: &Manifest, programs: Option<&Path>, memory: u64) -> Result<ServerSpec> {
    let wanted = &manifest.server;
    let (program, version) = program(programs)?;
    let found = identity(&version);
    if found.series != wanted.series {
        let what = format!(
            "cannot provide an InfluxDB {} server to restore into: {} is {version}",
            wanted.series,
            program.display()
        );
        return Err(Error::inconclusive(what).hint(
            "a drill in another series proves nothing; install the source's series, or set `programs` in [sandbox]",
        ));
    }
    let index = manifest.settings.get(INDEX).map_or("inmem", String::as_str);
    let settings = [
        ("index-version", index),
        ("continuous-queries", "off"),
        ("monitoring", "off"),
        ("reporting", "off"),
        ("retention-enforcement", "off"),
        ("subscriptions", "off"),
        ("authentication", "on"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(ServerSpec {
        product: wanted.product.clone(),
        version,
        program,
        args: vec!["-config".to_owned(), format!("{{dir}}/{CONFIGURATION}")],
        template: None,
        settings: BTreeMap::from(settings),
        memory,
        files: vec![(CONFIGURATION.to_owned(), configuration(index))],
        fixed: Fixed::default(),
        accounts: &["influxdb", "nobody"],
        user: DRILL_ACCOUNT.to_owned(),
        password: Some(random_password()),
        network: Network::Loopback(&[HTTP, RPC]),
        outside: Vec::new(),
        connections: Vec::new(),
        greeting: Some("GET /ping HTTP/1.0\r\n\r\n".to_owned()),
    })
}

/// A password that nobody knows.
pub fn random_password() -> SecretString {
    let bytes: [u8; 24] = rand::random();
    SecretString::from(bytes.map(|byte| format!("{byte:02x}")).concat())
}

fn configuration(index: &str) -> String {
    format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:{{port:rpc}}"

[meta]
dir = "{{data}}/meta"
logging-enabled = false

[data]
dir = "{{data}}/data"
wal-dir = "{{data}}/wal"
index-version = "{index}"
query-log-enabled = false
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
bind-address = "127.0.0.1:{{port:http}}"
unix-socket-enabled = true
bind-socket = "{{socket}}"
auth-enabled = true
log-enabled = false
"#
    )
}
