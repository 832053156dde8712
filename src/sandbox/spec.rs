//! What an engine asks a sandbox for: a product, a series, settings and first statements. Nothing here says where it will run;
//! the sandbox finds the program or the image.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

use super::installation::Installation;
use super::text::Text;

/// What an engine restores into.
#[derive(Debug, Clone)]
pub enum SandboxSpec {
    /// A private server.
    Server(Box<ServerSpec>),
    /// An empty private directory.
    Directory,
}

impl SandboxSpec {
    /// What was asked for, as drills record it.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let Self::Server(spec) = self else { return BTreeMap::new() };
        let mut described = spec.recorded.clone();
        described.insert("memory_limit_bytes".to_owned(), spec.memory.to_string());
        described
    }
}

/// A server that an engine wants to have run.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// Product, as manifests name it: `MariaDB`.
    pub product: String,
    /// The series that has to run, as manifests name it: `10.11`. Another one proves nothing.
    pub series: String,
    /// What the server is started with: name without dashes, and value. A name may come more than once.
    pub options: Vec<(String, Text)>,
    /// Small files in the instance's directory: name and text.
    pub files: Vec<(String, Text)>,
    /// Statements that the server executes before anybody can connect; may be empty.
    pub first_statements: String,
    /// What the data directory holds when the server starts.
    pub data: Data,
    /// Whether the server must know time zones by their names.
    pub named_time_zones: bool,
    /// Files of the product's libraries that the server may load. It finds no others.
    pub libraries: Vec<String>,
    /// What it gets beyond that, where the product comes with it.
    pub extras: Vec<Extra>,
    /// Most memory it may allocate, in bytes.
    pub memory: u64,
    /// What it may listen on beside the socket.
    pub network: Network,
    /// Absolute paths of directories that what is loaded names: they exist for the server, empty and private, whatever this
    /// host has there.
    pub outside: Vec<PathBuf>,
    /// Tables of what is loaded that are a connection to another server: they may be made only where that leads nowhere.
    pub connections: Vec<String>,
    /// What a client says first; none where the server does. It is ready once it speaks.
    pub greeting: Option<&'static str>,
    /// Account of the server to connect as.
    pub user: String,
    /// Its password; none where only the owner of the directory can reach the server anyway.
    pub password: Option<SecretString>,
    /// Settings worth recording with the drill.
    pub recorded: BTreeMap<String, String>,
    /// How the product is installed on a host. Only a sandbox that runs it there reads this and `programs`.
    pub installation: Installation,
    /// The directory with its programs, where the operator named one.
    pub programs: Option<PathBuf>,
}

/// What the data directory of a server holds when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// What the product makes for a new server: empty databases.
    New,
    /// What was put there between [`super::Sandbox::provision`] and [`super::Instance::start`].
    Laid,
}

/// A library that a server gets where its product comes with it. Where not, the server starts without.
#[derive(Debug, Clone)]
pub struct Extra {
    /// File name of the library.
    pub library: String,
    /// Files that it looks for beside itself, and cannot change: name and text.
    pub beside_library: Vec<(String, Text)>,
    /// Files that the server looks for beside its program, and cannot change.
    pub beside_program: Vec<(String, Text)>,
    /// What drills record where it was given.
    pub recorded: (String, String),
}

/// What a sandbox's server may listen on beside its unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Nothing.
    None,
    /// Loopback ports of these names: in a network of its own where the kernel allows it, else on this host's loopback.
    Loopback(&'static [&'static str]),
}
