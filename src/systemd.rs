//! The service manager: what it is told (`Type=notify`, watchdog) and what it hands over (sockets).
//!
//! Everything is a no-op where nobody asked to be told. Children never inherit its variables
//! ([`command`](crate::process::command) and the sandbox clear the environment).

use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use crate::clock::Stopwatch;
use crate::error::{OrFailed, Result};

/// Tells the service manager how the service is. Clones tell the same manager.
#[derive(Debug, Clone)]
pub struct Notifier {
    /// How often it wants to hear that we are alive, if it does.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// How long the manager waits for the end, or for the next word of it.
    pub const EXTENSION: Duration = Duration::from_mins(2);

    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// Everything can be answered; also the end of a reload.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The configuration is being read anew. The manager wants the time with it, or ignores it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("read the monotonic clock: {error}"),
        }
    }

    /// The end was asked for; it takes [`Notifier::EXTENSION`] at most, or says so again.
    pub fn stopping(&self) {
        let longest = u32::try_from(Self::EXTENSION.as_micros()).unwrap_or(u32::MAX);
        tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest)]);
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        tell(&[NotifyState::Status(text)]);
    }

    /// Says that we are alive as often as the manager wants it; nothing if it does not want to know.
    pub fn heartbeat(&self) -> Heartbeat {
        // Half of the time: one beat may come late.
        Heartbeat { every: self.watchdog.map(|interval| interval / 2), last: None }
    }
}

/// Beats for the manager's watchdog. Beat from the loop whose life matters, not from a thread that only beats.
pub struct Heartbeat {
    every: Option<Duration>,
    last: Option<Stopwatch>,
}

impl Heartbeat {
    /// The loop has come round. Cheap: most beats are not passed on.
    pub fn beat(&mut self, clock: &std::sync::Arc<dyn crate::clock::Clock>) {
        let Some(every) = self.every else { return };
        if self.last.as_ref().is_none_or(|last| last.elapsed() >= every) {
            tell(&[NotifyState::Watchdog]);
            self.last = Some(Stopwatch::start(clock));
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("tell the service manager: {error}");
    }
}

/// Listening sockets that the manager opened for this process (`LISTEN_FDS`, `LISTEN_PID`); empty without any.
///
/// Errors: one of them is not a TCP socket.
pub fn sockets() -> Result<Vec<TcpListener>> {
    let mut inherited = ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..inherited.len() {
        sockets.extend(inherited.take_tcp_listener(at).or_failed("take over a socket of the service manager")?);
    }
    Ok(sockets)
}
