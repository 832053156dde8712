//! What a look at single objects found, before the dump client sees them.

use super::relations::Relation;
use crate::domain::left_out::LeftOut;

/// What of `databases` the dump client cannot print, or not whole.
#[derive(Debug, Default)]
pub struct Examined {
    /// Left out of the dump.
    pub left_out: Vec<LeftOut>,
    /// In the dump, and yet no client brings it back from there.
    pub cannot_return: Vec<LeftOut>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Views in the backup that the dump client cannot print.
    pub undescribed: Vec<Relation>,
    /// The dump client refuses `--dump-history` with one of the tables.
    pub without_history: bool,
    /// The server shows no events.
    pub without_events: bool,
    /// The dump client cannot print one of the events.
    pub events_apart: bool,
}
