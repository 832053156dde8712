//! The forecast of every source, kept young.
//!
//! A forecast is made anew only when the drills or recovery points of its source have changed, or a drill has become too
//! old to count; never by a scrape.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::forecast::{self, Forecast};
use crate::error::{OrFailed, Result};
use crate::ledger::{Ledger, LedgerSnapshot};

/// The forecasts of all sources.
#[derive(Debug, Default)]
pub(super) struct Forecasts {
    sources: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    facts_revision: i64,
    made: DateTime<Utc>,
    /// From when on it is another one although nothing happens.
    until: Option<DateTime<Utc>>,
    forecast: Option<Forecast>,
}

impl Known {
    async fn read(ledger: &Ledger, source: &str, facts_revision: i64, now: DateTime<Utc>) -> Result<Self> {
        let basis = ledger.forecast_basis(source).await?;
        let until = forecast::next_change(&basis.drills, now);
        let made = move || basis.newest.and_then(|newest| forecast::forecast(&basis.drills, newest, now));
        let forecast = tokio::task::spawn_blocking(made).await.or_failed("cannot forecast recovery time")?;
        Ok(Self { facts_revision, made: now, until, forecast })
    }

    fn is_current(&self, facts_revision: i64, now: DateTime<Utc>) -> bool {
        // To a clock that was set back other drills are too old.
        self.facts_revision == facts_revision && now >= self.made && self.until.is_none_or(|until| now < until)
    }
}

impl Forecasts {
    /// The forecasts at the time of `snapshot`; a source of which nothing can be said is missing.
    pub(super) async fn at(
        &mut self,
        ledger: &Ledger,
        snapshot: &LedgerSnapshot,
    ) -> Result<BTreeMap<String, Forecast>> {
        let now = snapshot.taken;
        self.sources.retain(|name, _| snapshot.sources.contains_key(name));
        for (name, figures) in &snapshot.sources {
            let revision = figures.facts_revision;
            if self.sources.get(name).is_none_or(|known| !known.is_current(revision, now)) {
                self.sources.insert(name.clone(), Known::read(ledger, name, revision, now).await?);
            }
        }
        Ok(self.sources.iter().filter_map(|(name, known)| Some((name.clone(), known.forecast?))).collect())
    }
}
