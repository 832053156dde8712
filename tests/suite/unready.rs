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
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); \
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
        "DROP DATABASE shop; CREATE USER plain@localhost; GRANT ALL ON *.* TO plain@localhost; \
               REVOKE READ_ONLY ADMIN ON *.* FROM plain@localhost; SET GLOBAL read_only = ON",
    );
    let ran = world.run(&["restore", "shop", "--to", &ready.destination(), "--user", "plain", "--no-accounts"]);
    assert!(ran.status != 0 && ran.stderr.contains("SET GLOBAL read_only = OFF"), "{ran:?}");
}
