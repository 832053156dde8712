//! The service manager's side: what the service tells it, what it hands over, and what its unit may forbid. No systemd runs
//! here: its own programs do (`systemd-analyze`, `systemd-socket-activate`), and a socket that listens as it would.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::service::get;
use crate::support::{Ran, Running, finish, wait_for};

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/backup-sla.service")
}

/// What is said on `socket` until `wanted` is.
fn hear(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut heard = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !heard.iter().any(|line: &String| line.starts_with(wanted)) {
        assert!(Instant::now() < deadline, "no {wanted} in {heard:?}");
        let mut buffer = [0; 4096];
        if let Ok(length) = socket.recv(&mut buffer) {
            heard.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
        }
    }
    heard
}

#[test]
fn the_manager_hears_when_it_is_ready_alive_reloading_and_stopping() {
    let world = crate::service::world("{ full = \"0 0 29 2 *\" }");
    let path = world.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut service = Running(
        world
            .command(&["serve", "--web.listen-address", "127.0.0.1:0"])
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "1000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    hear(&socket, "READY=1");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");
    let pid = Pid::from_child(&service.0);
    kill_process(pid, Signal::HUP).unwrap();
    let reload = hear(&socket, "RELOADING=1");
    assert!(reload.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reload:?}");
    hear(&socket, "READY=1");
    kill_process(pid, Signal::TERM).unwrap();
    let end = hear(&socket, "STOPPING=1");
    assert!(end.iter().any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")), "{end:?}");
    assert!(service.0.wait().unwrap().success());
}

#[test]
fn a_socket_that_was_meant_for_another_process_is_not_taken() {
    let world = crate::service::world("{ full = \"0 0 29 2 *\" }");
    for other in [Some("1"), None] {
        let mut command = world.command(&["serve", "--web.listen-address", "127.0.0.1:0"]);
        command.env("LISTEN_FDS", "1").env_remove("LISTEN_PID").stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(other) = other {
            command.env("LISTEN_PID", other);
        }
        let mut service = Running(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on http://127.0.0.1:"), "{line}");
    }
}

#[test]
fn a_socket_of_the_manager_is_served() {
    let world = crate::service::world("{ full = \"0 0 29 2 *\" }");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(free.to_string()).arg(crate::support::PROGRAM);
    command.arg("--config").arg(world.path("config.toml")).arg("serve");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut service = Running(command.spawn().expect("systemd-socket-activate is needed (Debian package systemd)"));
    // It waits for the first connection, then becomes the service, which finds the socket.
    wait_for("the socket", || std::net::TcpStream::connect(free).ok());
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), format!("listening on http://{free}/metrics"));
    assert!(get(&free.to_string(), "/-/ready").starts_with("HTTP/1.1 200"));
    kill_process(Pid::from_child(&service.0), Signal::TERM).unwrap();
    assert!(service.0.wait().unwrap().success());
}

fn said(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")))
}

#[test]
fn the_unit_is_valid_and_as_closed_as_its_work_allows() {
    // The program is where the package puts it, not here.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("backup-sla.service");
    fs::write(&copy, fs::read_to_string(unit()).unwrap().replace("/usr/bin/backup-sla", "/bin/true")).unwrap();
    let verified = said(Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&copy));
    assert!(verified.status == 0 && verified.stderr.is_empty(), "{verified:?}");
    let judged =
        said(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=58"]).arg(&copy));
    assert_eq!(judged.status, 0, "{judged:?}");
}

/// Values of `key` in the unit.
fn values(key: &str) -> Vec<String> {
    let text = fs::read_to_string(unit()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// System calls that the unit's filter forbids.
fn forbidden_calls() -> Vec<String> {
    let mut calls = Vec::new();
    for set in values("SystemCallFilter") {
        let set = set.trim_start_matches('~');
        let listed = said(Command::new("systemd-analyze").args(["syscall-filter", set]));
        assert_eq!(listed.status, 0, "{listed:?}");
        let names = listed.stdout.lines().skip(1).map(str::trim).filter(|line| !line.starts_with(['#', '@']));
        calls.extend(names.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    for known in ["reboot", "swapon", "init_module", "clock_settime", "iopl"] {
        assert!(calls.iter().any(|call| call == known), "{known} is not in {calls:?}");
    }
    calls
}

#[test]
fn every_kind_works_with_the_powers_and_places_that_the_unit_leaves() {
    assert!(rustix::process::geteuid().is_root(), "the unit is root's: run the suite as root");
    assert_eq!((values("NoNewPrivileges"), values("ProtectSystem")), (vec!["yes".into()], vec!["full".into()]));
    let powers: Vec<String> = values("CapabilityBoundingSet")
        .iter()
        .map(|power| format!("+{}", power.trim_start_matches("CAP_").to_lowercase()))
        .collect();
    assert!(powers.len() > 10, "{powers:?}");
    assert_eq!(values("ProtectControlGroups"), ["yes"]);
    // What ProtectSystem=full, ProtectHome=read-only and ProtectControlGroups make of the file system.
    let script = "for place in /usr /boot /etc /home /root /sys/fs/cgroup; do \
        if [ -d $place ]; then mount --bind $place $place && mount -o remount,bind,ro $place || exit 99; fi; done; \
        if touch /etc/backup-sla-test 2>/dev/null; then exit 98; fi; \
        exec setpriv --no-new-privs --bounding-set=-all,$POWERS -- \"$0\" demo --once";
    // The filter itself would need systemd: what it forbids must not be called by us or by anything we start.
    let directory = tempfile::tempdir().unwrap();
    let calls = directory.path().join("calls");
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--seccomp-bpf", "--quiet=all", "--signal=none", "--output"]).arg(&calls);
    command.arg("--trace").arg(forbidden_calls().iter().map(|call| format!("?{call}")).collect::<Vec<_>>().join(","));
    command.args(["unshare", "--mount", "--propagation", "private", "--"]);
    command.args(["sh", "-c", script, crate::support::PROGRAM]);
    command.env("POWERS", powers.join(",")).env("TMPDIR", "/tmp").stdin(Stdio::null());
    let ran = finish(command);
    assert_eq!(ran.status, 0, "{ran:?}");
    for source in ["ansible", "shop", "telegraf"] {
        assert!(ran.stdout.contains(&format!("{source}: PASSED")), "{ran:?}");
    }
    let calls = fs::read_to_string(&calls).expect("strace is needed (Debian package strace)");
    // Who is killed while it is being looked at leaves a line, too.
    let calls: Vec<&str> = calls.lines().filter(|line| !line.contains("<detached ...>")).collect();
    assert_eq!(calls, Vec::<&str>::new());
}
