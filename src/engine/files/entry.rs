//! One entry of a tree: what the index promises of it, what the walk finds of it, and the digest tree over all of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use super::text::Name;
use crate::domain::digest::Digest;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    Character,
    Block,
}

impl Kind {
    /// A device node, which not everybody may make.
    pub fn is_device(self) -> bool {
        matches!(self, Self::Character | Self::Block)
    }

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Symlink => "symbolic link",
            Self::Fifo => "fifo",
            Self::Character => "character device",
            Self::Block => "block device",
        }
    }
}

/// One line of the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Absolute path without the leading slash: the name in the archive.
    pub path: Name,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky bit; 0 for a symbolic link, which has none.
    #[serde(serialize_with = "octal", deserialize_with = "from_octal")]
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Bytes of a regular file, else 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// Of a regular file's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Where a symbolic link points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// The first name of the same file, where this is a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_link: Option<Name>,
    /// Extended attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<Name, Name>,
    /// Major and minor number of a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(size: &u64) -> bool {
    *size == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn octal<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

fn from_octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    u32::from_str_radix(&String::deserialize(deserializer)?, 8).map_err(de::Error::custom)
}

impl Entry {
    /// Everything of it but name and content, in a form that differs where anything differs.
    pub fn metadata(&self) -> Vec<u8> {
        let mut out = vec![self.kind as u8];
        out.extend(self.mode.to_be_bytes());
        out.extend(self.uid.to_be_bytes());
        out.extend(self.gid.to_be_bytes());
        out.extend(self.mtime.0.to_be_bytes());
        out.extend(self.mtime.1.to_be_bytes());
        out.extend(self.size.to_be_bytes());
        let (major, minor) = self.device.unwrap_or_default();
        out.extend(major.to_be_bytes());
        out.extend(minor.to_be_bytes());
        for bytes in self.xattrs.iter().flat_map(|(name, value)| [name, value]) {
            with_length(&mut out, &bytes.0);
        }
        out
    }

    /// Digest of what it holds; a directory's is made of its children instead.
    fn content(&self) -> [u8; 32] {
        match (&self.sha256, &self.target) {
            (Some(digest), _) => digest.0,
            (None, Some(target)) => Sha256::digest(&target.0).into(),
            (None, None) => [0; 32],
        }
    }

    /// Last part of its path.
    pub fn name(&self) -> &[u8] {
        self.path.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

fn with_length(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The order of the walk: a directory before what is in it, names by their bytes.
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
        path.split(|byte| *byte == b'/')
    }
    parts(a).cmp(parts(b))
}

/// Whether `path` is `root` or below it. The empty path is the root of everything.
pub fn is_at_or_below(path: &[u8], root: &[u8]) -> bool {
    root.is_empty() || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The path of `name` in the directory `directory`.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Builds the digest tree of one root from its entries in the order of the walk.
///
/// The digest of an entry is the SHA-256 of its metadata and its content; the content of a directory is the SHA-256 over
/// name and digest of each child, in order.
pub struct DigestTree {
    root: Vec<u8>,
    open: Vec<(Entry, Sha256)>,
    entries: u64,
    result: Option<[u8; 32]>,
    definition: Option<Digest>,
}

impl DigestTree {
    /// Of the entries at and below `root`.
    pub fn new(root: &[u8]) -> Self {
        Self { root: root.to_vec(), open: Vec::new(), entries: 0, result: None, definition: None }
    }

    /// Add the next entry.
    pub fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        if entry.path.0 == self.root {
            self.definition = Some(Digest::of(&entry.metadata()));
        }
        while self.open.last().is_some_and(|(directory, _)| !is_at_or_below(&entry.path.0, &directory.path.0)) {
            self.close();
        }
        if entry.kind == Kind::Directory {
            self.open.push((entry.clone(), Sha256::new()));
        } else {
            self.give(entry, entry.content());
        }
    }

    fn close(&mut self) {
        if let Some((directory, children)) = self.open.pop() {
            self.give(&directory, children.finalize().into());
        }
    }

    fn give(&mut self, entry: &Entry, content: [u8; 32]) {
        let digest = Sha256::new().chain_update(entry.metadata()).chain_update(content).finalize();
        match self.open.last_mut() {
            Some((_, parent)) => {
                let mut name = Vec::new();
                with_length(&mut name, entry.name());
                parent.update(&name);
                parent.update(digest);
            }
            None => self.result = Some(digest.into()),
        }
    }

    /// Number of entries, digest of everything, digest of the root's own metadata; `None` where there was no root.
    pub fn finish(mut self) -> Option<(u64, Digest, Digest)> {
        while !self.open.is_empty() {
            self.close();
        }
        Some((self.entries, Digest(self.result?), self.definition?))
    }
}

#[cfg(test)]
impl Entry {
    /// One of which nothing special is known.
    pub fn plain(path: &str, kind: Kind) -> Self {
        Self {
            path: Name(path.into()),
            kind,
            mode: 0o640,
            uid: 1,
            gid: 2,
            mtime: (3, 4),
            size: 0,
            sha256: None,
            target: None,
            hard_link: None,
            xattrs: BTreeMap::new(),
            device: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(entries: &[Entry]) -> Digest {
        let mut tree = DigestTree::new(b"r");
        for entry in entries {
            tree.add(entry);
        }
        tree.finish().unwrap().1
    }

    #[test]
    fn a_directory_comes_before_what_is_in_it_and_that_before_its_neighbours() {
        let mut paths = vec!["a.b", "a/b", "a", "a/b/c", "a/b.c", "b"];
        paths.sort_by(|a, b| order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a/b.c", "a.b", "b"]);
        assert!(is_at_or_below(b"a/b", b"a") && is_at_or_below(b"a", b"") && !is_at_or_below(b"ab", b"a"));
    }

    #[test]
    fn the_digest_tree_sees_where_a_file_is_and_everything_about_it() {
        let tree =
            |paths: &[(&str, Kind)]| paths.iter().map(|(path, kind)| Entry::plain(path, *kind)).collect::<Vec<_>>();
        let (directory, file) = (Kind::Directory, Kind::File);
        let good = tree(&[("r", directory), ("r/a", directory), ("r/a/f", file), ("r/b", directory)]);
        let moved = tree(&[("r", directory), ("r/a", directory), ("r/b", directory), ("r/b/f", file)]);
        assert_ne!(digest(&good), digest(&moved));
        let changes: [fn(&mut Entry); 8] = [
            |e| e.mode = 0o600,
            |e| e.uid = 9,
            |e| e.gid = 9,
            |e| e.mtime.1 = 9,
            |e| e.size = 9,
            |e| e.sha256 = Some(Digest::of(b"x")),
            |e| drop(e.xattrs.insert(Name(b"user.a".to_vec()), Name(b"b".to_vec()))),
            |e| e.device = Some((1, 3)),
        ];
        for change in changes {
            let mut other = good.clone();
            change(&mut other[2]);
            assert_ne!(digest(&good), digest(&other));
        }
        assert_eq!(digest(&good), digest(&good.clone()));
    }

    #[test]
    fn a_line_of_the_index_is_read_as_it_was_written() {
        let mut written = Entry::plain("r/\u{e4}", Kind::Symlink);
        written.target = Some(Name(b"\xff\n".to_vec()));
        written.xattrs.insert(Name(b"user.a".to_vec()), Name(vec![0, 1]));
        let line = serde_json::to_string(&written).unwrap();
        assert!(line.contains(r#""mode":"0640""#) && line.contains(r#""target":"\\xff\\x0a""#), "{line}");
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), written);
    }
}
