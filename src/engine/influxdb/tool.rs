//! Runs `influxd backup` and `influxd restore`: ended with us whatever ends us, and when they make no progress.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::error::{Error, OrFailed, Result};
use crate::process::{self, OwnedChild, find_program};
use crate::run_context::Cancel;

/// How long the tool may make no progress: a server that was stopped, a firewall that drops what it gets.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);
const POLL: Duration = Duration::from_millis(20);

/// Start `words`. The kernel ends it if the thread that called this ends first, so call from one that waits for it.
pub fn start(name: &str, enter: &[String], words: &[OsString], cancel: &Cancel) -> Result<OwnedChild> {
    let mut all: Vec<OsString> = enter.iter().map(OsString::from).collect();
    // Behind what enters a network: changing user or namespace takes the wish back.
    if let Some(setpriv) = find_program(None, &["setpriv"]) {
        all.extend([setpriv.into_os_string(), "--pdeathsig".into(), "KILL".into(), "--".into()]);
    }
    all.extend_from_slice(words);
    let mut command = process::command(&all[0]);
    command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    let child = OwnedChild::spawn(command, name)?;
    cancel.takes_down(child.killer());
    Ok(child)
}

/// Wait for its good end; `progress` is any number that changes while it gets on, `wanted` fails once nobody wants it any more.
pub fn wait(
    child: &mut OwnedChild,
    name: &str,
    progress: impl Fn() -> u64,
    wanted: impl Fn() -> Result<()>,
) -> Result<()> {
    let (mut last, mut silent) = (progress(), Duration::ZERO);
    while child.try_wait().or_failed(format!("cannot wait for {name}"))?.is_none() {
        if let Err(error) = wanted() {
            child.kill_now();
            return Err(error);
        }
        std::thread::sleep(POLL);
        silent += POLL;
        // Looking costs more than waiting.
        if silent.as_millis().is_multiple_of(1_000) {
            let now = progress();
            if now != last {
                (last, silent) = (now, Duration::ZERO);
            }
        }
        if silent >= LONGEST_SILENCE {
            child.kill_now();
            let limit = humantime::format_duration(LONGEST_SILENCE);
            return Err(Error::failed(format!("{name} made no progress for {limit}"))
                .hint("the server or the way to its backup service hangs: look at the server's log and at firewalls"));
        }
    }
    child.wait_success()
}

/// Bytes of the files in `directory`.
pub fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}
