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
/// Measurements that one question is about.
const BATCH: usize = 50;
const SECOND: i64 = 1_000_000_000;
/// First nanosecond that a point can have, and the one after the last.
pub const FIRST_TIME: i64 = i64::MIN + 2;
pub const END_OF_TIME: i64 = i64::MAX;
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

/// What was counted: values per field, by start of each step that has points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<i64, BTreeMap<String, u64>>);

/// Start of each step with a short digest of it: enough to see what moved.
pub type Steps = Vec<(i64, u64)>;

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same without the steps that begin at `moving`.
    #[must_use]
    pub fn without(mut self, moving: &[i64]) -> Self {
        self.0.retain(|start, _| !moving.contains(start));
        self
    }

    /// Values per field, and a digest of all steps.
    pub fn totals(&self) -> (BTreeMap<String, u64>, Digest) {
        let mut fields: BTreeMap<String, u64> = BTreeMap::new();
        let mut whole = blake3::Hasher::new();
        for (start, counts) in &self.0 {
            for (field, count) in counts {
                *fields.entry(field.clone()).or_default() += count;
            }
            whole.update(&start.to_le_bytes());
            whole.update(digest(counts).as_bytes());
        }
        let digest = if self.is_empty() { Digest::default() } else { Digest(*whole.finalize().as_bytes()) };
        (fields, digest)
    }

    /// To be held against a later count.
    pub fn steps(&self) -> Steps {
        self.0
            .iter()
            .map(|(start, counts)| {
                let mut short = [0; 8];
                short.copy_from_slice(&digest(counts).as_bytes()[..8]);
                (*start, u64::from_le_bytes(short))
            })
            .collect()
    }
}

fn digest(counts: &BTreeMap<String, u64>) -> blake3::Hash {
    let mut step = blake3::Hasher::new();
    for (field, count) in counts {
        step.update(&(field.len() as u64).to_le_bytes());
        step.update(field.as_bytes());
        step.update(&count.to_le_bytes());
    }
    step.finalize()
}

/// Length of the steps of a span: the same for every server, as it depends on the span alone.
pub fn step(start: i64, end: i64) -> i64 {
    let seconds = end.saturating_sub(start) / SECOND;
    STEPS.into_iter().find(|step| seconds / step <= MOST_STEPS).unwrap_or(STEPS[STEPS.len() - 1])
}

/// Count the points of `measurement` by steps.
pub fn count(client: &mut Client, span: &Span<'_>, measurement: &str) -> Result<Tally> {
    let from = format!("SELECT COUNT(*) FROM {}.{}", quoted(span.policy), quoted(measurement));
    let mut whole = Tally::default();
    let most = client.limits().buckets;
    for (start, end) in pieces(span, most) {
        let statement =
            format!("{from} WHERE time >= {start} AND time < {end} GROUP BY time({}s) fill(none)", span.step);
        whole.0.extend(tally(measurement, &client.query(span.database, &statement)?)?.0);
    }
    Ok(whole)
}

/// Parts of `span` that have at most as many steps as the server allows one question, cut where steps begin.
fn pieces(span: &Span<'_>, most: Option<i64>) -> Vec<(i64, i64)> {
    let step = span.step.saturating_mul(SECOND);
    // The server counts one more where a span does not begin with a step.
    let length = most.map(|most| step.saturating_mul(most.saturating_sub(1).max(1)));
    let Some(length) = length.filter(|length| span.end.saturating_sub(span.start) > *length) else {
        return vec![(span.start, span.end)];
    };
    let mut pieces = Vec::new();
    let mut start = span.start;
    while start < span.end {
        let begun = start.saturating_sub(start.rem_euclid(step));
        let end = begun.saturating_add(length).min(span.end);
        pieces.push((start, end));
        start = end;
    }
    pieces
}

fn tally(measurement: &str, answer: &[Series]) -> Result<Tally> {
    let series = match answer {
        [] => return Ok(Tally::default()),
        [one] => one,
        more => {
            let what = format!("cannot count points of {measurement}: {} answers instead of one", more.len());
            return Err(Error::failed(what));
        }
    };
    let mut tally = Tally::default();
    for row in &series.values {
        let Some(time) = row.first().and_then(Value::as_i64) else {
            return Err(Error::failed(format!("cannot count points of {}: a row has no time", series.name)));
        };
        let counts = counts(series, row)?;
        if !counts.is_empty() {
            tally.0.insert(time, counts);
        }
    }
    Ok(tally)
}

/// Values per field of one row; a field without a value may be told as nothing or as zero.
fn counts(series: &Series, row: &[Value]) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for (column, value) in series.columns.iter().zip(row).skip(1) {
        if value.is_null() || value.as_u64() == Some(0) {
            continue;
        }
        let Some((field, count)) = column.strip_prefix("count_").zip(value.as_u64()) else {
            return Err(Error::failed(format!("cannot count points of {}: `{column}` is not understood", series.name)));
        };
        counts.insert(field.to_owned(), count);
    }
    Ok(counts)
}

/// Values per field of those of `measurements` that have (or may have) any in `span`: one question for many of them.
pub fn totals<'m>(
    client: &mut Client,
    span: &Span<'_>,
    measurements: impl IntoIterator<Item = &'m String>,
) -> Result<BTreeMap<String, BTreeMap<String, u64>>> {
    // What cannot stand in a pattern is asked for by itself, later.
    let (odd, names): (Vec<&String>, Vec<&String>) =
        measurements.into_iter().partition(|name| name.contains(|c: char| c.is_control()));
    let mut found: BTreeMap<String, BTreeMap<String, u64>> =
        odd.into_iter().map(|name| (name.clone(), BTreeMap::new())).collect();
    // The server's limit is for all measurements of a question together.
    let batch = if client.limits().series.is_some() { 1 } else { BATCH };
    for batch in names.chunks(batch) {
        let any = batch.iter().map(|name| pattern(name)).collect::<Vec<_>>().join("|");
        let statement = format!(
            "SELECT COUNT(*) FROM {}./^({any})$/ WHERE time >= {} AND time < {}",
            quoted(span.policy),
            span.start,
            span.end
        );
        for series in client.query(span.database, &statement)? {
            for row in &series.values {
                let counts = counts(&series, row)?;
                if !counts.is_empty() {
                    found.insert(series.name.clone(), counts);
                }
            }
        }
    }
    Ok(found)
}

/// Those of `measurements` that may have points in `span`: of a few simply all, for asking them is as cheap as asking for
/// them.
pub fn present(client: &mut Client, span: &Span<'_>, measurements: &[&String]) -> Result<BTreeSet<String>> {
    if measurements.len() <= BATCH {
        return Ok(measurements.iter().map(|name| (*name).clone()).collect());
    }
    Ok(totals(client, span, measurements.iter().copied())?.into_keys().collect())
}

/// `name` as a part of a regular expression between slashes.
fn pattern(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if !c.is_alphanumeric() && c != '_' && c.is_ascii() && !c.is_ascii_control() && c != ' ' {
            out.push('\\');
        }
        out.push(c);
    }
    out
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

    fn read(columns: &[&str], rows: &str) -> Tally {
        tally("m", &[series(columns, rows)]).unwrap()
    }

    #[test]
    fn a_field_without_values_in_a_step_counts_as_if_it_were_not_there() {
        let some = read(&["time", "count_a", "count_b"], "[[1,2,0],[2,1,null],[3,null,0]]");
        assert_eq!(some, read(&["time", "count_a"], "[[1,2],[2,1]]"));
        assert_eq!(some.totals().0, BTreeMap::from([("a".to_owned(), 3)]));
    }

    #[test]
    fn a_point_in_another_step_or_of_another_field_is_another_digest() {
        let columns = ["time", "count_a", "count_b"];
        let base = read(&columns, "[[1,2,1],[2,1,3]]");
        for other in ["[[1,1,1],[2,2,3]]", "[[1,2,1],[3,1,3]]", "[[1,1,2],[2,2,2]]"] {
            let other = read(&columns, other);
            assert_ne!(base.totals().1, other.totals().1);
            assert!(!moved(&base.steps(), &other.steps()).is_empty());
        }
        assert_eq!(moved(&base.steps(), &base.steps()), [0; 0]);
        assert_eq!(base.without(&[2]), read(&columns, "[[1,2,1]]"));
        assert!(tally("m", &[series(&["time", "strange"], "[[1,2]]")]).is_err());
    }

    #[test]
    fn a_span_is_cut_into_a_thousand_steps_or_so() {
        assert_eq!(step(0, 3_600 * SECOND), 10);
        assert_eq!(step(0, 86_400 * SECOND), 60);
        assert_eq!(step(0, 7 * 86_400 * SECOND), 600);
        assert_eq!(step(i64::MIN, i64::MAX), 2_592_000);
    }

    #[test]
    fn a_span_is_cut_where_steps_begin_into_as_few_parts_as_the_server_allows() {
        let span = |start, end| Span { database: "d", policy: "p", start, end, step: 10 };
        let s = |seconds: i64| seconds * SECOND;
        assert_eq!(pieces(&span(s(5), s(1000)), None), [(s(5), s(1000))]);
        assert_eq!(pieces(&span(s(0), s(100)), Some(1000)), [(s(0), s(100))]);
        assert_eq!(pieces(&span(s(5), s(85)), Some(5)), [(s(5), s(40)), (s(40), s(80)), (s(80), s(85))]);
        assert_eq!(
            pieces(&span(s(-15), s(15)), Some(1)),
            [(s(-15), s(-10)), (s(-10), s(0)), (s(0), s(10)), (s(10), s(15))]
        );
    }

    #[test]
    fn a_field_that_is_named_like_a_column_is_kept_apart() {
        let tally = read(&["time", "count_count_x"], "[[1,4]]");
        assert_eq!(tally.totals().0, BTreeMap::from([("count_x".to_owned(), 4)]));
    }

    #[test]
    fn a_name_cannot_leave_its_pattern() {
        assert_eq!(pattern("a/b.c|d$"), r"a\/b\.c\|d\$");
        assert_eq!(pattern("größe 1_x"), "größe 1_x");
    }
}
