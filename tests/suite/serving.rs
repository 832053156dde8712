//! The real `backup-sla serve` on a world without servers.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::network::certificates;
use crate::support::{Running, World};

/// What a web configuration file in a [`secured`] world begins with.
pub const TLS: &str = "tls_server_config:\n  cert_file: tls/server.pem\n  key_file: tls/server.key\n";

/// A world with certificates for [`TLS`], signed by `tls/ca.pem`.
pub fn secured() -> World {
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tls")).unwrap();
    certificates(&world.path("tls"));
    world
}

/// A running service.
pub struct Service {
    process: Running,
    /// Where its metrics are.
    pub url: String,
    /// Its address and port.
    pub address: String,
    pub world: World,
}

impl Service {
    /// Start it with one source, `ansible`, and a web configuration file of this text (empty: none).
    pub fn start(web: &str) -> Self {
        Self::start_in(crate::files::world("", ""), web)
    }

    /// The same in a world that has been prepared.
    pub fn start_in(world: World, web: &str) -> Self {
        let mut command = world.command(&["serve", "--web.listen-address", "127.0.0.1:0"]);
        if !web.is_empty() {
            fs::write(world.path("web.yml"), web).unwrap();
            command.arg("--web.config.file").arg(world.path("web.yml"));
        }
        let log = fs::File::create(world.path("log")).unwrap();
        let mut process = Running(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().trim_start_matches("listening on ").to_owned();
        let address = url.split('/').nth(2).unwrap_or_else(|| panic!("{line}: {}", log_of(&world))).to_owned();
        Self { process, url, address, world }
    }

    /// Number of a line of `/proc/PID/status`, in KiB.
    pub fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// File descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).unwrap().count()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        log_of(&self.world)
    }
}

fn log_of(world: &World) -> String {
    fs::read_to_string(world.path("log")).unwrap()
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
