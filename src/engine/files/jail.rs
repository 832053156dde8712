//! Runs a command on a tree without letting it out: bubblewrap, a user that nobody else is, no network where the kernel allows
//! that, nothing of this host but programs and the tree ([`super::shown`]), nothing writable but (where that is asked for)
//! the tree, no environment, a time limit.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::shown::{self, PATH, Shown, Tree};
use crate::clock::{Clock, Stopwatch};
use crate::display;
use crate::error::{Error, OrFailed, Result};
use crate::process::{OwnedChild, find_program, is_from_outside};
use crate::run_context::{Cancel, RunContext};
use crate::temporary;
use crate::unprivileged::fresh_id;

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often a jail is made anew where it could not be made.
const ATTEMPTS: u32 = 3;
/// Most output that is kept of a command whose output is asked for, in bytes.
const OUTPUT: u64 = 64 * 1024 * 1024;
/// Most of its last words that are kept, in bytes.
const TAIL: usize = 2000;
/// An empty directory of its own.
const HOME: &str = "/tmp/home";
/// What holds for every jail of a source.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'r> {
    /// Most time that a command gets.
    pub limit: Duration,
    /// Directories of our own that nobody in it sees.
    pub hidden: &'r [PathBuf],
    /// Directories beside the tree that it may read, wherever they are.
    pub seen: &'r [PathBuf],
}

/// A way to run commands on one tree.
pub struct Jail {
    program: PathBuf,
    tree: PathBuf,
    how: Tree,
    hidden: Vec<PathBuf>,
    seen: Vec<PathBuf>,
    somebody: Option<Somebody>,
    private_network: bool,
    limit: Duration,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
}

/// Whoever commands run as, where we are root: a user that no process and no file of this host belongs to.
struct Somebody {
    id: u32,
    /// The names that programs look up, with this one among them.
    names: TempDir,
}

impl Somebody {
    fn new() -> Result<Option<Self>> {
        let Some(id) = fresh_id() else { return Ok(None) };
        let what = "name the user of a jail";
        let names = temporary::directory("jail").or_inconclusive(what)?;
        for (file, line) in
            [("passwd", format!("jail:x:{id}:{id}::{HOME}:/bin/sh\n")), ("group", format!("jail:x:{id}:\n"))]
        {
            let text = std::fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
            std::fs::write(names.path().join(file), text + &line).or_inconclusive(what)?;
            let open = Permissions::from_mode(0o644);
            std::fs::set_permissions(names.path().join(file), open).or_inconclusive(what)?;
        }
        Ok(Some(Self { id, names }))
    }

    fn instead(&self) -> Vec<(PathBuf, &'static str)> {
        [("passwd", "/etc/passwd"), ("group", "/etc/group")]
            .map(|(file, place)| (self.names.path().join(file), place))
            .to_vec()
    }

    /// It reads what belongs to others in the tree, as we do. That power goes no further than the view. Without that bit
    /// `access` would answer as if it had no such power, and programs that ask would not go on.
    fn become_it(&self) -> Vec<OsString> {
        let (id, keep) = (self.id, "-all,+dac_override");
        let words =
            ["setpriv".to_owned(), format!("--reuid={id}"), format!("--regid={id}"), "--clear-groups".to_owned()];
        let limits = ["--inh-caps=", "--ambient-caps=", "--bounding-set="].map(|what| format!("{what}{keep}"));
        let rest = ["--securebits=+no_setuid_fixup", "--no-new-privs", "--"].map(str::to_owned);
        words.into_iter().chain(limits).chain(rest).map(OsString::from).collect()
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` where it was ended because its time was up.
    pub status: Option<ExitStatus>,
    /// What it wrote to standard output, where that was asked for.
    pub output: Vec<u8>,
    /// The last lines it wrote elsewhere.
    pub tail: String,
}

impl Ended {
    /// Whether it exited with 0.
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Something else on this host ended it. What it was asked about has nothing to do with that.
    pub fn was_killed(&self) -> bool {
        self.status.is_some_and(is_from_outside)
    }

    /// The jail could not be made, so nothing ran in it: something that it was to hide had gone meanwhile, for example.
    pub fn never_began(&self) -> bool {
        !self.is_good() && self.tail.starts_with("bwrap:")
    }

    /// `exit status: 3: last lines`, or that its time was up.
    pub fn describe(&self, limit: Duration) -> String {
        let how = match self.status {
            Some(status) => status.to_string(),
            None => format!("no end within {}", display::limit(limit)),
        };
        if self.tail.is_empty() { how } else { format!("{how}: {}", self.tail) }
    }
}

impl Jail {
    /// A jail around `tree`, tried out; inconclusive where this host cannot make one.
    pub fn new(
        tree: &Path,
        how: Tree,
        rules: &Rules<'_>,
        clock: &Arc<dyn Clock>,
        context: &RunContext,
    ) -> Result<Self> {
        let limit = rules.limit;
        let hint = "install bubblewrap; where it is, user namespaces may be forbidden here";
        let program = find_program(None, &["bwrap"])
            .ok_or_else(|| Error::inconclusive("cannot run a command in a jail: there is no `bwrap`").hint(hint))?;
        let tree = tree.canonicalize().or_inconclusive(format!("cannot run a command in {}", tree.display()))?;
        // Bound over them, it would uncover what has to stay hidden.
        if let Some(place) =
            ["/tmp", "/run", "/proc", "/dev", "/sys"].iter().find(|place| Path::new(place).starts_with(&tree))
        {
            let what = format!("cannot run a command in a jail around {}: {place} would be in it", tree.display());
            return Err(Error::inconclusive(what).hint("name a directory that holds nothing but what was restored"));
        }
        let mut jail = Self {
            program,
            tree: tree.clone(),
            how,
            hidden: rules.hidden.to_vec(),
            seen: rules.seen.iter().filter(|place| place.is_dir()).cloned().collect(),
            somebody: Somebody::new()?,
            private_network: true,
            limit,
            clock: clock.clone(),
            cancel: context.cancel.clone(),
        };
        let attempt = |jail: &Self| jail.run(&tree, &["true".into()], &[], false);
        if attempt(&jail)?.is_good() {
            return Ok(jail);
        }
        // Some kernels and containers allow every part of it but this.
        jail.private_network = false;
        let ended = attempt(&jail)?;
        if ended.is_good() {
            return Ok(jail);
        }
        Err(Error::inconclusive(format!("cannot run a command in a jail: {}", ended.describe(limit))).hint(hint))
    }

    /// Whether commands are cut off from every network.
    pub fn has_private_network(&self) -> bool {
        self.private_network
    }

    /// Most time that a command gets.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Run `command` in the directory `at`, where it sees the places `more` too; its standard output is kept apart only where
    /// that is asked for.
    pub fn run(&self, at: &Path, command: &[OsString], more: &[PathBuf], keep_output: bool) -> Result<Ended> {
        let mut ended = self.try_once(at, command, more, keep_output)?;
        for _ in 1..ATTEMPTS {
            if !ended.never_began() {
                break;
            }
            ended = self.try_once(at, command, more, keep_output)?;
        }
        Ok(ended)
    }

    /// Run a command that the operator wrote: it sees what its words name, too.
    pub fn run_named(&self, at: &Path, command: &[OsString]) -> Result<Ended> {
        self.run(at, command, &shown::named(command, &self.tree, &self.hidden), false)
    }

    /// Arguments of bubblewrap.
    fn arguments(&self, more: &[PathBuf]) -> Vec<OsString> {
        let instead = self.somebody.as_ref().map(Somebody::instead).unwrap_or_default();
        let seen = [&self.seen, more].concat();
        let shown = Shown { tree: &self.tree, how: self.how, hidden: &self.hidden, seen: &seen, instead: &instead };
        let mut all = shown.arguments();
        let mut words = |words: &str| all.extend(words.split(' ').map(OsString::from));
        words("--unshare-pid --unshare-ipc --unshare-uts --die-with-parent --new-session");
        if rustix::process::geteuid().is_root() {
            // It cannot mount, trace or make devices.
            words("--cap-drop ALL --cap-add CAP_DAC_OVERRIDE");
        }
        if self.somebody.is_some() {
            words("--cap-add CAP_SETUID --cap-add CAP_SETGID --cap-add CAP_SETPCAP");
        }
        words("--clearenv --setenv LANG C.UTF-8 --setenv HOME");
        words(HOME);
        // The tree is not its own: git asks for a word about that.
        words("--setenv GIT_CONFIG_COUNT 1 --setenv GIT_CONFIG_KEY_0 safe.directory --setenv GIT_CONFIG_VALUE_0 *");
        words("--setenv PATH");
        words(PATH);
        all
    }

    fn try_once(&self, at: &Path, command: &[OsString], more: &[PathBuf], keep_output: bool) -> Result<Ended> {
        let mut program = Command::new(&self.program);
        program.args(self.arguments(more));
        if self.private_network {
            program.arg("--unshare-net");
        }
        program.arg("--chdir").arg(at).arg("--");
        if let Some(somebody) = &self.somebody {
            program.args(somebody.become_it());
        }
        if !keep_output {
            // Everything it says goes one way, in order.
            program.args(["/bin/sh", "-c", "exec \"$@\" >&2", "sh"]);
        }
        // Its own environment can be read from inside, too.
        program.args(command).env_clear().stdin(Stdio::null());
        program.stdout(if keep_output { Stdio::piped() } else { Stdio::null() });
        let mut child = OwnedChild::spawn(program, "bubblewrap")?;
        self.cancel.takes_down(child.killer());
        let reader = child.take_stdout().map(|pipe| {
            std::thread::spawn(move || {
                let mut output = Vec::new();
                let mut pipe = pipe.take(OUTPUT);
                let read = pipe.read_to_end(&mut output);
                // Whoever writes more must not wait for ever.
                let rest = std::io::copy(&mut pipe.into_inner(), &mut std::io::sink());
                read.and(rest).map(|rest| (output, rest))
            })
        });
        let status = self.wait(&mut child)?;
        let output = match reader.map(std::thread::JoinHandle::join) {
            None => Vec::new(),
            Some(Ok(Ok((output, 0)))) => output,
            Some(_) => return Err(Error::failed("cannot read the output of a command: it is too long, or broke off")),
        };
        Ok(Ended { status, output, tail: last(&child.stderr_tail()).to_owned() })
    }

    fn wait(&self, child: &mut OwnedChild) -> Result<Option<ExitStatus>> {
        let watch = Stopwatch::start(&self.clock);
        loop {
            if let Some(status) = child.try_wait().or_failed("cannot wait for a command")? {
                self.cancel.check()?;
                return Ok(Some(status));
            }
            if watch.elapsed() > self.limit {
                child.kill_now();
                return Ok(None);
            }
            self.cancel.check()?;
            std::thread::sleep(LOOK);
        }
    }
}

/// The end of `text`, short enough for a report.
fn last(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL);
    text.char_indices().find(|(at, _)| *at >= from).map_or("", |(at, _)| &text[at..])
}
