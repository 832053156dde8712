//! What a kind of source brings with it: its configuration table, its words, its destinations, and its engine.
//!
//! A kind is a folder beside this file and one line in `app::KINDS`. Nothing else names it.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::assertion::Form;
use super::destination::{Credentials, Destination};
use crate::clock::Clock;
use crate::domain::words::Words;
use crate::error::Result;
use crate::sandbox::settings::SandboxConfig;
use crate::strict::Section;

/// All kinds that there are.
pub type Kinds = &'static [&'static dyn Kind];

/// One kind of source.
pub trait Kind: Debug + Send + Sync {
    /// Its name in the configuration, metrics, manifests and the ledger, and that of its table: `[source.NAME.mysql]`.
    fn name(&self) -> &'static str;

    /// What people call its things.
    fn words(&self) -> Words;

    /// Read the table of the source `source`. Problems are reported to the section; with any, what is returned means
    /// nothing. Ask for every key, so that all problems are found at once.
    fn read(&self, source: &str, section: &Section<'_>) -> Table;

    /// Whether its backups can be continued by increments.
    fn has_increments(&self) -> bool {
        false
    }

    /// How its assertions are written.
    fn form(&self) -> Form;

    /// The forms of its destinations, for help: `unix:/PATH/TO/SOCKET`.
    fn destinations(&self) -> &'static [&'static str];

    /// Read a destination that somebody named.
    ///
    /// # Errors
    /// It is not of a form that this kind can restore to; the hint says which forms are.
    fn destination(&self, address: &str, credentials: &Credentials) -> Result<Destination>;

    /// What the page of a source says about restoring it.
    fn restore_to(&self) -> RestoreTo;
}

/// What the table of a kind says.
#[derive(Debug)]
pub struct Table {
    /// The table itself.
    pub settings: Arc<dyn Settings>,
    /// Somebody else makes the backups; we watch and drill.
    pub made_elsewhere: bool,
}

/// The table of a source, read: knows how to make the engine of that source.
pub trait Settings: Any + Debug + Send + Sync {
    /// The engine of the source.
    fn engine(&self, wiring: Wiring) -> Arc<dyn Engine>;
}

/// What an engine is given of everything around it.
pub struct Wiring {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What drills of the source restore into.
    pub sandbox: SandboxConfig,
    /// How far apart its increments are scheduled; none where none are.
    pub increments: Option<Duration>,
    /// What is remembered of the source between backups.
    pub memory: Arc<dyn Memory>,
    /// A directory of the source's own, where data waits that cannot be streamed. It need not exist.
    pub staging: PathBuf,
    /// Places of this program: the state directory and local repositories. They are no part of a backup.
    pub own_places: Vec<PathBuf>,
    /// Files that only this program reads: the configuration and passwords. No command of a user sees them.
    pub own_files: Vec<PathBuf>,
}

/// Remembers small texts of one source between backups. What is forgotten only costs time.
pub trait Memory: Send + Sync {
    /// What was kept under `name`.
    fn recall(&self, name: &str) -> Option<String>;
    /// Keep `text` under `name`.
    fn keep(&self, name: &str, text: &str);
    /// Forget everything that is not named here.
    fn retain(&self, names: &BTreeSet<String>);
}

/// How a restore is written where the destination is not known yet.
#[derive(Debug, Clone, Copy)]
pub struct RestoreTo {
    /// The argument of `--to` and options that belong to it, with placeholders in capitals.
    pub arguments: &'static [&'static str],
    /// What to put in place of them.
    pub note: &'static str,
}
