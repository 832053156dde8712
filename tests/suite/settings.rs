//! Server settings leak into what a dump prints, and must not leak into what is compared.

use crate::support::{Product, Server, World, wrong};

/// Two servers' dumps and a drill agree whatever these are at the source.
fn a_source_with_settings_of_its_own_is_proved(product: Product, settings: &[&str], sql: &str) -> Server {
    let server = Server::start(product);
    let set = settings.iter().map(|setting| format!("SET GLOBAL {setting};"));
    let (now, later): (Vec<String>, Vec<String>) = set.partition(|setting| !setting.contains("max_execution_time"));
    server.sql(&now.concat());
    server.sql(sql);
    server.sql(&later.concat());
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 0);
    assert_eq!((drill["verdict"].as_str(), wrong(&drill)), (Some("passed"), vec![]), "{drill:#}");
    // Nor at a destination that has others.
    let plain = Server::start(product);
    let restored = world.json(&["restore", "shop", "--to", &plain.destination()], 0);
    assert_eq!((restored["verified"].as_bool(), restored["reason"].as_str()), (Some(true), Some("")), "{restored:#}");
    server
}

#[test]
fn computed_columns_and_settings_of_the_source_make_no_drill_red_on_mariadb() {
    let settings = [
        "lc_time_names = 'de_DE'",
        "default_week_format = 7",
        "div_precision_increment = 9",
        "sql_quote_show_create = 0",
    ];
    a_source_with_settings_of_its_own_is_proved(
        Product::MariaDb,
        &settings,
        "CREATE DATABASE d; USE d; CREATE SEQUENCE s;
         CREATE TABLE v (a INT, d DATE, m VARCHAR(20) AS (DATE_FORMAT(d, '%M')) VIRTUAL, w INT AS (WEEK(d)) VIRTUAL,
           r DOUBLE AS (RAND()) VIRTUAL, n DATETIME AS (NOW()) VIRTUAL, q DECIMAL(20,12) AS (a / 7) VIRTUAL, b INT INVISIBLE);
         INSERT INTO v (a, d, b) VALUES (1, '2024-03-03', 2), (2, '2023-01-01', 3);
         CREATE TABLE only_virtual (r DOUBLE AS (RAND()) VIRTUAL, a INT); INSERT INTO only_virtual (a) VALUES (1);
         CREATE VIEW m AS SELECT DATE_FORMAT('2024-03-03', '%M') AS m, 1 / 3 AS x",
    );
}

#[test]
fn settings_of_the_source_make_no_drill_red_on_mysql() {
    let settings = [
        "lc_time_names = 'de_DE'",
        "default_week_format = 7",
        "show_create_table_verbosity = 1",
        "sql_buffer_result = 1",
        "sql_select_limit = 2",
        "max_execution_time = 1",
        "sql_generate_invisible_primary_key = 1",
        "show_gipk_in_create_table_and_information_schema = 0",
    ];
    let server = a_source_with_settings_of_its_own_is_proved(
        Product::MySql,
        &settings,
        "CREATE DATABASE d; USE d; CREATE TABLE hidden_key (a INT); INSERT INTO hidden_key VALUES (5), (6), (7);
         CREATE TABLE v (id INT PRIMARY KEY, d DATE, m INT AS (WEEK(d)) VIRTUAL); INSERT INTO v (id, d) VALUES (1, '2024-03-03');
         CREATE VIEW w AS SELECT DATE_FORMAT('2024-03-03', '%M') AS m",
    );
    let world = World::new(&server, &[], "");
    assert_eq!(world.backup()["rows"], 4);
}

#[test]
fn a_setting_that_would_cut_the_dump_short_in_silence_refuses_the_backup_on_mariadb() {
    let server = Server::start(Product::MariaDb);
    server.sql("SET GLOBAL sql_select_limit = 2; CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (1), (2), (3)");
    let world = World::new(&server, &[], "");
    for command in [&["check-config", "--connect"][..], &["backup", "shop"]] {
        let ran = world.run(command);
        assert_eq!(ran.status, 1, "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("sql_select_limit is 2 (SET GLOBAL sql_select_limit = DEFAULT)"), "{ran:?}");
    }
    assert_eq!(world.listed(), 0);
}

#[test]
fn a_next_id_that_falls_behind_the_promised_one_is_noticed() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE d; USE d; CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT) AUTO_INCREMENT = 100;
             INSERT INTO t (v) VALUES (1), (2); DELETE FROM t WHERE id = 101;
             CREATE TABLE first (id INT AUTO_INCREMENT PRIMARY KEY)",
        );
        let world = World::new(&server, &[], "");
        world.backup();
        let drill = world.json(&["drill"], 0);
        assert!(drill["checks"].to_string().contains("next id d.t"), "{drill:#}");
        let other = Server::start(product);
        world.json(&["restore", "shop", "--to", &other.destination()], 0);
        // Ahead is as it should be where the application goes on.
        other.sql("ALTER TABLE d.t AUTO_INCREMENT = 500");
        world.json(&["verify", "shop", "--against", &other.destination()], 0);
        other.sql("ALTER TABLE d.t AUTO_INCREMENT = 101");
        let report = world.json(&["verify", "shop", "--against", &other.destination()], 3);
        assert_eq!(wrong(&report), ["next id d.t"], "{product:?}");
        assert!(report["reason"].as_str().unwrap().contains("expected at least 102, found 101"), "{report:#}");
    }
}
