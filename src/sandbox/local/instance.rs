//! One instance: an empty place first, and then the server in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::found::Found;
use super::isolation::Isolation;
use super::kept::Kept;
use super::launch::{self, Limits};
use super::libraries::{Confined, confine};
use super::namespace::Loopback;
use super::running::{Launch, Running};
use super::waiting::Patience;
use super::workspace::Workspace;
use super::{copying, watch};
use crate::clock::Clock;
use crate::error::{Error, OrFailed, Result};
use crate::run_context::RunContext;
use crate::sandbox::{Access, Instance, Network, Place, ServerSpec, Text};

/// The file with the statements that a server executes first.
const FIRST_STATEMENTS: &str = "init.sql";

/// A server that is to be started.
pub(super) struct Planned {
    pub(super) spec: ServerSpec,
    pub(super) found: Found,
    /// What its data directory is copied from.
    pub(super) template: Option<Kept>,
    pub(super) isolation: Isolation,
    pub(super) time_to_start: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// What has become of an instance's server.
enum Server {
    /// There is none.
    None,
    Planned(Box<Planned>),
    Started(Running),
    /// It was to be started and was not.
    Failed,
}

/// An instance on this host. The order matters: the server goes before its directory does.
pub(super) struct LocalInstance {
    server: Server,
    workspace: Workspace,
    access: Access,
}

impl LocalInstance {
    /// An empty private directory.
    pub(super) fn directory_in(workspace: Workspace) -> Result<Self> {
        workspace.make_data()?;
        let network = "none: there is no server".to_owned();
        let access = Access { directory: workspace.data(), network, ..Access::default() };
        Ok(Self { server: Server::None, workspace, access })
    }

    /// An empty place for a server.
    pub(super) fn server_in(workspace: Workspace, planned: Planned) -> Result<Self> {
        workspace.make_data()?;
        let access = Access { directory: workspace.data(), ..Access::default() };
        Ok(Self { server: Server::Planned(Box::new(planned)), workspace, access })
    }
}

impl Planned {
    /// Lay out what the server finds, start it, and say how it is reached.
    fn start(&self, workspace: &mut Workspace, context: &RunContext) -> Result<(Running, Access)> {
        context.cancel.check()?;
        let spec = &self.spec;
        if let Some(template) = &self.template {
            fill(&workspace.data(), &template.directory)?;
        }
        workspace.make_outside(spec.outside.len())?;
        let loopback = match spec.network {
            Network::None => None,
            Network::Loopback(names) => Some(Loopback::choose(names, self.isolation >= Isolation::Network)?),
        };
        let written = |text: &Text| launch::written(text, workspace, loopback.as_ref());
        for (name, text) in &spec.files {
            write(&workspace.directory().join(name), &written(text))?;
        }
        let confined = confine(spec, &self.found);
        let arguments = self.arguments(workspace, &confined, written)?;
        workspace.hand_over()?;
        confined.fixed.make(workspace.directory(), written)?;
        let called_by = confined.fixed.called_by.as_ref().map(|name| workspace.directory().join(name));
        let limits =
            Limits { isolation: self.isolation, memory: Some(spec.memory), loopback, outside: spec.outside.clone() };
        let launched = Launch {
            server: &self.name(),
            program: called_by.as_ref().unwrap_or(&self.found.program),
            arguments: &arguments,
            limits: &limits,
            memory: spec.memory,
            greeting: spec.greeting,
            template: self.template.as_ref().map(|template| template.directory.as_path()),
            time_to_start: self.time_to_start,
        };
        let patience = Patience { clock: &self.clock, cancel: &context.cancel };
        let running = Running::start(workspace, &launched, &patience)?;
        let access = self.access(workspace, running.pid(), &limits, confined);
        Ok((running, access))
    }

    /// Product and version.
    fn name(&self) -> String {
        format!("{} {}", self.spec.product, self.found.version)
    }

    fn arguments(
        &self,
        workspace: &Workspace,
        confined: &Confined,
        written: impl Fn(&Text) -> String,
    ) -> Result<Vec<String>> {
        let spec = &self.spec;
        let mut own = confined.options.clone();
        if let Some(option) = spec.installation.statements.filter(|_| !spec.first_statements.is_empty()) {
            write(&workspace.directory().join(FIRST_STATEMENTS), &spec.first_statements)?;
            own.push((option.to_owned(), Text::from(Place::Own).then(format!("/{FIRST_STATEMENTS}"))));
        }
        let mut arguments: Vec<String> = spec.installation.first.iter().map(|first| (*first).to_owned()).collect();
        arguments.extend(launch::arguments(spec.options.iter().chain(&own), written));
        Ok(arguments)
    }

    fn access(&self, workspace: &Workspace, pid: u32, limits: &Limits, confined: Confined) -> Access {
        let loopback = limits.loopback.as_ref();
        let mut runs = confined.recorded;
        runs.insert("server".to_owned(), self.name());
        Access {
            directory: workspace.data(),
            socket: workspace.socket(),
            ports: loopback.map(|loopback| loopback.ports().clone()).unwrap_or_default(),
            enter: loopback.map(|loopback| loopback.enter(pid)).unwrap_or_default(),
            network: loopback.map_or_else(|| "none: a unix socket only".to_owned(), Loopback::describe),
            isolation: limits.isolation.describe().to_owned(),
            exposure: limits.isolation.exposure(),
            runs,
        }
    }
}

/// Put the data directory of a new server in the place of an empty one.
fn fill(data: &Path, template: &Path) -> Result<()> {
    // Fails, as it should, where somebody has put something there.
    std::fs::remove_dir(data).or_inconclusive(format!("cannot make a new data directory in {}", data.display()))?;
    copying::copy_tree(template, data)
        .or_inconclusive(format!("cannot copy {} to {}", template.display(), data.display()))
        .map_err(|e| e.hint("is the disk full?"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).or_inconclusive(format!("cannot write {}", path.display()))
}

impl Instance for LocalInstance {
    fn start(&mut self, context: &RunContext) -> Result<()> {
        let planned = match std::mem::replace(&mut self.server, Server::Failed) {
            Server::None => {
                self.server = Server::None;
                return Ok(());
            }
            Server::Planned(planned) => planned,
            before => {
                self.server = before;
                let what = format!("cannot start the sandbox {}: that was done before", self.directory().display());
                return Err(Error::inconclusive(what));
            }
        };
        let (running, access) = planned.start(&mut self.workspace, context)?;
        self.server = Server::Started(running);
        self.access = access;
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.workspace.directory()
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn pid(&self) -> Option<u32> {
        if let Server::Started(running) = &self.server { Some(running.pid()) } else { None }
    }

    fn is_running(&mut self) -> bool {
        match &mut self.server {
            Server::None | Server::Planned(_) => true,
            Server::Started(running) => running.is_alive(),
            Server::Failed => false,
        }
    }

    fn log_tail(&self) -> String {
        if let Server::Started(running) = &self.server { running.last_words() } else { String::new() }
    }

    fn free_bytes(&self) -> Option<u64> {
        watch::room(self.workspace.directory())
    }

    fn destroy(mut self: Box<Self>) -> Result<()> {
        self.server = Server::None;
        self.workspace.remove()
    }
}
