//! Restore to any moment, as it is promised, shown and looked for: windows, gaps, breaks, the page of events.

use crate::service::get;
use crate::serving::Service;
use crate::support::{Product, Server, World};

/// A gap is longer than a second, and no increment waits for its time.
fn world(server: &Server) -> World {
    let world = World::new(server, &["shop"], "");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("full = \"0 2 * * *\"", "full = \"0 0 29 2 *\", incremental = \"0 0 29 2 *\"");
    std::fs::write(world.path("config.toml"), text).unwrap();
    world
}

fn accident_after_the_log_was_begun_anew(product: Product, reset: &str) {
    let server = Server::start(product);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY)");
    let world = world(&server);
    let service = Service::start(&world);
    service.wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 1.0);
    let increment = || world.json(&["backup", "shop", "--incremental"], 0);
    server.sql(&format!("{reset}; INSERT INTO shop.t VALUES (1); INSERT INTO shop.t VALUES (2)"));
    assert_eq!(increment()["kind"], "full");
    server.sql("DELETE FROM shop.t WHERE a = 1; INSERT INTO shop.t VALUES (3)");
    assert_eq!(increment()["kind"], "incremental");
    server.sql(&format!("{reset}; INSERT INTO shop.t VALUES (4); INSERT INTO shop.t VALUES (5)"));
    assert_eq!(increment()["kind"], "full");
    server.sql("DELETE FROM shop.t WHERE a = 2; INSERT INTO shop.t VALUES (6)");
    assert_eq!(increment()["kind"], "incremental");

    // The two accidents may have one GTID and one place: what is printed means one of them.
    let now = chrono::Utc::now().to_rfc3339();
    let ran = world.run(&["--json", "events", "shop", "--around", &now, "--within", "1h", "--kind", "delete"]);
    let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    for (line, rows) in lines.iter().zip(["1,2", "2,3,4,5"]) {
        let destination = Server::start(product);
        let command = line["restore"].as_str().unwrap();
        let to = destination.destination();
        let words: Vec<&str> =
            command.split(' ').skip(1).map(|word| if word == "DESTINATION" { &to } else { word }).collect();
        world.json(&words, 0);
        assert_eq!(destination.sql("SELECT GROUP_CONCAT(a ORDER BY a) FROM shop.t"), rows, "{command}");
    }

    service.wait("chain_breaks_total{source=\"shop\"}", |value| value == 2.0);
    let page = get(&service.address, "/sources/shop");
    assert_eq!(page.matches("The chain broke").count(), 2, "{page}");
    let around = now.replace('+', "%2B");
    let page =
        get(&service.address, &format!("/sources/shop/events?around={around}&within=1h&kind=delete&table=shop.t"));
    assert_eq!(page.matches("1 deleted").count(), 2, "{page}");
    for line in &lines {
        let before =
            line["restore"].as_str().unwrap().split(" --to ").next().unwrap().strip_prefix("backup-sla ").unwrap();
        assert!(page.contains(before), "{before}: {page}");
    }
    let wrong = get(&service.address, "/sources/shop/events?around=yesterday&kind=%3Cscript%3E");
    assert!(wrong.contains(" 400 ") && !wrong.contains("<script>\""), "{wrong}");

    // More than a page shows: that nothing is known of a part of the time is said all the same.
    let many: Vec<String> = (0..=200).map(|row| format!("INSERT INTO shop.t VALUES ({})", 100 + row)).collect();
    server.sql(&many.join("; "));
    assert_eq!(increment()["kind"], "incremental");
    let page = loop {
        let page = get(&service.address, &format!("/sources/shop/events?around={around}&within=1h"));
        if !page.contains("another look is under way") {
            break page;
        }
    };
    assert!(page.contains("Only the 200 nearest to that time are shown"), "{page}");
    assert!(page.contains("Of this time only increments are looked through"), "{page}");
    service.stop();
}

#[test]
fn on_mariadb_what_events_prints_means_one_accident_after_the_log_was_begun_anew() {
    accident_after_the_log_was_begun_anew(Product::MariaDb, "RESET MASTER");
}

#[test]
fn on_mysql_what_events_prints_means_one_accident_after_the_log_was_begun_anew() {
    accident_after_the_log_was_begun_anew(Product::MySql, "RESET BINARY LOGS AND GTIDS");
}

#[test]
fn where_a_break_waits_no_full_backup_is_taken_by_itself_and_it_is_one_break_each_time() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY)");
    let world = world(&server);
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("[source.shop.mysql]\n", "[source.shop.mysql]\non_break = \"wait\"\n");
    assert!(text.contains("on_break"), "{text}");
    std::fs::write(world.path("config.toml"), text).unwrap();
    world.backup();
    server.sql("INSERT INTO shop.t VALUES (1)");
    assert_eq!(world.json(&["backup", "shop", "--incremental"], 0)["kind"], "incremental");
    server.sql("RESET MASTER; INSERT INTO shop.t VALUES (2)");
    for _ in 0..2 {
        let ran = world.run(&["backup", "shop", "--incremental"]);
        assert!(ran.status == 1 && ran.stderr.contains("backup-sla backup shop --full"), "{ran:?}");
        assert_eq!(world.listed(), 2, "nothing is published");
    }
    let ran = world.run(&["--json", "status", "shop"]);
    let status: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!(status["breaks"], 1, "{status:#}");
    world.backup();
    server.sql("INSERT INTO shop.t VALUES (3)");
    assert_eq!(world.json(&["backup", "shop", "--incremental"], 0)["kind"], "incremental");
}
