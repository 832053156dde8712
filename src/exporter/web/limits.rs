//! What a client may take and use.

use std::time::Duration;

/// What a client may take and use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first byte of a connection, or the end of an answer, to the end of the next request's headers; also for
    /// a TLS handshake, and for the first request over HTTP/2.
    pub header_timeout: Duration,
    /// How long a write waits for the client to take something.
    pub write_timeout: Duration,
    /// Life span of a connection; what is being answered then gets `drain` more.
    pub lifetime: Duration,
    /// How long running answers may take after the end was asked for.
    pub drain: Duration,
    /// Connections at once; others wait in the kernel's queue.
    pub connections: usize,
    /// Connections of one client at once; more are closed.
    pub connections_per_client: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
            lifetime: Duration::from_mins(1),
            drain: Duration::from_secs(10),
            connections: 128,
            connections_per_client: 32,
        }
    }
}
