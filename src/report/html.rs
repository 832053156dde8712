//! The report as one HTML page without anything from elsewhere, laid out to be printed.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::markdown::{
    both, counted_faults, days_without, not_configured, promise, sandbox, sealed_since, share, test_page, title,
};
use super::{DrillReport, SlaReport, SourceReport, evidence_line};
use super::{changes, point_in_time, vanished};
use crate::display::{count, counted, duration, percent, rfc3339, size};
use crate::foreign;

const STYLE: &str = include_str!("style.css");

/// All of it.
pub fn render(report: &SlaReport) -> String {
    let heading = format!("Backup SLA report {}", report.month);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (heading) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (heading) }
                    p.lead {
                        "From " (rfc3339(report.from)) " to " (rfc3339(report.until)) " (" (report.timezone) "), "
                        @if report.is_complete { "the whole month" } @else { strong { "the month is not over" } }
                        ". Times are UTC. Made at " (rfc3339(report.generated)) " by backup-sla " (report.version) "."
                    }
                    @if report.sources.is_empty() {
                        p.verdict { "No source was known in this time." }
                    } @else {
                        p.verdict.(color(report)) { (report.sentence()) }
                    }
                    @if let Some(missing) = vanished::sentence(report.vanished()) { p.verdict.bad { (missing) } }
                    (summary(report))
                    (evidence(report))
                    (test_pages(report))
                    @for source in &report.sources { (one_source(source)) }
                }
            }
        }
    };
    let page = page.into_string();
    foreign::html(page)
}

fn color(report: &SlaReport) -> &'static str {
    match (report.kept() == report.sources.len(), report.is_bad()) {
        (true, _) => "good",
        (false, true) => "bad",
        (false, false) => "unsure",
    }
}

fn kept(is_kept: Option<bool>, words: &str) -> Markup {
    html! {
        @match is_kept {
            Some(true) => span.good { (words) },
            Some(false) => span.bad { (words) },
            None => span.unsure { (words) },
        }
    }
}

fn summary(report: &SlaReport) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Source" } th.number { "RPO met" } th.number { "RTO met" } th.number { "Retention met" }
                th.number { "Drill interval met" } th.number { "Chain met" } th.number { "Drills passed" } th { "Kept" }
            } }
            tbody {
                @for source in &report.sources {
                    tr {
                        th scope="row" { a href={ "#" (source.source) } { (source.source) } }
                        @for objective in &source.objectives {
                            td.number.(if objective.is_kept == Some(false) { "bad" } else { "" }) { (share(objective)) }
                        }
                        td.number { (source.drills.iter().filter(|it| it.verdict == "passed").count()) " of " (source.drills.len()) }
                        td { (kept(source.kept(), &source.kept_in_words())) }
                    }
                }
            }
        }
    }
}

fn evidence(report: &SlaReport) -> Markup {
    let evidence = &report.evidence;
    html! {
        h2 { "Evidence" }
        p {
            "The ledger began " (rfc3339(evidence.ledger_began)) "; nothing before that is judged. " (sealed_since(evidence)) " "
            code { "backup-sla report verify" } " checks whether they were changed since:"
        }
        pre { (evidence_line(&evidence.head)) }
        @if evidence.is_whole {
            p { "When this report was made, no record had been changed since it was written." }
        } @else {
            p.verdict.bad { (counted_faults(evidence.fault_count)) " the seals. Do not rely on this report." }
            ul { @for fault in &evidence.faults { li { (fault.what) } } }
        }
    }
}

fn test_pages(report: &SlaReport) -> Markup {
    html! {
        h2 { "Test pages" }
        @if report.test_pages.is_empty() { p { "None was raised: nobody tested whether an alert reaches a person." } }
        ul { @for page in &report.test_pages { li { (test_page(page)) } } }
    }
}

fn one_source(source: &SourceReport) -> Markup {
    html! {
        section id=(source.source) {
            h2 { (source.source) }
            p.lead {
                (source.kind) ", kept in " (source.repository)
                @if !source.is_configured { "; no longer configured" }
                ". Judged from " (rfc3339(source.from)) " to " (rfc3339(source.until)) "."
            }
            ul {
                @for absence in &source.not_configured { li { (not_configured(absence)) } }
                @for promised in &source.promised { li { "Promised since " (rfc3339(promised.since)) ": " (promise(promised)) } }
            }
            @if let Some(said) = changes::in_words(&source.changes) { p { strong { (said) } } }
            (objectives(source))
            p { "A drill passed on " (source.days.with_passed_drill) " of " (counted(source.days.days, "day")) (days_without(source)) "." }
            (breaches(source))
            (backups(source))
            (drills(source))
            (point_in_time::page(source.point_in_time.as_ref()))
            (missed(source))
            (changes::page(&source.changes))
            (vanished::page(&source.vanished))
        }
    }
}

fn objectives(source: &SourceReport) -> Markup {
    html! {
        table {
            thead { tr { th { "Objective" } th { "Promised" } th { "Achieved" } th.number { "Met" } th.number { "Needed" } th { "Kept" } } }
            tbody {
                @for objective in &source.objectives {
                    @let (promised, achieved) = both(objective.objective, source);
                    tr {
                        th scope="row" { (title(objective.objective)) }
                        td { (promised) } td { (achieved) }
                        td.number { (share(objective)) } td.number { (percent(objective.target_ratio)) }
                        td { (kept(objective.is_kept, &objective.kept_in_words())) }
                    }
                }
            }
        }
    }
}

fn breaches(source: &SourceReport) -> Markup {
    let any = source.objectives.iter().any(|objective| !objective.breaches.is_empty());
    html! {
        h3 { "Breaches" }
        @if any {
            table {
                thead { tr { th { "Objective" } th { "From" } th { "To" } th.number { "Lasted" } th { "Reason" } } }
                tbody {
                    @for objective in &source.objectives {
                        @for breach in &objective.breaches {
                            tr {
                                th scope="row" { (title(objective.objective)) }
                                td.time { (rfc3339(breach.start)) }
                                td.time { @match breach.end { Some(end) => (rfc3339(end)), None => span.bad { "not met at the end" } } }
                                td.number { (duration(breach.seconds)) }
                                td { (breach.reason) }
                            }
                        }
                    }
                }
            }
        } @else { p { "None." } }
    }
}

fn backups(source: &SourceReport) -> Markup {
    html! {
        h3 { "Backups" }
        @if source.backups.is_empty() { p { "None." } }
        ul {
            @for backups in &source.backups {
                li {
                    (backups.kind) ": " (count(backups.succeeded)) " published, " (count(backups.failed))
                    " failed; the repository grew by " (size(backups.added_bytes))
                }
            }
        }
        @if let Some(incomplete) = &source.incomplete { p.bad { (incomplete.in_words()) } }
        @if !source.backup_failures.is_empty() {
            table {
                thead { tr { th { "Backup" } th { "Began" } th { "Outcome" } th { "Reason" } } }
                tbody {
                    @for failure in &source.backup_failures {
                        tr {
                            td.id { (failure.run) } td.time { (rfc3339(failure.started)) }
                            td { (failure.outcome) } td { (failure.reason) }
                        }
                    }
                }
            }
        }
    }
}

fn drills(source: &SourceReport) -> Markup {
    html! {
        h3 { "Drills" }
        @if source.drills.is_empty() { p { "None." } } @else {
            table.drills {
                thead { tr {
                    th { "Drill" } th { "Ended" } th { "Recovery point, and its time" } th { "Verdict" } th.number { "RTO" }
                    th.number { "Checks" } th.number { "Tables" } th.number { "Rows restored of expected" } th { "Sandbox" }
                } }
                tbody { @for drill in &source.drills { (one_drill(drill)) } }
            }
        }
    }
}

fn one_drill(drill: &DrillReport) -> Markup {
    let class = match drill.verdict {
        "passed" => "good",
        "failed" => "bad",
        _ => "unsure",
    };
    html! {
        tr {
            td.id { (drill.run) }
            td.time { @if let Some(ended) = drill.ended { (rfc3339(ended)) } }
            td {
                span.id { (drill.recovery_point.as_deref().unwrap_or("–")) } " "
                @if let Some(time) = drill.recovery_point_time { (rfc3339(time)) }
            }
            td { span.(class) { (drill.verdict_of_kind()) } @if !drill.reason.is_empty() { ": " (drill.reason) } }
            td.number.(if drill.is_over_rto { "bad" } else { "" }) { (drill.rto_seconds.map_or_else(|| "–".to_owned(), duration)) }
            td.number { (count(drill.checks - drill.mismatches.min(drill.checks))) " of " (count(drill.checks)) }
            td.number { (count(drill.tables.tables)) }
            td.number { (count(drill.tables.rows_restored)) " of " (count(drill.tables.rows_expected)) }
            td { (sandbox(drill)) }
        }
    }
}

fn missed(source: &SourceReport) -> Markup {
    html! {
        h3 { "Scheduled runs that did not begin" }
        @if source.missed.is_empty() { p { "None." } } @else {
            table {
                thead { tr { th { "Run" } th { "First due" } th { "Last due" } th.number { "How many" } th { "Why" } } }
                tbody {
                    @for missed in &source.missed {
                        tr {
                            td { @if let Some(kind) = missed.kind { (kind) " " } (missed.operation.name()) }
                            td.time { (rfc3339(missed.first)) } td.time { (rfc3339(missed.last)) }
                            td.number { (missed.count) } td { (missed.reason) }
                        }
                    }
                }
            }
        }
    }
}
