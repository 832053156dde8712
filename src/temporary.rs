//! Files and directories of our own in the directory for temporary ones. Dropping removes them; a process that is killed drops
//! nothing, so their names tell who made them, and the next process removes what nobody is left of.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Once;

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::process::identity::{is_running, own};

/// How their names begin.
const PREFIX: &str = "backup-sla-";

/// A directory, named for what it is there for.
pub fn directory(purpose: &str) -> io::Result<TempDir> {
    tidy();
    Builder::new().prefix(&prefix(purpose)).tempdir()
}

/// A file (0600).
pub fn file(purpose: &str, suffix: &str) -> io::Result<NamedTempFile> {
    tidy();
    Builder::new().prefix(&prefix(purpose)).suffix(suffix).tempfile()
}

fn prefix(purpose: &str) -> String {
    format!("{PREFIX}{purpose}.{}.{}.", process_namespace(), own().replace('/', "."))
}

/// Process ids mean nothing to those who share the directory but not the processes, such as another container.
fn process_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

fn tidy() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| remove_orphans(&std::env::temp_dir()));
}

/// Remove what processes of this user made that are no more. What cannot be removed harms nobody.
fn remove_orphans(place: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_orphan = entry.file_name().to_str().is_some_and(is_orphan);
        // The directory may be everybody's, and so may such a name.
        let Ok(facts) = entry.metadata() else { continue };
        if is_orphan && facts.uid() == user {
            let path = entry.path();
            let _ = if facts.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// Whether a name tells of a maker that is no more.
fn is_orphan(name: &str) -> bool {
    let Some(name) = name.strip_prefix(PREFIX) else { return false };
    let parts: Vec<&str> = name.split('.').collect();
    let [_, namespace, boot, pid, start, _, ..] = parts[..] else { return false };
    let known = namespace.parse() == Ok(process_namespace()) && pid.parse::<u32>().is_ok() && !start.is_empty();
    known && !is_running(&format!("{boot}/{pid}/{start}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let (ours, namespace) = (prefix("git"), process_namespace());
        let elsewhere = place.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("letter"), "").unwrap();
        let dead = ours.replacen(&format!(".{}.", std::process::id()), ".4194305.", 1);
        let left = [format!("{dead}AAAAAA"), format!("{dead}BBBBBB.cnf"), format!("{dead}CCCCCC")];
        fs::create_dir(place.path().join(&left[0])).unwrap();
        fs::write(place.path().join(&left[0]).join("passwd"), "").unwrap();
        fs::write(place.path().join(&left[1]), "password").unwrap();
        std::os::unix::fs::symlink(&elsewhere, place.path().join(&left[2])).unwrap();
        let kept = [
            format!("{ours}AAAAAA"),
            dead.replacen(&namespace.to_string(), "1", 1) + "AAAAAA",
            "backup-sla-AAAAAA".to_owned(),
            "backup-sla-git-AAAAAA".to_owned(),
            "backup-sla-a.b.c.d.e.f".to_owned(),
            dead.replacen(PREFIX, "other-", 1),
        ];
        for name in &kept {
            fs::write(place.path().join(name), "").unwrap();
        }
        remove_orphans(place.path());
        for name in &left {
            assert!(place.path().join(name).symlink_metadata().is_err(), "{name} is left");
        }
        for name in &kept {
            assert!(place.path().join(name).exists(), "{name} is gone");
        }
        assert!(elsewhere.join("letter").exists());
        assert!(!is_orphan(directory("test").unwrap().path().file_name().unwrap().to_str().unwrap()));
    }
}
