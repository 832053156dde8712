//! Arguments that several commands have.

use clap::Args;

use crate::domain::local_time;
use crate::error::{Error, Result};
use crate::operations::select::Selection;

/// Which sources a command works on.
#[derive(Debug, Args)]
pub(super) struct Sources {
    /// Sources to work on [default: all]
    #[arg(value_name = "SOURCE")]
    pub(super) sources: Vec<String>,
}

/// Which recovery point.
#[derive(Debug, Args)]
pub(super) struct PointArguments {
    /// This recovery point, by the id that `list` shows or an unambiguous prefix of it
    #[arg(long, value_name = "ID", group = "point")]
    pub(super) recovery_point: Option<String>,
    /// Newest recovery point at or before this time: "2026-11-26 11:29" in the configured time zone, or RFC 3339
    #[arg(long, value_name = "TIME", group = "point")]
    pub(super) at: Option<String>,
}

/// Whose recovery point.
#[derive(Debug, Args)]
pub(super) struct HostArguments {
    /// A recovery point that another host made: its name or id, as `list` shows it
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
}

impl PointArguments {
    /// What was asked for; wall clock times are those of `zone`.
    pub(super) fn selection(&self, zone: chrono_tz::Tz) -> Result<Selection> {
        Ok(match (&self.recovery_point, &self.at) {
            (Some(id), _) => Selection::Id(crate::domain::manifest::RecoveryPointId(id.to_lowercase())),
            (None, Some(text)) => {
                let time = local_time::parse(text, zone);
                Selection::At(time.map_err(|fault| Error::configuration(fault.to_string()).hint(fault.hint()))?)
            }
            (None, None) => Selection::Newest,
        })
    }
}
