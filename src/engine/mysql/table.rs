//! `[source.NAME.mysql]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::engine::kind::Table;
use crate::engine::server_table::{databases, tls_ca};
use crate::strict::{Reading, Section, Subject, secret, value};

/// Where a server listens if nobody changed it.
pub const DEFAULT_PORT: u16 = 3306;
/// Most time for the answer to an assertion, unless said otherwise.
const ASSERTION_TIMEOUT: Duration = Duration::from_mins(10);

/// `[source.NAME.mysql]`.
#[derive(Debug, Clone, Default)]
pub struct MysqlConfig {
    /// Unix socket; either this or `host`.
    pub socket: Option<PathBuf>,
    /// Host name or address.
    pub host: Option<String>,
    /// Port; default 3306.
    pub port: u16,
    /// `tls = { ca = FILE }`: TLS is required and the server verified against this CA.
    pub tls_ca: Option<PathBuf>,
    /// Account name; default is the name of the user who runs us.
    pub user: String,
    /// Password, where one is configured.
    pub password: Option<SecretString>,
    /// Databases to back up; empty means every non-system schema.
    pub databases: Vec<String>,
    /// Directory of the client programs (`mariadb-dump`, `mariadb` or `mysqldump`, `mysql`); default: `PATH`.
    pub programs: Option<PathBuf>,
    /// Most time that the answer to an assertion may take.
    pub assertion_timeout: Duration,
    /// Where increments are scheduled, definitions cannot change while a full backup is read.
    pub block_ddl: bool,
    /// Whether a canary is written before each backup.
    pub canary: bool,
    /// How long rows may be counted at the end of an increment; none where they are not.
    pub truth_budget: Option<Duration>,
    /// Whether increments wait for an operator after a break; else a full backup follows at once.
    pub waits_on_break: bool,
}

/// Read the table of the source `source`.
pub fn read(source: &str, section: &Section<'_>) -> Table {
    let reading = section.reading();
    let socket = section.optional("socket", |v| value::path(v, reading));
    let host = section.optional("host", value::host);
    let port = section.optional("port", |v| value::integer(v, 1, u32::from(u16::MAX)));
    let tls_ca = tls_ca(section);
    let user = section.optional("user", value::text).map(str::to_owned);
    let password = secret::password(section);
    let databases = databases(section);
    let programs = section.optional("programs", |v| value::path(v, reading));
    let made_elsewhere = section.optional("dump_file", value::inner_path).is_some();
    if made_elsewhere {
        section.not_built("dump_file", Subject::Source(source), "`dump_file` (backups made elsewhere)");
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
    if user.is_none() && !section.has("user") && !made_elsewhere {
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
        waits_on_break: section.optional("on_break", |v| value::one_of(v, &["full", "wait"])) == Some("wait"),
        assertion_timeout: section.optional("assertion_timeout", value::duration).unwrap_or(ASSERTION_TIMEOUT),
        truth_budget: section.optional("truth_budget", value::duration),
        canary: section.optional("canary", value::boolean).unwrap_or(false),
        block_ddl: section.optional("block_ddl", value::boolean).unwrap_or(true),
    };
    Table { settings: Arc::new(config), made_elsewhere }
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
