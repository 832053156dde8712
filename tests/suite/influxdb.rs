//! InfluxDB 1.x from end to end, against the real server that Debian ships.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::influx_support::{Influx, day, meddling, now, world};
use crate::support::{Running, entries, wait_for, wrong};

/// Five databases' worth of oddities in three.
fn fill(server: &Influx) {
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.query("", "CREATE RETENTION POLICY \"for ever\" ON telegraf DURATION INF REPLICATION 1");
    server.query("", "CREATE DATABASE \"odd db\"");
    server.query("", "CREATE DATABASE empty WITH DURATION 7d REPLICATION 1 SHARD DURATION 1d NAME \"seven days\"");
    server.query("", "CREATE RETENTION POLICY more ON empty DURATION 2d REPLICATION 1");
    for back in 0..4 {
        server.telegraf(day(back), 1400);
    }
    let odd = "log,host=a message=\"it's \\\"x\\\"\",n=1i T\nwe\\ ird\\,name,ta\\ g=v\\ 1 f\\ 1=1.5,count_x=2i,on=true T\n\
               texts only=\"größe\" T\n";
    // The last one is too young to be promised.
    let odd = odd.replace('T', &day(1).to_string());
    server.write("odd db", &format!("{odd}old v=1 1000000000000000000\nyoung v=1\n"));
    server.write_to("telegraf", "for ever", &format!("kept v=1 {}\n", day(200)));
    server.query("", "CREATE USER root WITH PASSWORD 'a' WITH ALL PRIVILEGES");
    server.query("", "CREATE USER \"grafana user\" WITH PASSWORD 'b'");
    server.query("", "GRANT READ ON telegraf TO \"grafana user\"");
    server.query(
        "",
        "CREATE CONTINUOUS QUERY hourly ON telegraf BEGIN SELECT mean(idle) INTO \"for ever\".down FROM cpu GROUP BY time(1h) END",
    );
    server.query("", "CREATE SUBSCRIPTION away ON telegraf.week DESTINATIONS ALL 'http://127.0.0.1:1'");
}

#[test]
fn everything_of_a_server_comes_back_and_a_second_backup_costs_only_the_hot_shard() {
    let server = Influx::start();
    fill(&server);
    let world = world(&server, "", "");
    let first = world.json(&["backup"], 0);
    assert!(first["warnings"].to_string().contains("subscription away on week"), "{first:#}");
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    let names: Vec<&str> = drill["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    for name in [
        "telegraf.week.cpu",
        "telegraf.\"for ever\".kept",
        "\"odd db\".autogen.\"we ird,name\"",
        "\"odd db\".autogen.texts",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let checks: Vec<&str> = drill["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    for name in [
        "database empty",
        "retention policy empty.\"seven days\"",
        "retention policy empty.more",
        "continuous query telegraf.hourly",
        "account grafana user",
        "series of telegraf.cpu",
        "newest telegraf.week.cpu.time",
    ] {
        assert!(checks.contains(&name), "{name} in {checks:?}");
    }
    // Where the kernel allows it, nobody else can reach the sandbox's port for files, which asks for no password.
    assert!(drill["sandbox"]["network"].as_str().unwrap().contains("namespace of its own"), "{drill:#}");
    world.assert_no_sandbox_left();

    server.telegraf(now() - 20_000_000_000, 3);
    let second = world.json(&["backup"], 0);
    let stored = |report: &Value| report["stored_bytes"].as_u64().unwrap();
    assert!(stored(&second) * 3 < stored(&first), "{} then {}", stored(&first), stored(&second));
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    assert!(entries(&world.path("state/staging/telegraf")).is_empty());
}

/// Breaks something.
type Break = fn(&Influx);

#[test]
fn every_difference_in_a_restored_server_is_named() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    for back in 1..3 {
        server.telegraf(day(back), 100);
    }
    server.query("", "CREATE RETENTION POLICY other ON telegraf DURATION INF REPLICATION 1");
    server.query(
        "",
        "CREATE CONTINUOUS QUERY cq ON telegraf BEGIN SELECT mean(idle) INTO down FROM cpu GROUP BY time(1h) END",
    );
    let world = world(&server, "", "");
    world.json(&["backup"], 0);
    let verify = |target: &Influx, status| {
        world.json(&["verify", "telegraf", "--against", &target.url(), "--rpc-address", &target.rpc()], status)
    };
    let restored = || {
        let target = Influx::start();
        let report = world.json(&["restore", "telegraf", "--to", &target.url(), "--rpc-address", &target.rpc()], 0);
        assert_eq!(report["verified"], true, "{report:#}");
        target
    };
    let target = restored();
    assert_eq!(verify(&target, 0)["verdict"], "passed");

    // What to break, and what must be told.
    let cases: [(Break, &str); 7] = [
        (|t| drop(t.query("telegraf", "DROP MEASUREMENT mem")), "measurement telegraf.mem"),
        // A point of the first day, moved by some hours.
        (
            |t| {
                t.query(
                    "telegraf",
                    &format!("DELETE FROM cpu WHERE time = {} AND host = 'h1'", day(2) + 60_000_000_000),
                );
                t.write("telegraf", &format!("cpu,host=h1 idle=1,user=1i {}\n", day(2) + 12_000_000_000_000));
            },
            "times of points in telegraf.week.cpu",
        ),
        (|t| t.write("telegraf", &format!("cpu,host=h9 idle=1 {}\n", day(1))), "points of idle in telegraf.week.cpu"),
        (
            |t| drop(t.query("telegraf", &format!("DELETE FROM cpu WHERE time < {}", day(1) - 1))),
            "points of idle in telegraf.week.cpu",
        ),
        (|t| drop(t.query("telegraf", "DROP RETENTION POLICY other ON telegraf")), "retention policy telegraf.other"),
        (|t| drop(t.query("telegraf", "DROP CONTINUOUS QUERY cq ON telegraf")), "continuous query telegraf.cq"),
        (|t| t.write("telegraf", &format!("stranger v=1 {}\n", day(1))), "table telegraf.week.stranger"),
    ];
    for (spoil, name) in cases {
        spoil(&target);
        let report = verify(&target, 3);
        let wrong = wrong(&report);
        assert!(wrong.iter().any(|found| found.starts_with(name)), "{name} in {wrong:?}");
        let args = ["restore", "telegraf", "--to", &target.url(), "--rpc-address", &target.rpc(), "--overwrite"];
        let report = world.json(&args, 0);
        assert_eq!(report["verified"], true, "{name}: {report:#}");
        let databases = target.query("", "SHOW DATABASES");
        assert!(!databases.contains("_restored_"), "{databases}");
    }
    // A whole shard that is gone.
    let shards = target.query("", "SHOW SHARDS");
    let id = shards.split("[[").nth(1).unwrap().split(',').next().unwrap();
    target.query("", &format!("DROP SHARD {id}"));
    let report = verify(&target, 3);
    assert!(report["reason"].as_str().unwrap().contains("telegraf.week."), "{report:#}");
}

#[test]
fn an_archive_that_is_cut_or_missing_fails_the_backup_by_name_and_publishes_nothing() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.telegraf(day(1), 500);
    server.telegraf(day(2), 500);
    let plain = world(&server, "", "");
    let cut_before_compression = "f=$(ls *.s2.tar.gz); gzip -dc $f | head -c 4096 | gzip -c > x; mv x $f; \
         python3 -c \"import json,glob; p=glob.glob('*.manifest')[0]; d=json.load(open(p)); \
         [f.update(size=4096) for f in d['files'] if f['shardID']==2]; json.dump(d,open(p,'w'))\"";
    for (more, reason) in [
        ("f=$(ls *.s2.tar.gz); truncate -s -20 $f", "archive of shard 2 of telegraf"),
        ("f=$(ls *.s2.tar.gz); gzip -dc $f | head -c 4096 | gzip -c > x; mv x $f", "own manifest says"),
        (cut_before_compression, "stops before its end mark"),
        ("rm *.s2.tar.gz", "open archive of shard 2 of telegraf"),
        (
            "python3 -c \"import json,glob; p=glob.glob('*.manifest')[0]; d=json.load(open(p)); \
             d['files']=[f for f in d['files'] if f['shardID']!=2]; json.dump(d,open(p,'w'))\"",
            "shard 2 of telegraf is missing",
        ),
        ("rm *.manifest", "0 manifests"),
        ("exit 1", "influxd backup ended with exit status: 1"),
    ] {
        let programs = meddling(&plain, more);
        plain.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
        let ran = plain.run(&["backup"]);
        assert_eq!(ran.status, 1, "{more}: {ran:?}");
        assert!(ran.stderr.contains(reason), "{more}: {ran:?}");
        assert_eq!(plain.listed_or_none(), 0, "{more}");
        assert!(entries(&plain.path("state/staging/telegraf")).is_empty(), "{more}");
    }
}

#[test]
fn a_live_server_is_not_written_to_by_mistake_and_writers_are_told() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.telegraf(day(1), 100);
    server.query("", "CREATE USER telegraf WITH PASSWORD 'x'");
    server.query("", "GRANT WRITE ON telegraf TO telegraf");
    let world = world(&server, "databases = [\"telegraf\"]\n", "");
    world.json(&["backup"], 0);
    let ran = world.run(&["restore", "telegraf", "--to", &server.url(), "--rpc-address", &server.rpc()]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("it has database telegraf already") && ran.stderr.contains("--overwrite"), "{ran:?}");
    assert!(world.run(&["restore", "telegraf", "--to", "unix:/x"]).stderr.contains("must be the HTTP address"));
    let table = world.run(&["restore", "telegraf", "--to", &server.url(), "--table", "telegraf.cpu"]);
    assert_eq!(table.status, 2, "{table:?}");

    let target = Influx::start();
    let writer = target.writer("elsewhere");
    let report = world.json(&["restore", "telegraf", "--to", &target.url(), "--rpc-address", &target.rpc()], 0);
    drop(writer);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("writers are still connected"), "{warnings}");
    assert!(warnings.contains("user telegraf was made with a random password"), "{warnings}");
    assert!(target.query("", "SHOW GRANTS FOR telegraf").contains("WRITE"));
}

#[test]
fn a_restore_never_writes_through_another_servers_backup_service() {
    let production = Influx::start();
    production.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    production.telegraf(day(1), 100);
    let world = world(&production, "", "");
    world.json(&["backup"], 0);
    // Where the database is gone, a restore through its port would bring it back there.
    production.query("", "DROP DATABASE telegraf");
    let target = Influx::start();
    let to = ["restore", "telegraf", "--to", &target.url()];
    let refused = |more: &[&str], reason: &str| {
        let ran = world.run(&[&to, more].concat());
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains(reason) && ran.stderr.contains("--rpc-address"), "{reason}: {ran:?}");
        // The server itself tells which one is right.
        assert!(ran.stderr.contains(&target.rpc()), "{ran:?}");
        for server in [&production, &target] {
            let databases = server.query("", "SHOW DATABASES");
            assert!(!databases.contains("telegraf") && !databases.contains("backup_sla"), "{databases}");
        }
    };
    refused(&[], "the address of its backup service is not given");
    refused(&["--overwrite"], "the address of its backup service is not given");
    refused(&["--rpc-address", &production.rpc()], "is not the backup service of this server");
    // Something else that listens.
    refused(
        &["--rpc-address", target.url().strip_prefix("http://").unwrap()],
        "is not the backup service of this server",
    );
    let report = world.json(&[&to[..], &["--rpc-address", &target.rpc()]].concat(), 0);
    assert_eq!(report["verified"], true, "{report:#}");
    assert!(!target.query("", "SHOW DATABASES").contains("backup_sla"));
}

#[test]
fn a_backup_of_a_server_in_use_passes_its_drill() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    for back in 0..3 {
        server.telegraf(day(back), 2000);
    }
    // Points of now, points of the past, new series and a new measurement, all while the backup runs.
    let writer = server.writer("telegraf");
    let world = world(&server, "", "");
    for _ in 0..3 {
        world.json(&["backup"], 0);
        let drill = world.json(&["drill"], 0);
        assert_eq!(drill["verdict"], "passed", "{drill:#}");
    }
    drop(writer);
}

#[test]
fn a_sample_says_that_it_is_one() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 90d SHARD DURATION 1d NAME week");
    for back in 0..20 {
        server.telegraf(day(back), 20);
    }
    let world = world(&server, "counting = \"sampled\"\n", "");
    let backup = world.json(&["backup"], 0);
    assert!(backup["warnings"].to_string().contains("not part of the sample"), "{backup:#}");
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed");
    let shards = 20;
    let dump = world.restic(&["dump", "latest", "/telegraf/manifest.json"]);
    let manifest: Value = serde_json::from_slice(&dump.stdout).unwrap();
    let counting = manifest["settings"]["counting"].as_str().unwrap();
    let counted: usize = counting.split(' ').next().unwrap().parse().unwrap();
    assert!((2..shards / 2).contains(&counted), "{counting}");
}

#[test]
fn assertions_are_influxql_and_a_no_is_red() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.telegraf(day(1), 50);
    let assertion =
        |query: &str| format!("[[source.telegraf.verify.assertions]]\nname = \"a\"\ninfluxql = {query:?}\n");
    let world = world(&server, "databases = [\"telegraf\"]\n", &assertion("SELECT COUNT(idle) FROM cpu"));
    world.json(&["backup"], 0);
    world.json(&["drill"], 0);
    for query in ["SELECT COUNT(idle) FROM nothing", "SELECT COUNT(idle) FROM cpu WHERE time > now() - 1m", "SELEKT"] {
        world.configure_influx(&server, "databases = [\"telegraf\"]\n", &assertion(query));
        assert_eq!(wrong(&world.json(&["drill"], 3)), ["assertion a"], "{query}");
    }
}

#[test]
fn what_is_wrong_with_the_server_or_its_address_is_said_with_a_hint() {
    let server = Influx::start();
    let world = world(&server, "databases = [\"missing\"]\n", "");
    let fails = |reason: &str| {
        let ran = world.run(&["backup"]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains(reason) && ran.stderr.contains("hint: "), "{reason}: {ran:?}");
    };
    fails("cannot find database missing on the server");
    world.configure_influx(&server, "", "");
    fails("cannot find a database to back up: the server has only `_internal`");
    server.query("", "CREATE DATABASE telegraf");
    server.telegraf(day(1), 5);
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace(&server.rpc(), "127.0.0.1:1")).unwrap();
    fails("cannot reach the server's backup service at 127.0.0.1:1");
    assert_eq!(world.run(&["check-config", "--connect"]).status, 1);
    fs::write(world.path("config.toml"), text.replace(&server.url(), "http://127.0.0.1:1")).unwrap();
    fails("reach http://127.0.0.1:1");
    fs::write(world.path("config.toml"), &text).unwrap();
    assert_eq!(world.run(&["check-config", "--connect"]).status, 0);
    assert_eq!(world.listed_or_none(), 0);
}

#[test]
fn a_server_with_authentication_is_backed_up_by_an_administrator_only() {
    let server = Influx::start_with("auth-enabled = true\n");
    server.query("", "CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES");
    let server = server.with_credentials("root", "secret");
    server.query("", "CREATE DATABASE telegraf");
    server.query("", "CREATE USER reader WITH PASSWORD 'secret'");
    server.query("", "GRANT READ ON telegraf TO reader");
    server.telegraf(day(1), 5);
    let world = world(&server, "", "");
    world.secret("pw", "secret");
    for (user, reason) in [
        ("", "unable to parse authentication credentials"),
        ("user = \"reader\"\npassword_file = \"pw\"\n", "administrator"),
    ] {
        world.configure_influx(&server, user, "");
        let ran = world.run(&["backup"]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains(reason), "{reason}: {ran:?}");
    }
    world.configure_influx(&server, "user = \"root\"\npassword_file = \"pw\"\n", "");
    world.json(&["backup"], 0);
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
}

#[test]
fn a_killed_backup_leaves_data_for_nobody() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.telegraf(day(1), 500);
    let world = world(&server, "", "");
    // Whatever it starts must not outlive the test either.
    let programs = meddling(&world, "while sleep 1; do :; done");
    world.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
    let mut running = Running(world.command(&["backup"]).spawn().unwrap());
    let staging = world.path("state/staging/telegraf");
    wait_for("the tool to write", || {
        let inner = entries(&staging).pop()?;
        entries(&inner).iter().any(|file| file.to_string_lossy().ends_with(".manifest")).then_some(())
    });
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    assert_eq!(fs::metadata(&staging).unwrap().permissions().mode() & 0o777, 0o700);
    world.configure_influx(&server, "", "");
    world.json(&["backup"], 0);
    assert!(entries(&staging).is_empty());
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    wait_for("the tool of the killed backup to end", || {
        let found = std::process::Command::new("pgrep").args(["-f", &programs]).output().unwrap();
        found.stdout.is_empty().then_some(())
    });
}
