//! Names of tables and columns that read like SQL: whoever may create a table must not run anything as whoever restores.

use crate::support::{Product, Server, World, wrong};

/// What a name would have run: it leaves a row, and a table of its own.
const SETUP: &str = "DELIMITER //
 CREATE DATABASE e //
 USE e //
 CREATE TABLE seen (a INT) //
 CREATE TABLE d (a INT PRIMARY KEY) DATA DIRECTORY='{elsewhere}' //
 CREATE FUNCTION f() RETURNS INT MODIFIES SQL DATA SQL SECURITY INVOKER
   BEGIN INSERT INTO e.seen VALUES (1); RETURN 1; END //
 CREATE TABLE `*/#CREATE TABLE z(a int)DATA DIRECTORY='/tmp' AS SELECT e.f()/*` (a INT) //
 CREATE TABLE `z (\na int) ENGINE=InnoDB AS SELECT e.f() AS a/*` (a INT) //
 CREATE TABLE many (
   a INT,
   `z\n  KEY ``k`` (a),` INT COMMENT 'x` (a);INSERT INTO e.seen VALUES (2);#',
   big LONGTEXT,
   KEY `by a` (a)) //
 INSERT INTO many SELECT seq, seq, REPEAT(UUID(), 30) FROM (WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 900) SELECT seq FROM n) AS numbers //";

#[test]
fn a_name_that_reads_like_a_definition_runs_nothing_where_it_is_restored() {
    for product in [Product::MariaDb, Product::MySql] {
        let mut arguments = vec!["--log-bin-trust-function-creators=1".to_owned()];
        let elsewhere = tempfile::Builder::new().prefix("bsla-names-").tempdir_in("/var/tmp").unwrap();
        crate::support::hand_to_server(elsewhere.path());
        if product == Product::MySql {
            arguments.push(format!("--innodb-directories={}", elsewhere.path().display()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = Server::start_with(product, &arguments);
        let setup = SETUP.replace("{elsewhere}", &elsewhere.path().display().to_string());
        server.sql(&setup);
        let world = World::new(&server, &["e"], "");
        world.backup();
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), [""; 0], "{product:?}: {drill:#}");
        // The functions are there, the tables are not: what is tried before the load finds both.
        server.sql("USE e; DROP TABLE d, `*/#CREATE TABLE z(a int)DATA DIRECTORY='/tmp' AS SELECT e.f()/*`, `z (\na int) ENGINE=InnoDB AS SELECT e.f() AS a/*`");
        world.json(&["restore", "shop", "--to", &server.destination(), "--overwrite"], 0);
        assert_eq!(server.sql("SELECT COUNT(*) FROM e.seen"), "0", "{product:?}: a name ran as whoever restored");
        let strange = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'e' AND TABLE_NAME = 'z'";
        assert_eq!(server.sql(strange), "0", "{product:?}");
    }
}
