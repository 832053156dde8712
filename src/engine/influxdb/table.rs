//! `[source.NAME.influxdb]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::engine::kind::Table;
use crate::engine::server_table::{databases, tls_ca};
use crate::strict::{Fault, Section, Subject, Value, secret, value};

const DEFAULT_QUERY_TIMEOUT: Duration = Duration::from_mins(1);

/// `[source.NAME.influxdb]`.
#[derive(Debug, Clone)]
pub struct InfluxdbConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// `HOST:PORT` of the server's backup and restore service.
    pub rpc_address: String,
    /// Account name, where the server asks for one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// `tls = { ca = FILE }`: verify an `https` server against this CA instead of the usual authorities.
    pub tls_ca: Option<PathBuf>,
    /// Databases to back up; empty means all but `_internal`.
    pub databases: Vec<String>,
    /// Directory of the program `influxd`; default: `PATH`.
    pub programs: Option<PathBuf>,
    /// How much of the live data is counted before a backup.
    pub counting: Counting,
    /// How long one counting query may take.
    pub query_timeout: Duration,
}

/// How much of the live data is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Every shard.
    Exact,
    /// The newest shards and a few others: for databases that are too big to be counted.
    Sampled,
}

/// Read the table of the source `source`.
pub fn read(source: &str, section: &Section<'_>) -> Table {
    let made_elsewhere = section.optional("backup_dir", value::inner_path).is_some();
    let (url, rpc_address) = if section.has("backup_dir") {
        section.not_built("backup_dir", Subject::Source(source), "`backup_dir` (backups made elsewhere)");
        (section.optional("url", http_url), section.optional("rpc_address", value::address))
    } else {
        (
            section.required("url", "url = \"http://127.0.0.1:8086\"", http_url),
            section.required("rpc_address", "rpc_address = \"127.0.0.1:8088\"", value::address),
        )
    };
    let tls_ca = tls_ca(section);
    if section.has("tls") && url.as_ref().is_some_and(|url| url.starts_with("http://")) {
        section.problem("tls", "`tls` needs a url that begins with https://: change `url`, or remove it");
    }
    let user = section.optional("user", value::text).map(str::to_owned);
    let password = secret::password(section);
    if user.is_none() && password.is_some() {
        section.incomplete("has a password and no `user`: write user = \"backup\"");
    }
    let counting = section.optional("counting", |v| value::one_of(v, &["exact", "sampled"]));
    let config = InfluxdbConfig {
        url: url.unwrap_or_default(),
        rpc_address: rpc_address.unwrap_or_default(),
        user,
        password,
        tls_ca,
        databases: databases(section),
        programs: section.optional("programs", |v| value::path(v, section.reading())),
        counting: if counting == Some("sampled") { Counting::Sampled } else { Counting::Exact },
        query_timeout: section.optional("query_timeout", value::duration).unwrap_or(DEFAULT_QUERY_TIMEOUT),
    };
    Table { settings: Arc::new(config), made_elsewhere }
}

/// `http://HOST:PORT` without what may stand behind it.
fn http_url(value: &Value<'_>) -> Result<String, Fault> {
    let url = value::text(value)?.trim_end_matches('/');
    match url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) {
        Some(rest) if !rest.is_empty() && !rest.contains(['/', '?', '#']) => {
            value::refuse_password(value, rest)?;
            if rest.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
                return Err(Fault::new(value, format!("has no port: write \"{url}:8086\"")));
            }
            Ok(url.to_owned())
        }
        _ => Err(Fault::new(value, "must be a URL such as \"http://127.0.0.1:8086\"")),
    }
}
