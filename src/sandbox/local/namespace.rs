//! Loopback ports for a server that cannot do without: in a network of its own where the kernel allows one, for such ports
//! may ask nobody for a password; else on this host's loopback, which is told.
//!
//! The programs of util-linux and iproute2 do the work: `unshare` makes the network, `ip` brings its loopback up, `nsenter`
//! brings tools in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;

use rustix::process::geteuid;

use crate::error::{OrFailed, Result};

/// First port in a private network; nobody else is there.
const FIRST_PORT: u16 = 8086;
const BRING_UP: &str = "ip link set lo up && exec \"$@\"";

/// Loopback ports of one instance.
#[derive(Debug, Clone)]
pub(super) struct Loopback {
    ports: BTreeMap<&'static str, u16>,
    private: bool,
}

impl Loopback {
    /// Ports of these names; `private` says whether the server has a network of its own.
    pub(super) fn choose(names: &[&'static str], private: bool) -> Result<Self> {
        let mut ports = BTreeMap::new();
        // All are held until the last was chosen, so that they differ.
        let mut held = Vec::new();
        for (name, port) in names.iter().zip(FIRST_PORT..) {
            if private {
                ports.insert(*name, port);
                continue;
            }
            let listener = TcpListener::bind("127.0.0.1:0").or_inconclusive("cannot find a free loopback port")?;
            ports.insert(*name, listener.local_addr().or_inconclusive("cannot find a free loopback port")?.port());
            held.push(listener);
        }
        Ok(Self { ports, private })
    }

    /// Ports by name.
    pub(super) fn ports(&self) -> &BTreeMap<&'static str, u16> {
        &self.ports
    }

    /// For reports.
    pub(super) fn describe(&self) -> String {
        let shown = if self.private {
            "loopback in a network namespace of its own"
        } else {
            "loopback of this host: the kernel, or missing `unshare` and `ip`, did not allow a network of its own"
        };
        shown.to_owned()
    }

    /// What to put in front of a program that has to reach the ports of server `pid`.
    pub(super) fn enter(&self, pid: u32) -> Vec<String> {
        if !self.private {
            return Vec::new();
        }
        let mut words = vec!["nsenter".to_owned(), format!("--net=/proc/{pid}/ns/net")];
        if !geteuid().is_root() {
            words.extend([format!("--user=/proc/{pid}/ns/user"), "--preserve-credentials".to_owned()]);
        }
        words.push("--".to_owned());
        words
    }
}

/// What to put in front of a program that gets a network of its own, with a `loopback` that is up or with nothing.
pub(super) fn enter_new(loopback: bool) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["unshare".into(), "--net".into()];
    if !geteuid().is_root() {
        words.extend(["--user".into(), "--map-root-user".into()]);
    }
    words.push("--".into());
    if loopback {
        words.extend(["sh", "-c", BRING_UP, "sh"].map(OsString::from));
    }
    words
}

/// Whether process `pid` is in another network than we are.
pub(super) fn is_apart(pid: u32) -> bool {
    let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let theirs = network(&pid.to_string());
    theirs.is_some() && theirs != network("self")
}
