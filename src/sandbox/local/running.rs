//! A server's process, from its launch to its end.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::isolation::Isolation;
use super::launch::{Limits, last_words, launch};
use super::waiting::Patience;
use super::watch::{Bounds, Watch};
use super::workspace::Workspace;
use super::{namespace, processes};
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::OwnedChild;

/// How long a connection is given to be greeted or turned away; then it is tried again.
const TIME_TO_GREET: Duration = Duration::from_secs(1);

/// How often, and how many times, it is looked whether a killed server is gone: the kernel has to give back its memory.
const LAUNCHER_LOOK: Duration = Duration::from_millis(2);
const LAUNCHER_LOOKS: u32 = 5000;

/// What to start, and how long it may take.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    /// Product and version, for messages.
    pub(super) server: &'a str,
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [String],
    pub(super) limits: &'a Limits,
    /// Most memory, in bytes.
    pub(super) memory: u64,
    /// What a client says first.
    pub(super) greeting: Option<&'a str>,
    /// Where its data directory was copied from.
    pub(super) template: Option<&'a Path>,
    pub(super) time_to_start: Duration,
}

impl Launch<'_> {
    fn what(&self) -> String {
        format!("cannot start {}", self.server)
    }
}

/// A server that was started. Dropping it ends it.
pub(super) struct Running {
    watch: Option<Watch>,
    child: OwnedChild,
    /// The server's process: what we started, or a child of that.
    server: u32,
    directory: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Running {
    /// Start a server in `workspace` and wait until it answers.
    pub(super) fn start(workspace: &mut Workspace, launched: &Launch<'_>, patience: &Patience<'_>) -> Result<Self> {
        let limits = launched.limits;
        let child = launch(workspace, launched.server, launched.program, launched.arguments, limits)?;
        let directory = workspace.directory().to_owned();
        let bounds = Bounds { directory: directory.clone(), memory: launched.memory, launcher: child.id() };
        // Whoever waits for the server, in whatever way, waits no more once it is gone.
        patience.cancel.takes_down(child.killer());
        let mut running = Self { watch: None, server: child.id(), child, directory };
        if limits.isolation.has_launcher() {
            running.server = running.find_server(launched, patience)?;
        }
        running.watch = Some(Watch::start(running.server, running.child.killer(), bounds));
        workspace.record_server(running.server)?;
        running.wait_until_ready(&workspace.socket(), launched, patience)?;
        running.refuse_network(launched)?;
        Ok(running)
    }

    /// Process id of the server.
    pub(super) fn pid(&self) -> u32 {
        self.server
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn last_words(&self) -> String {
        last_words(&self.child)
    }

    /// End the server, and wait until it has given back what it had.
    fn end(&mut self) {
        self.watch = None;
        if self.server != self.child.id() {
            // What started it waits for it, and so do we by that; killed together, nobody would.
            processes::kill_marked(self.server, &self.directory);
            for _ in 0..LAUNCHER_LOOKS {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(LAUNCHER_LOOK);
            }
        }
        self.child.kill_now();
    }

    /// An error if what we started has ended.
    fn still_runs(child: &mut OwnedChild, launched: &Launch<'_>) -> Result<()> {
        let what = launched.what();
        let Some(status) = child.try_wait().or_inconclusive(&what)? else { return Ok(()) };
        let blame = launched.template.map_or(String::new(), |template| {
            format!(
                "; if the kept data directory {} is broken, remove it: the next drill makes a new one",
                template.display()
            )
        });
        let hint = format!(
            "if it ran out of memory, raise `memory` of the sandbox (now {}){blame}",
            bytesize::ByteSize(launched.memory)
        );
        let why = format!("{what}: it ended with {status}: {}", last_words(child));
        Err(Error::inconclusive(why).hint(hint))
    }

    /// The server's process, once there is one.
    fn find_server(&mut self, launched: &Launch<'_>, patience: &Patience<'_>) -> Result<u32> {
        let Self { child, directory, .. } = self;
        patience.until(
            launched.time_to_start,
            || launched.what(),
            || match processes::started_by(child.id(), directory) {
                Some(server) => Ok(Some(server)),
                None => Self::still_runs(child, launched).map(|()| None),
            },
        )
    }

    fn wait_until_ready(&mut self, socket: &Path, launched: &Launch<'_>, patience: &Patience<'_>) -> Result<()> {
        let child = &mut self.child;
        let ready = patience.until(
            launched.time_to_start,
            || launched.what(),
            || {
                Self::still_runs(child, launched)?;
                Ok(answers(socket, launched.greeting).then_some(()))
            },
        );
        ready.map_err(|error| match error.hint_text() {
            None if error.kind() == Kind::Inconclusive => error.hint(format!("it said: {}", last_words(&self.child))),
            _ => error,
        })
    }

    /// Whatever it was told, a server that holds a network socket that it may not have is not used.
    fn refuse_network(&self, launched: &Launch<'_>) -> Result<()> {
        let what = || format!("cannot use {} as a sandbox", launched.server);
        let limits = launched.limits;
        if limits.isolation >= Isolation::Network && !namespace::is_apart(self.server) {
            return Err(Error::inconclusive(format!("{}: it is in this host's network", what())));
        }
        let allowed = |socket: &String| limits.loopback.is_some() && processes::is_loopback(socket);
        match processes::listens_on(self.server) {
            Some(sockets) if sockets.iter().all(allowed) => Ok(()),
            Some(sockets) => Err(Error::inconclusive(format!("{}: it listens on {}", what(), sockets.join(", ")))),
            None => Err(Error::inconclusive(format!("{}: /proc does not show what it listens on", what()))),
        }
    }
}

/// Whether the server is ready: it speaks first then, or answers `greeting`. One that opens its socket before it is ready leaves
/// the connection waiting, and hangs up if it then fails: a connection alone says nothing.
fn answers(socket: &Path, greeting: Option<&str>) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    if stream.set_read_timeout(Some(TIME_TO_GREET)).is_err() {
        return false;
    }
    if greeting.is_some_and(|greeting| stream.write_all(greeting.as_bytes()).is_err()) {
        return false;
    }
    stream.read(&mut [0]).is_ok_and(|read| read > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_server_is_ready_once_it_speaks_and_not_when_it_only_listens() {
        let place = tempfile::tempdir().unwrap();
        let socket = place.path().join("socket");
        assert!(!answers(&socket, None));
        let listener = UnixListener::bind(&socket).unwrap();
        assert!(!answers(&socket, None), "the kernel took the connection, nobody else did");
        drop(listener.accept().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| listener.accept().unwrap().0.write_all(b"ready").unwrap());
            assert!(answers(&socket, None));
            scope.spawn(|| {
                let mut stream = listener.accept().unwrap().0;
                let mut asked = [0; 3];
                stream.read_exact(&mut asked).unwrap();
                stream.write_all(&asked).unwrap();
            });
            assert!(answers(&socket, Some("hi?")));
        });
    }
}
