//! The web server: few pages, GET and HEAD only, and nobody can hold it up: headers have a time limit and a size limit,
//! connections have a number limit (in all and per client) and a life span, writes and handshakes have a time limit.
//!
//! `web` has the sockets and the limits, `connection` drives one connection, `answers` finds what is asked for, `file`
//! is the web configuration file (TLS, users, headers, rate limit).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::SystemClock;
use crate::error::{Error, OrFailed, Result};

mod answers;
mod body;
mod connection;
mod file;
mod limits;
mod listen;
mod negotiation;
mod peers;
mod rate;
mod site;
mod stall;
mod users;

pub use self::limits::Limits;
pub use self::site::Site;
pub use file::check as check_web_config_file;
#[cfg(any(test, feature = "fuzzing"))]
pub use file::fuzzing::web_file;

use answers::Answers;
use connection::Connection;
use file::WebFile;
use peers::{PeerSlot, Peers};

/// Where is served, and how.
#[derive(Debug)]
pub struct WebOptions {
    /// Addresses to listen on: `host:port`; `[::]:port` or `:port` is every address of both families.
    pub listen: Vec<String>,
    /// Sockets that listen already: inherited by socket activation.
    pub sockets: Vec<std::net::TcpListener>,
    /// Where the metrics are.
    pub telemetry_path: String,
    /// The web configuration file; none for plain HTTP for everybody.
    pub config_file: Option<PathBuf>,
}

impl WebOptions {
    /// The usual options for these addresses.
    pub fn on(listen: &[String]) -> Self {
        let telemetry_path = "/metrics".to_owned();
        Self { listen: listen.to_vec(), sockets: Vec::new(), telemetry_path, config_file: None }
    }
}

/// A web server that has its sockets but does not serve yet.
pub struct WebServer {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    telemetry_path: String,
    file: Option<Arc<WebFile>>,
    limits: Limits,
}

impl std::fmt::Debug for WebServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl WebServer {
    /// Take every address and socket, and read the web configuration file.
    ///
    /// Errors: an address is not one or is in use; the telemetry path is a page's; the file has mistakes.
    pub async fn bind(options: WebOptions) -> Result<Self> {
        answers::check_telemetry_path(&options.telemetry_path)?;
        let file = match options.config_file {
            None => None,
            Some(path) => Some(Arc::new(WebFile::open(path, SystemClock::shared())?)),
        };
        let mut listeners = Vec::new();
        for socket in options.sockets {
            socket.set_nonblocking(true).or_failed("cannot use inherited socket")?;
            listeners.push(TcpListener::from_std(socket).or_failed("cannot use inherited socket")?);
        }
        for address in &options.listen {
            listeners.extend(listen::bind(address).await?);
        }
        if listeners.is_empty() {
            return Err(
                Error::configuration("cannot listen: no address is configured").hint("write `[web] listen_addresses`")
            );
        }
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        Ok(Self { listeners, addresses, telemetry_path: options.telemetry_path, file, limits: Limits::default() })
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

    /// Where the metrics are: a URL for every address.
    pub fn metrics_urls(&self) -> Vec<String> {
        let has_tls = self.file.as_ref().is_some_and(|file| file.settings().tls.is_some());
        let scheme = if has_tls { "https" } else { "http" };
        self.addresses.iter().map(|address| format!("{scheme}://{address}{}", self.telemetry_path)).collect()
    }

    /// Serve until `shutdown` ends; then take no more connections and finish what is being answered.
    pub async fn run(self, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(());
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let peers = Peers::new(self.limits.connections_per_client);
        let answers = Arc::new(Answers::new(site.clone(), self.telemetry_path, self.file));
        let mut doors = JoinSet::new();
        for listener in self.listeners {
            let door = Door {
                answers: answers.clone(),
                slots: slots.clone(),
                peers: peers.clone(),
                limits: self.limits,
                stopped: stopped.clone(),
            };
            doors.spawn(door.open(listener));
        }
        tokio::select! {
            () = shutdown => {}
            () = site.exporter.clone().keep_rendered() => {}
        }
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
    answers: Arc<Answers>,
    slots: Arc<Semaphore>,
    peers: Arc<Peers>,
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
                Ok((stream, address, slot, Some(peer))) => {
                    let (answers, limits) = (self.answers.clone(), self.limits);
                    let connection = Connection { answers, peer: address, limits, stopped: self.stopped.clone() };
                    tokio::spawn(async move {
                        connection.serve(stream).await;
                        drop((slot, peer));
                    });
                }
                // Closed without a word: whoever has this many connections open does not read another.
                Ok((_, _, _, None)) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: let some connections end.
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// A slot first, then a connection: who gets no slot stays in the kernel's queue.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit, Option<PeerSlot>)> {
        let slot = self.slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address) = listener.accept().await?;
        Ok((stream, address.ip().to_canonical(), slot, self.peers.admit(address)))
    }
}
