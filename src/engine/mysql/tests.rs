//! A stream that tries to reach through the client program, which runs on this host as we do.

use std::fs;
use std::path::{Path, PathBuf};

use super::account::Account;
use super::connection::Session;
use super::replay::Replay;
use super::server;
use super::tool::Tools;
use crate::clock::SystemClock;
use crate::domain::manifest::Manifest;
use crate::domain::needs::Needs;
use crate::run_context::{Cancel, RunContext};
use crate::sandbox::contract::{self, Subject};
use crate::sandbox::local::{LocalSandbox, tests::bench::bench};
use crate::sandbox::{Access, Place, Sandbox, SandboxSpec, ServerSpec, Text};

pub fn manifest(product: &str, series: &str) -> Manifest {
    serde_json::from_value(serde_json::json!({
        "format": 1, "id": "p", "source": "shop", "engine": "mysql", "kind": "full", "created_by": "0.1", "tool": "",
        "as_of": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
        "server": {"product": product, "version": series, "series": series},
        "files": [], "inventory": {"tables": [], "objects": []},
    }))
    .unwrap()
}

/// Play each of a set of hostile streams; nothing may come of them on this host.
fn client_is_deaf(product: &str, series: &str, programs: Option<&Path>) {
    let manifest = manifest(product, series);
    let spec = server::spec(&manifest, &Needs::default(), programs, 1 << 30);
    let state = tempfile::tempdir().unwrap();
    let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
    let spec = SandboxSpec::Server(Box::new(spec));
    let mut instance = sandbox.provision(&spec, "run", &RunContext::silent()).unwrap();
    instance.start(&RunContext::silent()).unwrap();
    let SandboxSpec::Server(server) = &spec else { unreachable!() };
    let account = Account::of_sandbox(instance.access().socket.clone(), server.user.clone());
    let tools = Tools::find(&manifest.server, programs).unwrap();
    Session::open(&account).unwrap().rows("CREATE DATABASE d; CREATE TABLE d.t (a VARCHAR(99))").unwrap();

    let outside = tempfile::tempdir().unwrap();
    let at = |name: &str| outside.path().join(name).display().to_string();
    fs::write(at("secret"), "INSERT INTO d.t VALUES ('read');\n").unwrap();
    let streams = [
        format!("\\! touch {}\n", at("1")),
        format!("system touch {}\n", at("2")),
        format!("SELECT 1;\n\\! touch {}\nSELECT 2;\n", at("3")),
        format!("SELECT 1 \\! touch {}\n;\n", at("4")),
        format!("pager cat > {}\nSELECT 1;\n", at("5")),
        format!("\\P cat > {}\nSELECT 1;\n", at("6")),
        format!("tee {}\nSELECT 1;\n", at("7")),
        format!("\\T {}\nSELECT 1;\n", at("8")),
        format!("source {}\n", at("secret")),
        format!("\\. {}\n", at("secret")),
        format!("USE d;\nLOAD DATA LOCAL INFILE '{}' INTO TABLE t;\n", at("secret")),
        format!("SET GLOBAL local_infile = ON;\nUSE d;\nLOAD DATA LOCAL INFILE '{}' INTO TABLE t;\n", at("secret")),
        format!("DELIMITER //\nSELECT 1//\n\\! touch {}\n//\n", at("9")),
    ];
    for stream in &streams {
        let mut replay = Replay::start(&tools, &account, &Cancel::default()).unwrap();
        // Most are refused; what matters is that nothing came of them.
        let _ = replay.write(stream.as_bytes()).and_then(|()| replay.finish());
    }
    let names: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(Session::open(&account).unwrap().column("SELECT a FROM d.t").unwrap(), Vec::<String>::new());
    // The client does take what is SQL.
    let mut replay = Replay::start(&tools, &account, &Cancel::default()).unwrap();
    replay.write(b"INSERT INTO d.t VALUES ('loaded');\n").unwrap();
    replay.finish().unwrap();
    assert_eq!(Session::open(&account).unwrap().column("SELECT a FROM d.t").unwrap(), ["loaded"]);
    instance.destroy().unwrap();
}

#[test]
fn mariadbs_client_takes_no_commands_and_reads_no_files_for_a_stream() {
    client_is_deaf("MariaDB", "10.11", None);
}

#[test]
fn mysqls_client_takes_no_commands_and_reads_no_files_for_a_stream() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    client_is_deaf("MySQL", "9.7", Some(&programs));
}

/// A server as a drill has it, and its own account, which may do everything.
fn with_drill_account(
    product: &str,
    series: &str,
    needs: &Needs,
    programs: Option<&Path>,
    test: impl Fn(&mut Session),
) {
    let spec = server::spec(&manifest(product, series), needs, programs, 1 << 30);
    let state = tempfile::tempdir().unwrap();
    let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
    let user = spec.user.clone();
    let mut instance = sandbox.provision(&SandboxSpec::Server(Box::new(spec)), "run", &RunContext::silent()).unwrap();
    instance.start(&RunContext::silent()).unwrap();
    let account = Account::of_sandbox(instance.access().socket.clone(), user);
    test(&mut Session::open(&account).unwrap());
    instance.destroy().unwrap();
}

#[test]
fn mariadb_in_a_drill_loads_the_plugins_that_it_began_with_and_no_other() {
    let needs = Needs { engines: [("ARCHIVE".to_owned(), "ha_archive.so".to_owned())].into(), ..Needs::default() };
    with_drill_account("MariaDB", "10.11", &needs, None, |session| {
        assert_eq!(
            session
                .value("SELECT SUPPORT FROM information_schema.ENGINES WHERE ENGINE = 'ARCHIVE'")
                .unwrap()
                .as_deref(),
            Some("YES")
        );
        session.rows("CREATE DATABASE d; CREATE TABLE d.a (a INT) ENGINE=ARCHIVE").unwrap();
    });
    for needs in [needs, Needs::default()] {
        with_drill_account("MariaDB", "10.11", &needs, None, |session| {
            for sql in [
                "INSTALL SONAME 'ha_blackhole'",
                "INSTALL PLUGIN server_audit SONAME 'server_audit'",
                "CREATE FUNCTION f RETURNS INT SONAME 'ha_blackhole.so'",
            ] {
                let refused = session.ask(sql).unwrap().unwrap_err();
                assert_eq!(refused.number, 1126, "{sql}: {refused}");
            }
        });
    }
}

#[test]
fn mysql_in_a_drill_loads_no_plugin_and_no_component() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    with_drill_account("MySQL", "9.7", &Needs::default(), Some(&programs), |session| {
        for sql in [
            "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'",
            "INSTALL COMPONENT 'file://component_validate_password'",
            "CREATE FUNCTION keyring_key_fetch RETURNS STRING SONAME 'keyring_udf.so'",
            "CREATE FUNCTION service_get_read_locks RETURNS INT SONAME 'locking_service.so'",
        ] {
            assert!(session.ask(sql).unwrap().is_err(), "{sql}");
        }
    });
}

fn drill_account(spec: &ServerSpec, access: &Access) -> Session {
    Session::open(&Account::of_sandbox(access.socket.clone(), spec.user.clone())).unwrap()
}

/// A product as drills ask for it.
fn subject(product: &str, series: &str, programs: Option<&Path>) -> Subject {
    let spec = server::spec(&manifest(product, series), &Needs::default(), programs, 1 << 30);
    let (mut silent, mut broken) = (spec.clone(), spec.clone());
    silent.options.push(("socket".to_owned(), Text::from(Place::Own).then("/other.sock")));
    broken.options.push(("no-such-option".to_owned(), "1".into()));
    Subject {
        spec,
        silent,
        broken: (broken, "no-such-option"),
        mark: |spec, access| drop(drill_account(spec, access).rows("CREATE DATABASE marked").unwrap()),
        is_marked: |spec, access| {
            drill_account(spec, access).column("SHOW DATABASES LIKE 'marked'").unwrap() == ["marked"]
        },
    }
}

#[test]
fn mariadb_in_a_local_sandbox_keeps_the_contract() {
    let test = "engine::mysql::tests::mariadb_in_a_local_sandbox_keeps_the_contract";
    contract::run(bench, &subject("MariaDB", "10.11", None), test);
}

#[test]
fn mysql_in_a_local_sandbox_keeps_the_contract() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    let test = "engine::mysql::tests::mysql_in_a_local_sandbox_keeps_the_contract";
    contract::run(bench, &subject("MySQL", "9.7", Some(&programs)), test);
}

#[test]
fn a_server_keeps_no_binary_log_and_takes_its_settings_from_nowhere_else() {
    let programs: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
    for (product, series, programs) in [("MariaDB", "10.11", None), ("MySQL", "9.7", Some(programs.as_path()))] {
        with_drill_account(product, series, &Needs::default(), programs, |session| {
            let settings = "SELECT CONCAT_WS(' ', IF(@@log_bin, 1, 0), IF(@@skip_networking, 1, 0), \
                 IF(@@local_infile, 1, 0), @@event_scheduler)";
            assert_eq!(session.value(settings).unwrap().as_deref(), Some("0 1 0 OFF"), "{product}");
        });
    }
}
