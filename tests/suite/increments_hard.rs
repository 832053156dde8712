//! Increments where it is hard: beside writers, of logs in other formats, of servers that will not give them, in a service, and
//! when whoever takes them is killed.

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
        server.sql("GRANT REPLICATION SLAVE ON *.* TO poor@localhost");
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
    let increments = "recovery_points{source=\"shop\",kind=\"incremental\"}";
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
