//! The contract of an engine, the same for every kind of source.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::influx_support::{self, Influx, day};
use crate::support::{Product, Server, World, entries, fixture};

/// One kind of source with something in it.
trait Kind {
    fn name(&self) -> &'static str;
    fn world(&self) -> &World;
    /// Arguments that name a new empty destination, which lives as long as this.
    fn empty_destination(&mut self) -> Vec<String>;
    /// Change one value of what is at the last destination.
    fn spoil(&self);
    /// Make the source unreachable.
    fn stop(&mut self);
}

struct Mysql {
    world: World,
    server: Option<Server>,
    targets: Vec<Server>,
}

struct InfluxDb {
    world: World,
    server: Option<Influx>,
    targets: Vec<Influx>,
}

struct Files {
    world: World,
    targets: Vec<PathBuf>,
}

impl Kind for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }
    fn world(&self) -> &World {
        &self.world
    }
    fn empty_destination(&mut self) -> Vec<String> {
        self.targets.push(Server::start(Product::MariaDb));
        vec![self.targets.last().unwrap().destination()]
    }
    fn spoil(&self) {
        self.targets.last().unwrap().sql("UPDATE Chinook.Genre SET Name = 'x' WHERE GenreId = 3");
    }
    fn stop(&mut self) {
        self.server = None;
    }
}

impl Kind for InfluxDb {
    fn name(&self) -> &'static str {
        "influxdb"
    }
    fn world(&self) -> &World {
        &self.world
    }
    fn empty_destination(&mut self) -> Vec<String> {
        self.targets.push(Influx::start());
        let target = self.targets.last().unwrap();
        vec![target.url(), "--rpc-address".to_owned(), target.rpc()]
    }
    fn spoil(&self) {
        self.targets.last().unwrap().write("telegraf", &format!("cpu,host=h9 idle=1 {}\n", day(1)));
    }
    fn stop(&mut self) {
        self.server = None;
    }
}

impl Kind for Files {
    fn name(&self) -> &'static str {
        "files"
    }
    fn world(&self) -> &World {
        &self.world
    }
    fn empty_destination(&mut self) -> Vec<String> {
        let target = self.world.path(&format!("target{}", self.targets.len()));
        fs::create_dir(&target).unwrap();
        self.targets.push(target.clone());
        vec![target.display().to_string()]
    }
    fn spoil(&self) {
        let inner = self.targets.last().unwrap().join(self.world.path("tree/hosts").strip_prefix("/").unwrap());
        fs::write(inner, "other\n").unwrap();
    }
    fn stop(&mut self) {
        fs::rename(self.world.path("tree"), self.world.path("gone")).unwrap();
    }
}

fn mysql() -> Box<dyn Kind> {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    Box::new(Mysql { world, server: Some(server), targets: Vec::new() })
}

fn influxdb() -> Box<dyn Kind> {
    let server = Influx::start();
    server.query("", "CREATE DATABASE telegraf WITH DURATION 30d SHARD DURATION 1d NAME week");
    server.telegraf(day(1), 400);
    let world = influx_support::world(&server, "", "");
    Box::new(InfluxDb { world, server: Some(server), targets: Vec::new() })
}

fn files() -> Box<dyn Kind> {
    let world = crate::files::world("", "");
    crate::files::fill(&world.path("tree"));
    Box::new(Files { world, targets: Vec::new() })
}

fn source(kind: &str) -> &'static str {
    match kind {
        "mysql" => "shop",
        "influxdb" => "telegraf",
        _ => "ansible",
    }
}

fn with<'a>(command: &[&'a str], more: &'a [String]) -> Vec<&'a str> {
    command.iter().copied().chain(more.iter().map(String::as_str)).collect()
}

fn keeps_the_contract(kind: &mut dyn Kind) {
    let name = source(kind.name());
    // Nothing before the first backup, one point after it, and the manifest is what it is published by.
    let backup = kind.world().json(&["backup"], 0);
    assert_eq!((backup["source"].as_str(), backup["kind"].as_str()), (Some(name), Some("full")));
    assert!(backup["tables"].as_u64().unwrap() > 0 && backup["rows"].as_u64().unwrap() > 0, "{backup:#}");
    let list = kind.world().json(&["list"], 0);
    assert_eq!(list["id"], backup["recovery_point"]);

    let drill = kind.world().json(&["drill"], 0);
    assert_eq!(drill["verdict"], "passed", "{drill:#}");
    for stage in ["select", "provision", "load", "verify"] {
        assert!(drill["stages"][stage].as_f64().is_some(), "{stage}: {drill:#}");
    }
    assert!(drill["rto_seconds"].as_f64().unwrap() > 0.0);
    let rows: u64 =
        drill["tables"].as_array().unwrap().iter().map(|table| table["rows_restored"].as_u64().unwrap()).sum();
    assert_eq!(Some(rows), backup["rows"].as_u64());
    kind.world().assert_no_sandbox_left();

    // The real restore, to an empty place only; what is there holds, and one changed value does not.
    let to = kind.empty_destination();
    let restored = kind.world().json(&with(&["restore", name, "--to"], &to), 0);
    assert_eq!(restored["verified"], true, "{restored:#}");
    let again = kind.world().run(&with(&["restore", name, "--to"], &to));
    assert!(again.status != 0 && again.stderr.contains("--overwrite"), "{again:?}");
    let verify = with(&["verify", name, "--against"], &to);
    assert_eq!(kind.world().json(&verify, 0)["verdict"], "passed");
    kind.spoil();
    let verified = kind.world().json(&verify, 3);
    assert!(!verified["reason"].as_str().unwrap().is_empty());
    let over = kind.world().json(&with(&["restore", name, "--overwrite", "--to"], &to), 0);
    assert_eq!(over["verified"], true, "{over:#}");

    // Metrics and status know the kind.
    let metrics = kind.world().run(&["metrics"]).stdout;
    assert!(metrics.contains(&format!("kind=\"{}\"", kind.name())), "{metrics}");
    assert!(metrics.contains(&format!("backup_sla_drill_last_outcome{{source=\"{name}\",outcome=\"passed\"}} 1")));
    assert!(metrics.contains(&format!("backup_sla_verified_rows{{source=\"{name}\"}} {rows}")), "{metrics}");
    assert_eq!(kind.world().status()["source"], name);

    // A destination of another kind is told what is needed.
    let other = if kind.name() == "files" { "mysql://nowhere" } else { "/nowhere/at/all" };
    let wrong = kind.world().run(&["restore", name, "--to", other]);
    assert!(wrong.status == 2 && wrong.stderr.contains("hint: "), "{wrong:?}");

    a_flipped_byte_is_red(kind.world());

    // A source that cannot be reached fails the backup, and what was published stays.
    kind.stop();
    let failed = kind.world().run(&["backup"]);
    assert_eq!(failed.status, 1, "{failed:?}");
    assert_eq!(kind.world().listed(), 1);
    let metrics = kind.world().run(&["metrics"]).stdout;
    let line = format!("backup_sla_backup_failures_total{{source=\"{name}\",kind=\"full\"}} 1");
    assert!(metrics.contains(&line), "{metrics}");
}

fn a_flipped_byte_is_red(world: &World) {
    let mut packs: Vec<PathBuf> = entries(&world.path("repo/data")).iter().flat_map(|dir| entries(dir)).collect();
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    let victim = packs.pop().unwrap();
    let whole = fs::read(&victim).unwrap();
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&victim, &broken).unwrap();
    let ran = world.run(&["--json", "drill"]);
    assert_eq!(ran.status, 3, "{ran:?}");
    let report: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(report["verdict"], "failed");
    let id = victim.file_name().unwrap().to_string_lossy().into_owned();
    assert!(report["reason"].as_str().unwrap().contains(&id[..8]), "{id} in {report:#}");
    fs::write(&victim, whole).unwrap();
    world.assert_no_sandbox_left();
}

#[test]
fn mysql_keeps_the_contract() {
    keeps_the_contract(&mut *mysql());
}

#[test]
fn influxdb_keeps_the_contract() {
    keeps_the_contract(&mut *influxdb());
}

#[test]
fn files_keep_the_contract() {
    keeps_the_contract(&mut *files());
}
