//! Fetches one file of the server's log by the server's own client, byte for byte.
//!
//! The client writes raw logs only into files, whose names it takes from the server: a server that lies would have it write
//! anywhere. So it runs in a view of this host in which nothing can be written, and the one name that is right leads to its own
//! standard output.

use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;

use crate::engine::mysql::account::Account;
use crate::engine::mysql::tool::Tools;
use crate::error::{Error, OrFailed, Result};
use crate::process::{self, ChildOutput, OwnedChild, find_program};
use crate::run_context::Cancel;
use crate::temporary;

/// Bytes that are read at once.
pub const PIECE: usize = 256 * 1024;
/// A server that sends nothing for so long hangs.
const LONGEST_SILENCE: Duration = Duration::from_mins(2);

/// A file of the log as it comes; it ends well only if the client did.
pub struct Fetch {
    output: ChildOutput,
    /// Where the client finds its own output; gone when it is done.
    _directory: TempDir,
}

impl Fetch {
    /// Fetch `file` from `offset` on, to the end that it has by then. What comes begins as every file does.
    pub fn start(tools: &Tools, account: &Account, (file, offset): (&str, u64), cancel: &Cancel) -> Result<Self> {
        let client = tools.log_client()?;
        if file.is_empty() || file.contains('/') || file.starts_with(['.', '-']) {
            return Err(Error::failed(format!("cannot fetch binary log `{file}`: that is no name of one")));
        }
        let what = "cannot prepare to fetch a binary log";
        let directory = temporary::directory("binlog").or_failed(what)?;
        symlink("/dev/stdout", directory.path().join(file)).or_failed(what)?;
        let bubblewrap = find_program(None, &["bwrap"]).ok_or_else(|| {
            Error::failed("cannot fetch binary logs safely: `bwrap` is not installed")
                .hint("install the package bubblewrap")
        })?;
        let mut command = process::command(bubblewrap);
        command
            .args(["--ro-bind", "/", "/", "--dev", "/dev", "--die-with-parent", "--new-session", "--"])
            .arg(&client)
            .arg("--defaults-file=/dev/stdin")
            .args(account.tls_arguments(tools.product()))
            .args(["--read-from-remote-server", "--raw"])
            .arg(format!("--start-position={offset}"))
            .arg(prefix(directory.path()))
            .arg("--")
            .arg(file)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = OwnedChild::spawn(command, "log client")?;
        cancel.takes_down(child.killer());
        if let Err(error) = child.feed(account.option_file().as_bytes()) {
            // It ended without having read them: its own end says why.
            child.wait_success()?;
            return Err(error).or_failed("cannot pass options to the log client");
        }
        Ok(Self { output: ChildOutput::new(child)?.never_silent_for(LONGEST_SILENCE), _directory: directory })
    }
}

impl Read for Fetch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

/// Whatever it is called by the server, it is put in front of that name.
fn prefix(directory: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("--result-file=");
    argument.push(directory);
    argument.push("/");
    argument
}

/// As much as there is now; 0 at the end.
pub fn read(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match from.read(buffer) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(match error.downcast::<Error>() {
                    Ok(error) => error.context("cannot fetch the binary log"),
                    Err(error) => Error::failed("cannot fetch the binary log").because(error),
                });
            }
        }
    }
}
