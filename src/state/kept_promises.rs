//! The share of time in which each promise was kept, kept young.
//!
//! A source's facts are read only when they have changed; what stays in memory is the timeline that follows from them, a
//! few spans, which also says what will be true later if nothing else happens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::history::{MetRatios, Timeline, window_start};
use crate::error::{OrFailed, Result};
use crate::ledger::{Ledger, LedgerSnapshot};

/// The timelines of all sources.
#[derive(Debug, Default)]
pub(super) struct KeptPromises {
    sources: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    facts_revision: i64,
    made: DateTime<Utc>,
    timeline: Timeline,
}

impl Known {
    fn is_current(&self, facts_revision: i64, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes another past of the same facts.
        self.facts_revision == facts_revision && now >= self.made
    }
}

impl KeptPromises {
    /// The ratios at the time of `snapshot`.
    pub(super) async fn ratios(
        &mut self,
        ledger: &Ledger,
        snapshot: &LedgerSnapshot,
    ) -> Result<BTreeMap<String, MetRatios>> {
        let now = snapshot.taken;
        self.sources.retain(|name, _| snapshot.sources.contains_key(name));
        let mut ratios = BTreeMap::new();
        for (name, figures) in &snapshot.sources {
            let Some(created) = figures.created else { continue };
            if self.sources.get(name).is_none_or(|known| !known.is_current(figures.facts_revision, now)) {
                let Some(facts) = ledger.facts(name, window_start(now)).await? else { continue };
                let timeline = move || Timeline::of(&facts, window_start(now), now);
                let timeline = tokio::task::spawn_blocking(timeline)
                    .await
                    .or_failed("cannot compute how long promises were kept")?;
                let known = Known { facts_revision: figures.facts_revision, made: now, timeline };
                self.sources.insert(name.clone(), known);
            }
            if let Some(known) = self.sources.get(name) {
                ratios.insert(name.clone(), known.timeline.recent_ratios(created, now));
            }
        }
        Ok(ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::tests::SetClock;
    use crate::exporter::tests::kept_promises::hourly;
    use crate::ledger::{Operation, Outcome, RunResult, RunStart};

    #[tokio::test]
    async fn only_sources_whose_history_changed_are_read_again() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let (ledger, _) = hourly(dir.path(), &clock, 3).await;
        let mut kept = KeptPromises::default();
        let begin = ledger.snapshot().await.unwrap();
        let first = kept.ratios(&ledger, &begin).await.unwrap();
        assert_eq!(first.len(), 3);
        clock.advance(61);
        let start = RunStart { source: "source1".into(), operation: Operation::Drill, kind: None, drill: None };
        let run = ledger.begin(&start).await.unwrap();
        ledger.finish(&run, &RunResult::new(Outcome::Passed, 1.0)).await.unwrap();
        let later = ledger.snapshot().await.unwrap();
        let second = kept.ratios(&ledger, &later).await.unwrap();
        let read: Vec<bool> = kept.sources.values().map(|known| known.made == later.taken).collect();
        assert_eq!(read, [false, true, false]);
        assert_ne!(first["source0"], second["source0"], "time goes on for those that were not read, too");
        // A clock that was put back makes another past of what was read after that time.
        clock.advance(-30);
        let back = ledger.snapshot().await.unwrap();
        kept.ratios(&ledger, &back).await.unwrap();
        let made: Vec<DateTime<Utc>> = kept.sources.values().map(|known| known.made).collect();
        assert_eq!(made, [begin.taken, back.taken, begin.taken]);
    }
}
