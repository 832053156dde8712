//! The demo's monitoring: a real InfluxDB of its own on loopback, with a week of what telegraf would have sent and somebody
//! who goes on sending.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::background::Background;
use super::random::Random;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, OrFailed, Result};
use crate::process::{OwnedChild, find_program};

/// Name of the generated database.
pub const DATABASE: &str = "telegraf";
const HOSTS: u64 = 5;
const DAYS: i64 = 7;
/// Seconds between two points of the past.
const INTERVAL: i64 = 60;
const POINTS_PER_WRITE: usize = 5_000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A private InfluxDB; killed and reaped when dropped.
pub struct Monitoring {
    http: u16,
    rpc: u16,
    server: OwnedChild,
}

impl Monitoring {
    /// Start a server with its data under `directory` and fill it.
    pub fn start(directory: &Path) -> Result<Self> {
        let program = find_program(None, &["influxd"]).ok_or_else(|| {
            Error::failed("cannot start the demo: there is no program `influxd`")
                .hint("run scripts/setup --for demo, or install influxdb")
        })?;
        let owner = super::production::server_account(&["influxdb", "nobody"]);
        super::production::private_directory(directory, owner)?;
        let (http, rpc) = free_ports().or_failed("cannot find free ports for the demo's InfluxDB")?;
        let configuration = directory.join("influxd.toml");
        fs::write(&configuration, settings(directory, http, rpc))
            .or_failed("cannot write the demo's InfluxDB configuration")?;
        // Under a umask of 0077 nobody but its owner reads it.
        if let Some((uid, gid)) = owner {
            chown(&configuration, Some(uid), Some(gid))
                .or_failed("cannot give the demo's configuration to the server's account")?;
        }
        let mut serving = Command::new(program);
        serving.arg("-config").arg(&configuration).current_dir(directory);
        if let Some((uid, gid)) = owner {
            serving.uid(uid).gid(gid);
        }
        serving.stdin(Stdio::null()).stdout(Stdio::null());
        let server = OwnedChild::spawn(serving, "the demo's InfluxDB")?;
        let mut monitoring = Self { http, rpc, server };
        monitoring.wait_until_ready()?;
        monitoring.fill(SystemClock::default().wall().timestamp())?;
        Ok(monitoring)
    }

    /// HTTP address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Address of the backup service.
    pub fn rpc_address(&self) -> String {
        format!("127.0.0.1:{}", self.rpc)
    }

    /// Points from now on: one of each host and measurement a second.
    pub fn open_telegraf(&self) -> Result<Background> {
        let (port, clock) = (self.http, SystemClock::default());
        let mut random = Random::of(11, 0);
        Background::every(Duration::from_secs(1), "telegraf", move |_| {
            let mut lines = String::new();
            points(&mut lines, clock.wall().timestamp(), &mut random);
            write(port, &lines).is_ok()
        })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        for _ in 0..600 {
            if self.server.try_wait().or_failed("cannot start the demo's InfluxDB")?.is_some() {
                return self
                    .server
                    .wait_success()
                    .and(Err(Error::failed("cannot start the demo's InfluxDB: it ended")));
            }
            if post(self.http, "/query", "q=SHOW DATABASES").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Error::failed(format!("cannot start the demo's InfluxDB: {}", self.server.stderr_tail())))
    }

    /// A week up to `now`, in seconds since the epoch, in shards of a day.
    fn fill(&self, now: i64) -> Result<()> {
        let what = "cannot fill the demo's InfluxDB";
        let make =
            format!("q=CREATE DATABASE {DATABASE} WITH DURATION 30d REPLICATION 1 SHARD DURATION 1d NAME autogen");
        post(self.http, "/query", &make).or_failed(what)?;
        let mut random = Random::of(7, 0);
        let mut lines = String::new();
        let mut count = 0;
        let start = now - DAYS * 86_400;
        for time in (start..now).step_by(usize::try_from(INTERVAL).unwrap_or(1)) {
            count += points(&mut lines, time, &mut random);
            if count >= POINTS_PER_WRITE {
                write(self.http, &lines).or_failed(what)?;
                lines.clear();
                count = 0;
            }
        }
        write(self.http, &lines).or_failed(what)
    }
}

/// What every host has to say at `time`; the number of points.
fn points(lines: &mut String, time: i64, random: &mut Random) -> usize {
    for host in 0..HOSTS {
        let (busy, used) = (random.below(1_000), random.below(16_000_000));
        // Writing to a string does not fail.
        let _ = writeln!(
            lines,
            "cpu,cpu=cpu-total,host=web{host} usage_idle={}.{},usage_user={busy}i {time}\n\
             mem,host=web{host} used={used}i,used_percent={}.5 {time}\n\
             disk,host=web{host},path=/ free={}i,mode=\"rw\" {time}",
            100 - busy / 10,
            busy % 10,
            used / 160_000,
            900_000_000 - used * 2
        );
    }
    usize::try_from(HOSTS * 3).unwrap_or(0)
}

fn write(port: u16, lines: &str) -> io::Result<()> {
    post(port, &format!("/write?db={DATABASE}&precision=s"), lines)
}

/// One request; an answer other than 2xx is an error with its text.
fn post(port: u16, path: &str, body: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 2") && !answer.contains("\"error\"") {
        Ok(())
    } else {
        Err(io::Error::other(answer))
    }
}

fn free_ports() -> io::Result<(u16, u16)> {
    // Both are held at once, so that they differ.
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn settings(directory: &Path, http: u16, rpc: u16) -> String {
    let directory = directory.display();
    format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{directory}/meta"
[data]
dir = "{directory}/data"
wal-dir = "{directory}/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
"#
    )
}
