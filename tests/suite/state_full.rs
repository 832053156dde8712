//! What is on this host and what is in the repository: trouble with one is not told as trouble with the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::service::Service;
use crate::support::{ALONE, Product, Server, World, finish, wait_for};

/// A small file system that is unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        assert!(mounted.unwrap().success(), "this test needs to mount a tmpfs: run it as root");
        Self(at.to_owned())
    }

    /// Leave no byte.
    fn fill(&self) {
        // What fits of a file stays in it.
        let _ = fs::write(self.0.join("filler"), vec![0; 16 << 20]);
        let _ = fs::write(self.0.join("rest"), vec![0; 1 << 20]);
    }

    fn free(&self) {
        let _ = fs::remove_file(self.0.join("rest"));
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// One tree, looked at every second, with its state directory in `small`.
fn world() -> World {
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/site.yml"), "- hosts: all\n").unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("state_dir = \"state\"", "state_dir = \"small/state\"");
    fs::write(world.path("config.toml"), format!("{text}\n[scheduler]\nlisting_interval = \"1s\"\n")).unwrap();
    world
}

const REPOSITORY: &str = "repository_up{repository=\"local\"}";
const KEY: &str = "encryption_key_available{repository=\"local\"}";

fn wait_until(service: &Service<&World>, series: &str, value: f64) {
    wait_for(&format!("{series} to be {value}"), || (service.value(series) == value).then_some(()));
}

#[test]
fn a_full_state_directory_is_told_as_that_and_the_repository_is_well() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = world();
    let disk = SmallDisk::mount(&world.path("small"), "8m");
    world.json(&["backup"], 0);
    let service = Service::start(&world);
    wait_until(&service, "state_writable", 1.0);
    disk.fill();
    wait_until(&service, "state_writable", 0.0);
    for series in [REPOSITORY, KEY] {
        assert_eq!(service.value(series), 1.0, "{series}");
    }
    let ready = service.get("/-/ready");
    assert!(ready.contains("503") && ready.contains("state directory"), "{ready}");
    let page = service.get("/");
    assert!(page.contains("The state directory cannot be written") && page.contains("is full"), "{page}");
    assert!(!page.contains("could not be read when it was last tried"), "{page}");
    // A command of its own says the same, if it comes to that.
    let ran = world.run(&["backup"]);
    assert!(ran.status == 1 && ran.stderr.contains("the file system of `state_dir` is full"), "{ran:?}");
    let ran = world.run(&["status"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("repository is in trouble"), "{ran:?}");
    disk.free();
    wait_until(&service, "state_writable", 1.0);
    assert!(service.get("/-/ready").contains("200 OK"));
    world.json(&["backup"], 0);
}

#[test]
fn a_drill_host_without_inodes_makes_a_drill_inconclusive() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tree")).unwrap();
    for name in 0..100 {
        fs::write(world.path(&format!("tree/{name}")), "some").unwrap();
    }
    world.json(&["backup"], 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let disk = SmallDisk::mount(&world.path("state/sandboxes"), "8m,nr_inodes=50");
    let drill = world.json(&["drill"], 4);
    assert!(drill["reason"].as_str().unwrap().contains("No space left"), "{drill:#}");
    drop(disk);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
}

#[test]
fn a_temporary_directory_that_takes_no_file_makes_a_drill_inconclusive_and_keeps_no_backup() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start(product);
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT)");
        let world = World::new(&server, &["d"], "");
        world.backup();
        for (command, status) in [("drill", 4), ("backup", 0)] {
            let mut started = world.command(&[command, "shop"]);
            started.env("TMPDIR", world.path("missing"));
            let ran = finish(started);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.status, status, "{product:?}: {ran:?}");
            assert!(status == 0 || said.contains("TMPDIR"), "{product:?}: {ran:?}");
        }
        world.json(&["drill"], 0);
    }
}

#[test]
fn a_key_file_that_changes_is_noticed_by_a_service_that_runs() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = world();
    world.json(&["backup"], 0);
    let service = Service::start(&world);
    wait_until(&service, KEY, 1.0);
    let good = fs::read_to_string(world.path("key")).unwrap();
    world.secret("key", "another");
    wait_until(&service, KEY, 0.0);
    assert!(service.get("/").contains("The configured key does not open repository local"));
    assert_eq!(service.value("state_writable"), 1.0);
    world.secret("key", &good);
    wait_until(&service, KEY, 1.0);
    // Whoever took the keys away took the backups away.
    let keys = world.path("repo/keys");
    let key = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    wait_until(&service, KEY, 0.0);
    fs::write(&key, kept).unwrap();
    wait_until(&service, KEY, 1.0);
    world.json(&["drill"], 0);
}

/// A service of a source whose backup takes for ever, which has begun it.
fn busy(world: &World) -> Service<&World> {
    use std::os::unix::fs::FileExt;
    // Holes are read as zeros, and the last byte is data.
    fs::File::create(world.path("tree/slow")).unwrap().write_at(b"x", 200 << 30).unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("[scheduler]", "[scheduler]\ndrain = \"1s\"").replace("0 2 * * *", "@every 1h");
    fs::write(world.path("config.toml"), text).unwrap();
    let service = Service::start(world);
    // Whatever a beginning writes into the state directory is written: it reads the tree.
    wait_for("the backup to read", || {
        let answer = service.get("/api/v1/status?running=true");
        let (_, done) = answer.split_once("\"done_bytes\":")?;
        done.trim_start().starts_with(|first: char| ('1'..='9').contains(&first)).then_some(())
    });
    service
}

#[test]
fn a_service_ends_when_asked_though_its_state_directory_is_full() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = world();
    let disk = SmallDisk::mount(&world.path("small"), "8m");
    let service = busy(&world);
    disk.fill();
    wait_until(&service, "state_writable", 0.0);
    let asked = std::time::Instant::now();
    service.stop();
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    disk.free();
    // The next start knows that it was interrupted.
    let status = world.json(&["status"], 1);
    assert_eq!(status["last_backup"]["outcome"], "interrupted", "{status:#}");
}

#[test]
fn a_service_whose_ledger_was_removed_or_replaced_ends_and_the_next_start_says_that_it_is_lost() {
    let world = world();
    let ledger = world.path("small/state/ledger.sqlite");
    let service = busy(&world);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(world.path(&format!("small/state/ledger.sqlite{suffix}")));
    }
    wait_for("the service to end", || service.said().contains("the service stops").then_some(()));
    assert!(service.said().contains("the ledger was removed or replaced"), "{}", service.said());
    drop(service);
    let service = Service::start(&world);
    wait_until(&service, "ledgers_set_aside", 1.0);
    assert!(service.get("/").contains("A damaged ledger was set aside"), "{}", service.get("/"));
    for text in ["", "this is no ledger"] {
        let other = world.path("small/state/other");
        fs::write(&other, text).unwrap();
        fs::rename(&other, &ledger).unwrap();
    }
    wait_for("the service to end", || service.said().contains("the service stops").then_some(()));
    drop(service);
    // What was put in its place is no ledger; the log beside it may have all of the one before.
    let service = Service::start(&world);
    service.wait("ledger_seals_verified_timestamp_seconds", |value| value > 0.0);
    let asked = std::time::Instant::now();
    service.stop();
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn a_damaged_ledger_is_put_beside_and_backups_go_on() {
    use std::os::unix::fs::FileExt;
    let world = world();
    world.json(&["backup"], 0);
    let ledger = world.path("small/state/ledger.sqlite");
    let beside = || {
        let all = crate::support::entries(&world.path("small/state")).into_iter();
        all.filter(|path| path.to_string_lossy().contains("ledger.sqlite.damaged-")).count()
    };
    // All of it, its head, or a page in its middle that only a look at the whole finds.
    let length = fs::metadata(&ledger).unwrap().len();
    let page = (length / 4096 / 2) * 4096;
    for (number, (at, bytes)) in [(0, length), (0, 100), (page, 4096 * 4)].into_iter().enumerate() {
        // What lies in the log would take the place of what is damaged.
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg(&ledger).arg("PRAGMA wal_checkpoint(TRUNCATE)");
        assert!(sqlite.output().unwrap().status.success());
        let file = fs::File::options().write(true).open(&ledger).unwrap();
        file.write_all_at(&vec![0xa5; usize::try_from(bytes).unwrap()], at).unwrap();
        let service = Service::start(&world);
        service.wait("ledgers_set_aside", |value| value == (number + 1) as f64);
        service.wait("recovery_points{source=\"ansible\",kind=\"full\"}", |value| value >= 1.0);
        assert!(service.said().contains("the ledger is damaged and was set aside as"), "{}", service.said());
        assert!(service.get("/").contains("A damaged ledger was set aside"));
        assert!(service.get("/-/ready").contains("200 OK"));
        service.stop();
        assert!(beside() > number, "nothing is deleted");
        world.json(&["backup"], 0);
    }
    // A command does the same.
    let mut sqlite = Command::new("sqlite3");
    sqlite.arg(&ledger).arg("PRAGMA wal_checkpoint(TRUNCATE)");
    assert!(sqlite.output().unwrap().status.success());
    fs::write(&ledger, vec![7; 9000]).unwrap();
    world.json(&["backup"], 0);
    assert!(beside() >= 4);
}

#[test]
fn a_record_that_somebody_changed_is_told_while_the_service_runs() {
    let world = world();
    world.json(&["backup"], 0);
    let service = Service::start(&world);
    service.wait("ledger_seal_faults", |value| value == 0.0);
    service.wait("ledger_seals_verified_timestamp_seconds", |value| value > 0.0);
    let mut sqlite = Command::new("sqlite3");
    sqlite.arg(world.path("small/state/ledger.sqlite")).arg("UPDATE runs SET ended_at = ended_at + 1000");
    assert!(sqlite.status().unwrap().success());
    // It is compared about every minute.
    wait_for("the change to be found", || (service.value("ledger_seal_faults") > 0.0).then_some(()));
    assert!(service.said().contains("records of the ledger were changed"), "{}", service.said());
    assert!(service.get("/").contains("Records of the ledger were changed"));
    service.stop();
}

#[test]
fn a_ledger_that_breaks_under_a_running_service_ends_it_and_the_next_start_heals_it() {
    use std::os::unix::fs::FileExt;
    let world = world();
    world.json(&["backup"], 0);
    let ledger = world.path("small/state/ledger.sqlite");
    for number in 1..=2 {
        let service = Service::start(&world);
        service.wait("ledger_seals_verified_timestamp_seconds", |value| value > 0.0);
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg(&ledger).arg("PRAGMA wal_checkpoint(TRUNCATE)");
        assert!(sqlite.output().unwrap().status.success());
        let file = fs::File::options().write(true).open(&ledger).unwrap();
        if number == 1 {
            file.set_len(0).unwrap();
        } else {
            let length = file.metadata().unwrap().len();
            file.write_all_at(&vec![0xa5; usize::try_from(length - 4096).unwrap()], 4096).unwrap();
        }
        wait_for("the service to end", || service.said().contains("the service stops").then_some(()));
        drop(service);
        let service = Service::start(&world);
        service.wait("ledgers_set_aside", |value| value == f64::from(number));
        service.wait("recovery_points{source=\"ansible\",kind=\"full\"}", |value| value >= 1.0);
        service.stop();
        world.json(&["backup"], 0);
    }
}

#[test]
fn a_backup_that_cannot_fit_is_refused_before_the_source_is_looked_at_and_one_that_may_not_fit_says_so() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let world = crate::files::world("", "");
    let disk = SmallDisk::mount(&world.path("repo"), "16m");
    fs::create_dir(world.path("tree")).unwrap();
    let noise = (0..600_000_u64).flat_map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).to_le_bytes());
    fs::write(world.path("tree/blob"), noise.collect::<Vec<u8>>()).unwrap();
    let roomy = world.json(&["backup"], 0);
    assert!(!roomy["warnings"].to_string().contains("may not fit"), "{roomy:#}");
    assert!(roomy["stored_bytes"].as_u64().unwrap() > 4_000_000, "{roomy:#}");

    // Less than the last one added, and enough for what is new.
    let free = rustix::fs::statvfs(&disk.0).map(|facts| facts.f_bfree * facts.f_frsize).unwrap();
    fs::write(disk.0.join("filler"), vec![0; usize::try_from(free).unwrap() - (3 << 20)]).unwrap();
    fs::write(world.path("tree/site.yml"), "- hosts: all\n").unwrap();
    let tight = world.json(&["backup"], 0);
    let warnings = tight["warnings"].to_string();
    assert!(warnings.contains("the last backup added") && warnings.contains("may not fit"), "{tight:#}");

    // The source is not even there: what is said first is that there is no room.
    disk.fill();
    fs::rename(world.path("tree"), world.path("away")).unwrap();
    let refused = world.run(&["backup"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("cannot store in repository local (") && refused.stderr.contains("are free"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: free space"), "{refused:?}");
    disk.free();
    fs::rename(world.path("away"), world.path("tree")).unwrap();
    let again = world.json(&["backup"], 0);
    assert!(!again["warnings"].to_string().contains("may not fit"), "{again:#}");
}
