//! Every session variable that the server has, not only those that somebody thought of: another value of each at the
//! source changes nothing that is compared, or the backup is refused by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;

use crate::support::{Product, Server, World, wrong};

/// Variables whose other values end a session or refuse its questions: a backup fails, loudly, and nothing is smaller.
const LOUD: [&str; 5] =
    ["max_session_mem_used", "tmp_disk_table_size", "tmp_memory_table_size", "tmp_table_size", "max_heap_table_size"];

const SCHEMA: &str = "CREATE DATABASE d; USE d;
    CREATE TABLE base (id INT AUTO_INCREMENT PRIMARY KEY, d DATE, dt DATETIME, ts TIMESTAMP NULL, x DECIMAL(10,4), f FLOAT, db DOUBLE, c CHAR(10),
      vc VARCHAR(40) CHARACTER SET latin1, b BIT(9), bl BLOB, t TIME(3), e ENUM('a','b'), j JSON, txt TEXT, y YEAR, g GEOMETRY,
      m VARCHAR(30) AS (DATE_FORMAT(d, '%M')) VIRTUAL, w INT AS (WEEK(d)) VIRTUAL, q DECIMAL(30,15) AS (x / 7) VIRTUAL,
      s VARCHAR(80) AS (CONCAT(vc, '|', y)) STORED);
    INSERT INTO base (d, dt, ts, x, f, db, c, vc, b, bl, t, e, j, txt, y, g) VALUES
      ('2024-03-03', '2024-03-03 04:05:06', '2024-06-03 04:05:06', 10.5, 0.1, 1 / 3, 'pad', 'größe', b'101', x'00ff27', '01:02:03.5', 'a', '{\"a\": 1.0}',
       'it''s \"q\" \\\\ x', 2024, ST_GeomFromText('POINT(1 2)')), ('2023-01-01', NULL, NULL, 7, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
      (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE parted (id INT, d DATE) PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE);
    INSERT INTO parted VALUES (1, '2019-01-01'), (2, '2021-01-01');
    CREATE TABLE my (a INT PRIMARY KEY, b VARCHAR(9)) ENGINE=MyISAM; INSERT INTO my VALUES (1, 'x');
    CREATE TABLE child (id INT PRIMARY KEY, r INT, CONSTRAINT fk1 FOREIGN KEY (r) REFERENCES base (id), CONSTRAINT ck CHECK (r > 0)); INSERT INTO child VALUES (1, 1);
    CREATE VIEW v1 AS SELECT DATE_FORMAT(d, '%M %W') AS mn, WEEK(d) AS wk, x / 3 AS q, CONCAT(c, '|') AS cc, 'a''b' AS q2, id AS `select` FROM base;
    CREATE VIEW v2 AS SELECT GROUP_CONCAT(c SEPARATOR ', ') AS l FROM base WHERE c LIKE 'a%' ESCAPE '|';
    CREATE FUNCTION fn(p VARCHAR(20)) RETURNS VARCHAR(40) DETERMINISTIC RETURN CONCAT(p, 'x');
    CREATE PROCEDURE pr(INOUT a INT) SET a = a + 1 / 3;
    CREATE TRIGGER tr BEFORE INSERT ON base FOR EACH ROW SET NEW.c = CONCAT(NEW.c, '!');
    CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO INSERT INTO my VALUES (2, 'b');";

/// Values to try, the likeliest first, by type.
fn candidates(kind: &str, values: &str, now: &str, name: &str) -> Vec<String> {
    let texts = |list: &[&str]| list.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>();
    if name == "sql_mode" {
        return texts(&["ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE"]);
    }
    let flag = |value: &str| matches!(value, "0" | "1" | "ON" | "OFF");
    match kind.to_ascii_uppercase().as_str() {
        "BOOLEAN" => texts(&["ON", "OFF"]),
        "FLAGSET" => {
            let first = values.split(',').next().unwrap_or_default();
            texts(&[&format!("{first}=off"), &format!("{first}=on")])
        }
        "ENUM" | "SET" if !values.is_empty() => texts(&values.split(',').collect::<Vec<_>>()),
        "ENUM" | "ENUMERATION" | "SET" | "VARCHAR" | "STRING" if !flag(now) => {
            let mut all = texts(&[
                "latin2",
                "latin2_general_ci",
                "de_DE",
                "MyISAM",
                "READ-COMMITTED",
                "+05:00",
                "utf8mb4_bin",
                "x=off",
            ]);
            all.extend((0..4).map(|number| number.to_string()));
            all
        }
        _ => {
            let number: u64 = now.parse().unwrap_or(0);
            [number.saturating_add(7), number / 2, number.saturating_add(1), 7, 1]
                .iter()
                .map(ToString::to_string)
                .collect()
        }
    }
}

/// Give every session variable another value for all sessions to come; what each was and is.
fn change_all(server: &Server) -> BTreeMap<String, (String, String)> {
    let list = match server.product {
        Product::MariaDb => {
            "SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, COALESCE(ENUM_VALUE_LIST, ''), GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES \
             WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' ORDER BY 1"
        }
        Product::MySql => {
            "SELECT VARIABLE_NAME, DATA_TYPE, '', VARIABLE_VALUE FROM performance_schema.variables_metadata \
             JOIN performance_schema.global_variables USING (VARIABLE_NAME) WHERE VARIABLE_SCOPE = 'SESSION' ORDER BY 1"
        }
    };
    let mut script = String::new();
    for line in server.sql(list).lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        let (name, kind, values, now) = (next(), next(), next(), next());
        if LOUD.contains(&name) {
            continue;
        }
        writeln!(script, "SELECT 'was', '{name}', @@GLOBAL.{name};").unwrap();
        // The last one that the server takes and that differs counts; so the likeliest comes last.
        for value in candidates(kind, values, now, name).iter().rev().filter(|value| value.trim_matches('\'') != now) {
            writeln!(script, "SET GLOBAL {name} = {value};").unwrap();
        }
        writeln!(script, "SELECT 'is', '{name}', @@GLOBAL.{name};").unwrap();
    }
    // One session for all: it keeps the values that it began with.
    let mut client = server.client();
    client.arg("--force").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = client.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    let mut out: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [when, name, value] = fields.as_slice() else { continue };
        let pair = out.entry((*name).to_owned()).or_default();
        if *when == "was" { &mut pair.0 } else { &mut pair.1 }.push_str(value);
    }
    out.retain(|_, (was, is)| was != is);
    out
}

fn no_session_variable_of_the_source_changes_what_is_compared(product: Product, at_least: usize) {
    let server = Server::start(product);
    if product == Product::MySql {
        server.sql("SET GLOBAL log_bin_trust_function_creators = 1");
    }
    server.sql(SCHEMA);
    if product == Product::MariaDb {
        server.sql("CREATE SEQUENCE d.s START WITH 5; CREATE TABLE d.h (a INT) WITH SYSTEM VERSIONING; INSERT INTO d.h VALUES (1); UPDATE d.h SET a = 2");
    }
    let world = World::new(&server, &["d"], "");
    let before = world.backup();
    server.sql("FLUSH TABLES");
    let changed = change_all(&server);
    assert!(changed.len() >= at_least, "{} variables were changed: {:?}", changed.len(), changed.keys());
    assert!(changed.contains_key("lc_time_names") && changed.contains_key("sql_mode"), "{changed:?}");
    if product == Product::MariaDb {
        // What the client cannot pin is refused.
        let refused = world.run(&["backup", "shop"]);
        assert!(refused.status == 1 && refused.stderr.contains("sql_select_limit is"), "{refused:?}");
        let mut client = server.client();
        client.args(["-e", "SET GLOBAL sql_select_limit = 18446744073709551615"]);
        assert!(client.status().unwrap().success());
    }
    let verified = world.run(&["--json", "verify", "shop", "--against", &server.destination()]);
    assert_eq!(verified.status, 0, "with {changed:#?}: {verified:#?}");
    let after = world.backup();
    assert_eq!((&before["tables"], &before["rows"]), (&after["tables"], &after["rows"]));
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "with {changed:#?}: {drill:#}");
}

#[test]
fn no_session_variable_of_a_mariadb_source_changes_what_is_compared() {
    no_session_variable_of_the_source_changes_what_is_compared(Product::MariaDb, 140);
}

#[test]
fn no_session_variable_of_a_mysql_source_changes_what_is_compared() {
    no_session_variable_of_the_source_changes_what_is_compared(Product::MySql, 105);
}
