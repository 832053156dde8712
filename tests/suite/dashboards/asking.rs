//! Real Prometheus servers, asked over their API as Grafana asks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::network::free_port;
use crate::serving::get;
use crate::support::{Running, wait_for};

/// Prometheus 2.42 or 3, or their promtool.
pub fn of_debian_12(program: &str) -> PathBuf {
    Path::new("/usr/bin").join(program)
}

pub fn of_debian_unstable(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/prometheus-root").join(program)
}

/// Start with this configuration in `directory`, which also holds its data.
pub struct Prometheus {
    _process: Running,
    pub address: String,
}

impl Prometheus {
    pub fn start(program: &Path, directory: &Path, configuration: &str, arguments: &[&str]) -> Self {
        assert!(program.exists(), "{} is missing: run scripts/setup --for test", program.display());
        let (config, log) = (directory.join("prometheus.yml"), directory.join("prometheus.log"));
        fs::write(&config, configuration).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut running = Running(process);
        wait_for("Prometheus to be ready", || {
            let ended = running.0.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(&log).unwrap());
            get(&address, "/-/ready").ok().filter(|answer| answer.starts_with("HTTP/1.0 200")).map(drop)
        });
        Self { _process: running, address }
    }

    /// The whole answer of its API.
    pub fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let coded =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let answer = get(&self.address, &format!("/api/v1/{path}?{query}")).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}?{query}: {error}: {answer}"))
    }

    /// What an answer finds. It must be without an error and without anything that Prometheus thinks strange.
    pub fn result(&self, path: &str, parameters: &[(&str, &str)]) -> Vec<Series> {
        let answer = self.ask(path, parameters);
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        for strange in ["warnings", "infos"] {
            assert!(answer[strange].is_null(), "{parameters:?}: {strange} {}", answer[strange]);
        }
        let found = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{parameters:?}: {answer}"));
        found.iter().map(Series::new).collect()
    }

    pub fn instant(&self, query: &str) -> Vec<Series> {
        self.result("query", &[("query", query)])
    }

    /// The syntax tree of a query; Prometheus 3 only.
    pub fn parse(&self, query: &str) -> Result<Value, String> {
        let answer = self.ask("parse_query", &[("query", query)]);
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) }
    }
}

/// A series and its samples.
#[derive(Debug)]
pub struct Series {
    pub labels: Value,
    pub values: Vec<f64>,
}

impl Series {
    fn new(found: &Value) -> Self {
        let samples = found["values"].as_array().cloned().unwrap_or_else(|| vec![found["value"].clone()]);
        let value = |sample: &Value| sample[1].as_str().unwrap().parse().unwrap();
        Self { labels: found["metric"].clone(), values: samples.iter().map(value).collect() }
    }

    /// The value of a label; empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}
