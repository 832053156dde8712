"""The fleet overview: is everything promised kept, if not, whose is it, and how much room for error is left."""

from . import questions as q
from .model import (
    BAD, CALM, COLORED, FILLED, GAUGE, GOOD, IDLE, OF_BUDGET, OF_OBJECTIVE, PLAIN, RISK,
    Column, annotation, dashboard as make, fixed, from_value, graph, override, stat, states, steps, table, target, values,
    variable,
)

TO_SOURCE = [{
    "title": "Look at ${__value.raw}",
    "url": "/d/backup-sla-source/backup-sla-source?${datasource:queryparam}&var-job=${__data.fields.job}"
           "&var-instance=${__data.fields.instance}&var-source=${__value.raw}&${__url_time_range}",
    "targetBlank": False,
}]

NEVER = values(_0=("never", BAD))
RPO_STATES = values(_0=("kept", GOOD), _1=("at risk", RISK), _2=("breached", BAD), _3=("pending", IDLE))
OUTCOMES = values(_0=("none yet", RISK), _1=("passed", GOOD), _2=("failed", BAD), _3=("inconclusive", RISK))
YES_OR_NO = values(_1=("yes", GOOD), _0=("no", BAD))
SEVERITIES = values(_2=("critical", BAD), _1=("warning", RISK), _0=("none", GOOD))


def first_glance():
    # Where every source is pending, none of them has an objective_met.
    worst, none = f"min by {q.ONE} ({q.of_source('objective_met')})", f"0 * sum({q.of_source('source_pending')})"
    in_sla = f"sum(({worst} == bool 1) unless on {q.ONE} {q.PENDING}) or {none}"
    out_of_sla = f"sum({worst} == bool 0) or {none}"
    pending = f"sum({q.of_source('source_pending')} unless on {q.ONE} {worst} == 0)"
    drills = [
        target(q.count(q.DRILLS_PASSED), "passed", instant=True),
        target(q.count(q.DRILLS_FAILED), "failed", instant=True),
        target(q.count(f"{q.DRILLS_BEGUN} - on {q.ONE} {q.DRILLS_PASSED} - on {q.ONE} {q.DRILLS_FAILED}"),
               "inconclusive", instant=True),
        target(q.count(q.DRILLS_OVER_RTO), "over RTO", instant=True),
    ]
    alarm = steps(PLAIN, (0.5, BAD))
    return [
        (3, stat(
            "In SLA", "Sources that keep every promise now: RPO, RTO, retention, drill interval, chain length.",
            [target(in_sla, "in SLA", instant=True)], unit="none", thresholds=steps(BAD, (1, GOOD)),
            noValue="no exporter")),
        (3, stat(
            "Out of SLA", "Sources that break at least one promise now. The table below says which.",
            [target(out_of_sla, "out of SLA", instant=True)], unit="none", background=True,
            thresholds=steps(GOOD, (1, BAD)), noValue="no exporter")),
        (2, stat(
            "Pending", "New sources whose first backup or first drill is not due yet, and that break no promise: they are "
            "neither in nor out of SLA.",
            [target(pending, "pending", instant=True)], unit="none", thresholds=steps(PLAIN), noValue="none")),
        (4, stat(
            "Worst RPO", "The source that would lose the most data, measured against its promise, if it failed now: "
            "age of its newest recovery point as a share of its RPO objective. A source without a recovery point "
            "counts from when it was first seen.",
            [target(f"topk(1, {q.RPO_SHARE})", "{{source}}", instant=True)], unit="percentunit", named=True,
            decimals=0, thresholds=OF_OBJECTIVE, noValue="no source")),
        (4, stat(
            "Worst RTO", "The source whose last drill took longest, measured against its promise: recovery time as a "
            "share of its RTO objective.",
            [target(f"topk(1, {q.RTO_SHARE})", "{{source}}", instant=True)], unit="percentunit", named=True,
            decimals=0, thresholds=OF_OBJECTIVE, noValue="never measured")),
        (5, stat(
            "Drills", "Test restores in the selected time range. Only passed ones prove that a backup restores; "
            "inconclusive ones, and those still running, say nothing about it.",
            drills, unit="none", named=True, color=fixed(PLAIN), overrides=[
                override("byFrameRefID", "A", color=fixed(GOOD)),
                override("byFrameRefID", "B", color={"mode": "thresholds"}, thresholds=alarm),
                override("byFrameRefID", "C", color={"mode": "thresholds"}, thresholds=steps(PLAIN, (0.5, RISK))),
                override("byFrameRefID", "D", color={"mode": "thresholds"}, thresholds=alarm),
            ])),
        (3, stat(
            "Least error budget left", "The source and promise with the least error budget left. The budget is the "
            "time that a promise may be broken in 30 days. Below 0 it is overspent; -100 % means twice the budget or "
            "more.",
            [target(f"bottomk(1, {q.BUDGET_LEFT})", "{{source}}: {{objective}}", instant=True)], unit="percentunit",
            named=True, decimals=0, thresholds=OF_BUDGET, noValue="no source")),
    ]


def alerts():
    # The bar lets in what has no source: alerts of a repository or of the service.
    ours = f'alertname=~"BackupSla.+", {q.SERVICE}, source=~"$source|"'
    row = "(alertname, source, repository, instance, job)"

    def firing(labels=""):
        return f'ALERTS{{alertstate="firing", {labels}{ours}}}'

    critical, warning, none = (firing(f'severity="{severity}", ') for severity in ("critical", "warning", "none"))
    since = f"ALERTS_FOR_STATE{{{ours}}} and ignoring (alertstate) {firing()}"
    return table(
        "Firing alerts",
        "Alerts of backup-sla that fire now. The watchdog always fires: if it is missing, the rules in alerts/ are "
        "not loaded, or the exporter or its scheduler is down.",
        [
            Column("Severity", f"max by {row} (2 * {critical} or {warning} or 0 * {none})", width=85, cell=COLORED,
                   mappings=SEVERITIES),
            Column("Alert", label="alertname"),
            Column("Source", label="source", width=120, links=TO_SOURCE),
            Column("Repository", label="repository", width=100),
            Column("Since", f"max by {row} ({since}) * 1000", width=140, unit="dateTimeFromNow"),
            Column("instance", label="instance", hidden=True),
            Column("job", label="job", hidden=True),
        ],
        sort=[("Severity", True)],
        empty="Not even the watchdog: are the alert rules loaded?",
    )


def sources():
    known = f"{q.of_source('source_info')} and on {q.ONE} {q.of_source('source_retired')} == 0"
    return table(
        "Sources",
        "Every configured source as it is now. RPO and RTO are shares of what is promised: 100 % is the objective. "
        "Click a name to open its own dashboard.",
        [
            Column("Source", label="source", width=150, links=TO_SOURCE),
            Column("Kind", label="engine", width=80),
            Column("Broken promises", q.BROKEN_OR_PENDING, width=125, cell=FILLED,
                   mappings=values(**{"_-1": ("pending", IDLE), "_0": ("none", "transparent")}) + from_value(1, BAD)),
            Column("RPO", q.RPO_SHARE, cell=GAUGE, unit="percentunit", decimals=0, min=0, max=1,
                   color={"mode": "thresholds"}, thresholds=OF_OBJECTIVE),
            Column("Recovery point", q.milliseconds(q.of_source("recovery_point_timestamp_seconds")), width=125,
                   unit="dateTimeFromNow", cell=COLORED, mappings=values(_0=("none", BAD))),
            Column("Verified point", q.milliseconds(q.of_source("verified_recovery_point_timestamp_seconds")), width=120,
                   unit="dateTimeFromNow", cell=COLORED, mappings=values(_0=("none", BAD))),
            Column("Left out", q.LEFT_OUT, width=80, cell=COLORED,
                   mappings=values(_0=("nothing", PLAIN)) + from_value(1, RISK)),
            Column("RTO", q.of_objective(q.of_source("drill_last_rto_seconds"), "rto_objective_seconds"), cell=GAUGE,
                   unit="percentunit", decimals=0, min=0, max=1, color={"mode": "thresholds"}, thresholds=OF_OBJECTIVE,
                   mappings=values(_0=("not measured", BAD))),
            Column("Forecast", q.of_objective(q.of_source("forecast_rto_seconds"), "rto_objective_seconds"), width=95,
                   cell=COLORED, unit="percentunit", decimals=0, color={"mode": "thresholds"}, thresholds=OF_OBJECTIVE,
                   mappings=values(_0=("none", PLAIN))),
            Column("Last drill", q.DRILL_OUTCOME, width=105, cell=COLORED, mappings=OUTCOMES),
            Column("Last passed", q.milliseconds(q.of_source("drill_last_success_timestamp_seconds")), width=120,
                   unit="dateTimeFromNow", cell=COLORED, mappings=NEVER),
            Column("Budget left", f"min by {q.ONE} ({q.BUDGET_LEFT})", width=105, cell=COLORED, unit="percentunit",
                   decimals=0, color={"mode": "thresholds"}, thresholds=OF_BUDGET),
            Column("Repository", label="repository", width=90),
            Column("known", f"max by (job, instance, source, engine, repository) ({known})", dropped=True),
            Column("job", label="job", hidden=True),
            Column("instance", label="instance", hidden=True),
        ],
        sort=[("Broken promises", True), ("RPO", True)],
        empty="no exporter",
    )


def repositories():
    # Free where it is, of what it occupies and could.
    free = (f"{q.of_service('repository_available_bytes')} / ({q.of_service('repository_available_bytes')}"
            f" + {q.of_service('repository_size_bytes')})")

    def each(name):
        return f"max by (job, instance, repository) ({q.of_service(name)})"

    return table(
        "Repositories",
        "Where backups are kept, as of the last listing. Free is the free space on the storage of the repository. "
        "Free share is that space, divided by itself plus the size of the repository.",
        [
            Column("Repository", label="repository", width=120),
            Column("Readable", each("repository_up"), width=85, cell=COLORED, mappings=YES_OR_NO),
            Column("Key", each("encryption_key_available"), width=75, cell=COLORED,
                   mappings=values(_1=("fits", GOOD), _0=("missing", BAD))),
            Column("Last check", q.milliseconds(each("repository_check_timestamp_seconds")), width=110,
                   unit="dateTimeFromNow", cell=COLORED, mappings=values(_0=("never", RISK))),
            Column("Size", each("repository_size_bytes"), width=90, unit="bytes"),
            Column("Free", each("repository_available_bytes"), width=90, unit="bytes"),
            Column("Free share", f"max by (job, instance, repository) ({free})", cell=GAUGE, unit="percentunit",
                   decimals=0, min=0, max=1, color={"mode": "thresholds"},
                   thresholds=steps(BAD, (0.05, RISK), (0.15, GOOD))),
            Column("job", label="job", hidden=True),
            Column("instance", label="instance", hidden=True),
        ],
        sort=[("Repository", False)],
        empty="no repository was tried yet",
    )


def exporters():
    def each(name):
        return f"max by (job, instance) ({q.of_service(name)})"

    # `up` of everything else in this Prometheus matches `.+`, too: only what has told us its version is ours.
    ours = f"on (job, instance) last_over_time({q.of_service('build_info')}[$__range])"
    memory = (f"process_resident_memory_bytes{{{q.SERVICE}}} and on (job, instance) {q.of_service('build_info')}")
    missed = f"round(sum by (job, instance) (increase({q.of_source('missed_runs_total')}[$__range])))"
    return table(
        "Exporters",
        "The backup-sla services. One that is down stays listed as long as the selected time range has data from it. "
        "A confirmed test page proves that alerts reach a person.",
        [
            Column("Instance", label="instance", width=190),
            Column("Version", label="version", width=80),
            Column("Up", f"max by (job, instance) (up{{{q.SERVICE}}} and {ours})", width=60, cell=COLORED,
                   mappings=YES_OR_NO),
            Column("Scheduler looked", q.milliseconds(each("scheduler_last_tick_timestamp_seconds")), unit="dateTimeFromNow",
                   cell=COLORED, mappings=values(_0=("none runs", BAD))),
            Column("Ledger read", q.milliseconds(each("ledger_last_read_timestamp_seconds")), unit="dateTimeFromNow"),
            Column("History since", q.milliseconds(each("ledger_created_timestamp_seconds")), unit="dateTimeFromNow"),
            Column("Configuration", each("config_last_reload_success"), width=120, cell=COLORED,
                   mappings=values(_1=("in use", GOOD), _0=("refused", BAD))),
            Column("Sandboxes", each("sandboxes"), width=100),
            Column("Oldest sandbox", q.milliseconds(each("oldest_sandbox_created_timestamp_seconds")),
                   unit="dateTimeFromNow", mappings=values(_0=("none", PLAIN))),
            Column("Missed runs", missed, width=110, cell=COLORED, color={"mode": "thresholds"},
                   thresholds=steps(PLAIN, (0.5, RISK))),
            Column("Test page arrived", q.milliseconds(each("test_page_confirmed_timestamp_seconds")),
                   unit="dateTimeFromNow", cell=COLORED, mappings=values(_0=("never", RISK))),
            Column("Memory", f"max by (job, instance) ({memory})", width=100, unit="bytes"),
            Column("build", f"max by (job, instance, version) ({q.of_service('build_info')})", dropped=True),
            Column("job", label="job", hidden=True),
        ],
        sort=[("Instance", False)],
        empty="no exporter",
    )


def dashboard():
    worst = graph(
        "Worst shares of objectives", "The highest RPO and RTO of all sources over time, each as a share of what is "
        "promised for the source. Above the dashed line a promise is broken.",
        [target(f"max({q.RPO_SHARE})", "RPO"), target(f"max({q.RTO_SHARE})", "RTO of the last drills"),
         target(f"max({q.FORECAST_SHARE})", "RTO forecast")],
        unit="percentunit", limit=True, thresholds=steps("transparent", (1, BAD)), decimals=0, overrides=[
            override("byFrameRefID", "A", color=fixed(CALM)),
            override("byFrameRefID", "B", color=fixed("purple"), custom__lineInterpolation="stepAfter"),
            override("byFrameRefID", "C", color=fixed("purple"), custom__fillOpacity=0,
                     custom__lineStyle={"fill": "dash", "dash": [4, 4]}, custom__lineWidth=1),
        ])
    rpo = states(
        "RPO", "Whether the newest recovery point of each source was young enough: at risk from 80 % of the "
        "objective on.",
        [target(q.RPO_STATE, "{{source}}")], RPO_STATES)
    drills = states(
        "Last drill", "The verdict of the last test restore of each source, over time.",
        [target(q.DRILL_OUTCOME, "{{source}}")], OUTCOMES)
    room = graph(
        "Free space", "Free space on the storage of each repository.",
        [target(q.of_service("repository_available_bytes"), "{{repository}}")], unit="bytes", min=0)
    starts = annotation(
        "Service starts", f"process_start_time_seconds{{{q.SERVICE}}} * 1000 and on (job, instance)"
        f" {q.of_service('build_info')}", "{{instance}}", CALM, tags="instance", value_is_time=True, enable=False)
    return make(
        "backup-sla-fleet", "Backup SLA / Fleet",
        "Are the promises of the Backup SLA kept, by every source, and is that proven?",
        since="now-7d",
        variables=[
            variable("job", "label_values(backup_sla_build_info, job)"),
            variable("instance", 'label_values(backup_sla_build_info{job=~"$job"}, instance)'),
            variable("source", f"label_values(backup_sla_rpo_objective_seconds{{{q.SERVICE}}}, source)"),
        ],
        annotations=[starts],
        rows=[
            (4, first_glance()),
            (8, [(10, alerts()), (14, rpo)]),
            (12, [(24, sources())]),
            (8, [(14, drills), (10, worst)]),
            "Repositories",
            (5, [(15, repositories()), (9, room)]),
            "Service",
            (4, [(24, exporters())]),
        ],
    )
