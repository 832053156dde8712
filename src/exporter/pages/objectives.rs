//! One promise of one source, in words.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::words::{judged, pending, state, unsure};
use crate::display::{beside, duration, judged_later, percent, rfc3339};
use crate::domain::history::{MetRatios, Verdict};
use crate::domain::sla::{Judgement, Objective};
use crate::status::{Kept, SourceStatus, kept};

/// A promise and what was measured of it.
pub(super) struct Fact {
    /// Heading of its column.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The largest that was promised; of retention, the smallest.
    pub promised: String,
    /// `3h 5m`, `never`, `unknown`.
    pub measured: String,
    /// Kept now? None where nobody knows.
    pub judged: Option<Judgement>,
    /// What it rests on: a time.
    pub at: Option<DateTime<Utc>>,
    /// What "met" does not say.
    pub note: Option<&'static str>,
}

/// The promise `objective` of a source.
pub(super) fn fact(status: &SourceStatus, objective: Objective, now: DateTime<Utc>) -> Fact {
    let (promised, measured) = (&status.objectives, &status.measured);
    let judged = status.judged(objective);
    let never = match judged {
        Some(Judgement::Pending) => "not yet",
        // Drills that a lost ledger knew of may have been passed.
        _ if status.history_is_partial && objective != Objective::Rpo => "unknown",
        _ => "never",
    };
    let old = |seconds: Option<f64>, promised: f64| match seconds {
        None => never.to_owned(),
        // A promise must not look kept where it is not.
        Some(seconds) if judged == Some(Judgement::NotMet) => beside(seconds, promised, duration),
        Some(seconds) if objective == Objective::Rto => duration(seconds),
        Some(seconds) => duration(whole_minutes(seconds)),
    };
    let since = |time: Option<DateTime<Utc>>| time.map(|time| (now - time).as_seconds_f64());
    let (name, meaning, promised, measured, at) = match objective {
        Objective::Rpo => (
            "RPO",
            "Age of the newest recovery point that is listed, whether a drill has restored it or not",
            duration(promised.rpo_seconds),
            old(measured.rpo_seconds, promised.rpo_seconds),
            measured.recovery_point_time,
        ),
        Objective::Rto => (
            "RTO",
            "Recovery time that the last drill measured",
            duration(promised.rto_seconds),
            old(measured.rto_seconds, promised.rto_seconds),
            None,
        ),
        Objective::DrillInterval => (
            "Drill",
            "Time since a drill last passed",
            duration(promised.drill_interval_seconds),
            old(since(measured.last_passed_drill_time), promised.drill_interval_seconds),
            measured.last_passed_drill_time,
        ),
        Objective::Retention => (
            "Retention",
            if measured.any_moment_since.is_some() {
                "Since when any moment can be restored, but for gaps no longer than the RPO"
            } else {
                "How far back recovery points reach"
            },
            duration(promised.retention_seconds),
            old(since(status.reaches_back()), promised.retention_seconds),
            status.reaches_back(),
        ),
        Objective::ChainLength => (
            "Chain",
            "Increments that a restore replays on top of a full backup",
            promised.max_chain_length.to_string(),
            if measured.recovery_points == 0 { "none".to_owned() } else { measured.chain_length.to_string() },
            None,
        ),
    };
    // A promise to keep things is half of a retention: the other half is to remove them.
    let is_half = objective == Objective::Retention && !status.removes_older;
    let note = is_half.then_some("older ones are not removed");
    Fact { name, meaning, promised, measured, judged, at, note }
}

fn whole_minutes(seconds: f64) -> f64 {
    if seconds < 60.0 { seconds } else { (seconds / 60.0).floor() * 60.0 }
}

/// The cell of a promise in the fleet's table.
pub(super) fn cell(fact: &Fact) -> Markup {
    html! {
        td role="cell" data-label=(fact.name) {
            span.pair { span.figure { (fact.measured) } span.muted { " / " (fact.promised) } }
            (judged(fact.judged))
            @if let Some(note) = fact.note { span.below.remark { (note) } }
        }
    }
}

/// The share of the last 30 days in which the promises were kept.
pub(super) fn share(status: &SourceStatus, ratios: Option<&MetRatios>) -> Markup {
    let promised = status.objectives.objective_ratio;
    html! {
        @match kept(ratios, promised) {
            Kept::Enough(share) => { span.figure { (percent(share)) } " " (state(true, "kept", "")) }
            Kept::TooLittle(share) => { span.figure { (percent(share)) } " " (state(false, "", "too little")) }
            Kept::NotYet(days) => (too_early(days)),
            Kept::Unknown => (unsure("unknown")),
        }
    }
}

/// Why a share is not judged.
fn too_early(days: f64) -> Markup {
    html! {
        (pending("not judged yet")) " "
        span.muted { (judged_later(days)) }
    }
}

/// The share of one promise.
fn share_of(status: &SourceStatus, ratios: Option<&MetRatios>, objective: Objective) -> Markup {
    let promised = status.objectives.objective_ratio;
    html! {
        @match ratios.and_then(|ratios| ratios.get(&objective)) {
            Some(share) => {
                @if let Some(ratio) = share.ratio() { (percent(ratio)) " " }
                @match share.verdict(promised) {
                    Verdict::NotYet => (too_early(share.judged_days())),
                    verdict => (state(verdict == Verdict::Enough, "kept", "too little")),
                }
            }
            None => (unsure("unknown")),
        }
    }
}

/// Every promise of a source, one per row.
pub(super) fn table(status: &SourceStatus, ratios: Option<&MetRatios>, now: DateTime<Utc>) -> Markup {
    html! {
        table.cards role="table" {
            caption.hidden { "Promised against measured" }
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" { "Objective" }
                th scope="col" role="columnheader" { "Promised" }
                th scope="col" role="columnheader" { "Measured" }
                th scope="col" role="columnheader" { "Now" }
                th scope="col" role="columnheader" {
                    "Last 30 days, promised " (percent(status.objectives.objective_ratio))
                }
            } }
            tbody role="rowgroup" {
                @for objective in Objective::ALL {
                    @let fact = fact(status, objective, now);
                    tr role="row" {
                        th scope="row" role="rowheader" {
                            (fact.name) span.below { (fact.meaning) @if let Some(note) = fact.note { "; " (note) } }
                        }
                        td role="cell" data-label="Promised" { (fact.promised) }
                        td role="cell" data-label="Measured" {
                            span.figure { (fact.measured) }
                            @if let Some(at) = fact.at { time.below datetime=(rfc3339(at)) { (rfc3339(at)) } }
                        }
                        td role="cell" data-label="Now" { (judged(fact.judged)) }
                        td role="cell" data-label="Last 30 days" { (share_of(status, ratios, objective)) }
                    }
                }
            }
        }
    }
}
