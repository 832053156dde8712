//! HTTP to a server: queries in our own process, one at a time, each with a time limit.
//!
//! Knows the protocol, not what is asked. "shard is disabled", which 1.x says for a moment after a restore, is waited for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::answer::{Answer, Refusal, Series, rows};
use super::table::InfluxdbConfig;
use super::target::Target;
use crate::display;
use crate::error::{Error, OrFailed, Result};
use crate::run_context::Cancel;

/// How long reaching the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const LONGEST_ANSWER: usize = 512 * 1024 * 1024;
/// How long "shard is disabled" is waited for, and how long between two questions.
const SHARD_PATIENCE: Duration = Duration::from_mins(5);
const SHARD_POLL: Duration = Duration::from_millis(50);

/// Where a server is and as whom to speak to it.
#[derive(Debug, Clone)]
pub struct Address {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    socket: Option<PathBuf>,
    user: String,
    password: Option<SecretString>,
    tls_ca: Option<PathBuf>,
}

impl Address {
    /// The source's own address.
    pub fn of_source(config: &InfluxdbConfig) -> Self {
        Self {
            url: config.url.clone(),
            socket: None,
            user: config.user.clone().unwrap_or_default(),
            password: config.password.clone(),
            tls_ca: config.tls_ca.clone(),
        }
    }

    /// The address of a restore destination.
    pub fn of_target(target: &Target) -> Self {
        Self {
            url: target.url.clone(),
            socket: target.socket.clone(),
            user: target.user.clone(),
            password: target.password.clone(),
            tls_ca: target.tls_ca.clone(),
        }
    }

    /// Host and port of the url.
    fn authority(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest)
    }

    fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    fn authorization(&self) -> Option<String> {
        let password = self.password.as_ref().map_or("", |password| password.expose_secret());
        let both = format!("{}:{password}", self.user);
        (!self.user.is_empty()).then(|| format!("Basic {}", STANDARD.encode(both)))
    }
}

/// Most that one question may be about; none for no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Steps of time.
    pub buckets: Option<i64>,
    /// Series.
    pub series: Option<i64>,
}

/// A connection that is made again when it was lost. Blocks; not for async code.
pub struct Client {
    runtime: Runtime,
    address: Address,
    sender: Option<SendRequest<Full<Bytes>>>,
    timeout: Duration,
    cancel: Cancel,
    /// How long disabled shards may still be waited for, all questions together.
    patience: Duration,
    /// Answers are asked for in pieces: the server cuts those in one piece short.
    in_pieces: bool,
    limits: Option<Limits>,
    /// As the server says it.
    pub version: String,
    /// The server's clock when it was reached, in seconds since the epoch.
    pub server_time: i64,
}

impl Client {
    /// Reach the server; `timeout` is for each query, `cancel` ends the waiting between two.
    pub fn open(address: &Address, timeout: Duration, cancel: &Cancel) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.or_failed("cannot start the connection's runtime")?;
        let mut client = Self {
            runtime,
            address: address.clone(),
            sender: None,
            timeout,
            cancel: cancel.clone(),
            patience: SHARD_PATIENCE,
            in_pieces: false,
            limits: None,
            version: String::new(),
            server_time: 0,
        };
        let (head, _) = client.request("GET", "/ping", String::new())?;
        let header = |name: &str| head.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        header("x-influxdb-version").unwrap_or_default().trim_start_matches('v').clone_into(&mut client.version);
        let date = header("date").and_then(|date| chrono::DateTime::parse_from_rfc2822(&date).ok());
        client.server_time = date.map_or(0, |date| date.timestamp());
        if client.version.is_empty() {
            let error = Error::failed(format!("cannot reach {}: what answers there is not InfluxDB", address.url));
            return Err(error.hint("`url` must be the HTTP address of the server, usually port 8086"));
        }
        if !client.version.starts_with("1.") {
            let what =
                format!("cannot reach {}: it is InfluxDB {}; only 1.x is supported", address.url, client.version);
            return Err(Error::failed(what));
        }
        Ok(client)
    }

    /// Ask one InfluxQL statement in `database` (none: of the server). Times are nanoseconds.
    pub fn query(&mut self, database: &str, statement: &str) -> Result<Vec<Series>> {
        self.try_query(database, statement)?
    }

    /// The same, where the server may refuse or take too long: both are answers. A connection that is lost is an error.
    pub fn try_query(&mut self, database: &str, statement: &str) -> Result<Result<Vec<Series>>> {
        loop {
            self.cancel.check()?;
            match self.ask(database, statement)? {
                Err(error) if !self.patience.is_zero() && is_passing(&error) => {
                    std::thread::sleep(SHARD_POLL);
                    self.patience = self.patience.saturating_sub(SHARD_POLL);
                }
                other => return Ok(other),
            }
        }
    }

    /// What the server allows one question, as far as it tells.
    pub fn limits(&mut self) -> Limits {
        if let Some(limits) = self.limits {
            return limits;
        }
        let diagnostics = self.query("", "SHOW DIAGNOSTICS").unwrap_or_default();
        let limit = |name: &str| {
            let series = diagnostics.iter().find(|series| series.name == "config-coordinator")?;
            let [limit] = series.texts([name]).pop()?;
            limit.parse().ok().filter(|limit| *limit > 0)
        };
        let limits = Limits { buckets: limit("max-select-buckets"), series: limit("max-select-series") };
        *self.limits.insert(limits)
    }

    fn ask(&mut self, database: &str, statement: &str) -> Result<Result<Vec<Series>>> {
        Ok(match self.ask_once(database, statement)? {
            Err(Refusal::CutShort) if !self.in_pieces => {
                self.in_pieces = true;
                self.ask_once(database, statement)?.map_err(|refusal| self.refused(statement, refusal))
            }
            answer => answer.map_err(|refusal| self.refused(statement, refusal)),
        })
    }

    fn refused(&self, statement: &str, refusal: Refusal) -> Error {
        let reason = match refusal {
            Refusal::Said(reason) => reason,
            Refusal::CutShort => "the server cut the answer short".to_owned(),
        };
        let error = Error::failed(format!("cannot query {}: {reason}: {}", self.address.url, shortened(statement)));
        // The server has no code for it.
        if reason.starts_with("max-select-") {
            let limit = reason.split(' ').next().unwrap_or_default().to_owned();
            return error.hint(format!(
                "points cannot be counted within the server's `{limit}` ([coordinator] of its configuration), and what was not \
                 counted cannot be promised: raise it, or set it to 0"
            ));
        }
        error
    }

    fn ask_once(&mut self, database: &str, statement: &str) -> Result<Result<Vec<Series>, Refusal>> {
        let form =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let pieces = if self.in_pieces { "&chunked=true" } else { "" };
        let body = format!("epoch=ns{pieces}&db={}&q={}", form(database), form(statement));
        let what = || format!("cannot query {}", self.address.url);
        let said = what();
        let (head, body) = self.request("POST", "/query", body)?;
        let answer: Vec<Answer> = match serde_json::Deserializer::from_slice(&body).into_iter().collect() {
            Ok(answer) => answer,
            Err(error) if head.status().is_success() => return Err(Error::failed(said).because(error)),
            Err(_) => return Err(Error::failed(format!("{said}: HTTP status {}", head.status()))),
        };
        match (rows(answer), head.status().as_u16()) {
            (Err(refusal), 401 | 403) => {
                let hint = "the account needs to be an administrator: only those see users and grants";
                Err(self.refused(statement, refusal).hint(hint))
            }
            (answer, _) => Ok(answer),
        }
    }

    /// Text behind `path`, where the server has it.
    pub fn get(&mut self, path: &str) -> Result<Bytes> {
        let (head, body) = self.request("GET", path, String::new())?;
        if head.status().is_success() {
            return Ok(body);
        }
        Err(Error::failed(format!("cannot get {}{path}: HTTP status {}", self.address.url, head.status())))
    }

    /// One request; made again once if the connection was closed in between.
    fn request(&mut self, method: &str, path: &str, body: String) -> Result<(Response<()>, Bytes)> {
        let fresh = self.sender.is_none();
        match self.try_request(method, path, body.clone()) {
            Err(Failure::Lost(_)) if !fresh => {
                self.sender = None;
                self.try_request(method, path, body).map_err(Failure::into_error)
            }
            other => other.map_err(Failure::into_error),
        }
    }

    fn try_request(&mut self, method: &str, path: &str, body: String) -> Result<(Response<()>, Bytes), Failure> {
        let what = format!("cannot reach {}", self.address.url);
        let (timeout, cancel) = (self.timeout, &self.cancel);
        let request = Request::builder().method(method).uri(path).header("host", self.address.authority());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = match self.address.authorization() {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        let request = request.body(Full::new(Bytes::from(body))).or_failed(&what).map_err(Failure::Other)?;
        let (sender, address) = (&mut self.sender, &self.address);
        self.runtime.block_on(async {
            if sender.as_ref().is_none_or(SendRequest::is_closed) {
                let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(address));
                let connected = tokio::select! {
                    connected = connecting => {
                        connected.unwrap_or_else(|_| Err(Error::failed(format!("{what}: no answer in 20 s"))))
                    }
                    () = cancel.asked() => Err(cancel.error()),
                };
                *sender = Some(connected.map_err(Failure::Other)?);
            }
            let Some(connection) = sender.as_mut() else { return Err(Failure::Lost(Error::failed(what.clone()))) };
            let lost = |error: hyper::Error| Failure::Lost(Error::failed(what.clone()).because(error));
            let exchange = async {
                connection.ready().await.map_err(lost)?;
                let response: Response<Incoming> = connection.send_request(request).await.map_err(lost)?;
                let (head, body) = response.into_parts();
                let body = Limited::new(body, LONGEST_ANSWER).collect().await;
                let body = body.map_err(|error| Failure::Other(Error::failed(what.clone()).because(error)))?;
                Ok((Response::from_parts(head, ()), body.to_bytes()))
            };
            let given_up = tokio::select! {
                biased;
                answered = exchange => return answered,
                () = cancel.asked() => cancel.error(),
                () = tokio::time::sleep(timeout) => {
                    let limit = display::limit(timeout);
                    Error::inconclusive(format!("cannot query {}: no answer within {limit}", self.address.url))
                        .hint("raise `query_timeout`, or set `counting = \"sampled\"` for a giant database")
                }
            };
            // The server stops a query whose asker hangs up.
            *sender = None;
            Err(Failure::Other(given_up))
        })
    }
}

/// Why a request has no answer.
enum Failure {
    /// The connection was lost.
    Lost(Error),
    Other(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Lost(error) | Self::Other(error) => error,
        }
    }
}

fn is_passing(error: &Error) -> bool {
    let said = error.to_string();
    said.contains("shard is disabled") || said.contains("engine is closed")
}

fn shortened(statement: &str) -> String {
    let mut short: String = statement.chars().take(200).collect();
    if short.len() < statement.len() {
        short.push('…');
    }
    short
}

async fn connect(address: &Address) -> Result<SendRequest<Full<Bytes>>> {
    let what = || format!("cannot reach {}", address.url);
    let hint = "is the server up, and is `url` its HTTP address?";
    if let Some(socket) = &address.socket {
        let stream = UnixStream::connect(socket).await.or_failed(what()).map_err(|error| error.hint(hint))?;
        return speak(TokioIo::new(stream), what()).await;
    }
    let authority = address.authority();
    let stream = TcpStream::connect(authority).await.or_failed(what()).map_err(|error| error.hint(hint))?;
    stream.set_nodelay(true).or_failed(what())?;
    if !address.is_tls() {
        return speak(TokioIo::new(stream), what()).await;
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).or_failed(what())?;
    let connector = TlsConnector::from(Arc::new(tls(address)?));
    let stream = connector.connect(name, stream).await.or_failed(what());
    let stream = stream.map_err(|error| error.hint("give the authority of its certificate: tls = { ca = FILE }"))?;
    speak(TokioIo::new(stream), what()).await
}

async fn speak<S>(stream: S, what: String) -> Result<SendRequest<Full<Bytes>>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(stream).await.or_failed(what)?;
    // It makes progress whenever a request is waited for; its end is seen at the next one.
    tokio::spawn(connection);
    Ok(sender)
}

fn tls(address: &Address) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &address.tls_ca {
        Some(file) => {
            let what = || format!("cannot read {}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).or_failed(what())? {
                roots.add(certificate.or_failed(what())?).or_failed(what())?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.or_failed("cannot prepare TLS")?.with_root_certificates(roots).with_no_client_auth())
}
