//! What drills found wrong with recovery points, and stands: said where somebody looks for one to restore.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use super::listing::refresh_points;
use super::select::Suspects;
use crate::app::{App, Source};
use crate::domain::chain::Chains;
use crate::domain::drill_choice::FailedDrill;
use crate::domain::manifest::{Manifest, RecoveryPointId};
use crate::engine::StoredPoint;
use crate::error::Result;

/// Drills of a source that failed, where none of the same has passed since.
pub struct Doubts(Vec<FailedDrill>);

impl Doubts {
    /// Of the source of this name, which may be configured no more.
    pub fn of(app: &App, source: &str) -> Result<Self> {
        app.block_on(app.ledger.failed_drills(source)).map(Self)
    }

    /// Those that say something of `point`, whose chain begins with `full`; the newest first.
    pub fn about<'d>(
        &'d self,
        point: &'d RecoveryPointId,
        full: &'d RecoveryPointId,
    ) -> impl Iterator<Item = &'d FailedDrill> {
        self.0.iter().filter(move |failed| failed.concerns(point, full))
    }

    /// Those that say something of a restore that works through these.
    fn about_line<'d>(
        &'d self,
        line: &'d [&RecoveryPointId],
        passed: &'d BTreeMap<RecoveryPointId, DateTime<Utc>>,
    ) -> impl Iterator<Item = &'d FailedDrill> {
        self.0.iter().filter(move |failed| failed.concerns_line(line, |id| passed.get(id).copied()))
    }
}

/// What is said before `point` is restored, if a drill found something wrong with it: that, and which one is known to be good.
pub(super) fn doubted(app: &App, source: &Source, point: &StoredPoint) -> Result<Option<String>> {
    let doubts = Doubts::of(app, &source.name)?;
    let passed = app.block_on(app.ledger.verified_at(&source.name))?;
    let increments = point.increments.iter().map(|increment| &increment.manifest.id);
    let line: Vec<&RecoveryPointId> = std::iter::once(&point.manifest.id).chain(increments).collect();
    let Some(failed) = doubts.about_line(&line, &passed).next() else { return Ok(None) };
    let instead = match good(app, source, &doubts, &passed)? {
        Some((id, at)) => format!("the newest one that a drill passed on is --recovery-point {id} of {at}"),
        None => "no other has passed a drill".to_owned(),
    };
    Ok(Some(format!("this restore may bring back something wrong: {}; {instead}", failed.sentence())))
}

/// The newest recovery point that a drill passed on, and of which no drill found anything wrong.
fn good(
    app: &App,
    source: &Source,
    doubts: &Doubts,
    passed: &BTreeMap<RecoveryPointId, DateTime<Utc>>,
) -> Result<Option<(RecoveryPointId, String)>> {
    let listed = refresh_points(app, source)?;
    let suspects = Suspects::of(app, source)?;
    let points = listed.own.points.iter().map(|point| &point.manifest);
    let chains = Chains::of(points, |manifest| suspects.contains(manifest));
    let is_good = |point: &&Manifest| {
        let Some(Ok(line)) = chains.line(&point.id) else { return false };
        let line: Vec<&RecoveryPointId> = std::iter::once(line.full).chain(line.increments).map(|it| &it.id).collect();
        passed.contains_key(&point.id) && doubts.about_line(&line, passed).next().is_none()
    };
    let newest = chains.restorable().rev().find(is_good);
    Ok(newest.map(|point| (point.id.clone(), point.as_of.to_rfc3339_opts(SecondsFormat::Secs, true))))
}
