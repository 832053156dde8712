//! SEAM: the files underneath a repository. A place has files in directories, finds them by name, and knows nothing of what is
//! in them: a local directory ([`local`]) today, a directory of another host or a bucket by one file more.
//!
//! Paths are relative to the place, with `/` between names; "" is the place itself. Errors are [`io::Error`]s whose kind tells
//! what happened (`NotFound`, `AlreadyExists`, `UnexpectedEof`, `StorageFull`, `PermissionDenied` …), because the caller
//! decides what it means. [`contract`] runs over every implementation.
//!
//! Required: `location`, `make`, `prove_writable`, `list`, `look_at`, `open`, `read`, `write`, `rename`, `remove`. Optional:
//! `make_directories`, `list_deep`, `room`, `lock`, `remove_leftovers`.

use std::any::Any;
use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;

#[cfg(any(test, doc))]
pub mod contract;
pub mod local;
#[cfg(test)]
pub mod memory;

/// The directory in which a place may keep what is being written. Whoever uses a place leaves it alone.
pub const STAGING: &str = "tmp";

/// One thing in a directory, not followed if it leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name. What is no text in it is replaced, so such a name opens nothing.
    pub name: String,
    /// What it is.
    pub kind: ItemKind,
    /// Length in bytes; of a file only it means something.
    pub length: u64,
    /// Of a directory, where the place can tell it for nothing.
    pub stamp: Option<Stamp>,
}

/// What is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, wherever it leads.
    Link,
    /// A device, a pipe …
    Other,
}

/// A file that is open to be read from its first byte to its last.
pub struct Opened {
    /// Length in bytes when it was opened.
    pub length: u64,
    /// The bytes. Whoever does not trust the place reads no more than it can hold.
    pub bytes: Box<dyn Read + Send>,
}

/// As long as it is the same, a directory has the same files under the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(i64, u64);

/// Free bytes; none where the place has no such limit, or does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// For any account.
    pub available: Option<u64>,
    /// For this process: root may have more than others.
    pub usable: Option<u64>,
}

/// Where the files of a repository are.
pub trait Place: fmt::Debug + Send + Sync {
    /// Where it is, for people and logs: no secrets.
    fn location(&self) -> String;
    /// Make the place if it is missing. What it is in must be there: `NotFound` otherwise.
    fn make(&self) -> io::Result<()>;
    /// An error where nothing can be written now. Leaves nothing.
    fn prove_writable(&self) -> io::Result<()>;
    /// What is in a directory, in any order. One that is not there has nothing.
    fn list(&self, directory: &str) -> io::Result<Vec<Item>>;
    /// What is there; none where there is nothing.
    fn look_at(&self, path: &str) -> io::Result<Option<Item>>;
    /// Open a file to read all of it.
    fn open(&self, file: &str) -> io::Result<Opened>;
    /// `length` bytes from `offset`. `UnexpectedEof` where the file ends before; no memory is asked for until that is known.
    fn read(&self, file: &str, offset: u64, length: usize) -> io::Result<Bytes>;
    /// Write a new file with these bytes, one part after the other; directories on the way are made. It is there whole or not
    /// at all, whatever dies in between, and once this returned it stays, as far as the place can promise it.
    /// `AlreadyExists` where the name is taken: what has it stays as it is.
    fn write(&self, file: &str, parts: &[Bytes]) -> io::Result<()>;
    /// Give a file another name; directories on the way are made. `AlreadyExists` where that is taken: both stay as they are.
    fn rename(&self, file: &str, new: &str) -> io::Result<()>;
    /// Remove a file, or a link and never what it leads to. `NotFound`, or nothing, where there is none.
    fn remove(&self, file: &str) -> io::Result<()>;

    /// Make directories; those above one stand before it. A place without directories does nothing.
    fn make_directories(&self, _directories: &[String]) -> io::Result<()> {
        Ok(())
    }
    /// The files in a directory and in the directories in it, named from there: `NAME` or `DIRECTORY/NAME`. For a place that
    /// can tell it all at once.
    fn list_deep(&self, directory: &str) -> io::Result<Vec<Item>> {
        let mut out = Vec::new();
        for item in self.list(directory)? {
            if item.kind == ItemKind::Directory {
                for below in self.list(&format!("{directory}/{}", item.name))? {
                    out.push(Item { name: format!("{}/{}", item.name, below.name), ..below });
                }
            } else {
                out.push(item);
            }
        }
        Ok(out)
    }
    /// How much can still be written there.
    fn room(&self) -> io::Result<Room> {
        Ok(Room::default())
    }
    /// Nobody else holds what this returns at the same time. A place without locks keeps nobody away.
    fn lock(&self) -> io::Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }
    /// Remove what killed writers left in [`STAGING`]; does nothing while a writer is at work.
    fn remove_leftovers(&self) -> io::Result<()> {
        Ok(())
    }

    /// How a path is called in messages.
    fn name_of(&self, path: &str) -> String {
        format!("{}/{path}", self.location())
    }
}

/// Something else is where a file or a directory should be. The cause of an [`io::Error`].
#[derive(Debug)]
pub struct Unexpected {
    path: String,
    found: &'static str,
    wanted: &'static str,
}

impl Unexpected {
    /// Whether this is why something failed.
    pub fn is_why(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} and not {}", self.path, self.found, self.wanted)
    }
}

impl std::error::Error for Unexpected {}
