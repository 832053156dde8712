//! Definitions that lead out of the server: drills keep them inside, and a real restore says what it needs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Product, Server, World, entries, wrong};

/// A directory that any server may write to.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("bsla-ssd-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

/// Every file and directory below, with its length.
fn listing(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for path in entries(directory) {
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            found.extend(listing(&path));
        }
        found.push((path, if meta.is_dir() { 0 } else { meta.len() }));
    }
    found.sort();
    found
}

fn drill_passes(world: &World) -> Value {
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!((report["verdict"].as_str(), wrong(&report)), (Some("passed"), vec![]), "{report}");
    assert_eq!(report["sandbox"]["isolation"], "own file system view, own network, no capabilities", "{report}");
    world.assert_no_sandbox_left();
    report
}

/// Tables with files of their own elsewhere, of every engine that can have them.
fn tables(product: Product, ssd: &Path) -> String {
    let ssd = ssd.display();
    let mut sql = format!(
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB DATA DIRECTORY='{ssd}';
         INSERT INTO t VALUES (1), (2), (3);
         CREATE TABLE p (a INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY RANGE (a)
           (PARTITION x VALUES LESS THAN (10) DATA DIRECTORY='{ssd}/part', PARTITION y VALUES LESS THAN MAXVALUE);
         INSERT INTO p VALUES (1), (100);"
    );
    if product == Product::MariaDb {
        let more = format!(
            "CREATE TABLE m (a INT, KEY (a)) ENGINE=MyISAM DATA DIRECTORY='{ssd}' INDEX DIRECTORY='{ssd}/part';
             CREATE TABLE r (a INT, KEY (a)) ENGINE=Aria TRANSACTIONAL=0 DATA DIRECTORY='{ssd}' INDEX DIRECTORY='{ssd}';
             INSERT INTO m VALUES (4); INSERT INTO r VALUES (5);"
        );
        sql += &more;
    } else {
        sql += "CREATE TABLESPACE `ts 1` ADD DATAFILE 'ts1.ibd' ENGINE=InnoDB;
                CREATE TABLESPACE small ADD DATAFILE 'small.ibd' FILE_BLOCK_SIZE=8192 ENGINE=InnoDB;
                CREATE TABLE g (a INT PRIMARY KEY AUTO_INCREMENT) TABLESPACE `ts 1`;
                CREATE TABLE c (a INT PRIMARY KEY) TABLESPACE small KEY_BLOCK_SIZE=8;
                INSERT INTO g VALUES (6); INSERT INTO c VALUES (7);";
    }
    sql
}

fn directories_are_private(product: Product) {
    let ssd = open_directory();
    fs::create_dir(ssd.path().join("part")).unwrap();
    fs::set_permissions(ssd.path().join("part"), fs::Permissions::from_mode(0o777)).unwrap();
    let known = format!("--innodb-directories={}", ssd.path().display());
    let extra: Vec<&str> = if product == Product::MySql { vec![&known] } else { vec![] };
    let server = Server::start_with(product, &extra);
    server.sql(&tables(product, ssd.path()));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let before = listing(ssd.path());
    drill_passes(&world);
    drill_passes(&world);
    assert_eq!(listing(ssd.path()), before, "a drill changed what is outside");
    // The source can go on making such tables.
    server.sql(&format!("CREATE TABLE shop.more (a INT PRIMARY KEY) DATA DIRECTORY='{}'", ssd.path().display()));
    // A real restore needs the directory to be there; MySQL must also be told that it is meant for tables.
    drop(server);
    fs::set_permissions(ssd.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let empty = Server::start(product);
    let ran = world.run(&["restore", "shop", "--to", &empty.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(
        ran.stderr.contains(&format!("cannot restore tables that keep their files in {}", ssd.path().display())),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("make that directory on the destination's host"), "{ran:?}");
    assert_eq!(empty.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
    drop(empty);
    for path in entries(ssd.path()) {
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::create_dir(ssd.path().join("part")).unwrap();
    for open in [ssd.path().to_owned(), ssd.path().join("part")] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let ready = Server::start_with(product, &extra);
    let ran = world.run(&["restore", "shop", "--to", &ready.destination()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ready.sql("SELECT COUNT(*) FROM shop.t"), "3");
    if product == Product::MySql {
        assert!(ran.stdout.contains("tablespace small was made at the destination"), "{ran:?}");
    }
}

/// A directory below `/usr/local`, gone in the end.
struct Local(std::path::PathBuf);

impl Local {
    fn make() -> Self {
        let local = Self(Path::new("/usr/local").join(format!("bsla-{}", std::process::id())));
        fs::create_dir(&local.0).unwrap();
        fs::set_permissions(&local.0, fs::Permissions::from_mode(0o777)).unwrap();
        local
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn directories_are_provided_however_they_are_spelt() {
    let (ssd, local) = (open_directory(), Local::make());
    fs::create_dir(ssd.path().join("part")).unwrap();
    fs::set_permissions(ssd.path().join("part"), fs::Permissions::from_mode(0o777)).unwrap();
    let (ssd, local) = (ssd.path().display(), local.0.display());
    let server = Server::start(Product::MariaDb);
    server.sql(&format!(
        "CREATE DATABASE shop; USE shop;
         CREATE TABLE up (a INT PRIMARY KEY) DATA DIRECTORY='{ssd}/part/../../{0}';
         CREATE TABLE twice (a INT PRIMARY KEY) DATA DIRECTORY='{ssd}//part';
         CREATE TABLE plain (a INT PRIMARY KEY) DATA DIRECTORY='{ssd}/part';
         CREATE TABLE local (a INT PRIMARY KEY) DATA DIRECTORY='{local}';
         INSERT INTO up VALUES (1); INSERT INTO twice VALUES (2); INSERT INTO plain VALUES (3); INSERT INTO local VALUES (4)",
        Path::new(&ssd.to_string()).file_name().unwrap().display()
    ));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    drill_passes(&world);

    // Another server may have files of these names there: said before anything is loaded.
    let beside = Server::start(Product::MariaDb);
    let ran = world.run(&["restore", "shop", "--to", &beside.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("files of that name are already in its DATA DIRECTORY"), "{ran:?}");
    assert!(ran.stderr.contains("another server keeps its own shop."), "{ran:?}");
    assert_eq!(beside.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
    let replaced = world.json(&["restore", "shop", "--to", &server.destination(), "--overwrite"], 0);
    assert_eq!(wrong(&replaced), [""; 0]);
}

#[test]
fn mariadb_tables_with_files_elsewhere_are_drilled_inside_and_restored_where_the_place_is_ready() {
    directories_are_private(Product::MariaDb);
}

#[test]
fn mysql_tables_with_files_elsewhere_are_drilled_inside_and_restored_where_the_place_is_ready() {
    directories_are_private(Product::MySql);
}

#[test]
fn a_federated_table_is_drilled_without_a_connection() {
    let other = Server::start(Product::MariaDb);
    other.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b VARCHAR(9)); INSERT INTO d.t VALUES (1, 'x')");
    let remote = other.socket.display().to_string();
    let server = Server::start_with(Product::MariaDb, &["--plugin-load-add=ha_federatedx"]);
    server.sql(&format!(
        "CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE SERVER other FOREIGN DATA WRAPPER mysql OPTIONS (SOCKET '{remote}', USER 'root', DATABASE 'd');
         CREATE TABLE far (a INT PRIMARY KEY, b VARCHAR(9)) ENGINE=FEDERATED CONNECTION='other/t';
         CREATE VIEW both_of_them AS SELECT own.a, far.b FROM own JOIN far ON own.a = far.a"
    ));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let listened = other.sql("SHOW GLOBAL STATUS LIKE 'Connections'");
    let report = drill_passes(&world);
    let notes = report["warnings"].to_string();
    assert!(notes.contains("table shop.far shows a table of another server"), "{report}");
    let after = other.sql("SHOW GLOBAL STATUS LIKE 'Connections'");
    let count = |text: &str| text.rsplit('\t').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(count(&after), count(&listened) + 1, "only this question was a connection");
}

#[test]
fn a_mysql_federated_table_is_drilled_without_a_connection() {
    // Nobody listens while the backup is made: the source's own server would wait for an answer.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start_with(Product::MySql, &["--federated"]);
    server.sql(&format!(
        "CREATE DATABASE shop; USE shop; CREATE TABLE own (a INT PRIMARY KEY); INSERT INTO own VALUES (1);
         CREATE TABLE far (a INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='mysql://u:p@127.0.0.1:{port}/d/t'"
    ));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    drill_passes(&world);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}
