//! One session of the client program that replays parts of a stream. The program stops at the first error (never
//! `--force`), takes no commands from the data (`--binary-mode` turns them off), and keeps comments in routine bodies.

use std::io::Write;
use std::process::{ChildStdin, Stdio};

use super::connection::Account;
use super::mending;
use super::tool::Tools;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::{self, Died, OwnedChild};
use crate::repository::StoredFile;
use crate::run_context::{Cancel, RunContext};

/// A pipe holds at most this many bytes that nobody has read.
const LARGEST_PIPE: usize = 1024 * 1024;

/// A running client program.
pub struct Replay {
    child: OwnedChild,
    stdin: Option<ChildStdin>,
    /// Lines written so far, and at which line each part began: the program names a line, a person wants a name.
    lines: u64,
    parts: Vec<(u64, String)>,
    /// Gone as soon as the program must have read it, so that a kill of ours seldom leaves a password behind.
    options: Option<tempfile::NamedTempFile>,
    bytes: usize,
    throwaway: bool,
}

impl Replay {
    /// Start a session at `account`.
    pub fn start(tools: &Tools, account: &Account, cancel: &Cancel) -> Result<Self> {
        let options = account.option_file_on_disk()?;
        let mut command = process::command(&tools.client);
        command
            .arg(format!("--defaults-file={}", options.path().display()))
            .args(account.tls_arguments(tools.product()))
            .args([
                "--batch",
                "--binary-mode",
                "--comments",
                "--default-character-set=utf8mb4",
                "--max-allowed-packet=1G",
                // What runs as us reads no file because a dump says so.
                "--local-infile=0",
            ])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = OwnedChild::spawn(command, "database client")?;
        cancel.takes_down(child.killer());
        let stdin = child.take_stdin();
        Ok(Self { child, stdin, lines: 1, parts: Vec::new(), options: Some(options), bytes: 0, throwaway: false })
    }

    /// Whether the server is a sandbox of ours: set up as the source is, so that a refusal is the dump's own fault.
    pub fn in_sandbox(mut self, throwaway: bool) -> Self {
        self.throwaway = throwaway;
        self
    }

    /// What follows belongs to `what`.
    pub fn part(&mut self, what: String) {
        self.parts.push((self.lines, what));
    }

    /// Replay `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        if written.is_err() {
            return Err(self.failure());
        }
        self.bytes += bytes.len();
        // What the pipe did not hold was taken by a program that had read its options.
        if self.bytes > LARGEST_PIPE {
            self.options = None;
        }
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        Ok(())
    }

    /// Everything was written: wait until it is replayed.
    pub fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        match self.child.wait_success() {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure()),
        }
    }

    /// The program ended before it was told to: in its own words, with the part of the stream they are about.
    fn failure(&mut self) -> Error {
        drop(self.stdin.take());
        let ended = match self.child.wait_success() {
            Err(error) if error.cause::<Died>().is_some_and(Died::by_another) => return error,
            ended => ended.is_ok(),
        };
        // The program repeats the statement that failed, rows and all; only its own words may go into reports and logs.
        let lines = self.child.stderr_lines().into_iter().filter(|line| line.starts_with("ERROR "));
        let said = lines.collect::<Vec<_>>().join("; ");
        let error = match (ended, said.is_empty()) {
            (true, _) => Error::failed("database client ended before the stream did"),
            (false, true) => Error::failed("database client died"),
            (false, false) => Error::failed(said.clone()),
        };
        let line = said.split_once("at line ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
        let line = line.and_then(|digits| digits.collect::<String>().parse::<u64>().ok()).unwrap_or(self.lines);
        let part = self.parts.iter().rev().find(|(first, _)| *first <= line).map_or("the stream's head", |(_, p)| p);
        let error = error.context(format!("load {part}"));
        classify(error, &said, self.throwaway)
    }
}

/// Failures that say something about the destination and nothing about the backup.
fn classify(error: Error, said: &str, throwaway: bool) -> Error {
    const FULL: [&str; 5] = ["No space left on device", "Errcode: 28", "errno: 28", "The table '", "Disk full"];
    let full = FULL.iter().any(|text| said.contains(text) && (*text != "The table '" || said.contains("is full")));
    if full {
        error
            .with_kind(Kind::Inconclusive)
            .hint("the disk that the destination keeps its data on is full; make room and try again")
    } else if said.contains("max_allowed_packet") || said.contains("ERROR 1153") {
        error.hint("raise max_allowed_packet at the destination: a row is larger than it")
    } else if said.contains("ERROR 1298") {
        error.hint("load the time zones at the destination: mariadb-tzinfo-to-sql /usr/share/zoneinfo | mysql mysql")
    } else if said.contains("ERROR 1434") {
        error.hint("the table is a connection to another server, which must answer while it is restored; restore the other tables with --table")
    } else if said.contains("Lost connection") || said.contains("gone away") {
        error.hint("the destination server went away; see its log")
    } else if let Some(hint) = mending::hint(said, throwaway) {
        error.hint(hint)
    } else {
        error
    }
}

/// Read a part of a stored file and replay it, a piece at a time.
pub fn copy(
    file: &dyn StoredFile,
    offset: u64,
    length: u64,
    context: &RunContext,
    mut sink: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    const PIECE: u64 = 2 * 1024 * 1024;
    let mut done = 0;
    while done < length {
        context.cancel.check()?;
        let take = PIECE.min(length - done);
        let piece = file.read_at(offset + done, usize::try_from(take).or_failed("read stored stream")?)?;
        if piece.len() as u64 != take {
            return Err(Error::failed(format!(
                "read stored stream: it ends at byte {}",
                offset + done + piece.len() as u64
            )));
        }
        sink(&piece)?;
        done += take;
        context.progress.advance(take);
    }
    Ok(())
}
