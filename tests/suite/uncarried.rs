//! What a server does not show, and what its own dump client does not carry: found before the backup, named with what
//! to do about it, and the rest is safe.

use crate::support::{Product, Server, World, wrong};

#[test]
fn databases_of_the_server_itself_are_refused_before_a_backup() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE d");
    let world = World::new(&server, &["d", "mysql"], "");
    let checked = world.run(&["check-config", "--connect"]);
    assert_eq!(checked.status, 1, "{checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("cannot back up database mysql: it belongs to the server"), "{checked:?}");
}

#[test]
fn a_name_in_other_letters_is_the_same_database_where_the_server_says_so() {
    let server = Server::start_with(Product::MariaDb, &["--lower-case-table-names=1"]);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT); INSERT INTO shop.t VALUES (1); CREATE VIEW shop.v AS SELECT 1");
    let world = World::new(&server, &["Shop"], "");
    assert_eq!(world.backup()["rows"], 1);
    let drill = world.json(&["drill"], 0);
    assert!(drill["checks"].to_string().contains("rows shop.t"), "{drill:#}");
}

#[test]
fn events_of_a_server_that_shows_none_are_named() {
    for product in [Product::MariaDb, Product::MySql] {
        let mut server = Server::start(product);
        server.sql(
            "CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (1);
             CREATE EVENT d.nightly ON SCHEDULE EVERY 1 DAY DO SELECT 'its text'",
        );
        server.shut_down();
        server.start_again_with("--event-scheduler=DISABLED");
        let world = World::new(&server, &[], "");
        let backup = world.backup();
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), [""; 0], "{product:?}");
        if product == Product::MariaDb {
            for said in [&backup["warnings"], &drill["warnings"]] {
                assert!(said.to_string().contains("event d.nightly is NOT in the backup: "), "{said}");
                assert!(said.to_string().contains("event_scheduler=OFF"), "{said}");
            }
            assert!(world.manifest()["left_out"].to_string().contains("its text"));
            let verified = world.json(&["verify", "shop", "--against", &server.destination()], 0);
            assert_eq!(wrong(&verified), [""; 0]);
        } else {
            assert!(drill["checks"].to_string().contains("event d.nightly"), "{drill:#}");
        }
    }
}

#[test]
fn events_that_nobody_may_read_leave_the_backup_incomplete() {
    let mut server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (1);
         CREATE EVENT d.nightly ON SCHEDULE EVERY 1 DAY DO SELECT 1;
         CREATE USER backup@localhost IDENTIFIED BY 'pw';
         GRANT BINLOG MONITOR ON *.* TO backup@localhost;
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON d.* TO backup@localhost",
    );
    let grants = server.sql(
        "SELECT CONCAT('GRANT SELECT ON mysql.`', TABLE_NAME, '` TO backup@localhost;') FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME <> 'event'",
    );
    server.sql(&grants.lines().filter(|line| line.starts_with("GRANT")).collect::<String>());
    server.shut_down();
    server.start_again_with("--event-scheduler=DISABLED");
    let world = World::new(&server, &["d"], "");
    world.secret("backup.pw", "pw");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("user = \"root\"", "user = \"backup\"\npassword_file = \"backup.pw\"");
    std::fs::write(world.path("config.toml"), text).unwrap();
    let backup = world.backup();
    let said = backup["warnings"].to_string();
    assert!(said.contains("event `*`.`*` is NOT in the backup") && said.contains("mysql.event"), "{said}");
    let status = world.run(&["status"]);
    assert!(status.stdout.contains("INCOMPLETE: 1 other object left out"), "{status:?}");
}

#[test]
fn history_by_transaction_costs_history_and_nothing_else() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d;
         CREATE TABLE by_transaction (a INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END,
           PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
         CREATE TABLE by_time (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END,
           PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
         INSERT INTO by_transaction (a) VALUES (1), (2); UPDATE by_transaction SET a = a + 10;
         INSERT INTO by_time (a) VALUES (1), (2); UPDATE by_time SET a = a + 10",
    );
    let world = World::new(&server, &[], "");
    let backup = world.backup();
    assert_eq!(backup["rows"], 4);
    for table in ["d.by_transaction", "d.by_time"] {
        let said = backup["warnings"].to_string();
        assert!(said.contains(&format!("table {table}: only its current rows are in the backup")), "{said}");
    }
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    // Without such a table, history is kept.
    server.sql("DROP TABLE d.by_transaction");
    assert_eq!(world.backup()["rows"], 4);
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
}

#[test]
fn a_trigger_on_a_column_that_is_gone_is_red_and_says_how_to_mend_it() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE d; USE d; CREATE TABLE t (a INT, b INT);
             CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1; ALTER TABLE t DROP COLUMN b",
        );
        let world = World::new(&server, &[], "");
        world.backup();
        let drill = world.json(&["drill"], 3);
        assert!(drill["reason"].as_str().unwrap().contains("load table d.t"), "{drill:#}");
        let hint = drill["hint"].as_str().unwrap();
        assert!(hint.contains("the server's own client printed") && hint.contains("drop the trigger"), "{hint}");
    }
}

#[test]
fn names_that_the_dump_cannot_carry_are_foreseen_and_explained() {
    for (product, kinds) in
        [(Product::MariaDb, &["event"][..]), (Product::MySql, &["event", "trigger", "procedure"][..])]
    {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE d; USE d; CREATE TABLE t (a INT); SET NAMES latin1;
             CREATE EVENT `é` ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE EVENT plain ON SCHEDULE EVERY 1 DAY DO SELECT 1;
             CREATE TRIGGER `é` BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1; CREATE PROCEDURE `é`() SELECT 1;
             CREATE PROCEDURE `ü`() SELECT 2",
        );
        let world = World::new(&server, &[], "");
        let checked = world.run(&["check-config", "--connect"]);
        let backup = world.backup();
        let drill = world.json(&["drill"], 3);
        for kind in kinds {
            let want = format!("{kind} d.`Ã©` will not come back: the server's own dump cannot carry its name");
            assert!(checked.stdout.contains(&want), "{checked:?}");
            assert!(backup["warnings"].to_string().contains(&want), "{backup:#}");
            let hint = drill["hint"].as_str().unwrap();
            assert!(hint.contains(&want) && hint.contains("SET NAMES utf8mb4"), "{hint}");
        }
        assert!(wrong(&drill).iter().all(|name| kinds.iter().any(|kind| name.starts_with(kind))), "{drill:#}");
    }
}

#[test]
fn rows_that_mysql_does_not_take_back_are_red_with_what_to_mend() {
    let server = Server::start(Product::MySql);
    server.sql(
        "CREATE DATABASE d; USE d; SET time_zone = '-08:00';
         CREATE TABLE t (at TIMESTAMP, CONSTRAINT early CHECK (at < '2024-01-01 00:00:00')); INSERT INTO t VALUES ('2023-12-31 23:00:00')",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 3);
    assert!(drill["reason"].as_str().unwrap().contains("Check constraint 'early' is violated"), "{drill:#}");
    assert!(drill["hint"].as_str().unwrap().contains("rows violate a CHECK constraint"), "{drill:#}");
}
