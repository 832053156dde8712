//! The plots of one source: age of the newest recovery point, recovery time per drill, sizes, chain length, stages.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::charts::{Plot, Unit, curve, one};
use super::sawtooth::{Published, Sawtooth};
use crate::display::{count, counted, duration, rfc3339, size};
use crate::domain::drill::Stage;
use crate::domain::manifest::BackupKind;
use crate::domain::sla::Objectives;
use crate::ledger::Outcome;
use crate::ledger::history::{BackupSample, DrillSample, SourceHistory};

/// What all plots of a page have in common.
pub(super) struct Scene<'a> {
    pub history: &'a SourceHistory,
    pub objectives: &'a Objectives,
    pub from: DateTime<Utc>,
    pub now: DateTime<Utc>,
    /// The configured one.
    pub zone: Tz,
    /// As-of time of the newest point that is listed.
    pub newest: Option<DateTime<Utc>>,
}

/// What a plot shows at least: of less nothing could be read.
const SHORTEST: TimeDelta = TimeDelta::minutes(1);

/// When the axis of time begins: where the data does, if that is later than what was asked for. A minute of data must not
/// be a line at the edge of seven days.
pub(super) fn begin(history: &SourceHistory, asked: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let made = history.backups.iter().map(|backup| backup.ended);
    let listed = history.points.iter().map(|it| it.point.finished);
    let first = made.chain(listed).min().unwrap_or(asked);
    asked.max(first.min(now - SHORTEST))
}

impl Scene<'_> {
    fn plot(&self, id: &'static str, title: &str, unit: Unit, max: f64, limit: Option<f64>) -> Plot {
        let (from, to) = (self.from, self.now);
        let zone = self.zone;
        Plot { id, title: title.to_owned(), finding: String::new(), from, to, zone, max, unit, limit }
    }
}

/// Age of the newest recovery point over time.
pub(super) fn rpo(scene: &Scene<'_>) -> Markup {
    let history = scene.history;
    let made = history.backups.iter().map(|backup| Published { at: backup.ended, as_of: backup.as_of });
    let listed = history.points.iter().map(|it| Published { at: it.point.finished, as_of: it.point.as_of });
    let tooth = Sawtooth::new(made.chain(listed).collect(), scene.from, scene.now, scene.newest);
    let limit = scene.objectives.rpo.as_secs_f64();
    let mut plot = scene.plot("rpo", "Age of the newest recovery point", Unit::Seconds, tooth.largest(), Some(limit));
    let Some((_, now)) = tooth.corners.last() else {
        return nothing("Age of the newest recovery point", "No recovery point is known.");
    };
    plot.finding =
        format!("Largest {}, now {}; promised at most {}.", duration(tooth.largest()), duration(*now), duration(limit));
    let table = html! {
        table aria-labelledby="rpo-title" {
            thead { tr { th scope="col" { "Day" } th.number scope="col" { "Largest age" } th.number scope="col" { "New points" } } }
            tbody { @for day in tooth.days(scene.zone) {
                tr {
                    th scope="row" { (day.from.with_timezone(&scene.zone).format("%Y-%m-%d")) }
                    td.number { (duration(day.largest)) }
                    td.number { (day.published) }
                }
            } }
        }
    };
    plot.figure(&curve(&plot, &tooth.corners), &table)
}

/// Recovery time of each drill.
pub(super) fn rto(scene: &Scene<'_>) -> Markup {
    let drills = &scene.history.drills;
    let title = "Recovery time measured by each drill";
    let measured: Vec<f64> = drills.iter().filter_map(|drill| drill.run.rto_seconds).collect();
    let Some(oldest) = drills.last() else { return nothing(title, "No drill is known to have ended.") };
    let limit = scene.objectives.rto.as_secs_f64();
    let largest = measured.iter().copied().fold(0.0, f64::max);
    let mut plot = scene.plot("rto", title, Unit::Seconds, largest, Some(limit));
    plot.from = oldest.run.started.min(scene.now - SHORTEST);
    let without = drills.len() - measured.len();
    plot.finding = match measured.len() {
        0 => format!("{}, none measured one.", counted(drills.len(), "drill")),
        _ => format!(
            "Longest {} of {}; promised at most {}. {without} measured none.",
            duration(largest),
            counted(measured.len(), "drill"),
            duration(limit)
        ),
    };
    let marks = html! {
        @for drill in drills.iter().rev() {
            @let x = plot.x(drill.run.ended.unwrap_or(drill.run.started));
            @let y = plot.y(drill.run.rto_seconds.unwrap_or(0.0));
            (mark(drill.run.outcome, x, y))
        }
    };
    let table = html! {
        table aria-labelledby="rto-title" {
            thead { tr { th scope="col" { "Ended" } th scope="col" { "Verdict" } th.number scope="col" { "RTO" } } }
            tbody { @for drill in drills {
                tr {
                    th scope="row" { (rfc3339(drill.run.ended.unwrap_or(drill.run.started))) }
                    td { (drill.run.outcome.map_or("running", Outcome::name)) }
                    td.number { (drill.run.rto_seconds.map_or("none".to_owned(), duration)) }
                }
            } }
        }
    };
    html! {
        div {
            (plot.figure(&marks, &table))
            ul.legend aria-hidden="true" {
                li { svg viewBox="0 0 10 10" { (mark(Some(Outcome::Passed), 5.0, 5.0)) } "passed" }
                li { svg viewBox="0 0 10 10" { (mark(Some(Outcome::Failed), 5.0, 5.0)) } "failed" }
                li { svg viewBox="0 0 10 10" { (mark(Some(Outcome::Inconclusive), 5.0, 5.0)) } "inconclusive or interrupted" }
            }
        }
    }
}

/// Told apart by shape, not only by colour.
fn mark(outcome: Option<Outcome>, x: f64, y: f64) -> Markup {
    html! {
        @match outcome {
            Some(outcome) if outcome.is_good() => { circle.dot cx=(one(x)) cy=(one(y)) r="3" {} }
            Some(Outcome::Failed) => {
                path.dot.failed d=(format!("M{:.1} {:.1}l7 7m0 -7l-7 7", x - 3.5, y - 3.5)) {}
            }
            _ => { rect.dot.unsure x=(one(x - 3.0)) y=(one(y - 3.0)) width="6" height="6" {} }
        }
    }
}

/// Size of the full backups, what each backup added, and the length of the chain.
pub(super) fn sizes(scene: &Scene<'_>) -> Markup {
    let all: Vec<&BackupSample> = scene.history.backups.iter().filter(|it| it.ended >= scene.from).collect();
    let fulls: Vec<&BackupSample> = all.iter().copied().filter(|it| it.kind == BackupKind::Full).collect();
    let limit = f64::from(scene.objectives.max_chain_length);
    let chain = |value: u64| counted(usize::try_from(value).unwrap_or(usize::MAX), "increment");
    let size_plot = scene.plot("size", "Size of each full backup before compression", Unit::Bytes, 0.0, None);
    let added_plot = scene.plot("added", "Added to the repository by each backup", Unit::Bytes, 0.0, None);
    let chain_plot = scene.plot("chain", "Chain length after each backup", Unit::Count, 0.0, Some(limit));
    html! {
        (of_backups(size_plot, &fulls, |it| it.logical_bytes, size, steps))
        (of_backups(added_plot, &all, |it| it.added_bytes, size, bars))
        (of_backups(chain_plot, &all, |it| u64::from(it.chain_length), chain, steps))
    }
}

/// A figure of a backup.
type Figure = fn(&BackupSample) -> u64;

/// A plot with one figure of each backup, drawn by `draw` and written by `shown`.
fn of_backups(
    mut plot: Plot,
    samples: &[&BackupSample],
    value: Figure,
    shown: fn(u64) -> String,
    draw: fn(&Plot, &[&BackupSample], Figure) -> Markup,
) -> Markup {
    let Some(last) = samples.last() else { return nothing(&plot.title, "No backup succeeded in this time.") };
    let largest = samples.iter().map(|it| value(it)).max().unwrap_or(0);
    plot.max = largest as f64;
    plot.finding = format!("Largest {}, last {}.", shown(largest), shown(value(last)));
    plot.figure(&draw(&plot, samples, value), &table_of(samples))
}

/// What holds until the next backup.
fn steps(plot: &Plot, samples: &[&BackupSample], value: Figure) -> Markup {
    let mut corners: Vec<(DateTime<Utc>, f64)> = Vec::new();
    for sample in samples {
        if let Some((_, before)) = corners.last().copied() {
            corners.push((sample.ended, before));
        }
        corners.push((sample.ended, value(sample) as f64));
    }
    if let Some((_, last)) = corners.last().copied() {
        corners.push((plot.to, last));
    }
    curve(plot, &corners)
}

/// One line per backup; of many in one column the largest.
fn bars(plot: &Plot, samples: &[&BackupSample], value: Figure) -> Markup {
    let floor = plot.y(0.0);
    let places: Vec<(f64, f64)> = samples.iter().map(|it| (plot.x(it.ended), plot.y(value(it) as f64))).collect();
    #[allow(clippy::cast_possible_truncation)] // within the drawing
    let column = |place: &(f64, f64)| place.0 as i64;
    let columns = places.chunk_by(|a, b| column(a) == column(b));
    let highest = columns.filter_map(|column| column.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)));
    let path = highest.map(|(x, y)| format!("M{x:.1} {floor:.1}V{y:.1}")).collect::<Vec<_>>().concat();
    html! { path.curve d=(path) {} }
}

/// Most backups in a table beside a plot.
const TABLE_ROWS: usize = 100;

fn table_of(samples: &[&BackupSample]) -> Markup {
    html! {
        table aria-label="Backups" {
            thead { tr {
                th scope="col" { "Published" } th scope="col" { "Kind" } th.number scope="col" { "Size" }
                th.number scope="col" { "Added" } th.number scope="col" { "Chain" }
            } }
            tbody { @for it in samples.iter().rev().take(TABLE_ROWS) {
                tr {
                    th scope="row" { (rfc3339(it.ended)) }
                    td { (it.kind) } td.number { (size(it.logical_bytes)) } td.number { (size(it.added_bytes)) }
                    td.number { (count(u64::from(it.chain_length))) }
                }
            } }
        }
        @if samples.len() > TABLE_ROWS { p.muted { "The newest " (TABLE_ROWS) " of " (samples.len()) "." } }
    }
}

/// Drills whose stages are drawn.
const BARS: usize = 12;

/// Where the time of each drill went.
pub(super) fn stages(drills: &[DrillSample], zone: Tz) -> Markup {
    let title = "Where the time of each drill went";
    let shown: Vec<&DrillSample> = drills.iter().filter(|drill| !drill.stages.is_empty()).take(BARS).collect();
    let total = |drill: &DrillSample| drill.stages.iter().map(|(_, seconds)| seconds).sum::<f64>();
    let longest = shown.iter().map(|drill| total(drill)).fold(0.0, f64::max);
    if shown.is_empty() {
        return nothing(title, "No drill is known to have gone through a stage.");
    }
    let entered: Vec<Stage> = Stage::ALL
        .into_iter()
        .filter(|stage| shown.iter().any(|drill| drill.stages.iter().any(|(name, _)| name == stage.name())))
        .collect();
    let finding =
        format!("The newest {}, newest first; the longest took {}.", counted(shown.len(), "drill"), duration(longest));
    let height = shown.len() as f64 * 17.0;
    html! {
        figure {
            figcaption id="stages-title" { (title) }
            p.finding id="stages-finding" { (finding) }
            svg viewBox={ "0 0 420 " (one(height)) } role="img" aria-labelledby="stages-title" aria-describedby="stages-finding" {
                title { (title) }
                desc { (finding) }
                @for (at, drill) in shown.iter().enumerate() { (bar(drill, at as f64 * 17.0, longest, zone)) }
            }
            ul.legend aria-hidden="true" {
                @for stage in &entered { li { svg viewBox="0 0 10 10" { rect class=(class(stage.name())) width="10" height="10" {} } (stage) } }
            }
            details id="stages-table" {
                summary { "As a table" span.hidden { ": " (title) } }
                div.scroll tabindex="0" role="region" aria-labelledby="stages-title" { (stage_table(&shown, &entered)) }
            }
        }
    }
}

/// Where bars begin and how long the longest is.
const BAR_LEFT: f64 = 74.0;
const BAR_WIDTH: f64 = 290.0;

fn bar(drill: &DrillSample, y: f64, longest: f64, zone: Tz) -> Markup {
    let ended = drill.run.ended.unwrap_or(drill.run.started).with_timezone(&zone);
    let mut x = BAR_LEFT;
    let mut pieces = Vec::new();
    for (name, seconds) in &drill.stages {
        let width = seconds / longest.max(f64::MIN_POSITIVE) * BAR_WIDTH;
        pieces.push((name, x, width));
        x += width;
    }
    let sum: f64 = drill.stages.iter().map(|(_, seconds)| seconds).sum();
    html! {
        text x=(BAR_LEFT - 6.0) y=(one(y + 11.0)) text-anchor="end" { (ended.format("%m-%d %H:%M")) }
        @for (name, x, width) in pieces {
            rect class=(class(name)) x=(one(x)) y=(one(y + 2.0)) width=(one((width - 0.6).max(0.4))) height="12" {}
        }
        text x=(one(x + 5.0)) y=(one(y + 11.0)) {
            (duration(sum)) @if drill.run.outcome != Some(Outcome::Passed) { " ✗" }
        }
    }
}

fn class(stage: &str) -> String {
    let at = Stage::ALL.into_iter().position(|it| it.name() == stage).unwrap_or(0);
    format!("s{at}")
}

fn stage_table(drills: &[&DrillSample], entered: &[Stage]) -> Markup {
    html! {
        table aria-labelledby="stages-title" {
            thead { tr {
                th scope="col" { "Ended" } th scope="col" { "Verdict" }
                @for stage in entered { th.number scope="col" { (stage) } }
            } }
            tbody { @for drill in drills {
                tr {
                    th scope="row" { (rfc3339(drill.run.ended.unwrap_or(drill.run.started))) }
                    td { (drill.run.outcome.map_or("running", Outcome::name)) }
                    @for stage in entered {
                        td.number {
                            @match drill.stages.iter().find(|(name, _)| name == stage.name()) {
                                Some((_, seconds)) => (duration(*seconds)),
                                None => "not entered",
                            }
                        }
                    }
                }
            } }
        }
    }
}

/// Where there is nothing to plot: the reason.
fn nothing(title: &str, reason: &str) -> Markup {
    html! { figure { figcaption { (title) } p.muted { (reason) } } }
}
