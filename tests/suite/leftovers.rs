//! What a sandbox may leave behind: directories, and servers that still run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::entries;

/// The variable by which every process of a sandbox is marked; its value is the sandbox's directory.
const MARK: &str = "BACKUP_SLA_SANDBOX=";

/// Places where the sandboxes of a state directory are.
fn areas(state: &Path) -> Vec<PathBuf> {
    let linked = fs::read_link(state.join("sandboxes-elsewhere")).ok();
    let here = state.join("sandboxes");
    [Some(here.canonicalize().unwrap_or(here)), linked].into_iter().flatten().collect()
}

/// Directories of sandboxes, and processes that belong to one, with their command lines.
pub fn left_in(state: &Path) -> Vec<String> {
    let areas = areas(state);
    let mut left: Vec<String> =
        areas.iter().flat_map(|area| entries(area)).map(|path| path.display().to_string()).collect();
    for process in entries(Path::new("/proc")) {
        // What has ended meanwhile, or was not reaped, has no environment.
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let marks = environment.split('\0').filter_map(|variable| variable.strip_prefix(MARK));
        if marks.into_iter().any(|mark| areas.iter().any(|area| Path::new(mark).starts_with(area))) {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            left.push(format!("{}: {command}", process.display()));
        }
    }
    left
}

/// A server that runs in a sandbox of this state directory, and the sandbox's directory.
pub fn server_in(state: &Path) -> Option<(u32, PathBuf)> {
    let areas = areas(state);
    entries(Path::new("/proc")).into_iter().find_map(|process| {
        let environment = fs::read(process.join("environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment);
        let mark = PathBuf::from(environment.split('\0').find_map(|variable| variable.strip_prefix(MARK))?);
        // What starts a server, and waits for it, has the same mark.
        if fs::read_to_string(process.join("comm")).ok()?.trim() == "unshare" {
            return None;
        }
        let is_here = areas.iter().any(|area| mark.starts_with(area));
        is_here.then_some((process.file_name()?.to_str()?.parse().ok()?, mark))
    })
}

#[test]
fn a_server_without_a_directory_is_seen_too() {
    use std::process::{Command, Stdio};

    use crate::support::Running;

    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join("sandboxes")).unwrap();
    assert_eq!(left_in(state.path()), Vec::<String>::new());
    let mark = state.path().canonicalize().unwrap().join("sandboxes/gone");
    let mut server = Command::new("cat");
    server.env("BACKUP_SLA_SANDBOX", &mark).stdin(Stdio::piped()).stdout(Stdio::null());
    let server = Running(server.spawn().unwrap());
    let left = left_in(state.path());
    assert!(left.len() == 1 && left[0].contains(&server.0.id().to_string()), "{left:?}");
    drop(server);
    fs::create_dir(state.path().join("sandboxes/left")).unwrap();
    assert_eq!(left_in(state.path()).len(), 1);
}
