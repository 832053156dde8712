//! Increments where it is hard: beside writers, of logs in other formats, of servers that will not give them, in a service, and
//! when whoever takes them is killed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::service::Service;
use crate::support::{Product, Server, World, wait_for, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

fn increment(world: &World) -> Value {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
    made
}

fn drilled(world: &World) -> Value {
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
    drill
}

#[test]
fn beside_four_writers_a_dropped_table_comes_back_with_every_row_and_no_later_one() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop");
        for table in 0..4 {
            server.sql(&format!("CREATE TABLE shop.t{table} (a INT PRIMARY KEY)"));
        }
        let world = World::new(&server, &["shop"], "");
        world.backup();
        let is_over = AtomicBool::new(false);
        let last = std::thread::scope(|scope| {
            for table in 1..4 {
                let (server, is_over) = (&server, &is_over);
                scope.spawn(move || {
                    let rows = "INSERT INTO shop.t{} SELECT COALESCE(MAX(a), 0) + 1 FROM shop.t{}"
                        .replace("{}", &table.to_string());
                    while !is_over.load(Ordering::SeqCst) {
                        server.sql(&vec![rows.as_str(); 20].join(";"));
                    }
                });
            }
            // The fourth writes into the table that somebody drops.
            let mut last = 0;
            for round in 0..6 {
                server.sql(
                    &(0..20)
                        .map(|at| format!("INSERT INTO shop.t0 VALUES ({})", last + at + 1))
                        .collect::<Vec<_>>()
                        .join(";"),
                );
                last += 20;
                if round % 2 == 1 {
                    increment(&world);
                }
            }
            server.sql("DROP TABLE shop.t0; CREATE TABLE shop.t0 (a INT PRIMARY KEY); INSERT INTO shop.t0 VALUES (-1)");
            increment(&world);
            is_over.store(true, Ordering::SeqCst);
            last
        });
        increment(&world);
        drilled(&world);
        let now = chrono::Utc::now().to_rfc3339();
        let ran = world.run(&["--json", "events", "shop", "--around", &now, "--within", "1h", "--kind", "ddl"]);
        let dropped: Value = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|it| it["statements"][0].as_str().unwrap().starts_with("DROP"))
            .unwrap();
        let destination = Server::start(product);
        let place = dropped["position"].as_str().unwrap();
        let restored =
            world.json(&["restore", "shop", "--to", &destination.destination(), "--before-position", place], 0);
        assert_eq!(restored["verified"], true, "{restored:#}");
        let found = destination.sql("SELECT COUNT(*), MIN(a), MAX(a) FROM shop.t0");
        assert_eq!(found, format!("{last}\t1\t{last}"), "{product:?}");
        for table in 1..4 {
            let gaps = destination.sql(&format!("SELECT COUNT(*) - MAX(a) FROM shop.t{table}"));
            assert_eq!(gaps, "0", "{product:?} t{table}: what was committed before is there without a hole");
        }
    }
}

#[test]
fn a_log_of_statements_and_other_databases_is_replayed_where_it_concerns_the_backup() {
    for format in ["MIXED", "STATEMENT", "ROW"] {
        let server = Server::start_with(Product::MariaDb, &[&format!("--binlog-format={format}")]);
        server.sql(
            "CREATE DATABASE shop; CREATE DATABASE other; CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, a TEXT, r DOUBLE, at DATETIME(6)); \
             CREATE TABLE other.t (id INT PRIMARY KEY AUTO_INCREMENT, a TEXT)",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql(
            "USE shop; SET time_zone = '+05:00'; INSERT INTO t (a, r, at) VALUES ('one', RAND(), NOW(6)); SET @x = 'zwölf', @d = 1.25, @n = NULL; \
             INSERT INTO t (a, r) VALUES (@x, @d), (@n, 2); INSERT INTO t (a) VALUES (CONCAT('last ', LAST_INSERT_ID())); \
             USE other; INSERT INTO t (a) VALUES ('elsewhere'); CREATE TABLE u (a INT); INSERT INTO u VALUES (1); INSERT INTO shop.t (a) VALUES ('from there'); \
             BEGIN; INSERT INTO shop.t (a) VALUES ('both'); INSERT INTO other.t (a) VALUES ('both'); COMMIT; DROP TABLE u; DROP TABLE IF EXISTS nothing; \
             USE shop; CREATE TEMPORARY TABLE tmp (a INT); INSERT INTO tmp VALUES (7); INSERT INTO t (a) SELECT a FROM tmp; DROP TEMPORARY TABLE tmp; \
             INSERT INTO t (a) VALUES (UUID()); CREATE DATABASE third; CREATE TABLE third.t (a INT)",
        );
        increment(&world);
        drilled(&world);
        let destination = Server::start(Product::MariaDb);
        let restored = world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        assert_eq!(restored["verified"], true, "{format}: {restored:#}");
        let rows = "SELECT id, a, r, at FROM shop.t WHERE a NOT LIKE '%-%-%' OR a IS NULL ORDER BY id";
        assert_eq!(destination.sql(rows), server.sql(rows), "{format}");
        assert_eq!(destination.sql("SHOW DATABASES LIKE '%th%r%'"), "", "{format}: no other database");
    }
}

#[test]
fn transactions_of_xa_and_compressed_logs_are_replayed() {
    let compressed = |product| match product {
        Product::MariaDb => "--log-bin-compress=ON",
        Product::MySql => "--binlog-transaction-compression=ON",
    };
    for product in BOTH {
        let server = Server::start_with(product, &[compressed(product)]);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, b TEXT)");
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql(
            "USE shop; INSERT INTO t VALUES (1, REPEAT('long ', 500)); UPDATE t SET b = REPEAT('longer ', 500); \
             XA START 'one', 'b', 3; INSERT INTO t VALUES (2, 'xa'); XA END 'one', 'b', 3; XA PREPARE 'one', 'b', 3; XA COMMIT 'one', 'b', 3; \
             XA START 'two'; INSERT INTO t VALUES (3, 'gone'); XA END 'two'; XA PREPARE 'two'; XA ROLLBACK 'two'; \
             XA START 'three'; INSERT INTO t VALUES (4, 'at once'); XA END 'three'; XA COMMIT 'three' ONE PHASE; INSERT INTO t VALUES (5, 'after')",
        );
        increment(&world);
        drilled(&world);
        let destination = Server::start(product);
        world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        let rows = "SELECT a, LENGTH(b), LEFT(b, 30), RIGHT(b, 30) FROM shop.t ORDER BY a";
        assert_eq!(destination.sql(rows), server.sql(rows), "{product:?}");
    }
}

#[test]
fn what_no_full_backup_would_mend_is_an_error_and_no_break() {
    let server = Server::start_with(Product::MariaDb, &["--skip-log-bin"]);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let ran = world.run(&["backup", "shop", "--incremental"]);
    assert!(ran.status == 1 && ran.stderr.contains("keeps no binary log") && ran.stderr.contains("log_bin"), "{ran:?}");
    assert_eq!(world.listed(), 1, "no full backup in its place");

    for product in BOTH {
        let server = Server::start(product);
        let more = if product == Product::MariaDb { "BINLOG MONITOR" } else { "REPLICATION CLIENT, RELOAD" };
        server.sql(&format!(
            "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); CREATE USER poor@localhost; GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, {more} ON *.* TO poor@localhost"
        ));
        let world = World::new(&server, &["shop"], "");
        let text =
            std::fs::read_to_string(world.path("config.toml")).unwrap().replace("user = \"root\"", "user = \"poor\"");
        std::fs::write(world.path("config.toml"), &text).unwrap();
        world.backup();
        let ran = world.run(&["backup", "shop", "--incremental"]);
        assert!(
            ran.status == 1 && ran.stderr.contains("GRANT REPLICATION SLAVE ON *.* TO 'poor'@'localhost'"),
            "{ran:?}"
        );
        assert_eq!(world.listed(), 1, "{product:?}: no full backup in its place");
        // Where increments are scheduled it is said beforehand.
        std::fs::write(
            world.path("config.toml"),
            text.replace("full = \"0 2 * * *\"", "full = \"0 2 * * *\", incremental = \"*/15 * * * *\""),
        )
        .unwrap();
        let checked = world.run(&["check-config", "--connect"]);
        assert!(format!("{}{}", checked.stdout, checked.stderr).contains("GRANT REPLICATION SLAVE"), "{checked:?}");
        assert!(checked.status == 1 && checked.stderr.contains("cannot take the scheduled incremental"), "{checked:?}");
        server.sql("GRANT REPLICATION SLAVE ON *.* TO poor@localhost");
        // Without these an increment is possible, and a full backup may have to be taken twice.
        let block = if product == Product::MariaDb { "RELOAD, PROCESS" } else { "BACKUP_ADMIN" };
        let is_lacking = || {
            let checked = world.run(&["check-config", "--connect"]);
            assert_eq!(checked.status, 0, "{checked:?}");
            let said = format!("{}{}", checked.stdout, checked.stderr);
            said.contains(&format!("GRANT {block} ON *.* TO 'poor'@'localhost', or write `block_ddl = false`"))
        };
        assert!(is_lacking(), "{product:?}");
        server.sql(&format!("GRANT {block} ON *.* TO poor@localhost"));
        assert!(!is_lacking(), "{product:?}");
        // That full backup does not say which log it is in: the next one does.
        let full = world.json(&["backup", "shop", "--incremental"], 0);
        assert_eq!(full["kind"], "full", "{full:#}");
        server.sql("INSERT INTO shop.t VALUES (1)");
        increment(&world);
        drilled(&world);
    }
}

#[test]
fn a_definition_that_changes_while_the_full_backup_is_read_begins_a_new_chain_once() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, b CHAR(200))");
    let world = World::new(&server, &["shop"], "");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                server.sql("CREATE TABLE shop.moving (a INT); DROP TABLE shop.moving");
            }
        });
        wait_for("a full backup beside changes", || (world.run(&["backup", "shop"]).status == 0).then_some(()));
        is_over.store(true, Ordering::SeqCst);
    });
    let report = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(report["kind"], "full", "{report:#}");
    assert!(report["warnings"][0].as_str().unwrap().contains("(changed_meanwhile)"), "{report:#}");
    server.sql("INSERT INTO shop.t VALUES (-1, 'y')");
    increment(&world);
    drilled(&world);
}

#[test]
fn a_service_takes_increments_tells_of_a_break_and_begins_anew() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT)");
    let world = World::new(&server, &["shop"], "");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("full = \"0 2 * * *\"", "full = \"0 0 29 2 *\", incremental = \"@every 1s\"");
    std::fs::write(world.path("config.toml"), text).unwrap();
    let service = Service::start(&world);
    let full = "recovery_points{source=\"shop\",kind=\"full\"}";
    let increments = "backups_total{source=\"shop\",kind=\"incremental\"}";
    service.wait(full, |value| value == 1.0);
    server.sql("INSERT INTO shop.t (b) VALUES (1)");
    service.wait(increments, |value| value >= 3.0);
    service.wait("chain_length{source=\"shop\"}", |value| value >= 1.0);
    let end = "restore_window_end_timestamp_seconds{source=\"shop\"}";
    assert!(service.value(end) > service.value("restore_window_start_timestamp_seconds{source=\"shop\"}"));
    assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 0.0);
    server.sql("RESET MASTER");
    service.wait("chain_breaks_total{source=\"shop\"}", |value| value == 1.0);
    service.wait(full, |value| value == 2.0);
    service.wait("chain_broken{source=\"shop\"}", |value| value == 0.0);
    assert!(service.value("chain_last_break_timestamp_seconds{source=\"shop\"}") > 0.0);
    let seen = service.value(increments);
    service.wait(increments, |value| value > seen);
    service.stop();
    drilled(&world);
}

#[test]
fn whoever_takes_increments_may_be_killed_at_any_moment() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT, b CHAR(250))");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let is_over = AtomicBool::new(false);
    let rows = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rows = 0;
            while !is_over.load(Ordering::SeqCst) {
                server.sql(&vec!["INSERT INTO shop.t (b) VALUES (REPEAT('x', 250))"; 50].join(";"));
                rows += 50;
            }
            rows
        });
        for round in 0..12_u64 {
            let mut command = world.command(&["backup", "shop", "--incremental"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(20 + 37 * round));
            let _ = child.kill();
            child.wait().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
        writer.join().unwrap()
    });
    increment(&world);
    drilled(&world);
    let destination = Server::start(Product::MariaDb);
    world.json(&["restore", "shop", "--to", &destination.destination()], 0);
    assert_eq!(destination.sql("SELECT COUNT(*), MAX(a) FROM shop.t"), format!("{rows}\t{rows}"));
    let check = world.restic(&["check", "--read-data"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn what_a_server_does_not_log_is_no_increment() {
    let cases = [
        (Product::MariaDb, "--binlog-ignore-db=shop", "", "does not log changes of shop"),
        (Product::MariaDb, "--binlog-do-db=other", "", "does not log changes of shop"),
        (
            Product::MySql,
            "--log-replica-updates=OFF",
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1'",
            "is a replica",
        ),
    ];
    for (product, option, sql, said) in cases {
        let server = Server::start_with(product, &[option]);
        server.sql(&format!("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); {sql}"));
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql("INSERT INTO shop.t VALUES (1)");
        let ran = world.run(&["backup", "shop", "--incremental"]);
        assert!(ran.status == 1 && ran.stderr.contains(said) && ran.stderr.contains("hint:"), "{option}: {ran:?}");
        assert_eq!(world.listed(), 1, "{option}: nothing is published, and no full backup in its place");
    }
    let server = Server::start_with(Product::MariaDb, &["--binlog-do-db=shop"]);
    server.sql("CREATE DATABASE shop; USE shop; CREATE TABLE t (a INT PRIMARY KEY)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("USE shop; INSERT INTO t VALUES (1)");
    increment(&world);
    drilled(&world);
}

#[test]
fn the_name_of_a_variable_ends_no_statement_in_any_character_set() {
    let server = Server::start_with(Product::MariaDb, &["--binlog-format=MIXED"]);
    server.sql(
        "CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, a TEXT)",
    );
    let world = World::new(&server, &["shop"], "");
    world.backup();
    // The last byte of the letter and the quote behind it are one letter of GBK.
    let name = "`日``:=1;CREATE USER evil@localhost;#`";
    server.sql(&format!(
        "USE shop; SET NAMES gbk; INSERT INTO t (a) VALUES ('x'); SET NAMES utf8mb4; SET @{name} := 'seven'; SET NAMES gbk; INSERT INTO t (a) VALUES ('y'); \
         SET NAMES utf8mb4; INSERT INTO t (a) VALUES (@{name})"
    ));
    increment(&world);
    drilled(&world);
    let destination = Server::start(Product::MariaDb);
    world.json(&["restore", "shop", "--to", &destination.destination()], 0);
    assert_eq!(destination.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'evil'"), "0");
    assert_eq!(destination.sql("SELECT GROUP_CONCAT(a ORDER BY id) FROM shop.t"), "x,y,seven");
}

#[test]
fn a_destination_is_looked_at_before_a_replay_and_keeps_what_it_is_told_to_keep() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); INSERT INTO shop.t VALUES (1)");
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql("CREATE TABLE shop.u (a INT); CREATE USER clerk@localhost IDENTIFIED BY 'Clerk 1'; GRANT SELECT ON shop.* TO clerk@localhost; INSERT INTO shop.t VALUES (2)");
        increment(&world);
        let destination = Server::start(product);
        let to = destination.destination();
        // In place, what increments create would be there already.
        let ran = world.run(&["restore", "shop", "--to", &to, "--overwrite"]);
        assert!(ran.status == 2 && ran.stderr.contains("into an empty place only"), "{product:?}: {ran:?}");
        // Events that run meanwhile change what the log is about.
        destination.sql("CREATE DATABASE other; CREATE EVENT other.e ON SCHEDULE EVERY 1 DAY DO SELECT 1; SET GLOBAL event_scheduler = ON");
        let ran = world.run(&["restore", "shop", "--to", &to]);
        assert!(ran.status == 1 && ran.stderr.contains("SET GLOBAL event_scheduler = OFF"), "{product:?}: {ran:?}");
        assert_eq!(destination.sql("SHOW DATABASES LIKE 'shop'"), "", "{product:?}: nothing was loaded");
        destination.sql("SET GLOBAL event_scheduler = OFF");
        let restored = world.json(&["restore", "shop", "--to", &to, "--no-accounts"], 0);
        assert_eq!(restored["verified"], true, "{product:?}: {restored:#}");
        assert_eq!(destination.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'clerk'"), "0", "{product:?}");
        assert_eq!(destination.sql("SELECT GROUP_CONCAT(a ORDER BY a) FROM shop.t"), "1,2", "{product:?}");
    }
}

#[test]
fn a_busy_server_that_rotates_its_log_all_the_time_breaks_nothing() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT)");
        let world = World::new(&server, &["shop"], "");
        world.backup();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    server.sql(&["INSERT INTO shop.t VALUES (NULL)"; 100].join(";"));
                }
            });
            for _ in 0..8 {
                server.sql("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (NULL)");
                let made = world.run(&["--json", "backup", "shop", "--incremental"]);
                if made.status != 0 || !made.stdout.contains("\"kind\":\"incremental\"") {
                    is_over.store(true, Ordering::SeqCst);
                    panic!("{product:?}: {made:?}");
                }
            }
            is_over.store(true, Ordering::SeqCst);
        });
        // What the server notes after a rotation may come behind the last transaction.
        for _ in 0..8 {
            server.sql("FLUSH BINARY LOGS; INSERT INTO shop.t VALUES (NULL)");
            increment(&world);
        }
        drilled(&world);
    }
}

#[test]
fn transactions_that_are_committed_together_leave_what_the_source_has() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(3000), UNIQUE (b(50))); \
             CREATE TABLE plain (a INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE child (a INT PRIMARY KEY, t INT, FOREIGN KEY (t) REFERENCES t (a))",
        );
        // Versions that are numbers of transactions know which rows were committed together.
        let versioned = product == Product::MariaDb;
        if versioned {
            server.sql(
                "CREATE TABLE shop.history (a INT PRIMARY KEY, b INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, \
                 e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
            );
        }
        let world = World::new(&server, &["shop"], "");
        world.backup();
        let mut sql = String::from("USE shop;");
        for at in 0..400 {
            let mixed = if versioned { format!("INSERT INTO plain VALUES ({at} + 1000);") } else { String::new() };
            // The same keys and unique values again and again, texts that fill several packets, and what takes tables back.
            write!(sql, "REPLACE INTO t (a, b) VALUES ({0}, CONCAT({at}, REPEAT('x', 2900))); UPDATE t SET b = CONCAT('y', b) WHERE a = {0}; \
                 BEGIN; INSERT INTO child VALUES (1, {0}); DELETE FROM child; COMMIT; INSERT INTO plain VALUES ({at}); DELETE FROM t WHERE a = {0} - 3; \
                 BEGIN; {mixed} INSERT INTO t (a, b) VALUES (-1, 'gone'); SAVEPOINT s; INSERT INTO t (a, b) VALUES (-2, 'too'); ROLLBACK TO s; ROLLBACK;",
                at % 50 + 3 * (at / 50)).unwrap();
            if at % 100 == 50 {
                write!(
                    sql,
                    "ALTER TABLE t ADD COLUMN c{at} INT DEFAULT 7; BEGIN; UPDATE t SET b = CONCAT(b, 'z'); COMMIT;"
                )
                .unwrap();
            }
            if versioned {
                write!(sql, "REPLACE INTO history (a, b) VALUES ({}, {at}); UPDATE history SET b = b + 1;", at % 5)
                    .unwrap();
            }
        }
        server.sql(&sql);
        increment(&world);
        drilled(&world);
        // With GTIDs a server of MySQL lets no transaction change tables of two kinds.
        let options: &[&str] = if versioned { &[] } else { &["--enforce-gtid-consistency=ON", "--gtid-mode=ON"] };
        let destination = Server::start_with(product, options);
        let restored = world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        assert_eq!(restored["verified"], true, "{product:?}: {restored:#}");
        for table in ["t", "plain", "child"] {
            let rows = format!("SELECT * FROM shop.{table} ORDER BY 1");
            assert_eq!(destination.sql(&rows), server.sql(&rows), "{product:?} {table}");
        }
        if versioned {
            let rows = "SELECT a, b FROM shop.history FOR SYSTEM_TIME ALL ORDER BY 1, 2";
            assert!(server.sql(rows).lines().count() > 400);
            assert_eq!(destination.sql(rows), server.sql(rows));
        }
    }
}

#[test]
fn a_single_table_comes_back_with_its_increments_where_that_is_exact() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE orders (a INT PRIMARY KEY, b VARCHAR(20)); INSERT INTO orders VALUES (1, 'full'), (2, 'full'); \
             CREATE TABLE items (a INT PRIMARY KEY, o INT, FOREIGN KEY (o) REFERENCES orders (a)); \
             INSERT INTO items VALUES (1, 1), (2, 2); CREATE TABLE other (a INT PRIMARY KEY); \
             CREATE DATABASE elsewhere; CREATE TABLE elsewhere.x (a INT PRIMARY KEY)",
        );
        let world = World::new(&server, &["shop", "elsewhere"], "");
        world.backup();
        server.sql(
            "USE shop; BEGIN; INSERT INTO orders VALUES (3, 'both'); INSERT INTO items VALUES (3, 3); INSERT INTO other VALUES (1); COMMIT; \
             ALTER TABLE orders ADD COLUMN c INT DEFAULT 5; ALTER TABLE other ADD COLUMN c INT; UPDATE orders SET b = 'changed' WHERE a = 1; \
             CREATE TABLE more (a INT); DROP TABLE more; CREATE VIEW v AS SELECT * FROM orders; INSERT INTO items VALUES (4, 1)",
        );
        // Another database is in use, which is not restored: in a transaction that is not wanted, in one that is, and in none.
        server.sql(
            "USE elsewhere; BEGIN; INSERT INTO x VALUES (1); SAVEPOINT s; INSERT INTO x VALUES (2); ROLLBACK TO s; COMMIT; \
             BEGIN; INSERT INTO x VALUES (3); SAVEPOINT s; INSERT INTO shop.orders VALUES (4, 'savepoint', 1); SAVEPOINT r; \
             INSERT INTO shop.orders VALUES (5, 'undone', 1); ROLLBACK TO r; COMMIT; ALTER TABLE shop.orders ADD COLUMN d INT DEFAULT 7; \
             ALTER TABLE shop.items ADD COLUMN d INT DEFAULT 7",
        );
        increment(&world);
        let rows = "SELECT * FROM shop.orders ORDER BY a";
        for (table, rows) in [("shop.orders", rows), ("shop.items", "SELECT * FROM shop.items ORDER BY a")] {
            let destination = Server::start(product);
            let restored = world.json(&["restore", "shop", "--to", &destination.destination(), "--table", table], 0);
            assert_eq!(restored["verified"], true, "{product:?} {table}: {restored:#}");
            assert!(restored["warnings"].to_string().contains("only what it did to"), "{restored:#}");
            assert_eq!(destination.sql(rows), server.sql(rows), "{product:?} {table}");
            let tables = destination.sql("SHOW TABLES FROM shop");
            assert_eq!(Some(tables.as_str()), table.strip_prefix("shop."), "{product:?}: no other table");
        }
        // Just before it is dropped it is there; behind that it is not the same table.
        let before = server.sql(rows);
        server.sql(
            "USE shop; SET foreign_key_checks = 0; DROP TABLE orders, other; CREATE TABLE orders (a INT PRIMARY KEY)",
        );
        increment(&world);
        let now = chrono::Utc::now().to_rfc3339();
        let ran = world.run(&["--json", "events", "shop", "--around", &now, "--within", "1h", "--kind", "ddl"]);
        let dropped =
            ran.stdout.lines().find(|line| line.contains("DROP TABLE `orders`") || line.contains("DROP TABLE orders"));
        let dropped: Value = serde_json::from_str(dropped.unwrap_or_else(|| panic!("{ran:?}"))).unwrap();
        let place = dropped["position"].as_str().unwrap();
        let destination = Server::start(product);
        let to = destination.destination();
        let one = ["restore", "shop", "--to", &to, "--table", "shop.orders"];
        let ran = world.run(&one);
        assert!(
            ran.status == 1 && ran.stderr.contains("is not the same table after `DROP TABLE"),
            "{product:?}: {ran:?}"
        );
        assert_eq!(destination.sql("SHOW DATABASES LIKE 'shop'"), "", "{product:?}: nothing was loaded");
        let restored = world.json(&[&one[..], &["--before-position", place]].concat(), 0);
        assert_eq!((&restored["verified"], destination.sql(rows)), (&true.into(), before), "{product:?}: {restored:#}");
    }
}

#[test]
fn a_single_table_that_hangs_together_with_others_is_refused_by_name() {
    for (options, sql, table, said) in [
        (&[][..], "UPDATE shop.parent SET a = 7 WHERE a = 1", "shop.child", "may have been changed by a foreign key"),
        (&[][..], "DELETE FROM shop.parent WHERE a = 1", "shop.child", "foreign key"),
        (
            &["--binlog-format=STATEMENT"][..],
            "INSERT INTO shop.parent VALUES (9)",
            "shop.child",
            "INSERT in statement format",
        ),
    ] {
        let server = Server::start_with(Product::MariaDb, options);
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.parent (a INT PRIMARY KEY); INSERT INTO shop.parent VALUES (1); CREATE TABLE shop.child \
             (a INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES shop.parent (a) ON DELETE CASCADE ON UPDATE CASCADE); INSERT INTO shop.child VALUES (1, 1)",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql(sql);
        increment(&world);
        let destination = Server::start(Product::MariaDb);
        let ran = world.run(&["restore", "shop", "--to", &destination.destination(), "--table", table]);
        assert!(ran.status == 1 && ran.stderr.contains(said) && ran.stderr.contains("alone"), "{sql}: {ran:?}");
        assert_eq!(destination.sql("SHOW DATABASES LIKE 'shop'"), "", "{sql}: nothing was loaded");
    }
}

#[test]
fn an_encrypted_log_is_captured_and_replayed() {
    let keys = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
    let file = keys.path().join("keys");
    std::fs::write(&file, format!("1;{}\n", "0123456789abcdef".repeat(4))).unwrap();
    crate::support::hand_to_server(keys.path());
    let options = [
        "--plugin-load-add=file_key_management",
        &format!("--file-key-management-filename={}", file.display()),
        "--encrypt-binlog=ON",
    ];
    let server = Server::start_with(Product::MariaDb, &options);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, b VARCHAR(20))");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("INSERT INTO shop.t VALUES (1, 'one')");
    increment(&world);
    server.sql(
        "INSERT INTO shop.t VALUES (2, 'two'); FLUSH BINARY LOGS; UPDATE shop.t SET b = 'three'; FLUSH BINARY LOGS",
    );
    increment(&world);
    server.sql("DELETE FROM shop.t WHERE a = 1");
    increment(&world);
    let drill = drilled(&world);
    assert!(drill["stages"]["replay"].as_f64().unwrap() > 0.0, "{drill:#}");
    let destination = Server::start(Product::MariaDb);
    world.json(&["restore", "shop", "--to", &destination.destination()], 0);
    assert_eq!(destination.sql("SELECT * FROM shop.t"), "2\tthree");
}

#[test]
fn an_increment_that_can_never_be_replayed_says_so_at_once_and_a_full_backup_follows() {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
    let file = directory.path().join("rows.csv");
    std::fs::write(&file, "5\n6\n").unwrap();
    let server = Server::start_with(Product::MariaDb, &["--binlog-format=STATEMENT", "--local-infile=1"]);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let load = format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE shop.t", file.display());
    server.sql(&format!("INSERT INTO shop.t VALUES (1); {load}; INSERT INTO shop.t VALUES (2)"));
    let made = increment(&world);
    assert!(made["warnings"].to_string().contains("cannot be replayed: LOAD DATA"), "{made:#}");
    let drill = world.json(&["drill", "shop"], 3);
    assert!(drill["verdict"] == "failed" && drill["reason"].to_string().contains("LOAD DATA"), "{drill:#}");
    // It is no recovery point that anybody can count on.
    let listed = world.run(&["list"]).stdout;
    assert!(
        listed.contains("cannot be restored: increment") && listed.contains("cannot be replayed: LOAD DATA"),
        "{listed}"
    );
    let destination = Server::start(Product::MariaDb);
    let id = made["recovery_point"].as_str().unwrap();
    let ran = world.run(&["restore", "shop", "--to", &destination.destination(), "--recovery-point", id]);
    assert!(ran.status == 1 && ran.stderr.contains("cannot be replayed: LOAD DATA"), "{ran:?}");
    assert_eq!(destination.sql("SHOW DATABASES LIKE 'shop'"), "", "nothing was loaded");
    let full = world.json(&["backup", "shop", "--incremental"], 0);
    assert!(full["kind"] == "full" && full["warnings"].to_string().contains("LOAD DATA"), "{full:#}");
    server.sql("INSERT INTO shop.t VALUES (3)");
    increment(&world);
    drilled(&world);
}

#[test]
fn statements_in_other_character_sets_are_replayed_in_their_own_bytes() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE TABLE shop.t (a INT PRIMARY KEY)");
        let world = World::new(&server, &["shop"], "");
        world.backup();
        // Written by clients that speak latin1 and Shift JIS, of whose letters one ends in a backslash.
        let run = |set: &str, before: &str, letters: &str, behind: &str| {
            let hex = |text: &str| {
                text.bytes().fold(String::new(), |mut hex, byte| {
                    write!(hex, "{byte:02x}").unwrap();
                    hex
                })
            };
            server.sql(&format!(
                "USE shop; SET NAMES {set}; SET @s := _{set} X'{}{letters}{}'; PREPARE s FROM @s; EXECUTE s",
                hex(before),
                hex(behind)
            ));
        };
        run("latin1", "CREATE TABLE gr", "f6df65", " (a INT COMMENT 'x', h VARCHAR(20) DEFAULT 'y')");
        run("latin1", "ALTER TABLE t COMMENT 'caf", "e9", " \\\\'");
        run("sjis", "ALTER TABLE t ADD COLUMN b VARCHAR(20) DEFAULT '", "955c", "' COMMENT 'b'");
        server.sql("USE shop; INSERT INTO t (a) VALUES (1); INSERT INTO `größe` (a) VALUES (5); CREATE VIEW v AS SELECT 'ä' AS a");
        increment(&world);
        drilled(&world);
        let destination = Server::start(product);
        let restored = world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        assert_eq!(restored["verified"], true, "{product:?}: {restored:#}");
        for question in [
            "SELECT * FROM shop.t",
            "SELECT * FROM shop.`größe`",
            "SHOW CREATE TABLE shop.t",
            "SHOW CREATE TABLE shop.`größe`",
        ] {
            assert_eq!(destination.sql(question), server.sql(question), "{product:?}: {question}");
        }
        assert!(server.sql("SHOW CREATE TABLE shop.t").contains("'表'"), "{product:?}");
    }
}
