//! The throwaway server a drill restores into: same product and series as the source, close to a real restore target
//! (durable writes, same sql_mode, character set and page size), reachable by socket only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::accounts::DRILL_ACCOUNT;
use super::connection::series;
use super::elsewhere;
use super::keyring;
use super::pinned::RECORDED;
use super::plugins::{self, Usual};
use super::readers;
use super::shipped;
use super::source::AUTHENTICATION_LIBRARIES;
use crate::domain::manifest::Manifest;
use crate::domain::needs::Needs;
use crate::error::{Error, Kind, Result};
use crate::process::{self, find_program};
use crate::sandbox::{Fixed, Network, ServerSpec, Template};

/// Statements that the server runs when it starts.
const INIT_FILE: &str = "init.sql";

/// The server to restore `manifest` into, with at most `memory` bytes.
pub fn spec(manifest: &Manifest, needs: &Needs, programs: Option<&Path>, memory: u64) -> Result<ServerSpec> {
    let wanted = &manifest.server;
    let maria = wanted.product == "MariaDB";
    let names: &[&str] = if maria { &["mariadbd", "mysqld"] } else { &["mysqld"] };
    let program = find_program(programs, names).ok_or_else(|| {
        Error::inconclusive(format!(
            "cannot find a {} {} server for the drill: this host has no `{}`",
            wanted.product, wanted.series, names[0]
        ))
        .hint("install the server package of that series here, or set `programs` in the source's [sandbox] table")
    })?;
    let found = version_of(&program)?;
    let same_product = found.contains("MariaDB") == maria;
    let number = found.split_once("Ver ").map_or("", |(_, rest)| rest);
    if !same_product || series(number) != wanted.series {
        return Err(Error::inconclusive(format!(
            "cannot find a {} {} server for the drill: {} is {found}",
            wanted.product,
            wanted.series,
            program.display()
        ))
        .hint(
            "a drill in another series proves nothing; install the source's series, or set `programs` in [sandbox]",
        ));
    }
    let version = number.split_whitespace().next().unwrap_or_default().to_owned();
    let mut settings = settings(manifest, memory);
    let mut args = vec![
        "--no-defaults".to_owned(),
        "--datadir={data}".to_owned(),
        "--socket={socket}".to_owned(),
        "--pid-file={dir}/server.pid".to_owned(),
        "--tmpdir={dir}".to_owned(),
        "--skip-networking".to_owned(),
        "--skip-log-bin".to_owned(),
        "--local-infile=0".to_owned(),
    ];
    args.extend(settings.iter().map(|(name, value)| format!("--{}={value}", name.replace('_', "-"))));
    if let Some(libraries) = manifest.settings.get(AUTHENTICATION_LIBRARIES) {
        args.extend(libraries.split(';').map(|library| format!("--plugin-load-add={library}")));
    }
    if maria {
        // Their defaults take a quarter of a small sandbox.
        args.extend(["--aria-pagecache-buffer-size=32M".to_owned(), "--key-buffer-size=32M".to_owned()]);
        args.push("--secure-file-priv={nowhere}".to_owned());
    } else {
        args.extend(["--mysqlx=OFF".to_owned(), "--secure-file-priv=NULL".to_owned()]);
        if !needs.directories.is_empty() {
            let known: Vec<&str> = needs.directories.iter().map(String::as_str).collect();
            args.push(format!("--innodb-directories={}", known.join(";")));
        }
    }
    args.extend(shipped::arguments(needs, wanted));
    // Accounts of the backup are restored too, so the drill must not depend on any of them.
    let account = format!("'{DRILL_ACCOUNT}'@'localhost'");
    let init = init(&account, maria) + &readers::made(maria);
    args.push(format!("--init-file={{dir}}/{INIT_FILE}"));
    let mut template = template(manifest, maria, &program, programs, &version)?;
    if let Some((file, argument, state)) = shipped::zones(needs, maria, programs) {
        template.key = format!("{}-{state}", template.key);
        template.args.push(argument);
        template.files.push(file);
    }
    let mut files = vec![(INIT_FILE.to_owned(), init)];
    let usual = Usual::ask(&program);
    let keyring = keyring::library(needs, wanted, &usual);
    let mut fixed = Fixed::default();
    if keyring.is_some() {
        keyring::provide(&mut args, &mut fixed, &usual);
    }
    let keys = shipped::throwaway_keys(needs).filter(|_| maria);
    if keyring.is_some() || keys.is_some() {
        settings.insert("encryption_keys".to_owned(), "throwaway keys of the sandbox".to_owned());
    }
    files.extend(keys);
    fixed.links.extend(plugins::confine(&mut args, &usual, keyring));
    Ok(ServerSpec {
        product: wanted.product.clone(),
        version,
        program,
        args,
        template: Some(template),
        settings,
        memory,
        files,
        fixed,
        user: DRILL_ACCOUNT.to_owned(),
        password: None,
        accounts: &["mysql", "nobody"],
        network: Network::None,
        outside: needs.directories.iter().map(PathBuf::from).collect(),
        connections: connections(manifest, needs),
        greeting: None,
    })
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

fn template(
    manifest: &Manifest,
    maria: bool,
    server: &Path,
    programs: Option<&Path>,
    version: &str,
) -> Result<Template> {
    let names = manifest.settings.get("lower_case_table_names").map_or("0", String::as_str);
    let page = page_size(manifest);
    let mut args = vec!["--no-defaults".to_owned(), "--datadir={data}".to_owned()];
    let program: PathBuf = if maria {
        args.extend(["--auth-root-authentication-method=normal".to_owned(), "--skip-test-db".to_owned()]);
        find_program(programs, &["mariadb-install-db", "mysql_install_db"]).ok_or_else(|| {
            Error::inconclusive("cannot make an empty data directory: this host has no `mariadb-install-db`")
                .hint("it comes with the server package (mariadb-server)")
        })?
    } else {
        args.extend(["--initialize-insecure".to_owned(), "--secure-file-priv=NULL".to_owned()]);
        args.push(format!("--lower-case-table-names={names}"));
        server.to_owned()
    };
    if let Some(size) = page {
        args.push(format!("--innodb-page-size={size}"));
    }
    let version: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let key =
        format!("{}-{version}-names{names}-page{}", manifest.server.product.to_lowercase(), page.unwrap_or("16384"));
    Ok(Template { key, program, args, files: Vec::new() })
}

fn version_of(program: &Path) -> Result<String> {
    let said = process::answer(program, &["--no-defaults", "--version"]);
    let said = said.map_err(|error| error.with_kind(Kind::Inconclusive))?;
    Ok(String::from_utf8_lossy(&said).trim().to_owned())
}
