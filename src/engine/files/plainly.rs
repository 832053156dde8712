//! Reads small files of a tree whose owner may put anything in their place at any time: a pipe that nobody writes to, a link to a
//! file of ours, a file without end.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The first `longest` bytes of the file at `path`; none if it is no file itself.
pub fn read(path: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(longest).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// The same as text; none, too, if it cannot be read as such.
pub fn text(path: &Path, longest: u64) -> Option<String> {
    String::from_utf8(read(path, longest).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_are_read_and_only_their_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), "some text").unwrap();
        symlink("file", at("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        File::create(at("endless")).unwrap().set_len(8 << 30).unwrap();
        assert_eq!(text(&at("file"), 100).as_deref(), Some("some text"));
        assert_eq!(text(&at("file"), 4).as_deref(), Some("some"));
        assert_eq!(text(&at("endless"), 100).map(|text| text.len()), Some(100));
        for name in ["link", "pipe", ".", "absent"] {
            assert_eq!(text(&at(name), 100), None, "{name}");
        }
    }
}
