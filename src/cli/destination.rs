//! `--to` and `--against`, and how to get in there. What a destination looks like, the kind of the source says.

use std::path::PathBuf;

use clap::Args;

use crate::app::KINDS;
use crate::engine::destination::Credentials;
use crate::error::Result;
use crate::strict::read_secret_file;

/// How to get into the destination.
#[derive(Debug, Args)]
pub struct CredentialArguments {
    /// Account at a `unix:` destination [default: root]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File with the password of the account at the destination (mode 0600)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// CA certificate: TLS is required and the server verified against it
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Backup service of an InfluxDB destination, its own `bind-address` [default: port 8088 where the server answers on
    /// port 8086; required otherwise]
    #[arg(long, value_name = "HOST:PORT")]
    rpc_address: Option<String>,
}

impl CredentialArguments {
    /// The same with the password, which is read from its file.
    pub fn read(&self) -> Result<Credentials> {
        Ok(Credentials {
            user: self.user.clone(),
            password: self.password_file.as_deref().map(read_secret_file).transpose()?,
            tls_ca: self.tls_ca.clone(),
            rpc_address: self.rpc_address.clone(),
        })
    }
}

/// Every form of a destination, for help: "mysql://USER@HOST:PORT, unix:/PATH/TO/SOCKET, or a directory".
pub fn forms() -> String {
    let mut forms: Vec<&str> = KINDS.iter().flat_map(|kind| kind.destinations()).copied().collect();
    let last = forms.pop().unwrap_or_default();
    format!("{}, or {last}", forms.join(", "))
}
