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
    assert!(said.contains("cannot back up database mysql: it is a system database"), "{checked:?}");
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
    assert!(status.stdout.contains("INCOMPLETE; left out: 1 other object"), "{status:?}");
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

/// Change the file that MariaDB keeps a table's triggers in.
fn damage(server: &Server, file: &str, from: &str, to: &str) {
    let path = server.data(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

/// Whoever looks is told all of this, a drill passes and has checked what is `whole`, and the manifest keeps the text.
fn is_left_out_and_told(world: &World, whole: &str, told: &[&str], text: &str) {
    let checked = world.run(&["check-config", "--connect"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    let backup = world.backup();
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    assert!(drill["checks"].to_string().contains(whole), "{drill:#}");
    for said in [backup["warnings"].to_string(), drill["warnings"].to_string(), checked.stdout] {
        assert!(told.iter().all(|words| said.contains(words)), "{told:?}: {said}");
    }
    assert!(world.manifest()["left_out"].to_string().contains(text));
}

#[test]
fn a_trigger_that_the_server_cannot_parse_is_left_out_by_name_and_the_others_are_safe() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (a INT, b INT); INSERT INTO t VALUES (1, 2);
         CREATE TRIGGER one BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;
         CREATE TRIGGER two BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1;
         CREATE TABLE u (a INT); CREATE TRIGGER three BEFORE INSERT ON u FOR EACH ROW SET NEW.a = 1; FLUSH TABLES",
    );
    damage(&server, "d/t.TRG", "SET NEW.a = 1", "SOT NEW.a = 1");
    damage(&server, "d/u.TRG", "TYPE=TRIGGERS", "TYPE-TRIGGERS");
    server.sql("FLUSH TABLES");
    let world = World::new(&server, &[], "");
    let told = [
        "trigger d.one is NOT in the backup: the server cannot parse it",
        "table d.u is NOT in the backup: Malformed file type header",
    ];
    is_left_out_and_told(&world, "trigger d.two", &told, "SOT NEW.a = 1");
    let verified = world.json(&["verify", "shop", "--against", &server.destination()], 0);
    assert_eq!(wrong(&verified), [""; 0]);
}

#[test]
fn a_broken_view_over_a_function_that_the_backup_may_not_run_is_left_out_and_whole_ones_are_not() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (a INT, b INT); INSERT INTO t VALUES (1, 2);
         CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; CREATE FUNCTION g() RETURNS INT DETERMINISTIC RETURN 2;
         CREATE SQL SECURITY INVOKER VIEW whole AS SELECT f() AS x, 'it''s `d`.`g`(' AS y, a FROM t WHERE a = f();
         CREATE SQL SECURITY INVOKER VIEW over_whole AS SELECT x FROM whole;
         CREATE SQL SECURITY INVOKER VIEW no_column AS SELECT f() AS x, b FROM t;
         CREATE SQL SECURITY INVOKER VIEW no_column_asked AS SELECT f() AS x FROM t WHERE b = 1;
         CREATE SQL SECURITY INVOKER VIEW no_function AS SELECT f() AS x, g() AS y FROM t;
         CREATE SQL SECURITY INVOKER VIEW a_over_no_column AS SELECT x FROM no_column;
         ALTER TABLE t DROP COLUMN b; DROP FUNCTION g;
         CREATE USER b@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON d.* TO b@localhost;
         GRANT SELECT ON mysql.* TO b@localhost; GRANT BINLOG MONITOR ON *.* TO b@localhost",
    );
    let world = World::new(&server, &["d"], "");
    let config = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), config.replace("user = \"root\"", "user = \"b\"")).unwrap();
    let said = world.backup()["warnings"].to_string();
    for (name, why) in [
        ("no_column", "Unknown column 'd.t.b'"),
        ("no_column_asked", "Unknown column 'd.t.b'"),
        ("no_function", "FUNCTION d.g does not exist"),
        ("a_over_no_column", "it uses d.no_column, which is left out"),
    ] {
        assert!(said.contains(&format!("view d.{name} is NOT in the backup: {why}")), "{name}: {said}");
    }
    assert_eq!(said.matches(" is NOT in the backup: ").count(), 4, "{said}");
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    for view in ["view d.whole", "view d.over_whole"] {
        assert!(drill["checks"].to_string().contains(view), "{drill:#}");
    }
}

/// MySQL does not start with such an event unless its events are off, and then it shows all others.
#[test]
fn an_event_of_a_time_zone_that_is_gone_is_left_out_by_name_with_its_zone() {
    let mut server = Server::start(Product::MySql);
    server.sql(
        "INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N'); SET @zone = LAST_INSERT_ID();
         INSERT INTO mysql.time_zone_name VALUES ('Mars/Olympus', @zone);
         INSERT INTO mysql.time_zone_transition_type VALUES (@zone, 0, 3600, 0, 'MST');
         CREATE DATABASE d; USE d; CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SET time_zone = 'Mars/Olympus';
         CREATE EVENT zoned ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SELECT 'its text';
         SET time_zone = '+00:00'; CREATE EVENT plain ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SELECT 2;
         DELETE FROM mysql.time_zone_name WHERE Name = 'Mars/Olympus'",
    );
    server.shut_down();
    server.start_again_with("--event-scheduler=DISABLED");
    let world = World::new(&server, &[], "");
    let told = ["event d.zoned is NOT in the backup: ", "the server does not know its time zone Mars/Olympus"];
    is_left_out_and_told(&world, "event d.plain", &told, "its text");
}
