//! Arguments that several commands have.

use clap::Args;

use crate::domain::chain::{Gtid, Place};
use crate::domain::local_time;
use crate::domain::manifest::RecoveryPointId;
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
    #[arg(long, value_name = "ID", group = "named")]
    pub(super) recovery_point: Option<String>,
    /// The state at this time: "2026-11-26 11:29" in the configured time zone, or RFC 3339. Without increments the newest recovery
    /// point at or before it
    #[arg(long, value_name = "TIME", groups = ["named", "point"])]
    pub(super) at: Option<String>,
}

/// Before which transaction, where there are increments.
#[derive(Debug, Args)]
pub(super) struct BeforeArguments {
    /// The state just before the transaction at this place of the server's binary log; with --recovery-point within that increment
    #[arg(long, value_name = "FILE:POS", group = "point")]
    pub(super) before_position: Option<String>,
    /// The state just before this transaction: 0-1-57 (MariaDB), UUID:57 or UUID:TAG:57 (MySQL)
    #[arg(long, value_name = "GTID", group = "point")]
    pub(super) before_gtid: Option<String>,
}

impl BeforeArguments {
    /// What was asked for, within a recovery point where one is named beside it; none where nothing was.
    pub(super) fn selection(&self, within: &PointArguments) -> Result<Option<Selection>> {
        let inside = |place| match within.id() {
            Some(id) => Selection::Within(id, Box::new(place)),
            None => place,
        };
        Ok(self.place()?.map(inside))
    }

    fn place(&self) -> Result<Option<Selection>> {
        if let Some(text) = &self.before_position {
            let place = Place::parse(text).ok_or_else(|| {
                Error::configuration(format!("cannot read position {text:?}"))
                    .hint("write the name of a log file and an offset in it: --before-position binlog.000042:1337")
            })?;
            return Ok(Some(Selection::BeforePosition(place)));
        }
        let Some(text) = &self.before_gtid else { return Ok(None) };
        let gtid: Result<Gtid, _> = text.parse();
        gtid.map_err(|_| {
            Error::configuration(format!("cannot read GTID {text:?}"))
                .hint("write the GTID of one transaction: 0-1-57 (MariaDB), UUID:57 or UUID:TAG:57 (MySQL)")
        })?;
        Ok(Some(Selection::BeforeGtid(text.clone())))
    }
}

/// Whose recovery point.
#[derive(Debug, Args)]
pub(super) struct HostArguments {
    /// A recovery point that another host made: its name or id, as `list` shows it
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
}

impl PointArguments {
    fn id(&self) -> Option<RecoveryPointId> {
        self.recovery_point.as_ref().map(|id| RecoveryPointId(id.to_lowercase()))
    }

    /// What was asked for; wall clock times are those of `zone`.
    pub(super) fn selection(&self, zone: chrono_tz::Tz) -> Result<Selection> {
        Ok(match (self.id(), &self.at) {
            (Some(id), _) => Selection::Id(id),
            (None, Some(text)) => {
                let time = local_time::parse(text, zone);
                Selection::At(time.map_err(|fault| Error::configuration(fault.to_string()).hint(fault.hint()))?)
            }
            (None, None) => Selection::Newest,
        })
    }
}
