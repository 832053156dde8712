//! Recovery points whose date cannot be right.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};

use super::selection::Selection;
use crate::app::{App, Source};
use crate::domain::chain::Plan;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::domain::order::is_to_come;
use crate::error::{Error, Result};
use crate::repository::Published;

/// What is known of wrong dates among a source's recovery points.
pub struct Suspects {
    known: BTreeSet<String>,
    now: DateTime<Utc>,
}

impl Suspects {
    /// Of `source`, now.
    pub fn of(app: &App, source: &Source) -> Result<Self> {
        Self::of_name(app, &source.name)
    }

    /// Of the source of this name, which may be configured no more.
    pub fn of_name(app: &App, source: &str) -> Result<Self> {
        Ok(Self { known: app.block_on(app.ledger.suspect_points(source))?, now: app.clock.wall() })
    }

    /// Whether its date cannot be right.
    pub fn contains(&self, manifest: &Manifest) -> bool {
        self.known.contains(&manifest.id.0) || is_to_come(manifest.as_of, self.now)
    }

    /// What must be said: that suspects were not considered, or that the one which was named is one.
    pub(super) fn said(
        &self,
        points: &[Published],
        selection: &Selection,
        plan: Option<&Plan<'_>>,
    ) -> Vec<(RecoveryPointId, String)> {
        let suspect = points.iter().filter(|point| self.contains(&point.manifest));
        let said = |point: &Published| (point.manifest.id.clone(), suspicion(point, self.now));
        match selection {
            Selection::Id(_) => {
                let named = plan.map(|plan| &plan.newest().id);
                suspect.filter(|point| Some(&point.manifest.id) == named).map(said).collect()
            }
            _ => suspect.map(said).map(|(id, said)| (id, format!("{said}; it was not considered"))).collect(),
        }
    }

    /// Every recovery point is suspect.
    pub(super) fn nothing_else(
        &self,
        source: &Source,
        points: &[Published],
        (id, _): &(RecoveryPointId, String),
    ) -> Error {
        let last = points.iter().find(|point| point.manifest.id == *id);
        let said = last.map_or(String::new(), |point| suspicion(point, self.now));
        let what = format!("cannot choose a recovery point of {}: {said}, and there is no other", source.name);
        // It may as well be the clock of today that is wrong: nothing is known to be bad.
        Error::inconclusive(what).hint(format!(
            "check the clock of this host (`timedatectl`); to use it anyway, name it: --recovery-point {id}"
        ))
    }
}

/// Points whose date cannot be right, and the others.
pub fn split_suspects(app: &App, source: &Source, points: Vec<Published>) -> Result<(Vec<Published>, Vec<Published>)> {
    let suspects = Suspects::of(app, source)?;
    Ok(points.into_iter().partition(|point| suspects.contains(&point.manifest)))
}

/// Why a point is suspect.
pub fn suspicion(point: &Published, now: DateTime<Utc>) -> String {
    let Manifest { id, as_of, .. } = &point.manifest;
    let as_of = as_of.to_rfc3339_opts(SecondsFormat::Secs, true);
    if is_to_come(point.manifest.as_of, now) {
        format!(
            "recovery point {id} is dated {as_of}, in the future: the clock was wrong when it was made, or is wrong now"
        )
    } else {
        format!("recovery point {id} is dated {as_of}, older than a backup published before it: a clock was wrong")
    }
}
