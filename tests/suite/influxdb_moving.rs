//! InfluxDB while things change: what is promised then, what is not, and that both are said.

use crate::influx_support::{Influx, day, meddling, meddling_before, now, world};
use crate::support::wait_for;

/// What the script of [`meddling`] does to ask `server` something.
fn asks(server: &Influx, statement: &str) -> String {
    format!(
        "python3 -c \"import urllib.request as u; u.urlopen('{}/query', data=b'q={}').read()\"",
        server.url(),
        statement.replace(' ', "+").replace('"', "%22")
    )
}

fn telegraf_server() -> Influx {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server
}

#[test]
fn a_cold_shard_that_lost_a_file_is_red_and_one_that_was_compacted_is_not() {
    let server = telegraf_server();
    server.telegraf(day(2), 300);
    server.flush();
    server.write("telegraf", &format!("late v=1 {}\n", day(2)));
    let world = world(&server, "", "");
    world.json(&["backup"], 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    // The same points in other files, as after a compaction: rename is enough for another archive.
    let renamed = "f=$(ls *.s1.tar.gz); mkdir t; tar -xzf $f -C t; cd t; touch -d 2020-01-01 $(find * -type f); \
                   tar -cf ../n.tar $(find * -type f); cd ..; s=$(stat -c %s n.tar); gzip -c n.tar > $f; rm -r t n.tar; SIZE";
    let lost = "f=$(ls *.s1.tar.gz); mkdir t; tar -xzf $f -C t; cd t; rm $(find * -name '*.tsm' | sort | head -1); \
                tar -cf ../n.tar $(find * -type f); cd ..; s=$(stat -c %s n.tar); gzip -c n.tar > $f; rm -r t n.tar; SIZE";
    let size = "python3 -c \"import json,glob; p=glob.glob('*.manifest')[0]; d=json.load(open(p)); \
                [f.update(size=$s) for f in d['files'] if f['shardID']==1]; json.dump(d,open(p,'w'))\"";
    for (script, status) in [(renamed, 0), (lost, 3)] {
        let programs = meddling(&world, &script.replace("SIZE", size));
        world.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
        world.json(&["backup"], 0);
        world.configure_influx(&server, "", "");
        let drill = world.json(&["drill"], status);
        assert!(!drill["warnings"].to_string().contains("of 1 shards"), "{drill:#}");
    }
}

#[test]
fn what_was_not_compared_is_said_by_the_drill() {
    let server = telegraf_server();
    for back in 0..12 {
        server.telegraf(day(back), 10);
    }
    let world = world(&server, "counting = \"sampled\"\n", "");
    world.json(&["backup"], 0);
    let drill = world.json(&["drill"], 0);
    assert!(
        drill["warnings"].to_string().contains("of 12 shards are promised and compared (not part of the sample)"),
        "{drill:#}"
    );
    // Points of the future are in the backup and cannot be promised.
    server.write("telegraf", &format!("fut v=1 {}\n", now() + 40 * 86_400_000_000_000));
    world.configure_influx(&server, "", "");
    world.json(&["backup"], 0);
    let drill = world.json(&["drill"], 0);
    assert!(drill["warnings"].to_string().contains("newer than the as-of time"), "{drill:#}");
}

#[test]
fn what_changes_while_a_backup_runs_makes_no_drill_red() {
    let server = telegraf_server();
    for back in 0..3 {
        server.telegraf(day(back), 50);
    }
    server
        .write("telegraf", &format!("sparse v=1 {}\ngone v=1 {}\nmem,host=h0 deleted=1 {}\n", day(1), day(1), day(1)));
    // A field whose points are gone is still listed by a live server.
    server.query("telegraf", &format!("DELETE FROM mem WHERE time = {} AND host = 'h0'", day(1)));
    let world = world(&server, "", "");
    let statements = [
        "CREATE RETENTION POLICY extra ON telegraf DURATION 1d REPLICATION 1",
        "CREATE USER late WITH PASSWORD 'x'",
        "DROP MEASUREMENT gone",
    ];
    let write = format!(
        "python3 -c \"import urllib.request as u; u.urlopen('{}/write?db=telegraf', data=b'sparse v=2 {}').read()\"",
        server.url(),
        day(1) + 1
    );
    // Both before the tool looks and after it.
    let asked = statements.map(|statement| asks(&server, statement)).join("\n");
    let programs = meddling_before(&world, &format!("{asked}\n{write}"));
    world.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
    let backup = world.json(&["backup"], 0);
    assert!(backup["warnings"].to_string().contains("extra of telegraf changed"), "{backup:#}");
    world.configure_influx(&server, "", "");
    let drill = world.json(&["drill"], 0);
    assert!(drill["warnings"].to_string().contains("changed while the backup ran"), "{drill:#}");
}

#[test]
fn points_deleted_from_memory_while_a_backup_runs_make_no_drill_red() {
    let server = telegraf_server();
    server.write("telegraf", &format!("m v=1 {}\nm v=1 {}\n", day(1), day(1) + 60_000_000_000));
    let world = world(&server, "", "");
    let programs =
        meddling_before(&world, &asks(&server, &format!("DELETE FROM m WHERE time > {}&db=telegraf", day(1))));
    world.configure_influx(&server, &format!("programs = {programs:?}\n"), "");
    world.json(&["backup"], 0);
    world.configure_influx(&server, "", "");
    let drill = world.json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
}

#[test]
fn shards_that_were_made_ahead_of_their_time_are_not_missed() {
    let server =
        Influx::start_with("[shard-precreation]\nenabled = true\ncheck-interval = \"1s\"\nadvance-period = \"72h\"\n");
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1h NAME hours");
    server.telegraf(now() - 300_000_000_000, 5);
    wait_for("a shard of the future", || {
        (server.query("", "SHOW SHARDS").matches("telegraf").count() > 2).then_some(())
    });
    let world = world(&server, "", "");
    world.json(&["backup"], 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
}

#[test]
fn a_database_is_replaced_with_its_grants_and_not_while_somebody_writes() {
    let server = telegraf_server();
    server.telegraf(day(1), 50);
    let world = world(&server, "", "");
    world.json(&["backup"], 0);
    let target = telegraf_server();
    target.telegraf(day(1), 10);
    target.query("", "CREATE USER grafana WITH PASSWORD 'x'");
    target.query("", "GRANT READ ON telegraf TO grafana");
    target.query(
        "",
        "CREATE CONTINUOUS QUERY own ON telegraf BEGIN SELECT mean(idle) INTO down FROM cpu GROUP BY time(1h) END",
    );
    let (url, rpc) = (target.url(), target.rpc());
    let arguments = ["restore", "telegraf", "--overwrite", "--to", &url, "--rpc-address", &rpc];
    let writer = target.writer("telegraf");
    let ran = world.run(&arguments);
    drop(writer);
    assert!(ran.status == 1 && ran.stderr.contains("writers are still connected"), "{ran:?}");
    assert!(ran.stderr.contains("which was not touched"), "{ran:?}");
    assert!(target.query("telegraf", "SELECT COUNT(idle) FROM cpu WHERE host = 'h1'").contains(",10]"));
    assert!(!target.query("", "SHOW DATABASES").contains("_restored_"));

    let report = world.json(&arguments, 0);
    assert_eq!(report["verified"], true, "{report:#}");
    assert!(target.query("", "SHOW GRANTS FOR grafana").contains("READ"));
    assert!(report["warnings"].to_string().contains("continuous query: CREATE CONTINUOUS QUERY own"), "{report:#}");
}

#[test]
fn shards_that_the_retention_policy_drops_at_once_are_named() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION INF SHARD DURATION 1d NAME week");
    server.telegraf(day(40), 5);
    server.telegraf(day(1), 5);
    server.query("", "ALTER RETENTION POLICY week ON telegraf DURATION 30d");
    let world = world(&server, "", "");
    world.json(&["backup"], 0);
    let target = Influx::start();
    let report = world.json(&["restore", "telegraf", "--to", &target.url(), "--rpc-address", &target.rpc()], 0);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("1 restored shards of telegraf are older than retention policy week"), "{warnings}");
    assert!(warnings.contains("DURATION INF"), "{warnings}");
}
