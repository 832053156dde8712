//! Continuous increments: the service follows the logs of real servers, through everything that servers and services go through.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::serving::Service;
use crate::support::{Product, Server, World, wait_for, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

const TABLE: &str =
    "CREATE DATABASE shop; CREATE TABLE shop.notes (id INT PRIMARY KEY, note VARCHAR(60)) ENGINE=InnoDB";
/// Longer than an interval, a look and an increment take together on a busy host.
const LONGEST_LAG: Duration = Duration::from_secs(30);

/// What a crash of its process does to a server with these is nothing.
const DURABLE: [&str; 2] = ["--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1"];

fn world(server: &Server) -> World {
    let world = World::new(server, &["shop"], "");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace(
        "schedule = { full = \"0 2 * * *\" }",
        "schedule = { full = \"0 0 29 2 *\", incremental = { interval = \"1s\" } }",
    );
    std::fs::write(world.path("config.toml"), text.replace("rpo = \"24h\"", "rpo = \"1m\"")).unwrap();
    world
}

/// Where the server's log ends.
fn end(server: &Server) -> String {
    let statement = match server.product {
        Product::MariaDb => "SHOW MASTER STATUS",
        Product::MySql => "SHOW BINARY LOG STATUS",
    };
    let answer = server.sql(statement);
    let mut parts = answer.split('\t');
    format!("{}:{}", parts.next().unwrap(), parts.next().unwrap())
}

/// What the repository has, oldest first.
fn listed(world: &World) -> Vec<Value> {
    let ran = world.run(&["--json", "list", "shop"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn increments(world: &World) -> Vec<Value> {
    listed(world).into_iter().filter(|point| point["kind"] == "incremental").collect()
}

/// Wait until everything that the server has now is in the repository.
fn archived(world: &World, server: &Server) {
    let end = end(server);
    wait_for("the increment", || increments(world).iter().any(|point| point["to"] == *end).then_some(()));
}

fn rows(server: &Server) -> String {
    server.sql(
        "SELECT COUNT(*), MAX(id) FROM shop.notes; CHECKSUM TABLE shop.notes; SELECT * FROM shop.notes ORDER BY id",
    )
}

fn restored(world: &World, product: Product, arguments: &[&str]) -> String {
    let destination = Server::start(product);
    let to = destination.destination();
    let report = world.json(&[&["restore", "shop", "--to", &to][..], arguments].concat(), 0);
    assert_eq!(report["verified"], true, "{report:#}");
    rows(&destination)
}

fn drilled(world: &World) {
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
}

fn insert(server: &Server, id: u64) -> bool {
    server.try_sql(&format!("INSERT INTO shop.notes VALUES ({id}, REPEAT('x', {id} % 60))")).status.success()
}

#[test]
fn what_is_written_is_soon_in_the_repository_and_everything_comes_back() {
    for product in BOTH {
        let mut server = Server::start_with(product, &DURABLE);
        server.sql(TABLE);
        let world = world(&server);
        let service = Service::start(&world);
        service.wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 1.0);
        let mut id = 0;
        for happens in ["nothing", "rotation", "lost connection", "server restart", "server crash", "definition"] {
            id += 1;
            assert!(insert(&server, id));
            match happens {
                "rotation" => drop(server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS")),
                "lost connection" => {
                    let all = server.sql("SHOW PROCESSLIST");
                    let idle = all.lines().filter(|line| line.split('\t').nth(4) == Some("Sleep"));
                    idle.for_each(|line| drop(server.try_sql(&format!("KILL {}", line.split('\t').next().unwrap()))));
                }
                "server restart" => {
                    server.shut_down();
                    server.start_again();
                }
                "server crash" => {
                    server.stop();
                    server.start_again();
                }
                "definition" => drop(server.sql("CREATE TABLE shop.more (a INT PRIMARY KEY) ENGINE=InnoDB")),
                _ => {}
            }
            id += 1;
            assert!(insert(&server, id));
            let written = Instant::now();
            archived(&world, &server);
            assert!(written.elapsed() < LONGEST_LAG, "{happens}: {:?}", written.elapsed());
            service.wait("increment_lag_seconds{source=\"shop\"}", |value| value == 0.0);
        }
        assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 0.0, "{}", service.said());
        assert!(increments(&world).len() >= 5);
        // Of those that follow each other closely one counts.
        service.wait("recovery_points{source=\"shop\",kind=\"incremental\"}", |value| value >= 1.0);
        // Time moves on although nothing comes, and no increment is made for each interval.
        let newest = listed(&world).pop().unwrap();
        let before = increments(&world).len();
        wait_for("time to move on", || (listed(&world).pop().unwrap()["time"] != newest["time"]).then_some(()));
        assert_eq!(increments(&world).len(), before + 1);
        drilled(&world);
        // A backup that somebody asks for is taken, and continued.
        assert_eq!(world.backup()["kind"], "full");
        assert!(insert(&server, id + 1));
        archived(&world, &server);
        let stopped = Instant::now();
        service.stop();
        assert!(stopped.elapsed() < Duration::from_secs(20), "{:?}", stopped.elapsed());
        assert_eq!(restored(&world, product, &[]), rows(&server), "{product:?}");
        // The increments are recorded as a few runs, each of several.
        let runs = increments(&world).len();
        let service = Service::start(&world);
        let recorded = service.value("backups_total{source=\"shop\",kind=\"incremental\"}");
        assert!(recorded >= 1.0 && recorded < runs as f64, "{recorded} runs of {runs} increments");
        service.stop();
    }
}

#[test]
fn a_log_that_was_reset_is_a_break_that_is_told_once_and_a_full_backup_follows() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(TABLE);
        let world = world(&server);
        let service = Service::start(&world);
        service.wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 1.0);
        assert!(insert(&server, 1));
        archived(&world, &server);
        let reset = if product == Product::MariaDb { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" };
        server.sql(reset);
        service.wait("chain_breaks_total{source=\"shop\"}", |value| value == 1.0);
        service.wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 2.0);
        assert!(insert(&server, 2));
        archived(&world, &server);
        service.wait("chain_broken{source=\"shop\"}", |value| value == 0.0);
        assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 1.0);
        service.stop();
        drilled(&world);
        assert_eq!(restored(&world, product, &[]), rows(&server));
    }
}

#[test]
fn many_small_increments_become_a_few_and_every_moment_is_still_there() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(TABLE);
        let world = world(&server);
        world.backup();
        for id in 1..=34 {
            assert!(insert(&server, id));
            if id % 8 == 0 {
                server.sql("FLUSH BINARY LOGS");
            }
            if id != 20 {
                world.json(&["backup", "shop", "--incremental"], 0);
            }
        }
        let before = listed(&world);
        let (from, to) = (&before[1]["from"], &before[30]["to"]);
        let all = rows(&server);
        let maintained = world.run(&["maintain"]);
        assert_eq!(maintained.status, 0, "{maintained:?}");
        let after = listed(&world);
        let joined = after.iter().find(|point| point["from"] == *from).unwrap();
        assert_eq!((&joined["to"], joined["transactions"].as_u64()), (to, Some(31)), "{joined:#}");
        assert_eq!(after.len(), before.len() - 29, "{after:#?}");
        assert_eq!(after.last().unwrap()["chain_length"], 4);
        assert!(after.iter().all(|point| point["unrestorable"].is_null()), "{after:#?}");
        drilled(&world);
        assert_eq!(restored(&world, product, &[]), all);
        // A moment within it.
        let events = world.run(&["--json", "events", "shop", "--around", before[15]["time"].as_str().unwrap()]);
        assert_eq!(events.stdout.lines().count(), 34, "{events:?}");
        let event: Value = serde_json::from_str(events.stdout.lines().nth(15).unwrap()).unwrap();
        let place = event["position"].as_str().unwrap();
        assert!(restored(&world, product, &["--before-position", place]).starts_with("15\t15\n"));
        // None of it vanished, and whatever continues it is continued.
        let metrics = world.run(&["metrics"]).stdout;
        assert!(metrics.contains("backup_sla_recovery_points_vanished{source=\"shop\"} 0\n"), "{metrics}");
        assert!(insert(&server, 35));
        let next = world.json(&["backup", "shop", "--incremental"], 0);
        assert_eq!(next["kind"], "incremental");
        assert_eq!(restored(&world, product, &[]), rows(&server));
    }
}

#[test]
fn maintenance_that_is_killed_anywhere_loses_no_point() {
    let server = Server::start(Product::MariaDb);
    server.sql(TABLE);
    let world = world(&server);
    world.backup();
    for id in 1..=33 {
        assert!(insert(&server, id));
        world.json(&["backup", "shop", "--incremental"], 0);
    }
    let before = listed(&world);
    let newest = before.last().unwrap()["to"].clone();
    for part in 1..=8_u32 {
        let begun = Instant::now();
        let mut child = world.command(&["maintain"]).spawn().unwrap();
        wait_for("its time to come", || (begun.elapsed() > Duration::from_millis(150) * part).then_some(()));
        let _ = child.kill();
        child.wait().unwrap();
        let now = listed(&world);
        assert!(now.iter().all(|point| point["unrestorable"].is_null()), "{part}: {now:#?}");
        assert_eq!((&now[0]["id"], &now.last().unwrap()["to"]), (&before[0]["id"], &newest), "{part}");
    }
    world.run(&["maintain"]);
    assert!(listed(&world).len() < 6, "{:#?}", listed(&world));
    drilled(&world);
    assert_eq!(restored(&world, Product::MariaDb, &[]), rows(&server));
}

/// Numbers that look random.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Processes below `parent` that fetch a log.
fn clients(parent: u32) -> Vec<u32> {
    let children = |of: u32| -> Vec<u32> {
        let all =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_child = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&of.to_string())
        };
        all.filter(is_child).collect()
    };
    children(parent)
}

/// Kill service, client and server at random moments while rows are written; how often each.
fn campaign(product: Product, kills: usize, seed: u64) -> [usize; 3] {
    let mut server = Server::start_with(product, &DURABLE);
    server.sql(TABLE);
    let world = world(&server);
    let (mut state, mut done) = (seed, [0; 3]);
    let mut service = Some(Service::start(&world));
    service.as_ref().unwrap().wait("recovery_points{source=\"shop\",kind=\"full\"}", |value| value == 1.0);
    let (written, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    for turn in 0..kills {
        // Caught up once, rows come until something is killed at some moment.
        insert_next(&server, &written);
        archived(&world, &server);
        let before = written.load(Ordering::SeqCst);
        let until = Duration::from_millis(random(&mut state) % 3000);
        let begun = Instant::now();
        is_over.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let (server, written, is_over) = (&server, &written, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    insert_next(server, written);
                }
            });
            wait_for("the moment", || (begun.elapsed() >= until).then_some(()));
            match random(&mut state) % 3 {
                0 => {
                    service.take().unwrap().kill();
                    done[0] += 1;
                }
                1 => {
                    let pid = service.as_ref().unwrap().pid();
                    let clients = wait_for("a client", || Some(clients(pid)).filter(|clients| !clients.is_empty()));
                    for client in clients {
                        // It may have ended by itself.
                        let _ = kill_process(Pid::from_raw(i32::try_from(client).unwrap()).unwrap(), Signal::KILL);
                    }
                    done[1] += 1;
                }
                _ => {
                    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
                    kill_process(pid, Signal::KILL).unwrap();
                    done[2] += 1;
                }
            }
            is_over.store(true, Ordering::SeqCst);
        });
        // What had been archived before is there, whatever was killed.
        let is_dead = !server.try_sql("SELECT 1").status.success();
        if is_dead {
            server.stop();
            server.start_again();
        }
        let now = listed(&world);
        assert!(now.iter().all(|point| point["unrestorable"].is_null()), "{turn}: {now:#?}");
        let service = service.get_or_insert_with(|| Service::start(&world));
        assert!(written.load(Ordering::SeqCst) >= before);
        let restarted = Instant::now();
        insert_next(&server, &written);
        archived(&world, &server);
        assert!(restarted.elapsed() < LONGEST_LAG + Duration::from_secs(30), "{turn}: {:?}", restarted.elapsed());
        assert_eq!(service.value("chain_breaks_total{source=\"shop\"}"), 0.0, "{turn}: {}", service.said());
    }
    service.unwrap().stop();
    drilled(&world);
    let there: u64 = server.sql("SELECT COUNT(*) FROM shop.notes").parse().unwrap();
    assert!(there >= written.load(Ordering::SeqCst), "the server lost what it had committed");
    assert_eq!(restored(&world, product, &[]), rows(&server), "{product:?} seed {seed}");
    assert!(Path::new(&world.path("state")).exists());
    world.assert_no_sandbox_left();
    done
}

/// Write the next row, and count it once it was committed. One that was committed and not acknowledged is there already.
fn insert_next(server: &Server, written: &AtomicU64) {
    let id = written.load(Ordering::SeqCst) + 1;
    let sql = format!("INSERT IGNORE INTO shop.notes VALUES ({id}, REPEAT('x', {id} % 60))");
    if server.try_sql(&sql).status.success() {
        written.store(id, Ordering::SeqCst);
    }
}

#[test]
fn kills_at_random_moments_lose_nothing_and_break_nothing() {
    // A slice; BSLA_KILLS asks for more.
    let kills = std::env::var("BSLA_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let seed = std::env::var("BSLA_SEED").map_or(7, |seed| seed.parse().unwrap());
    for product in BOTH {
        let [service, client, server] = campaign(product, kills, seed);
        assert_eq!(service + client + server, kills);
        println!("{product:?}: killed the service {service} times, a client {client} times, the server {server} times");
    }
}
