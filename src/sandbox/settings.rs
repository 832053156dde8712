//! What an operator says of the sandboxes of a source.

use std::path::PathBuf;

/// `[source.NAME.sandbox]`.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// `local` or `docker`.
    pub kind: String,
    /// Container image, for `docker`.
    pub image: Option<String>,
    /// Most memory, in bytes; default 1 GiB.
    pub memory: u64,
    /// Directory of the server programs; default: `PATH` and the usual sbin directories.
    pub programs: Option<PathBuf>,
}
