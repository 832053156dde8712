//! The web configuration file: what it may say, and what it then does to real clients.

use std::process::{Command, Output, Stdio};

use super::web::{Served, exchange, get, serve_with};
use super::*;
use crate::exporter::web::{Limits, WebOptions, check_web_config_file};

/// Of the password `s3cret`.
fn hash() -> String {
    bcrypt::hash("s3cret", 4).unwrap()
}

/// A directory with certificates, made once: `ca` signed `server` (for 127.0.0.1) and `client`; `other` signed itself.
fn keys() -> &'static Path {
    static KEYS: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let openssl = |arguments: &str| {
            let mut openssl = Command::new("openssl");
            let output = openssl.args(arguments.split_whitespace()).current_dir(&directory).output().unwrap();
            assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let names = "subjectAltName=DNS:client.example,IP:192.0.2.7,email:ops@example.org,URI:spiffe://example/ops";
        for authority in ["ca", "other"] {
            openssl(&format!(
                "req -x509 {new} -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            ));
        }
        for (name, names) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", names)] {
            std::fs::write(directory.path().join("names"), names).unwrap();
            openssl(&format!("req {new} -subj /CN={name} -keyout {name}.key -out {name}.csr"));
            let with = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names";
            openssl(&format!("x509 -req -in {name}.csr {with} -out {name}.pem"));
        }
        directory
    });
    made.path()
}

/// A directory with the certificates and a `web.yml` of this text.
fn directory(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(keys()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(directory.path().join("web.yml"), text).unwrap();
    directory
}

/// What is wrong with a file of this text, without the name of the file.
fn mistakes(text: &str) -> String {
    let directory = directory(text);
    let path = directory.path().join("web.yml");
    // As keys they would be refused for being open to all.
    for name in ["web.yml", "ca.pem"] {
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(directory.path().join(name), closed).unwrap();
    }
    let error = check_web_config_file(&path).expect_err(text);
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string().replace(&format!("{}", path.display()), "web.yml")
}

const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

#[test]
fn everything_that_the_format_has_is_taken() {
    let text = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  \
         client_allowed_sans: [a, b]\n  min_version: TLS12\n  max_version: TLS13\n  \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n  \
         prefer_server_cipher_suites: false\n  curve_preferences: [X25519, CurveP256, CurveP384]\n\
         http_server_config:\n  http2: false\n  headers:\n    Strict-Transport-Security: max-age=1\n    \
         X-Content-Type-Options: nosniff\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n    \
         Content-Security-Policy: default-src 'none'\nbasic_auth_users:\n  ann: {}\n\
         rate_limit:\n  burst: 2\n  interval: 100ms\n",
        hash()
    );
    let inline = |name: &str| std::fs::read_to_string(keys().join(name)).unwrap().replace('\n', "\n    ");
    let inline = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n",
        inline("server.pem"),
        inline("server.key")
    );
    for text in ["", "# nothing\n", "tls_server_config:\n", "rate_limit: { interval: 0 }\n", &text, &inline] {
        let directory = directory(text);
        check_web_config_file(&directory.path().join("web.yml")).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn all_mistakes_are_named_at_once_with_their_place_and_the_nearest_key() {
    let text = "tls_server_confg: {}\nbasic_auth_users:\n  ann: plain\nhttp_server_config:\n  http2: maybe\n  headers:\n    \
                X-Frame-Options: allow\n    Server: x\nrate_limit:\n  burst: -1\n  interval: soon\n";
    assert_eq!(
        mistakes(text).lines().collect::<Vec<_>>(),
        [
            "web.yml:1:1: unknown key `tls_server_confg` in the file: did you mean `tls_server_config`?",
            "web.yml:3:8: the password of `ann` must be a bcrypt hash such as `htpasswd -nBC 10 USER` prints",
            "web.yml:5:10: `http2` must be `true` or `false`",
            "web.yml:7:22: `X-Frame-Options` must be `deny` or `sameorigin`",
            "web.yml:8:5: unknown key `Server` in headers: known keys are `Strict-Transport-Security`, \
             `X-Content-Type-Options`, `X-Frame-Options`, `X-XSS-Protection`, `Content-Security-Policy`",
            "web.yml:10:10: `burst` must be a whole number of requests",
            "web.yml:11:13: `interval` must be a duration such as \"100ms\" or \"2s\"; 0 is no limit",
        ]
    );
}

#[test]
fn what_would_be_less_safe_than_it_looks_is_refused() {
    let with = |more: &str| format!("{TLS}  {more}\n");
    for (text, wanted) in [
        (with("client_ca_file: ca.pem"), "has a `client_ca_file` but no `client_auth_type`"),
        (with("client_auth_type: RequireAndVerifyClientCert"), "needs `client_ca_file`"),
        (with("client_allowed_sans: [a]"), "`client_allowed_sans` needs"),
        (with("cert: x"), "has both `cert` and `cert_file`"),
        (with("client_auth_type: Require"), "unknown `Require`; did you mean"),
        (with("min_version: TLS10"), "`TLS10` is older than TLS12"),
        (with("max_version: TLS11"), "`TLS11` is older than TLS12"),
        (with("min_version: TLS13\n  max_version: TLS12"), "newer than its `max_version`"),
        (with("min_version: TLS1.3"), "unknown `TLS1.3`; did you mean `TLS13`?"),
        (with("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"), "is not in rustls"),
        (with("cipher_suites: TLS_AES_128_GCM_SHA256"), "must be a list"),
        (with("curve_preferences: [CurveP521]"), "`CurveP521` is not in rustls"),
        (with("cert_file: other.pem"), "uplicate"),
        ("tls_server_config: { min_version: TLS13 }".into(), "needs `cert_file`"),
        ("tls_server_config: { cert_file: server.pem }".into(), "needs `key_file`"),
        ("tls_server_config: { cert_file: no.pem, key_file: server.key }".into(), "no.pem: No such file"),
        ("tls_server_config: { cert_file: web.yml, key_file: server.key }".into(), "it has no certificate"),
        ("tls_server_config: { cert_file: server.pem, key_file: ca.pem }".into(), "it has no private key"),
        ("tls_server_config: { cert_file: server.pem, key_file: client.key }".into(), "certificate with the key"),
        ("rate_limit: { interval: 1s }".into(), "needs a `burst`"),
        ("basic_auth_users: [ann]".into(), "must be a mapping"),
        ("basic_auth_users: { 'a:b': x }".into(), "cannot have colons"),
        ("basic_auth_users: { 12: x }".into(), "put it into quotes"),
        ("- a".into(), "must be a mapping"),
        ("{}\n---\n{}".into(), "more than one document"),
        ("a: [".into(), "not valid YAML"),
    ] {
        let found = mistakes(&text);
        assert!(found.contains(wanted), "{text}: {found}");
    }
}

#[test]
fn no_mistake_repeats_a_secret() {
    for text in [
        "basic_auth_users:\n  ann: hunter2\n",
        "basic_auth_users:\n  ann: [hunter2]\n",
        "tls_server_config:\n  cert_file: server.pem\n  key: hunter2\n",
        "tls_server_config:\n  cert_file: server.pem\n  key: {hunter2: 1}\n",
        "basic_auth_users:\n  ann: 'hunter2\n",
        "basic_auth_users: { ann: hunter2, ann: hunter2 }\n",
    ] {
        let found = mistakes(text);
        assert!(!found.contains("hunter2"), "{text}: {found}");
    }
}

async fn serve(directory: &tempfile::TempDir, limits: Limits) -> Served {
    let config_file = Some(directory.path().join("web.yml"));
    let served = serve_with(WebOptions { config_file, ..WebOptions::on(&["127.0.0.1:0".to_owned()]) }, limits).await;
    served.exporter.state().refresh(&served.ledger).await.unwrap();
    served
}

fn with_password(path: &str, password: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("ann:{password}"));
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {encoded}\r\nConnection: close\r\n\r\n")
}

const PATHS: [&str; 6] = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/nothing"];

#[tokio::test]
async fn users_are_asked_on_every_path_and_headers_are_on_every_answer() {
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n";
    let directory = directory(&format!("basic_auth_users:\n  ann: {}\n{headers}", hash()));
    let served = serve(&directory, Limits::default()).await;
    for path in PATHS {
        for refused in [get(served.address, path).await, exchange(served.address, &with_password(path, "no")).await] {
            assert!(
                refused.starts_with("HTTP/1.1 401 ") && refused.contains("www-authenticate: Basic realm="),
                "{refused}"
            );
            assert!(refused.contains("x-frame-options: deny\r\n"), "{refused}");
            assert!(!refused.contains("backup_sla_"), "{refused}");
        }
        let admitted = exchange(served.address, &with_password(path, "s3cret")).await;
        assert!(!admitted.starts_with("HTTP/1.1 401 ") && admitted.contains("x-frame-options: deny\r\n"), "{admitted}");
    }
    let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(exchange(served.address, post).await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test]
async fn more_requests_than_the_limit_are_refused() {
    let directory = directory("rate_limit: { burst: 2, interval: 1h }");
    let served = serve(&directory, Limits::default()).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(get(served.address, "/-/healthy").await[..12].to_owned());
    }
    assert_eq!(answers, ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 429"]);
}

#[tokio::test]
async fn a_changed_file_counts_at_once_and_a_broken_one_changes_nothing() {
    let users = |password: &str| format!("basic_auth_users:\n  ann: {}\n", bcrypt::hash(password, 4).unwrap());
    let directory = directory(&users("one"));
    let served = serve(&directory, Limits::default()).await;
    let status =
        async |password: &str| exchange(served.address, &with_password("/-/healthy", password)).await[9..12].to_owned();
    let write = |text: &str| std::fs::write(directory.path().join("web.yml"), text).unwrap();
    assert_eq!((status("one").await, status("two").await), ("200".to_owned(), "401".to_owned()));
    write(&users("two"));
    assert_eq!((status("one").await, status("two").await), ("401".to_owned(), "200".to_owned()));
    // An editor empties a file before it writes it: nobody is let in meanwhile.
    for broken in ["", "basic_auth_users:\n", "basic_auth_users: [", "basic_auth_users:\n  ann: plain\n", "x: y\n"] {
        write(broken);
        assert_eq!((status("one").await, status("two").await), ("401".to_owned(), "200".to_owned()), "{broken}");
    }
    std::fs::remove_file(directory.path().join("web.yml")).unwrap();
    assert_eq!((status("one").await, status("two").await), ("401".to_owned(), "200".to_owned()));
    write(&users("one"));
    assert_eq!((status("one").await, status("two").await), ("200".to_owned(), "401".to_owned()));
}

/// curl with these arguments at `/-/healthy`; the server's certificate must be of `ca`.
async fn curl(served: &Served, directory: &tempfile::TempDir, ca: &str, arguments: &str) -> Output {
    let mut curl = Command::new("curl");
    curl.current_dir(directory).args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert", ca]);
    curl.args(arguments.split_whitespace()).arg(format!("https://{}/-/healthy", served.address));
    tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap()
}

async fn assert_curl(served: &Served, directory: &tempfile::TempDir, arguments: &str, is_served: bool) {
    let output = curl(served, directory, "ca.pem", arguments).await;
    assert_eq!(output.status.success(), is_served, "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const OURS: &str = "--cert client.pem --key client.key";
const STRANGER: &str = "--cert other.pem --key other.key";

#[tokio::test]
async fn clients_are_asked_for_certificates_as_the_file_says() {
    for (auth, none, stranger, ours) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("VerifyClientCertIfGiven\n  client_ca_file: ca.pem", true, false, true),
        ("RequireAndVerifyClientCert\n  client_ca_file: ca.pem", false, false, true),
    ] {
        let directory = directory(&format!("{TLS}  client_auth_type: {auth}\n"));
        let served = serve(&directory, Limits::default()).await;
        for (arguments, is_served) in [("", none), (STRANGER, stranger), (OURS, ours)] {
            for version in ["--tls-max 1.2", "--tlsv1.3"] {
                assert_curl(&served, &directory, &format!("{version} {arguments}"), is_served).await;
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_needs_one_of_the_allowed_names() {
    for (name, is_served) in [
        ("client.example", true),
        ("192.0.2.7", true),
        ("ops@example.org", true),
        ("spiffe://example/ops", true),
        ("example", false),
        ("client", false),
    ] {
        let verify = "client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem";
        let directory = directory(&format!("{TLS}  {verify}\n  client_allowed_sans: ['elsewhere', '{name}']\n"));
        let served = serve(&directory, Limits::default()).await;
        assert_curl(&served, &directory, OURS, is_served).await;
        assert_curl(&served, &directory, "", false).await;
    }
}

#[tokio::test]
async fn versions_and_suites_are_what_the_file_allows() {
    let suites = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]";
    for (more, arguments, is_served) in [
        ("min_version: TLS13", "--tls-max 1.2", false),
        ("min_version: TLS13", "--tlsv1.3", true),
        ("max_version: TLS12", "--tlsv1.3", false),
        ("max_version: TLS12", "--tlsv1.2", true),
        (suites, "--tls-max 1.2 --ciphers ECDHE-ECDSA-AES256-GCM-SHA384", true),
        (suites, "--tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256", false),
        (suites, "--tlsv1.3", true),
        ("curve_preferences: [CurveP384]", "--curves P-384", true),
        ("curve_preferences: [CurveP384]", "--curves X25519", false),
    ] {
        let directory = directory(&format!("{TLS}  {more}\n"));
        let served = serve(&directory, Limits::default()).await;
        assert_curl(&served, &directory, arguments, is_served).await;
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_used_by_the_next_handshake_once_its_key_has_come_too() {
    let directory = directory(TLS);
    let served = serve(&directory, Limits::default()).await;
    let copy = |from: &str, to: &str| std::fs::copy(directory.path().join(from), directory.path().join(to)).unwrap();
    assert_curl(&served, &directory, "", true).await;
    copy("other.pem", "server.pem");
    assert_curl(&served, &directory, "", true).await;
    copy("other.key", "server.key");
    assert!(!curl(&served, &directory, "ca.pem", "").await.status.success());
    let shown = curl(&served, &directory, "other.pem", "--insecure --verbose").await;
    assert!(String::from_utf8_lossy(&shown.stderr).contains("CN=other"), "{shown:?}");
    let plain = exchange(served.address, "GET / HTTP/1.1\r\n\r\n").await;
    assert!(!plain.contains("HTTP/"), "plain HTTP is not served: {plain}");
}

#[tokio::test]
async fn http2_is_offered_unless_it_is_turned_off() {
    for (more, version) in [("", "2"), ("http_server_config: { http2: false }\n", "1.1")] {
        let directory = directory(&format!("{TLS}{more}"));
        let served = serve(&directory, Limits::default()).await;
        let output = curl(&served, &directory, "ca.pem", "--http2 --write-out %{http_version}").await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("backup-sla is healthy\n{version}"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_or_asks_nothing_over_http2_is_cut() {
    let directory = directory(TLS);
    let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = serve(&directory, limits).await;
    let cut = tokio::time::timeout(Duration::from_secs(20), exchange(served.address, "")).await;
    assert_eq!(cut.expect("the server closes the connection"), "");
    let mut silent = Command::new("openssl");
    silent.args(["s_client", "-quiet", "-alpn", "h2", "-connect", &served.address.to_string()]);
    let mut silent = silent.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stdin = silent.stdin.take();
    let ended = tokio::task::spawn_blocking(move || silent.wait().unwrap());
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the server closes the connection").unwrap();
    drop(stdin);
}
