//! One session of the client program that replays parts of a stream. The program stops at the first error (never
//! `--force`), takes no commands from the data (`--binary-mode` turns them off), and keeps comments in routine bodies.

use std::io::Write;
use std::process::{ChildStdin, Stdio};

use super::account::Account;
use super::mending;
use super::names;
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
    /// Where definitions begin that stand beside others in one part.
    definitions: Definitions,
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
        Ok(Self {
            child,
            stdin,
            lines: 1,
            parts: Vec::new(),
            definitions: Definitions::default(),
            options: Some(options),
            bytes: 0,
            throwaway: false,
        })
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

    /// The same, where several definitions follow each other: one that is refused is named.
    pub fn write_definitions(&mut self, bytes: &[u8]) -> Result<()> {
        self.definitions.look(bytes, self.lines);
        self.write(bytes)
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
            (true, _) => Error::failed("the client program ended before the end of the dump"),
            (false, true) => Error::failed("the client program died"),
            (false, false) => Error::failed(said.clone()),
        };
        let line = said.split_once("at line ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
        let line = line.and_then(|digits| digits.collect::<String>().parse::<u64>().ok()).unwrap_or(self.lines);
        let part = self.parts.iter().rev().find(|(first, _)| *first <= line).map_or("the stream's head", |(_, p)| p);
        let error = match self.definitions.at(line) {
            Some(name) => error.context(format!("cannot load {name} ({part})")),
            None => error.context(format!("cannot load {part}")),
        };
        classify(error, &said, self.throwaway)
    }
}

/// At which line of a session which definition begins.
#[derive(Debug, Default)]
struct Definitions {
    begun: Vec<(u64, String)>,
    /// The beginning of a line that goes on in the next piece.
    open: Vec<u8>,
}

impl Definitions {
    /// Of a line that long, the name stands at the beginning.
    const HEAD: usize = 4096;

    /// Take in `bytes`, the first of which is on line `line`.
    fn look(&mut self, bytes: &[u8], mut line: u64) {
        for text in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = Self::HEAD.saturating_sub(self.open.len()).min(text.len());
            self.open.extend_from_slice(&text[..room]);
            if text.ends_with(b"\n") {
                self.begun.extend(definition(&self.open).map(|name| (line, name)));
                self.open.clear();
                line += 1;
            }
        }
    }

    /// What begins at this line, which is where the client says that the statement began.
    fn at(&self, line: u64) -> Option<&str> {
        self.begun.iter().rev().find(|(at, _)| *at == line).map(|(_, name)| name.as_str())
    }
}

/// `procedure p` if the line begins a definition.
fn definition(line: &[u8]) -> Option<String> {
    if !line.starts_with(b"CREATE") && !line.starts_with(b"/*!5") {
        return None;
    }
    let created = names::created(&String::from_utf8_lossy(line))?;
    Some(format!("{} {}", created.kind.to_lowercase(), names::database(&created.name)))
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
        error.hint("a row is larger than max_allowed_packet: raise it at the destination")
    } else if said.contains("ERROR 1298") {
        error.hint("load the time zones at the destination: mariadb-tzinfo-to-sql /usr/share/zoneinfo | mysql mysql")
    } else if said.contains("ERROR 1434") {
        error.hint(
            "the table is a connection to another server, which must answer while it is restored; restore the other \
        tables with --table",
        )
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
        let piece = file.read_at(offset + done, usize::try_from(take).or_failed("cannot read the stored dump")?)?;
        if piece.len() as u64 != take {
            return Err(Error::failed(format!(
                "cannot read the stored dump: it ends at byte {}",
                offset + done + piece.len() as u64
            )));
        }
        sink(&piece)?;
        done += take;
        context.progress.advance(take);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_known_by_the_line_that_it_begins_at() {
        let text = "USE `d`;\nDELIMITER ;;\nCREATE DEFINER=`a`@`%` PROCEDURE `p q`()\nBEGIN\nCREATE TABLE inside (a INT);\nEND ;;\n\
                    /*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */ ;;\n";
        for piece in [1, 7, text.len()] {
            let (mut found, mut line) = (Definitions::default(), 10);
            for bytes in text.as_bytes().chunks(piece) {
                found.look(bytes, line);
                line += memchr::memchr_iter(b'\n', bytes).count() as u64;
            }
            assert_eq!((found.at(12), found.at(16)), (Some("procedure `p q`"), Some("event e")));
            assert_eq!((found.at(11), found.at(13), found.at(17)), (None, None, None));
        }
    }
}
