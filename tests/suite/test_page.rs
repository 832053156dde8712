//! The test page: raised here, confirmed by whoever got it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::serving::{Service, get};

/// Status and body of a `POST`.
fn post(address: &str, path: &str, header: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n{header}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn value(service: &Service, name: &str) -> f64 {
    let text = get(&service.address, "/metrics").unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("backup_sla_test_page_{name} "))).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The code, once the service has followed the ledger.
fn code(service: &Service, wanted: impl Fn(f64) -> bool) -> f64 {
    let begun = Instant::now();
    loop {
        let code = value(service, "code");
        if wanted(code) {
            return code;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the code stays {code}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_test_page_is_raised_until_its_code_comes_back() {
    let service = Service::with_web("");
    let world = &service.world;
    assert_eq!((value(&service, "code"), value(&service, "raised_timestamp_seconds")), (0.0, 0.0));
    let none = world.run(&["test-page", "--confirm", "123456"]);
    assert!(none.status == 1 && none.stderr.contains("none was ever raised"), "{none:?}");
    let raised = world.run(&["test-page"]);
    assert_eq!(raised.status, 0, "{raised:?}");
    let first = code(&service, |code| code > 0.0);
    assert!((100_000.0..1_000_000.0).contains(&first));
    assert!(!raised.stdout.contains(&format!("{first}")), "the code has to come with the page: {raised:?}");
    let again = world.run(&["test-page"]);
    assert!(again.status == 1 && again.stderr.contains("--withdraw"), "{again:?}");
    assert_eq!(world.run(&["test-page", "--confirm", "99999"]).status, 1);
    assert_eq!(value(&service, "confirmed_timestamp_seconds"), 0.0, "a wrong code proves nothing");
    let confirmed = world.run(&["test-page", "--confirm", &format!("{first}")]);
    assert!(confirmed.status == 0 && confirmed.stdout.contains("arrived: confirmed after"), "{confirmed:?}");
    code(&service, |code| code == 0.0);
    assert!(value(&service, "confirmed_timestamp_seconds") >= value(&service, "raised_timestamp_seconds"));
    let twice = world.run(&["test-page", "--confirm", &format!("{first}")]);
    assert!(twice.status == 1 && twice.stderr.contains("it was confirmed at"), "{twice:?}");

    for lasting in ["0s", "300000years"] {
        let ran = world.run(&["test-page", "--for", lasting]);
        assert!(ran.status == 2 && ran.stderr.contains("24 hours"), "{ran:?}");
    }
    let short = world.run(&["test-page", "--for", "10s", "--wait"]);
    assert!(short.status == 1 && short.stderr.contains("nobody confirmed it in time"), "{short:?}");
    code(&service, |code| code == 0.0);
    let waits = world.command(&["test-page", "--wait"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let third = code(&service, |code| code > 0.0);
    assert_eq!(world.run(&["test-page", "--confirm", &format!("{third}")]).status, 0);
    let waited = crate::support::Ran::of(waits.wait_with_output().unwrap());
    assert!(waited.status == 0 && waited.stdout.contains("arrived"), "{waited:?}");
    code(&service, |code| code == 0.0);
    world.json(&["test-page"], 0);
    code(&service, |code| code > 0.0);
    assert!(world.json(&["test-page", "--withdraw"], 0)["confirmed"].is_null());
    code(&service, |code| code == 0.0);
    let report = world.run(&["report", "--month", &chrono::Utc::now().format("%Y-%m").to_string()]);
    assert!(report.status == 0 && report.stdout.contains("arrived, confirmed after"), "{report:?}");
}

#[test]
fn a_test_page_is_raised_by_curl_from_this_machine_and_by_no_browser() {
    let service = Service::with_web("");
    for header in [
        "Origin: http://evil.example\r\n",
        "X-Forwarded-For: 192.0.2.1\r\n",
        "Via: 1.1 proxy\r\n",
        "Forwarded: for=x\r\n",
    ] {
        let (status, answer) = post(&service.address, "/-/test-page", header);
        assert_eq!(status, 403, "{answer}");
    }
    let mut stream = TcpStream::connect(&service.address).unwrap();
    write!(stream, "POST /-/test-page HTTP/1.0\r\nHost: backup.example.org\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 403 "), "as a proxy passes it on: {answer}");
    assert_eq!(post(&service.address, "/metrics", "").0, 405);
    assert!(get(&service.address, "/-/test-page").unwrap().contains(" 404 "), "looking raises nothing");
    assert_eq!(value(&service, "code"), 0.0);
    let (status, answer) = post(&service.address, "/-/test-page", "");
    assert_eq!(status, 202, "{answer}");
    code(&service, |code| code > 0.0);
    assert_eq!(post(&service.address, "/-/test-page", "").0, 409);
}

#[test]
fn without_a_service_nobody_would_hear_of_a_test_page() {
    let world = crate::files::world("", "");
    let ran = world.run(&["test-page"]);
    assert!(ran.status == 1 && ran.stderr.contains("no service runs"), "{ran:?}");
}
