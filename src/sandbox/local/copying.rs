//! Copying a data directory: fast where the file system can share blocks, and without filling holes.
//!
//! Knows only plain files and directories and refuses everything else: the tree was written by a less privileged
//! account, which must not be able to point us somewhere.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, lchown};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom, copy_file_range, seek};
use rustix::io::Errno;

/// Copy the directory `from` to `to`, which must not exist. Directories become 0700 and files 0600, owned by us.
pub(super) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            copy_file(&source, &target)?;
        } else {
            return Err(io::Error::other(format!("{} is neither a file nor a directory", source.display())));
        }
    }
    Ok(())
}

/// Give `directory` and all that is in it to another owner, following no link.
pub(super) fn change_owner(directory: &Path, uid: u32, gid: u32) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            change_owner(&entry.path(), uid, gid)?;
        } else {
            lchown(entry.path(), Some(uid), Some(gid))?;
        }
    }
    lchown(directory, Some(uid), Some(gid))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
    let source = OpenOptions::new().read(true).custom_flags(no_follow).open(from)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut position = 0;
    while position < length {
        // `NXIO`: nothing but a hole up to the end.
        let start = match seek(&source, SeekFrom::Data(position)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        let end = seek(&source, SeekFrom::Hole(start))?;
        copy_range(&source, &target, start, end)?;
        position = end;
    }
    Ok(())
}

/// `copy_file_range` shares blocks where it can; across some file systems it cannot copy at all.
fn copy_range(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (start, start);
    while written < end {
        let length = usize::try_from(end - written).unwrap_or(1 << 30).min(1 << 30);
        match copy_file_range(source, Some(&mut read), target, Some(&mut written), length) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return copy_by_reading(source, target, written, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_reading(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    seek(source, SeekFrom::Start(start))?;
    seek(target, SeekFrom::Start(start))?;
    let copied = io::copy(&mut io::Read::take(source, end - start), &mut &*target)?;
    if copied == end - start { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_copy_has_the_same_bytes_and_keeps_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::write(from.join("inner/empty"), "").unwrap();
        let mut sparse = File::create(from.join("sparse")).unwrap();
        sparse.write_all(&[7; 10_000]).unwrap();
        sparse.seek(io::SeekFrom::Start(50_000_000)).unwrap();
        sparse.write_all(b"end").unwrap();
        sparse.set_len(60_000_000).unwrap();
        copy_tree(&from, &to).unwrap();
        assert!(to.join("inner/empty").is_file());
        assert!(fs::read(to.join("sparse")).unwrap() == fs::read(from.join("sparse")).unwrap());
        let meta = to.join("sparse").metadata().unwrap();
        assert!(meta.blocks() * 512 < 1_000_000, "{} blocks", meta.blocks());
        assert_eq!((meta.mode() & 0o777, to.metadata().unwrap().mode() & 0o777), (0o600, 0o700));
    }

    #[test]
    fn copying_by_reading_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, b"0123456789").unwrap();
        let target = File::create(&to).unwrap();
        copy_by_reading(&File::open(&from).unwrap(), &target, 3, 8).unwrap();
        assert_eq!(fs::read(to).unwrap(), b"\0\0\x0034567");
    }

    #[test]
    fn a_link_in_the_tree_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        let error = copy_tree(&from, &dir.path().join("to")).unwrap_err();
        assert!(error.to_string().contains("link is neither"), "{error}");
    }
}
