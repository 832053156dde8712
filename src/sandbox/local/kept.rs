//! The templates that are kept. Who uses one holds its lock, which also says when that was last and by which server, so that those
//! that nobody needs any more can go.
//!
//! ```text
//! <state_dir>/templates/<key>/          the data directory
//! <state_dir>/templates/<key>.lock      its lock: the text is its last user, the time of the file is that of the last use
//! <state_dir>/templates/<key>.making    one that is being made
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::copying::copy_tree;
use super::waiting::Patience;
use crate::error::{OrFailed, Result};

/// How long making one may take.
pub(super) const TIME_TO_MAKE: Duration = Duration::from_mins(3);
/// The directory of all, in the state directory.
const ALL: &str = "templates";
/// One that was not used for so long goes. It is made again in seconds.
const UNUSED: TimeDelta = TimeDelta::days(30);
/// How the names of the lock, and of one that is being made, end.
const ENDINGS: [&str; 2] = [".lock", ".making"];

/// The server that is started on a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) program: PathBuf,
    pub(super) version: String,
}

/// A template that stays as long as this does.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) directory: PathBuf,
    _lock: File,
}

/// Where the template of one key is.
pub(super) struct Slot {
    finished: PathBuf,
    making: PathBuf,
    lock: PathBuf,
}

/// When a template was used last. One of an earlier version does not say by whom.
struct LastUse {
    user: Option<User>,
    time: DateTime<Utc>,
}

impl Slot {
    /// The place for a template of this key; the directory of all is made if it is missing.
    pub(super) fn of(state_dir: &Path, key: &str) -> Result<Self> {
        let all = state_dir.join(ALL);
        let slot = Self::within(&all, key);
        DirBuilder::new().mode(0o700).recursive(true).create(&all).or_inconclusive(slot.what())?;
        Ok(slot)
    }

    fn within(all: &Path, key: &str) -> Self {
        let [lock, making] = ENDINGS.map(|ending| all.join(format!("{key}{ending}")));
        Self { finished: all.join(key), making, lock }
    }

    fn what(&self) -> String {
        format!("cannot keep empty data directory {}", self.finished.display())
    }

    /// The template, made by `make` if there is none. One maker at a time; the others find the result.
    pub(super) fn kept(&self, user: &User, patience: &Patience<'_>, make: impl Fn() -> Result<()>) -> Result<Kept> {
        loop {
            let lock = self.wait_for(File::try_lock_shared, patience)?;
            if self.finished.is_dir() {
                note_use(&lock, Some(user), patience.clock.wall());
                return Ok(Kept { directory: self.finished.clone(), _lock: lock });
            }
            drop(lock);
            let _lock = self.wait_for(File::try_lock, patience)?;
            if !self.finished.is_dir() {
                make()?;
            }
        }
    }

    fn wait_for(&self, how: fn(&File) -> Result<(), TryLockError>, patience: &Patience<'_>) -> Result<File> {
        patience.until(TIME_TO_MAKE, || self.what(), || self.try_lock(how).or_inconclusive(self.what()))
    }

    /// The lock, unless somebody else has it. One whose file was removed meanwhile keeps nobody out.
    fn try_lock(&self, how: fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<File>> {
        let file = lock_file(&self.lock)?;
        match how(&file) {
            Ok(()) => Ok(is_still_at(&file, &self.lock)?.then_some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Put `data` there. What cannot be finished goes at once: the disk may be full of it, and the ledger is on the same one.
    pub(super) fn put(&self, data: &Path) -> Result<()> {
        if self.making.exists() {
            fs::remove_dir_all(&self.making).or_inconclusive(self.what())?;
        }
        let placed = copy_tree(data, &self.making).and_then(|()| {
            // After a power cut there is a whole one or none.
            rustix::fs::syncfs(&File::open(&self.making)?)?;
            fs::rename(&self.making, &self.finished)
        });
        if placed.is_err() {
            // What matters is why it failed; the next try removes what is left.
            let _ = fs::remove_dir_all(&self.making);
        }
        placed.or_inconclusive(self.what())
    }

    /// Remove it, and its lock, which the caller holds. Half a template must never look like one.
    fn remove(&self) -> io::Result<()> {
        unless_missing(fs::rename(&self.finished, &self.making))?;
        unless_missing(fs::remove_dir_all(&self.making))?;
        fs::remove_file(&self.lock)
    }

    fn last_use(&self) -> io::Result<LastUse> {
        let time = DateTime::from(fs::symlink_metadata(&self.lock)?.modified()?);
        let user = serde_json::from_slice(&fs::read(&self.lock)?).unwrap_or_default();
        Ok(LastUse { user, time })
    }
}

/// Remove the templates that no sandbox used for 30 days, and those of servers that have another version now. Whatever is in use
/// or being made stays.
pub(super) fn clean(state_dir: &Path, now: DateTime<Utc>) -> Result<()> {
    let all = state_dir.join(ALL);
    let slots: Vec<Slot> = keys(&all)
        .or_inconclusive(format!("cannot list templates in {}", all.display()))?
        .iter()
        .map(|key| Slot::within(&all, key))
        .collect();
    // A lock that is gone was removed by somebody else just now.
    let uses: Vec<LastUse> = slots.iter().filter_map(|slot| slot.last_use().ok()).collect();
    for slot in &slots {
        slot.clean(&uses, now).or_inconclusive(format!("cannot remove unused template {}", slot.finished.display()))?;
    }
    Ok(())
}

impl Slot {
    fn clean(&self, uses: &[LastUse], now: DateTime<Utc>) -> io::Result<()> {
        let Some(lock) = self.try_lock(File::try_lock)? else { return Ok(()) };
        if !self.finished.is_dir() {
            return self.remove();
        }
        if lock.metadata()?.len() == 0 {
            // Of an earlier version, which wrote no use down: it may be used every day.
            note_use(&lock, None, now);
            return Ok(());
        }
        if self.last_use()?.is_outdated(uses, now) { self.remove() } else { Ok(()) }
    }
}

impl LastUse {
    fn is_outdated(&self, all: &[Self], now: DateTime<Utc>) -> bool {
        let has_changed = |own: &User| {
            let is_newer = |other: &User| other.program == own.program && other.version != own.version;
            all.iter().any(|other| other.time > self.time && other.user.as_ref().is_some_and(is_newer))
        };
        now - self.time > UNUSED || self.user.as_ref().is_some_and(has_changed)
    }
}

/// Every key that something is kept of.
fn keys(all: &Path) -> io::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(all) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries?,
    };
    let mut keys = BTreeSet::new();
    for entry in entries {
        // What has another name is none of ours.
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let key = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        keys.insert(key.to_owned());
    }
    Ok(keys)
}

/// A use that cannot be noted lets the template go too early, and that costs seconds: nothing fails for it.
fn note_use(mut lock: &File, user: Option<&User>, now: DateTime<Utc>) {
    let mut said = Vec::new();
    let text = serde_json::to_vec(&user).unwrap_or_default();
    let is_said = lock.rewind().and_then(|()| lock.read_to_end(&mut said)).is_ok() && said == text;
    if !is_said {
        let _ = lock.rewind().and_then(|()| lock.set_len(0)).and_then(|()| lock.write_all(&text));
    }
    let _ = lock.set_modified(now.into());
}

/// Found or made, and never what a link leads to.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let which = |meta: fs::Metadata| (meta.dev(), meta.ino());
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        there => Ok(which(there?) == which(file.metadata()?)),
    }
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::run_context::Cancel;

    #[test]
    fn a_lock_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, other) = (dir.path().join("key.lock"), dir.path().join("other"));
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        lock_file(&lock).unwrap_err();
        assert!(!other.exists());
        fs::remove_file(&lock).unwrap();
        lock_file(&lock).unwrap();
    }

    #[test]
    fn a_template_that_cannot_be_finished_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("data/mysql")).unwrap();
        fs::write(at("data/mysql/user.frm"), [7; 5000]).unwrap();
        // Something that is not copied, as a disk that is full in the middle would not.
        std::os::unix::fs::symlink("user.frm", at("data/mysql/link")).unwrap();
        let slot = Slot::within(directory.path(), "key");
        assert!(slot.put(&at("data")).is_err());
        assert!(!at("key.making").exists() && !at("key").exists());
        fs::remove_file(at("data/mysql/link")).unwrap();
        slot.put(&at("data")).unwrap();
        assert_eq!(fs::read(at("key/mysql/user.frm")).unwrap(), [7; 5000]);
    }

    /// A state directory with templates of small files, on a clock that is put.
    struct State {
        directory: tempfile::TempDir,
        clock: std::sync::Arc<dyn Clock>,
    }

    impl State {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("data")).unwrap();
            fs::write(directory.path().join("data/file"), "x").unwrap();
            Self { directory, clock: SystemClock::shared() }
        }

        fn path(&self) -> &Path {
            self.directory.path()
        }

        /// Use the template of this key, as a server of this program and version does.
        fn uses(&self, key: &str, program: &str, version: &str) -> Kept {
            let user = User { program: program.into(), version: version.to_owned() };
            let slot = Slot::of(self.path(), key).unwrap();
            let patience = Patience { clock: &self.clock, cancel: &Cancel::default() };
            slot.kept(&user, &patience, || slot.put(&self.path().join("data"))).unwrap()
        }

        /// What is left of all templates when it is so many days later.
        fn left_after(&self, days: i64) -> BTreeSet<String> {
            clean(self.path(), self.clock.wall() + TimeDelta::days(days)).unwrap();
            let entries = fs::read_dir(self.path().join(ALL)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_template_that_was_not_used_for_30_days_goes_and_nothing_of_it_stays() {
        let state = State::new();
        drop(state.uses("a", "/mysqld", "1"));
        assert_eq!(state.left_after(29), names(&["a", "a.lock"]));
        let kept = state.uses("a", "/mysqld", "1");
        assert_eq!(state.left_after(31), names(&["a", "a.lock"]), "it is in use");
        assert_eq!(fs::read_to_string(kept.directory.join("file")).unwrap(), "x");
        drop(kept);
        assert_eq!(state.left_after(31), names(&[]));
        drop(state.uses("a", "/mysqld", "1"));
        assert_eq!(state.left_after(0), names(&["a", "a.lock"]), "it is made again");
    }

    #[test]
    fn a_template_of_a_version_that_a_server_has_no_more_goes_and_those_of_other_servers_stay() {
        let state = State::new();
        drop(state.uses("old", "/mysqld", "1"));
        drop(state.uses("old-other-options", "/mysqld", "1"));
        drop(state.uses("elsewhere", "/opt/mysqld", "1"));
        assert_eq!(state.left_after(0).len(), 6);
        drop(state.uses("new", "/mysqld", "2"));
        assert_eq!(state.left_after(0), names(&["elsewhere", "elsewhere.lock", "new", "new.lock"]));
        // Back to the version before.
        drop(state.uses("old", "/mysqld", "1"));
        assert_eq!(state.left_after(0), names(&["elsewhere", "elsewhere.lock", "old", "old.lock"]));
    }

    #[test]
    fn a_template_of_an_earlier_version_of_ours_is_used_on_and_goes_30_days_after_it_was_first_seen() {
        let state = State::new();
        drop(state.uses("a", "/mysqld", "1"));
        let lock = File::create(state.path().join("templates/a.lock")).unwrap();
        lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(state.left_after(0), names(&["a", "a.lock"]));
        assert_eq!(state.left_after(29), names(&["a", "a.lock"]));
        assert_eq!(state.left_after(31), names(&[]));
    }

    #[test]
    fn what_a_killed_maker_left_goes_and_one_that_is_being_made_stays() {
        let state = State::new();
        let slot = Slot::of(state.path(), "a").unwrap();
        fs::create_dir(&slot.making).unwrap();
        let lock = slot.try_lock(File::try_lock).unwrap().unwrap();
        assert_eq!(state.left_after(31), names(&["a.lock", "a.making"]));
        drop(lock);
        assert_eq!(state.left_after(0), names(&[]));
    }

    #[test]
    fn a_lock_whose_file_was_removed_keeps_nobody_out() {
        let state = State::new();
        let slot = Slot::of(state.path(), "a").unwrap();
        let old = lock_file(&slot.lock).unwrap();
        fs::remove_file(&slot.lock).unwrap();
        assert!(!is_still_at(&old, &slot.lock).unwrap());
        let new = slot.try_lock(File::try_lock).unwrap().unwrap();
        old.try_lock().unwrap();
        assert!(is_still_at(&new, &slot.lock).unwrap() && !is_still_at(&old, &slot.lock).unwrap());
    }
}
