//! SEAM: the throwaway instance a drill restores into.
//!
//! Contract: reachable from no network, in a directory of mode 0700, memory bounded, destroyed and wiped whatever
//! happens; where the kernel allows it, what runs in it reads, writes and reaches nothing outside, and where not, the
//! instance says so and refuses definitions that name places outside; what a killed process left behind is found and removed by [`Sandbox::reap`]. An instance that cannot be
//! provided is [`crate::error::Kind::Inconclusive`]: it says nothing about the backup. Knows nothing of engines: an
//! engine describes what it needs as a [`SandboxSpec`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::error::Result;
use crate::run_context::RunContext;

pub mod local;
pub mod settings;

/// What an engine restores into.
#[derive(Debug, Clone)]
pub enum SandboxSpec {
    /// A private server.
    Server(Box<ServerSpec>),
    /// An empty private directory.
    Directory,
}

impl SandboxSpec {
    /// What it is, as drills record it.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let Self::Server(spec) = self else { return BTreeMap::new() };
        let mut described = spec.settings.clone();
        described.insert("server".to_owned(), format!("{} {}", spec.product, spec.version));
        described.insert("memory_limit_bytes".to_owned(), spec.memory.to_string());
        described
    }
}

/// A server that an engine wants to have run. In `args`, in the template's `args` and in the text of `files`, `{dir}` stands
/// for the instance's private directory, `{data}` for its data directory, `{nowhere}` for a directory that holds and takes
/// nothing, `{socket}` for the unix socket to listen on and `{port:NAME}` for a port of [`Network::Loopback`].
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
    /// How an empty data directory is made; done once and cached under `key`. None: the server starts on nothing.
    pub template: Option<Template>,
    /// Settings worth recording with the drill.
    pub settings: BTreeMap<String, String>,
    /// Most memory it may allocate, in bytes.
    pub memory: u64,
    /// Small files to put into `{dir}` before the start: name and text.
    pub files: Vec<(String, String)>,
    /// What it finds in `{dir}` and cannot change.
    pub fixed: Fixed,
    /// Accounts of this machine to run as where we are root, best first.
    pub accounts: &'static [&'static str],
    /// Account of the server to connect as.
    pub user: String,
    /// Its password; none where only the owner of the directory can reach the server anyway.
    pub password: Option<SecretString>,
    /// What it may listen on beside the socket.
    pub network: Network,
    /// Absolute paths of directories that what is loaded names: they exist for the server, empty and private, whatever this
    /// host has there.
    pub outside: Vec<PathBuf>,
    /// Tables of what is loaded that are a connection to another server: they may be made only where that leads nowhere.
    pub connections: Vec<String>,
    /// What a client says first, where the server does not: it is ready once it answers.
    pub greeting: Option<String>,
}

/// What a server finds in directories of `{dir}` that it cannot change itself. Names are paths below `{dir}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Symbolic links: name and where each leads.
    pub links: Vec<(String, PathBuf)>,
    /// Small files: name and text.
    pub files: Vec<(String, String)>,
    /// The link to the program that it is called by, if it looks for something beside itself.
    pub called_by: Option<String>,
}

/// What a sandbox's server may listen on beside its unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    None,
    /// Loopback ports of these names: in a network of its own where the kernel allows it, else on this host's loopback.
    Loopback(&'static [&'static str]),
}

/// How an instance is reached.
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
    /// Files for it in `{dir}`.
    pub files: Vec<Generated>,
}

/// A file that a program of this host writes.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Its name.
    pub name: String,
    /// What it begins with.
    pub head: String,
    /// The program whose output follows.
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
    /// Provide what `spec` asks for; a server accepts connections then. `run` names the directory.
    fn provision(&self, spec: &SandboxSpec, run: &str, context: &RunContext) -> Result<Box<dyn Instance>>;
    /// Stop and wipe what earlier processes left behind; instances of live processes are left alone.
    fn reap(&self) -> Result<Vec<Reaped>>;
    /// When each instance that exists now was made, whoever made it and whether anybody still uses it.
    fn existing(&self) -> Result<Vec<DateTime<Utc>>>;
}

/// A throwaway instance. Dropping it destroys it too, but only [`Instance::destroy`] can report a failure.
pub trait Instance: Send {
    /// Private directory, mode 0700.
    fn directory(&self) -> &Path;
    /// How it is reached.
    fn access(&self) -> &Access;
    /// Process id of the server, if there is one.
    fn pid(&self) -> Option<u32>;
    /// Whether the server, if there is one, is still alive.
    fn is_running(&mut self) -> bool;
    /// Last lines of the server's log, for error messages.
    fn log_tail(&self) -> String;
    /// Free bytes where the instance keeps its data; 0 where no file can be added.
    fn free_bytes(&self) -> Option<u64>;
    /// Stop the server and wipe the directory.
    fn destroy(self: Box<Self>) -> Result<()>;
}
