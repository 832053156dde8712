//! The throwaway server a drill restores into: same product and series as the source, close to a real restore target
//! (durable writes, same sql_mode, character set and page size), reachable by socket only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::accounts::DRILL_ACCOUNT;
use super::elsewhere;
use super::installed::{MARIADB, MYSQL};
use super::keyring;
use super::pinned::RECORDED;
use super::plugins;
use super::readers;
use super::shipped;
use super::source::AUTHENTICATION_LIBRARIES;
use crate::domain::manifest::Manifest;
use crate::domain::needs::Needs;
use crate::sandbox::{Data, Network, Place, ServerSpec, Text};

/// The server to restore `manifest` into, with at most `memory` bytes. On this host its programs are in `programs`.
pub fn spec(manifest: &Manifest, needs: &Needs, programs: Option<&Path>, memory: u64) -> ServerSpec {
    let wanted = &manifest.server;
    let maria = wanted.product == "MariaDB";
    let mut recorded = settings(manifest, memory);
    let options = options(manifest, needs, &recorded);
    let keys = shipped::throwaway_keys(needs).filter(|_| maria);
    if keys.is_some() {
        recorded.extend([keyring::recorded()]);
    }
    // Accounts of the backup are restored too, so the drill must not depend on any of them.
    let account = format!("'{DRILL_ACCOUNT}'@'localhost'");
    ServerSpec {
        product: wanted.product.clone(),
        series: wanted.series.clone(),
        libraries: plugins::libraries(&options),
        options,
        files: keys.into_iter().collect(),
        first_statements: init(&account, maria) + &readers::made(maria),
        data: Data::New,
        named_time_zones: needs.named_time_zones,
        extras: keyring::extra(needs, wanted).into_iter().collect(),
        memory,
        network: Network::None,
        outside: needs.directories.iter().map(PathBuf::from).collect(),
        connections: connections(manifest, needs),
        greeting: None,
        user: DRILL_ACCOUNT.to_owned(),
        password: None,
        recorded,
        installation: if maria { MARIADB } else { MYSQL },
        programs: programs.map(Path::to_owned),
    }
}

/// What the server is started with; `recorded` are those that drills record.
fn options(manifest: &Manifest, needs: &Needs, recorded: &BTreeMap<String, String>) -> Vec<(String, Text)> {
    let mut options = vec![
        ("datadir".to_owned(), Place::Data.into()),
        ("socket".to_owned(), Place::Socket.into()),
        ("pid-file".to_owned(), Text::from(Place::Own).then("/server.pid")),
        ("tmpdir".to_owned(), Place::Own.into()),
    ];
    let mut add = |name: &str, value: Text| options.push((name.to_owned(), value));
    add("skip-networking", "1".into());
    add("skip-log-bin", "1".into());
    add("local-infile", "0".into());
    for (name, value) in recorded {
        add(&name.replace('_', "-"), value.clone().into());
    }
    if let Some(libraries) = manifest.settings.get(AUTHENTICATION_LIBRARIES) {
        libraries.split(';').for_each(|library| add(plugins::LOADED, library.into()));
    }
    if manifest.server.product == "MariaDB" {
        // Their defaults take a quarter of a small sandbox.
        add("aria-pagecache-buffer-size", "32M".into());
        add("key-buffer-size", "32M".into());
        add("secure-file-priv", Place::Nowhere.into());
    } else {
        add("mysqlx", "OFF".into());
        add("secure-file-priv", "NULL".into());
        if !needs.directories.is_empty() {
            let known: Vec<&str> = needs.directories.iter().map(String::as_str).collect();
            add("innodb-directories", known.join(";").into());
        }
    }
    options.extend(shipped::options(needs, &manifest.server));
    options
}

/// Tables that are made as connections; what a drill makes a stand-in of reaches nothing anyway.
fn connections(manifest: &Manifest, needs: &Needs) -> Vec<String> {
    let stand_ins = elsewhere::stand_ins(&manifest.server, needs);
    needs.connected.keys().filter(|table| !stand_ins.contains(table)).cloned().collect()
}

/// Makes an account that may give everything: a stock server's own accounts may be proxies of anybody. MariaDB does not
/// let the thread that runs the file grant that (1698), so there the row is written.
fn init(account: &str, maria: bool) -> String {
    let all = format!("CREATE USER {account};\nGRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n");
    let proxy = if maria {
        format!(
            "INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user, With_grant) \
             VALUES ('localhost', '{DRILL_ACCOUNT}', '', '', 1);\nFLUSH PRIVILEGES;\n"
        )
    } else {
        format!("GRANT PROXY ON ''@'' TO {account} WITH GRANT OPTION;\n")
    };
    all + &proxy
}

/// Settings of the sandbox, recorded with the drill.
fn settings(manifest: &Manifest, memory: u64) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([
        ("event_scheduler".to_owned(), "OFF".to_owned()),
        ("innodb_buffer_pool_size".to_owned(), (memory * 3 / 8).to_string()),
        ("innodb_flush_log_at_trx_commit".to_owned(), "1".to_owned()),
        ("max_allowed_packet".to_owned(), (1024 * 1024 * 1024).to_string()),
        ("performance_schema".to_owned(), "OFF".to_owned()),
    ]);
    for name in [
        "character_set_server",
        "collation_server",
        "default_storage_engine",
        "explicit_defaults_for_timestamp",
        "innodb_default_row_format",
        "innodb_strict_mode",
        "lower_case_table_names",
        "sql_mode",
    ]
    .into_iter()
    .chain(RECORDED)
    {
        if let Some(value) = manifest.settings.get(name) {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    // What a grant means depends on these; an empty list of roles is the default.
    for name in ["activate_all_roles_on_login", "mandatory_roles", "partial_revokes"] {
        if let Some(value) = manifest.settings.get(name).filter(|value| !value.is_empty()) {
            settings.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(zone) = manifest.settings.get("time_zone").filter(|zone| zone.starts_with(['+', '-'])) {
        settings.insert("default_time_zone".to_owned(), zone.clone());
    }
    if let Some(size) = page_size(manifest) {
        settings.insert("innodb_page_size".to_owned(), size.to_owned());
    }
    settings
}

/// Page size, where it is not the default: rows that fit the source must fit here.
fn page_size(manifest: &Manifest) -> Option<&str> {
    manifest.settings.get("innodb_page_size").map(String::as_str).filter(|size| *size != "16384")
}
