//! What the products' own dump clients stop at, and a backup must not: views over functions that the documented account may
//! not run, and names that a client or a careless reader splits in the wrong place.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Product, Server, World, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];
/// No statement of the script contains it.
const DELIMITER: &str = "\u{2}\u{3}";
/// What somebody would trip over.
const PARTS: [&str; 34] = [
    "`",
    "``",
    "'",
    "\"",
    "\\",
    ";",
    ";\n",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "-- ",
    "--\n",
    "#",
    "/*",
    "*/",
    "/*!",
    "/*!50003 ",
    "*/;;",
    "%",
    "_",
    "@`%`",
    ".",
    "(",
    "ü",
    "日本",
    "$$",
    "$a$",
    "\u{1}",
    ";;\ncall app.x;;\n",
    "\ndelimiter x\n",
    "\\! id",
    "x` AS `y",
    "\n-- Dump completed\n",
];

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Everything that has a name, with every part in its name.
fn script() -> String {
    let mut lines = vec!["CREATE DATABASE h".to_owned()];
    for (number, part) in PARTS.iter().enumerate() {
        let name = |kind: &str| {
            quoted(&if number % 2 == 0 { format!("{kind}{number}{part}z") } else { format!("a{part}{kind}{number}") })
        };
        let (table, column, database) = (name("t"), name("c"), name("d"));
        for sql in [
            format!("CREATE TABLE h.{table} ({column} INT, b INT, KEY {} ({column}))", name("k")),
            format!("INSERT INTO h.{table} VALUES (1, 2), (3, 4)"),
            format!(
                "CREATE VIEW h.{} AS SELECT {column}, b AS {} FROM h.{table} AS {}",
                name("v"),
                name("x"),
                name("y")
            ),
            format!("CREATE VIEW h.{} AS SELECT * FROM h.{}", name("w"), name("v")),
            format!("CREATE TRIGGER h.{} BEFORE UPDATE ON h.{table} FOR EACH ROW SET NEW.{column} = 1", name("g")),
            format!("CREATE PROCEDURE h.{}() SELECT 1 AS {}", name("p"), name("x")),
            format!("CREATE FUNCTION h.{}() RETURNS INT DETERMINISTIC RETURN 1", name("f")),
            format!("CREATE EVENT h.{} ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM h.{table}", name("e")),
            format!("CREATE DATABASE {database}"),
            format!("CREATE TABLE {database}.t (a INT)"),
            format!("CREATE VIEW {database}.v AS SELECT a FROM {database}.t"),
            format!("CREATE PROCEDURE {database}.p() SELECT 1"),
            format!("CREATE EVENT {database}.e ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM {database}.t"),
        ] {
            lines.push(sql);
        }
    }
    lines.iter().fold(format!("DELIMITER {DELIMITER}\n"), |script, line| script + line + DELIMITER + "\n")
}

#[test]
fn everything_comes_back_whatever_it_is_called() {
    for product in BOTH {
        let server = Server::start_with(product, &["--log-bin-trust-function-creators=1"]);
        let mut client = server.client();
        client.arg("--binary-mode").stdin(Stdio::piped());
        let mut child = client.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());

        let world = World::new(&server, &[], "");
        let backup = world.backup();
        assert!(!backup["warnings"].to_string().contains("NOT in the backup"), "{product:?}: {backup:#}");
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), [""; 0], "{product:?}: {drill:#}");
        let named = |kind: &str| {
            let checks = drill["checks"].as_array().unwrap().iter();
            checks.filter(|check| check["name"].as_str().unwrap().starts_with(kind)).count()
        };
        for (kind, each) in
            [("view ", 3), ("trigger ", 1), ("procedure ", 2), ("function ", 1), ("event ", 2), ("database ", 1)]
        {
            assert!(named(kind) >= each * PARTS.len(), "{product:?}: {kind}{}", named(kind));
        }
    }
}

/// Views of another account's over functions of another account's, over each other, in every way that has to be printed.
const VIEWS: &str = "CREATE USER app@localhost; GRANT ALL ON *.* TO app@localhost; CREATE DATABASE d; CREATE DATABASE z; CREATE TABLE z.gone (a INT); USE d;
 CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9)); INSERT INTO t VALUES (1, 'x'), (2, 'y');
 CREATE DEFINER=app@localhost FUNCTION f(x INT) RETURNS INT DETERMINISTIC RETURN x + 1;
 CREATE DEFINER=app@localhost VIEW plain AS SELECT a FROM t;
 CREATE DEFINER=app@localhost VIEW v AS SELECT a, f(a) AS b FROM t;
 CREATE DEFINER=app@localhost SQL SECURITY INVOKER VIEW `i*/``;;\nx` AS SELECT a, f(a) AS `b VIEW c` FROM t;
 CREATE DEFINER=app@localhost VIEW a_first AS SELECT * FROM v;
 CREATE DEFINER=app@localhost VIEW z.over AS SELECT * FROM d.a_first;
 CREATE DEFINER=app@localhost VIEW checked AS SELECT a, f(a) AS b FROM t WHERE a < 5 WITH LOCAL CHECK OPTION;
 CREATE DEFINER=app@localhost VIEW broken AS SELECT f(a) AS b FROM z.gone;
 DROP TABLE z.gone;
 SET NAMES latin1; CREATE DEFINER=app@localhost VIEW latin AS SELECT f(a) AS b, 'ä' AS c FROM d.t; SET NAMES utf8mb4";

#[test]
fn the_documented_account_backs_up_views_over_functions_that_it_may_not_run() {
    let documented = [
        (Product::MariaDb, "SELECT, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR"),
        (Product::MySql, "SELECT, SHOW VIEW, TRIGGER, EVENT, REPLICATION CLIENT, RELOAD"),
    ];
    for (product, privileges) in documented {
        let page = include_str!("../../docs/mysql-privileges.md");
        assert!(page.contains(&format!("GRANT {privileges} ON *.* TO 'backup'@'localhost';")));
        let mut server = Server::start_with(product, &["--log-bin-trust-function-creators=1"]);
        server.sql(VIEWS);
        server.sql(&format!(
            "CREATE USER 'backup'@'localhost' IDENTIFIED BY 'pw'; GRANT {privileges} ON *.* TO 'backup'@'localhost'"
        ));
        (server.user, server.password) = ("backup".to_owned(), Some("pw".to_owned()));
        let world = World::new(&server, &[], "");
        let backup = world.backup();
        let said = backup["warnings"].to_string();
        assert_eq!(said.matches("NOT in the backup").count(), 1, "{product:?}: {said}");
        assert!(said.contains("view d.broken is NOT in the backup"), "{product:?}: {said}");
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), [""; 0], "{product:?}: {drill:#}");
        for view in ["d.plain", "d.v", "d.a_first", "z.over", "d.checked", "d.latin", "d.`i*/``;;\\nx`"] {
            assert!(drill["checks"].to_string().contains(&format!("view {view}\"")), "{product:?}: {view}: {drill:#}");
        }
        let checked = world.run(&["check-config", "--connect"]);
        assert_eq!(checked.status, 0, "{product:?}: {checked:?}");
    }
}
