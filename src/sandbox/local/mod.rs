//! Sandbox `local`: a private server process in a 0700 directory.
//!
//! ```text
//! <state_dir>/templates/<key>/          empty data directory, made once per product and version    (see `kept`)
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
mod fixed;
mod found;
mod instance;
mod isolation;
mod kept;
mod launch;
mod libraries;
mod namespace;
mod processes;
mod running;
mod template;
mod time_zones;
mod view;
mod waiting;
mod watch;
mod workspace;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use self::account::Account;
use self::instance::{LocalInstance, Planned};
use self::isolation::Isolation;
use self::template::Template;
use self::waiting::Patience;
use self::workspace::Workspace;
use super::{Data, Instance, Network, Reaped, Sandbox, SandboxSpec, ServerSpec};
use crate::clock::Clock;
use crate::error::Result;
use crate::run_context::RunContext;

/// How long a server may take to accept connections, unless said otherwise.
const TIME_TO_START: Duration = Duration::from_mins(1);

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

    /// Find the server's program, make what it starts on, and a place for it.
    fn place_for(&self, spec: &ServerSpec, run: &str, context: &RunContext) -> Result<LocalInstance> {
        context.cancel.check()?;
        let found = found::find(spec)?;
        let account = Account::of_new_instance(spec.installation.accounts, &found.program)?;
        let template = match spec.data {
            Data::New => Template::of(spec, &found),
            Data::Laid => None,
        };
        let template = template.map(|template| {
            let patience = Patience { clock: &self.clock, cancel: &context.cancel };
            template.kept(&self.state_dir, &patience, || self.workspace(&format!("{run}-template"), account.as_ref()))
        });
        let template = template.transpose()?;
        let workspace = self.workspace(run, account.as_ref())?;
        let isolation = self.most.min(Isolation::possible(&workspace, spec.network != Network::None));
        isolation.must_hide(&spec.outside, &spec.connections)?;
        let (spec, clock) = (spec.clone(), self.clock.clone());
        let planned = Planned { spec, found, template, isolation, time_to_start: self.time_to_start, clock };
        LocalInstance::server_in(workspace, planned)
    }
}

impl Sandbox for LocalSandbox {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn provision(&self, spec: &SandboxSpec, run: &str, context: &RunContext) -> Result<Box<dyn Instance>> {
        let instance = match spec {
            SandboxSpec::Server(server) => self.place_for(server, run, context),
            SandboxSpec::Directory => self.workspace(run, None).and_then(LocalInstance::directory_in),
        };
        Ok(Box::new(instance?))
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
        if let Err(error) = kept::clean(&self.state_dir, self.clock.wall()) {
            failure = failure.or(Some(error));
        }
        failure.map_or(Ok(reaped), Err)
    }

    fn existing(&self) -> Result<Vec<DateTime<Utc>>> {
        let areas = area::all(&self.state_dir);
        let made: Vec<_> = areas.iter().map(|area| workspace::existing(area)).collect::<Result<_>>()?;
        Ok(made.concat())
    }
}
