//! The web server: few pages, GET and HEAD only, and nobody can hold it up: headers have a time limit and a size limit,
//! connections have a number limit and a life span.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::exposition;
use super::pages;
use super::refresh::Exporter;
use crate::error::{Error, Result};
use crate::ledger::Ledger;

mod listen;

/// What is served.
pub struct Site {
    /// Metrics, and what the pages show.
    pub exporter: Arc<Exporter>,
    /// History, for pages only.
    pub ledger: Ledger,
}

/// What a client may take and use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of a connection, or the end of an answer, to the end of the next request's headers.
    pub header_timeout: Duration,
    /// Life span of a connection; what is being answered then gets `drain` more.
    pub lifetime: Duration,
    /// How long running answers may take after the end was asked for.
    pub drain: Duration,
    /// Connections at once; others wait in the kernel's queue.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            lifetime: Duration::from_mins(1),
            drain: Duration::from_secs(10),
            connections: 64,
        }
    }
}

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// Most header lines of a request.
const HEADER_LINES: usize = 64;

/// A web server that has its sockets but does not serve yet.
#[derive(Debug)]
pub struct WebServer {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    limits: Limits,
}

impl WebServer {
    /// Take every address of `listen` (`host:port`; `[::]:port` or `:port` is every address of both families).
    ///
    /// Errors: an address is not one, or is in use.
    pub async fn bind(listen: &[String]) -> Result<Self> {
        let mut listeners = Vec::new();
        for address in listen {
            listeners.extend(listen::bind(address).await?);
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        Ok(Self { listeners, addresses, limits: Limits::default() })
    }

    /// Use other limits than the usual ones.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The addresses that were taken; tells the port where 0 was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serve until `shutdown` ends; then take no more connections and finish what is being answered.
    pub async fn run(self, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(());
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut doors = JoinSet::new();
        for listener in self.listeners {
            let door = Door { site: site.clone(), slots: slots.clone(), limits: self.limits, stopped: stopped.clone() };
            doors.spawn(door.open(listener));
        }
        shutdown.await;
        drop(stop);
        // The sockets are closed before the drain, so that nobody connects in vain.
        doors.join_all().await;
        // A connection gives its slot back when it ends: all slots together mean that all have ended.
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(self.limits.drain, slots.acquire_many(all)).await;
    }
}

/// Where connections come in: one per socket.
struct Door {
    site: Arc<Site>,
    slots: Arc<Semaphore>,
    limits: Limits,
    /// Its sender is dropped when the end is asked for.
    stopped: watch::Receiver<()>,
}

impl Door {
    async fn open(mut self, listener: TcpListener) {
        let mut stopped = self.stopped.clone();
        loop {
            let accepted = tokio::select! {
                _ = stopped.changed() => return,
                accepted = self.accept(&listener) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    tokio::spawn(serve(stream, slot, self.site.clone(), self.limits, self.stopped.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: let some connections end.
                    tracing::warn!("accept connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A slot first, then a connection: who gets no slot stays in the kernel's queue.
    async fn accept(&mut self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, slot))
    }
}

/// Serve one connection. It ends at the latest after its life span and the drain, so that a client that reads slowly,
/// or not at all, cannot keep its slot.
async fn serve(
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    site: Arc<Site>,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) {
    let service = service_fn(move |request| answer(site.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new()) // without it the time limit would be silently off
        .header_read_timeout(limits.header_timeout)
        .max_headers(HEADER_LINES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        // Errors are the client's doing (it went away, was too slow, sent nonsense): nothing to report.
        _ = connection.as_mut() => true,
        _ = stopped.changed() => false,
        () = tokio::time::sleep(limits.lifetime) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(limits.drain, connection).await;
    }
    drop(slot);
}

async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(site.exporter.clone()).await,
        "/-/healthy" => text(StatusCode::OK, "backup-sla is healthy\n"),
        "/-/ready" => match site.exporter.trouble() {
            None => text(StatusCode::OK, "backup-sla is ready\n"),
            Some(trouble) => text(StatusCode::SERVICE_UNAVAILABLE, format!("backup-sla is not ready: {trouble}\n")),
        },
        path => page(&site, path, request.uri().query()).await,
    })
}

async fn metrics(exporter: Arc<Exporter>) -> Response<Full<Bytes>> {
    // Thousands of sources take a while to write down: not on a thread that drives connections.
    let rendered = tokio::task::spawn_blocking(move || exporter.render()).await;
    match rendered.unwrap_or_else(|panic| Err(Error::failed("render metrics").because(panic))) {
        Ok(body) => typed(StatusCode::OK, exposition::CONTENT_TYPE, body),
        Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn page(site: &Site, path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let view = match site.exporter.view() {
        Ok(view) => view,
        Err(error) => return text(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    };
    match pages::answer(&view, &site.ledger, path, query).await {
        Ok(Some(page)) => {
            let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::OK);
            let mut response = typed(status, page.content_type, page.body);
            for (name, value) in page.headers {
                if let Ok(value) = HeaderValue::try_from(value) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Ok(None) => text(StatusCode::NOT_FOUND, "not found; try / for what is here\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
