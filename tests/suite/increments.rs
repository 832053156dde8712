//! Incremental backups of real servers: captured, linked, replayed, and broken in every way that servers break a log.

use std::fmt::Write as _;

use backup_sla::app::{App, KINDS};
use backup_sla::clock::SystemClock;
use backup_sla::config;
use backup_sla::domain::manifest::RecoveryPointId;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::support::{Product, Server, World, wait_for, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

/// What there is before the first full backup.
const BEFORE: &str = "CREATE DATABASE shop CHARACTER SET utf8mb4; USE shop; \
    CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, total DECIMAL(9,2), note TEXT, at TIMESTAMP(6) NULL) ENGINE=InnoDB; \
    CREATE TABLE items (id INT PRIMARY KEY, order_id INT, FOREIGN KEY (order_id) REFERENCES orders (id)) ENGINE=InnoDB; \
    CREATE TABLE still (a INT PRIMARY KEY, b VARCHAR(20)) ENGINE=InnoDB; \
    INSERT INTO orders (total, note) VALUES (1.5, 'one'), (2.25, 'zwölf'), (NULL, NULL); \
    INSERT INTO items VALUES (1, 1), (2, 1), (3, 2); INSERT INTO still VALUES (1, 'x'), (2, 'y');";

/// What comes afterwards: rows, definitions, programs, an account.
const AFTER: &str = "USE shop; INSERT INTO orders (total, note, at) VALUES (9.99, 'four 🙂', NOW(6)); UPDATE orders SET note = 'changed' WHERE id = 1; \
    DELETE FROM items WHERE id = 3; CREATE TABLE added (a INT PRIMARY KEY, b BLOB) ENGINE=InnoDB; INSERT INTO added VALUES (1, X'00ff27'), (2, NULL); \
    ALTER TABLE orders ADD COLUMN colour VARCHAR(10) DEFAULT 'red'; UPDATE orders SET colour = 'blue' WHERE id > 2; \
    CREATE VIEW dear AS SELECT * FROM orders WHERE total > 2; \
    \nDELIMITER ;;\nCREATE PROCEDURE p(IN x INT) BEGIN INSERT INTO still VALUES (x, 'p;'); END;;\n\
    CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW BEGIN SET NEW.note = CONCAT(COALESCE(NEW.note, ''), '!'); END;;\nDELIMITER ;\n\
    INSERT INTO orders (total, note) VALUES (7, 'seven'); CREATE USER clerk@localhost IDENTIFIED BY 'Clerk 1'; \
    GRANT SELECT ON shop.* TO clerk@localhost; BEGIN; INSERT INTO items VALUES (10, 4); ROLLBACK; \
    BEGIN; INSERT INTO items VALUES (11, 4); SAVEPOINT s; INSERT INTO items VALUES (12, 4); ROLLBACK TO s; INSERT INTO items VALUES (13, 4); COMMIT;";

fn world(server: &Server) -> World {
    World::new(server, &["shop"], "")
}

fn increment(world: &World) -> Value {
    world.json(&["backup", "shop", "--incremental"], 0)
}

/// Everything in `shop`, as text.
fn contents(server: &Server) -> String {
    let tables = server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop' AND table_type = 'BASE TABLE' ORDER BY 1");
    let mut out = String::new();
    for table in tables.lines() {
        let definition = server.sql(&format!("SHOW CREATE TABLE shop.`{table}`"));
        writeln!(out, "== {table}\n{definition}").unwrap();
        out += &server.sql(&format!("SET time_zone = '+00:00'; SELECT * FROM shop.`{table}` ORDER BY 1"));
    }
    for program in ["PROCEDURE shop.p", "TRIGGER shop.t", "VIEW shop.dear"] {
        let shown = server.try_sql(&format!("SHOW CREATE {program}"));
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        // When it was made is not part of it.
        let shown = shown.split('\t').take(4).collect::<Vec<_>>().join("\t");
        writeln!(out, "== {program}\n{shown}").unwrap();
    }
    // The counter of a table may be ahead.
    out.lines().map(|line| line.split(" AUTO_INCREMENT=").next().unwrap().to_owned() + "\n").collect()
}

/// Restore into a new server, with further arguments; what is there then.
fn restored(world: &World, product: Product, arguments: &[&str]) -> String {
    let destination = Server::start(product);
    let to = destination.destination();
    let all = [&["restore", "shop", "--to", &to][..], arguments].concat();
    let report = world.json(&all, 0);
    assert_eq!(report["verified"], true, "{report:#}");
    contents(&destination)
}

#[test]
fn increments_bring_back_what_came_since_the_full_backup() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(BEFORE);
        let world = world(&server);
        let full = world.backup();
        server.sql(AFTER);
        let first = increment(&world);
        assert_eq!((&first["kind"], &full["kind"]), (&"incremental".into(), &"full".into()), "{first:#}");
        server.sql("FLUSH BINARY LOGS; INSERT INTO shop.still VALUES (3, 'z'); FLUSH BINARY LOGS; FLUSH BINARY LOGS; DROP TABLE shop.added");
        let second = increment(&world);
        let manifest = world.manifest();
        assert_eq!(manifest["parent"], first["recovery_point"], "{manifest:#}");
        assert_eq!(manifest["chain_length"], 2);
        let drill = world.json(&["drill", "shop"], 0);
        assert_eq!(
            (&drill["verdict"], &drill["recovery_point"]),
            (&"passed".into(), &second["recovery_point"]),
            "{:?}",
            wrong(&drill)
        );
        assert!(drill["stages"]["replay"].as_f64().unwrap() > 0.0, "{drill:#}");
        assert_eq!(restored(&world, product, &[]), contents(&server), "{product:?}");
        // The first increment alone, and the full backup alone.
        let id = first["recovery_point"].as_str().unwrap();
        assert!(restored(&world, product, &["--recovery-point", id]).contains("== added"));
        let id = full["recovery_point"].as_str().unwrap();
        assert!(!restored(&world, product, &["--recovery-point", id]).contains("colour"));
        world.assert_no_sandbox_left();
    }
}

#[test]
fn on_an_idle_server_time_goes_on_and_nothing_is_invented() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(BEFORE);
        let world = world(&server);
        let full = world.backup();
        let idle = increment(&world);
        assert!(idle["kind"] == "incremental" && idle["logical_bytes"].as_u64().unwrap() < 100, "{idle:#}");
        assert!(idle["recovery_point_time"].as_str() > full["recovery_point_time"].as_str());
        assert_eq!(world.manifest()["chain_length"], 0);
        server.sql("INSERT INTO shop.still VALUES (9, 'after')");
        increment(&world);
        assert_eq!(world.manifest()["chain_length"], 1);
        increment(&world);
        assert_eq!(world.manifest()["chain_length"], 1);
        assert_eq!(world.json(&["drill", "shop"], 0)["verdict"], "passed");
        assert!(restored(&world, product, &[]).contains("9\tafter"));
    }
}

/// The full backup that follows a break, and how the break is told.
fn broken(world: &World) -> (String, Value) {
    let report = increment(world);
    assert_eq!(report["kind"], "full", "{report:#}");
    let warnings = report["warnings"].as_array().unwrap();
    let said = warnings.iter().map(|said| said.as_str().unwrap()).find(|said| said.starts_with("the chain is broken"));
    (said.unwrap_or_else(|| panic!("{report:#}")).to_owned(), report)
}

#[test]
fn every_break_of_the_log_is_named_and_begins_a_new_chain() {
    for product in BOTH {
        let reset = if product == Product::MariaDb { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" };
        let server = Server::start(product);
        server.sql(BEFORE);
        let world = world(&server);
        world.backup();
        let change = "INSERT INTO shop.still (a) SELECT MAX(a) + 1 FROM shop.still";
        server.sql(change);
        increment(&world);
        // The log is gone before it was stored.
        server.sql(&format!("{change}; FLUSH BINARY LOGS; {change}; FLUSH BINARY LOGS"));
        let newest = server.sql("SHOW BINARY LOGS").lines().last().unwrap().split('\t').next().unwrap().to_owned();
        // What is still being sent to a client that has left is not removed.
        wait_for("the logs to be removed", || {
            server.sql(&format!("PURGE BINARY LOGS TO '{newest}'"));
            (server.sql("SHOW BINARY LOGS").lines().count() == 1).then_some(())
        });
        assert!(broken(&world).0.contains("(purged)"));
        // The numbers begin anew, and the log is as long as before, and longer.
        server.sql(change);
        increment(&world);
        server.sql(reset);
        let (said, _) = broken(&world);
        assert!(said.contains("(behind)") || said.contains("(other_history)"), "{said}");
        server.sql(change);
        increment(&world);
        server.sql(&format!("{reset}; {}", [change; 200].join("; ")));
        let (said, _) = broken(&world);
        assert!(said.contains("(other_history)"), "{said}");
        // The chain after it is good, and everything is proved.
        server.sql(change);
        increment(&world);
        let drill = world.json(&["drill", "shop"], 0);
        assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
        assert_eq!(restored(&world, product, &[]), contents(&server));
    }
}

#[test]
fn another_server_in_its_place_is_a_break_even_with_the_same_log() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(BEFORE);
        let world = world(&server);
        world.backup();
        server.sql("INSERT INTO shop.still VALUES (5, 'here')");
        increment(&world);
        // The same statements make a log of the same size.
        let other = Server::start(product);
        other.sql(BEFORE);
        other.sql("INSERT INTO shop.still VALUES (5, 'here')");
        other.sql("INSERT INTO shop.still VALUES (6, 'there')");
        let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
        let text = text.replace(&*server.socket.to_string_lossy(), &other.socket.to_string_lossy());
        std::fs::write(world.path("config.toml"), text).unwrap();
        let (said, _) = broken(&world);
        // Both were made from one template, so they have the same id: then their logs tell.
        assert!(said.contains("(other_history)"), "{product:?}: {said}");
    }
}

#[test]
fn what_a_user_writes_into_a_definition_ends_no_statement() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(BEFORE);
        let world = world(&server);
        world.backup();
        let evil = "CREATE USER evil@localhost; GRANT ALL ON *.* TO evil@localhost";
        let table = format!("CREATE TABLE shop.a1 (a INT COMMENT 'x\\', b INT COMMENT '/*!*/;\n{evil};\n/*!*/;\n')");
        server.sql(&format!(
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; PREPARE s FROM '{}'; EXECUTE s",
            table.replace('\'', "''")
        ));
        increment(&world);
        let drill = world.json(&["drill", "shop"], 0);
        assert_eq!(drill["verdict"], "passed", "{product:?}: {:?}", wrong(&drill));
        let destination = Server::start(product);
        world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        assert_eq!(destination.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'evil'"), "0", "{product:?}");
        assert_eq!(destination.sql("SHOW CREATE TABLE shop.a1"), server.sql("SHOW CREATE TABLE shop.a1"));
    }
}

#[test]
fn a_chain_of_which_something_is_gone_is_a_break_and_is_not_continued() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let more = || {
        server.sql("INSERT INTO shop.t VALUES ()");
        increment(&world)
    };
    let (first, lost, beyond) = (more(), more(), more());
    let runtime = Runtime::new().unwrap();
    let config = config::load(&world.path("config.toml"), KINDS).unwrap();
    let app = App::open(config, SystemClock::shared(), runtime.handle().clone()).unwrap();
    let repository = app.source("shop").unwrap().repository;
    repository.open_existing().unwrap();
    let id = RecoveryPointId(lost["recovery_point"].as_str().unwrap().to_owned());
    repository.storing().unwrap().forget("shop", &[id]).unwrap();
    drop((repository, app));
    let full = more();
    assert!(
        full["kind"] == "full" && full["warnings"].to_string().contains("the chain is broken (missing)"),
        "{full:#}"
    );
    let metrics = world.run(&["metrics"]).stdout;
    for series in ["chain_breaks_total{source=\"shop\"} 1", "chain_broken{source=\"shop\"} 0"] {
        assert!(metrics.contains(&format!("backup_sla_{series}")), "{series} in {metrics}");
    }
    let broken = &world.status()["last_break"];
    assert_eq!(broken["parent"], first["recovery_point"], "up to there everything can be restored: {broken:#}");
    assert_eq!(more()["kind"], "incremental");
    world.json(&["drill", "shop"], 0);
    let gone = beyond["recovery_point"].as_str().unwrap();
    assert_eq!(world.json(&["drill", "shop", "--recovery-point", gone], 3)["verdict"], "failed");
}
