//! The web server against clients that mean it no good.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::serving::{Service, TLS, get, secured};
use crate::support::{ALONE, wait_for};

/// Requests in all; every tenth goes to the TLS port.
const REQUESTS: u64 = 10_000;
/// Clients at once, each with an address of its own.
const CLIENTS: u64 = 16;
/// How much memory may grow, in KiB.
const GROWTH: u64 = 20 * 1024;

/// The same numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.below(most);
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// What a client does with what it has to send.
#[derive(Clone, Copy)]
enum Manner {
    /// Send it, look at the answer, go.
    Whole,
    /// Send it in pieces.
    Drip,
    /// Send it and say that no more will come.
    HalfClosed,
    /// Send it and go without a look.
    Rude,
    /// Send it and stay, silent, until the end.
    Silent,
}

/// One hostile request: malformed, slow or huge.
fn request(numbers: &mut Numbers) -> (Vec<u8>, Manner) {
    let long = |numbers: &mut Numbers| "a".repeat(usize::try_from(numbers.below(200_000)).unwrap());
    let good = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    let text = match numbers.below(16) {
        0 => numbers.bytes(4000),
        1 => format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long(numbers)).into_bytes(),
        2 => format!("{good}X: {}\r\n\r\n", long(numbers)).into_bytes(),
        3 => format!("{good}{}\r\n", "X: y\r\n".repeat(usize::try_from(numbers.below(5000)).unwrap())).into_bytes(),
        4 => b"GET /\0 HTTP/1.1\r\nHost: \0\r\nX\0: y\r\n\r\n".to_vec(),
        5 => format!("{good}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}", long(numbers)).into_bytes(),
        6 => format!("{good}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n-1\r\n").into_bytes(),
        7 => b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        8 => format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n{}", long(numbers)).into_bytes(),
        9 => format!("{good}\r\n").repeat(usize::try_from(numbers.below(50)).unwrap()).into_bytes(),
        10 => [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), numbers.bytes(2000)].concat(),
        // A TLS record that promises a handshake, and noise.
        11 => [vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc], numbers.bytes(2000)].concat(),
        12 => good.as_bytes()[..usize::try_from(numbers.below(good.len() as u64)).unwrap()].to_vec(),
        13 => Vec::new(),
        14 => format!("{good}Accept-Encoding: gzip\r\nAuthorization: Basic {}\r\n\r\n", long(numbers)).into_bytes(),
        _ => format!("GET {} HTTP/9.9\nHost\n\n", String::from_utf8_lossy(&numbers.bytes(100))).into_bytes(),
    };
    let manner = match numbers.below(100) {
        0..30 => Manner::Whole,
        30..40 => Manner::Drip,
        40..60 => Manner::HalfClosed,
        60..98 => Manner::Rude,
        _ => Manner::Silent,
    };
    (text, manner)
}

fn connect(client: u64, server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let last = u8::try_from(client + 2).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    socket.connect(&server.into())?;
    let stream = TcpStream::from(socket);
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(stream)
}

/// Send one request. What the server does to the connection is its right: errors do not matter.
fn send(mut stream: TcpStream, text: &[u8], manner: Manner) -> Option<TcpStream> {
    let mut room = [0; 4096];
    match manner {
        Manner::Drip => {
            for piece in text.chunks(text.len() / 3 + 1) {
                let _ = stream.write_all(piece);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        _ => {
            let _ = stream.write_all(text);
        }
    }
    match manner {
        Manner::Whole | Manner::Drip => {
            let _ = stream.read(&mut room);
        }
        Manner::HalfClosed => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut room);
        }
        Manner::Rude => {}
        Manner::Silent => return Some(stream),
    }
    None
}

/// One client's share of the requests; the connections that it still has at the end.
fn flood(client: u64, plain: SocketAddr, tls: SocketAddr) -> Vec<TcpStream> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 ^ (client + 1));
    let mut silent = Vec::new();
    for number in 0..REQUESTS / CLIENTS {
        let (text, manner) = request(&mut numbers);
        let server = if number % 10 == 0 { tls } else { plain };
        let Ok(stream) = connect(client, server) else { continue };
        // Few enough to leave room for the others that this client sends.
        silent.extend(send(stream, &text, manner).filter(|_| silent.len() < 6));
    }
    silent
}

fn https_answers(service: &Service) -> bool {
    let ca = service.world.path("tls/ca.pem");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "10", "--output", "/dev/null", "--cacert"]).arg(ca);
    curl.arg(format!("https://{}/-/healthy", service.address)).stdin(Stdio::null()).status().unwrap().success()
}

#[test]
fn ten_thousand_malformed_slow_and_huge_requests_leave_it_serving_and_its_memory_bounded() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let plain = Service::with_web("");
    let tls = Service::start_in(secured(), TLS);
    let healthy = || get(&plain.address, "/-/healthy").is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"));
    assert!(healthy() && https_answers(&tls));
    let before = [&plain, &tls].map(|service| (service.memory("VmRSS:"), service.sockets()));

    let addresses = (plain.address.parse().unwrap(), tls.address.parse().unwrap());
    let start = Instant::now();
    let clients: Vec<_> =
        (0..CLIENTS).map(|client| std::thread::spawn(move || flood(client, addresses.0, addresses.1))).collect();
    let silent: Vec<TcpStream> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    println!("{REQUESTS} requests in {:?}, {} connections left silent", start.elapsed(), silent.len());

    // While the silent ones are still there. Each question has a time limit of ten seconds of its own: how busy the machine
    // is says nothing about the server.
    assert!(healthy() && https_answers(&tls));
    assert!(get(&plain.address, "/metrics").unwrap().contains("backup_sla_source_info{source=\"ansible\""));

    drop(silent);
    for (service, (memory, sockets)) in [&plain, &tls].into_iter().zip(before) {
        wait_for("the connections to be gone", || (service.sockets() <= sockets).then_some(()));
        let now = service.memory("VmRSS:");
        println!("{}: {memory} KiB before, {now} KiB after, peak {} KiB", service.url, service.memory("VmHWM:"));
        assert!(service.memory("VmHWM:") < memory + GROWTH, "{} grew from {memory} KiB", service.url);
        assert!(!service.said().contains("panicked"), "{}", service.said());
    }
}

#[test]
fn curl_reads_every_form_and_http2_as_well() {
    let service = Service::start_in(secured(), TLS);
    assert!(service.url.starts_with("https://"), "{}", service.url);
    let ask = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--cacert"]).arg(service.world.path("tls/ca.pem"));
        let output = curl.args(arguments).arg(&service.url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let openmetrics = "Accept: application/openmetrics-text; version=1.0.0";
    for version in ["--http1.1", "--http2"] {
        let protocol = if version == "--http2" { "HTTP/2 200" } else { "HTTP/1.1 200" };
        for encoding in [&[][..], &["--compressed"]] {
            let text = ask(&[&[version], encoding].concat());
            assert!(text.starts_with(protocol) && text.contains("content-type: text/plain; version=0.0.4"), "{text}");
            assert!(text.contains("\nprocess_max_fds "), "the last family is there: {text}");
            assert_eq!(text.contains("content-encoding: gzip"), !encoding.is_empty());
            assert!(text.contains("vary: Accept, Accept-Encoding"));
            let text = ask(&[&[version, "--header", openmetrics], encoding].concat());
            assert!(
                text.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
                "{text}"
            );
            assert!(text.ends_with("# EOF\n"), "{text}");
        }
        let head = ask(&[version, "--head"]);
        assert!(head.starts_with(protocol) && head.contains("content-length: "), "{head}");
    }
}
