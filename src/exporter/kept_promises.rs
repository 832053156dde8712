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
                let timeline = tokio::task::spawn_blocking(timeline).await.or_failed("look back at promises")?;
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
