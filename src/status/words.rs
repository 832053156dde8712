//! Sentences about a source, the same for the terminal and for pages.

use chrono::{DateTime, Utc};

use super::SourceStatus;
use crate::domain::chain::Gap;
use crate::domain::forecast;

impl SourceStatus {
    /// What is to be known of recovery points that are gone before their time; none where none is.
    pub fn vanished_in_words(&self) -> Option<String> {
        let points = match self.measured.vanished {
            0 => return None,
            1 => "1 recovery point is".to_owned(),
            count => format!("{count} recovery points are"),
        };
        Some(format!("{points} gone from the repository before the promised retention is over"))
    }

    /// What of the promised time cannot be restored, one sentence per gap.
    pub fn gaps_in_words(
        &self,
        time: impl Fn(DateTime<Utc>) -> String,
        duration: impl Fn(f64) -> String,
    ) -> Vec<String> {
        let one = |gap: &Gap| {
            let lost = duration((gap.to - gap.from).as_seconds_f64());
            format!("no moment between {} and {} can be restored ({lost})", time(gap.from), time(gap.to))
        };
        self.gaps.iter().map(one).collect()
    }

    /// What a restore would take now and how sure that is: `a restore would take about 2m 10s now (1m 50s – 3m 5s, from 27
    /// drills)`. Where that cannot be said, what the last drill that measured it took; none before the first.
    pub fn forecast_in_words(&self, duration: impl Fn(f64) -> String) -> Option<String> {
        let Some(forecast) = &self.forecast else {
            let measured = duration(self.measured.rto_seconds?);
            let (fewest, days) = (forecast::FEWEST, forecast::MAX_AGE.num_days());
            return Some(format!(
                "the last measured restore took {measured}; a forecast needs {fewest} drills passed within {days} days"
            ));
        };
        let (low, high) = (duration(forecast.rto_low_seconds), duration(forecast.rto_high_seconds));
        let (expected, drills) = (duration(forecast.rto_seconds), forecast.drills);
        let promised = self.objectives.rto_seconds;
        let over = if forecast.rto_seconds > promised {
            format!(": over the promised {}", duration(promised))
        } else {
            String::new()
        };
        Some(format!("a restore would take about {expected} now ({low} – {high}, from {drills} drills){over}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::domain::forecast::{Forecast, Size};
    use crate::exporter::tests::{SetClock, config, service};
    use crate::ledger::LedgerSnapshot;
    use crate::state::View;
    use crate::status::of;

    #[test]
    fn a_forecast_says_how_sure_it_is_and_before_it_the_last_drill_is_quoted() {
        let (config, clock) = (config(Path::new("/nowhere"), &["agama"]), SetClock::new());
        let snapshot = LedgerSnapshot {
            taken: clock.wall(),
            created: clock.wall(),
            revision: 0,
            test_pages: crate::ledger::TestPages::default(),
            upkeep: BTreeMap::new(),
            breaks: BTreeMap::new(),
            sources: BTreeMap::new(),
        };
        let mut status = of(&View::new(config.clone(), snapshot, service(), clock.wall()), &config.sources["agama"]);
        let words = |status: &SourceStatus| status.forecast_in_words(|seconds| format!("{seconds} s"));
        assert_eq!(words(&status), None);
        status.measured.rto_seconds = Some(1.5);
        let quoted = "the last measured restore took 1.5 s; a forecast needs 3 drills passed within 90 days";
        assert_eq!(words(&status).unwrap(), quoted);
        let mut forecast = Forecast {
            rto_seconds: 130.0,
            rto_low_seconds: 110.0,
            rto_high_seconds: 185.0,
            error_ratio: None,
            drills: 27,
            replay_seconds: 0.0,
            size: Size { logical_bytes: 7, chain_length: 0, replay_bytes: 0 },
        };
        status.forecast = Some(forecast);
        assert_eq!(words(&status).unwrap(), "a restore would take about 130 s now (110 s – 185 s, from 27 drills)");
        forecast = Forecast { rto_seconds: 18_001.0, drills: 3, ..forecast };
        status.forecast = Some(forecast);
        let words = words(&status).unwrap();
        assert_eq!(
            words,
            "a restore would take about 18001 s now (110 s – 185 s, from 3 drills): over the promised 18000 s"
        );
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!((&json["forecast"]["drills"], &json["forecast"]["logical_bytes"]), (&3.into(), &7.into()));
    }
}
