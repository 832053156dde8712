//! Runs a command on a tree without letting it out: bubblewrap, no network, nothing writable but (where that is asked for)
//! the tree, no environment, no sockets of this host's services, a time limit.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stopwatch};
use crate::error::{Error, OrFailed, Result};
use crate::process::{OwnedChild, find_program, is_from_outside};
use crate::run_context::{Cancel, RunContext};

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How often a jail is made anew where it could not be made.
const ATTEMPTS: u32 = 3;
/// Most output that is kept of a command whose output is asked for, in bytes.
const OUTPUT: u64 = 64 * 1024 * 1024;
/// Most of its last words that are kept, in bytes.
const TAIL: usize = 2000;
/// Most room a command has for temporary files, in bytes.
const SCRATCH: u64 = 512 * 1024 * 1024;
/// Where programs are looked for inside.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a command may treat the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// It may only read it.
    ReadOnly,
    /// It may change it.
    Writable,
}

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
    private_network: bool,
    limit: Duration,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
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
            None => format!("no end within {}", humantime::format_duration(limit)),
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
            .ok_or_else(|| Error::inconclusive("run a command in a jail: there is no `bwrap`").hint(hint))?;
        let tree = tree.canonicalize().or_inconclusive(format!("run a command in {}", tree.display()))?;
        // Bound over them, it would uncover what has to stay hidden.
        if let Some(place) =
            ["/tmp", "/run", "/proc", "/dev", "/sys"].iter().find(|place| Path::new(place).starts_with(&tree))
        {
            let what = format!("run a command in a jail around {}: {place} would be in it", tree.display());
            return Err(Error::inconclusive(what).hint("name a directory that holds nothing but what was restored"));
        }
        let mut jail = Self {
            program,
            tree: tree.clone(),
            how,
            hidden: rules.hidden.to_vec(),
            seen: rules.seen.iter().filter(|place| place.is_dir()).cloned().collect(),
            private_network: true,
            limit,
            clock: clock.clone(),
            cancel: context.cancel.clone(),
        };
        let attempt = |jail: &Self| jail.run(&tree, &["true".into()], false);
        if attempt(&jail)?.is_good() {
            return Ok(jail);
        }
        // Some kernels and containers allow every part of it but this.
        jail.private_network = false;
        let ended = attempt(&jail)?;
        if ended.is_good() {
            return Ok(jail);
        }
        Err(Error::inconclusive(format!("run a command in a jail: {}", ended.describe(limit))).hint(hint))
    }

    /// Whether commands are cut off from every network.
    pub fn has_private_network(&self) -> bool {
        self.private_network
    }

    /// Most time that a command gets.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Run `command` in the directory `at`; its standard output is kept apart only where that is asked for.
    pub fn run(&self, at: &Path, command: &[OsString], keep_output: bool) -> Result<Ended> {
        let mut ended = self.try_once(at, command, keep_output)?;
        for _ in 1..ATTEMPTS {
            if !ended.never_began() {
                break;
            }
            ended = self.try_once(at, command, keep_output)?;
        }
        Ok(ended)
    }

    fn try_once(&self, at: &Path, command: &[OsString], keep_output: bool) -> Result<Ended> {
        let mut program = Command::new(&self.program);
        // Anew each time: sockets of this host come and go.
        program.args(arguments(&self.tree, self.how, &self.hidden, &self.seen));
        if self.private_network {
            program.arg("--unshare-net");
        }
        program.arg("--chdir").arg(at).arg("--");
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
            Some(_) => return Err(Error::failed("read the output of a command: it is too long, or broke off")),
        };
        Ok(Ended { status, output, tail: last(&child.stderr_tail()).to_owned() })
    }

    fn wait(&self, child: &mut OwnedChild) -> Result<Option<ExitStatus>> {
        let watch = Stopwatch::start(&self.clock);
        loop {
            if let Some(status) = child.try_wait().or_failed("wait for a command")? {
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

/// Sockets of this host that have a path now.
fn sockets() -> BTreeSet<PathBuf> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let paths = table.lines().filter_map(|line| line.find(" /").map(|at| PathBuf::from(&line[at + 1..])));
    paths.filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket())).collect()
}

/// The end of `text`, short enough for a report.
fn last(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL);
    text.char_indices().find(|(at, _)| *at >= from).map_or("", |(at, _)| &text[at..])
}

fn arguments(tree: &Path, how: Tree, private: &[PathBuf], seen: &[PathBuf]) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let mut add = |words: &[&OsStr]| all.extend(words.iter().map(|word| (*word).to_owned()));
    let texts = |words: &'static str| words.split(' ').map(OsStr::new).collect::<Vec<_>>();
    // What root may write in /proc changes the host: it is made read-only as a whole.
    add(&texts("--ro-bind / / --dev /dev --proc /proc --remount-ro /proc"));
    let scratch = SCRATCH.to_string();
    // Nobody's sockets: what listens there would do in the host what the command may not.
    let mut hidden: Vec<PathBuf> = ["/tmp", "/run", "/dev/shm"].map(PathBuf::from).to_vec();
    // Homes and our own places hold keys; what is a link leads to one of the others or is hidden where it leads.
    hidden.extend(["/root", "/home", "/var/run", "/var/tmp"].map(PathBuf::from));
    hidden.extend(private.iter().filter_map(|place| place.canonicalize().ok()));
    hidden.retain(|place| place.symlink_metadata().is_ok_and(|meta| meta.is_dir()));
    for directory in &hidden {
        add(&[OsStr::new("--size"), OsStr::new(&scratch), OsStr::new("--tmpfs"), directory.as_os_str()]);
    }
    for file in ["/etc/shadow", "/etc/gshadow"].map(Path::new).into_iter().filter(|file| file.is_file()) {
        add(&[OsStr::new("--ro-bind"), OsStr::new("/dev/null"), file.as_os_str()]);
    }
    for socket in sockets().iter().filter(|socket| !hidden.iter().any(|place| socket.starts_with(place))) {
        add(&[OsStr::new("--ro-bind"), OsStr::new("/dev/null"), socket.as_os_str()]);
    }
    add(&texts("--dir /tmp/home"));
    // After what hides the places they may be in.
    for place in seen {
        add(&[OsStr::new("--ro-bind"), place.as_os_str(), place.as_os_str()]);
    }
    let bind = if how == Tree::Writable { "--bind" } else { "--ro-bind" };
    add(&[OsStr::new(bind), tree.as_os_str(), tree.as_os_str()]);
    add(&texts("--unshare-pid --unshare-ipc --unshare-uts --die-with-parent --new-session"));
    if rustix::process::geteuid().is_root() {
        // It reads what belongs to others, as we do; it cannot mount, trace or make devices.
        add(&texts("--cap-drop ALL --cap-add CAP_DAC_OVERRIDE"));
    }
    add(&texts("--clearenv --setenv HOME /tmp/home --setenv LANG C.UTF-8 --setenv PATH"));
    add(&[OsStr::new(PATH)]);
    all
}
