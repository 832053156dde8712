//! SEAM: the throwaway instance a drill restores into.
//!
//! Contract: reachable from no network, in a directory of mode 0700, memory bounded, destroyed and wiped whatever
//! happens; what a killed process left behind is found and removed by [`Sandbox::reap`]. An instance that cannot be
//! provided is [`crate::error::Kind::Inconclusive`]: it says nothing about the backup. Knows nothing of engines: an
//! engine describes its server as a [`ServerSpec`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::run_context::RunContext;

pub mod local;

/// A server that an engine wants to have run. In `args` and in the template's `args`, `{dir}` stands for the instance's
/// private directory, `{data}` for its data directory and `{socket}` for the unix socket to listen on.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Product, for messages: `MariaDB`.
    pub product: String,
    /// Version of the program that will run.
    pub version: String,
    /// The server program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// How an empty data directory is made; done once and cached under `key`.
    pub template: Template,
    /// Settings worth recording with the drill.
    pub settings: BTreeMap<String, String>,
    /// Most memory it may allocate, in bytes.
    pub memory: u64,
    /// Small files to put into `{dir}` before the start: name and text.
    pub files: Vec<(String, String)>,
    /// Account to connect as, without a password: only the owner of the directory can reach the socket.
    pub user: String,
}

/// How to make an empty data directory.
#[derive(Debug, Clone)]
pub struct Template {
    /// Cache key: product, version and whatever else changes the result. Safe as a file name.
    pub key: String,
    /// The program that fills `{data}`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
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
    /// Start a server; returns once it accepts connections. `run` names the directory.
    fn provision(&self, spec: &ServerSpec, run: &str, context: &RunContext) -> Result<Box<dyn Instance>>;
    /// Stop and wipe what earlier processes left behind; instances of live processes are left alone.
    fn reap(&self) -> Result<Vec<Reaped>>;
}

/// A running throwaway server. Dropping it destroys it too, but only [`Instance::destroy`] can report a failure.
pub trait Instance: Send {
    /// Private directory, mode 0700.
    fn directory(&self) -> &Path;
    /// Unix socket of the server.
    fn socket(&self) -> &Path;
    /// Process id of the server.
    fn pid(&self) -> u32;
    /// Whether the server is still alive.
    fn is_running(&mut self) -> bool;
    /// Last lines of the server's log, for error messages.
    fn log_tail(&self) -> String;
    /// Free bytes where the instance keeps its data.
    fn free_bytes(&self) -> Option<u64>;
    /// Stop the server and wipe the directory.
    fn destroy(self: Box<Self>) -> Result<()>;
}
