//! The sample for Alertmanager: amtool, and a real Alertmanager that is given alerts and sends to a receiver of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::{content, path, text};
use crate::network::free_port;
use crate::serving::get;
use crate::support::{Running, wait_for};

const SAMPLE: &str = "alerts/alertmanager.yml";

fn amtool(arguments: &[&str]) {
    content(Path::new("/usr/bin/amtool"), arguments, &[]);
}

#[test]
fn the_sample_is_valid() {
    amtool(&["check-config", path(SAMPLE).to_str().unwrap()]);
}

#[test]
fn critical_alerts_page_warnings_make_tickets_and_the_watchdog_goes_to_its_switch() {
    let file = format!("--config.file={}", path(SAMPLE).display());
    for alert in super::rule_files::alerts() {
        let receiver = match alert.label("severity") {
            "critical" => "pager",
            "warning" => "tickets",
            _ => "dead-mans-switch",
        };
        let (name, severity) = (format!("alertname={}", alert.name), format!("severity={}", alert.label("severity")));
        let verify = format!("--verify.receivers={receiver}");
        amtool(&["config", "routes", "test", &file, &verify, &name, &severity, "job=backup-sla", "source=shop"]);
    }
}

/// What a receiver was sent, by its path.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Vec<(String, Value)>>>);

impl Inbox {
    /// Listen on loopback; the address.
    fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inbox = Self::default();
        let its = inbox.clone();
        std::thread::spawn(move || listener.incoming().for_each(|client| its.accept(client.unwrap())));
        (inbox, address)
    }

    fn accept(&self, client: TcpStream) {
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let mut head = Vec::new();
        for line in reader.by_ref().lines().map_while(Result::ok) {
            if line.is_empty() {
                break;
            }
            head.push(line.to_lowercase());
        }
        let Some(receiver) = head.first().and_then(|line| line.split_whitespace().nth(1)) else { return };
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let notification = serde_json::from_slice(&body).unwrap();
        self.0.lock().unwrap().push((receiver.trim_start_matches('/').to_owned(), notification));
        let mut client = client;
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    /// The newest state of every alert that a receiver was sent: `firing RpoBreached shop`, `-` where there is no source.
    pub fn last_told(&self, receiver: &str) -> BTreeSet<String> {
        let inbox = self.0.lock().unwrap();
        let sent = inbox.iter().filter(|(to, _)| to == receiver);
        let alerts = sent.flat_map(|(_, notification)| notification["alerts"].as_array().unwrap());
        let newest: BTreeMap<String, &str> =
            alerts.map(|alert| (named(&alert["labels"]), alert["status"].as_str().unwrap())).collect();
        newest.into_iter().map(|(alert, status)| format!("{status} {alert}")).collect()
    }

    /// What was said of an alert the last time.
    pub fn text(&self, name: &str, source: &str) -> String {
        let inbox = self.0.lock().unwrap();
        let mut alerts = inbox.iter().flat_map(|(_, notification)| notification["alerts"].as_array().unwrap());
        let of_it = alerts.rfind(|alert| named(&alert["labels"]) == format!("{name} {source}"));
        of_it.unwrap_or_else(|| panic!("nothing was said of {name} {source}"))["annotations"].to_string()
    }

    /// `status alertname place` of every alert that a receiver was sent.
    fn of(&self, receiver: &str) -> BTreeSet<String> {
        let inbox = self.0.lock().unwrap();
        let sent = inbox.iter().filter(|(to, _)| to == receiver);
        let alerts = sent.flat_map(|(_, notification)| notification["alerts"].as_array().unwrap());
        alerts.map(|alert| format!("{} {}", alert["status"].as_str().unwrap(), shown(&alert["labels"]))).collect()
    }
}

/// Name and source of an alert.
fn named(labels: &Value) -> String {
    let name = labels["alertname"].as_str().unwrap().trim_start_matches("BackupSla");
    format!("{name} {}", labels["source"].as_str().unwrap_or("-"))
}

/// Name and place of an alert; labels that it lacks are `-`.
fn shown(labels: &Value) -> String {
    let label = |name: &str| labels[name].as_str().unwrap_or("-").to_owned();
    let name = label("alertname").trim_start_matches("BackupSla").to_owned();
    [name, label("job"), label("instance"), label("source")].join(" ")
}

pub struct Alertmanager {
    _process: Running,
    _directory: tempfile::TempDir,
    pub address: String,
    pub inbox: Inbox,
}

impl Alertmanager {
    /// With routes and inhibition of the sample; only what it waits for is shorter, and receivers are ours.
    pub fn start() -> Self {
        let program = Path::new("/usr/bin/prometheus-alertmanager");
        assert!(program.exists(), "prometheus-alertmanager is missing: run scripts/setup --for test");
        let (inbox, ours) = Inbox::open();
        let sample = text(SAMPLE);
        let mut config = sample.split("\nreceivers:").next().unwrap().to_owned() + "\nreceivers:\n";
        for (time, shorter) in [("group_wait: 30s", "1s"), ("group_wait: 10s", "1s"), ("group_interval: 5m", "1s")] {
            assert_eq!(config.matches(time).count(), 1, "{time}");
            config = config.replace(time, &format!("{}: {shorter}", time.split(':').next().unwrap()));
        }
        for name in ["pager", "tickets", "dead-mans-switch"] {
            writeln!(config, "- name: {name}\n  webhook_configs: [{{ url: 'http://{ours}/{name}' }}]").unwrap();
        }
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
        let (file, log) = (directory.path().join("alertmanager.yml"), directory.path().join("log"));
        fs::write(&file, config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let process = Running(process);
        wait_for("Alertmanager to be ready", || {
            get(&address, "/-/ready").ok().filter(|answer| answer.starts_with("HTTP/1.0 200")).map(drop)
        });
        Self { _process: process, _directory: directory, address, inbox }
    }

    /// As Prometheus does.
    fn post(&self, alerts: &[Value]) {
        let body = Value::from(alerts).to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST /api/v2/alerts HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    /// Those that something else keeps back.
    fn inhibited(&self) -> BTreeSet<String> {
        let answer = get(&self.address, "/api/v2/alerts").unwrap();
        let alerts: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let alerts = alerts.as_array().unwrap().iter();
        let kept = alerts.filter(|alert| !alert["status"]["inhibitedBy"].as_array().unwrap().is_empty());
        kept.map(|alert| shown(&alert["labels"])).collect()
    }
}

/// An alert as its rule labels it, somewhere: `job instance source`, where `-` is a label that it lacks.
fn alert(name: &str, place: &str) -> Value {
    let rule = super::rule_files::alerts().into_iter().find(|rule| rule.name == format!("BackupSla{name}")).unwrap();
    let places = ["job", "instance", "source"].into_iter().zip(place.split(' ')).filter(|(_, value)| *value != "-");
    let mut labels: Map<String, Value> = places.map(|(label, value)| (label.to_owned(), value.into())).collect();
    labels.insert("alertname".to_owned(), rule.name.as_str().into());
    labels.insert("severity".to_owned(), rule.label("severity").into());
    json!({ "labels": labels })
}

fn set(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn a_breach_keeps_back_the_warnings_that_led_to_it_and_no_others() {
    let alertmanager = Alertmanager::start();
    alertmanager.post(&[
        alert("RpoBreached", "backup-sla db1 shop"),
        alert("RpoAtRisk", "backup-sla db1 shop"),
        alert("BackupFailed", "backup-sla db1 shop"),
        alert("BackupMissed", "backup-sla db1 shop"),
        alert("RtoRegression", "backup-sla db1 shop"),
        alert("NoRecoveryPoint", "backup-sla db1 wiki"),
        alert("BackupFailed", "backup-sla db1 wiki"),
        // Another source, another instance, another job.
        alert("RpoAtRisk", "backup-sla db1 blog"),
        alert("RpoAtRisk", "backup-sla db2 shop"),
        alert("RpoAtRisk", "staging db1 shop"),
        // Where `source` got lost on both sides it would be equal.
        alert("RpoBreached", "backup-sla db3 -"),
        alert("BackupFailed", "backup-sla db3 -"),
        alert("RpoBreached", "- - mail"),
        alert("BackupFailed", "- - mail"),
    ]);
    let inhibited = [
        "RpoAtRisk backup-sla db1 shop",
        "BackupFailed backup-sla db1 shop",
        "BackupMissed backup-sla db1 shop",
        "BackupFailed backup-sla db1 wiki",
    ];
    wait_for("inhibition", || (alertmanager.inhibited().len() >= inhibited.len()).then_some(()));
    assert_eq!(alertmanager.inhibited(), set(&inhibited));
    // The warning that is left comes in the notification that the others would have been in.
    let tickets = set(&[
        "firing RtoRegression backup-sla db1 shop",
        "firing RpoAtRisk backup-sla db1 blog",
        "firing RpoAtRisk backup-sla db2 shop",
        "firing RpoAtRisk staging db1 shop",
        "firing BackupFailed backup-sla db3 -",
        "firing BackupFailed - - mail",
    ]);
    wait_for("the tickets", || alertmanager.inbox.of("tickets").is_superset(&tickets).then_some(()));
    assert_eq!(alertmanager.inbox.of("tickets"), tickets);
    let pages = set(&[
        "firing RpoBreached backup-sla db1 shop",
        "firing NoRecoveryPoint backup-sla db1 wiki",
        "firing RpoBreached backup-sla db3 -",
        "firing RpoBreached - - mail",
    ]);
    wait_for("the pages", || alertmanager.inbox.of("pager").is_superset(&pages).then_some(()));
    assert_eq!(alertmanager.inbox.of("pager"), pages);
}

#[test]
fn an_absent_exporter_keeps_back_the_sources_that_went_with_it_and_no_others() {
    let alertmanager = Alertmanager::start();
    alertmanager.post(&[
        // One of two instances is down.
        alert("ExporterAbsent", "backup-sla db1 -"),
        alert("SourceDisappeared", "backup-sla db1 shop"),
        alert("SourceDisappeared", "backup-sla db2 shop"),
        alert("RtoBreached", "backup-sla db1 shop"),
        // absent(): no target is left, and no instance is known.
        alert("ExporterAbsent", "staging - -"),
        alert("SourceDisappeared", "staging db1 shop"),
        alert("SourceDisappeared", "staging db2 blog"),
        // Where `job` got lost on both sides it would be equal.
        alert("ExporterAbsent", "- - -"),
        alert("SourceDisappeared", "- db4 shop"),
    ]);
    let inhibited = [
        "SourceDisappeared backup-sla db1 shop",
        "SourceDisappeared staging db1 shop",
        "SourceDisappeared staging db2 blog",
    ];
    assert_eq!(alertmanager.inhibited(), set(&inhibited));
    let tickets = set(&["firing SourceDisappeared backup-sla db2 shop", "firing SourceDisappeared - db4 shop"]);
    wait_for("the tickets", || alertmanager.inbox.of("tickets").is_superset(&tickets).then_some(()));
    assert_eq!(alertmanager.inbox.of("tickets"), tickets);
}

#[test]
fn a_repository_that_is_down_keeps_back_that_nobody_sees_it_and_no_other() {
    let of = |name: &str, place: &str, repository: &str| {
        let mut alert = alert(name, place);
        if repository != "-" {
            alert["labels"]["repository"] = repository.into();
        }
        alert
    };
    let alertmanager = Alertmanager::start();
    alertmanager.post(&[
        of("RepositoryDown", "backup-sla db1 -", "offsite"),
        of("RepositoryUnseen", "backup-sla db1 -", "offsite"),
        of("RepositoryUnseen", "staging db1 -", "onsite"),
        of("RepositoryUnseen", "backup-sla db2 -", "offsite"),
        of("RepositoryDown", "backup-sla db3 -", "-"),
        of("RepositoryUnseen", "- db3 -", "-"),
    ]);
    wait_for("inhibition", || (!alertmanager.inhibited().is_empty()).then_some(()));
    assert_eq!(alertmanager.inhibited(), set(&["RepositoryUnseen backup-sla db1 -"]));
}

#[test]
fn data_that_looks_destroyed_keeps_back_that_its_backup_has_another_size_and_no_other() {
    let alertmanager = Alertmanager::start();
    let of_kind = |place: &str, kind: &str| {
        let mut alert = alert("SizeAnomaly", place);
        alert["labels"]["kind"] = kind.into();
        alert
    };
    alertmanager.post(&[
        alert("DataSuspect", "backup-sla db1 shop"),
        of_kind("backup-sla db1 shop", "full"),
        of_kind("backup-sla db1 blog", "full"),
        of_kind("backup-sla db2 shop", "incremental"),
        alert("DataUnusual", "backup-sla db1 wiki"),
        of_kind("backup-sla db1 wiki", "full"),
        alert("DataSuspect", "backup-sla db3 -"),
        of_kind("backup-sla db3 -", "full"),
    ]);
    wait_for("inhibition", || (!alertmanager.inhibited().is_empty()).then_some(()));
    assert_eq!(alertmanager.inhibited(), set(&["SizeAnomaly backup-sla db1 shop"]));
}

#[test]
fn a_page_is_sent_and_resolved_and_the_watchdog_disturbs_nobody() {
    let alertmanager = Alertmanager::start();
    let page = alert("TestPage", "backup-sla db1 -");
    alertmanager.post(&[page.clone(), alert("Watchdog", "backup-sla db1 -")]);
    let sent = |to: &str, what: &str| {
        wait_for(what, || alertmanager.inbox.of(to).contains(what).then_some(()));
    };
    sent("pager", "firing TestPage backup-sla db1 -");
    sent("dead-mans-switch", "firing Watchdog backup-sla db1 -");
    let mut mended = page;
    mended["endsAt"] = chrono::Utc::now().to_rfc3339().into();
    alertmanager.post(&[mended]);
    sent("pager", "resolved TestPage backup-sla db1 -");
    assert!(alertmanager.inbox.of("tickets").is_empty());
    assert!(alertmanager.inbox.of("pager").iter().all(|alert| alert.contains("TestPage")));
}
