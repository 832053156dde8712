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

/// Healthy programs of every kind that a client would print in a way of its own, and damaged ones between them.
const PROGRAMS: &str = "CREATE DATABASE d COLLATE latin1_swedish_ci; CREATE DATABASE `o;ther`; USE d; CREATE TABLE t (a INT, b VARCHAR(9));
    CREATE PROCEDURE before_it() SELECT 'before; it' -- a comment at its end
    ;
    CREATE PROCEDURE bad() SELECT 2;
    SET NAMES latin1; CREATE PROCEDURE latin() SELECT 'ü'; SET NAMES utf8mb4;
    SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE FUNCTION slash() RETURNS TEXT DETERMINISTIC RETURN '\\'; SET sql_mode = DEFAULT;
    ALTER DATABASE d COLLATE utf8mb4_bin;
    CREATE FUNCTION whole() RETURNS INT DETERMINISTIC RETURN 7; CREATE VIEW v AS SELECT a, whole() AS w FROM t;
    CREATE FUNCTION gone() RETURNS INT DETERMINISTIC RETURN 1; CREATE VIEW over_gone AS SELECT gone() AS x;
    CREATE TRIGGER first_one BEFORE INSERT ON t FOR EACH ROW SET NEW.a = whole();
    CREATE TRIGGER second_one BEFORE INSERT ON t FOR EACH ROW FOLLOWS first_one SET NEW.b = 'x';
    CREATE EVENT good ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SELECT 1;
    CREATE EVENT zoned ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO SELECT 2;
    USE `o;ther`; CREATE PROCEDURE `p;``q`() SELECT 3; CREATE VIEW w AS SELECT d.whole() AS y;
    SET sql_mode = 'ORACLE';
DELIMITER //
    CREATE PACKAGE d.pack AS PROCEDURE p1(); END//
    CREATE PACKAGE BODY d.pack AS PROCEDURE p1() AS BEGIN NULL; END; END//
    CREATE PACKAGE d.torn AS PROCEDURE p1(); END//
    CREATE PACKAGE BODY d.torn AS PROCEDURE p1() AS BEGIN NULL; END; END//
DELIMITER ;
    INSERT INTO d.t VALUES (1, 'y');";

#[test]
fn a_damaged_program_is_left_out_by_name_and_the_others_are_safe() {
    let server = Server::start(Product::MariaDb);
    server.sql(PROGRAMS);
    server.sql(
        "UPDATE mysql.proc SET param_list = '((' WHERE db = 'd' AND name IN ('bad', 'gone');
         UPDATE mysql.proc SET body = 'NONSENSE' WHERE db = 'd' AND name = 'torn' AND type = 'PACKAGE';
         UPDATE mysql.event SET time_zone = 'No/Where' WHERE name = 'zoned'",
    );
    let world = World::new(&server, &[], "");
    let checked = world.run(&["check-config", "--connect"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(checked.stdout.contains("the server does not know its time zone No/Where"), "{checked:?}");
    let backup = texts(&world.backup()["warnings"]);
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    let verified = world.json(&["verify", "shop", "--against", &server.destination()], 0);
    assert_eq!(wrong(&verified), [""; 0]);
    let names = [
        "procedure d.bad",
        "function d.gone",
        "view d.over_gone",
        "package d.torn",
        "package body d.torn",
        "event d.zoned",
    ];
    let status = world.status();
    for said in [backup, texts(&drill["warnings"]), texts(&verified["warnings"]), texts(&status["left_out"])] {
        for name in names {
            assert!(
                said.iter().any(|text| text.starts_with(&format!("{name} is NOT in the backup: "))),
                "{name}: {said:#?}"
            );
        }
        assert_eq!(
            said.iter().filter(|text| text.contains(" is NOT in the backup: ")).count(),
            names.len(),
            "{said:#?}"
        );
    }
    assert_eq!(status["measured"]["left_out"], serde_json::json!({"table": 0, "view": 1, "other": 5}));
    let manifest = world.manifest().to_string();
    assert!(manifest.contains("SELECT 2") && manifest.contains("RETURN 1"), "texts of what was left out: {manifest}");

    // By the program and by hand, everything else is as it was.
    let target = Server::start(Product::MariaDb);
    assert_eq!(world.json(&["restore", "shop", "--to", &target.destination()], 0)["verified"], true);
    let person = Server::start(Product::MariaDb);
    let dump = world.restic(&["dump", "latest", "/shop/dump.sql"]);
    std::fs::write(world.path("dump.sql"), dump.stdout).unwrap();
    person.load(&world.path("dump.sql"));
    for sql in [
        "SHOW CREATE PROCEDURE d.before_it",
        "SHOW CREATE PROCEDURE d.latin",
        "SHOW CREATE FUNCTION d.slash",
        "SHOW CREATE FUNCTION d.whole",
        "SHOW CREATE PACKAGE BODY d.pack",
        "SHOW CREATE PROCEDURE `o;ther`.`p;``q`",
        "SHOW CREATE EVENT d.good",
        "SHOW CREATE DATABASE d",
        "SELECT HEX(d.slash()), (SELECT w FROM d.v), (SELECT y FROM `o;ther`.w), (SELECT CONCAT(a, b) FROM d.t)",
        "SELECT TRIGGER_NAME, ACTION_ORDER, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'd'",
        "SELECT HEX(body), character_set_client, db_collation FROM mysql.proc WHERE db = 'd' AND name IN ('latin', 'whole') ORDER BY name",
    ] {
        for there in [&target, &person] {
            assert_eq!(there.sql(sql), server.sql(sql), "{sql}");
        }
    }
}

#[test]
fn an_account_that_may_see_no_routine_is_refused_and_leaves_nothing_out() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; CREATE PROCEDURE d.p() SELECT 1; CREATE USER b@localhost;
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON d.* TO b@localhost; GRANT BINLOG MONITOR ON *.* TO b@localhost;
         GRANT SELECT ON mysql.user TO b@localhost; GRANT SELECT ON mysql.global_priv TO b@localhost",
    );
    let world = World::new(&server, &["d"], "");
    let config = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), config.replace("user = \"root\"", "user = \"b\"")).unwrap();
    let ran = world.run(&["backup"]);
    assert!(ran.status == 1 && ran.stderr.contains("mysql.proc"), "{ran:?}");
    assert_eq!(world.listed(), 0);
}
