//! Sockets to listen on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use crate::error::{Error, Result};

/// Connections that may wait for a slot.
const BACKLOG: u32 = 128;

/// Listen on every address that `address` names.
pub(super) async fn bind(address: &str) -> Result<Vec<TcpListener>> {
    let full = if address.starts_with(':') { format!("[::]{address}") } else { address.to_owned() };
    let resolved = tokio::net::lookup_host(&full).await.map_err(|e| {
        let hint = "write `host:port`, for example `[::]:10909` or `127.0.0.1:10909`";
        Error::configuration(format!("cannot resolve listen address `{address}`")).because(e).hint(hint)
    })?;
    let mut listeners = Vec::new();
    for one in resolved {
        let listener = on(one).or_else(|e| {
            // The kernel has no IPv6: then all addresses are all of IPv4.
            let is_any = one.ip() == Ipv6Addr::UNSPECIFIED;
            if is_any && is_family_missing(&e) { on((Ipv4Addr::UNSPECIFIED, one.port()).into()) } else { Err(e) }
        });
        listeners.push(listener.map_err(|e| {
            let hint = "another process may be listening there: choose another port in `[web] listen_addresses`";
            Error::failed(format!("cannot listen on `{address}`")).because(e).hint(hint)
        })?);
    }
    Ok(listeners)
}

fn on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.is_ipv6() {
        // `[::]` means both families, whatever the system's default is.
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A restart must not wait for the old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_family_missing(error: &io::Error) -> bool {
    let missing = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
