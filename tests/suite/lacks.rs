//! The sandbox has what the source has, and says what it lacks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{Product, Server, World, wrong};

/// A directory that servers may read.
fn readable_directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Load this host's time zones as its documentation says.
fn load_zones(server: &Server) {
    let zones =
        Command::new("mariadb-tzinfo-to-sql").arg("/usr/share/zoneinfo").stderr(Stdio::null()).output().unwrap();
    assert!(zones.status.success());
    server.sql(&format!("USE mysql;\n{}", String::from_utf8(zones.stdout).unwrap()));
}

fn passes(world: &World) {
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!((report["verdict"].as_str(), wrong(&report)), (Some("passed"), vec![]), "{report}");
}

#[test]
fn plugin_engines_encrypted_tables_and_named_zones_are_drilled() {
    let directory = readable_directory();
    let keys = directory.path().join("keys");
    fs::write(&keys, format!("1;{}\n7;{}\n", "ab".repeat(32), "cd".repeat(32))).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start_with(
        Product::MariaDb,
        &[
            "--plugin-load-add=ha_archive",
            "--plugin-load-add=ha_blackhole",
            "--plugin-load-add=ha_sphinx",
            "--plugin-load-add=file_key_management",
            &format!("--file-key-management-filename={}", keys.display()),
        ],
    );
    load_zones(&server);
    server.sql(
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE old (a INT) ENGINE=ARCHIVE; INSERT INTO old VALUES (1), (2);
         CREATE TABLE hole (a INT) ENGINE=BLACKHOLE;
         CREATE TABLE search (id BIGINT UNSIGNED NOT NULL, weight INT NOT NULL, query VARCHAR(3072) NOT NULL, INDEX(query))
           ENGINE=SPHINX CONNECTION='sphinx://127.0.0.1:9/x';
         CREATE TABLE secret (a INT PRIMARY KEY) ENCRYPTED=YES ENCRYPTION_KEY_ID=7; INSERT INTO secret VALUES (3);
         CREATE TABLE secret1 (a INT PRIMARY KEY) ENCRYPTED=YES; INSERT INTO secret1 VALUES (4);
         SET time_zone = 'Europe/Berlin';
         CREATE EVENT midnight ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM old;",
    );
    let zones = "[[source.shop.verify.assertions]]\nname = \"zones\"\n\
        sql = \"SELECT CONVERT_TZ('2020-01-01', 'UTC', 'Europe/Berlin') = '2020-01-01 01:00'\"\n";
    let world = World::new(&server, &["shop"], zones);
    world.backup();
    drop(server);
    passes(&world);
    // The second finds the empty data directory with its zones.
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!(report["sandbox"]["encryption_keys"], "throwaway keys of the sandbox", "{report}");
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "assertion zones" && check["ok"] == true), "{report}");
    // A server without them says what it lacks, before anything is loaded.
    let bare = Server::start(Product::MariaDb);
    let ran = world.run(&["restore", "shop", "--to", &bare.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("storage engine ARCHIVE, BLACKHOLE, SPHINX: the destination lacks it"), "{ran:?}");
    assert!(ran.stderr.contains("INSTALL SONAME 'ha_archive"), "{ran:?}");
    bare.sql("INSTALL SONAME 'ha_archive'; INSTALL SONAME 'ha_blackhole'; INSTALL SONAME 'ha_sphinx'");
    let ran = world.run(&["restore", "shop", "--to", &bare.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot restore encrypted tables") && ran.stderr.contains("1, 7"), "{ran:?}");
    assert_eq!(bare.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
}

#[test]
fn an_engine_that_the_drill_host_lacks_is_inconclusive_and_named() {
    let plugins = readable_directory();
    let copied =
        Command::new("cp").arg("/usr/lib/mysql/plugin/ha_archive.so").arg(plugins.path().join("ha_ours.so")).status();
    assert!(copied.unwrap().success());
    let directory = format!("--plugin-dir={}", plugins.path().display());
    let server = Server::start_with(Product::MariaDb, &[&directory, "--plugin-load-add=ha_ours"]);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.old (a INT) ENGINE=ARCHIVE; INSERT INTO shop.old VALUES (1)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let report = world.json(&["drill", "shop"], 4);
    assert_eq!(report["verdict"], "inconclusive", "{report}");
    assert!(report["reason"].as_str().unwrap().contains("storage engine ARCHIVE"), "{report}");
    assert!(report["hint"].as_str().unwrap().contains("ha_ours"), "{report}");
    world.assert_no_sandbox_left();
}

#[test]
fn mysql_engines_are_drilled() {
    let server = Server::start(Product::MySql);
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE old (a INT) ENGINE=ARCHIVE; INSERT INTO old VALUES (1), (2);
         CREATE TABLE hole (a INT) ENGINE=BLACKHOLE; CREATE TABLE mem (a INT) ENGINE=MEMORY",
    );
    let world = World::new(&server, &["shop"], "");
    world.backup();
    passes(&world);
}
