//! A destination that is not prepared for the backup: said before anything is loaded, or set for the load.

use crate::support::{Product, Server, World};

/// A row of 20 MB, and a table that strict mode refuses.
fn shop(product: Product) -> (Server, World) {
    let server = Server::start_with(product, &["--innodb-strict-mode=OFF"]);
    let columns: Vec<String> = (0..40).map(|number| format!("c{number} CHAR(255)")).collect();
    server.sql(&format!(
        "CREATE DATABASE shop; USE shop; CREATE TABLE big (a INT PRIMARY KEY, b LONGBLOB); \
         INSERT INTO big VALUES (1, REPEAT(_binary'x', 10000000)), (2, 'y'); \
         CREATE TABLE keyless (a INT); INSERT INTO keyless VALUES (1); \
         CREATE TABLE wide ({}) CHARSET=latin1 ROW_FORMAT=COMPACT",
        columns.join(", ")
    ));
    let world = World::new(&server, &["shop"], "");
    world.backup();
    (server, world)
}

fn is_prepared(product: Product, extra: &[&str]) {
    let (server, world) = shop(product);
    assert_eq!(world.json(&["drill", "shop"], 0)["verdict"], "passed");
    drop(server);
    // The servers of tests take a packet of 1 GiB; the later word counts.
    let mut arguments = vec!["--max-allowed-packet=16M"];
    arguments.extend(extra);
    let there = Server::start_with(product, &arguments);
    let ran = world.run(&["restore", "shop", "--to", &there.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("max_allowed_packet is 16777216"), "{ran:?}");
    let value = ran.stderr.split("SET GLOBAL max_allowed_packet = ").nth(1).expect(&ran.stderr);
    let value: String = value.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(there.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was begun");
    // Doing as the hint says is enough.
    there.sql(&format!("SET GLOBAL max_allowed_packet = {value}"));
    let ran = world.run(&["restore", "shop", "--to", &there.destination()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(there.sql("SELECT LENGTH(b) FROM shop.big WHERE a = 1"), "10000000");
    assert!(ran.stdout.contains("binary log"), "{ran:?}");
}

#[test]
fn mariadb_is_told_what_to_set_and_sessions_set_what_they_may() {
    is_prepared(Product::MariaDb, &["--innodb-strict-mode=ON", "--wait-timeout=5", "--max-statement-time=60"]);
}

#[test]
fn mysql_is_told_what_to_set_and_sessions_set_what_they_may() {
    is_prepared(Product::MySql, &["--innodb-strict-mode=ON", "--wait-timeout=5", "--sql-require-primary-key=ON"]);
}

#[test]
fn every_setting_that_forbids_a_load_is_named_at_once() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); \
         CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.t",
    );
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let there = Server::start_with(Product::MariaDb, &["--secure-timestamp=YES", "--innodb-force-primary-key=ON"]);
    let ran = world.run(&["restore", "shop", "--to", &there.destination()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    for part in ["secure_timestamp = NO", "SET GLOBAL innodb_force_primary_key = OFF"] {
        assert!(ran.stderr.contains(part), "{part} in {ran:?}");
    }
    let ready = Server::start(Product::MariaDb);
    let ran = world.run(&["restore", "shop", "--to", &ready.destination()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("event_scheduler = ON"), "{ran:?}");
    ready.sql(
        "DROP DATABASE shop; CREATE USER plain@localhost; GRANT ALL ON *.* TO plain@localhost WITH GRANT OPTION; \
               REVOKE READ_ONLY ADMIN ON *.* FROM plain@localhost; SET GLOBAL read_only = ON",
    );
    let ran = world.run(&["restore", "shop", "--to", &ready.destination(), "--user", "plain", "--no-accounts"]);
    assert!(ran.status != 0 && ran.stderr.contains("SET GLOBAL read_only = OFF"), "{ran:?}");
}

#[test]
fn a_server_that_refuses_functions_is_named_before_anything_is_loaded() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql(
            "SET GLOBAL log_bin_trust_function_creators = ON; CREATE DATABASE shop; USE shop; \
             CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1); \
             CREATE FUNCTION odd() RETURNS INT RETURN (SELECT COUNT(*) FROM t); \
             CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        let there = Server::start(product);
        let to = there.destination();
        let ran = world.run(&["restore", "shop", "--to", &to]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains("SET GLOBAL log_bin_trust_function_creators = ON"), "{ran:?}");
        assert!(!ran.stderr.contains("new backup"), "{ran:?}");
        let left = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME REGEXP 'shop|backup_sla'";
        assert_eq!(there.sql(left), "", "{product:?}: nothing was begun");
        // A trigger needs only the privileges of an administrator.
        let table = world.run(&["restore", "shop", "--to", &to, "--table", "shop.t"]);
        assert_eq!(table.status, 0, "{table:?}");
        // Doing as the hint says is enough.
        there.sql("SET GLOBAL log_bin_trust_function_creators = ON");
        let ran = world.run(&["restore", "shop", "--to", &to, "--overwrite"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(there.sql("SELECT shop.odd()"), "1");
    }
}

#[test]
fn a_single_table_needs_only_what_it_needs_itself() {
    let server = Server::start_with(Product::MariaDb, &["--plugin-load-add=ha_archive"]);
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (a INT PRIMARY KEY); INSERT INTO orders VALUES (1); \
         CREATE TABLE single (a INT NOT NULL UNIQUE); CREATE TABLE keyless (a INT); CREATE TABLE old (a INT) ENGINE=ARCHIVE",
    );
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let there = Server::start_with(Product::MariaDb, &["--innodb-force-primary-key=ON"]);
    there.sql("CREATE DATABASE backup_sla_probe; SET GLOBAL tx_read_only = ON");
    let to = there.destination();
    let ran = world.run(&["restore", "shop", "--to", &to, "--table", "shop.keyless"]);
    assert!(ran.status == 1 && ran.stderr.contains("shop.keyless"), "{ran:?}");
    let ran = world.run(&["restore", "shop", "--to", &to, "--table", "shop.orders", "--table", "shop.single"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(there.sql("SELECT a FROM shop.orders"), "1");
    assert_eq!(there.sql("SHOW DATABASES LIKE 'backup_sla_probe'"), "backup_sla_probe", "not ours to drop");
}
