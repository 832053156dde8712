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
    const STATE: &str =
        "SELECT GROUP_CONCAT(SCHEMA_NAME) FROM information_schema.SCHEMATA_EXTENSIONS WHERE OPTIONS = 'READ ONLY=1'";

    // Onto a server that has it, read-only, with other rows: whole, and one table.
    server.sql(
        "ALTER SCHEMA archive READ ONLY = 0; DELETE FROM archive.t WHERE a = 1; ALTER SCHEMA archive READ ONLY = 1",
    );
    let at = server.destination();
    let restored = world.json(&["restore", "shop", "--to", &at, "--overwrite"], 0);
    assert_eq!(wrong(&restored), [""; 0], "{restored:#}");
    assert!(restored["warnings"].to_string().contains("database archive takes no changes (READ ONLY)"), "{restored:#}");
    assert_eq!(server.sql("SELECT COUNT(*) FROM archive.t"), "2");
    assert_eq!(server.sql(STATE), "archive");
    server.sql("ALTER SCHEMA archive READ ONLY = 0; DELETE FROM archive.t; ALTER SCHEMA archive READ ONLY = 1");
    let one = world.json(&["restore", "shop", "--to", &at, "--overwrite", "--table", "archive.t"], 0);
    assert_eq!(wrong(&one), [""; 0], "{one:#}");
    assert_eq!((server.sql("SELECT COUNT(*) FROM archive.t"), server.sql(STATE)), ("2".into(), "archive".into()));

    // The option is part of what is promised, whichever way it differs.
    server.sql("ALTER SCHEMA archive READ ONLY = 0");
    let verified = world.json(&["verify", "shop", "--against", &at], 3);
    assert_eq!(wrong(&verified), ["database archive"], "{verified:#}");

    // A database that was made read-only later is open after an older backup of it is back.
    server.sql("ALTER SCHEMA `/* READ ONLY = 1 */` READ ONLY = 1");
    let restored = world.json(&["restore", "shop", "--to", &at, "--overwrite"], 0);
    assert_eq!(wrong(&restored), [""; 0], "{restored:#}");
    assert_eq!(server.sql(STATE), "archive");
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
        let change = match product {
            Product::MariaDb => "COMMENT 'mine'",
            Product::MySql => "ENCRYPTION 'Y'",
        };
        server.sql(&format!(
            "ALTER DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_bin; ALTER DATABASE bare {change}; ALTER DATABASE shop {change}"
        ));
        let to = server.destination();
        let one = world.json(&["restore", "shop", "--to", &to, "--overwrite", "--table", "shop.t"], 0);
        assert!(one["warnings"].to_string().contains("database shop"), "{one:#}");
        let restored = world.json(&["restore", "shop", "--to", &to, "--overwrite"], 0);
        assert_eq!(wrong(&restored), [""; 0], "{product:?}: {restored:#}");
        let defaults = server.sql("SHOW CREATE DATABASE shop");
        assert!(defaults.contains("latin1_german1_ci"), "{defaults}");
    }
}
