//! Counts on the way, at real servers: increments that end at a snapshot in which rows were counted, so that a drill compares them also where
//! the log does not tell how many there are.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::{Product, Server, World, wait_for, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

fn world(server: &Server, budget: &str) -> World {
    let world = World::new(server, &["shop"], "");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("[source.shop.mysql]\n", &format!("[source.shop.mysql]\ntruth_budget = \"{budget}\"\n"));
    fs::write(world.path("config.toml"), text).unwrap();
    world
}

fn shop(server: &Server) {
    for table in ["a", "b", "still"] {
        server.sql(&format!(
            "CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE shop.{table} (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB; \
             INSERT INTO shop.{table} (n) VALUES (1), (2), (3)"
        ));
    }
}

fn increment(world: &World) {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
}

fn rows(drill: &Value, table: &str) -> Option<bool> {
    let checks = drill["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == format!("rows shop.{table}")).map(|check| check["ok"] == true)
}

#[test]
fn rows_that_statements_changed_are_counted_at_the_end_of_the_increment_and_compared_while_writers_go_on() {
    for product in BOTH {
        let server = Server::start_with(product, &["--binlog-format=MIXED"]);
        shop(&server);
        let [without, with] = [World::new(&server, &["shop"], ""), world(&server, "10s")];
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for table in ["a", "b"] {
                let (server, is_over) = (&server, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        server.sql(&format!(
                            "INSERT INTO shop.{table} (n) VALUES (4), (5); DELETE FROM shop.{table} WHERE n = 4; \
                             INSERT INTO shop.{table} (n) SELECT 6 FROM shop.still"
                        ));
                    }
                });
            }
            for world in [&without, &with] {
                world.backup();
                increment(world);
                increment(world);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        let unsure = without.json(&["drill", "shop"], 0);
        assert_eq!((rows(&unsure, "a"), rows(&unsure, "b")), (None, None), "{product:?}");
        let drill = with.json(&["drill", "shop"], 0);
        assert_eq!(drill["verdict"], "passed", "{product:?} {:?}", wrong(&drill));
        for table in ["a", "b", "still"] {
            assert_eq!(rows(&drill, table), Some(true), "{product:?} {table} {:#}", drill["not_proven"]);
        }
        assert!(!drill["not_proven"].to_string().contains("rows of"), "{product:?} {:#}", drill["not_proven"]);
        // What was counted stays known behind it, and is lost again only where nobody counts.
        server.sql("INSERT INTO shop.a (n) VALUES (9)");
        increment(&with);
        assert_eq!(rows(&with.json(&["drill", "shop"], 0), "a"), Some(true), "{product:?}");
        with.assert_no_sandbox_left();
    }
}

#[test]
fn rows_that_came_without_the_log_fail_the_drill_before_the_next_full_backup_does() {
    for product in BOTH {
        let server = Server::start_with(product, &["--binlog-format=ROW"]);
        shop(&server);
        let world = world(&server, "10s");
        world.backup();
        server.sql("SET SESSION sql_log_bin = 0; INSERT INTO shop.a (n) VALUES (7)");
        server.sql("INSERT INTO shop.a (n) VALUES (8); INSERT INTO shop.b (n) VALUES (8)");
        increment(&world);
        let drill = world.json(&["drill", "shop"], 3);
        assert_eq!(wrong(&drill), ["rows shop.a"], "{product:?}");
    }
}

#[test]
fn what_does_not_fit_into_the_budget_is_said_and_writers_do_not_wait_for_it() {
    for product in BOTH {
        let server = Server::start_with(product, &["--binlog-format=MIXED"]);
        shop(&server);
        // Doubled until no server counts it within a millisecond.
        let doubled = "INSERT INTO shop.b (n) SELECT n FROM shop.b";
        server.sql(&[doubled; 17].join("; "));
        let world = world(&server, "1ms");
        world.backup();
        server.sql("INSERT INTO shop.b (n) VALUES (7)");
        increment(&world);
        let drill = world.json(&["drill", "shop"], 0);
        assert!(
            drill["not_proven"].to_string().contains("`truth_budget` = 1ms"),
            "{product:?} {:#}",
            drill["not_proven"]
        );
        assert_eq!(rows(&drill, "b"), None, "{product:?}");
        // A query that runs for long is in the way of the lock that MySQL needs: nobody waits for it.
        std::thread::scope(|scope| {
            let long = scope.spawn(|| server.try_sql("SELECT SLEEP(100) FROM shop.a LIMIT 1"));
            let running = || {
                let all = server.sql("SHOW PROCESSLIST");
                let line = all.lines().find(|line| line.contains("SLEEP(100)"))?;
                Some(line.split('\t').next().unwrap().to_owned())
            };
            let id = wait_for("the query", running);
            server.sql("INSERT INTO shop.b (n) VALUES (7)");
            increment(&world);
            server.sql("INSERT INTO shop.b (n) VALUES (7)");
            assert_eq!(running(), Some(id.clone()), "{product:?}");
            server.sql(&format!("KILL {id}"));
            long.join().unwrap();
        });
    }
}
