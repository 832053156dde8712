//! What a later backup of a tree is compared by: samples of its files' contents, how much of them is plain or noise, and what
//! programs rewrite as they like. It is gathered from the bytes on their way into the archive.

use std::collections::BTreeSet;

use super::entry::{Entry, Kind, is_at_or_below};
use crate::domain::change::evidence::{Apart, Evidence};
use crate::domain::change::sample::Sampler;
use crate::domain::change::texture::{Texture, is_noise};

/// A file is taken to be, up to the next multiple of so many bytes,
const BLOCK: u64 = 64 * 1024;
/// as it is in so many.
const WINDOW: usize = 4096;

/// Of one tree.
#[derive(Default)]
pub struct Gathered {
    sample: Sampler,
    texture: Texture,
    apart: Apart,
    git: GitObjects,
    file: Blocks,
}

impl Gathered {
    /// The next bytes of the file at hand.
    pub fn read(&mut self, piece: &[u8]) {
        self.file.read(piece);
    }

    /// The entry at hand, all of which was read, and what it takes in the archive and its index. A later name of a file is not read
    /// again.
    pub fn add(&mut self, entry: &Entry, stored: u64) {
        let file = std::mem::take(&mut self.file);
        let is_read = entry.kind == Kind::File && entry.hard_link.is_none();
        if self.git.has(entry, &file.window) {
            self.apart.entries += 1;
            self.apart.bytes += stored;
            return;
        }
        if let Some(content) = entry.sha256.filter(|_| entry.size > 0) {
            self.sample.add(&content.0);
        }
        if is_read && entry.size > 0 {
            self.texture += file.finish();
        }
    }

    /// Write it down as that of `tree`.
    pub fn finish(self, tree: &str, evidence: &mut Evidence) {
        evidence.samples.insert(tree.to_owned(), self.sample.finish());
        evidence.textures.insert(tree.to_owned(), self.texture);
        if self.apart.entries > 0 {
            evidence.apart.insert(tree.to_owned(), self.apart);
        }
    }
}

/// Looks at the beginning of each block of a file.
#[derive(Default)]
struct Blocks {
    texture: Texture,
    /// Bytes of the block at hand that were read.
    read: u64,
    window: Vec<u8>,
}

impl Blocks {
    fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.read == BLOCK {
                self.end_block();
            }
            let left = usize::try_from(BLOCK - self.read).unwrap_or(usize::MAX);
            let (now, later) = piece.split_at(left.min(piece.len()));
            self.window.extend_from_slice(&now[..now.len().min(WINDOW - self.window.len())]);
            self.read += now.len() as u64;
            piece = later;
        }
    }

    fn end_block(&mut self) {
        let is_noise = is_noise(&self.window);
        self.texture += Texture::of(self.read, is_noise);
        if self.texture.files == [0, 0] {
            self.texture.files[usize::from(is_noise)] = 1;
        }
        self.read = 0;
        self.window.clear();
    }

    fn finish(mut self) -> Texture {
        self.end_block();
        self.texture
    }
}

/// Finds what is below the `objects` of git directories, with or without a work tree. Git packs and unpacks it as it likes, and what is
/// packed does not compress. Entries come in the order of the walk, in which `HEAD` is before `objects`.
#[derive(Default)]
struct GitObjects {
    /// Git directories, which have a `HEAD` that git would read.
    directories: BTreeSet<Vec<u8>>,
    /// The `objects` that the walk came to last.
    objects: Option<Vec<u8>>,
}

impl GitObjects {
    fn has(&mut self, entry: &Entry, begins: &[u8]) -> bool {
        let path = &entry.path.0;
        if let Some(objects) = &self.objects
            && path != objects
            && is_at_or_below(path, objects)
        {
            return true;
        }
        let directory = path.strip_suffix(entry.name()).and_then(|it| it.strip_suffix(b"/")).unwrap_or_default();
        match (entry.name(), entry.kind) {
            (b"HEAD", Kind::File) if is_head(begins) => drop(self.directories.insert(directory.to_owned())),
            (b"HEAD", Kind::Symlink) if entry.target.as_ref().is_some_and(|it| it.0.starts_with(b"refs/")) => {
                self.directories.insert(directory.to_owned());
            }
            (b"objects", Kind::Directory) if self.directories.remove(directory) => self.objects = Some(path.clone()),
            _ => {}
        }
        false
    }
}

/// Whether git would read it: a branch, or the name of a commit.
fn is_head(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    text.starts_with(b"ref: refs/") || (matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::digest::Digest;
    use crate::engine::files::text::Name;

    fn entry(path: &str, kind: Kind, size: usize) -> Entry {
        Entry {
            path: Name(path.into()),
            kind,
            mode: 0o640,
            uid: 1,
            gid: 2,
            mtime: (3, 4),
            size: size as u64,
            sha256: (kind == Kind::File).then(|| Digest::of(path.as_bytes())),
            target: None,
            hard_link: None,
            xattrs: BTreeMap::new(),
            device: None,
        }
    }

    /// Of files with these contents; what ends in a slash is a directory.
    fn gathered(files: &[(&str, &[u8])]) -> Evidence {
        let mut gathered = Gathered::default();
        for (path, content) in files {
            content.chunks(1_000).for_each(|piece| gathered.read(piece));
            let directory = path.strip_suffix('/');
            let kind = if directory.is_some() { Kind::Directory } else { Kind::File };
            gathered.add(&entry(directory.unwrap_or(path), kind, content.len()), 7);
        }
        let mut evidence = Evidence::default();
        gathered.finish("/r", &mut evidence);
        evidence
    }

    fn noise(length: usize) -> Vec<u8> {
        (0_u64..).flat_map(|at| Digest::of(&at.to_le_bytes()).0).take(length).collect()
    }

    #[test]
    fn each_block_of_a_file_is_what_its_beginning_is() {
        let (text, noise) = (b"a line of text\n".repeat(9_000), noise(70_000));
        let both = [&text[..65_536], &noise, &text[..10_000]].concat();
        let of = |files: &[(&str, &[u8])]| gathered(files).textures["/r"];
        assert_eq!(of(&[("r/a", &text)]), Texture { bytes: [135_000, 0], files: [1, 0] });
        assert_eq!(of(&[("r/a", &noise)]), Texture { bytes: [0, 70_000], files: [0, 1] });
        // The second block begins with noise, and so does the third, with what is left of it.
        assert_eq!(of(&[("r/a", &both)]), Texture { bytes: [65_536, 80_000], files: [1, 0] });
        assert_eq!(of(&[("r/a", &text[..50]), ("r/b", b""), ("r/c", &noise[..50])]).files, [1, 1]);
    }

    #[test]
    fn a_file_is_read_once_whatever_its_names_are() {
        let mut gathered = Gathered::default();
        gathered.read(b"a text of some length");
        gathered.add(&entry("r/a", Kind::File, 21), 7);
        let mut link = entry("r/b", Kind::File, 21);
        link.hard_link = Some(Name(b"r/a".to_vec()));
        gathered.add(&link, 7);
        let mut evidence = Evidence::default();
        gathered.finish("/r", &mut evidence);
        assert_eq!(evidence.textures["/r"], Texture { bytes: [21, 0], files: [1, 0] });
    }

    #[test]
    fn objects_of_git_are_told_of_apart_and_nothing_else_is() {
        let (head, pack) = (b"ref: refs/heads/main\n".as_slice(), noise(5_000));
        let found = gathered(&[
            ("r/", b""),
            ("r/.git/", b""),
            ("r/.git/HEAD", head),
            ("r/.git/config", b"[core]\n\tbare = false and so on"),
            ("r/.git/modules/", b""),
            ("r/.git/modules/x/", b""),
            ("r/.git/modules/x/HEAD", b"0123456789012345678901234567890123456789\n"),
            ("r/.git/modules/x/objects/", b""),
            ("r/.git/modules/x/objects/pack", &pack),
            ("r/.git/objects/", b""),
            ("r/.git/objects/17/", b""),
            ("r/.git/objects/17/0a", &pack),
            ("r/.git/packed-refs", b"a text of some length"),
            ("r/objects/", b""),
            ("r/objects/text", b"a text of some length"),
        ]);
        assert_eq!(found.apart["/r"], Apart { entries: 3, bytes: 21 });
        assert_eq!(found.textures["/r"].files, [5, 0]);
        assert_eq!(found.samples["/r"].rows().len(), 5);
    }

    #[test]
    fn objects_beside_a_head_that_git_would_not_read_are_judged() {
        let pack = noise(5_000);
        for head in [&pack[..40], b"", b"the head of a department", &[b'a'; 41]] {
            let found = gathered(&[("r/", b""), ("r/HEAD", head), ("r/objects/", b""), ("r/objects/a", &pack)]);
            assert_eq!((found.apart.len(), found.textures["/r"].bytes[1] >= 5_000), (0, true));
        }
        let mut git = GitObjects::default();
        let mut head = entry("r/HEAD", Kind::Symlink, 0);
        head.target = Some(Name(b"refs/heads/main".to_vec()));
        let objects = entry("r/objects", Kind::Directory, 0);
        assert!(!git.has(&head, b"") && !git.has(&objects, b"") && git.has(&entry("r/objects/a", Kind::File, 1), b""));
        assert!(!git.has(&entry("r/objects2", Kind::File, 1), b""));
        head.target = Some(Name(b"elsewhere".to_vec()));
        let mut git = GitObjects::default();
        assert!(!git.has(&head, b"") && !git.has(&objects, b"") && !git.has(&entry("r/objects/a", Kind::File, 1), b""));
    }
}
