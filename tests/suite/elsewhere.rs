//! Tables whose rows are not in their own server: files and other servers are left alone by drills, and what a backup does
//! not hold is named.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Product, Server, World, entries, wrong};

const PLUGINS: [&str; 3] = ["--plugin-load-add=ha_connect", "--plugin-load-add=ha_spider", "--plugin-maturity=unknown"];

/// A directory that any server may write to.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("bsla-files-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

/// Every file of a directory with its content.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> =
        entries(directory).iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    found.sort();
    found
}

/// Tables that point to files and to a server at `port`, of which nobody knows whether it is there.
fn tables(files: &Path, port: u16) -> String {
    let (files, key) = (files.display(), "a VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL");
    format!(
        "CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1', PORT {port}, USER 'u', PASSWORD 'p', DATABASE 'd');
         CREATE TABLE outside (a INT NOT NULL, b INT NOT NULL DEFAULT 0 special=rowid, KEY (a)) ENGINE=CONNECT TABLE_TYPE=FIX FILE_NAME='{files}/f.fix';
         INSERT INTO outside (a) VALUES (1), (2);
         CREATE TABLE inside (a INT NOT NULL) ENGINE=CONNECT TABLE_TYPE=CSV; INSERT INTO inside VALUES (3);
         CREATE TABLE many (a INT NOT NULL, KEY (a)) ENGINE=CONNECT TABLE_TYPE=FIX FILE_NAME='{files}/p%s.fix'
           PARTITION BY RANGE (a) (PARTITION x VALUES LESS THAN (10), PARTITION y VALUES LESS THAN MAXVALUE);
         CREATE TABLE remote (a INT NOT NULL) ENGINE=CONNECT TABLE_TYPE=MYSQL CONNECTION='mysql://u:p@127.0.0.1:{port}/d/t';
         CREATE TABLE odbc (a INT NOT NULL) ENGINE=CONNECT TABLE_TYPE=ODBC TABNAME='x' CONNECTION='DSN=nowhere';
         CREATE TABLE named ({key}, UNIQUE KEY (a)) ENGINE=SPIDER COMMENT='wrapper \"mysql\", srv \"far\", table \"t\"';
         CREATE TABLE parts (a INT, b INT NOT NULL AUTO_INCREMENT, KEY (a, b)) ENGINE=SPIDER COMMENT='wrapper \"mysql\"'
           PARTITION BY KEY (a) (PARTITION p COMMENT='host \"127.0.0.1\", port \"{port}\", user \"u\", password \"p\", database \"d\", table \"t\"');
         CREATE TRIGGER of_named BEFORE INSERT ON named FOR EACH ROW SET NEW.a = 'x';
         CREATE VIEW over_both AS SELECT own.a, named.a AS b FROM own JOIN named"
    )
}

const POINTING: [&str; 6] = ["shop.outside", "shop.many", "shop.remote", "shop.odbc", "shop.named", "shop.parts"];

fn texts(value: &Value) -> String {
    let lines: Vec<&str> = value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    lines.join("\n")
}

fn drill_passes(world: &World) -> String {
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!((report["verdict"].as_str(), wrong(&report)), (Some("passed"), vec![]), "{report}");
    world.assert_no_sandbox_left();
    texts(&report["warnings"])
}

#[test]
fn files_and_other_servers_are_left_alone_by_drills_and_named() {
    let files = open_directory();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start_with(Product::MariaDb, &PLUGINS);
    server.sql(&tables(files.path(), port));
    let world = World::new(&server, &["shop"], "");
    let said = texts(&world.backup()["warnings"]);
    for table in POINTING {
        assert!(
            said.contains(&format!("table {table} (")) && said.contains("shows rows that are stored elsewhere"),
            "{table}: {said}"
        );
    }
    let lost = "rows of table shop.inside are NOT in the backup: the dump client does not dump rows of CONNECT tables";
    assert!(said.contains(lost) && !said.contains("table shop.inside ("), "{said}");

    let before = contents(files.path());
    assert!(!before.is_empty());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let said = drill_passes(&world);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(contents(files.path()), before);
    for table in POINTING.iter().chain(&["shop.inside"]) {
        let table_said = said.lines().find(|line| line.starts_with(&format!("table {table} ")));
        assert!(
            table_said.is_some_and(|line| line.ends_with("the drill tested only its columns and keys")),
            "{table}: {said}"
        );
    }
    assert!(said.contains(lost), "{said}");
    let status = world.status();
    assert_eq!(status["measured"]["left_out"], serde_json::json!({"table": 1, "view": 0, "other": 0}));
    assert_eq!(wrong(&world.json(&["verify", "shop", "--against", &server.destination()], 0)), [""; 0]);
}

#[test]
fn a_real_restore_is_told_what_its_tables_point_to_before_the_load() {
    let files = open_directory();
    let server = Server::start_with(Product::MariaDb, &PLUGINS);
    server.sql(&tables(files.path(), 9));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let refused = |at: &Server, words: &[&str]| {
        let ran = world.run(&["restore", "shop", "--to", &at.destination()]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(words.iter().all(|word| ran.stderr.contains(word)), "{words:?}: {ran:?}");
        assert_eq!(at.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
    };
    let bare = Server::start(Product::MariaDb);
    refused(&bare, &["storage engine CONNECT, SPIDER", "install the package mariadb-plugin-connect"]);
    drop(bare);
    let ready = Server::start_with(Product::MariaDb, &PLUGINS);
    refused(&ready, &["cannot restore table shop.named: ", "far", "CREATE SERVER"]);
    ready.sql(
        "CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1', PORT 9, USER 'u', PASSWORD 'p', DATABASE 'd')",
    );
    let before = contents(files.path());
    let report = world.json(&["restore", "shop", "--to", &ready.destination()], 0);
    assert_eq!((wrong(&report), report["verified"].as_bool()), (vec![], Some(true)), "{report:#}");
    assert_eq!((ready.sql("SELECT COUNT(*) FROM shop.outside"), contents(files.path())), ("2".to_owned(), before));
}

/// The server shows no table whose server definition is gone: that table is left out, and the rest is safe.
#[test]
fn a_table_whose_server_definition_is_gone_is_left_out_by_name() {
    const FAR: &str =
        "CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (SOCKET '/nowhere', USER 'u', DATABASE 'd');
        CREATE SERVER kept FOREIGN DATA WRAPPER mysql OPTIONS (SOCKET '/nowhere', USER 'u', DATABASE 'd')";
    let spider = Server::start_with(Product::MariaDb, &PLUGINS);
    spider.sql(&format!(
        "{FAR}; CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE TABLE gone (a INT PRIMARY KEY) ENGINE=SPIDER COMMENT='wrapper \"mysql\", srv \"far\", table \"t\"';
         CREATE TABLE there (a INT PRIMARY KEY) ENGINE=SPIDER COMMENT='wrapper \"mysql\", srv \"kept\", table \"t\"'"
    ));
    let federated = Server::start_with(Product::MySql, &["--federated"]);
    federated.sql(&format!(
        "{FAR}; CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE TABLE gone (a INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='far/t';
         CREATE TABLE there (a INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='mysql://u:p@127.0.0.1:9/d/t'"
    ));
    let other = Server::start(Product::MariaDb);
    other.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)");
    let far = format!(
        "CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (SOCKET '{}', USER 'root', DATABASE 'd')",
        other.socket.display()
    );
    let federatedx = Server::start_with(Product::MariaDb, &["--plugin-load-add=ha_federatedx"]);
    federatedx.sql(&format!(
        "{far}; CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE TABLE gone (a INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='far/t'"
    ));
    for server in [spider, federated, federatedx] {
        server.sql("FLUSH TABLES; DROP SERVER far; FLUSH TABLES");
        let world = World::new(&server, &["shop"], "");
        let checked = world.run(&["check-config", "--connect"]);
        assert_eq!(checked.status, 0, "{checked:?}");
        let said = texts(&world.backup()["warnings"]);
        let left_out = said.lines().find(|line| line.starts_with("table shop.gone is NOT in the backup: "));
        assert!(left_out.is_some_and(|line| line.contains("far")), "{said}");
        assert!(!said.contains("shop.there is NOT"), "{said}");
        drill_passes(&world);
    }
}

/// mariadb-dump 10.11 divides by zero at such a table, if it is the first; the server's own fault it is not.
#[test]
fn a_dump_client_that_crashes_is_told_with_the_table_it_was_at_and_what_to_do() {
    let server = Server::start_with(Product::MariaDb, &["--plugin-load-add=ha_federatedx"]);
    server.sql(&format!(
        "CREATE DATABASE far; CREATE TABLE far.t (a INT PRIMARY KEY, b INT INVISIBLE);
         CREATE SERVER far FOREIGN DATA WRAPPER mysql OPTIONS (SOCKET '{}', USER 'root', DATABASE 'far');
         CREATE DATABASE shop; CREATE TABLE shop.fed (a INT PRIMARY KEY, b INT INVISIBLE) ENGINE=FEDERATED CONNECTION='far/t';
         CREATE TABLE shop.own (a INT PRIMARY KEY)",
        server.socket.display()
    ));
    let world = World::new(&server, &["shop"], "");
    let ran = world.run(&["backup"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    for words in
        ["signal: 8 (SIGFPE)", "while it was at table fed: ", "hint: the dump client itself crashed at table fed"]
    {
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
    }
    assert_eq!(world.json(&["status"], 1)["measured"]["recovery_points"], 0);
    server.sql("DROP TABLE shop.fed");
    world.backup();
}
