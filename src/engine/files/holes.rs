//! Reads a file without reading its holes: what the disk does not have is zeros, and the file system knows where.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Bytes that are handed on at a time.
const PIECE: usize = 1 << 20;

/// What comes next of a file.
enum Next {
    /// Zeros up to here.
    Hole(u64),
    /// Bytes up to here.
    Data(u64),
}

/// Reads a file from its start.
pub struct Reader<'f> {
    file: &'f File,
    at: u64,
    /// Where the bytes that `at` is in end.
    data_end: u64,
    buffer: Vec<u8>,
    zeros: Vec<u8>,
}

impl<'f> Reader<'f> {
    /// For a file of about `size` bytes.
    pub fn new(file: &'f File, size: u64) -> Self {
        let piece = usize::try_from(size).unwrap_or(PIECE).clamp(1, PIECE);
        Self { file, at: 0, data_end: 0, buffer: vec![0; piece], zeros: Vec::new() }
    }

    /// The next bytes of the first `size`; none at the end of those, or of the file. Bytes of a hole are zeros, as if they had been read.
    pub fn next(&mut self, size: u64) -> io::Result<&[u8]> {
        let (is_hole, end) = match self.look(size) {
            Next::Hole(end) => (true, end),
            Next::Data(end) => (false, end),
        };
        let wanted = usize::try_from(end.min(size).saturating_sub(self.at)).unwrap_or(PIECE);
        if is_hole {
            self.zeros.resize(PIECE, 0);
            let piece = &self.zeros[..wanted.min(PIECE)];
            self.at += piece.len() as u64;
            return Ok(piece);
        }
        let wanted = wanted.min(self.buffer.len());
        loop {
            match self.file.read_at(&mut self.buffer[..wanted], self.at) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(&self.buffer[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn look(&mut self, size: u64) -> Next {
        if self.at < self.data_end || self.at >= size {
            return Next::Data(self.data_end.max(self.at));
        }
        match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) if start > self.at => return Next::Hole(start),
            Ok(_) => {}
            // No more bytes: a hole, unless the file has become shorter.
            Err(Errno::NXIO) => {
                let there = self.file.metadata().map_or(0, |meta| meta.len());
                return if there > self.at { Next::Hole(there) } else { Next::Data(size) };
            }
            // A file system that cannot say.
            Err(_) => self.data_end = u64::MAX,
        }
        if self.data_end <= self.at {
            self.data_end =
                seek(self.file, SeekFrom::Hole(self.at)).ok().filter(|end| *end > self.at).unwrap_or(u64::MAX);
        }
        Next::Data(self.data_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &File, size: u64) -> Vec<u8> {
        let mut reader = Reader::new(file, size);
        let mut out = Vec::new();
        loop {
            let piece = reader.next(size).unwrap();
            if piece.is_empty() {
                return out;
            }
            out.extend_from_slice(piece);
        }
    }

    /// Bytes that this thread has had from the kernel.
    fn read_so_far() -> u64 {
        let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    #[test]
    fn holes_are_zeros_and_are_not_read() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        file.set_len(64 << 20).unwrap();
        for at in [0, 10 << 20, (40 << 20) + 5] {
            file.write_all_at(b"bytes", at).unwrap();
        }
        let exact = std::fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).unwrap();
        let before = read_so_far();
        let found = all(&file, 64 << 20);
        let read = read_so_far() - before;
        assert!(found == exact);
        assert!(read < 4 << 20, "{read} bytes were read");
    }

    #[test]
    fn a_file_is_read_to_the_length_that_was_asked_for_or_to_its_end() {
        let file = tempfile::tempfile_in("/var/tmp").unwrap();
        assert_eq!(all(&file, 0), b"");
        file.write_all_at(&vec![7; 3_000_000], 0).unwrap();
        assert_eq!(all(&file, 2_500_000), vec![7; 2_500_000]);
        assert_eq!(all(&file, 3_000_000).len(), 3_000_000);
        // Shorter than it was said to be.
        assert_eq!(all(&file, 9_000_000).len(), 3_000_000);
        file.set_len(5_000_000).unwrap();
        assert_eq!(all(&file, 9_000_000).len(), 5_000_000);
    }
}
