//! How many connections each client has, so that none can take all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by client.
#[derive(Debug)]
pub(super) struct Peers {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a client; given back when dropped.
#[derive(Debug)]
pub(super) struct PeerSlot {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    /// Every client may have `most` connections at once.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A slot for one more connection from `address`, if it may have one.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr) -> Option<PeerSlot> {
        let peer = client(address.ip());
        let mut open = self.open();
        let count = open.entry(peer).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(PeerSlot { peers: self.clone(), peer })
    }

    // Every change is one step: a poisoned lock says nothing about the counts.
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerSlot {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

/// Whoever has an IPv6 address usually has all addresses of its network.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_whatever_address_of_its_own_it_uses_and_gives_it_back() {
        let peers = Peers::new(2);
        let admit = |address: &str| peers.admit(SocketAddr::new(address.parse().unwrap(), 1));
        let first = admit("2001:db8::1");
        let _second = admit("2001:db8::ffff:2").unwrap();
        assert!(admit("2001:db8::3").is_none());
        assert!(admit("2001:db8:0:1::3").is_some());
        let _mapped = admit("::ffff:192.0.2.1").unwrap();
        let _plain = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none() && admit("192.0.2.2").is_some());
        drop(first);
        assert!(admit("2001:db8::3").is_some());
        assert_eq!(peers.open().len(), 2, "who has no connection is forgotten");
    }
}
