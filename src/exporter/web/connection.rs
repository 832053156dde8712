//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::answers::{Answers, Peer};
use super::body::Parts;
use super::limits::Limits;
use super::stall::Unstalled;

/// Most bytes of a request's head.
const HEAD_BYTES: u32 = 16 * 1024;
/// Most header lines of a request.
const HEADER_LINES: usize = 64;
/// Requests at once over one HTTP/2 connection.
const STREAMS: u32 = 16;
/// Streams that an HTTP/2 client may have reset before the connection is closed.
const RESETS: usize = 32;
/// How often an HTTP/2 client is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// What a connection needs.
pub(super) struct Connection {
    pub(super) answers: Arc<Answers>,
    /// Who is at the other end.
    pub(super) peer: IpAddr,
    pub(super) limits: Limits,
    /// Its sender is dropped when the end is asked for.
    pub(super) stopped: watch::Receiver<()>,
}

impl Connection {
    /// Serve one client. It ends at the latest after the life span and the drain, so that a client that reads slowly,
    /// or not at all, cannot keep its slot. Errors are the client's doing (it went away, was too slow, sent nonsense):
    /// nothing to report.
    pub(super) async fn serve(self, stream: TcpStream) {
        // An answer is not held back to wait for more of it.
        let _ = stream.set_nodelay(true);
        let stream = Unstalled::new(stream, self.limits.write_timeout);
        let Some(tls) = self.answers.settings().await.tls.clone() else { return self.http1(stream).await };
        let handshake = TlsAcceptor::from(tls).accept(stream);
        match tokio::time::timeout(self.limits.header_timeout, handshake).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream).await,
            Ok(Ok(stream)) => self.http1(stream).await,
            Ok(Err(error)) => tracing::debug!("TLS handshake: {error}"),
            Err(_) => tracing::debug!("TLS handshake: the client takes too long"),
        }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (answers, peer) = (self.answers.clone(), Peer(self.peer));
        let service = service_fn(move |request| answer(answers.clone(), peer, request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new()) // without it the time limit would be silently off
            .header_read_timeout(self.limits.header_timeout)
            .max_headers(HEADER_LINES)
            .max_buf_size(HEAD_BYTES as usize)
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, std::future::pending()).await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (answers, peer) = (self.answers.clone(), Peer(self.peer));
        let has_asked = Arc::new(AtomicBool::new(false));
        let asks = has_asked.clone();
        let service = service_fn(move |request| {
            asks.store(true, Ordering::Relaxed);
            answer(answers.clone(), peer, request)
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(self.limits.header_timeout)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES)
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS)
            .serve_connection(TokioIo::new(stream), service);
        let header_timeout = self.limits.header_timeout;
        let silent = async move {
            tokio::time::sleep(header_timeout).await;
            if has_asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        self.drive(connection, silent).await;
    }

    /// Serve until the client, the life span or the service ends the connection, or until `useless` ends.
    async fn drive(mut self, connection: impl GracefulConnection, useless: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            _ = connection.as_mut() => true,
            () = useless => true,
            _ = self.stopped.changed() => false,
            () = tokio::time::sleep(self.limits.lifetime) => false,
        };
        if !ended {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(self.limits.drain, connection).await;
        }
    }
}

async fn answer(answers: Arc<Answers>, peer: Peer, request: Request<Incoming>) -> Result<Response<Parts>, Infallible> {
    // The body is dropped unread: hyper reads no more of it than has come already.
    let (mut head, _) = request.into_parts();
    head.extensions.insert(peer);
    Ok(answers.answer(&head).await)
}
