//! One object that the dump client cannot read does not take the backup of everything else with it, and is never left out
//! in silence.

use serde_json::Value;

use crate::support::{Product, Server, World, wrong};

/// Databases with a healthy table, views whose table, function or account is gone, a table without its tablespace and one
/// with a damaged index file.
fn break_things(server: &mut Server) {
    if server.product == Product::MySql {
        server.sql("SET GLOBAL log_bin_trust_function_creators = 1");
    }
    server.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (a INT PRIMARY KEY, b INT); INSERT INTO t VALUES (1, 2);
         CREATE VIEW whole AS SELECT a FROM t;
         CREATE TABLE gone (a INT); CREATE VIEW `bro.ken` AS SELECT a FROM gone; DROP TABLE gone;
         CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; CREATE VIEW over_function AS SELECT f() AS x; DROP FUNCTION f;
         CREATE TABLE crashed (a INT PRIMARY KEY) ENGINE=MyISAM; INSERT INTO crashed VALUES (1), (2);
         CREATE TRIGGER of_crashed BEFORE INSERT ON crashed FOR EACH ROW SET NEW.a = NEW.a + 1;
         CREATE TABLE lost (a INT PRIMARY KEY); INSERT INTO lost VALUES (1);
         CREATE VIEW over_lost AS SELECT a FROM lost;
         FLUSH TABLES",
    );
    server.shut_down();
    std::fs::remove_file(server.data("d/lost.ibd")).unwrap();
    std::fs::write(server.data("d/crashed.MYI"), b"damaged").unwrap();
    server.start_again();
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn what_cannot_be_read_is_left_out_by_name(product: Product) {
    let mut server = Server::start(product);
    break_things(&mut server);
    let world = World::new(&server, &[], "");
    let checked = world.run(&["check-config", "--connect"]);
    assert!(checked.stdout.contains("view d.`bro.ken` is NOT in the backup"), "{checked:?}");

    let backup = world.backup();
    assert_eq!((backup["tables"].as_u64(), backup["rows"].as_u64()), (Some(1), Some(1)), "{backup:#}");
    let names = ["table d.crashed", "table d.lost", "view d.`bro.ken`", "view d.over_function", "view d.over_lost"];
    let named_in = |said: &[String]| {
        for name in names {
            assert!(
                said.iter().any(|text| text.starts_with(&format!("{name} is NOT in the backup: "))),
                "{name}: {said:#?}"
            );
        }
    };
    named_in(&texts(&backup["warnings"]));
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    named_in(&texts(&drill["warnings"]));
    named_in(&texts(&world.json(&["list"], 0)["left_out"]));
    let status = world.json(&["status"], 1);
    named_in(&texts(&status["left_out"]));
    assert_eq!(status["measured"]["left_out"], serde_json::json!({"table": 2, "view": 3, "other": 0}));
    // Said by every backup, not only by the first one.
    let again = world.run(&["backup"]).stdout;
    assert!(again.contains("table d.lost is NOT in the backup: "), "{again}");
    for command in ["list", "status"] {
        let shown = world.run(&[command]).stdout;
        assert!(shown.contains("table d.lost is NOT in the backup: "), "{command}: {shown}");
    }
    let metrics = world.run(&["metrics"]).stdout;
    for (kind, count) in [("table", 2), ("view", 3), ("other", 0)] {
        let sample = format!("backup_sla_left_out_objects{{source=\"shop\",kind=\"{kind}\"}} {count}\n");
        assert!(metrics.contains(&sample), "{kind}: {metrics}");
    }
    // The text of a view that cannot be read is still there for whoever mends it.
    let manifest = world.manifest();
    let broken = manifest["left_out"].as_array().unwrap().iter().find(|one| one["name"] == "d.`bro.ken`").unwrap();
    assert!(broken["definition"].as_str().unwrap().contains("gone`"), "{broken:#}");
    // The server that has them is not reproached with them.
    let verified = world.json(&["verify", "shop", "--against", &server.destination()], 0);
    assert_eq!(wrong(&verified), [""; 0]);
    named_in(&texts(&verified["warnings"]));
}

#[test]
fn what_cannot_be_read_is_left_out_by_name_on_mariadb() {
    what_cannot_be_read_is_left_out_by_name(Product::MariaDb);
}

#[test]
fn what_cannot_be_read_is_left_out_by_name_on_mysql() {
    what_cannot_be_read_is_left_out_by_name(Product::MySql);
}

#[test]
fn a_program_that_the_client_cannot_print_is_named_before_the_backup() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; CREATE PROCEDURE d.whole() SELECT 1; CREATE PROCEDURE d.bad() SELECT 2;
         UPDATE mysql.proc SET param_list = '((' WHERE db = 'd' AND name = 'bad'",
    );
    let world = World::new(&server, &[], "");
    let checked = world.run(&["check-config", "--connect"]);
    assert_eq!(checked.status, 1, "{checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("cannot back up procedure d.bad: ") && said.contains("create it anew"), "{checked:?}");
}
