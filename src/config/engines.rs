//! The tables of the source kinds: `[source.NAME.mysql]`, `[source.NAME.influxdb]`, `[source.NAME.files]`.

use std::path::{Component, PathBuf};
use std::time::Duration;

use super::reading::{Reading, Subject};
use super::section::{Fault, Section, Value};
use super::{Counting, FilesConfig, InfluxdbConfig, MysqlConfig, secret, value};

const DEFAULT_PORT: u16 = 3306;
const DEFAULT_QUERY_TIMEOUT: Duration = Duration::from_mins(1);
/// Most time for the answer to an assertion, unless said otherwise.
const ASSERTION_TIMEOUT: Duration = Duration::from_mins(10);

/// What `[source.NAME.mysql]` says.
pub(super) struct Mysql {
    /// Meaningful only without problems.
    pub(super) config: MysqlConfig,
    /// Somebody else makes the backups; we watch and drill.
    pub(super) watched: bool,
}

/// What `[source.NAME.influxdb]` says.
pub(super) struct Influxdb {
    /// Meaningful only without problems.
    pub(super) config: InfluxdbConfig,
    /// Somebody else makes the backups; we watch and drill.
    pub(super) watched: bool,
}

/// Read the `mysql` table of the source `name`.
pub(super) fn mysql(name: &str, section: &Section<'_>) -> Mysql {
    let reading = section.reading();
    let socket = section.optional("socket", |v| value::path(v, reading));
    let host = section.optional("host", value::host);
    let port = section.optional("port", |v| value::integer(v, 1, u32::from(u16::MAX)));
    let tls_ca = section.table("tls", "{ ca = \"ca.pem\" }").and_then(|tls| tls_ca(&tls));
    let user = section.optional("user", value::text).map(str::to_owned);
    let password = secret::password(section);
    let databases = databases(section);
    let programs = section.optional("programs", |v| value::path(v, reading));
    let watched = section.optional("dump_file", value::inner_path).is_some();
    if watched {
        section.not_built("dump_file", Subject::Source(name), "`dump_file` (backups made elsewhere)");
    }

    match (section.has("socket"), section.has("host")) {
        (true, true) => section.problem("host", "both `socket` and `host` are given: remove one"),
        (false, false) if !section.has("dump_file") => {
            section.incomplete(
                "does not say where the server is: write `socket = \"/run/mysqld/mysqld.sock\"` or `host = \"NAME\"`",
            );
        }
        _ => {}
    }
    if !section.has("host") {
        for key in ["port", "tls"].into_iter().filter(|key| section.has(key)) {
            section.problem(key, format!("`{key}` needs `host`; a unix socket has none: remove it"));
        }
    }
    let user = user.or_else(|| current_user(reading));
    if user.is_none() && !section.has("user") && !watched {
        section.incomplete("has no `user`, and the name of the current user is unknown: write user = \"backup\"");
    }
    // Read by `integer` up to the largest port, so the conversion holds.
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT);
    let config = MysqlConfig {
        socket,
        host,
        port,
        tls_ca,
        user: user.unwrap_or_default(),
        password,
        databases,
        programs,
        assertion_timeout: section.optional("assertion_timeout", value::duration).unwrap_or(ASSERTION_TIMEOUT),
    };
    Mysql { config, watched }
}

fn tls_ca(section: &Section<'_>) -> Option<PathBuf> {
    let reading = section.reading();
    section.required("ca", "ca = \"ca.pem\"", |v| {
        let path = value::path(v, reading)?;
        if path.is_file() {
            return Ok(path);
        }
        Err(Fault::new(
            v,
            format!("{} is not a file: give the certificate of the authority in PEM form", path.display()),
        ))
    })
}

/// Read the `influxdb` table.
pub(super) fn influxdb(name: &str, section: &Section<'_>) -> Influxdb {
    let watched = section.optional("backup_dir", value::inner_path).is_some();
    let elsewhere = section.has("backup_dir");
    let (url, rpc_address) = if elsewhere {
        section.not_built("backup_dir", Subject::Source(name), "`backup_dir` (backups made elsewhere)");
        (section.optional("url", http_url), section.optional("rpc_address", value::address))
    } else {
        (
            section.required("url", "url = \"http://127.0.0.1:8086\"", http_url),
            section.required("rpc_address", "rpc_address = \"127.0.0.1:8088\"", value::address),
        )
    };
    let tls_ca = section.table("tls", "{ ca = \"ca.pem\" }").and_then(|tls| tls_ca(&tls));
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
    Influxdb { config, watched }
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

/// Read the `files` table; meaningful only without problems.
pub(super) fn files(section: &Section<'_>) -> FilesConfig {
    let reading = section.reading();
    if !section.has("paths") {
        section.incomplete("has no `paths`: write paths = [\"/srv/ansible\"]");
    }
    let paths = section.list("paths", "[\"/srv/ansible\"]", |v| plain_path(v, reading)).unwrap_or_default();
    for (index, path) in paths.iter().enumerate() {
        if let Some(outer) = paths[..index].iter().find(|other| path.starts_with(other) || other.starts_with(path)) {
            let (inner, outer) = if path.starts_with(outer) { (path, outer) } else { (outer, path) };
            section.problem(
                "paths",
                format!("{} is inside {}: every file can be in a backup only once", inner.display(), outer.display()),
            );
        }
    }
    let exclude = section.list("exclude", "[\"*.retry\"]", glob).unwrap_or_default();
    if let Some(first) = exclude.first().filter(|first| first.starts_with('!')) {
        let message = format!(
            "`exclude` begins with {first:?}, which takes back what an earlier pattern leaves out, and there is none: put it \
             behind that one (a name that begins with `!` is written \"\\\\!name\")"
        );
        section.problem("exclude", message);
    }
    let assertion_timeout = section.optional("assertion_timeout", value::duration).unwrap_or(ASSERTION_TIMEOUT);
    FilesConfig { paths, exclude, assertion_timeout }
}

/// An absolute path without `.` and `..`, which symbolic links would give another meaning.
fn plain_path(value: &Value<'_>, reading: &Reading<'_>) -> Result<PathBuf, Fault> {
    let path = value::path(value, reading)?;
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Fault::new(value, format!("must not contain `..`: {}", path.display())));
    }
    Ok(path.components().collect())
}

fn glob(value: &Value<'_>) -> Result<String, Fault> {
    let pattern = value::text(value)?;
    if pattern.trim_end_matches('/').trim_start_matches('!').is_empty() {
        return Err(Fault::new(value, "is no pattern: write one such as \"*.retry\""));
    }
    match globset::Glob::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => Err(Fault::new(value, format!("is not a pattern: {error}; write one such as \"*.retry\""))),
    }
}

/// Databases to back up, each once; empty without the key.
fn databases(section: &Section<'_>) -> Vec<String> {
    let names = section.list("databases", "[\"agama\"]", |v| value::text(v).map(str::to_owned)).unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            section.problem("databases", format!("`databases` has {name:?} twice: remove one"));
        }
    }
    names
}

/// Name of the user who runs us. The server's socket authentication goes by the user id, so the user database is asked
/// first and the environment, which may be inherited from somebody else, last.
fn current_user(reading: &Reading<'_>) -> Option<String> {
    let id = rustix::process::geteuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let from_environment = || ["USER", "LOGNAME"].iter().find_map(|name| reading.environment(name)?.into_string().ok());
    user_of(id, &accounts).or_else(from_environment).filter(|name| !name.is_empty())
}

/// Name of user `id` in the text of `/etc/passwd`.
fn user_of(id: u32, accounts: &str) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>().ok()? == id).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_id_whatever_the_other_lines_are() {
        let accounts = "root:x:0:0:root:/root:/bin/bash\nbroken\nbackup:x:34:34::/var/backups:/bin/sh\n";
        assert_eq!(user_of(0, accounts).as_deref(), Some("root"));
        assert_eq!(user_of(34, accounts).as_deref(), Some("backup"));
        assert_eq!(user_of(35, accounts), None);
    }
}
