//! The report as Markdown.

use std::fmt::Write as _;

use super::harmless::text;
use super::{Absence, DrillReport, Evidence, ObjectiveReport, Promised, SlaReport, SourceReport, evidence_line};
use super::{changes, point_in_time, vanished};
use crate::display::{count, counted, duration, percent, rfc3339, size};
use crate::ledger::TestPage;

/// All of it.
pub fn render(report: &SlaReport) -> String {
    let mut out = String::new();
    write(&mut out, report).unwrap_or_else(|_| unreachable!("a string takes everything"));
    out
}

fn write(out: &mut String, report: &SlaReport) -> std::fmt::Result {
    writeln!(out, "# Backup SLA report {}\n", report.month)?;
    writeln!(
        out,
        "From {} to {} ({}), {}. Times are UTC. Made at {} by backup-sla {}.\n",
        rfc3339(report.from),
        rfc3339(report.until),
        report.timezone,
        if report.is_complete { "the whole month" } else { "**the month is not over**" },
        rfc3339(report.generated),
        text(&report.version),
    )?;
    match report.sources.len() {
        0 => writeln!(out, "**No source was known in this time.**\n")?,
        _ => writeln!(out, "**{}**\n", report.sentence())?,
    }
    if let Some(missing) = vanished::sentence(report.vanished()) {
        writeln!(out, "**{}**\n", text(&missing))?;
    }
    summary(out, report)?;
    evidence(out, report)?;
    test_pages(out, report)?;
    report.sources.iter().try_for_each(|source| one_source(out, source))
}

fn test_pages(out: &mut String, report: &SlaReport) -> std::fmt::Result {
    writeln!(out, "## Test pages\n")?;
    if report.test_pages.is_empty() {
        return writeln!(out, "None was raised: nobody tested whether an alert reaches a person.\n");
    }
    report.test_pages.iter().try_for_each(|page| writeln!(out, "- {}", test_page(page)))?;
    writeln!(out)
}

/// What became of a test page.
pub(super) fn test_page(page: &TestPage) -> String {
    let raised = rfc3339(page.raised);
    match page.confirmed {
        Some(confirmed) => {
            format!(
                "Raised {raised}: arrived, confirmed after {}",
                duration((confirmed - page.raised).as_seconds_f64())
            )
        }
        None => format!("Raised {raised}: not confirmed"),
    }
}

fn summary(out: &mut String, report: &SlaReport) -> std::fmt::Result {
    writeln!(
        out,
        "| Source | RPO met | RTO met | Retention met | Drill interval met | Chain met | Drills passed | Kept |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---|")?;
    for source in &report.sources {
        write!(out, "| {} |", text(&source.source))?;
        for objective in &source.objectives {
            write!(out, " {} |", share(objective))?;
        }
        let passed = source.drills.iter().filter(|drill| drill.verdict == "passed").count();
        let kept = kept(&source.kept_in_words());
        writeln!(out, " {passed} of {} | {kept} |", source.drills.len())?;
    }
    writeln!(out)
}

fn evidence(out: &mut String, report: &SlaReport) -> std::fmt::Result {
    let evidence = &report.evidence;
    writeln!(out, "## Evidence\n")?;
    writeln!(
        out,
        "The ledger began {}; nothing before that is judged. {} `backup-sla report verify` checks whether they were changed \
         since:\n",
        rfc3339(evidence.ledger_began),
        sealed_since(evidence)
    )?;
    writeln!(out, "    {}\n", evidence_line(&evidence.head))?;
    if evidence.is_whole {
        return writeln!(out, "When this report was made, no record had been changed since it was written.\n");
    }
    writeln!(out, "**{} the seals. Do not rely on this report.**\n", counted_faults(evidence.fault_count))?;
    evidence.faults.iter().try_for_each(|fault| writeln!(out, "- {}", text(&fault.what)))?;
    writeln!(out)
}

/// How much does not fit.
pub(super) fn counted_faults(number: u64) -> String {
    if number == 1 { "1 thing does not fit".to_owned() } else { format!("{} things do not fit", count(number)) }
}

/// What is said of a time in which a source was not configured.
pub(super) fn not_configured(absence: &Absence) -> String {
    let (from, until) = (rfc3339(absence.from), rfc3339(absence.until));
    format!("Not configured from {from} to {until}: nothing was scheduled, and the time counts")
}

fn one_source(out: &mut String, source: &SourceReport) -> std::fmt::Result {
    writeln!(out, "## {}\n", text(&source.source))?;
    let retired = if source.is_configured { "" } else { "; no longer configured" };
    writeln!(
        out,
        "{}, kept in {}{retired}. Judged from {} to {}.\n",
        source.kind,
        text(&source.repository),
        rfc3339(source.from),
        rfc3339(source.until)
    )?;
    for absence in &source.not_configured {
        writeln!(out, "- {}", not_configured(absence))?;
    }
    for promised in &source.promised {
        writeln!(out, "- Promised since {}: {}", rfc3339(promised.since), promise(promised))?;
    }
    if let Some(said) = changes::in_words(&source.changes) {
        writeln!(out, "\n**{said}**")?;
    }
    writeln!(out, "\n| Objective | Promised | Achieved | Met | Needed | Kept |\n|---|---|---|---:|---:|---|")?;
    for objective in &source.objectives {
        let kept = kept(&objective.kept_in_words());
        let (promised, achieved) = both(objective.objective, source);
        let needed = percent(objective.target_ratio);
        writeln!(
            out,
            "| {} | {promised} | {achieved} | {} | {needed} | {kept} |",
            title(objective.objective),
            share(objective)
        )?;
    }
    writeln!(
        out,
        "\nA drill passed on {} of {}{}.\n",
        source.days.with_passed_drill,
        counted(source.days.days, "day"),
        days_without(source)
    )?;
    breaches(out, source)?;
    backups(out, source)?;
    drills(out, source)?;
    point_in_time::markdown(out, source.point_in_time.as_ref())?;
    missed(out, source)?;
    changes::markdown(out, &source.changes)?;
    vanished::markdown(out, &source.vanished)
}

fn breaches(out: &mut String, source: &SourceReport) -> std::fmt::Result {
    writeln!(out, "### Breaches\n")?;
    if source.objectives.iter().all(|objective| objective.breaches.is_empty()) {
        return writeln!(out, "None.\n");
    }
    writeln!(out, "| Objective | From | To | Lasted | Reason |\n|---|---|---|---:|---|")?;
    for objective in &source.objectives {
        for breach in &objective.breaches {
            let end = breach.end.map_or_else(|| "not met at the end".to_owned(), rfc3339);
            let (start, lasted, reason) = (rfc3339(breach.start), duration(breach.seconds), text(&breach.reason));
            writeln!(out, "| {} | {start} | {end} | {lasted} | {reason} |", title(objective.objective))?;
        }
    }
    writeln!(out)
}

fn backups(out: &mut String, source: &SourceReport) -> std::fmt::Result {
    writeln!(out, "### Backups\n")?;
    if source.backups.is_empty() {
        writeln!(out, "None.\n")?;
    }
    for backups in &source.backups {
        let kind = backups.kind;
        let (good, bad) = (count(backups.succeeded), count(backups.failed));
        writeln!(
            out,
            "- {kind}: {good} published, {bad} failed; the repository grew by {}",
            size(backups.added_bytes)
        )?;
    }
    if let Some(incomplete) = &source.incomplete {
        writeln!(out, "- **{}**", incomplete.in_words())?;
    }
    if !source.backup_failures.is_empty() {
        writeln!(out, "\n| Backup | Began | Outcome | Reason |\n|---|---|---|---|")?;
    }
    for failure in &source.backup_failures {
        let (run, began, reason) = (text(&failure.run), rfc3339(failure.started), text(&failure.reason));
        writeln!(out, "| {run} | {began} | {} | {reason} |", failure.outcome)?;
    }
    writeln!(out)
}

fn drills(out: &mut String, source: &SourceReport) -> std::fmt::Result {
    writeln!(out, "### Drills\n")?;
    if source.drills.is_empty() {
        return writeln!(out, "None.\n");
    }
    writeln!(
        out,
        "| Drill | Ended | Recovery point | Its time | Verdict | RTO | Checks | Tables | Rows restored of expected | Sandbox |"
    )?;
    writeln!(out, "|---|---|---|---|---|---:|---:|---:|---:|---|")?;
    source.drills.iter().try_for_each(|drill| one_drill(out, drill))?;
    writeln!(out)
}

fn one_drill(out: &mut String, drill: &DrillReport) -> std::fmt::Result {
    let verdict = match drill.reason.as_str() {
        "" => drill.verdict_of_kind(),
        reason => format!("{}: {}", drill.verdict_of_kind(), text(reason)),
    };
    let rto = drill.rto_seconds.map_or_else(|| "–".to_owned(), duration);
    let over = if drill.is_over_rto { " (over)" } else { "" };
    let rows = format!("{} of {}", count(drill.tables.rows_restored), count(drill.tables.rows_expected));
    writeln!(
        out,
        "| {} | {} | {} | {} | {verdict} | {rto}{over} | {} of {} | {} | {rows} | {} |",
        text(&drill.run),
        drill.ended.map_or_else(|| "–".to_owned(), rfc3339),
        drill.recovery_point.as_deref().map_or_else(|| "–".to_owned(), text),
        drill.recovery_point_time.map_or_else(|| "–".to_owned(), rfc3339),
        count(drill.checks - drill.mismatches.min(drill.checks)),
        count(drill.checks),
        count(drill.tables.tables),
        text(&sandbox(drill)),
    )
}

fn missed(out: &mut String, source: &SourceReport) -> std::fmt::Result {
    writeln!(out, "### Scheduled runs that did not begin\n")?;
    if source.missed.is_empty() {
        return writeln!(out, "None.\n");
    }
    writeln!(out, "| Run | First due | Last due | How many | Why |\n|---|---|---|---:|---|")?;
    for missed in &source.missed {
        let what = missed
            .kind
            .map_or_else(|| missed.operation.name().to_owned(), |kind| format!("{kind} {}", missed.operation));
        let (first, last) = (rfc3339(missed.first), rfc3339(missed.last));
        writeln!(out, "| {what} | {first} | {last} | {} | {} |", missed.count, text(&missed.reason))?;
    }
    writeln!(out)
}

fn kept(words: &str) -> String {
    if words == "no" { format!("**{words}**") } else { words.to_owned() }
}

/// Since when records are sealed.
pub(super) fn sealed_since(evidence: &Evidence) -> String {
    let since = evidence.sealed_since.map_or_else(|| "never".to_owned(), rfc3339);
    let as_found = if evidence.adopted == 1 {
        "was there before and is as it was found"
    } else {
        "were there before and are as they were found"
    };
    format!(
        "Its records are sealed in a chain of {} since {since}; {} {as_found} then.",
        counted_entries(evidence.head.position),
        counted_entries(evidence.adopted)
    )
}

fn counted_entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{} entries", count(number)) }
}

/// What versions a drill was made with.
pub(super) fn sandbox(drill: &DrillReport) -> String {
    let setting = |(name, value): (&String, &String)| format!("{name} {value}");
    drill.sandbox.iter().map(setting).collect::<Vec<_>>().join(", ")
}

/// Of a source: what was promised last and what was reached.
pub(super) fn both(objective: &str, source: &SourceReport) -> (String, String) {
    let reached = &source.achieved;
    let unknown = || "unknown".to_owned();
    let promised = source.promised.last();
    let of = |seconds: fn(&Promised) -> f64| promised.map_or_else(unknown, |it| duration(seconds(it)));
    match objective {
        "rpo" => (of(|it| it.rpo_seconds), worst_rpo(source)),
        "rto" => {
            let of_drills = match (reached.rto_p50_seconds, reached.rto_p95_seconds, reached.rto_max_seconds) {
                (Some(p50), Some(p95), Some(max)) => format!(
                    "p50 {}, p95 {}, max {} ({})",
                    duration(p50),
                    duration(p95),
                    duration(max),
                    counted(reached.rto_drills, "drill")
                ),
                _ => "not measured".to_owned(),
            };
            (of(|it| it.rto_seconds), of_drills)
        }
        "retention" => {
            let back = reached.oldest_recovery_point.map_or_else(
                || "no recovery point at the end".to_owned(),
                |oldest| format!("{} back to {}", counted(reached.recovery_points, "recovery point"), rfc3339(oldest)),
            );
            (of(|it| it.retention_seconds), back)
        }
        "drill_interval" => {
            let passed = source.drills.iter().filter(|drill| drill.verdict == "passed").count();
            (
                of(|it| it.drill_interval_seconds),
                format!("{} of {} passed", passed, counted(source.drills.len(), "drill")),
            )
        }
        _ => (promised.map_or_else(unknown, |it| counted(it.max_chain_length as usize, "increment")), "–".to_owned()),
    }
}

fn worst_rpo(source: &SourceReport) -> String {
    let reached = &source.achieved;
    let mut said = match (reached.rpo_worst_seconds, reached.rpo_worst_at) {
        (Some(worst), Some(at)) => format!("at worst {} (at {})", duration(worst), rfc3339(at)),
        _ => "no recovery point".to_owned(),
    };
    if reached.without_recovery_point_seconds > 0.0 && reached.rpo_worst_seconds.is_some() {
        let _ = write!(said, "; none at all for {}", duration(reached.without_recovery_point_seconds));
    }
    said
}

/// `, not on 2026-10-04`.
pub(super) fn days_without(source: &SourceReport) -> String {
    let without: Vec<String> = source.days.without.iter().map(ToString::to_string).collect();
    if without.is_empty() { String::new() } else { format!("; not on {}", without.join(", ")) }
}

/// All objectives in one line.
pub(super) fn promise(promised: &Promised) -> String {
    format!(
        "recovery point at most {} old, recovery within {}, kept for {}, a passed drill every {}, at most {}, {} of the time",
        duration(promised.rpo_seconds),
        duration(promised.rto_seconds),
        duration(promised.retention_seconds),
        duration(promised.drill_interval_seconds),
        counted(promised.max_chain_length as usize, "increment"),
        percent(promised.objective_ratio),
    )
}

/// `99.8 %`.
pub(super) fn share(objective: &ObjectiveReport) -> String {
    let none = if objective.too_early().is_some() { "pending" } else { "unknown" };
    objective.met_ratio.map_or_else(|| none.to_owned(), percent)
}

/// An objective for people.
pub(super) fn title(objective: &str) -> &'static str {
    match objective {
        "rpo" => "Recovery point (RPO)",
        "rto" => "Recovery time (RTO)",
        "retention" => "Retention",
        "drill_interval" => "Test restore",
        _ => "Chain length",
    }
}
