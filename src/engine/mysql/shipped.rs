//! What a sandbox's server is given so that it has what the source has: plugin engines, time zones by name, keys.

use std::path::{Path, PathBuf};

use super::elsewhere;
use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::process::find_program;
use crate::sandbox::Generated;

/// How arguments name the directory that files are put into.
pub const INIT_DIRECTORY: &str = "{dir}";
/// Where this host's time zones are described.
const ZONES: &str = "/usr/share/zoneinfo";
/// The file that tells a server how to load them.
const ZONES_FILE: &str = "zones.sql";
/// The file of a sandbox's own keys.
pub const KEYS_FILE: &str = "keys.txt";
/// Libraries of MariaDB's engines and the Debian package that ships each; the server's own package where it is empty.
const LIBRARIES: [(&str, &str, &str); 12] = [
    ("ARCHIVE", "ha_archive", ""),
    ("BLACKHOLE", "ha_blackhole", ""),
    ("FEDERATED", "ha_federatedx", ""),
    ("SPHINX", "ha_sphinx", ""),
    ("CONNECT", "ha_connect", "mariadb-plugin-connect"),
    ("MROONGA", "ha_mroonga", "mariadb-plugin-mroonga"),
    ("OQGRAPH", "ha_oqgraph", "mariadb-plugin-oqgraph"),
    ("ROCKSDB", "ha_rocksdb", "mariadb-plugin-rocksdb"),
    ("S3", "ha_s3", "mariadb-plugin-s3"),
    ("SPIDER", "ha_spider", "mariadb-plugin-spider"),
    ("COLUMNSTORE", "ha_columnstore", "mariadb-plugin-columnstore"),
    ("TOKUDB", "ha_tokudb", "mariadb-plugin-tokudb"),
];

/// The plugin library of an engine that is not part of every server: as the source had it, or as it is usually called.
fn library<'n>(engine: &str, recorded: &'n str) -> Option<&'n str> {
    if !recorded.is_empty() {
        return Some(recorded);
    }
    LIBRARIES.iter().find(|(name, ..)| *name == engine).map(|(_, library, _)| *library)
}

/// How to get an engine that a server lacks.
pub fn how_to_get(engine: &str, needs: &Needs, product: &str) -> String {
    let recorded = needs.engines.get(engine).map_or("", String::as_str);
    let package = LIBRARIES.iter().find(|(name, ..)| *name == engine).map_or("", |(_, _, package)| *package);
    match (product, library(engine, recorded)) {
        ("MySQL", _) if engine == "FEDERATED" => "start that server with --federated".to_owned(),
        ("MariaDB", Some(library)) if package.is_empty() => format!("INSTALL SONAME '{library}' there"),
        ("MariaDB", Some(library)) => format!("install the package {package} there, then INSTALL SONAME '{library}'"),
        _ => "install the plugin that the source has".to_owned(),
    }
}

/// Arguments of the sandbox's server that load what definitions use.
pub fn arguments(needs: &Needs, server: &ServerIdentity) -> Vec<String> {
    let mut args = Vec::new();
    if server.product != "MariaDB" {
        if needs.engines.contains_key("FEDERATED") {
            args.push("--federated".to_owned());
        }
        return args;
    }
    // What could read files and reach servers is not even loaded.
    let tried = needs.engines.iter().filter(|(engine, _)| !elsewhere::is_stood_in(server, engine));
    let libraries: Vec<&str> = tried.filter_map(|(engine, recorded)| library(engine, recorded)).collect();
    if !libraries.is_empty() {
        // The source took it, whatever its makers say of it.
        args.push("--plugin-maturity=unknown".to_owned());
        args.extend(libraries.iter().map(|library| format!("--plugin-load-add={library}")));
    }
    if !needs.encryption_keys.is_empty() {
        args.push("--plugin-load-add=file_key_management".to_owned());
        // Where the plugin is missing, the server starts all the same, and what it lacks is named before the load.
        args.push(format!("--loose-file-key-management-filename={{dir}}/{KEYS_FILE}"));
    }
    args
}

/// Keys for a sandbox's MariaDB that nobody knows and nobody keeps. InnoDB itself asks for number 1.
pub fn throwaway_keys(needs: &Needs) -> Option<(String, String)> {
    if needs.encryption_keys.is_empty() {
        return None;
    }
    let numbers = needs.encryption_keys.iter().copied().filter(|number| *number != 1);
    let line = |number: u32| {
        let key: [u8; 32] = rand::random();
        format!("{number};{}\n", key.map(|byte| format!("{byte:02x}")).concat())
    };
    Some((KEYS_FILE.to_owned(), std::iter::once(1).chain(numbers).map(line).collect()))
}

/// How an empty data directory learns the time zones of this host: the file to make, the argument that has it read, and
/// what tells this state of the zones from another. None where this host cannot.
pub fn zones(needs: &Needs, maria: bool, programs: Option<&Path>) -> Option<(Generated, String, String)> {
    let names: &[&str] =
        if maria { &["mariadb-tzinfo-to-sql", "mysql_tzinfo_to_sql"] } else { &["mysql_tzinfo_to_sql"] };
    let zones = Path::new(ZONES);
    if !needs.named_time_zones || !zones.is_dir() {
        return None;
    }
    let program = find_program(programs, names)?;
    // MariaDB's program goes by MySQL's name, too, and writes what only MariaDB understands.
    let real: PathBuf = program.canonicalize().ok()?;
    if !maria && real.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mariadb")) {
        return None;
    }
    let changed = zones.join("tzdata.zi").metadata().or_else(|_| zones.metadata()).ok()?.modified().ok()?;
    let state = changed.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let file = Generated {
        name: ZONES_FILE.to_owned(),
        head: "USE mysql;\n".to_owned(),
        program,
        args: vec![ZONES.to_owned()],
    };
    let option = if maria { "--extra-file" } else { "--init-file" };
    Some((file, format!("{option}={INIT_DIRECTORY}/{ZONES_FILE}"), format!("zones{state}")))
}
