//! Definitions that few servers have and that a backup must carry all the same.

use crate::support::{Product, Server, World, wrong};

fn drill_passes(world: &World) -> serde_json::Value {
    let report = world.json(&["drill", "shop"], 0);
    assert_eq!((report["verdict"].as_str(), wrong(&report)), (Some("passed"), vec![]), "{report:#}");
    report
}

#[test]
fn a_schema_that_takes_no_changes_comes_back_so_and_can_be_replaced() {
    let server = Server::start(Product::MySql);
    server.sql(
        "CREATE DATABASE archive; CREATE TABLE archive.t (a INT PRIMARY KEY); INSERT INTO archive.t VALUES (1), (2);
         CREATE DATABASE `/* READ ONLY = 1 */`; CREATE TABLE `/* READ ONLY = 1 */`.t (a INT PRIMARY KEY);
         CREATE USER reader@localhost; GRANT SELECT ON archive.t TO reader@localhost;
         ALTER SCHEMA archive READ ONLY = 1",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    drill_passes(&world);
    let state =
        "SELECT GROUP_CONCAT(SCHEMA_NAME) FROM information_schema.SCHEMATA_EXTENSIONS WHERE OPTIONS = 'READ ONLY=1'";

    // Onto a server that has it, read-only, with other rows: whole, and one table.
    server.sql(
        "ALTER SCHEMA archive READ ONLY = 0; DELETE FROM archive.t WHERE a = 1; ALTER SCHEMA archive READ ONLY = 1",
    );
    let at = server.destination();
    let restored = world.json(&["restore", "shop", "--to", &at, "--overwrite"], 0);
    assert_eq!(wrong(&restored), [""; 0], "{restored:#}");
    assert!(
        restored["warnings"].to_string().contains("database archive is READ ONLY: it was made writable"),
        "{restored:#}"
    );
    assert_eq!(server.sql("SELECT COUNT(*) FROM archive.t"), "2");
    assert_eq!(server.sql(state), "archive");
    server.sql("ALTER SCHEMA archive READ ONLY = 0; DELETE FROM archive.t; ALTER SCHEMA archive READ ONLY = 1");
    let one = world.json(&["restore", "shop", "--to", &at, "--overwrite", "--table", "archive.t"], 0);
    assert_eq!(wrong(&one), [""; 0], "{one:#}");
    assert_eq!((server.sql("SELECT COUNT(*) FROM archive.t"), server.sql(state)), ("2".into(), "archive".into()));

    // The option is part of what is promised, whichever way it differs.
    server.sql("ALTER SCHEMA archive READ ONLY = 0");
    let verified = world.json(&["verify", "shop", "--against", &at], 3);
    assert_eq!(wrong(&verified), ["database archive"], "{verified:#}");

    // A database that was made read-only later is open after an older backup of it is back.
    server.sql("ALTER SCHEMA `/* READ ONLY = 1 */` READ ONLY = 1");
    let restored = world.json(&["restore", "shop", "--to", &at, "--overwrite"], 0);
    assert_eq!(wrong(&restored), [""; 0], "{restored:#}");
    assert_eq!(server.sql(state), "archive");
}

#[test]
fn libraries_are_backed_up_whatever_their_text_says() {
    let server = Server::start(Product::MySql);
    server.sql(
        "CREATE DATABASE a; CREATE DATABASE z;
         CREATE LIBRARY z.tools LANGUAGE JAVASCRIPT AS $$ export function f(n) { return n } // it's \" ` ;; /* -- \n$$;
         CREATE LIBRARY z.plain LANGUAGE JAVASCRIPT AS $tag$ export const table = 1; $$ $tag$;
         CREATE FUNCTION a.uses(n INT) RETURNS INT DETERMINISTIC NO SQL LANGUAGE JAVASCRIPT USING (z.tools AS t) AS $$ return t.f(n) /* it's ;; */ $$;
         CREATE PROCEDURE z.after() SELECT 'it is last';
         CREATE USER u@localhost; GRANT EXECUTE ON LIBRARY z.tools TO u@localhost",
    );
    let world = World::new(&server, &[], "");
    let backup = world.backup();
    assert_eq!(backup["warnings"].to_string().matches("NOT").count(), 0, "{backup:#}");
    let report = drill_passes(&world);
    for check in ["library z.tools", "library z.plain", "function a.uses", "procedure z.after", "account u@localhost"] {
        assert!(report["checks"].to_string().contains(check), "{check}: {report:#}");
    }

    // One that is lost or differs is a difference.
    server.sql("DROP LIBRARY z.plain; ALTER LIBRARY z.tools COMMENT 'changed'");
    let verified = world.json(&["verify", "shop", "--against", &server.destination()], 3);
    assert_eq!(wrong(&verified), ["library z.plain", "library z.tools"], "{verified:#}");
    let restored = world.json(&["restore", "shop", "--to", &server.destination(), "--overwrite"], 0);
    assert_eq!(wrong(&restored), [""; 0], "{restored:#}");
}

#[test]
fn replacing_a_database_brings_its_defaults_back() {
    for (product, more) in [(Product::MariaDb, " COMMENT 'as it was'"), (Product::MySql, " ENCRYPTION 'N'")] {
        let server = Server::start(product);
        server.sql(&format!(
            "CREATE DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci{more};
             CREATE TABLE shop.t (a INT PRIMARY KEY); CREATE DATABASE bare; CREATE TABLE bare.t (a INT PRIMARY KEY)"
        ));
        let world = World::new(&server, &[], "");
        world.backup();
        server.sql("ALTER DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        let to = server.destination();
        let one = world.json(&["restore", "shop", "--to", &to, "--overwrite", "--table", "shop.t"], 0);
        assert!(one["warnings"].to_string().contains("database shop has other defaults than in the backup"), "{one:#}");
        let change = match product {
            Product::MariaDb => "COMMENT 'mine'",
            Product::MySql => "ENCRYPTION 'Y'",
        };
        server.sql(&format!("ALTER DATABASE bare {change}; ALTER DATABASE shop {change}"));
        let restored = world.json(&["restore", "shop", "--to", &to, "--overwrite"], 0);
        assert_eq!(wrong(&restored), [""; 0], "{product:?}: {restored:#}");
        let defaults = server.sql("SHOW CREATE DATABASE shop");
        assert!(defaults.contains("latin1_german1_ci"), "{defaults}");
    }
}

#[test]
fn a_program_that_mysqls_client_cannot_carry_is_left_out_by_name() {
    let server = Server::start(Product::MySql);
    server.sql("CREATE DATABASE odd; CREATE DATABASE other; CREATE TABLE other.t (a INT)");
    server.sql("CREATE PROCEDURE odd.good() SELECT ';;' AS a");
    // The client itself would not read this one from a script.
    server.sql("SET GLOBAL sql_mode = 'ANSI_QUOTES'");
    let mut raw = server.client();
    raw.arg(r#"--init-command=CREATE PROCEDURE odd.p() SELECT "a\" FROM (SELECT 1 AS "a\") x"#);
    assert!(raw.args(["-e", "SELECT 1"]).status().unwrap().success());
    let world = World::new(&server, &[], "");
    world.backup();
    let listed = world.json(&["list", "shop"], 0).to_string();
    assert!(listed.contains("the dump client reads its text differently") && listed.contains("odd.p"), "{listed}");
    // What is left is whole, and a drill says what is not there.
    let drill = world.json(&["drill", "shop"], 0);
    assert!(drill.to_string().contains("odd.good") && drill["warnings"].to_string().contains("odd.p"), "{drill:#}");
}

/// Programs of sessions that quote, escape and print in ways of their own.
const ODD_SESSIONS: &str = r#"CREATE DATABASE odd CHARACTER SET latin1; USE odd; CREATE TABLE t (a INT, b VARCHAR(20));
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
CREATE TRIGGER tr_ansi BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = 'a' || "b";
CREATE PROCEDURE p_ansi() SELECT "a", 'it''s;;' FROM (SELECT 1 AS "a") x;
CREATE FUNCTION f_ansi() RETURNS VARCHAR(10) DETERMINISTIC RETURN 'x' || 'y';
CREATE EVENT e_ansi ON SCHEDULE EVERY 1 DAY DO INSERT INTO "t" VALUES (1, 2);
CREATE VIEW v_ansi AS SELECT "a" || "b" AS "a""c" FROM "t";
SET sql_mode = 'NO_BACKSLASH_ESCAPES';
CREATE PROCEDURE p_nbe() SELECT 'a\', "b\";
CREATE TRIGGER tr_nbe AFTER INSERT ON t FOR EACH ROW SET @a = 'c:\';
CREATE EVENT e_nbe ON SCHEDULE EVERY 1 DAY DO SET @a = '\';
CREATE VIEW v_nbe AS SELECT 'a\' AS x;
SET sql_mode = '', NAMES latin1;
CREATE PROCEDURE p_latin1() SELECT 'ä';
CREATE EVENT e_latin1 ON SCHEDULE EVERY 1 DAY DO SELECT 'ä';
CREATE TRIGGER tr_latin1 AFTER DELETE ON t FOR EACH ROW SET @a = 'ä';
CREATE VIEW v_latin1 AS SELECT 'ä' AS c;
SET NAMES utf8mb4, collation_connection = utf8mb4_bin;
CREATE PROCEDURE p_bin() SELECT 'ä';
SET NAMES utf8mb4, time_zone = '+05:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT';
CREATE EVENT e_all ON SCHEDULE AT '2037-01-01 10:00:00' DO SELECT "a" || 'b\';
"#;
/// What only MariaDB has or prints.
const MARIADB_SESSIONS: &str = r#"SET sql_mode = '', sql_quote_show_create = 0;
CREATE TRIGGER tr_bare BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 1;
CREATE PROCEDURE p_bare() SELECT `a` FROM t;
CREATE EVENT e_bare ON SCHEDULE EVERY 1 DAY DO SELECT 1;
CREATE VIEW v_bare AS SELECT a FROM t;
CREATE SEQUENCE s_bare;
SET sql_mode = 'ANSI_QUOTES';
CREATE TRIGGER tr_bare_ansi BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1;
CREATE PROCEDURE p_backslash() SELECT "a\" FROM (SELECT 1 AS "a\") x;
SET sql_quote_show_create = 1, sql_mode = 'ORACLE';
DELIMITER ;;
CREATE PROCEDURE p_oracle(x int) AS y int; BEGIN SELECT "a" FROM "t"; END;;
CREATE FUNCTION f_oracle RETURN INT DETERMINISTIC AS BEGIN RETURN 1; END;;
CREATE PACKAGE pk AS PROCEDURE p1; END;;
CREATE PACKAGE BODY pk AS PROCEDURE p1 AS BEGIN SELECT 'it''s ;; a'; END; END;;
CREATE TRIGGER tr_oracle AFTER UPDATE ON t FOR EACH ROW BEGIN NULL; END;;
CREATE EVENT e_oracle ON SCHEDULE EVERY 1 DAY DO BEGIN NULL; END;;
DELIMITER ;
CREATE VIEW v_oracle AS SELECT "a" || 'x' AS y FROM "t";
"#;

#[test]
fn programs_of_odd_sessions_come_back_as_they_were() {
    for (product, more) in [(Product::MariaDb, MARIADB_SESSIONS), (Product::MySql, "")] {
        let server = Server::start_with(product, &["--log-bin-trust-function-creators=1"]);
        server.sql(ODD_SESSIONS);
        server.sql(&format!("USE odd;\n{more}"));
        let world = World::new(&server, &["odd"], "");
        world.backup();
        drill_passes(&world);
        // The same from a server that prints without quotes.
        if product == Product::MariaDb {
            server.sql("SET GLOBAL sql_quote_show_create = 0");
            world.backup();
            drill_passes(&world);
        }
    }
}

/// Text with comment marks where MySQL prints a comment with a version around it, in comments, and in names.
#[test]
fn comment_marks_in_attributes_comments_and_names_cost_nothing() {
    const ATTRIBUTE: &str = r#"{"a": "it's */ AS SELECT 1 /* \" */"}"#;
    const PARTS: &str =
        "CREATE TABLE odd.parts (a INT COMMENT 'x /* y */') COMMENT '*/ /*!99999 */' PARTITION BY RANGE (a)
         (PARTITION `p*/` VALUES LESS THAN (5) COMMENT = 'it''s */ AS SELECT 1 /* ', PARTITION q VALUES LESS THAN (9));
         INSERT INTO odd.parts VALUES (1), (7); ";
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql(&format!("CREATE DATABASE odd; {PARTS}"));
        if product == Product::MySql {
            let quoted = ATTRIBUTE.replace('\\', "\\\\").replace('\'', "''");
            server.sql(&format!(
                "CREATE TABLE odd.t (id INT PRIMARY KEY, `a*/b` INT, `/*c` INT INVISIBLE) SECONDARY_ENGINE_ATTRIBUTE = '{quoted}';
                 INSERT INTO odd.t (id, `a*/b`, `/*c`) VALUES (1, 2, 3), (4, 5, 6);
                 ANALYZE TABLE odd.t UPDATE HISTOGRAM ON `a*/b`, `/*c`;
                 ANALYZE TABLE odd.parts UPDATE HISTOGRAM ON a"
            ));
        }
        let world = World::new(&server, &["odd"], "");
        let backup = world.backup();
        let said = backup["warnings"].to_string();
        assert_eq!(said.matches("NOT in the backup").count(), 0, "{product:?}: {said}");
        drill_passes(&world);
        let target = Server::start(product);
        world.json(&["restore", "shop", "--to", &target.destination(), "--no-accounts"], 0);
        let mut questions = vec!["SHOW CREATE TABLE odd.parts"];
        if product == Product::MySql {
            let lost = "not backed up: histograms: odd.parts.a, odd.t./*c, odd.t.a*/b";
            assert_eq!(said.matches(lost).count(), 1, "{said}");
            questions.push("SHOW CREATE TABLE odd.t");
        }
        for question in questions {
            assert_eq!(target.sql(question), server.sql(question), "{product:?}");
        }
    }
}
