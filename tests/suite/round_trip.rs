//! `dump(restore(dump)) = dump`: what was backed up comes back, for every table and object.

use serde_json::Value;

use crate::support::{Product, Server, World, fixture, wrong};

fn round_trip(server: &Server, databases: &[&str]) -> (World, Value) {
    let world = World::new(server, databases, "");
    let backup = world.backup();
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    assert_eq!(wrong(&drill), Vec::<String>::new());
    let tables = drill["tables"].as_array().unwrap();
    assert_eq!(tables.len() as u64, backup["tables"].as_u64().unwrap());
    assert!(tables.iter().all(|table| table["digest_ok"] == true), "{drill:#}");
    world.assert_no_sandbox_left();
    (world, drill)
}

#[test]
fn chinook_comes_back_whole_and_the_figures_are_there() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let (world, drill) = round_trip(&server, &["Chinook"]);
    let rows: u64 =
        drill["tables"].as_array().unwrap().iter().map(|table| table["rows_restored"].as_u64().unwrap()).sum();
    assert_eq!(rows, 15_607);
    for stage in ["select", "provision", "load", "verify"] {
        assert!(drill["stages"][stage].as_f64().unwrap() > 0.0, "{drill:#}");
    }
    let sum: f64 = drill["stages"].as_object().unwrap().values().map(|seconds| seconds.as_f64().unwrap()).sum();
    let rto = drill["rto_seconds"].as_f64().unwrap();
    assert!((rto - sum).abs() < 0.1 * rto, "stages add up to the RTO: {rto} {sum}");

    let metrics = world.run(&["metrics"]).stdout;
    for line in [
        "backup_sla_drill_last_outcome{source=\"shop\",outcome=\"passed\"} 1",
        "backup_sla_backups_total{source=\"shop\",kind=\"full\"} 1",
        "backup_sla_drills_total{source=\"shop\"} 1",
        "backup_sla_verified_rows{source=\"shop\"} 15607",
        "backup_sla_verification_mismatches{source=\"shop\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    let status = world.status();
    for objective in ["rpo", "rto", "retention", "drill_interval", "max_chain_length"] {
        assert_eq!(status["met"][objective], true, "{objective}: {status:#}");
    }
    let list = world.json(&["list"], 0);
    assert!(list["verified_at"].is_string(), "{list:#}");
}

#[test]
fn the_torture_schema_comes_back_whole() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("torture.sql"));
    let (_, drill) = round_trip(&server, &[]);
    assert!(drill["tables"].as_array().unwrap().len() > 40, "{drill:#}");
}

#[test]
fn a_live_server_is_restored_and_refused_when_it_is_the_source_or_not_empty() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    server.sql("CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON Chinook.* TO app@'%'");
    let world = World::new(&server, &["Chinook"], "");
    world.backup();
    let refused = world.run(&["restore", "shop", "--to", &server.destination()]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("it is the source itself"), "{refused:?}");

    let other = Server::start(Product::MariaDb);
    let restored = world.json(&["restore", "shop", "--to", &other.destination(), "--accounts"], 0);
    assert_eq!(restored["verified"], true, "{restored:#}");
    assert_eq!(other.sql("SELECT COUNT(*) FROM Chinook.Track"), "3503");
    assert!(other.sql("SHOW GRANTS FOR app@'%'").contains("GRANT SELECT ON `Chinook`"));

    let refused = world.run(&["restore", "shop", "--to", &other.destination()]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("it already has Chinook."), "{refused:?}");

    // A person, or a test, can hold any server against the manifest.
    let verified = world.json(&["verify", "shop", "--against", &other.destination()], 0);
    assert_eq!(verified["verdict"], "passed");
    other.sql("UPDATE Chinook.Track SET Milliseconds = Milliseconds + 1 WHERE TrackId = 17");
    let verified = world.json(&["verify", "shop", "--against", &other.destination()], 3);
    assert_eq!(wrong(&verified), ["content Chinook.Track"]);

    // One table alone, by its place in the stream.
    let restored =
        world.json(&["restore", "shop", "--to", &other.destination(), "--table", "Chinook.Track", "--overwrite"], 0);
    assert_eq!(restored["verified"], true, "{restored:#}");
    let verified = world.json(&["verify", "shop", "--against", &other.destination()], 0);
    assert_eq!(verified["verdict"], "passed", "{verified:#}");

    // What the destination had before is no damage, only worth a word.
    other.sql("CREATE TABLE Chinook.mine (id INT PRIMARY KEY)");
    let restored = world.json(&["restore", "shop", "--to", &other.destination(), "--overwrite"], 0);
    assert!(restored["warnings"].to_string().contains("table Chinook.mine"), "{restored:#}");

    // One table, to a server that has not even the database.
    let empty = Server::start(Product::MariaDb);
    let arguments = ["restore", "shop", "--to", &empty.destination(), "--table", "`Chinook`.`Genre`"];
    let restored = world.json(&arguments, 0);
    assert_eq!(restored["verified"], true);
    assert!(restored["checks"].to_string().contains("rows Chinook.Genre"), "{restored:#}");
    assert_eq!(empty.sql("SELECT COUNT(*) FROM Chinook.Genre"), "25");
}

#[test]
fn an_event_whose_only_time_has_come_since_is_still_proved() {
    let server = Server::start(Product::MariaDb);
    server.sql("CREATE DATABASE d; CREATE EVENT d.e ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 4 SECOND DO SELECT 1");
    let world = World::new(&server, &["d"], "");
    world.backup();
    let at = server.sql("SELECT UNIX_TIMESTAMP(EXECUTE_AT) FROM information_schema.EVENTS WHERE EVENT_NAME = 'e'");
    crate::support::wait_for("the event's time", || {
        (server.sql(&format!("SELECT UNIX_TIMESTAMP() > {at}")) == "1").then_some(())
    });
    let drill = world.json(&["drill"], 0);
    assert!(drill["checks"].to_string().contains("event d.e"), "{drill:#}");
}

#[test]
fn a_least_privilege_account_backs_up_everything_and_a_missing_privilege_is_named() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    server.sql(
        "USE Chinook; CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1; \
         CREATE VIEW v AS SELECT 1; CREATE TRIGGER t BEFORE INSERT ON Genre FOR EACH ROW SET NEW.Name = NEW.Name",
    );
    let world = World::new(&server, &[], "");
    world.secret("backup.pw", "a \"quoted\\ pass#word';");
    world.configure(&format!(
        "[source.shop.mysql]\nsocket = \"{}\"\nuser = \"backup\"\npassword_file = \"backup.pw\"\ndatabases = [\"Chinook\"]\n",
        server.socket.display()
    ));
    server.sql(&backup_sla::demo::production::backup_account_sql("backup", "localhost", "a \"quoted\\ pass#word';"));
    // An account whose way to sign in comes from a plugin.
    server
        .sql("INSTALL SONAME 'auth_ed25519'; CREATE USER signer@localhost IDENTIFIED VIA ed25519 USING PASSWORD('x')");
    let backup = world.backup();
    assert!(backup["rows"].as_u64().unwrap() > 15_000);
    let drill = world.json(&["drill", "shop"], 0);
    let names: Vec<&str> =
        drill["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for object in [
        "procedure Chinook.p",
        "event Chinook.e",
        "view Chinook.v",
        "trigger Chinook.t",
        "account backup@localhost",
        "account signer@localhost",
    ] {
        assert!(names.contains(&object), "{object} in {names:?}");
    }
    for (privilege, place) in [("TRIGGER", "*.*"), ("EVENT", "*.*"), ("SHOW VIEW", "*.*"), ("BINLOG MONITOR", "*.*")] {
        server.sql(&format!("REVOKE {privilege} ON {place} FROM backup@localhost"));
        let ran = world.run(&["backup", "shop"]);
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains(&format!("the account lacks {privilege} on")), "{privilege}: {ran:?}");
        assert!(ran.stderr.contains("hint: "), "{ran:?}");
        server.sql(&format!("GRANT {privilege} ON {place} TO backup@localhost"));
    }
    assert_eq!(world.listed(), 1);
}
