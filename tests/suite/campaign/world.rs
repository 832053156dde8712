//! The world of one round: a state directory, two repositories, a place for temporary files, each on a small disk of its
//! own, the configuration, and what the model knows of the recovery points.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use super::chance::Chance;
use super::command::{Begun, Done};
use super::content::{Content, Servers};
use super::disks::SmallDisk;
use super::parties::send;
use super::plan::{Operation, Place, SOURCES, Source};
use crate::support::{PROGRAM, Product, entries, mysql_programs};

/// Longest time that a command may take on a busy machine when nothing hangs.
pub const USUAL_LIMIT: Duration = Duration::from_secs(120);

/// Everything that we start has this variable, so that nothing of it outlives a panic.
const MARK: &str = "BACKUP_SLA_CAMPAIGN";

/// What a recovery point has to bring back.
pub struct Point {
    pub source: Source,
    pub content: String,
    /// Its snapshot's file, once it was looked for.
    pub snapshot: Option<String>,
    /// A clock was wrong when it was made.
    pub dated_wrong: bool,
}

pub struct World<'s> {
    pub servers: &'s mut Servers,
    pub content: Content,
    /// Recovery points that were published and not taken away by us.
    pub points: BTreeMap<String, Point>,
    /// What the step said that it published; the model learns of it when the fault is gone.
    pub published: Vec<String>,
    /// How long an operation takes when nothing disturbs it.
    pub usual: BTreeMap<(u8, Source), Duration>,
    /// What the program said, run by run.
    pub log: Vec<String>,
    disks: BTreeMap<&'static str, SmallDisk>,
    runs: usize,
    root: tempfile::TempDir,
}

impl<'s> World<'s> {
    pub fn new(servers: &'s mut Servers, seed: u64) -> Self {
        let root = tempfile::Builder::new().prefix("bsla-campaign-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| root.path().join(name);
        // The empty data directory that drills begin with is kept in it.
        let state = if servers.shop.product == Product::MySql { 400 } else { 64 };
        let sizes = [("state", state), ("state/sandboxes", 600), ("a", 300), ("b", 200), ("tmp", 64)];
        let disks = sizes.map(|(name, size)| (name, SmallDisk::mount(at(name), size))).into();
        for directory in ["programs", "logs", "outside"] {
            fs::create_dir(at(directory)).unwrap();
        }
        fs::write(at("key"), "correct horse").unwrap();
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at("outside/precious"), "must stay").unwrap();
        let content = Content::fill(servers, at("tree"), &mut Chance::of(seed, 0));
        let (points, usual) = (BTreeMap::new(), BTreeMap::new());
        let (published, log) = (Vec::new(), Vec::new());
        let world = Self { servers, content, points, published, usual, log, disks, runs: 0, root };
        world.be_honest();
        world.configure(&SOURCES, "", None);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn repository(&self, source: Source) -> PathBuf {
        self.path(source.repository()).join("repo")
    }

    pub fn disk(&self, place: Place, source: Source) -> &SmallDisk {
        &self.disks[match place {
            Place::State => "state",
            Place::Sandboxes => "state/sandboxes",
            Place::Repository => source.repository(),
            Place::Temporary => "tmp",
        }]
    }

    /// Write the configuration: these sources, `more` at the end, and a schedule for the one that is busy.
    pub fn configure(&self, sources: &[Source], more: &str, busy: Option<(Source, &str)>) {
        let mut text = "state_dir = \"state\"\n\
            [sla.standard]\nrpo = \"24h\"\nrto = \"5h\"\nretention = \"30d\"\ndrill_interval = \"24h\"\n"
            .to_owned();
        for name in ["a", "b"] {
            let url = format!("url = \"{name}/repo\"\npassword_file = \"key\"");
            writeln!(text, "[repository.{name}]\nkind = \"restic\"\n{url}").unwrap();
        }
        for source in sources {
            let (name, repository) = (source.name(), source.repository());
            let schedule =
                busy.filter(|(it, _)| it == source).map_or("full = \"0 0 29 2 *\"", |(_, schedule)| schedule);
            let (kind, table) = self.table(*source);
            let head = format!("[source.{name}]\nkind = \"{kind}\"\nrepository = \"{repository}\"\nsla = \"standard\"");
            writeln!(text, "{head}\nschedule = {{ {schedule} }}\n[source.{name}.{kind}]\n{table}").unwrap();
        }
        fs::write(self.path("config.new"), text + more).unwrap();
        fs::rename(self.path("config.new"), self.path("config.toml")).unwrap();
    }

    /// A source's kind, and what its table says.
    fn table(&self, source: Source) -> (&'static str, String) {
        let programs = self.path("programs").display().to_string();
        let (shop, telegraf) = (&self.servers.shop, &self.servers.telegraf);
        match source {
            Source::Shop => {
                let sandbox = match shop.product {
                    Product::MariaDb => String::new(),
                    Product::MySql => format!("[source.shop.sandbox]\nprograms = \"{}\"", mysql_programs().display()),
                };
                let socket = shop.socket.display();
                let text = format!("socket = \"{socket}\"\nuser = \"root\"\ndatabases = [\"shop\"]\n");
                ("mysql", format!("{text}programs = \"{programs}\"\n{sandbox}"))
            }
            Source::Telegraf => {
                let (url, rpc) = (telegraf.url(), telegraf.rpc());
                let text = format!("url = \"{url}\"\nrpc_address = \"{rpc}\"\ndatabases = [\"telegraf\"]\n");
                ("influxdb", format!("{text}programs = \"{programs}\""))
            }
            Source::Tree => ("files", "paths = [\"tree\"]".to_owned()),
        }
    }

    /// The tools that the program calls, each with its real path.
    pub fn tools(&self) -> Vec<(String, PathBuf)> {
        let product = self.servers.shop.product;
        let of = |name: &str| {
            let real = product.program(name);
            (real.file_name().unwrap().to_string_lossy().into_owned(), real)
        };
        vec![of("dump"), of("client"), ("influxd".to_owned(), "/usr/bin/influxd".into())]
    }

    /// Tools that do what they should.
    pub fn be_honest(&self) {
        for (name, real) in self.tools() {
            self.tool(&name, &format!("exec '{}' \"$@\"", real.display()));
        }
    }

    /// Put a script in place of one of the tools.
    pub fn tool(&self, name: &str, script: &str) {
        let new = self.path("programs/new");
        fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, self.path("programs").join(name)).unwrap();
    }

    /// Start the program; `hours` is how wrong its clock is.
    pub fn begin(&mut self, arguments: &[&str], hours: i64) -> Begun {
        self.runs += 1;
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.path("config.toml")).args(arguments);
        command.env("TMPDIR", self.path("tmp")).env(MARK, self.root.path());
        if hours != 0 {
            let library =
                Path::new("/usr/lib").join(format!("{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH));
            assert!(library.exists(), "libfaketime is missing: run scripts/setup --for test");
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{hours:+}h"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let log = self.path("logs").join(self.runs.to_string());
        Begun::new(command, arguments.join(" "), log)
    }

    /// Run it undisturbed to its end.
    pub fn run(&mut self, arguments: &[&str]) -> Done {
        let done = self.begin(arguments, 0).end(USUAL_LIMIT);
        self.log.push(done.said());
        done
    }

    pub fn usual(&self, operation: Operation, source: Source) -> Duration {
        self.usual.get(&(operation as u8, source)).copied().unwrap_or(Duration::from_millis(600))
    }

    /// Whether the program has published this point, as far as it said so.
    pub fn knows(&self, id: &str) -> bool {
        self.points.contains_key(id) || self.published.iter().any(|published| published == id)
    }

    /// Whether a point is gone that should be there by its date.
    pub fn lacks_a_point(&self) -> bool {
        self.points.values().filter(|point| !point.dated_wrong).any(|point| {
            let snapshots = self.repository(point.source).join("snapshots");
            point.snapshot.as_ref().is_some_and(|name| fs::symlink_metadata(snapshots.join(name)).is_err())
        })
    }

    /// Arguments that restore a point to the fresh place of its kind.
    pub fn restoring(&self, id: &str, source: Source) -> Vec<String> {
        let mut arguments = vec!["--json", "restore", source.name(), "--recovery-point", id, "--to"];
        let to = match source {
            Source::Shop => self.servers.shop_target.destination(),
            Source::Telegraf => self.servers.telegraf_target.url(),
            Source::Tree => self.path("restored").display().to_string(),
        };
        arguments.push(&to);
        let rpc = self.servers.telegraf_target.rpc();
        match source {
            Source::Shop => arguments.push("--no-accounts"),
            Source::Telegraf => arguments.extend(["--rpc-address", &rpc]),
            Source::Tree => {}
        }
        arguments.into_iter().map(str::to_owned).collect()
    }

    pub fn clear_targets(&self) {
        super::content::clear_targets(self.servers);
        let _ = fs::remove_dir_all(self.path("restored"));
        fs::create_dir(self.path("restored")).unwrap();
    }

    /// Where a restored tree is.
    pub fn restored_tree(&self) -> PathBuf {
        self.path("restored").join(self.content.tree.strip_prefix("/").unwrap())
    }

    /// The restic program, which knows nothing of ours; it gives up after a while.
    pub fn restic(&self, source: Source, arguments: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "30", "/usr/bin/restic", "--no-cache", "--no-lock", "--repo"]);
        command.arg(self.repository(source)).arg("--password-file").arg(self.path("key"));
        command.env("TMPDIR", self.path("logs")).env(MARK, self.root.path()).args(arguments).output().unwrap()
    }

    /// Keep what tells why it broke.
    pub fn keep(&self, to: &Path) {
        let _ = fs::remove_dir_all(to);
        fs::create_dir_all(to).unwrap();
        fs::write(to.join("said"), self.log.join("\n")).unwrap();
        for name in ["a", "b", "config.toml", "key", "logs"] {
            let _ = Command::new("cp").arg("-a").arg(self.path(name)).arg(to).status();
        }
        for file in entries(&self.path("state")).into_iter().filter(|path| path.is_file()) {
            let _ = Command::new("cp").arg("-a").arg(file).arg(to).status();
        }
    }

    /// End whatever belongs to this world, stopped or not.
    fn kill_all(&self) {
        let root = self.root.path().display().to_string();
        let marks = [format!("{MARK}={root}\0"), format!("BACKUP_SLA_SANDBOX={root}/")];
        for process in entries("/proc".as_ref()) {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment);
            let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(pid) = pid.filter(|_| marks.iter().any(|mark| environment.contains(mark))) {
                send(pid, Signal::KILL);
            }
        }
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.kill_all();
    }
}
