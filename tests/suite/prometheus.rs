//! Real Prometheus servers, 2.42 of Debian 12 and 3 of Debian unstable, scrape the real service.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::files;
use crate::network::free_port;
use crate::serving::{Service, TLS, get, secured};
use crate::support::{Running, World, wait_for};

pub fn of_debian_12() -> PathBuf {
    "/usr/bin/prometheus".into()
}

fn of_debian_unstable() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/prometheus-root/prometheus")
}

pub struct Prometheus {
    _process: Running,
    address: String,
    directory: tempfile::TempDir,
}

impl Prometheus {
    /// `scrape_configs` may go on with other parts of the configuration.
    pub fn start(program: &Path, scrape_configs: &str) -> Self {
        assert!(program.exists(), "{} is missing: run scripts/setup --for test", program.display());
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
        let (config, log) = (directory.path().join("prometheus.yml"), directory.path().join("log"));
        fs::write(&config, format!("global: {{ scrape_interval: 1s }}\nscrape_configs:\n{scrape_configs}")).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        Self { _process: Running(process), address, directory }
    }

    /// Answer of its API, if it gives one.
    fn ask(&self, path: &str, query: &str) -> Option<Value> {
        let query = percent_encoding::utf8_percent_encode(query, percent_encoding::NON_ALPHANUMERIC);
        let parameter = if path == "query" { format!("?query={query}") } else { String::new() };
        let answer = get(&self.address, &format!("/api/v1/{path}{parameter}")).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some(serde_json::from_str::<Value>(body).ok()?["data"].clone())
    }

    /// Labels and values of what `query` finds.
    fn query(&self, query: &str) -> Vec<(Value, String)> {
        let found = self.ask("query", query).unwrap()["result"].clone();
        let series = found.as_array().unwrap().iter();
        series.map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().to_owned())).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

/// Passes on what comes to its address to `server`, and keeps the heads of requests and answers.
fn eavesdrop(server: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (ears, server) = (heard.clone(), server.to_owned());
    let pass = |mut from: TcpStream, mut to: TcpStream, ears: Arc<Mutex<Vec<u8>>>| {
        std::thread::spawn(move || {
            let mut room = [0; 8192];
            while let Ok(read @ 1..) = from.read(&mut room) {
                ears.lock().unwrap().extend(&room[..read.min(2000)]);
                if to.write_all(&room[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    };
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
            pass(client.try_clone().unwrap(), server.try_clone().unwrap(), ears.clone());
            pass(server, client, ears.clone());
        }
    });
    (address, heard)
}

/// A world with something to back up, which begins at once.
fn busy(world: World) -> World {
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/file"), "content").unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("{ drill = \"0 2 * * *\" }", "{ full = \"0 2 * * *\" }"))
        .unwrap();
    world
}

fn scrapes_without_a_complaint(program: &Path, version: &str) {
    let plain = Service::start_in(busy(files::world("", "")), "");
    let world = busy(secured());
    let ca = world.path("tls/ca.pem").display().to_string();
    let hash = bcrypt::hash("s3cret", 5).unwrap();
    let web = format!("{TLS}  min_version: TLS13\nbasic_auth_users: {{ prometheus: {hash} }}\n");
    let secure = Service::start_in(world, &web);
    let (heard_at, heard) = eavesdrop(&plain.address);
    let prometheus = Prometheus::start(
        program,
        &format!(
            "- job_name: plain\n  static_configs: [ {{ targets: ['{heard_at}'] }} ]\n\
             - job_name: secure\n  scheme: https\n  tls_config: {{ ca_file: '{ca}' }}\n  \
             basic_auth: {{ username: prometheus, password: s3cret }}\n  \
             static_configs: [ {{ targets: ['{}'] }} ]\n",
            secure.address
        ),
    );
    wait_for("both targets to be up", || {
        let targets = prometheus.ask("targets", "")?;
        let targets = targets["activeTargets"].as_array()?;
        (targets.len() == 2 && targets.iter().all(|target| target["health"] == "up")).then_some(())
    });
    wait_for("a second scrape", || {
        let scrapes = prometheus.query("min(count_over_time(up[1m]))");
        (scrapes.first()?.1.parse::<u64>().ok()? >= 2).then_some(())
    });
    for target in prometheus.ask("targets", "").unwrap()["activeTargets"].as_array().unwrap() {
        assert_eq!(target["lastError"], "", "{target}");
    }
    wait_for("the first recovery points", || {
        let known = prometheus.query("count(backup_sla_recovery_point_age_seconds)");
        (known.first()?.1 == "2").then_some(())
    });

    for job in ["plain", "secure"] {
        let one = |query: &str| {
            let found = prometheus.query(query);
            assert_eq!(found.len(), 1, "{job}: {query}: {found:?}");
            found.into_iter().next().unwrap()
        };
        let (labels, value) = one(&format!("backup_sla_source_info{{job=\"{job}\"}}"));
        assert_eq!(
            (&labels["source"], &labels["kind"], &labels["repository"], value.as_str()),
            (&"ansible".into(), &"files".into(), &"local".into(), "1")
        );
        // The first backup of a new source does not wait for its time.
        assert_eq!(one(&format!("backup_sla_backups_total{{job=\"{job}\",kind=\"full\"}}")).1, "1");
        assert_eq!(one(&format!("backup_sla_rpo_objective_seconds{{job=\"{job}\"}}")).1, "86400");
        // The largest quantile has the same name whatever the format and the version.
        one(&format!("backup_sla_drill_rto_seconds{{job=\"{job}\",quantile=\"1.0\"}}"));
        one(&format!("backup_sla_drill_rto_seconds_count{{job=\"{job}\"}}"));
        assert_eq!(prometheus.query(&format!("{{job=\"{job}\",exported_job!=\"\"}}")).len(), 0);
        let read: f64 =
            one(&format!("backup_sla_ledger_last_read_timestamp_seconds{{job=\"{job}\"}}")).1.parse().unwrap();
        assert!(read > 1e9);
    }
    let types = prometheus.ask("metadata", "").unwrap();
    for (family, kind) in [
        ("backup_sla_backups", "counter"),
        ("backup_sla_drill_rto_seconds", "summary"),
        ("backup_sla_recovery_point_age_seconds", "gauge"),
    ] {
        // Prometheus keeps a counter's metadata under the name of the family, or of the sample.
        let known = [family.to_owned(), format!("{family}_total")];
        let found = known.iter().find_map(|name| types[name.as_str()].as_array());
        assert_eq!(found.unwrap_or_else(|| panic!("no metadata of {family}"))[0]["type"], kind, "{family}");
    }

    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).to_lowercase();
    assert!(heard.contains(&format!("prometheus/{version}")), "the other program was asked");
    assert!(heard.contains("content-encoding: gzip"), "the body is compressed");
    assert!(heard.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    for complaint in ["level=warn", "level=error"] {
        let log = prometheus.log();
        let said: Vec<&str> = log.to_lowercase().contains(complaint).then_some(log.as_str()).into_iter().collect();
        assert!(said.is_empty(), "{said:?}");
    }
}

#[test]
fn prometheus_2_scrapes_over_plain_http_and_over_tls_with_a_user() {
    scrapes_without_a_complaint(&of_debian_12(), "2.");
}

#[test]
fn prometheus_3_scrapes_over_plain_http_and_over_tls_with_a_user() {
    scrapes_without_a_complaint(&of_debian_unstable(), "3.");
}
