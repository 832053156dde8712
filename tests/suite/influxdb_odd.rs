//! What operators of InfluxDB 1.x have and nobody expects: dropped default policies, limits, times at the ends of the range.

use serde_json::Value;

use crate::influx_support::{Influx, day, world};

/// The first and the last nanosecond that the server takes.
const FIRST: i64 = i64::MIN + 2;
const LAST: i64 = i64::MAX - 1;

fn rows(drill: &Value, name: &str) -> Option<u64> {
    let tables = drill["tables"].as_array().unwrap();
    tables.iter().find(|table| table["name"] == name)?["rows_restored"].as_u64()
}

#[test]
fn databases_without_a_default_policy_or_with_odd_names_and_times_come_back() {
    let server = Influx::start();
    // One odd database must not keep the others from being backed up.
    server.query("", "CREATE DATABASE plain");
    server.write("plain", &format!("m v=1 {}\n", day(1)));
    server.query("", "CREATE DATABASE headless");
    server.query("", "CREATE RETENTION POLICY other ON headless DURATION INF REPLICATION 1");
    server.query("", "CREATE RETENTION POLICY more ON headless DURATION INF REPLICATION 1");
    server.write("headless", &format!("gone v=1 {}\n", day(1)));
    server.write_to("headless", "other", &format!("m,host=a v=1 {0}\nm,host=b v=2,text=\"x\" {0}\n", day(1)));
    server.write_to("headless", "more", &format!("m,host=c w=true {0}\n", day(2)));
    server.query("", "CREATE SUBSCRIPTION away ON headless.more DESTINATIONS ALL 'http://127.0.0.1:1'");
    server.query("", "DROP RETENTION POLICY autogen ON headless");
    server.query("", "CREATE DATABASE bare");
    server.query("", "DROP RETENTION POLICY autogen ON bare");
    server.query("", "CREATE DATABASE \"it's \\\"ödd\\\"\"");
    server.write("it's \"ödd\"", &format!("texts only=\"a\",on=false {}\n", day(1)));
    server.query("", "CREATE DATABASE edges");
    for time in [FIRST, FIRST + 1, -1, 0, 1] {
        server.write("edges", &format!("m,host=a v=1 {time}\n"));
    }
    server.query("", "CREATE DATABASE late");
    server.write("late", &format!("m v=1 {LAST}\nm v=1 {}\nm v=1 {}\n", LAST - 1, day(1)));
    let world = world(&server, "", "");
    for _ in 0..2 {
        let report = world.json(&["backup"], 0);
        let warnings = report["warnings"].to_string();
        assert!(!warnings.contains("changed while the backup ran"), "{warnings}");
        // The server itself does not find them by their time, so they are in the backup and not promised.
        assert!(warnings.contains("points of edges: 1 of 2 shards are promised and compared (of 1677"), "{warnings}");
        let drill = world.json(&["drill"], 0);
        assert_eq!(drill["verdict"], "passed", "{drill:#}");
        for (name, expected) in [
            ("plain.autogen.m", 1),
            ("headless.other.m", 3),
            ("headless.more.m", 1),
            ("edges.autogen.m", 3),
            ("late.autogen.m", 1),
            ("\"it's \\\"ödd\\\"\".autogen.texts", 2),
        ] {
            assert_eq!(rows(&drill, name), Some(expected), "{name}: {drill:#}");
        }
    }
    let target = Influx::start();
    let to = ["--rpc-address", &target.rpc()];
    let report = world.json(&[&["restore", "telegraf", "--to", &target.url()], &to[..]].concat(), 0);
    assert_eq!(report["verified"], true, "{report:#}");
    let warnings = report["warnings"].to_string();
    assert!(!warnings.contains("0s"), "{warnings}");
    assert!(target.query("late", "SELECT * FROM m").contains(&LAST.to_string()));
    assert!(target.query("edges", "SELECT * FROM m").contains(&FIRST.to_string()));
    assert_eq!(world.json(&["verify", "telegraf", "--against", &target.url()], 0)["verdict"], "passed");
}

#[test]
fn a_servers_limits_are_kept_to_or_named_before_the_first_backup() {
    let limits = "max-row-limit = 5\n[coordinator]\nmax-select-buckets = 50\nmax-select-series = 12\n";
    let server = Influx::start_with(limits);
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    // Whole days: what is still to come at this hour does not count.
    for back in 1..3 {
        for name in 0..8 {
            let line = |at: i64| format!("m{name},host=h{} v={at} {}\n", at % 10, day(back) + at * 60_000_000_000);
            server.write("telegraf", &(0..200).map(line).collect::<String>());
        }
    }
    let world = world(&server, "", "");
    assert_eq!(world.run(&["check-config", "--connect"]).status, 0);
    let backup = world.json(&["backup"], 0);
    assert_eq!((&backup["tables"], &backup["rows"]), (&8.into(), &3200.into()), "{backup:#}");
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");

    // More series than one question may be about: told at once, with the setting and what follows from it.
    let line = |host: i64| format!("wide,host=h{host} v=1 {}\n", day(1) + host);
    server.write("telegraf", &(0..13).map(line).collect::<String>());
    for command in [&["check-config", "--connect"][..], &["backup"]] {
        let ran = world.run(command);
        assert_eq!(ran.status, 1, "{ran:?}");
        for said in ["max-select-series", "wide", "cannot be promised", "raise it"] {
            assert!(ran.stderr.contains(said), "{said}: {ran:?}");
        }
    }
}
