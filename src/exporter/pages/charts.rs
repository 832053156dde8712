//! Plots as inline SVG: axes, units, a title and a description for those who do not see them. Nothing here knows what is
//! plotted.

use chrono::{DateTime, TimeZone, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use crate::display::{count, duration, seconds, size};

/// Size of the drawing in its own units; a page scales it.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 176.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 22.0;

/// What a vertical axis measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Bytes,
    Count,
}

/// A plot over time.
pub(super) struct Plot {
    /// Identifies it on its page.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What a reader sees in it, in words.
    pub finding: String,
    /// Horizontal range.
    pub from: DateTime<Utc>,
    /// Horizontal range.
    pub to: DateTime<Utc>,
    /// Whose wall clock the horizontal axis shows.
    pub zone: Tz,
    /// Vertical range is 0 to this.
    pub max: f64,
    /// What the vertical axis measures.
    pub unit: Unit,
    /// A promised limit.
    pub limit: Option<f64>,
}

impl Plot {
    /// Horizontal place of a time; what is outside is at the edge.
    pub(super) fn x(&self, time: DateTime<Utc>) -> f64 {
        let whole = seconds(self.from, self.to).max(1.0);
        LEFT + (seconds(self.from, time) / whole).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Vertical place of a value.
    pub(super) fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value / self.top()).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    /// Whether the limit is near enough to what was measured to be drawn without flattening it.
    fn drawn_limit(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit <= self.max.max(f64::MIN_POSITIVE) * 4.0)
    }

    fn top(&self) -> f64 {
        let highest = self.drawn_limit().map_or(self.max, |limit| self.max.max(limit)).max(f64::MIN_POSITIVE);
        let step = step(highest, self.unit);
        (highest / step).ceil().max(1.0) * step
    }

    /// The plot with what is drawn in it, and the same as a table.
    pub(super) fn figure(&self, marks: &Markup, table: &Markup) -> Markup {
        let (title, finding) = (format!("{}-title", self.id), format!("{}-finding", self.id));
        html! {
            figure {
                figcaption id=(title) { (self.title) }
                p.finding id=(finding) { (self.finding) }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby=(title) aria-describedby=(finding) {
                    title { (self.title) }
                    desc { (self.finding) }
                    (self.axes())
                    (marks)
                    @if let Some(limit) = self.drawn_limit() { (self.limit_line(limit)) }
                }
                details id={ (self.id) "-table" } {
                    summary { "As a table" span.hidden { ": " (self.title) } }
                    div.scroll tabindex="0" role="region" aria-labelledby=(title) { (table) }
                }
            }
        }
    }

    fn limit_line(&self, limit: f64) -> Markup {
        let y = self.y(limit);
        // Below the line where there is no room above it.
        let text = if y > TOP + 12.0 { y - 4.0 } else { y + 11.0 };
        html! {
            line.limit x1=(LEFT) x2=(WIDTH - RIGHT) y1=(one(y)) y2=(one(y)) {}
            text.limit-name x=(LEFT + 4.0) y=(one(text)) { "promised " (label(limit, self.unit)) }
        }
    }

    fn axes(&self) -> Markup {
        let top = self.top();
        let step = step(top, self.unit);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a handful
        let ticks: Vec<f64> = (0..=(top / step).round() as u32).map(|n| f64::from(n) * step).collect();
        html! {
            @for value in ticks {
                @let y = self.y(value);
                line class=(if value == 0.0 { "axis" } else { "grid" }) x1=(LEFT) x2=(WIDTH - RIGHT) y1=(one(y)) y2=(one(y)) {}
                text x=(LEFT - 6.0) y=(one(y + 3.5)) text-anchor="end" { (label(value, self.unit)) }
            }
            @for (time, text) in time_ticks(self.from, self.to, self.zone) {
                @let x = self.x(time);
                line.axis x1=(one(x)) x2=(one(x)) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
                text x=(one(x)) y=(HEIGHT - 6.0) text-anchor="middle" { (text) }
            }
        }
    }
}

/// A coordinate with one decimal: a tenth of a pixel is enough.
pub(super) fn one(value: f64) -> String {
    format!("{value:.1}")
}

/// Most columns of a curve: more corners than pixels would only make the page heavy.
const COLUMNS: usize = 700;

/// A curve through `corners`, and the area below it. Where there are more corners than pixels, the highest and the lowest
/// of each column stay.
pub(super) fn curve(plot: &Plot, corners: &[(DateTime<Utc>, f64)]) -> Markup {
    let points = thinned(corners.iter().map(|(time, value)| (plot.x(*time), plot.y(*value))).collect());
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let line = points.iter().map(|(x, y)| format!("{} {}", one(*x), one(*y))).collect::<Vec<_>>().join(" ");
    let floor = one(plot.y(0.0));
    let area = format!("M{} {floor}L{line}L{} {floor}Z", one(first.0), one(last.0));
    html! {
        path.area d=(area) {}
        path.curve d={ "M" (line) } {}
    }
}

fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= 2 * COLUMNS {
        return points;
    }
    #[allow(clippy::cast_possible_truncation)] // within the drawing
    let column = |x: f64| (x / WIDTH * COLUMNS as f64) as i64;
    let mut thin = Vec::new();
    for of_column in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let kept = of_column.iter().min_by(by_height).into_iter().chain(of_column.iter().max_by(by_height));
        let mut kept: Vec<(f64, f64)> = kept.chain(of_column.last()).copied().collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        thin.extend(kept);
    }
    thin
}

/// A value on a vertical axis.
fn label(value: f64, unit: Unit) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, and the cast saturates
    let whole = value.round() as u64;
    match unit {
        Unit::Seconds if value == 0.0 => "0".to_owned(),
        Unit::Seconds if (1.0..60.0).contains(&value) => format!("{value} s"),
        Unit::Seconds => duration(value),
        Unit::Bytes if whole == 0 => "0".to_owned(),
        Unit::Bytes => size(whole).replace(".0 ", " "),
        Unit::Count => count(whole),
    }
}

/// Distance of the marks on a vertical axis that reaches to `max`: round in its unit, and at most five of them.
fn step(max: f64, unit: Unit) -> f64 {
    const TIMES: [f64; 24] = [
        0.001,
        0.01,
        0.05,
        0.1,
        0.5,
        1.0,
        2.0,
        5.0,
        10.0,
        20.0,
        60.0,
        120.0,
        300.0,
        600.0,
        1200.0,
        3600.0,
        7200.0,
        10_800.0,
        21_600.0,
        43_200.0,
        86_400.0,
        172_800.0,
        604_800.0,
        2_592_000.0,
    ];
    let wanted = max / 5.0;
    let decimal = |wanted: f64, least: f64| {
        let power = 10.0_f64.powf(wanted.max(least).log10().floor());
        let found = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step * 1.000_001 >= wanted);
        found.unwrap_or(10.0 * power).max(least)
    };
    match unit {
        Unit::Seconds => TIMES.into_iter().find(|step| *step >= wanted).unwrap_or_else(|| decimal(wanted, 1.0)),
        Unit::Bytes => wanted.max(1.0).log2().ceil().exp2(),
        Unit::Count => decimal(wanted, 1.0),
    }
}

/// Marks of the horizontal axis, at round times of the wall clock in `zone`, about six.
fn time_ticks(from: DateTime<Utc>, to: DateTime<Utc>, zone: Tz) -> Vec<(DateTime<Utc>, String)> {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    const SECONDS: [i64; 19] = [
        10,
        30,
        60,
        120,
        300,
        600,
        900,
        1800,
        HOUR,
        2 * HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
        2 * DAY,
        5 * DAY,
        10 * DAY,
        30 * DAY,
        60 * DAY,
    ];
    let span = seconds(from, to);
    let Some(period) = SECONDS.into_iter().find(|period| *period as f64 * 7.0 >= span) else {
        let day = |time: DateTime<Utc>| (time, time.with_timezone(&zone).format("%Y-%m-%d").to_string());
        return vec![day(from), day(to)];
    };
    let form = match period {
        ..60 => "%H:%M:%S",
        60..HOUR => "%H:%M",
        HOUR..DAY => "%m-%d %H:%M",
        _ => "%m-%d",
    };
    // Seconds of the wall clock, as if it were never put forward or back.
    let on_wall = from.with_timezone(&zone).naive_local().and_utc().timestamp();
    let end = to.with_timezone(&zone).naive_local();
    let mut at = (on_wall.div_euclid(period) + 1) * period;
    let mut ticks = Vec::new();
    while let Some(wall) = DateTime::from_timestamp(at, 0).filter(|wall| wall.naive_utc() < end) {
        at += period;
        // A time that the clock skips has no mark.
        let Some(time) = zone.from_local_datetime(&wall.naive_utc()).earliest() else { continue };
        let time = time.with_timezone(&Utc);
        // A name at the very edge would be cut off.
        if to - time > (to - from) / 30 && time - from > (to - from) / 30 {
            ticks.push((time, wall.format(form).to_string()));
        }
    }
    if (HOUR..DAY).contains(&period) && ticks.len() > 5 { ticks.into_iter().step_by(2).collect() } else { ticks }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn axes_have_round_marks() {
        let top = |max: f64, unit, limit| {
            let now = DateTime::UNIX_EPOCH;
            let plot = Plot {
                id: "p",
                title: String::new(),
                finding: String::new(),
                from: now,
                to: now,
                zone: Tz::UTC,
                max,
                unit,
                limit,
            };
            label(plot.top(), unit)
        };
        assert_eq!(top(90_000.0, Unit::Seconds, Some(86_400.0)), "30h");
        assert_eq!(top(3.2, Unit::Seconds, Some(18_000.0)), "4 s", "a limit far away does not flatten the curve");
        assert_eq!(top(0.0, Unit::Seconds, None), "1 ms");
        assert_eq!(top(3_000_000.0, Unit::Bytes, None), "3 MiB");
        assert_eq!(top(7.0, Unit::Count, Some(20.0)), "20");
        assert!(!top(f64::MAX / 1e10, Unit::Seconds, None).is_empty(), "what is absurd is drawn, not refused");
    }

    #[test]
    fn a_curve_of_a_million_corners_stays_small_and_keeps_its_peak() {
        let points: Vec<(f64, f64)> =
            (0..1_000_000).map(|n| (f64::from(n) / 1e6 * WIDTH, if n == 123_456 { 1.0 } else { 50.0 })).collect();
        let thin = thinned(points);
        assert!(thin.len() <= 3 * (COLUMNS + 1), "{}", thin.len());
        assert!(thin.iter().any(|(_, y)| *y < 2.0));
    }

    #[test]
    fn days_are_marked_at_midnight() {
        let from = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let time_ticks = |from, to| time_ticks(from, to, Tz::UTC);
        let ticks = time_ticks(from, from + TimeDelta::days(7));
        assert_eq!(ticks.len(), 7, "{ticks:?}");
        assert!(ticks.iter().all(|(time, text)| time.timestamp() % 86_400 == 0 && text.len() == 5), "{ticks:?}");
        assert_eq!(time_ticks(from, from + TimeDelta::days(30)).len(), 6);
        let minute = time_ticks(from, from + TimeDelta::minutes(1));
        assert!(minute.len() >= 4 && minute.iter().all(|(_, text)| text.len() == 8), "{minute:?}");
        let hour = time_ticks(from, from + TimeDelta::hours(1));
        assert!(hour.len() >= 5 && hour.iter().all(|(_, text)| text.len() == 5), "{hour:?}");
        assert!(time_ticks(from, from).is_empty());
        assert_eq!(time_ticks(from, from + TimeDelta::days(10_000)).len(), 2);
    }

    #[test]
    fn marks_are_at_round_times_of_the_configured_zone_also_where_its_clock_is_put_forward_or_back() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let marks = |from: &str, to: &str| time_ticks(at(from), at(to), Tz::Europe__Berlin);
        for (from, to) in [
            ("2026-03-25T11:00:00Z", "2026-04-01T11:00:00Z"),
            ("2026-10-22T11:00:00Z", "2026-10-29T11:00:00Z"),
            ("2026-07-01T11:00:00Z", "2026-07-08T11:00:00Z"),
        ] {
            let days = marks(from, to);
            assert_eq!(days.len(), 7, "{days:?}");
            let is_midnight =
                |time: &DateTime<Utc>| time.with_timezone(&Tz::Europe__Berlin).time() == chrono::NaiveTime::MIN;
            assert!(days.iter().all(|(time, _)| is_midnight(time)), "{days:?}");
        }
        let night = marks("2026-03-29T00:10:00Z", "2026-03-29T04:00:00Z");
        let on_wall = |time: &DateTime<Utc>| time.with_timezone(&Tz::Europe__Berlin).format("%m-%d %H:%M").to_string();
        assert!(night.iter().all(|(time, text)| on_wall(time) == *text), "{night:?}");
        assert!(night.len() >= 3 && !night.iter().any(|(_, text)| text.ends_with("02:00")), "{night:?}");
        let autumn = marks("2026-10-24T22:10:00Z", "2026-10-25T04:00:00Z");
        assert!(autumn.windows(2).all(|pair| pair[0].0 < pair[1].0), "{autumn:?}");
        assert!(
            autumn.iter().all(|(time, _)| *time > at("2026-10-24T22:10:00Z") && *time < at("2026-10-25T04:00:00Z"))
        );
    }
}
