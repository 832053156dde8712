//! What a sandbox's server is given so that it has what the source has: plugin engines, time zones by name, keys.

use super::elsewhere;
use super::plugins::LOADED;
use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::sandbox::{Place, Text};

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

/// Options of the sandbox's server that load what definitions use.
pub fn options(needs: &Needs, server: &ServerIdentity) -> Vec<(String, Text)> {
    let option = |name: &str, value: Text| (name.to_owned(), value);
    let mut options = Vec::new();
    if server.product != "MariaDB" {
        if needs.engines.contains_key("FEDERATED") {
            options.push(option("federated", "ON".into()));
        }
        return options;
    }
    // What could read files and reach servers is not even loaded.
    let tried = needs.engines.iter().filter(|(engine, _)| !elsewhere::is_stood_in(server, engine));
    let libraries: Vec<&str> = tried.filter_map(|(engine, recorded)| library(engine, recorded)).collect();
    if !libraries.is_empty() {
        // The source took it, whatever its makers say of it.
        options.push(option("plugin-maturity", "unknown".into()));
        options.extend(libraries.iter().map(|library| option(LOADED, (*library).into())));
    }
    if !needs.encryption_keys.is_empty() {
        options.push(option(LOADED, "file_key_management".into()));
        // Where the plugin is missing, the server starts all the same, and what it lacks is named before the load.
        let keys = Text::from(Place::Own).then(format!("/{KEYS_FILE}"));
        options.push(option("loose-file-key-management-filename", keys));
    }
    options
}

/// Keys for a sandbox's MariaDB that nobody knows and nobody keeps. InnoDB itself asks for number 1.
pub fn throwaway_keys(needs: &Needs) -> Option<(String, Text)> {
    if needs.encryption_keys.is_empty() {
        return None;
    }
    let numbers = needs.encryption_keys.iter().copied().filter(|number| *number != 1);
    let line = |number: u32| {
        let key: [u8; 32] = rand::random();
        format!("{number};{}\n", key.map(|byte| format!("{byte:02x}")).concat())
    };
    let lines: String = std::iter::once(1).chain(numbers).map(line).collect();
    Some((KEYS_FILE.to_owned(), lines.into()))
}
