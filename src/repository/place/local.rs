//! A directory of this host, or one that is mounted here.
//!
//! A file appears under its name only when it is whole and on the disk: temporary file, write, fsync, rename without
//! overwriting, fsync of the directory. Temporary files live in [`STAGING`]; a writer holds a shared lock on that directory,
//! so whoever gets the exclusive lock knows that what lies there was left behind by a killed one.
//!
//! Others can write to the directory: everything is reached by `Directory` handles, and no link in it is followed.

mod handles;
mod staging;

use std::any::Any;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use rustix::fs::fstatvfs;

use self::handles::Directory;
use self::staging::{Temporary, is_temporary};
use super::{Item, ItemKind, Opened, Place, Room, STAGING};

/// A local directory.
#[derive(Debug)]
pub struct LocalPlace {
    root: PathBuf,
}

impl LocalPlace {
    /// The place in `root`; nothing is touched yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Opened each time: the file system that it is on may come and go.
    fn root(&self) -> io::Result<Directory> {
        Directory::root(&self.root)
    }

    fn directory(&self, path: &str) -> io::Result<Directory> {
        names(path)?.into_iter().try_fold(self.root()?, |above, name| above.enter(name))
    }

    /// The directory that holds a file, and its name there.
    fn holder<'p>(&self, path: &'p str) -> io::Result<(Directory, &'p str)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or_else(no_name)?;
        Ok((names.into_iter().try_fold(self.root()?, |above, name| above.enter(name))?, name))
    }

    /// The same to write to: what is missing on the way is made.
    fn holder_to_write<'p>(&self, path: &'p str) -> io::Result<(Directory, &'p str)> {
        let mut names = names(path)?;
        let name = names.pop().ok_or_else(no_name)?;
        let make = |above: Directory, name: &str| -> io::Result<Directory> {
            let (directory, made) = above.enter_or_make(name)?;
            if made {
                above.sync()?;
            }
            Ok(directory)
        };
        Ok((names.into_iter().try_fold(self.root()?, make)?, name))
    }

    /// As long as the returned directory lives, nobody takes temporary files for left behind.
    fn join_writers(&self) -> io::Result<Directory> {
        let (staging, _) = self.root()?.enter_or_make(STAGING)?;
        staging.lock(true)?;
        Ok(staging)
    }
}

/// The names of a path; none for the place itself.
fn names(path: &str) -> io::Result<Vec<&str>> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = path.split('/').collect();
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{path}` is no path below a place")));
    }
    Ok(names)
}

fn no_name() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the place itself is no file")
}

/// None where it is not there.
fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

impl Place for LocalPlace {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn make(&self) -> io::Result<()> {
        match present(fs::metadata(&self.root))? {
            Some(facts) if facts.is_dir() => Ok(()),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
            None => match Directory::make_root(&self.root) {
                // Another service that starts at the same moment may have been first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            },
        }
    }

    fn prove_writable(&self) -> io::Result<()> {
        let staging = self.join_writers()?;
        Temporary::create(&staging).map(drop)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<Item>> {
        match present(self.directory(directory))? {
            Some(directory) => directory.items(),
            None => Ok(Vec::new()),
        }
    }

    fn look_at(&self, path: &str) -> io::Result<Option<Item>> {
        match present(self.holder(path))? {
            Some((directory, name)) => present(directory.item(name)),
            None => Ok(None),
        }
    }

    fn open(&self, file: &str) -> io::Result<Opened> {
        let (directory, name) = self.holder(file)?;
        let file = directory.open(name)?;
        Ok(Opened { length: file.metadata()?.len(), bytes: Box::new(file) })
    }

    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Bytes> {
        let (directory, name) = self.holder(file)?;
        let file = directory.open(name)?;
        if offset.saturating_add(length as u64) > file.metadata()?.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter"));
        }
        let mut part = vec![0; length];
        file.read_exact_at(&mut part, offset)?;
        Ok(part.into())
    }

    fn write(&self, file: &str, parts: &[Bytes]) -> io::Result<()> {
        let staging = self.join_writers()?;
        let mut temporary = Temporary::create(&staging)?;
        for part in parts {
            temporary.file.write_all(part)?;
        }
        temporary.file.sync_all()?;
        let (directory, name) = self.holder_to_write(file)?;
        temporary.persist(&directory, name)?;
        directory.sync()
    }

    fn rename(&self, file: &str, new: &str) -> io::Result<()> {
        let (from, name) = self.holder(file)?;
        let (to, new) = self.holder_to_write(new)?;
        to.take(&from, name, new)?;
        to.sync()?;
        from.sync()
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        let (directory, name) = self.holder(file)?;
        directory.remove(name)
    }

    fn make_directories(&self, directories: &[String]) -> io::Result<()> {
        let mut above: Option<(&str, Directory)> = None;
        for path in directories {
            let (holder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if above.as_ref().is_none_or(|(known, _)| *known != holder) {
                // Once for all that are made in it.
                above.iter().try_for_each(|(_, directory)| directory.sync())?;
                above = Some((holder, self.directory(holder)?));
            }
            if let Some((_, directory)) = &above {
                directory.enter_or_make(name)?;
            }
        }
        above.iter().try_for_each(|(_, directory)| directory.sync())
    }

    /// Each directory is opened once.
    fn list_deep(&self, directory: &str) -> io::Result<Vec<Item>> {
        let Some(directory) = present(self.directory(directory))? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        for item in directory.items()? {
            if item.kind != ItemKind::Directory {
                out.push(item);
            } else if let Some(below) = present(directory.enter(&item.name))? {
                let named = |below: Item| Item { name: format!("{}/{}", item.name, below.name), ..below };
                out.extend(below.items()?.into_iter().map(named));
            }
        }
        Ok(out)
    }

    fn room(&self) -> io::Result<Room> {
        let free = fstatvfs(self.root()?)?;
        let left = if rustix::process::geteuid().is_root() { free.f_bfree } else { free.f_bavail };
        // File systems that do not count say 0 of everything.
        let usable = left.checked_mul(free.f_frsize).filter(|_| free.f_blocks > 0);
        Ok(Room { available: free.f_bavail.checked_mul(free.f_frsize), usable })
    }

    fn lock(&self) -> io::Result<Box<dyn Any>> {
        let root = self.root()?;
        root.lock(false)?;
        Ok(Box::new(root))
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        let Some(staging) = present(self.root()?.enter(STAGING))? else { return Ok(()) };
        if !staging.try_lock(false)? {
            return Ok(());
        }
        for item in staging.items()? {
            if item.kind == ItemKind::File && is_temporary(&item.name) {
                staging.remove(&item.name)?;
            }
        }
        Ok(())
    }

    fn name_of(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{Unexpected, contract};
    use super::*;

    #[test]
    fn a_local_directory_keeps_the_contract_of_places() {
        contract::run(&|| {
            let root = tempfile::tempdir().unwrap();
            Box::new(move || Box::new(LocalPlace::new(root.path().join("place"))) as Box<dyn Place>)
        });
    }

    #[test]
    fn no_link_on_the_way_to_a_file_is_followed_and_no_path_leads_out() {
        let directory = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (directory.path().join("place"), directory.path().join("elsewhere"));
        let place = LocalPlace::new(root.clone());
        place.make().unwrap();
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("letter"), "precious").unwrap();
        symlink(&elsewhere, root.join("data")).unwrap();
        symlink(elsewhere.join("letter"), root.join("config")).unwrap();
        let part = [Bytes::from("x")];
        let refused = |outcome: io::Result<()>| assert!(Unexpected::is_why(&outcome.unwrap_err()));
        refused(place.list("data").map(drop));
        refused(place.list_deep("data").map(drop));
        refused(place.open("data/letter").map(drop));
        refused(place.read("config", 0, 1).map(drop));
        refused(place.write("data/new", &part));
        refused(place.remove("data/letter"));
        refused(place.rename("data/letter", "letter"));
        assert_eq!(place.look_at("config").unwrap().unwrap().kind, ItemKind::Link);
        for path in ["../elsewhere/letter", "data/../config", "/etc/passwd", "a//b", ".", ""] {
            assert_eq!(place.open(path).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{path}");
            assert_eq!(place.write(path, &part).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
        assert_eq!(fs::read(elsewhere.join("letter")).unwrap(), b"precious");
    }

    #[test]
    fn who_holds_the_lock_is_alone_and_leftovers_wait_for_writers() {
        let directory = tempfile::tempdir().unwrap();
        let place = LocalPlace::new(directory.path().to_owned());
        let held = place.lock().unwrap();
        assert!(!place.root().unwrap().try_lock(false).unwrap());
        drop(held);
        assert!(place.root().unwrap().try_lock(false).unwrap());
        let writer = place.join_writers().unwrap();
        let left = directory.path().join(STAGING).join("write-0123456789abcdef0123456789abcdef");
        fs::write(&left, "half a file").unwrap();
        place.remove_leftovers().unwrap();
        assert!(left.exists());
        drop(writer);
        place.remove_leftovers().unwrap();
        assert!(!left.exists());
    }
}
