//! Sandbox `local`: a private server process in a 0700 directory.
//!
//! ```text
//! <state_dir>/templates/<key>/          empty data directory, made once per product and version
//! <state_dir>/sandboxes/<run>/          one instance: data/ tmp/ outside/ server.sock     (or elsewhere: see `area`)
//! <state_dir>/sandboxes/<run>.json      its record
//! ```
//!
//! As root the server runs as an unprivileged account that no other process has. Its data is thrown away, so it is ended with SIGKILL: a shutdown in
//! good order would only write what is wiped next. It is cut off from the host as far as the kernel allows (`isolation`,
//! `view`): whatever a dump makes it do, it can do to itself only. Whatever the arguments say, a server that turns out to
//! hold a network socket that it may not have is destroyed before anybody can load data into it. Knows nothing of engines.

mod account;
mod area;
mod copying;
mod isolation;
mod launch;
mod namespace;
mod processes;
mod template;
mod view;
mod waiting;
mod watch;
mod workspace;

#[cfg(test)]
mod tests;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::account::Account;
use self::isolation::Isolation;
use self::launch::{Limits, last_words, launch};
use self::namespace::Loopback;
use self::waiting::Patience;
use self::watch::{Bounds, Watch};
use self::workspace::Workspace;
use super::{Access, Instance, Network, Reaped, Sandbox, SandboxSpec, ServerSpec};
use crate::clock::Clock;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::OwnedChild;
use crate::run_context::RunContext;

/// How long a server may take to accept connections, unless said otherwise.
const TIME_TO_START: Duration = Duration::from_mins(1);
/// How long a connection is given to be greeted or turned away. Servers that wait for the client to speak first are
/// taken as ready after it.
const TIME_TO_GREET: Duration = Duration::from_secs(1);

/// How often, and how many times, it is looked whether a killed server is gone: the kernel has to give back its memory.
const LAUNCHER_LOOK: Duration = Duration::from_millis(2);
const LAUNCHER_LOOKS: u32 = 5000;

/// Runs servers as processes of this host.
pub struct LocalSandbox {
    state_dir: PathBuf,
    clock: Arc<dyn Clock>,
    time_to_start: Duration,
    /// The most that servers are cut off from the host, where the kernel allows it.
    most: Isolation,
}

impl LocalSandbox {
    /// Instances and templates are kept under `state_dir`, which is made (0700) if it is missing.
    pub fn new(state_dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { state_dir: state_dir.to_owned(), clock, time_to_start: TIME_TO_START, most: Isolation::View }
    }

    /// Give servers another time to accept connections.
    #[must_use]
    pub fn time_to_start(mut self, limit: Duration) -> Self {
        self.time_to_start = limit;
        self
    }

    /// As on a host whose kernel allows no more.
    #[cfg(test)]
    fn at_most(mut self, isolation: Isolation) -> Self {
        self.most = isolation;
        self
    }

    /// The place for instances may go with the last of them just before ours is made in it: then there is another.
    fn workspace(&self, name: &str, account: Option<&Account>) -> Result<Workspace> {
        let mut attempts = 5;
        loop {
            let area = area::choose(&self.state_dir, account)?;
            match Workspace::create(&area, name, account, &self.clock) {
                Err(_) if attempts > 0 && !area.exists() => attempts -= 1,
                result => return result,
            }
        }
    }

    fn start(&self, spec: &ServerSpec, run: &str, context: &RunContext) -> Result<LocalInstance> {
        let account = Account::of_new_instance(spec.accounts, &spec.program)?;
        let patience = Patience { clock: &self.clock, cancel: &context.cancel };
        let workspace = |name: &str| self.workspace(name, account.as_ref());
        let template = spec.template.as_ref().map(|template| {
            template::kept(&self.state_dir, &format!("{} {}", spec.product, spec.version), template, &patience, || {
                workspace(&format!("{run}-template"))
            })
        });
        let template = template.transpose()?;
        let workspace = workspace(run)?;
        match &template {
            Some(template) => copying::copy_tree(template, &workspace.data())
                .or_inconclusive(format!("copy {} to {}", template.display(), workspace.data().display()))
                .map_err(|e| e.hint("is the disk full?"))?,
            None => workspace.make_data()?,
        }
        let isolation = self.most.min(Isolation::possible(&workspace, spec.network != Network::None));
        isolation.must_hide(&spec.outside, &spec.connections)?;
        workspace.make_outside(spec.outside.len())?;
        let loopback = match spec.network {
            Network::None => None,
            Network::Loopback(names) => Some(Loopback::choose(names, isolation >= Isolation::Network)?),
        };
        for (name, text) in &spec.files {
            let path = workspace.directory().join(name);
            let text = launch::fill(text, &workspace, loopback.as_ref());
            std::fs::write(&path, text).or_inconclusive(format!("write {}", path.display()))?;
        }
        workspace.hand_over()?;
        let fixed = |text: &str| launch::fill(text, &workspace, loopback.as_ref());
        workspace.fix(&spec.fixed, fixed)?;
        let called_by = spec.fixed.called_by.as_ref().map(|name| workspace.directory().join(name));
        let program = called_by.as_ref().unwrap_or(&spec.program);
        let limits = Limits { isolation, memory: Some(spec.memory), loopback, outside: spec.outside.clone() };
        let child = launch(&workspace, &spec.product, program, &spec.args, &limits)?;
        let bounds = Bounds { directory: workspace.directory().to_owned(), memory: spec.memory, launcher: child.id() };
        // Whoever waits for the server, in whatever way, waits no more once it is gone.
        context.cancel.takes_down(child.killer());
        let mut instance =
            LocalInstance { watch: None, server: child.id(), child, access: Access::default(), workspace };
        if isolation.has_launcher() {
            instance.server = instance.find_server(spec, template.as_deref(), self.time_to_start, &patience)?;
        }
        let server = instance.server;
        instance.watch = Some(Watch::start(server, instance.child.killer(), bounds));
        instance.access = access(&instance.workspace, server, &limits);
        instance.workspace.record_server(server)?;
        instance.wait_until_ready(spec, template.as_deref(), self.time_to_start, &patience)?;
        instance.refuse_network(spec, &limits)?;
        Ok(instance)
    }
}

fn access(workspace: &Workspace, pid: u32, limits: &Limits) -> Access {
    let loopback = limits.loopback.as_ref();
    Access {
        directory: workspace.data(),
        socket: workspace.socket(),
        ports: loopback.map(|loopback| loopback.ports().clone()).unwrap_or_default(),
        enter: loopback.map(|loopback| loopback.enter(pid)).unwrap_or_default(),
        network: loopback.map_or_else(|| "none: a unix socket only".to_owned(), Loopback::describe),
        isolation: limits.isolation.describe().to_owned(),
        exposure: limits.isolation.exposure(),
    }
}

impl Sandbox for LocalSandbox {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn provision(&self, spec: &SandboxSpec, run: &str, context: &RunContext) -> Result<Box<dyn Instance>> {
        let instance: Result<Box<dyn Instance>> = match spec {
            SandboxSpec::Server(server) => self.start(server, run, context).map(|instance| Box::new(instance) as _),
            SandboxSpec::Directory => {
                self.workspace(run, None).and_then(LocalDirectory::make).map(|instance| Box::new(instance) as _)
            }
        };
        instance.map_err(|e| e.context("provide sandbox"))
    }

    fn reap(&self) -> Result<Vec<Reaped>> {
        let mut reaped = Vec::new();
        let mut failure = None;
        for area in area::all(&self.state_dir) {
            for left in workspace::abandoned(&area)? {
                let directory = left.directory().to_owned();
                match left.remove(&self.clock) {
                    Ok(pid) => reaped.push(Reaped { directory, pid }),
                    // One that cannot be removed must not keep the others.
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        failure.map_or(Ok(reaped), Err)
    }

    fn existing(&self) -> Result<Vec<DateTime<Utc>>> {
        let areas = area::all(&self.state_dir);
        let made: Vec<_> = areas.iter().map(|area| workspace::existing(area)).collect::<Result<_>>()?;
        Ok(made.concat())
    }
}

/// A server process and its directory. The order matters: the process goes before its directory does.
struct LocalInstance {
    watch: Option<Watch>,
    child: OwnedChild,
    /// The server's process: what we started, or a child of that.
    server: u32,
    workspace: Workspace,
    access: Access,
}

impl Drop for LocalInstance {
    fn drop(&mut self) {
        self.end();
    }
}

impl LocalInstance {
    /// End the server, and wait until it has given back what it had.
    fn end(&mut self) {
        self.watch = None;
        if self.server != self.child.id() {
            // What started it waits for it, and so do we by that; killed together, nobody would.
            processes::kill_marked(self.server, self.workspace.directory());
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
    fn still_runs(child: &mut OwnedChild, spec: &ServerSpec, template: Option<&Path>, what: &str) -> Result<()> {
        let Some(status) = child.try_wait().or_inconclusive(what)? else { return Ok(()) };
        let blame = template.map_or(String::new(), |template| {
            format!("; if its empty data directory is to blame, remove {}", template.display())
        });
        let hint = format!(
            "it may have {} of memory: if that was too little, raise `memory` of the sandbox{blame}",
            bytesize::ByteSize(spec.memory)
        );
        let why = format!("{what}: it ended with {status}: {}", last_words(child));
        Err(Error::inconclusive(why).hint(hint))
    }

    /// The server's process, once there is one.
    fn find_server(
        &mut self,
        spec: &ServerSpec,
        template: Option<&Path>,
        limit: Duration,
        patience: &Patience<'_>,
    ) -> Result<u32> {
        let what = format!("start {} {}", spec.product, spec.version);
        let Self { child, workspace, .. } = self;
        patience.until(
            limit,
            || what.clone(),
            || {
                if let Some(server) = processes::started_by(child.id(), workspace.directory()) {
                    return Ok(Some(server));
                }
                Self::still_runs(child, spec, template, &what).map(|()| None)
            },
        )
    }

    fn wait_until_ready(
        &mut self,
        spec: &ServerSpec,
        template: Option<&Path>,
        limit: Duration,
        patience: &Patience<'_>,
    ) -> Result<()> {
        let what = format!("start {} {}", spec.product, spec.version);
        let Self { child, access, .. } = self;
        let ready = patience.until(
            limit,
            || what.clone(),
            || {
                Self::still_runs(child, spec, template, &what)?;
                Ok(answers(&access.socket, spec.greeting.as_deref()).then_some(()))
            },
        );
        ready.map_err(|error| match error.hint_text() {
            None if error.kind() == Kind::Inconclusive => error.hint(format!("it said: {}", last_words(&self.child))),
            _ => error,
        })
    }

    fn refuse_network(&self, spec: &ServerSpec, limits: &Limits) -> Result<()> {
        let loopback = limits.loopback.as_ref();
        let what = || format!("make sure that {} is reachable from no network", spec.product);
        let pid = self.server;
        if limits.isolation >= Isolation::Network && !namespace::is_apart(pid) {
            return Err(Error::inconclusive(format!("{}: it is in ours", what())));
        }
        let allowed = |socket: &String| loopback.is_some() && processes::is_loopback(socket);
        match processes::listens_on(pid) {
            Some(sockets) if sockets.iter().all(allowed) => Ok(()),
            Some(sockets) => Err(Error::inconclusive(format!("{}: it listens on {}", what(), sockets.join(", ")))),
            None => Err(Error::inconclusive(format!("{}: /proc does not show its sockets", what()))),
        }
    }
}

/// Whether somebody accepts a connection. A server that opens its socket before it is ready leaves the connection
/// waiting and hangs up if it then fails; MySQL and MariaDB speak first once they are ready, others answer `greeting`.
fn answers(socket: &Path, greeting: Option<&str>) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    if stream.set_read_timeout(Some(TIME_TO_GREET)).is_err() {
        return false;
    }
    if greeting.is_some_and(|greeting| stream.write_all(greeting.as_bytes()).is_err()) {
        return false;
    }
    match stream.read(&mut [0]) {
        Ok(read) => read > 0,
        Err(error) => greeting.is_none() && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// An empty private directory.
struct LocalDirectory {
    workspace: Workspace,
    access: Access,
}

impl LocalDirectory {
    fn make(workspace: Workspace) -> Result<Self> {
        workspace.make_data()?;
        let network = "none: there is no server".to_owned();
        let access = Access { directory: workspace.data(), network, ..Access::default() };
        Ok(Self { workspace, access })
    }
}

impl Instance for LocalDirectory {
    fn directory(&self) -> &Path {
        self.workspace.directory()
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn is_running(&mut self) -> bool {
        true
    }

    fn log_tail(&self) -> String {
        String::new()
    }

    fn free_bytes(&self) -> Option<u64> {
        watch::room(self.workspace.directory())
    }

    fn destroy(mut self: Box<Self>) -> Result<()> {
        self.workspace.remove().map_err(|e| e.context("destroy sandbox"))
    }
}

impl Instance for LocalInstance {
    fn directory(&self) -> &Path {
        self.workspace.directory()
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn pid(&self) -> Option<u32> {
        Some(self.server)
    }

    fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn log_tail(&self) -> String {
        last_words(&self.child)
    }

    fn free_bytes(&self) -> Option<u64> {
        watch::room(self.workspace.directory())
    }

    fn destroy(mut self: Box<Self>) -> Result<()> {
        self.end();
        self.workspace.remove().map_err(|e| e.context("destroy sandbox"))
    }
}
