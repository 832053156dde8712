//! Counting points: per span of time, measurement and field, in small steps of time, so that what moved is seen.
//!
//! A [`Tally`] of the same points is the same on any server: counts do not depend on the order in which it reads its files.
//! They are also all that a live server can be asked for at little cost: minima and maxima cost three times as much.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::{Series, quoted};
use super::client::Client;
use crate::domain::digest::Digest;
use crate::error::{Error, Result};

/// Most steps that a span is cut into.
const MOST_STEPS: i64 = 1_500;
const SECOND: i64 = 1_000_000_000;
/// Lengths of a step, in seconds.
const STEPS: [i64; 9] = [1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800, 2_592_000];

/// Points of one measurement of one retention policy in one span of time.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// Database.
    pub database: &'a str,
    /// Retention policy.
    pub policy: &'a str,
    /// First nanosecond.
    pub start: i64,
    /// First nanosecond after it.
    pub end: i64,
    /// Length of a step, in seconds.
    pub step: i64,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values per field.
    pub fields: BTreeMap<String, u64>,
    /// Digest of all steps.
    pub digest: Digest,
    /// Start of each step that has points, with a short digest of it.
    pub steps: Vec<(i64, u64)>,
}

/// Length of the steps of a span: the same for every server, as it depends on the span alone.
pub fn step(start: i64, end: i64) -> i64 {
    let seconds = end.saturating_sub(start) / SECOND;
    STEPS.into_iter().find(|step| seconds / step <= MOST_STEPS).unwrap_or(STEPS[STEPS.len() - 1])
}

/// Count the points of `measurement` without the steps that begin at `moving`.
pub fn count(client: &mut Client, span: &Span<'_>, measurement: &str, moving: &[i64]) -> Result<Tally> {
    let statement = format!(
        "SELECT COUNT(*) FROM {}.{} WHERE time >= {} AND time < {} GROUP BY time({}s) fill(none)",
        quoted(span.policy),
        quoted(measurement),
        span.start,
        span.end,
        span.step
    );
    let series = client.query(span.database, &statement)?;
    match series.as_slice() {
        [] => Ok(Tally::default()),
        [one] => tally(one, moving),
        more => Err(Error::failed(format!("count points of {measurement}: {} answers instead of one", more.len()))),
    }
}

fn tally(series: &Series, moving: &[i64]) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut whole = blake3::Hasher::new();
    for row in &series.values {
        let Some(time) = row.first().and_then(Value::as_i64) else {
            return Err(Error::failed(format!("count points of {}: a row has no time", series.name)));
        };
        if moving.contains(&time) {
            continue;
        }
        let mut step = blake3::Hasher::new();
        let mut any = false;
        for (column, value) in series.columns.iter().zip(row).skip(1) {
            // A field without a value in this step may be told as nothing or as zero.
            if value.is_null() || value.as_u64() == Some(0) {
                continue;
            }
            let Some((field, count)) = column.strip_prefix("count_").zip(value.as_u64()) else {
                return Err(Error::failed(format!("count points of {}: `{column}` is not understood", series.name)));
            };
            *tally.fields.entry(field.to_owned()).or_default() += count;
            any = true;
            step.update(&(field.len() as u64).to_le_bytes());
            step.update(field.as_bytes());
            step.update(&count.to_le_bytes());
        }
        if any {
            let digest = step.finalize();
            whole.update(&time.to_le_bytes());
            whole.update(digest.as_bytes());
            let mut short = [0; 8];
            short.copy_from_slice(&digest.as_bytes()[..8]);
            tally.steps.push((time, u64::from_le_bytes(short)));
        }
    }
    if !tally.steps.is_empty() {
        tally.digest = Digest(*whole.finalize().as_bytes());
    }
    Ok(tally)
}

/// Start of every step that is not the same in both.
pub fn moved(before: &[(i64, u64)], after: &[(i64, u64)]) -> Vec<i64> {
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (before.iter().copied().collect(), after.iter().copied().collect());
    let times: BTreeSet<i64> = before.keys().chain(after.keys()).copied().collect();
    times.into_iter().filter(|time| before.get(time) != after.get(time)).collect()
}

/// Time of the newest point of `measurement` in `span`, in nanoseconds.
pub fn newest(client: &mut Client, span: &Span<'_>, measurement: &str) -> Result<Option<i64>> {
    let (policy, measurement) = (quoted(span.policy), quoted(measurement));
    let statement = format!(
        "SELECT * FROM {policy}.{measurement} WHERE time >= {} AND time < {} ORDER BY time DESC LIMIT 1",
        span.start, span.end
    );
    let series = client.query(span.database, &statement)?;
    Ok(series.first().and_then(|series| series.values.first()?.first()?.as_i64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(columns: &[&str], rows: &str) -> Series {
        let columns = serde_json::to_string(columns).unwrap();
        serde_json::from_str(&format!(r#"{{"name":"m","columns":{columns},"values":{rows}}}"#)).unwrap()
    }

    #[test]
    fn a_field_without_values_in_a_step_counts_as_if_it_were_not_there() {
        let some = tally(&series(&["time", "count_a", "count_b"], "[[1,2,0],[2,1,null]]"), &[]).unwrap();
        let alone = tally(&series(&["time", "count_a"], "[[1,2],[2,1]]"), &[]).unwrap();
        assert_eq!(some, alone);
        assert_eq!(alone.fields, BTreeMap::from([("a".to_owned(), 3)]));
    }

    #[test]
    fn a_point_in_another_step_or_of_another_field_is_another_digest() {
        let columns = ["time", "count_a", "count_b"];
        let base = tally(&series(&columns, "[[1,2,1],[2,1,3]]"), &[]).unwrap();
        for other in ["[[1,1,1],[2,2,3]]", "[[1,2,1],[3,1,3]]", "[[1,1,2],[2,2,2]]"] {
            let other = tally(&series(&columns, other), &[]).unwrap();
            assert_ne!(base.digest, other.digest);
            assert!(!moved(&base.steps, &other.steps).is_empty());
        }
        let without = tally(&series(&columns, "[[1,2,1],[2,1,3]]"), &[2]).unwrap();
        assert_eq!(without, tally(&series(&columns, "[[1,2,1]]"), &[]).unwrap());
        assert!(tally(&series(&["time", "strange"], "[[1,2]]"), &[]).is_err());
    }

    #[test]
    fn a_span_is_cut_into_a_thousand_steps_or_so() {
        assert_eq!(step(0, 3_600 * SECOND), 10);
        assert_eq!(step(0, 86_400 * SECOND), 60);
        assert_eq!(step(0, 7 * 86_400 * SECOND), 600);
        assert_eq!(step(i64::MIN, i64::MAX), 2_592_000);
    }

    #[test]
    fn a_field_that_is_named_like_a_column_is_kept_apart() {
        let tally = tally(&series(&["time", "count_count_x"], "[[1,4]]"), &[]).unwrap();
        assert_eq!(tally.fields, BTreeMap::from([("count_x".to_owned(), 4)]));
    }
}
