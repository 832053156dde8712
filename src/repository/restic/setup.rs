//! Creating a repository, and refusing places that cannot be one.

use std::io;

use bytesize::ByteSize;
use rustic_core::{
    ConfigOptions, FileType, KeyOptions, ReadBackend, Repository, RepositoryBackends, RepositoryOptions,
};

use super::backend::PlaceBackend;
use super::failure::{OrRefused, io_failure};
use super::session::Session;
use crate::error::{Error, Result};
use crate::repository::place::STAGING;

/// Settings of a new repository; they are kept in its config and stay for its life.
#[derive(Debug, Clone, Copy)]
pub struct ResticOptions {
    /// Average size of the content-defined pieces of a file, in bytes: a power of two of at least 16 KiB. Smaller finds
    /// more duplicates, larger needs less index.
    pub average_chunk_bytes: u64,
    /// zstd level, 1 to 22. Level 1 is the fastest and, on SQL, as small as level 3.
    pub compression_level: i32,
    /// Decrypt and unpack every piece again before it is written: guards against a processor or memory that
    /// miscalculates, for about a fifth more processor time. Off, because each drill reads everything anyway; that the disk
    /// holds what was written is checked in either case.
    pub verify_before_write: bool,
}

impl Default for ResticOptions {
    fn default() -> Self {
        Self { average_chunk_bytes: 256 << 10, compression_level: 1, verify_before_write: false }
    }
}

impl ResticOptions {
    fn config(self) -> Result<ConfigOptions> {
        // Under 4 KiB the chunker's arithmetic underflows.
        if !self.average_chunk_bytes.is_power_of_two() || self.average_chunk_bytes < 16 << 10 {
            return Err(Error::configuration(format!(
                "cannot create repository: an average chunk of {} bytes is not a power of two of at least 16 KiB",
                self.average_chunk_bytes
            )));
        }
        let mut config = ConfigOptions::default();
        config.set_version = Some(2);
        // The chunker looks for a boundary, byte by byte, only behind the minimum: half of the data is spared that.
        config.set_chunk_size = Some(ByteSize(self.average_chunk_bytes / 2));
        config.set_chunk_min_size = Some(ByteSize(self.average_chunk_bytes / 2));
        config.set_chunk_max_size = Some(ByteSize(self.average_chunk_bytes * 4));
        config.set_compression = Some(self.compression_level);
        config.set_extra_verify = Some(self.verify_before_write);
        // Several packs are in memory at once: a fixed size bounds that.
        config.set_datapack_size = Some(ByteSize::mib(16));
        config.set_datapack_growfactor = Some(0);
        config.set_treepack_growfactor = Some(0);
        Ok(config)
    }
}

/// Create the repository if there is none, and open it.
pub fn prepare(files: &PlaceBackend, session: &Session, options: &ResticOptions) -> Result<()> {
    let place = files.place();
    let what = format!("cannot prepare repository {}", place.location());
    place.make().map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => Error::failed(format!("{what}: it is not a directory")),
        io::ErrorKind::NotFound => {
            io_failure(&what, error).hint("create the directory above it, or mount the file system that it is on")
        }
        _ => io_failure(&what, error),
    })?;
    // Two services that start together must not create it twice.
    let alone = place.lock().map_err(|e| io_failure(&what, e))?;
    if files.list(FileType::Config).or_refused(&what)?.is_empty() {
        create(files, session, options).map_err(|e| e.context(&what))?;
    }
    drop(alone);
    // Said now, and not after hours of dumping.
    place.prove_writable().map_err(|e| io_failure(format!("{what}: cannot write to it"), e))?;
    place.remove_leftovers().map_err(|e| {
        io_failure(format!("cannot remove unfinished files of earlier backups in {}", place.name_of(STAGING)), e)
    })?;
    session.prove()
}

fn create(files: &PlaceBackend, session: &Session, options: &ResticOptions) -> Result<()> {
    let config = options.config()?;
    if !files.is_begun_layout().map_err(|e| io_failure("cannot read it", e))? {
        return Err(Error::failed("it holds other files and is not a restic repository")
            .hint("choose an empty or new directory for the repository"));
    }
    let (credentials, made_with) = session.new_credentials()?;
    files.remove_keys()?;
    let mut repository = RepositoryOptions::default();
    repository.no_cache = true;
    let created = Repository::new(&repository, &RepositoryBackends::new(session.backend().clone(), None))
        .and_then(|new| new.init(&credentials, &KeyOptions::default(), &config))
        .or_refused("cannot create it")?;
    // Deriving it from the password again costs a good part of a second.
    session.adopt(&created, made_with);
    Ok(())
}
