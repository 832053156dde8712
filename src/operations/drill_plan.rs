//! What a scheduled drill tries beside the newest recovery point: chains that were closed, a random moment, the oldest recovery point.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use super::drill::{DrillRequest, drill_locked};
use super::listing::refresh_points;
use super::select::{Selection, Suspects};
use crate::app::{App, Source};
use crate::domain::chain::{Chains, Closing, Until};
use crate::domain::drill::DrillReport;
use crate::domain::drill_choice::{Choice, DrillKind, choose};
use crate::error::Result;
use crate::run_context::RunContext;

/// What is due of `source` now, in this order. What its engine cannot restore is not.
pub fn further(app: &App, source: &Source) -> Result<VecDeque<DrillRequest>> {
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let suspects = Suspects::of(app, source)?;
    let points = listed.own.points.iter().map(|point| &point.manifest);
    let chains = Chains::of(points, |manifest| suspects.contains(manifest));
    let past = app.block_on(app.ledger.past_drills(&source.name))?;
    // Another one at each drill.
    let random = RandomState::new().hash_one(());
    let choices = choose(&chains, &past, &source.drills, (app.clock.wall(), random));
    let can = |choice: &Choice<'_>| choice.plan.increments.is_empty() || source.engine.has_increments();
    Ok(choices.iter().filter(|choice| choice.kind != DrillKind::Newest && can(choice)).map(request).collect())
}

fn request(choice: &Choice<'_>) -> DrillRequest {
    let selection = match (choice.kind, &choice.plan.until) {
        (DrillKind::ClosedChain, _) => Selection::ClosedChain(Some(choice.plan.full.id.clone())),
        // Which one that is may be another one by then.
        (DrillKind::Oldest, _) => Selection::Oldest,
        (_, Until::Time(time)) => Selection::At(*time),
        _ => Selection::Id(choice.plan.newest().id.clone()),
    };
    DrillRequest { selection, kind: choice.kind, keep_on_failure: false }
}

/// Drill what was planned some time ago; none where it is gone since, and nothing is recorded then.
pub fn drill_planned(
    app: &App,
    source: &Source,
    request: &DrillRequest,
    context: &RunContext,
) -> Result<Option<DrillReport>> {
    let _lock = app.lock(&source.name, "drill")?;
    let _reading = app.reading_from(&source.name, &context.cancel)?;
    // Where that cannot be told, the drill tells why.
    if is_there(app, &source.afresh(), request).is_ok_and(|is_there| !is_there) {
        return Ok(None);
    }
    drill_locked(app, source, request, context).map(Some)
}

/// Whether what was planned is still there: retention may have forgotten it meanwhile, which is nobody's fault. What cannot be read
/// may be it; then the drill says so.
fn is_there(app: &App, source: &Source, request: &DrillRequest) -> Result<bool> {
    source.repository.open_existing()?;
    let listed = refresh_points(app, source)?;
    let suspects = Suspects::of(app, source)?;
    let points = listed.own.points.iter().map(|point| &point.manifest);
    let chains = Chains::of(points, |manifest| suspects.contains(manifest));
    Ok(!listed.own.damaged.is_empty() || can_still(&chains, &request.selection))
}

fn can_still(chains: &Chains<'_>, selection: &Selection) -> bool {
    match selection {
        Selection::ClosedChain(Some(id)) => {
            chains.closings().iter().any(|(full, closing)| full.id == *id && matches!(closing, Closing::Proof { .. }))
        }
        selection => chains.plan(&selection.target()).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chain::model::{manifest, moment};
    use crate::domain::manifest::{LogIdentity, Manifest, Position, RecoveryPointId};

    fn position(offset: u64) -> Position {
        let log = LogIdentity { server: "1".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
        Position { binlog_file: Some("bin.000001".to_owned()), binlog_offset: Some(offset), gtid: None, log: Some(log) }
    }

    #[test]
    fn what_retention_has_forgotten_since_it_was_planned_is_not_drilled() {
        let full = manifest("f1", moment(0), position(100), None);
        let increment = manifest("i1", moment(20), position(300), Some(&full));
        let next = manifest("f2", moment(40), position(300), None);
        let can = |points: &[&Manifest], selection: &Selection| {
            can_still(&Chains::of(points.iter().copied(), |_| false), selection)
        };
        let chain = Selection::ClosedChain(Some(RecoveryPointId("f1".to_owned())));
        for selection in [&chain, &Selection::At(moment(10)), &Selection::Id(increment.id.clone())] {
            assert!(can(&[&full, &increment, &next], selection), "{selection:?}");
            assert!(!can(&[&next], selection), "{selection:?}");
        }
        assert!(can(&[&next], &Selection::Oldest) && !can(&[], &Selection::Oldest));
    }
}
