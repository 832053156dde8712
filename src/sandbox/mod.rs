//! SEAM: the throwaway instance a drill restores into.
//!
//! What every implementation must keep (the suite in `contract` runs over all of them, with every product):
//!
//! - Reachable from no network; in a directory of mode 0700; memory bounded. Where the kernel allows it, what runs in it reads,
//!   writes and reaches nothing outside. Where not, the instance says so and refuses definitions that name places outside.
//! - Destroyed and wiped whatever happens: on success, failure, panic, drop. What a killed process left behind, at whatever
//!   step, is found and removed by [`Sandbox::reap`], which touches nothing else.
//! - [`Sandbox::provision`] gives an empty place, [`Instance::start`] starts the server in it. Files laid between the two are what
//!   the server starts on. A cancelled run ends in either.
//! - What cannot be provided is [`crate::error::Kind::Inconclusive`]: it says nothing about the backup.
//!
//! Knows nothing of engines: an engine describes what it needs as a [`SandboxSpec`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::run_context::RunContext;

#[cfg(test)]
pub mod contract;
mod installation;
pub mod local;
pub mod settings;
mod spec;
mod text;

pub use self::installation::{Decisive, Identity, Initial, Installation, Libraries, TimeZones};
pub use self::spec::{Data, Extra, Network, SandboxSpec, ServerSpec};
pub use self::text::{Place, Text};

/// How an instance is reached. Only its directory is known before it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Its data directory, which is all there is of a [`SandboxSpec::Directory`].
    pub directory: PathBuf,
    /// Unix socket of its server.
    pub socket: PathBuf,
    /// Loopback ports of its server by name.
    pub ports: BTreeMap<&'static str, u16>,
    /// What to put in front of a program that has to reach those ports; nothing where they are this host's own.
    pub enter: Vec<String>,
    /// Which network the server has, for reports.
    pub network: String,
    /// What else it is cut off from, for reports; empty where nothing runs.
    pub isolation: String,
    /// What of this host is in reach of what is loaded, where the kernel or missing programs allow less than they should.
    pub exposure: Option<String>,
    /// What runs, as drills record it: `server` is product and version, and what of [`Extra`] was given.
    pub runs: BTreeMap<String, String>,
}

/// Removed leftover of a killed process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaped {
    /// Its directory.
    pub directory: PathBuf,
    /// The server that was still running, if any.
    pub pid: Option<u32>,
}

/// Makes instances.
pub trait Sandbox: Send + Sync {
    /// Name in configuration and reports: `local`, `docker`.
    fn kind(&self) -> &'static str;
    /// Give an empty place for what `spec` asks for. That the product is here, in the series that is wanted, is known then.
    /// `run` names the place.
    fn provision(&self, spec: &SandboxSpec, run: &str, context: &RunContext) -> Result<Box<dyn Instance>>;
    /// Stop and wipe what earlier processes left behind; instances of live processes are left alone.
    fn reap(&self) -> Result<Vec<Reaped>>;
    /// When each instance that exists now was made, whoever made it and whether anybody still uses it.
    fn existing(&self) -> Result<Vec<DateTime<Utc>>>;
}

/// A throwaway instance. Dropping it destroys it too, but only [`Instance::destroy`] can report a failure.
pub trait Instance: Send {
    /// Start the server; it accepts connections then. Nothing to do where there is none. Once only: what failed to start is to be
    /// destroyed.
    fn start(&mut self, context: &RunContext) -> Result<()>;
    /// Private directory, mode 0700.
    fn directory(&self) -> &Path;
    /// How it is reached.
    fn access(&self) -> &Access;
    /// Process id of the server, if there is one.
    fn pid(&self) -> Option<u32>;
    /// False once a server that was started has ended. Before the start, and without a server, nothing can have.
    fn is_running(&mut self) -> bool;
    /// Last lines of the server's log, for error messages.
    fn log_tail(&self) -> String;
    /// Free bytes where the instance keeps its data; 0 where no file can be added.
    fn free_bytes(&self) -> Option<u64>;
    /// Stop the server and wipe the directory.
    fn destroy(self: Box<Self>) -> Result<()>;
}
