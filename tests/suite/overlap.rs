//! Increments go on while a full backup is read: by command, by the service, beside writers, and whatever is killed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::serving::Service;
use crate::support::{Product, Ran, Running, Server, World, wait_for, wrong};
use crate::waits::{begin, ended, use_programs};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

/// A dump client that has opened its snapshot, and is read no further until it is let go.
struct Held {
    begun: PathBuf,
    go: PathBuf,
}

impl Held {
    /// In the place of the dump client of `world`.
    fn of(world: &World, product: Product) -> Self {
        let held = Self { begun: world.path("begun"), go: world.path("go") };
        assert!(std::process::Command::new("mkfifo").arg(&held.go).status().unwrap().success());
        let script = format!(
            "case \"$*\" in *--version*|*--help*) exec \"$real\" \"$@\" ;; esac\n\
             \"$real\" \"$@\" | {{ dd bs=1 count=2000 2> /dev/null; echo > {}; cat {} > /dev/null; exec cat; }}",
            held.begun.display(),
            held.go.display()
        );
        let directory = crate::waits::programs(world, product, "dump", &script);
        let name = if product == Product::MariaDb { "mariadb-binlog" } else { "mysqlbinlog" };
        std::os::unix::fs::symlink(real(product).join(name), directory.join(name)).unwrap();
        use_programs(world, &directory);
        held
    }

    /// Begin a full backup, to where it has its snapshot.
    fn backup(&self, world: &World) -> Running {
        let _ = fs::remove_file(&self.begun);
        let running = begin(world, &["--json", "backup", "shop"]);
        wait_for("the snapshot", || self.begun.exists().then_some(()));
        running
    }

    /// Let it be read to its end.
    fn go_on(&self) {
        fs::write(&self.go, "").unwrap();
    }

    /// Put the product's own programs back.
    fn let_go(world: &World, product: Product) {
        use_programs(world, &real(product));
    }
}

fn real(product: Product) -> PathBuf {
    match product {
        Product::MariaDb => PathBuf::from("/usr/bin"),
        Product::MySql => crate::support::mysql_programs(),
    }
}

/// Says that it is over, also where a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A server with more than a pipe holds.
fn server(product: Product) -> Server {
    let server = Server::start(product);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.notes (id INT PRIMARY KEY AUTO_INCREMENT, note CHAR(200)) ENGINE=InnoDB");
    server.sql("INSERT INTO shop.notes (note) VALUES (UUID()), (UUID()), (UUID()), (UUID())");
    for _ in 0..11 {
        server.sql("INSERT INTO shop.notes (note) SELECT UUID() FROM shop.notes");
    }
    server
}

fn world(server: &Server, schedule: &str) -> World {
    let world = World::new(server, &["shop"], "");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("schedule = { full = \"0 2 * * *\" }", schedule);
    fs::write(world.path("config.toml"), text.replace("rpo = \"24h\"", "rpo = \"2m\"")).unwrap();
    world
}

const INTERVAL: &str = "schedule = { full = \"0 0 29 2 *\", incremental = \"0 0 29 2 *\" }";
const CONTINUOUS: &str = "schedule = { full = \"0 0 29 2 *\", incremental = { interval = \"1s\" } }";

fn increment(world: &World) -> Value {
    let made = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(made["kind"], "incremental", "{made:#}");
    made
}

fn insert(server: &Server) {
    server.sql("INSERT INTO shop.notes (note) VALUES (UUID()); UPDATE shop.notes SET note = UUID() WHERE id % 997 = 1");
}

fn rows(server: &Server) -> String {
    server.sql("CHECKSUM TABLE shop.notes; SELECT COUNT(*), MAX(id) FROM shop.notes")
}

fn restored(world: &World, product: Product, arguments: &[&str]) -> String {
    let destination = Server::start(product);
    let to = destination.destination();
    let report = world.json(&[&["restore", "shop", "--to", &to][..], arguments].concat(), 0);
    assert_eq!(report["verified"], true, "{report:#}");
    rows(&destination)
}

fn listed(world: &World) -> Vec<Value> {
    let ran = world.run(&["--json", "list", "shop"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn report(ran: &Ran) -> Value {
    assert_eq!(ran.status, 0, "{ran:?}");
    serde_json::from_str(ran.stdout.trim()).unwrap()
}

fn time(made: &Value) -> DateTime<Utc> {
    made["recovery_point_time"].as_str().unwrap().parse().unwrap()
}

/// The newest point, a moment of any kind and the chain that was closed come back as they were.
fn proved(world: &World) {
    for arguments in [&["drill", "shop"][..], &["drill", "shop", "--closed-chain"]] {
        let drill = world.json(arguments, 0);
        assert_eq!(drill["verdict"], "passed", "{:?} {:#}", wrong(&drill), drill["reason"]);
        let said = drill["not_proven"].as_array().unwrap();
        // Of the open end of a chain rows are counted; a closed one is proved whole.
        let expected = if arguments.len() == 2 { "of table shop.notes the number of rows" } else { "the next number" };
        assert!(said.iter().all(|it| it.as_str().unwrap().starts_with(expected)), "{said:#?}");
    }
}

#[test]
fn increments_are_taken_beside_a_full_backup_and_both_chains_bring_back_what_came_meanwhile() {
    for product in BOTH {
        let server = server(product);
        let world = world(&server, INTERVAL);
        world.backup();
        insert(&server);
        let mut last = increment(&world);
        let held = Held::of(&world, product);
        insert(&server);
        let full = held.backup(&world);
        let mut states = Vec::new();
        for _ in 0..3 {
            insert(&server);
            let made = increment(&world);
            assert!(time(&made) > time(&last), "{product:?}: {made:#}");
            states.push((made["recovery_point"].as_str().unwrap().to_owned(), time(&made), rows(&server)));
            // Commit times are whole seconds in the logs of MariaDB.
            let second = Utc::now().timestamp();
            wait_for("the next second", || (Utc::now().timestamp() > second + 1).then_some(()));
            last = made;
        }
        let again = world.run(&["backup", "shop"]);
        assert!(again.status == 1 && again.stderr.contains("another backup of it is running"), "{again:?}");
        let running = world.run(&["status", "shop"]);
        assert!(running.stdout.contains("shop: a backup is running"), "{running:?}");
        held.go_on();
        let full = report(&ended(full));
        Held::let_go(&world, product);
        assert_eq!(full["kind"], "full", "{full:#}");
        assert!(!full["warnings"].to_string().contains("not closed"), "{full:#}");
        // The newest state stays the newest although the full backup is older than it.
        assert!(time(&full) < states[0].1);
        assert_eq!(restored(&world, product, &[]), states[2].2, "{product:?}");
        insert(&server);
        let after = increment(&world);
        let points = listed(&world);
        let named = |id: &Value| points.iter().find(|point| point["id"] == *id).unwrap().clone();
        assert_eq!(named(&after["recovery_point"])["parent"], full["recovery_point"], "{product:?}");
        assert_eq!(named(&last["recovery_point"])["chain_length"], 4, "{product:?}: {points:#?}");
        assert_eq!(named(&after["recovery_point"])["chain_length"], 1);
        let windows = world.run(&["list", "shop"]).stdout;
        assert_eq!(windows.matches("restore window").count(), 1, "{product:?}: {windows}");
        // By name from the chain before, by time from the new one.
        let (id, at, state) = &states[1];
        assert_eq!(&restored(&world, product, &["--recovery-point", id]), state, "{product:?}");
        let moment = (*at + Duration::from_secs(1)).format("%FT%TZ").to_string();
        let to = Server::start(product);
        let report = world.json(&["restore", "shop", "--to", &to.destination(), "--at", &moment], 0);
        assert_eq!(&rows(&to), state, "{product:?}: {report:#}");
        assert_eq!(report["recovery_point"], after["recovery_point"], "{product:?}: {report:#}");
        proved(&world);
        // What both chains hold is told once.
        let now = Utc::now().to_rfc3339();
        let all = world.run(&["--json", "events", "shop", "--around", &now, "--within", "1h", "--kind", "insert"]);
        let inserts: u64 = all.stdout.lines().filter(|line| !line.is_empty()).count() as u64;
        assert_eq!(inserts, 6, "{product:?}: {all:?}");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn the_service_follows_a_server_beside_writers_while_a_full_backup_is_read() {
    for product in BOTH {
        let server = server(product);
        let world = world(&server, CONTINUOUS);
        world.backup();
        let held = Held::of(&world, product);
        let service = Service::start(&world);
        service.wait("increment_lag_seconds{source=\"shop\"}", |value| value == 0.0);
        // A chain that has increments before the place of the next full backup is proved by it.
        insert(&server);
        wait_for("an increment", || listed(&world).iter().any(|point| point["kind"] == "incremental").then_some(()));
        let full = held.backup(&world);
        let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    insert(&server);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
            let _over = Over(&is_over);
            let count = || listed(&world).iter().filter(|point| point["kind"] == "incremental").count();
            let before = count();
            wait_for("increments beside the full backup", || (count() >= before + 3).then_some(()));
            let lag = service.value("increment_lag_seconds{source=\"shop\"}");
            assert!(lag < 60.0, "{product:?}: {lag}");
            held.go_on();
            let full = report(&ended(full));
            let continued = || listed(&world).iter().any(|point| point["parent"] == full["recovery_point"]);
            wait_for("an increment of the full backup", || continued().then_some(()));
        });
        Held::let_go(&world, product);
        assert!(written.load(Ordering::SeqCst) > 3);
        let end = match product {
            Product::MariaDb => server.sql("SHOW MASTER STATUS"),
            Product::MySql => server.sql("SHOW BINARY LOG STATUS"),
        };
        let mut parts = end.split('\t');
        let end = format!("{}:{}", parts.next().unwrap(), parts.next().unwrap());
        wait_for("the last increment", || listed(&world).iter().any(|point| point["to"] == *end).then_some(()));
        assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 0.0, "{}", service.said());
        service.stop();
        let windows = world.run(&["list", "shop"]).stdout;
        assert_eq!(windows.matches("restore window").count(), 1, "{product:?}: {windows}");
        proved(&world);
        assert_eq!(restored(&world, product, &[]), rows(&server), "{product:?}");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn a_break_that_is_found_while_a_full_backup_is_read_is_told_once_and_that_backup_begins_the_new_chain() {
    for product in BOTH {
        let server = server(product);
        let world = world(&server, INTERVAL);
        world.backup();
        insert(&server);
        increment(&world);
        let reset = if product == Product::MariaDb { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" };
        server.sql(reset);
        insert(&server);
        let held = Held::of(&world, product);
        let full = held.backup(&world);
        for _ in 0..2 {
            let ran = world.run(&["backup", "shop", "--incremental"]);
            let is_named = ["(other_history)", "(behind)"]
                .iter()
                .any(|kind| ran.stderr.contains(&format!("the chain is broken {kind}")));
            assert!(ran.status == 1 && is_named, "{ran:?}");
            assert!(ran.stderr.contains("a full backup of it is running"), "{ran:?}");
        }
        held.go_on();
        report(&ended(full));
        Held::let_go(&world, product);
        insert(&server);
        increment(&world);
        let metrics = world.run(&["metrics"]).stdout;
        assert!(metrics.contains("backup_sla_chain_breaks_total{source=\"shop\"} 1"), "{product:?}: {metrics}");
        assert!(metrics.contains("backup_sla_chain_broken{source=\"shop\"} 0"), "{product:?}: {metrics}");
        let drill = world.json(&["drill", "shop"], 0);
        assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
        assert_eq!(listed(&world).iter().filter(|point| point["kind"] == "full").count(), 2);
    }
}

#[test]
fn a_log_that_is_lost_behind_the_place_of_a_full_backup_that_is_read_is_named_and_the_next_one_begins_anew() {
    let server = server(Product::MariaDb);
    let world = world(&server, INTERVAL);
    world.backup();
    let held = Held::of(&world, Product::MariaDb);
    let full = held.backup(&world);
    insert(&server);
    let last = increment(&world);
    // What the new chain would begin with is gone; the chain before has it.
    server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS");
    let file = server.sql("SHOW MASTER STATUS").split('\t').next().unwrap().to_owned();
    server.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
    held.go_on();
    report(&ended(full));
    Held::let_go(&world, Product::MariaDb);
    let anew = world.json(&["backup", "shop", "--incremental"], 0);
    assert_eq!(anew["kind"], "full", "{anew:#}");
    let said = anew["warnings"][0].as_str().unwrap();
    assert!(said.contains("(purged)"), "{said}");
    let until = time(&last).format("%F %T UTC").to_string();
    assert!(said.contains(&format!("moments between {until} and")), "the chain before reaches further: {said}");
}

#[test]
fn a_full_backup_may_be_killed_at_any_moment_while_increments_go_on() {
    let server = server(Product::MariaDb);
    let world = world(&server, INTERVAL);
    world.backup();
    let held = Held::of(&world, Product::MariaDb);
    for delay in [0, 150, 300, 450, 600, 800, 1000] {
        let mut full = held.backup(&world);
        insert(&server);
        increment(&world);
        held.go_on();
        let begun = std::time::Instant::now();
        wait_for("the moment", || (begun.elapsed() >= Duration::from_millis(delay)).then_some(()));
        // It may have ended by then.
        let _ = kill_process(Pid::from_raw(i32::try_from(full.0.id()).unwrap()).unwrap(), Signal::KILL);
        full.0.wait().unwrap();
        insert(&server);
        increment(&world);
        let points = listed(&world);
        assert!(points.iter().all(|point| point["unrestorable"].is_null()), "{delay}: {points:#?}");
        let windows = world.run(&["list", "shop"]).stdout;
        assert_eq!(windows.matches("restore window").count(), 1, "{delay}: {windows}");
    }
    Held::let_go(&world, Product::MariaDb);
    world.backup();
    proved(&world);
    assert_eq!(restored(&world, Product::MariaDb, &[]), rows(&server));
}
