//! Logs of which some rows are statements (`MIXED`): what stays exact, and what a statement may have reached.

use serde_json::Value;

use crate::support::{Product, Server, World, wrong};

fn increment(world: &World) {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
}

/// A passed drill: the names of its checks, and what was not proved.
fn drilled(world: &World) -> (Vec<String>, String) {
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = drill["checks"].as_array().unwrap().iter().map(|check| text(&check["name"])).collect();
    (checks, drill["not_proven"].as_array().unwrap().iter().map(text).collect::<Vec<_>>().join("\n"))
}

/// Those of these checks that were held.
fn held(checks: &[String], of: &[&str]) -> Vec<String> {
    checks.iter().filter(|check| of.contains(&check.as_str())).cloned().collect()
}

#[test]
fn tables_that_no_statement_can_reach_stay_exact_and_the_others_are_named() {
    const ROWS: [&str; 6] = [
        "rows e.apart",
        "rows shop.by_rows",
        "rows shop.by_statement",
        "rows shop.child",
        "rows shop.parent",
        "rows shop.other",
    ];
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start_with(product, &["--binlog-format=MIXED"]);
        server.sql(
            "CREATE DATABASE shop; CREATE DATABASE e; CREATE TABLE e.apart (a INT PRIMARY KEY); INSERT INTO e.apart VALUES (1); USE shop; \
             CREATE TABLE by_rows (a INT PRIMARY KEY AUTO_INCREMENT, u CHAR(36)); CREATE TABLE by_statement (a INT PRIMARY KEY); \
             CREATE TABLE parent (a INT PRIMARY KEY); CREATE TABLE child (a INT, FOREIGN KEY (a) REFERENCES parent (a) ON DELETE CASCADE); \
             CREATE TABLE other (a INT, FOREIGN KEY (a) REFERENCES parent (a)); INSERT INTO by_rows (u) VALUES ('x'), ('y'); \
             INSERT INTO parent VALUES (1), (2), (3); INSERT INTO child VALUES (1), (1), (2); INSERT INTO other VALUES (3)",
        );
        let world = World::new(&server, &[], "");
        world.backup();
        // A value that is another one each time is logged as rows.
        let some = "USE shop; INSERT INTO by_rows (u) VALUES (UUID()), (UUID()); DELETE FROM by_rows WHERE u = 'x' OR u = UUID()";
        server.sql(&format!("{some}; INSERT INTO by_statement VALUES (1), (2)"));
        increment(&world);
        let (checks, said) = drilled(&world);
        let all_but = |missing: &[&str]| {
            let rest = ROWS.iter().filter(|check| !missing.contains(check)).map(|it| (*it).to_owned());
            rest.collect::<std::collections::BTreeSet<String>>()
        };
        let rows = |checks: &[String]| held(checks, &ROWS).into_iter().collect::<std::collections::BTreeSet<String>>();
        assert_eq!(rows(&checks), all_but(&["rows shop.by_statement"]), "{product:?} {said}");
        let exact = ["content e.apart", "content shop.parent", "content shop.by_rows"];
        assert_eq!(held(&checks, &exact), ["content e.apart", "content shop.parent"], "{product:?}");
        assert!(
            said.contains("rows of table shop.by_statement were not compared: INSERT in statement format"),
            "{said}"
        );
        // What goes with its rows, and is not said.
        server.sql("DELETE FROM shop.parent WHERE a = 1");
        increment(&world);
        let (checks, said) = drilled(&world);
        let unsure = ["rows shop.by_statement", "rows shop.parent", "rows shop.child"];
        assert_eq!(rows(&checks), all_but(&unsure), "{product:?} {said}");
        assert!(said.contains("shop.child") && said.contains("to which a foreign key of it may refer"), "{said}");
        // With a program in its way a statement may do anything.
        let trigger =
            "CREATE TRIGGER shop.tr AFTER INSERT ON shop.by_statement FOR EACH ROW INSERT INTO e.apart VALUES (NEW.a)";
        server.sql(trigger);
        server.sql("INSERT INTO shop.by_statement VALUES (7)");
        increment(&world);
        let (checks, said) = drilled(&world);
        assert_eq!(held(&checks, &ROWS), [""; 0], "{product:?} {said}");
        assert!(said.contains("INSERT in statement format, and database shop has triggers"), "{said}");
        // Also where the full backup has it already; and its closing proof covers what was uncounted.
        world.backup();
        server.sql("INSERT INTO shop.by_statement VALUES (8)");
        increment(&world);
        let (checks, said) = drilled(&world);
        assert_eq!(held(&checks, &ROWS), [""; 0], "{product:?} {said}");
        let proof = world.json(&["drill", "shop", "--closed-chain"], 0);
        assert_eq!(proof["verdict"], "passed", "{:?}", wrong(&proof));
        server.sql("DROP TRIGGER shop.tr");
        world.backup();
        server.sql("INSERT INTO shop.by_statement VALUES (9)");
        increment(&world);
        let (checks, said) = drilled(&world);
        assert_eq!(rows(&checks), all_but(&["rows shop.by_statement"]), "{product:?} {said}");
    }
}

#[test]
fn where_other_databases_are_not_in_the_backup_no_table_stays_exact_beside_a_statement() {
    let server = Server::start_with(Product::MariaDb, &["--binlog-format=MIXED"]);
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); CREATE TABLE shop.u (a INT); CREATE DATABASE e; CREATE TABLE e.v (a INT); \
         CREATE TRIGGER e.tr AFTER INSERT ON e.v FOR EACH ROW INSERT INTO shop.u VALUES (NEW.a)",
    );
    let world = World::new(&server, &["shop"], "");
    world.backup();
    server.sql("INSERT INTO e.v VALUES (1)");
    increment(&world);
    let drill = world.json(&["drill", "shop"], 0);
    let checks: Vec<&str> = drill["checks"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(!checks.iter().any(|name| name.starts_with("rows ") || name.starts_with("content ")), "{checks:?}");
}

#[test]
fn numbers_that_the_server_gave_are_the_same_after_a_replay_of_statements_and_rows() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start_with(product, &["--binlog-format=MIXED"]);
        server.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.p (id INT PRIMARY KEY AUTO_INCREMENT, v CHAR(36)); CREATE TABLE shop.ch (pid INT); \
             CREATE TABLE shop.r (id INT PRIMARY KEY AUTO_INCREMENT, v CHAR(36)); INSERT INTO shop.p (v) VALUES ('a'), ('b')",
        );
        let world = World::new(&server, &["shop"], "");
        world.backup();
        for round in 0..3 {
            // As rows; numbers that are used for nothing; and two that others refer to.
            server.sql(&format!(
                "USE shop; INSERT INTO r (v) VALUES (LEFT(UUID(), {round})); BEGIN; INSERT INTO p (v) VALUES ('gone'), ('too'); ROLLBACK; \
                 INSERT INTO p (v) VALUES ('c'), ('d'); INSERT INTO ch VALUES (LAST_INSERT_ID()); INSERT INTO p (id, v) VALUES (NULL, 'é')"
            ));
        }
        increment(&world);
        drilled(&world);
        let rows = |at: &Server| {
            at.sql("SELECT GROUP_CONCAT(id, ' ', v ORDER BY id) FROM shop.p; SELECT GROUP_CONCAT(pid ORDER BY pid) FROM shop.ch")
        };
        let destination = Server::start(product);
        world.json(&["restore", "shop", "--to", &destination.destination()], 0);
        assert_eq!(rows(&destination), rows(&server), "{product:?}");
    }
}
