//! Where a tree is restored to.

use std::path::{Path, PathBuf};

use crate::engine::destination::Destination;
use crate::error::Result;

/// A directory that a tree is restored into.
#[derive(Debug, Clone)]
pub enum Target {
    /// One that somebody named.
    Named(PathBuf),
    /// A throwaway directory of our own.
    Sandbox(PathBuf),
}

impl Target {
    /// What `destination` was made from.
    pub fn of(destination: &Destination) -> Result<&Self> {
        destination.place()
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Named(directory) | Self::Sandbox(directory) => directory,
        }
    }
}
