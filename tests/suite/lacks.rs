//! The sandbox has what the source has, and says what it lacks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{Product, Server, World, hand_to_server, mysql_programs, wrong};

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

/// MySQL's programs on a host that has no keyring for them.
fn without_component() -> tempfile::TempDir {
    let tree = tempfile::Builder::new().prefix("poor-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let from = mysql_programs().parent().unwrap().join(".");
    let copied = |how: &str| {
        Command::new("cp").arg(how).arg(&from).arg(tree.path()).stderr(Stdio::null()).status().unwrap().success()
    };
    // Links are enough on one file system.
    assert!(copied("-al") || copied("-af"));
    fs::remove_file(tree.path().join("usr/lib/mysql/plugin/component_keyring_file.so")).unwrap();
    tree
}

/// A MySQL with a keyring: the server looks for its list of components beside the name that it is called by.
fn with_keyring(place: &tempfile::TempDir) -> Server {
    let plugins = place.path().join("plugins");
    fs::create_dir(&plugins).unwrap();
    let library = "component_keyring_file.so";
    let usual = mysql_programs().parent().unwrap().join("usr/lib/mysql/plugin").join(library);
    std::os::unix::fs::symlink(usual, plugins.join(library)).unwrap();
    fs::write(place.path().join("mysqld.my"), "{\"components\": \"file://component_keyring_file\"}").unwrap();
    let keys = format!("{{\"path\": \"{}/keys\", \"read_only\": false}}", place.path().display());
    fs::write(plugins.join("component_keyring_file.cnf"), keys).unwrap();
    let program = place.path().join("mysqld");
    std::os::unix::fs::symlink(mysql_programs().join("mysqld"), &program).unwrap();
    hand_to_server(place.path());
    let extra = [format!("--plugin-dir={}", plugins.display())];
    let encrypt = [
        "--default-table-encryption=ON",
        "--innodb-redo-log-encrypt=ON",
        "--innodb-undo-log-encrypt=ON",
        "--binlog-encryption=ON",
    ];
    let extra: Vec<&str> = extra.iter().map(String::as_str).chain(encrypt).collect();
    Server::start_program(Product::MySql, &program, &extra)
}

#[test]
fn encrypted_tables_of_mysql_are_drilled_with_throwaway_keys() {
    let place = readable_directory();
    let server = with_keyring(&place);
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE secret (a INT PRIMARY KEY); INSERT INTO secret VALUES (1), (2);
         CREATE TABLE plain (a INT PRIMARY KEY) ENCRYPTION='N'; INSERT INTO plain VALUES (3);
         CREATE TABLE parts (a INT PRIMARY KEY) PARTITION BY HASH (a) PARTITIONS 2; INSERT INTO parts VALUES (4);
         CREATE TABLESPACE ts ADD DATAFILE 'ts.ibd' ENCRYPTION='Y'; CREATE TABLE shared (a INT PRIMARY KEY) TABLESPACE ts;
         INSERT INTO shared VALUES (5)",
    );
    assert!(server.sql("SHOW CREATE TABLE shop.secret").contains("ENCRYPTION='Y'"));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!((report["verdict"].as_str(), wrong(&report)), (Some("passed"), vec![]), "{report}");
    assert_eq!(report["sandbox"]["encryption_keys"], "throwaway keys of the sandbox", "{report}");
    assert_eq!(report["sandbox"]["isolation"], "own file system view, own network, no capabilities", "{report}");
    world.assert_no_sandbox_left();
    // A real destination needs a keyring of its own.
    let bare = Server::start(Product::MySql);
    let ran = world.run(&["restore", "shop", "--to", &bare.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot restore encrypted tables: the destination has no keyring"), "{ran:?}");
    assert_eq!(bare.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
    let other = readable_directory();
    let ready = with_keyring(&other);
    let report = world.json(&["restore", "shop", "--to", &ready.destination()], 0);
    assert_eq!((wrong(&report), report["verified"].as_bool()), (vec![], Some(true)), "{report:#}");
    // A drill host that has no such component says so.
    let poor = without_component();
    let programs = poor.path().join("wrappers").display().to_string();
    let config = fs::read_to_string(world.path("config.toml")).unwrap();
    let (head, sandbox) = config.split_once("[source.shop.sandbox]").unwrap();
    let sandbox = sandbox.replace(&mysql_programs().display().to_string(), &programs);
    fs::write(world.path("config.toml"), format!("{head}[source.shop.sandbox]{sandbox}")).unwrap();
    let report = world.json(&["drill", "shop"], 4);
    assert_eq!(report["verdict"], "inconclusive", "{report}");
    assert!(report["reason"].as_str().unwrap().contains("the destination has no keyring"), "{report}");
    assert!(report["hint"].as_str().unwrap().contains("lacks component_keyring_file.so"), "{report}");
}
