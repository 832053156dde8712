//! What good files yield.

use std::any::Any;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::super::{MaintenanceConfig, RepositoryKind, Schedule, SchedulerConfig, SourceConfig};
use super::{Directory, GOOD};
use crate::domain::drill_choice::Policy;
use crate::domain::schedule::{Timing, Work};
use crate::engine::assertion::Question;
use crate::engine::files::FilesConfig;
use crate::engine::mysql::MysqlConfig;

const INTERFACE: &str = include_str!("interface.toml");

#[test]
fn the_documented_example_is_valid_and_every_value_arrives() {
    let directory = Directory::new(&["offsite.key", "agama.pw"]);
    let config = directory.parse(INTERFACE).unwrap();

    assert_eq!(config.state_dir, Path::new("/var/lib/backup-sla"));
    assert_eq!(config.web.listen_addresses, ["[::]:10909"]);
    assert_eq!(config.web.config_file.as_deref(), Some(directory.path().join("web.yml").as_path()));
    let offsite = &config.repositories["offsite"];
    assert_eq!((offsite.kind, offsite.name.as_str()), (RepositoryKind::Restic, "offsite"));
    assert_eq!(offsite.url, "sftp://backup@backup.example.org/srv/backup");
    assert_eq!(offsite.password.as_ref().unwrap().expose_secret(), "offsite.key-secret");
    assert!(config.repositories["recipe"].password.is_none());
    let notes = config.not_enforced();
    assert!(
        notes[0].starts_with("nothing removes recovery points that are older than `retention`")
            && notes[0].contains("`offsite`"),
        "{notes:?}"
    );
    assert_eq!(config.warnings(), ["repository `recipe` is not encrypted (`encryption = \"none\"`)"]);

    let agama = &config.sources["agama"];
    assert_eq!((agama.name.as_str(), agama.repository.as_str(), agama.kind.name()), ("agama", "offsite", "mysql"));
    assert_eq!(agama.objectives.rpo, Duration::from_hours(24));
    assert_eq!(agama.objectives.rto, Duration::from_hours(5));
    assert_eq!(agama.objectives.retention, Duration::from_hours(30 * 24));
    assert_eq!((agama.objectives.max_chain_length, agama.objectives.objective_ratio), (100, 0.99));
    assert_eq!(written(agama.schedule.full.as_ref()), "0 2 * * *");
    assert_eq!(written(agama.schedule.incremental.as_ref()), "*/15 * * * *");
    assert_eq!(written(agama.schedule.drill.as_ref()), "30 4 * * *");
    let mysql: &MysqlConfig = table(agama);
    assert_eq!(mysql.socket.as_deref(), Some(Path::new("/run/mysqld/mysqld.sock")));
    assert_eq!((mysql.user.as_str(), mysql.databases.as_slice()), ("backup", ["agama".to_owned()].as_slice()));
    assert_eq!(mysql.password.as_ref().unwrap().expose_secret(), "agama.pw-secret");
    assert_eq!((agama.sandbox.kind.as_str(), agama.sandbox.memory), ("local", 1 << 30));
    assert_eq!(agama.assertions.len(), 1);
    assert_eq!(agama.assertions[0].name, "orders are fresh");
    assert!(
        matches!(&agama.assertions[0].question, Question::Query(query) if query.starts_with("SELECT COUNT(*) > 0"))
    );
    let files: &FilesConfig = table(&config.sources["ansible"]);
    assert_eq!(
        (files.paths.as_slice(), files.exclude.as_slice()),
        (&["/srv/ansible".into()][..], &["*.retry".into()][..])
    );
    assert_eq!(files.assertion_timeout, Duration::from_mins(10));
    let command = ["ansible-playbook", "--syntax-check", "site.yml"].map(str::to_owned).to_vec();
    assert_eq!(config.sources["ansible"].assertions[0].question, Question::Command(command));
}

/// The table of the kind that a source has.
fn table<T: 'static>(source: &SourceConfig) -> &T {
    let settings: &dyn Any = &*source.settings;
    settings.downcast_ref().unwrap()
}

fn written(timing: Option<&Timing>) -> String {
    timing.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn what_is_not_built_is_named_with_its_place_and_its_owner() {
    let directory = Directory::new(&["offsite.key", "agama.pw"]);
    let config = directory.parse(INTERFACE).unwrap();
    let rows: Vec<_> = config
        .not_built
        .iter()
        .map(|f| (f.source.as_deref().unwrap_or("-"), f.repository.as_deref().unwrap_or("-"), f.sentence.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("-", "offsite", "line 10, column 1: a restic repository at a `sftp://` url is not built yet"),
            ("-", "recipe", "line 53, column 1: repository kind `duplicity` is not built yet"),
            ("legacy", "-", "line 64, column 1: `dump_file` (backups made elsewhere) is not built yet"),
        ]
    );
    let legacy: Vec<_> = config.not_built_of("legacy").map(|feature| feature.sentence.as_str()).collect();
    assert_eq!(legacy.len(), 2, "its own `dump_file` and the kind of its repository: {legacy:?}");
}

#[test]
fn a_minimal_file_gets_the_documented_defaults() {
    let directory = Directory::new(&["key"]);
    let config = directory.parse(GOOD).unwrap();
    assert_eq!(config.not_built, []);
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(config.state_dir, Path::new("/var/lib/backup-sla"));
    assert_eq!(config.timezone, chrono_tz::Tz::UTC);
    assert_eq!(config.web.listen_addresses, ["[::]:10909"]);
    assert_eq!(config.web.config_file, None);
    assert_eq!(config.repositories["offsite"].url, directory.path().join("store").to_str().unwrap());
    let shop = &config.sources["shop"];
    assert_eq!((shop.objectives.max_chain_length, shop.objectives.objective_ratio), (100, 0.99));
    assert_eq!(shop.schedule, Schedule::default());
    assert_eq!(shop.time_limit(Work::FullBackup), Duration::from_hours(24));
    assert_eq!(shop.time_limit(Work::Drill), shop.objectives.rto * 2);
    assert_eq!(config.scheduler, SchedulerConfig::default());
    assert_eq!(config.maintenance, MaintenanceConfig::default());
    assert_eq!((shop.sandbox.kind.as_str(), shop.sandbox.memory), ("local", 1 << 30));
    assert!(shop.sandbox.programs.is_none() && shop.sandbox.image.is_none() && shop.assertions.is_empty());
    let mysql: &MysqlConfig = table(shop);
    assert_eq!(mysql.port, 3306);
    assert!(mysql.password.is_none() && mysql.databases.is_empty() && mysql.tls_ca.is_none());
    assert!(!mysql.user.is_empty(), "the default user is the one who runs us");
}

#[test]
fn every_optional_key_arrives() {
    let directory = Directory::new(&["key", "ca.pem"]);
    let server = r#"host = "db.example.org"
port = 3307
tls = { ca = "ca.pem" }
programs = "bin"
password_env = "BACKUP_KEY"
[source.shop.sandbox]
memory = "512MiB"
programs = "/opt/mariadb/bin"
[web]
listen_addresses = [":0", "localhost:9000"]
[scheduler]
backups = 3
drills = 2
listing_interval = "1m"
listing_timeout = "2m"
drain = "5m"
[source.shop.schedule]
full = "0 2 * * *"
jitter = "10m"
backup_timeout = "6h"
drill_timeout = "7h""#;
    let text = GOOD
        .replace("socket = \"/run/mysqld/mysqld.sock\"", server)
        .replace("url = \"store\"", "url = \"file:///srv/store\"");
    let config = directory.parse(&format!("state_dir = \"state\"\ntimezone = \"Europe/Berlin\"\n{text}")).unwrap();
    assert_eq!(config.state_dir, directory.path().join("state"));
    assert_eq!(config.timezone, chrono_tz::Tz::Europe__Berlin);
    assert_eq!(config.web.listen_addresses, ["[::]:0", "localhost:9000"]);
    assert_eq!(config.repositories["offsite"].url, "/srv/store");
    assert_eq!(config.not_built, []);
    let (minutes, hours) = (Duration::from_mins, Duration::from_hours);
    let (listing_interval, listing_timeout) = (minutes(1), minutes(2));
    let scheduler = SchedulerConfig { backups: 3, drills: 2, listing_interval, listing_timeout, drain: minutes(5) };
    assert_eq!(config.scheduler, scheduler);
    let shop = &config.sources["shop"];
    assert_eq!((shop.schedule.jitter, shop.time_limit(Work::FullBackup)), (minutes(10), hours(6)));
    assert_eq!(shop.time_limit(Work::Drill), hours(7));
    assert_eq!(shop.sandbox.memory, 512 << 20);
    assert_eq!(shop.sandbox.programs.as_deref(), Some(Path::new("/opt/mariadb/bin")));
    let mysql: &MysqlConfig = table(shop);
    assert_eq!((mysql.host.as_deref(), mysql.port), (Some("db.example.org"), 3307));
    assert_eq!(mysql.tls_ca.as_deref(), Some(directory.path().join("ca.pem").as_path()));
    assert_eq!(mysql.programs.as_deref(), Some(directory.path().join("bin").as_path()));
    assert_eq!(mysql.password.as_ref().unwrap().expose_secret(), "from the environment");
}

#[test]
fn no_password_is_ever_shown() {
    let directory = Directory::new(&["offsite.key", "agama.pw"]);
    let shown = format!("{:?}", directory.parse(INTERFACE).unwrap());
    assert!(!shown.contains("-secret"), "{shown}");
    let inline = GOOD.replace("password_file = \"key\"", "password = \"hunter2\"\npasswd = \"hunter2\"");
    let problems = directory.problems(&inline).join("\n");
    assert!(problems.contains("does not belong in this file") && !problems.contains("hunter2"), "{problems}");
}

#[test]
fn maintenance_says_when_what_else_is_kept_and_how_soon_all_is_read() {
    let directory = Directory::new(&["key"]);
    let table = "[maintenance]\nschedule = \"0 6 * * *\"\nkeep = { daily = 7, monthly = 12 }\ncheck = { read_all_within = \"10d\" }\n";
    let config = directory.parse(&format!("{GOOD}{table}")).unwrap();
    let maintenance = &config.maintenance;
    assert_eq!(written(maintenance.schedule.as_ref()), "0 6 * * *");
    assert_eq!((maintenance.keep.daily, maintenance.keep.weekly, maintenance.keep.monthly), (7, 0, 12));
    assert_eq!(maintenance.read_all_within, Duration::from_hours(240));
    assert_eq!(maintenance.timeout, Duration::from_hours(12));
    assert!(config.not_enforced().is_empty());
    let rare = format!("{GOOD}[maintenance]\nschedule = \"@every 11d\"\ncheck = {{ read_all_within = \"10d\" }}\n");
    let error = directory.parse(&rare).unwrap_err().to_string();
    assert!(error.contains("`schedule` must come at least once within `read_all_within` (10d)"), "{error}");
    let error = directory.parse(&format!("{GOOD}[maintenance]\nkeep = {{ daili = 7 }}\n")).unwrap_err().to_string();
    assert!(error.contains("daily"), "{error}");
}

#[test]
fn what_drills_try_beside_the_newest_point_has_a_default_and_each_can_be_left_out() {
    let directory = Directory::new(&["key"]);
    let usual = &directory.parse(GOOD).unwrap().sources["shop"];
    let days = |days: u64| Some(Duration::from_hours(24 * days));
    assert_eq!(usual.drills, Policy { closed_chains: true, random: days(7), oldest: days(30) });
    assert_eq!((usual.max_replay, usual.closing_proof_age()), (None, None));
    let with = |drills: &str| directory.parse(&format!("{GOOD}[source.shop.drills]\n{drills}"));
    let same = with("newest = \"every\"\nclosed_chain = \"every\"\nrandom = \"7d\"\noldest = \"30d\"").unwrap();
    assert_eq!(same.sources["shop"].drills, usual.drills);
    let few = with("closed_chain = \"never\"\nrandom = \"never\"\noldest = \"every\"").unwrap();
    let few = &few.sources["shop"].drills;
    assert_eq!(*few, Policy { closed_chains: false, random: None, oldest: Some(Duration::ZERO) });
    let error = with("newest = \"never\"").unwrap_err().to_string();
    assert!(error.contains("`newest` is always \"every\"") && error.contains("take `drill` out"), "{error}");
    assert!(with("closed_chain = \"7d\"").unwrap_err().to_string().contains("closed_chain"));
}

#[test]
fn closing_proofs_are_due_where_increments_fulls_and_drills_are_scheduled() {
    let directory = Directory::new(&["key"]);
    let with = |schedule: &str, more: &str| {
        let text = format!("{GOOD}[source.shop.schedule]\n{schedule}\n{more}");
        let source = directory.parse(&text).unwrap().sources["shop"].clone();
        source.closing_proof_age().map(|age| age.checked_sub(source.objectives.drill_interval).unwrap())
    };
    let all = "full = \"@every 12h\"\nincremental = \"@every 5m\"\ndrill = \"@every 24h\"";
    assert_eq!(with(all, ""), Some(Duration::from_hours(24)));
    assert_eq!(with(all, "[source.shop.drills]\nclosed_chain = \"never\""), None);
    assert_eq!(with("full = \"@every 12h\"\ndrill = \"@every 24h\"", ""), None);
    assert_eq!(with("full = \"@every 12h\"\nincremental = \"@every 5m\"", ""), None);
}

#[test]
fn increments_are_taken_at_times_or_all_the_time() {
    let read = |incremental: &str| {
        let schedule =
            format!("sla = \"standard\"\nschedule = {{ full = \"0 2 * * *\", incremental = {incremental} }}");
        let config = Directory::new(&["key"]).parse(&GOOD.replace("sla = \"standard\"", &schedule)).unwrap();
        let schedule = config.sources["shop"].schedule.clone();
        assert!(schedule.has_increments());
        (schedule.incremental.is_some(), schedule.continuous.map(|it| (it.interval.as_secs(), it.size >> 20)))
    };
    assert_eq!(read("\"@every 15m\""), (true, None));
    assert_eq!(read("\"continuous\""), (false, Some((10, 16))));
    assert_eq!(read("{ interval = \"1m\" }"), (false, Some((60, 16))));
    assert_eq!(read("{ interval = \"1h\", size = \"1MiB\" }"), (false, Some((3600, 1))));
}
