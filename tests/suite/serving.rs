//! The real `backup-sla serve`.

use std::borrow::Borrow;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::network::certificates;
use crate::support::{LONGEST_WAIT, Running, World, wait_for};

/// What a web configuration file in a [`secured`] world begins with.
pub const TLS: &str = "tls_server_config:\n  cert_file: tls/server.pem\n  key_file: tls/server.key\n";

/// A world with certificates for [`TLS`], signed by `tls/ca.pem`.
pub fn secured() -> World {
    let world = idle();
    fs::create_dir(world.path("tls")).unwrap();
    certificates(&world.path("tls"));
    // As openssl makes it: for its owner alone.
    fs::set_permissions(world.path("tls/server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    world
}

/// A world with one source, `ansible`, that nobody backs up: the service has nothing to do by itself.
fn idle() -> World {
    let world = crate::files::world("", "");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("{ full = \"0 2 * * *\" }", "{ drill = \"0 2 * * *\" }"))
        .unwrap();
    world
}

/// A running `backup-sla serve`, on a port of its own, in a world that it owns or borrows.
pub struct Service<W = World> {
    process: Running,
    /// Where its metrics are.
    pub url: String,
    /// Its address and port.
    pub address: String,
    /// What it logs; services that follow each other in a world write to one file.
    pub log: PathBuf,
    pub world: W,
}

impl Service {
    /// With one source, `ansible`, and a web configuration file of this text (empty: none).
    pub fn with_web(web: &str) -> Self {
        Self::start_in(idle(), web)
    }
}

impl<'w> Service<&'w World> {
    /// In a world that its test goes on working with.
    pub fn start(world: &'w World) -> Self {
        Self::start_in(world, "")
    }
}

impl<W: Borrow<World>> Service<W> {
    /// In a world that has been prepared, with a web configuration file of this text (empty: none). It listens then.
    pub fn start_in(world: W, web: &str) -> Self {
        let here = world.borrow();
        let mut command = here.command(&["serve", "--web.listen-address", "127.0.0.1:0"]);
        if !web.is_empty() {
            fs::write(here.path("web.yml"), web).unwrap();
            command.arg("--web.config.file").arg(here.path("web.yml"));
        }
        let log = here.path("service.log");
        let file = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut process = Running(command.stdout(Stdio::piped()).stderr(file).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        let address = url.split('/').nth(2).map(str::to_owned);
        let address = address.unwrap_or_else(|| panic!("{line}: {}", fs::read_to_string(&log).unwrap()));
        Self { process, url, address, log, world }
    }

    /// Number of a line of `/proc/PID/status`, in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Sockets it has open.
    pub fn sockets(&self) -> usize {
        let all = fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).unwrap();
        let targets = all.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// What it has logged.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn get(&self, path: &str) -> String {
        crate::service::get(&self.address, path)
    }

    /// Value of one series, without the prefix of our metrics.
    pub fn value(&self, series: &str) -> f64 {
        self.try_value(series).unwrap_or_else(|| panic!("no {series} in {}", self.get("/metrics")))
    }

    /// The same; none if there is no such series.
    fn try_value(&self, series: &str) -> Option<f64> {
        let metrics = self.get("/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("backup_sla_")?.strip_prefix(series));
        line.map(|line| line.trim().parse().unwrap())
    }

    /// Until the series has a value that is wanted. If it never has, its last value and the log say why.
    pub fn wait(&self, series: &str, wanted: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + LONGEST_WAIT;
        loop {
            let value = self.try_value(series);
            if value.is_some_and(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{series} stays {value:?}; the service said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Until there is no such series.
    pub fn wait_without(&self, series: &str) {
        wait_for(series, || self.try_value(series).is_none().then_some(()));
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.0), signal).unwrap();
    }

    /// Ask it to end; it has to do so well.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }
}

/// Ask over plain HTTP; the whole answer.
pub fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
