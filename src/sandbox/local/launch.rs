//! How a program is started in a workspace: as whom, with which limits, in which environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, getrlimit};

use super::isolation::{Isolation, PATH};
use super::namespace::Loopback;
use super::processes::MARK;
use super::view;
use super::workspace::Workspace;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::{OwnedChild, find_program};
use crate::sandbox::{Place, Text};

/// How much more a server may map than it may have resident.
const ADDRESSES_PER_MEMORY: u64 = 3;

/// Most processes and threads of an instance, and most files that it may have open.
const PROCESSES: u32 = 1024;
const FILES: u64 = 65_536;

/// What a program may use.
#[derive(Debug)]
pub(super) struct Limits {
    /// What it is cut off from.
    pub(super) isolation: Isolation,
    /// Most memory it may have resident, in bytes.
    pub(super) memory: Option<u64>,
    /// Ports that it may listen on.
    pub(super) loopback: Option<Loopback>,
    /// Directories that it finds at these places, empty and its own.
    pub(super) outside: Vec<PathBuf>,
}

/// Start `program` in `workspace`.
///
/// `memory` is what it may have resident ([`super::watch`] sees to that); here the kernel is told a backstop on what it may
/// map (`RLIMIT_DATA`). That has to be larger: allocators map several times what they touch, and an InnoDB that is
/// refused a mapping retries for a minute and aborts. `prlimit` sets the limit on itself and becomes the program: no moment without it, and no
/// privilege needed, which setting it on a running process of another account would. Core dumps are off: they would
/// hold restored data.
pub(super) fn launch(
    workspace: &Workspace,
    product: &str,
    program: &Path,
    args: &[String],
    limits: &Limits,
) -> Result<OwnedChild> {
    let program = reachable(program, workspace).map_err(|e| e.context(format!("cannot start {product}")))?;
    let prlimit = find_program(None, &["prlimit"]).ok_or_else(|| {
        Error::inconclusive(format!("cannot start {product}: there is no program `prlimit`")).hint("install util-linux")
    })?;
    let real = program.canonicalize().or_inconclusive(format!("cannot find {}", program.display()))?;
    let mut words = limits.isolation.words(workspace, limits.loopback.is_some(), &real, &limits.outside)?;
    words.extend([prlimit.into_os_string(), "--core=0".into()]);
    if let Some(bytes) = limits.memory {
        words.push(format!("--data={}", bytes.saturating_mul(ADDRESSES_PER_MEMORY)).into());
    }
    words.push(format!("--nofile={}", most_files()).into());
    // Counted by account: another one's processes must not take from it, nor it from them.
    if workspace.account().is_some_and(|account| account.own) {
        words.push(format!("--nproc={PROCESSES}").into());
    }
    words.extend(["--".into(), program.into_os_string()]);
    words.extend(args.iter().map(Into::into));
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", "C")
        // What spills over to temporary files is restored data too.
        .env("TMPDIR", workspace.temporary())
        .env(MARK, workspace.directory())
        .current_dir(workspace.directory())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    OwnedChild::spawn(command, product).map_err(|e| e.with_kind(Kind::Inconclusive))
}

/// As many files as a server may need, where this process may give them.
fn most_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.map_or(FILES, |most| most.min(FILES))
}

/// The program by a path that the account of `workspace` can follow: a link in a private directory to a program elsewhere will do.
fn reachable(program: &Path, workspace: &Workspace) -> Result<PathBuf> {
    if !program.is_file() {
        return Err(Error::inconclusive(format!("there is no program {}", program.display())));
    }
    let real = program.canonicalize().or_inconclusive(format!("cannot find {}", program.display()))?;
    // A server may go by the name it was called by, so the given path is kept where it serves.
    let given = std::path::absolute(program).or_inconclusive(format!("cannot find {}", program.display()))?;
    if given != real && !view::has(&given) && !given.starts_with(workspace.directory()) {
        return reachable(&real, workspace);
    }
    let Some(account) = workspace.account() else { return Ok(given) };
    let passes = |path: &Path| path.parent().is_some_and(|directory| account.may_traverse(directory));
    match (passes(&real), passes(&given)) {
        (true, true) => Ok(given),
        (true, false) => Ok(real),
        (false, _) => {
            let what = format!("user {} cannot reach {}", account.name, real.display());
            Err(Error::inconclusive(what)
                .hint("the server of a drill runs as that user: let it enter every directory of that path (chmod o+x), or install the program elsewhere"))
        }
    }
}

/// `text` with the places of `workspace`, and the ports of its server where it has any.
pub(super) fn written(text: &Text, workspace: &Workspace, loopback: Option<&Loopback>) -> String {
    text.written(|place| match place {
        Place::Own => workspace.directory().to_string_lossy().into_owned(),
        Place::Data => workspace.data().to_string_lossy().into_owned(),
        Place::Nowhere => workspace.nowhere().to_string_lossy().into_owned(),
        Place::Socket => workspace.socket().to_string_lossy().into_owned(),
        Place::Port(name) => {
            loopback.and_then(|loopback| loopback.ports().get(name)).map(ToString::to_string).unwrap_or_default()
        }
    })
}

/// `options` as a server takes them.
pub(super) fn arguments<'o>(
    options: impl IntoIterator<Item = &'o (String, Text)>,
    written: impl Fn(&Text) -> String,
) -> Vec<String> {
    options.into_iter().map(|(name, value)| format!("--{name}={}", written(value))).collect()
}

/// What a server said on its way down: its first errors, which name the cause, or else its last lines.
pub(super) fn last_words(child: &OwnedChild) -> String {
    const LINES: usize = 8;
    let lines = child.stderr_lines();
    let saying = |word: &str| lines.iter().filter(|line| line.contains(word)).take(LINES).cloned().collect::<Vec<_>>();
    let found = ["[ERROR]", "ERROR", "error"].map(saying).into_iter().find(|found| !found.is_empty());
    let said = found.unwrap_or_else(|| lines[lines.len().saturating_sub(LINES)..].to_vec());
    if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") }
}
