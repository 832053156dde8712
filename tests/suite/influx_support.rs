//! A private InfluxDB per test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::support::{World, wait_for};

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// One second past the beginning of the day so many days ago.
pub fn day(back: i64) -> i64 {
    let today = now() / 86_400_000_000_000;
    (today - back) * 86_400_000_000_000 + 1_000_000_000
}

pub struct Influx {
    http: u16,
    rpc: u16,
    credentials: String,
    child: Child,
    directory: tempfile::TempDir,
}

fn launch(directory: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new("/usr/bin/influxd");
    command.arg("-config").arg(directory.join("influxd.toml")).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log).spawn().unwrap()
}

impl Influx {
    pub fn start() -> Self {
        Self::start_with("")
    }

    pub fn start_with(http: &str) -> Self {
        assert!(Path::new("/usr/bin/influxd").exists(), "influxd is missing: run scripts/setup --for test");
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [web, rpc] = held.each_ref().map(|held| held.local_addr().unwrap().port());
        drop(held);
        let dir = directory.path().display();
        let text = format!(
            "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n[meta]\ndir = \"{dir}/meta\"\n[data]\ndir = \"{dir}/data\"\n\
             wal-dir = \"{dir}/wal\"\n[retention]\nenabled = false\n[monitor]\nstore-enabled = false\n[http]\n\
             bind-address = \"127.0.0.1:{web}\"\nlog-enabled = false\n{http}"
        );
        fs::write(directory.path().join("influxd.toml"), text).unwrap();
        let child = launch(directory.path());
        let server = Self { http: web, rpc, credentials: String::new(), child, directory };
        server.wait();
        server
    }

    fn wait(&self) {
        wait_for("InfluxDB", || TcpStream::connect(("127.0.0.1", self.http)).ok());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// End it as a crash does, if it still runs, and start it on its data.
    pub fn start_again(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.child = launch(self.directory.path());
        self.wait();
    }

    pub fn with_credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = format!("&u={user}&p={password}");
        self
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    pub fn rpc(&self) -> String {
        format!("127.0.0.1:{}", self.rpc)
    }

    /// Ask; the answer as text. An error fails the test.
    pub fn query(&self, database: &str, statement: &str) -> String {
        let body = format!("q={}", percent(statement));
        let path = format!("/query?db={}&epoch=ns{}", percent(database), self.credentials);
        let answer = post(self.http, &path, "application/x-www-form-urlencoded", &body);
        assert!(!answer.contains("\"error\""), "{statement}: {answer}");
        answer
    }

    pub fn write(&self, database: &str, lines: &str) {
        self.write_to(database, "", lines);
    }

    pub fn write_to(&self, database: &str, policy: &str, lines: &str) {
        let path = format!("/write?db={}&rp={}{}", percent(database), percent(policy), self.credentials);
        let answer = post(self.http, &path, "text/plain", lines);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    /// Have everything that is in memory written to files.
    pub fn flush(&self) {
        let to = tempfile::tempdir().unwrap();
        let mut command = Command::new("/usr/bin/influxd");
        command.args(["backup", "-portable", "-host", &self.rpc()]).arg(to.path());
        assert!(command.output().unwrap().status.success());
    }

    /// As many points a minute apart of two measurements, two hosts each, from `start` on.
    pub fn telegraf(&self, start: i64, points: i64) {
        let mut lines = Vec::new();
        for at in 0..points {
            let time = start + at * 60_000_000_000;
            for host in 0..2 {
                let noise = (at * 7_919 + host * 104_729) % 1_000;
                let (idle, user) = (noise % 100, noise % 17);
                lines.push(format!("cpu,host=h{host} idle={idle}.{noise},user={user}i {time}\n"));
                lines.push(format!("mem,host=h{host} used={noise}i,note=\"n{noise}\" {time}\n"));
            }
        }
        self.write("telegraf", &lines.concat());
    }

    /// Somebody who writes until dropped: now, in the past, new series, a new measurement.
    pub fn writer(&self, database: &str) -> Writer {
        self.query("", &format!("CREATE DATABASE \"{database}\""));
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, port, database) = (stop.clone(), self.http, database.to_owned());
        let (started, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for at in 0_i64.. {
                if asked.load(Ordering::SeqCst) {
                    break;
                }
                let now = now();
                let old = now - 3_600_000_000_000 - at * 1_000_000;
                let lines = format!(
                    "cpu,host=h0 idle={at},user=1i {now}\ncpu,host=w{at} idle=1 {old}\nmem,host=h0 fresh={at}i {now}\n\
                     new{} v={at} {now}\n",
                    at / 50
                );
                post(port, &format!("/write?db={}", percent(&database)), "text/plain", &lines);
                let _ = started.send(());
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        wait.recv().unwrap();
        Writer { stop, thread: Some(thread) }
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Status line and body.
fn post(port: u16, path: &str, kind: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A world whose one source, `telegraf`, is `server`; `more` goes into its influxdb table, `tail` behind it.
pub fn world(server: &Influx, more: &str, tail: &str) -> World {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
    let world = World { directory };
    world.secret("key", "correct horse");
    world.configure_influx(server, more, tail);
    world
}

impl World {
    pub fn configure_influx(&self, server: &Influx, more: &str, tail: &str) {
        self.configure_source(
            "telegraf",
            "influxdb",
            &format!(
                "[source.telegraf.influxdb]\nurl = \"{}\"\nrpc_address = \"{}\"\n{more}{tail}",
                server.url(),
                server.rpc()
            ),
        );
    }

    /// Recovery points, where there may be no repository yet.
    pub fn listed_or_none(&self) -> usize {
        let ran = self.run(&["--json", "list"]);
        assert!(ran.status == 0 || ran.stderr.contains("there is no repository"), "{ran:?}");
        ran.stdout.lines().count()
    }
}

/// A directory with an `influxd` that does what the real one does, and then `more` to what it wrote.
pub fn meddling(world: &World, more: &str) -> String {
    let after = "[ \"$1\" = backup ] || exit 0\nfor out; do :; done\ncd \"$out\"";
    program(world, &format!("/usr/bin/influxd \"$@\" || exit\n{after}\n{more}"))
}

/// A directory with an `influxd` that does `first` before it takes a backup as the real one does.
pub fn meddling_before(world: &World, first: &str) -> String {
    program(world, &format!("if [ \"$1\" = backup ]; then\n{first}\nfi\nexec /usr/bin/influxd \"$@\""))
}

fn program(world: &World, text: &str) -> String {
    let directory = world.path("programs");
    fs::create_dir_all(&directory).unwrap();
    let script = format!("#!/bin/sh\n{text}\n");
    fs::write(directory.join("influxd"), script).unwrap();
    fs::set_permissions(directory.join("influxd"), fs::Permissions::from_mode(0o755)).unwrap();
    directory.display().to_string()
}
