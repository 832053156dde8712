//! A naive forecast, for checking that the real one is fed and renewed as docs/forecast.md says. It knows one stage, whose
//! time grows with the size, and sizes that vary too little to tell more; the tests of the forecast know the rest.

use chrono::{DateTime, TimeDelta, Utc};

/// A drill that passed.
pub(super) struct Drill {
    pub ended: DateTime<Utc>,
    pub bytes: f64,
    pub seconds: f64,
}

/// What is exported, with the names of the metrics.
pub(super) fn figures(passed: &[Drill], newest: Option<f64>, now: DateTime<Utc>) -> [(&'static str, f64); 5] {
    let is_enough = recent(passed, now).len() >= 3;
    let known = newest.filter(|_| is_enough).and_then(|bytes| expected(passed, bytes, now));
    let forecast = known.unwrap_or(0.0);
    let mut ratios = Vec::new();
    for (at, drill) in passed.iter().enumerate().skip(passed.len().saturating_sub(40)) {
        let before = expected(&passed[..at], drill.bytes, drill.ended);
        ratios.extend(before.map(|before| drill.seconds / before));
    }
    let error = ratios.last().map_or(0.0, |ratio| (1.0 - 1.0 / ratio).abs());
    let (low, high) = ends(ratios);
    [
        ("forecast_rto_seconds", forecast),
        ("forecast_rto_low_seconds", forecast * low),
        ("forecast_rto_high_seconds", forecast * high),
        ("forecast_error_ratio", known.map_or(0.0, |_| error)),
        ("forecast_drills", known.map_or(0.0, |_| recent(passed, now).len() as f64)),
    ]
}

fn recent(passed: &[Drill], now: DateTime<Utc>) -> Vec<&Drill> {
    passed.iter().rev().filter(|drill| now - drill.ended < TimeDelta::days(90)).take(30).collect()
}

/// Every pace is tried: the slowest of the faster half, by weight, is the one. All take longer than the two seconds that are
/// not part of the pace. Three drills are enough, and for sizes among theirs no more or less than what they took.
fn expected(passed: &[Drill], bytes: f64, now: DateTime<Utc>) -> Option<f64> {
    let recent = recent(passed, now);
    let pace = |at: usize| (recent[at].seconds - 2.0) / recent[at].bytes;
    let weight = |at: usize| 2_f64.powf(at as f64 / -5.0);
    let all: f64 = (0..recent.len()).map(weight).sum();
    let up_to = |it: usize| (0..recent.len()).filter(|at| pace(*at) <= pace(it)).map(weight).sum::<f64>();
    let median = (0..recent.len()).filter(|at| up_to(*at) * 2.0 >= all).map(pace).min_by(f64::total_cmp)?;
    let mut seconds = 2.0 + median * bytes;
    if recent.iter().any(|drill| drill.bytes <= bytes) {
        seconds = recent.iter().map(|drill| drill.seconds).fold(f64::INFINITY, f64::min).max(seconds);
    }
    if recent.iter().any(|drill| drill.bytes >= bytes) {
        seconds = recent.iter().map(|drill| drill.seconds).fold(0.0, f64::max).min(seconds);
    }
    Some(seconds)
}

fn ends(mut ratios: Vec<f64>) -> (f64, f64) {
    ratios.sort_by(f64::total_cmp);
    let (n, log) = (ratios.len(), |at: usize| ratios[at].ln());
    if n < 19 {
        let guess = 2_f64.ln() * (19 - n) as f64 / 19.0;
        let (least, most) = if n == 0 { (0.0, 0.0) } else { (log(0).min(0.0), log(n - 1).max(0.0)) };
        return ((least - guess).exp(), (most + guess).exp());
    }
    let at_rank = |twentieths: usize| {
        let (below, part) = (twentieths / 20, (twentieths % 20) as f64 / 20.0);
        let above = if part > 0.0 { below + 1 } else { below };
        log(below - 1) + (log(above - 1) - log(below - 1)) * part
    };
    (at_rank(n + 1).min(0.0).exp(), at_rank(19 * (n + 1)).max(0.0).exp())
}
