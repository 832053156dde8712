use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::exporter::scrape::Exporter;
use crate::exporter::web::{Limits, Site, WebOptions, WebServer};
use crate::state::State;

pub(super) struct Served {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    pub(super) exporter: Arc<Exporter>,
    pub(super) ledger: Ledger,
    pub(super) clock: Arc<SetClock>,
    _dir: tempfile::TempDir,
}

async fn serve(listen: &str, limits: Limits) -> Served {
    serve_with(WebOptions::on(&[listen.to_owned()]), limits).await
}

pub(super) async fn serve_with(options: WebOptions, limits: Limits) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = seeded(dir.path(), &clock).await;
    let exporter = Exporter::new(State::new(Arc::new(config(dir.path(), &["agama", "new"])), clock.clone()));
    let server = WebServer::bind(options).await.unwrap().with_limits(limits);
    let address = server.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let site = Site { exporter: exporter.clone(), ledger: ledger.clone(), events: None };
    let server = tokio::spawn(server.run(Arc::new(site), async {
        let _ = stopped.await;
    }));
    Served { address, stop, server, exporter, ledger, clock, _dir: dir }
}

/// Send `request` as it is; everything that comes back until the server closes.
pub(super) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

pub(super) async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn pages_are_served_and_metrics_come_from_the_snapshot() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    assert!(get(served.address, "/-/healthy").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let early = get(served.address, "/-/ready").await;
    assert!(early.starts_with("HTTP/1.1 503 ") && early.contains("has not been read yet"), "{early}");
    assert!(get(served.address, "/metrics").await.starts_with("HTTP/1.1 503 "));

    served.exporter.state().refresh(&served.ledger).await.unwrap();
    assert!(get(served.address, "/-/ready").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let metrics = get(served.address, "/metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("\nbackup_sla_drills_total{source=\"agama\"} 2\n"), "{metrics}");
    assert!(get(served.address, "/").await.contains(">Metrics</a>"));
    assert!(get(served.address, "/secret").await.starts_with("HTTP/1.1 404 "));
    let ignored = get(served.address, "/metrics?name[]=up").await;
    assert!(ignored.starts_with("HTTP/1.1 200 "), "a query string is no other page");
}

#[tokio::test]
async fn a_change_in_the_ledger_is_served_after_a_refresh_and_age_grows_without_one() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    served.clock.advance(100);
    let aged = get(served.address, "/metrics").await;
    assert!(aged.contains("backup_sla_recovery_point_age_seconds{source=\"agama\"} 4300\n"), "{aged}");
    assert!(aged.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000600\n"), "{aged}");

    served.clock.advance(-90);
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    let unchanged = get(served.address, "/metrics").await;
    assert!(unchanged.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000610\n"), "{unchanged}");

    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
    served.ledger.begin(&drill).await.unwrap();
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    assert!(get(served.address, "/metrics").await.contains("backup_sla_drills_total{source=\"agama\"} 3\n"));
}

#[tokio::test]
async fn the_background_reader_follows_a_change_at_once() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let (exporter, ledger) = (served.exporter.clone(), served.ledger.clone());
    // The interval is longer than any test: only the wake-up can have done it.
    let reader = tokio::spawn(async move { exporter.state().keep_fresh(&ledger, Duration::from_hours(1)).await });
    wait_for(&served, "backup_sla_drills_total{source=\"agama\"} 2\n").await;
    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
    served.ledger.begin(&drill).await.unwrap();
    served.exporter.state().changed();
    wait_for(&served, "backup_sla_drills_total{source=\"agama\"} 3\n").await;
    reader.abort();
}

async fn wait_for(served: &Served, line: &str) {
    let seen = async { while !get(served.address, "/metrics").await.contains(line) {} };
    tokio::time::timeout(Duration::from_secs(20), seen).await.unwrap_or_else(|_| panic!("{line} is never served"));
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_makes_the_service_not_ready_and_keeps_the_old_figures() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    served.ledger.clone().close().await;
    assert!(served.exporter.state().refresh(&served.ledger).await.is_err());
    assert!(get(served.address, "/-/ready").await.starts_with("HTTP/1.1 503 "));
    assert!(get(served.address, "/-/healthy").await.starts_with("HTTP/1.1 200 "));
    assert!(
        get(served.address, "/metrics").await.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000600\n")
    );
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_refused() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    let head = exchange(served.address, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(!head.contains("backup_sla_drills_total"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request =
            format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let refused = exchange(served.address, &request).await;
        assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
    }
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut() {
    let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = serve("127.0.0.1:0", limits).await;
    for request in ["", "GET /-/healthy HTTP/1.1\r\nHos"] {
        let cut = tokio::time::timeout(Duration::from_secs(20), exchange(served.address, request)).await;
        let answer = cut.expect("the server closes the connection");
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_gives_its_slot_back() {
    let limits = Limits {
        connections: 1,
        lifetime: Duration::from_millis(300),
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let served = serve("127.0.0.1:0", limits).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    let mut greedy = TcpStream::connect(served.address).await.unwrap();
    // Far more answers than the kernel buffers, none of them read; it stops taking requests at some point.
    let requests = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000);
    let flood = tokio::spawn(async move {
        let _ = greedy.write_all(requests.as_bytes()).await;
        std::future::pending::<()>().await;
    });
    let answer = tokio::time::timeout(Duration::from_secs(20), get(served.address, "/-/healthy")).await;
    assert!(answer.expect("the only slot is free again").starts_with("HTTP/1.1 200 "));
    flood.abort();
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: a\r\n".repeat(200));
    for request in [long, many] {
        let answer = exchange(served.address, &request).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert!(get(served.address, "/-/healthy").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn every_address_serves_both_families() {
    let served = serve("[::]:0", Limits::default()).await;
    let port = served.address.port();
    assert!(get(([127, 0, 0, 1], port).into(), "/-/healthy").await.starts_with("HTTP/1.1 200 "));
    let short = WebServer::bind(WebOptions::on(&[":0".to_owned()])).await.unwrap();
    assert!(short.addresses()[0].ip().is_unspecified());
}

#[tokio::test]
async fn an_address_in_use_or_unreadable_is_a_clear_error() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let error = WebServer::bind(WebOptions::on(&[served.address.to_string()])).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on `{}`", served.address)), "{error}");
    assert!(error.hint_text().unwrap().contains("listen_addresses"));
    let error = WebServer::bind(WebOptions::on(&["nonsense".to_owned()])).await.unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

#[tokio::test]
async fn shutdown_closes_the_door_at_once_and_ends_idle_connections() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    served.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(20), served.server).await.expect("the server ends").unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let limits = Limits { connections: 8, connections_per_client: 4, ..Limits::default() };
    let served = serve("127.0.0.1:0", limits).await;
    let mut greedy = Vec::new();
    for _ in 0..20 {
        greedy.push(TcpStream::connect(served.address).await.unwrap());
    }
    // Those above the limit are closed at once, the others wait for a request.
    let mut closed = 0;
    for stream in &mut greedy[4..] {
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
        closed += usize::from(!matches!(ended, Ok(Ok(1..))));
    }
    assert_eq!(closed, 16);
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(served.address).await.unwrap();
    other.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn metrics_are_where_they_were_put_and_nowhere_else() {
    let options = WebOptions { telemetry_path: "/figures".into(), ..WebOptions::on(&["127.0.0.1:0".to_owned()]) };
    let served = serve_with(options, Limits::default()).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    assert!(get(served.address, "/figures").await.contains("backup_sla_drills_total"));
    assert!(get(served.address, "/metrics").await.starts_with("HTTP/1.1 404 "));
    for wrong in ["metrics", "/", "/-/healthy", "/-", "/api/v1/x", "/sources/a", "/a b", "/a?b", ""] {
        let options = WebOptions { telemetry_path: wrong.into(), ..WebOptions::on(&["127.0.0.1:0".to_owned()]) };
        let error = WebServer::bind(options).await.unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong}: {error}");
    }
}

#[tokio::test]
async fn sockets_that_listen_already_are_served_and_at_least_one_is_needed() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let served = serve_with(WebOptions { sockets: vec![socket], ..WebOptions::on(&[]) }, Limits::default()).await;
    assert_eq!(served.address, address);
    assert!(get(address, "/-/healthy").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(WebServer::bind(WebOptions::on(&[])).await.unwrap_err().exit_code(), 2);
}

#[tokio::test]
async fn the_body_of_a_request_is_not_waited_for() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    for framing in ["Content-Length: 1000000000000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let request = format!("GET /-/healthy HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        ended.expect("the connection is closed instead of reading on").unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{framing}");
    }
}
