use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::exporter::refresh::Exporter;
use crate::exporter::web::{Limits, Site, WebServer};

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    exporter: Arc<Exporter>,
    ledger: Ledger,
    clock: Arc<SetClock>,
    _dir: tempfile::TempDir,
}

async fn serve(listen: &str, limits: Limits) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let ledger = seeded(dir.path(), &clock).await;
    let exporter = Exporter::new(Arc::new(config(dir.path(), &["agama", "new"])), clock.clone());
    let server = WebServer::bind(&[listen.to_owned()]).await.unwrap().with_limits(limits);
    let address = server.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let site = Site { exporter: exporter.clone(), ledger: ledger.clone() };
    let server = tokio::spawn(server.run(Arc::new(site), async {
        let _ = stopped.await;
    }));
    Served { address, stop, server, exporter, ledger, clock, _dir: dir }
}

/// Send `request` as it is; everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn pages_are_served_and_metrics_come_from_the_snapshot() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    assert!(get(served.address, "/-/healthy").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let early = get(served.address, "/-/ready").await;
    assert!(early.starts_with("HTTP/1.1 503 ") && early.contains("has not been read yet"), "{early}");
    assert!(get(served.address, "/metrics").await.starts_with("HTTP/1.1 503 "));

    served.exporter.refresh(&served.ledger).await.unwrap();
    assert!(get(served.address, "/-/ready").await.starts_with("HTTP/1.1 200 OK\r\n"));
    let metrics = get(served.address, "/metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("\nbackup_sla_drills_total{source=\"agama\"} 2\n"), "{metrics}");
    assert!(get(served.address, "/").await.contains("<a href=\"metrics\">"));
    assert!(get(served.address, "/secret").await.starts_with("HTTP/1.1 404 "));
    let ignored = get(served.address, "/metrics?name[]=up").await;
    assert!(ignored.starts_with("HTTP/1.1 200 "), "a query string is no other page");
}

#[tokio::test]
async fn a_change_in_the_ledger_is_served_after_a_refresh_and_age_grows_without_one() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    served.exporter.refresh(&served.ledger).await.unwrap();
    served.clock.advance(100);
    let aged = get(served.address, "/metrics").await;
    assert!(aged.contains("backup_sla_recovery_point_age_seconds{source=\"agama\"} 4300\n"), "{aged}");
    assert!(aged.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000600\n"), "{aged}");

    served.clock.advance(-90);
    served.exporter.refresh(&served.ledger).await.unwrap();
    let unchanged = get(served.address, "/metrics").await;
    assert!(unchanged.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000610\n"), "{unchanged}");

    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None };
    served.ledger.begin(&drill).await.unwrap();
    served.exporter.refresh(&served.ledger).await.unwrap();
    assert!(get(served.address, "/metrics").await.contains("backup_sla_drills_total{source=\"agama\"} 3\n"));
}

#[tokio::test]
async fn the_background_reader_follows_a_change_at_once() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let (exporter, ledger) = (served.exporter.clone(), served.ledger.clone());
    // The interval is longer than any test: only the wake-up can have done it.
    let reader = tokio::spawn(async move { exporter.keep_fresh(&ledger, Duration::from_hours(1)).await });
    wait_for(&served, "backup_sla_drills_total{source=\"agama\"} 2\n").await;
    let drill = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None };
    served.ledger.begin(&drill).await.unwrap();
    served.exporter.changed();
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
    served.exporter.refresh(&served.ledger).await.unwrap();
    served.ledger.clone().close().await;
    assert!(served.exporter.refresh(&served.ledger).await.is_err());
    assert!(get(served.address, "/-/ready").await.starts_with("HTTP/1.1 503 "));
    assert!(get(served.address, "/-/healthy").await.starts_with("HTTP/1.1 200 "));
    assert!(
        get(served.address, "/metrics").await.contains("backup_sla_ledger_last_read_timestamp_seconds 1790000600\n")
    );
}

#[tokio::test]
async fn head_has_no_body_and_other_methods_are_refused() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    served.exporter.refresh(&served.ledger).await.unwrap();
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
    served.exporter.refresh(&served.ledger).await.unwrap();
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
    let short = WebServer::bind(&[":0".to_owned()]).await.unwrap();
    assert!(short.addresses()[0].ip().is_unspecified());
}

#[tokio::test]
async fn an_address_in_use_or_unreadable_is_a_clear_error() {
    let served = serve("127.0.0.1:0", Limits::default()).await;
    let error = WebServer::bind(&[served.address.to_string()]).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("listen on `{}`", served.address)), "{error}");
    assert!(error.hint_text().unwrap().contains("listen_addresses"));
    let error = WebServer::bind(&["nonsense".to_owned()]).await.unwrap_err();
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
