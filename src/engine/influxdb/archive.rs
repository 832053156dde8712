//! The archives that `influxd backup -portable` writes: one tar per shard, compressed, and a manifest of the tool's own.
//!
//! The tool has no way to say that a shard stream was cut off, so every archive is read to its end: its compression must
//! end well, its tar must have its end mark, and its length must be what the tool's manifest says.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;
use crate::error::{Error, OrFailed, Result};

const BLOCK: usize = 512;

/// The tool's own manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolManifest {
    /// The catalogue of databases.
    pub meta: ToolFile,
    /// Whether it has only some of the databases.
    #[serde(default)]
    pub limited: bool,
    /// The shards.
    #[serde(default)]
    pub files: Option<Vec<ToolShard>>,
}

/// The file of the catalogue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolFile {
    /// File name.
    pub file_name: String,
    /// Length in bytes, before compression.
    pub size: u64,
}

/// The archive of one shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolShard {
    /// Database.
    pub database: String,
    /// Retention policy.
    pub policy: String,
    /// Id of the shard.
    #[serde(rename = "shardID")]
    pub shard_id: u64,
    /// File name.
    #[serde(rename = "fileName")]
    pub file_name: String,
    /// Length in bytes, before compression.
    pub size: u64,
    /// Not filled in by 1.6.
    #[serde(rename = "lastModified", default)]
    pub last_modified: i64,
}

/// Read the tool's manifest in `directory`: there must be exactly one.
pub fn read_manifest(directory: &Path) -> Result<(PathBuf, ToolManifest)> {
    let what = || format!("cannot read what influxd backup wrote to {}", directory.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).or_failed(what())? {
        let path = entry.or_failed(what())?.path();
        if path.extension().is_some_and(|ending| ending == "manifest") {
            found.push(path);
        }
    }
    let [path] = found.as_slice() else {
        return Err(Error::failed(format!("{}: it has {} manifests instead of one", what(), found.len())));
    };
    let text = std::fs::read(path).or_failed(what())?;
    Ok((path.clone(), serde_json::from_slice(&text).or_failed(what())?))
}

/// What an archive turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArchiveFacts {
    /// Length without compression.
    pub bytes: u64,
    /// Digest of all of it.
    pub digest: Digest,
    /// Newest modification time in it, in seconds since the epoch by the server's clock.
    pub newest_change: i64,
    /// Number of files in it.
    pub files: u64,
}

/// Reads an archive without its compression; ends well only if it is whole. Knows what it was at the end.
pub struct ArchiveReader {
    inner: GzDecoder<BufReader<std::fs::File>>,
    name: String,
    expected: u64,
    digest: blake3::Hasher,
    tar: TarCheck,
    facts: ArchiveFacts,
    ended: bool,
}

impl ArchiveReader {
    /// Open the archive `shard` in `directory`.
    pub fn open(directory: &Path, shard: &ToolShard) -> Result<Self> {
        let name = format!("archive of shard {} of {}", shard.shard_id, shard.database);
        // The name is the tool's, and it must not lead elsewhere.
        if shard.file_name.contains('/') {
            return Err(Error::failed(format!("cannot open {name}: `{}` is not a file name", shard.file_name)));
        }
        let file = std::fs::File::open(directory.join(&shard.file_name)).or_failed(format!("cannot open {name}"))?;
        Ok(Self {
            inner: GzDecoder::new(BufReader::with_capacity(1 << 18, file)),
            name,
            expected: shard.size,
            digest: blake3::Hasher::new(),
            tar: TarCheck::default(),
            facts: ArchiveFacts::default(),
            ended: false,
        })
    }

    /// What it was; none before its good end.
    pub fn facts(&self) -> Option<&ArchiveFacts> {
        self.ended.then_some(&self.facts)
    }

    fn end(&mut self) -> Result<()> {
        let bytes = self.facts.bytes;
        if bytes != self.expected {
            let what = format!("it has {bytes} bytes, influxd's own manifest says {}", self.expected);
            return Err(Error::failed(format!("cannot read {}: {what}", self.name)).hint(CUT_HINT));
        }
        (self.facts.newest_change, self.facts.files) = self.tar.end(&self.name)?;
        let rest = self.inner.get_mut().read(&mut [0]).or_failed(format!("cannot read {}", self.name))?;
        if rest > 0 {
            return Err(Error::failed(format!("cannot read {}: something follows its end", self.name)));
        }
        self.facts.digest = Digest(*self.digest.finalize().as_bytes());
        Ok(())
    }
}

const CUT_HINT: &str = "the stream of the shard was cut off, perhaps because the server was restarted or its disk is full; \
                        look at the server's log and back up again";

impl Read for ArchiveReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer);
        let read =
            read.or_failed(format!("cannot read {}", self.name)).map_err(|e| io::Error::other(e.hint(CUT_HINT)))?;
        if read == 0 {
            self.end().map_err(io::Error::other)?;
            self.ended = true;
            return Ok(0);
        }
        self.digest.update(&buffer[..read]);
        self.facts.bytes += read as u64;
        self.tar.feed(&buffer[..read]).map_err(|reason| {
            io::Error::other(Error::failed(format!("cannot read {}: {reason}", self.name)).hint(CUT_HINT))
        })?;
        Ok(read)
    }
}

/// Follows a tar as it passes by.
#[derive(Debug, Default)]
pub struct TarCheck {
    header: Vec<u8>,
    /// Bytes of the current file, with its padding, still to come.
    skip: u64,
    zero_blocks: u8,
    newest_change: i64,
    files: u64,
}

impl TarCheck {
    /// Take in the next piece.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), String> {
        while !input.is_empty() {
            if self.skip > 0 {
                let step = usize::try_from(self.skip).unwrap_or(usize::MAX).min(input.len());
                self.skip -= step as u64;
                input = &input[step..];
                continue;
            }
            let step = (BLOCK - self.header.len()).min(input.len());
            self.header.extend_from_slice(&input[..step]);
            input = &input[step..];
            if self.header.len() == BLOCK {
                self.block()?;
                self.header.clear();
            }
        }
        Ok(())
    }

    fn block(&mut self) -> Result<(), String> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.zero_blocks = self.zero_blocks.saturating_add(1);
            return Ok(());
        }
        if self.zero_blocks > 0 {
            return Err("its tar goes on after its end mark".to_owned());
        }
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.header);
        let sum: u32 = self.header[..148].iter().chain(&self.header[156..]).map(|byte| u32::from(*byte)).sum();
        let sum = sum + 8 * u32::from(b' ');
        let damaged = |what: &str| format!("its tar is damaged: {what}");
        if header.cksum().map_err(|e| damaged(&e.to_string()))? != sum {
            return Err(damaged("the checksum of a header is wrong"));
        }
        let size = header.entry_size().map_err(|e| damaged(&e.to_string()))?;
        let changed = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(i64::MAX);
        self.newest_change = self.newest_change.max(changed);
        self.files += 1;
        let padded = size.checked_next_multiple_of(BLOCK as u64).filter(|padded| i64::try_from(*padded).is_ok());
        self.skip = padded.ok_or_else(|| damaged("a file is longer than any can be"))?;
        Ok(())
    }

    /// The input is complete: newest change and number of files.
    pub fn end(&self, name: &str) -> Result<(i64, u64)> {
        if self.skip > 0 || !self.header.is_empty() || self.zero_blocks < 2 {
            return Err(Error::failed(format!("cannot read {name}: its tar stops before its end mark")).hint(CUT_HINT));
        }
        Ok((self.newest_change, self.files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tar(files: &[(&str, usize)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(*size as u64);
            header.set_mtime(1_700_000_000);
            header.set_cksum();
            builder.append_data(&mut header, name, vec![7; *size].as_slice()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn read(content: &[u8], size: u64, spoil: impl Fn(&mut Vec<u8>)) -> Result<ArchiveFacts, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        let mut file = encoder.finish().unwrap();
        spoil(&mut file);
        std::fs::write(directory.path().join("a"), file).unwrap();
        let shard = ToolShard {
            database: "telegraf".to_owned(),
            policy: "autogen".to_owned(),
            shard_id: 7,
            file_name: "a".to_owned(),
            size,
            last_modified: 0,
        };
        let mut reader = ArchiveReader::open(directory.path(), &shard).unwrap();
        io::copy(&mut reader, &mut io::sink()).map_err(|error| error.to_string())?;
        Ok(reader.facts().unwrap().clone())
    }

    #[test]
    fn a_whole_archive_is_known_at_its_end() {
        let content = tar(&[("telegraf/autogen/7/1.tsm", 1000), ("telegraf/autogen/7/2.tsm", 0)]);
        let facts = read(&content, content.len() as u64, |_| {}).unwrap();
        let expected = (content.len() as u64, 2, 1_700_000_000, Digest::of(&content));
        assert_eq!((facts.bytes, facts.files, facts.newest_change, facts.digest), expected);
    }

    #[test]
    fn a_file_that_is_longer_than_any_can_be_is_damage() {
        let mut header = tar::Header::new_gnu();
        for size in [u64::MAX, u64::MAX - 511, 1 << 63] {
            header.set_size(size);
            header.set_cksum();
            let read = TarCheck::default().feed(header.as_bytes());
            assert!(read.as_ref().is_err_and(|why| why.contains("damaged")), "{size}: {read:?}");
        }
    }

    #[test]
    fn an_archive_that_was_cut_anywhere_is_refused_by_name() {
        let content = tar(&[("telegraf/autogen/7/1.tsm", 3000)]);
        // Cut by the server, before compression: the tool believes that this was all.
        for length in [0, 512, 1000, 3584, content.len() - 512] {
            let error = read(&content[..length], length as u64, |_| {}).unwrap_err();
            assert!(error.contains("shard 7 of telegraf") && error.contains("end mark"), "{length}: {error}");
        }
        let size = content.len() as u64;
        let error = read(&content, size, |file| file.truncate(file.len() - 10)).unwrap_err();
        assert!(error.contains("shard 7 of telegraf"), "{error}");
        assert!(read(&content, size + 1, |_| {}).unwrap_err().contains("own manifest says"));
        assert!(read(&content, size, |file| file.push(0)).unwrap_err().contains("something follows"));
        let mut damaged = content.clone();
        damaged[3] ^= 1;
        assert!(read(&damaged, size, |_| {}).unwrap_err().contains("checksum"));
    }
}
