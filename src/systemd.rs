//! The service manager: what it is told (`Type=notify`, watchdog) and what it hands over (sockets).
//!
//! Everything is a no-op where nobody asked to be told. Children never inherit its variables
//! ([`command`](crate::process::command) and the sandbox clear the environment).

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::clock::Stopwatch;
use crate::error::{OrFailed, Result};

/// Tells the service manager how the service is. Clones tell the same manager.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    manager: Option<Arc<Manager>>,
    /// How often it wants to hear that we are alive, if it does.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// How long the manager waits for the end, or for the next word of it.
    pub const EXTENSION: Duration = Duration::from_mins(2);

    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        match std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) {
            Some(address) => Self::to(&address, sd_notify::watchdog_enabled()),
            None => Self::default(),
        }
    }

    /// Tell the manager whose datagram socket is at `address`: a path, or `@name` in the abstract name space, which
    /// managers of containers use. `watchdog` is how long it waits for a sign of life.
    pub fn to(address: &OsStr, watchdog: Option<Duration>) -> Self {
        let manager = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(address),
        }
        .and_then(Manager::new);
        let manager = manager.inspect_err(|error| {
            tracing::warn!("reach the service manager at `{}`: {error}", address.display());
        });
        Self { manager: manager.ok().map(Arc::new), watchdog: watchdog.filter(|interval| !interval.is_zero()) }
    }

    /// Everything can be answered; also the end of a reload.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The configuration is being read anew. The manager wants the time with it, or ignores it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("read the monotonic clock: {error}"),
        }
    }

    /// The end was asked for; it takes [`Notifier::EXTENSION`] at most, or says so again.
    pub fn stopping(&self) {
        let longest = u32::try_from(Self::EXTENSION.as_micros()).unwrap_or(u32::MAX);
        self.tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest)]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        // A line break would begin another word to the manager.
        self.tell(&[NotifyState::Status(&text.replace(['\n', '\r'], " "))]);
    }

    /// Says that we are alive as often as the manager wants it; nothing if it does not want to know.
    pub fn heartbeat(&self) -> Heartbeat {
        // Half of the time: one beat may come late.
        Heartbeat { notifier: self.clone(), every: self.watchdog.map(|interval| interval / 2), last: None }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Some(manager) = &self.manager {
            manager.tell(states);
        }
    }
}

/// Beats for the manager's watchdog. Beat from the loop whose life matters, not from a thread that only beats.
pub struct Heartbeat {
    notifier: Notifier,
    every: Option<Duration>,
    last: Option<Stopwatch>,
}

impl Heartbeat {
    /// The loop has come round. Cheap: most beats are not passed on.
    pub fn beat(&mut self, clock: &std::sync::Arc<dyn crate::clock::Clock>) {
        let Some(every) = self.every else { return };
        if self.last.as_ref().is_none_or(|last| last.elapsed() >= every) {
            self.notifier.tell(&[NotifyState::Watchdog]);
            self.last = Some(Stopwatch::start(clock));
        }
    }
}

/// Where the manager listens. `sd-notify` knows what is said; it does not know abstract addresses, so the socket is ours.
#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// One that does not listen is complained about once, not at every beat.
    is_lost: AtomicBool,
}

impl Manager {
    fn new(address: SocketAddr) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // One that is stuck must not hold us up.
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { socket, address, is_lost: AtomicBool::new(false) })
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let message = states.iter().map(|state| format!("{state}\n")).collect::<Vec<_>>().concat();
        match self.socket.send_to_addr(message.as_bytes(), &self.address) {
            Ok(_) => self.is_lost.store(false, Ordering::Relaxed),
            Err(error) if self.is_lost.swap(true, Ordering::Relaxed) => {
                tracing::debug!("tell the service manager: {error}");
            }
            Err(error) => tracing::warn!("tell the service manager: {error}"),
        }
    }
}

/// Listening sockets that the manager opened for this process (`LISTEN_FDS`, `LISTEN_PID`); empty without any.
///
/// Errors: one of them is not a TCP socket.
pub fn sockets() -> Result<Vec<TcpListener>> {
    // The library also takes sockets that were meant for no process by number; systemd always names one.
    if std::env::var("LISTEN_PID").ok() != Some(std::process::id().to_string()) {
        return Ok(Vec::new());
    }
    let mut inherited = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..inherited.len() {
        sockets.extend(
            inherited
                .take_tcp_listener(at)
                .or_failed("take over a socket of the service manager")
                .map_err(|e| e.hint("`ListenStream=` of the socket unit may name ports and `address:port` only"))?,
        );
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn next(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 500];
        socket.set_nonblocking(true).unwrap();
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    #[test]
    fn every_word_is_one_datagram_and_a_status_is_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str(), None);
        notifier.ready();
        notifier.status("2 sources\nWATCHDOG=trigger");
        notifier.reloading();
        notifier.heartbeat().beat(&SystemClock::shared());
        assert_eq!(next(&socket).unwrap(), "READY=1\n");
        assert_eq!(next(&socket).unwrap(), "STATUS=2 sources WATCHDOG=trigger\n");
        let reload = next(&socket).unwrap();
        let time = reload.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(next(&socket), None, "nobody asked for signs of life");
    }

    #[test]
    fn a_manager_in_the_abstract_name_space_hears_signs_of_life_no_more_often_than_it_wants() {
        let name = format!("backup-sla-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}")), Some(Duration::from_hours(1)));
        let mut heartbeat = notifier.heartbeat();
        let clock = SystemClock::shared();
        heartbeat.beat(&clock);
        heartbeat.beat(&clock);
        assert_eq!(next(&socket).unwrap(), "WATCHDOG=1\n");
        assert_eq!(next(&socket), None);
    }

    #[test]
    fn a_manager_that_is_not_there_stops_nothing() {
        for notifier in [Notifier::default(), Notifier::to(OsStr::new("/nowhere/notify"), None)] {
            notifier.ready();
            notifier.stopping();
        }
    }
}
