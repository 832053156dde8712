//! Code in a backup that runs when the restored server is asked something.

use std::fs;
use std::path::Path;

use crate::support::{Product, Server, World, wrong};

/// Functions that try to change something, whatever errors that brings, and say whether they did. `shop.mark` is what they
/// write to.
fn functions(file: &Path) -> String {
    let file = file.display();
    let function = |name: &str, security: &str, body: &str, changed: &str| {
        format!(
            "CREATE DEFINER=root@localhost FUNCTION shop.{name}() RETURNS INT DETERMINISTIC MODIFIES SQL DATA SQL SECURITY {security}
             BEGIN
               DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET @refused = 1;
               {body};
               RETURN {changed};
             END //\n"
        )
    };
    let rows = "(SELECT COUNT(*) FROM shop.mark)";
    let insert = "INSERT INTO shop.mark VALUES (1)";
    [
        "CREATE DATABASE shop; CREATE TABLE shop.mark (a INT) ENGINE=InnoDB; CREATE TABLE shop.plain (a INT) ENGINE=MyISAM;
         DELIMITER //\n"
            .to_owned(),
        function("sets_global", "INVOKER", "SET GLOBAL long_query_time = 77", "@@GLOBAL.long_query_time = 77"),
        function("inserts", "INVOKER", insert, rows),
        function("inserts_as_definer", "DEFINER", insert, rows),
        function(
            "fills_plain_as_definer",
            "DEFINER",
            "INSERT INTO shop.plain VALUES (1)",
            "(SELECT COUNT(*) FROM shop.plain)",
        ),
        function(
            "writes_file",
            "INVOKER",
            &format!("SELECT 'x' INTO OUTFILE '{file}'"),
            &format!("LOAD_FILE('{file}') IS NOT NULL"),
        ),
        function(
            "writes_file_as_definer",
            "DEFINER",
            &format!("SELECT 'x' INTO OUTFILE '{file}'"),
            &format!("LOAD_FILE('{file}') IS NOT NULL"),
        ),
        "DELIMITER ;
         CREATE SQL SECURITY INVOKER VIEW shop.v AS SELECT shop.sets_global() AS reached;
         CREATE DEFINER=root@localhost SQL SECURITY DEFINER VIEW shop.d AS SELECT shop.inserts() AS reached;\n"
            .to_owned(),
    ]
    .concat()
}

fn questions_change_nothing(product: Product) {
    let outside = tempfile::Builder::new().prefix("bsla-code-").tempdir_in("/var/tmp").unwrap();
    let server = Server::start(product);
    let script = outside.path().join("functions.sql");
    fs::write(&script, functions(&outside.path().join("written"))).unwrap();
    server.load(&script);
    let question = |sql: &str| format!("[[source.shop.verify.assertions]]\nname = {sql:?}\nsql = {sql:?}\n");
    let refused = [
        "SELECT shop.inserts() = 0",
        "SELECT shop.inserts_as_definer() = 0",
        "SELECT shop.fills_plain_as_definer() = 0",
        "SELECT reached = 0 FROM shop.d",
    ];
    let answered = [
        "SELECT shop.sets_global() = 0",
        "SELECT shop.writes_file() = 0",
        "SELECT shop.writes_file_as_definer() = 0",
        "SELECT reached = 0 FROM shop.v",
        "SELECT COUNT(*) = 0 FROM shop.mark",
        "SELECT COUNT(*) = 0 FROM shop.plain",
        "SELECT COUNT(*) > 0 FROM mysql.user",
        "SELECT COUNT(*) > 0 FROM information_schema.routines",
        "SELECT COUNT(*) > 0 FROM information_schema.processlist",
    ];
    let asked: String = refused.iter().chain(&answered).map(|sql| question(sql)).collect();
    let world = World::new(&server, &["shop"], &asked);
    world.backup();
    let is_refused = |report: &serde_json::Value| {
        let names = refused.map(|sql| format!("assertion {sql}")).to_vec();
        assert_eq!(wrong(report), names, "{report}");
        let checks = report["checks"].as_array().unwrap().iter();
        let said = checks.filter(|check| check["ok"] == false).map(|check| check["actual"].as_str().unwrap());
        assert!(said.clone().all(|said| said.contains("READ ONLY") || said.contains("denied")), "{report}");
    };
    is_refused(&world.json(&["drill", "shop"], 3));
    assert!(!outside.path().join("written").exists());
    world.assert_no_sandbox_left();
    // On a server that somebody names no row is changed either, though the account could.
    let other = World::new(&server, &["shop"], &refused.map(question).concat());
    other.backup();
    is_refused(&other.json(&["verify", "shop", "--against", &server.destination()], 3));
    assert_eq!(server.sql("SELECT (SELECT COUNT(*) FROM shop.mark) + (SELECT COUNT(*) FROM shop.plain)"), "0");
}

#[test]
fn code_of_a_mariadb_backup_changes_nothing_when_a_drill_asks() {
    questions_change_nothing(Product::MariaDb);
}

#[test]
fn code_of_a_mysql_backup_changes_nothing_when_a_drill_asks() {
    questions_change_nothing(Product::MySql);
}

#[test]
fn a_row_that_calls_a_function_is_not_stored_whoever_made_the_client_print_it() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = crate::waits::shop(product);
        let world = World::new(&server, &["shop"], "");
        let lies = "case \"$*\" in *--version*|*--help*) exec \"$real\" \"$@\" ;; esac\n\
                    \"$real\" \"$@\" | sed 's/(1),/(shop.f()),/'\nexit";
        let programs = crate::waits::programs(&world, product, "dump", lies);
        crate::waits::use_programs(&world, &programs);
        let ran = world.run(&["backup"]);
        assert_eq!(ran.status, 1, "{product:?}: {ran:?}");
        let told = "a value that no dump client writes, near the rows of `shop.a`: \"shop.f()";
        assert!(ran.stderr.contains(told), "{product:?}: {ran:?}");
        assert_eq!(world.json(&["status"], 1)["measured"]["recovery_points"], 0, "{product:?}");
    }
}

#[test]
fn what_follows_a_program_is_not_stored_whoever_made_the_client_print_it() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT); CREATE PROCEDURE shop.p() SELECT 'a body'");
        let world = World::new(&server, &["shop"], "");
        let lies = "case \"$*\" in *--version*|*--help*) exec \"$real\" \"$@\" ;; esac\n\
                    \"$real\" \"$@\" | sed \"s/SELECT 'a body'/&; CALL shop.p()/\"\nexit";
        let programs = crate::waits::programs(&world, product, "dump", lies);
        crate::waits::use_programs(&world, &programs);
        let ran = world.run(&["backup"]);
        assert_eq!(ran.status, 1, "{product:?}: {ran:?}");
        let told = "it contains a program with more text after its end, near database shop";
        assert!(ran.stderr.contains(told), "{product:?}: {ran:?}");
        assert_eq!(world.json(&["status"], 1)["measured"]["recovery_points"], 0, "{product:?}");
    }
}
