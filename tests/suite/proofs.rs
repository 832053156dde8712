//! Closing proofs: a chain that was replayed to the place of the next full backup is what that full backup has; and what scheduled
//! drills try beside the newest recovery point.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::service::Service;
use crate::support::{Product, Server, World, fixture, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

fn increment(world: &World) {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
}

fn proof(world: &World) -> Value {
    let drill = world.json(&["drill", "shop", "--closed-chain"], 0);
    assert_eq!(drill["verdict"], "passed", "{:?} {:#}", wrong(&drill), drill["reason"]);
    assert_eq!(drill["drill_kind"], "closed_chain");
    assert!(drill["replayed_transactions"].as_u64() > Some(0), "{drill:#}");
    drill
}

/// What the reasons say that something was not proved.
fn not_proven(drill: &Value) -> Vec<String> {
    drill["not_proven"].as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

/// One session that runs these lines, each of which is a statement.
fn run(server: &Server, lines: &[&str]) {
    let statements: Vec<&str> = lines.iter().map(|line| line.trim_end_matches(';')).collect();
    server.sql(&format!("DELIMITER $$\n{}$$\n", statements.join("$$\n")));
}

#[test]
fn the_next_full_backup_proves_the_chain_before_it_whatever_was_done() {
    for product in BOTH {
        let (name, options): (_, &[&str]) = match product {
            Product::MariaDb => ("binlog-mariadb.sql", &["--binlog-format=ROW"]),
            Product::MySql => ("binlog-mysql.sql", &[]),
        };
        let server = Server::start_with(product, options);
        let script = std::fs::read_to_string(fixture(name)).unwrap();
        let (before, after) = script.split_once("\n-- then\n").unwrap();
        let lines = |text: &'static str| text.lines().filter(|line| !line.is_empty() && !line.starts_with("--"));
        let (before, after): (&'static str, &'static str) =
            (Box::leak(before.to_owned().into()), Box::leak(after.to_owned().into()));
        run(&server, &lines(before).collect::<Vec<_>>());
        let world = World::new(&server, &[], "");
        world.backup();
        let after: Vec<&str> = std::iter::once("USE app").chain(lines(after)).collect();
        run(&server, &after);
        increment(&world);
        server.sql("INSERT INTO app.untouched VALUES (77)");
        world.backup();
        let drill = proof(&world);
        let checks = drill["checks"].as_array().unwrap().len();
        assert!(checks > 40, "{product:?}: {checks}");
        let said = not_proven(&drill);
        let is_expected = |said: &&String| {
            said.contains("my_isam") || said.starts_with("the next number of table") || said.starts_with("table")
        };
        assert!(said.iter().all(|it| is_expected(&it)), "{product:?}: {said:#?}");
        assert!(drill["tables"].as_array().unwrap().len() > 10, "{drill:#}");
        println!("{product:?}: {checks} checks hold; not proven: {said:#?}");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn with_writers_beside_both_full_backups_the_chain_is_proved_to_exactly_the_place_of_the_second() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop");
        for table in 0..4 {
            server
                .sql(&format!("CREATE TABLE shop.t{table} (a INT PRIMARY KEY AUTO_INCREMENT, b CHAR(250), c DOUBLE)"));
        }
        let world = World::new(&server, &["shop"], "");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for table in 0..4 {
                let (server, is_over) = (&server, &is_over);
                scope.spawn(move || {
                    let rows = format!(
                        "INSERT INTO shop.t{table} (b, c) VALUES (UUID(), RAND()); UPDATE shop.t{table} SET b = UUID() WHERE a % 7 = 3 LIMIT 3; \
                         DELETE FROM shop.t{table} WHERE a % 11 = 5 LIMIT 1"
                    );
                    while !is_over.load(Ordering::SeqCst) {
                        server.sql(&[rows.as_str(); 10].join(";"));
                    }
                });
            }
            world.backup();
            increment(&world);
            increment(&world);
            world.backup();
            increment(&world);
            is_over.store(true, Ordering::SeqCst);
        });
        let drill = proof(&world);
        // Numbers go on while the full backup is read.
        let rows: Vec<String> =
            not_proven(&drill).into_iter().filter(|it| !it.starts_with("the next number")).collect();
        assert_eq!(rows, [""; 0], "{product:?}");
        assert_eq!(drill["tables"].as_array().unwrap().len(), 4, "{product:?}");
        // Any moment between the chains can be restored.
        let listed = world.run(&["list"]).stdout;
        assert_eq!(listed.matches("restore window").count(), 1, "{product:?}: {listed}");
        assert_eq!(world.json(&["drill", "shop"], 0)["drill_kind"], "newest");
    }
}

#[test]
fn a_row_that_came_without_the_log_makes_the_closing_proof_fail_and_names_the_table() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.good (a INT PRIMARY KEY); CREATE TABLE shop.bad (a INT PRIMARY KEY, b INT); \
             INSERT INTO shop.bad VALUES (1, 1), (2, 2)",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql("INSERT INTO shop.good VALUES (1)");
        increment(&world);
        server.sql("SET SESSION sql_log_bin = 0; UPDATE shop.bad SET b = 3 WHERE a = 2");
        server.sql("INSERT INTO shop.good VALUES (2)");
        increment(&world);
        world.backup();
        let drill = world.json(&["drill", "shop", "--closed-chain"], 3);
        assert_eq!((&drill["verdict"], wrong(&drill)), (&"failed".into(), vec!["content shop.bad".to_owned()]));
        // A good drill of the newest point does not hide it.
        assert_eq!(world.json(&["drill", "shop"], 0)["verdict"], "passed");
        let metrics = world.run(&["metrics"]).stdout;
        let failed = "backup_sla_drill_last_outcome{source=\"shop\",outcome=\"failed\"} 1";
        assert!(metrics.contains(failed), "{product:?}: {metrics}");
        assert!(metrics.contains("backup_sla_closing_proof_timestamp_seconds{source=\"shop\"} 0"));
    }
}

#[test]
fn what_a_closing_proof_cannot_cover_is_named_and_is_neither_wrong_nor_proved() {
    for product in BOTH {
        let server = Server::start(product);
        // MySQL refuses to add a column whose default it could not log.
        let is_mariadb = product == Product::MariaDb;
        let default = if is_mariadb { "uuid()" } else { "'u'" };
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT) ENGINE=InnoDB; \
             CREATE TABLE shop.other (a INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE shop.sure (a INT PRIMARY KEY) ENGINE=InnoDB; \
             INSERT INTO shop.t (b) VALUES (1), (2)",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        server.sql(&format!(
            "ALTER TABLE shop.t ADD COLUMN u CHAR(36) DEFAULT {default}; INSERT INTO shop.sure VALUES (1); INSERT INTO shop.other VALUES (1); \
             BEGIN; INSERT INTO shop.t (b) VALUES (3), (4), (5); ROLLBACK; \
             CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY ENDS CURRENT_TIMESTAMP + INTERVAL 1 YEAR DO DELETE FROM shop.t WHERE b = 99"
        ));
        increment(&world);
        server.sql("SET SESSION sql_log_bin = 0; ALTER EVENT shop.e DISABLE");
        world.backup();
        let drill = proof(&world);
        let said = not_proven(&drill);
        for what in ["rows of table shop.other ", "the next number of table shop.t ", "event shop.e "] {
            assert!(said.iter().any(|it| it.contains(what)), "{product:?}: {what} {said:#?}");
        }
        let varies = said.iter().any(|it| it.starts_with("rows of table shop.t "));
        assert_eq!(varies, is_mariadb, "{product:?}: {said:#?}");
        let tables: Vec<&str> =
            drill["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect();
        let sure: &[&str] = if is_mariadb { &["shop.sure"] } else { &["shop.sure", "shop.t"] };
        assert_eq!(tables, sure, "{product:?}");
    }
}

#[test]
fn a_source_without_a_closed_chain_has_nothing_to_prove_and_says_so() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    let ran = world.run(&["drill", "shop", "--closed-chain"]);
    assert!(ran.status == 2 && ran.stderr.contains("cannot prove a closed chain of shop: there is none"), "{ran:?}");
    world.backup();
    assert_eq!(world.run(&["drill", "shop", "--closed-chain"]).status, 2, "a full backup alone is no chain");
}

#[test]
fn a_scheduled_drill_proves_closed_chains_and_tries_a_random_moment_and_the_oldest_point() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT)");
    let world = World::new(&server, &["shop"], "");
    let row = "INSERT INTO shop.t VALUES ()";
    world.backup();
    server.sql(row);
    increment(&world);
    server.sql(row);
    increment(&world);
    server.sql(row);
    world.backup();
    increment(&world);
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let scheduled = text.replace("full = \"0 2 * * *\"", "full = \"0 0 29 2 *\", drill = \"@every 1h\"");
    std::fs::write(world.path("config.toml"), scheduled).unwrap();
    let service = Service::start(&world);
    let passed =
        |kind: &str| format!("drill_kind_last_success_timestamp_seconds{{source=\"shop\",drill_kind=\"{kind}\"}}");
    for kind in ["newest", "closed_chain", "random", "oldest"] {
        service.wait(&passed(kind), |value| value > 0.0);
    }
    service.wait("drills_total{source=\"shop\"}", |value| value == 4.0);
    assert!(service.value("closing_proof_timestamp_seconds{source=\"shop\"}") > 0.0);
    assert_eq!(service.value("drill_rto_seconds_count{source=\"shop\"}"), 1.0, "only the newest counts");
    assert!(service.value(&passed("newest")) < service.value(&passed("closed_chain")));
    assert_eq!(
        service.value("drill_last_success_timestamp_seconds{source=\"shop\"}"),
        service.value(&passed("newest"))
    );
    service.stop();
    world.assert_no_sandbox_left();
}

#[test]
fn a_replay_that_is_expected_to_take_longer_than_it_may_begins_a_new_chain() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("INSERT INTO shop.t VALUES (), ()");
    increment(&world);
    for _ in 0..3 {
        assert_eq!(world.json(&["drill", "shop"], 0)["verdict"], "passed");
    }
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let limited = |most: &str| {
        let limited = text.replace("[source.shop.mysql]", &format!("max_replay = \"{most}\"\n[source.shop.mysql]"));
        std::fs::write(world.path("config.toml"), limited).unwrap();
    };
    assert!(world.status()["forecast"]["replay_seconds"].as_f64() > Some(0.0));
    limited("1h");
    increment(&world);
    limited("1us");
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "full", "{made:#}");
}

#[test]
fn a_full_backup_after_the_log_was_begun_anew_tells_of_the_break_once() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY AUTO_INCREMENT)");
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("INSERT INTO shop.t VALUES ()");
    increment(&world);
    server.sql("RESET MASTER; INSERT INTO shop.t VALUES ()");
    let full = world.backup();
    let said = full["warnings"].to_string();
    assert!(said.contains("the chain is broken (behind)") || said.contains("(other_history)"), "{said}");
    let breaks = || world.run(&["metrics"]).stdout.contains("backup_sla_chain_breaks_total{source=\"shop\"} 1");
    assert!(breaks());
    let mended = "backup_sla_chain_broken{source=\"shop\"} 0";
    assert!(world.run(&["metrics"]).stdout.contains(mended), "the full backup that told of it began a new chain");
    assert_eq!(world.run(&["drill", "shop", "--closed-chain"]).status, 2, "nothing reaches the second full backup");
    server.sql("INSERT INTO shop.t VALUES ()");
    increment(&world);
    server.sql("INSERT INTO shop.t VALUES ()");
    world.backup();
    assert!(breaks(), "the next chain is whole");
    proof(&world);
}
