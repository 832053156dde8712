//! What this host's kernel allows a sandbox to be cut off from, and the words in front of a program that do it.
//!
//! Everywhere: no privilege can be gained. Where we are root, or may make user namespaces: no network, no capabilities,
//! and a file system view ([`super::view`]) with processes, shared memory and devices of its own. The programs of util-linux do
//! the work. They become each other; only the first stays behind where there is a view, for whoever makes a process
//! namespace is not in it: it ends as the server does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};

use super::account::Account;
use super::namespace;
use super::view::View;
use super::workspace::Workspace;
use crate::error::{Error, Result};
use crate::process;

/// Where programs are looked for.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to do where less than everything is possible.
const MORE: &str =
    "run the drill as root with CAP_SYS_ADMIN, or allow user namespaces; install util-linux and iproute2";

/// What a view comes with.
const NAMESPACES: [&str; 9] =
    ["unshare", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"];

/// How far a server is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Isolation {
    /// It runs as an account without privileges.
    Account,
    /// And in a network of its own.
    Network,
    /// And sees nothing of this host's files but programs, and none of its processes.
    View,
}

impl Isolation {
    /// The most that is possible here, tried out in `workspace`; `loopback` needs more programs of this host than none.
    pub(super) fn possible(workspace: &Workspace, loopback: bool) -> Self {
        let works = |isolation: &Self| {
            let words = isolation.words(workspace, loopback, Path::new("/usr/bin/nsenter"), &[]);
            words.is_ok_and(|words| runs(&words, &["nsenter", "--version"]))
        };
        [Self::View, Self::Network].into_iter().find(works).unwrap_or(Self::Account)
    }

    /// Whether the server is a child of what we start, and not that itself.
    pub(super) fn has_launcher(self) -> bool {
        self == Self::View
    }

    /// For reports.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::View => "own file system view, own network, no capabilities",
            Self::Network => "own network, no capabilities; the kernel did not allow a file system view of its own",
            Self::Account => "file permissions only: the kernel, or missing programs, did not allow namespaces",
        }
    }

    /// What of this host is in reach.
    pub(super) fn exposure(self) -> Option<String> {
        let what = match self {
            Self::View => return None,
            Self::Network => "files of this host that its account may read",
            Self::Account => "this host's network, and files of this host that its account may read",
        };
        Some(format!("the sandbox was not cut off from {what}: {MORE}"))
    }

    /// Fails where a definition names a place of this host, or is a connection, and nothing would keep the server from it.
    pub(super) fn must_hide(self, outside: &[PathBuf], connections: &[String]) -> Result<()> {
        let what = match (outside.first(), connections.first()) {
            (Some(place), _) if self < Self::View => format!(
                "cannot provide directory {} in the sandbox: it has no file system of its own and would write to this host's",
                place.display()
            ),
            (_, Some(table)) if self < Self::Network => format!(
                "cannot restore table {table} in the sandbox: it connects to another server, and the sandbox shares this host's network"
            ),
            _ => return Ok(()),
        };
        Err(Error::inconclusive(what).hint(MORE))
    }

    /// What to put in front of `program`, which is free of symbolic links.
    pub(super) fn words(
        self,
        workspace: &Workspace,
        loopback: bool,
        program: &Path,
        outside: &[PathBuf],
    ) -> Result<Vec<OsString>> {
        let root = geteuid().is_root();
        let twice = !root && !loopback && self > Self::Account;
        let mut words = match self {
            Self::Account => Vec::new(),
            Self::Network => namespace::enter_new(loopback),
            Self::View => {
                let mut words: Vec<OsString> = NAMESPACES.map(OsString::from).to_vec();
                if !root {
                    words.extend(["--user".into(), "--map-root-user".into()]);
                }
                words.push("--".into());
                words.extend(View::of(workspace, program, outside)?.words(loopback, twice));
                words
            }
        };
        if twice {
            // A server that believes to be root refuses to run: it gets a second user namespace, which is made through
            // `/proc/self`. Where tools must get into the server's network, the first one has to do.
            words.push("unshare".into());
            words.push(format!("--map-user={}", geteuid().as_raw()).into());
            words.push(format!("--map-group={}", getegid().as_raw()).into());
            words.push("--".into());
        }
        words.extend(without_powers(workspace.account(), self > Self::Account));
        Ok(words)
    }
}

/// Become `account` and give up what it needs not.
fn without_powers(account: Option<&Account>, capabilities: bool) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["setpriv".into(), "--no-new-privs".into()];
    if let Some(account) = account {
        words.extend([format!("--reuid={}", account.uid).into(), format!("--regid={}", account.gid).into()]);
        words.push("--clear-groups".into());
    }
    if capabilities {
        words.extend(["--inh-caps=-all".into(), "--bounding-set=-all".into()]);
    }
    words.push("--".into());
    words
}

fn runs(before: &[OsString], program: &[&str]) -> bool {
    let mut trial = process::command(&before[0]);
    trial.args(&before[1..]).args(program).env("PATH", PATH);
    process::answer_of(trial).is_ok()
}
