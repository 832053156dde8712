"""The view of one source: its promises, and what was measured against each of them."""

from . import questions as q
from .fleet import NEVER, OUTCOMES
from .model import (
    BAD, CALM, GOOD, IDLE, OF_BUDGET, OF_OBJECTIVE, PLAIN, RISK,
    annotation, bars, dashboard as make, fixed, from_value, graph, override, stat, states, steps, target, values, variable,
)

OBJECTIVES = {
    "rpo": "RPO", "rto": "RTO", "retention": "Retention", "drill_interval": "Drill interval", "chain_length": "Chain "
    "length",
}
STAGES = {"select": PLAIN, "provision": "yellow", "load": CALM, "replay": "purple", "start": RISK, "verify": GOOD}
DASHED = {"fill": "dash", "dash": [8, 6]}
DOTTED = {"fill": "dot", "dash": [1, 5]}


def promised(ref):
    """A line that is a promise, not a measurement."""
    return override("byFrameRefID", ref, color=fixed(BAD), custom__lineStyle=DASHED, custom__fillOpacity=0,
                    custom__lineWidth=1)


def thin(ref, color, style=DOTTED, width=1):
    return override("byFrameRefID", ref, color=fixed(color), custom__lineStyle=style, custom__fillOpacity=0,
                    custom__lineWidth=width)


def with_share(title, description, value, share, **more):
    """A time, and beside it what that is of the objective."""
    overrides = [
        override("byFrameRefID", "B", unit="percentunit", decimals=0, color={"mode": "thresholds"}, thresholds=OF_OBJECTIVE),
    ]
    targets = [target(value[0], value[1], instant=True), target(f"max({share})", "of the objective", instant=True)]
    return stat(title, description, targets, unit="s", named=True, decimals=1, overrides=overrides, **more)


def first_glance():
    outcome = [
        target(f"max({q.DRILL_OUTCOME})", "verdict", instant=True),
        target(f"min({q.milliseconds(q.of_source('drill_last_success_timestamp_seconds'))})", "last passed", instant=True),
    ]
    due = [
        target(f"min({q.of_source('backup_next_run_timestamp_seconds')} > 0) * 1000", "backup", instant=True),
        target(f"min({q.of_source('drill_next_run_timestamp_seconds')} > 0) * 1000", "drill", instant=True),
    ]
    return [
        (3, stat(
            "Broken promises", "How many promises are broken now, out of RPO, RTO, retention, drill interval and "
            "chain length.",
            [target(f"sum({q.PROMISES_BROKEN}) > 0 or -1 * max({q.PENDING}) or sum({q.PROMISES_BROKEN})", "broken",
                    instant=True)], unit="none", background=True,
            mappings=values(**{"_-1": ("pending", IDLE), "_0": ("none", GOOD)}) + from_value(1, BAD), noValue="unknown")),
        (4, with_share(
            "RPO", "How much data would be lost now: age of the newest recovery point (of the data in it, not since "
            "the backup ended), and that age as a share of the objective.",
            (f"max({q.UNPROTECTED_SECONDS})", "would be lost"), q.RPO_SHARE, noValue="unknown")),
        (4, with_share(
            "RTO", "How long the last drill took from the decision to restore to the last verified answer, and its share "
            "of the objective.",
            (f"max({q.of_source('drill_last_rto_seconds')} > 0)", "measured"), q.RTO_SHARE, noValue="never measured")),
        (3, with_share(
            "RTO forecast", "Expected recovery time if the newest recovery point were restored now, computed from "
            "past drills and today's sizes.",
            (f"max({q.of_source('forecast_rto_seconds')} > 0)", "expected"), q.FORECAST_SHARE, noValue="no forecast yet")),
        (4, stat(
            "Last drill", "Verdict of the last test restore, and when one last passed.",
            outcome, unit="dateTimeFromNow", named=True, mappings=NEVER, overrides=[
                override("byFrameRefID", "A", unit="none", mappings=OUTCOMES),
            ], noValue="unknown")),
        (3, stat(
            "Left out", "Tables, views and other objects that are missing from the newest recovery point because "
            "they could not be read: `backup-sla status` names them.",
            [target(f"sum({q.LEFT_OUT})", "left out", instant=True)], unit="none",
            mappings=values(_0=("nothing", GOOD)) + from_value(1, RISK), noValue="no recovery point")),
        (3, stat(
            "Next", "When the next backup and the next drill are due.",
            due, unit="dateTimeFromNow", named=True, noValue="not scheduled")),
    ]


def rpo():
    return graph(
        "RPO", "Age of the newest recovery point over time: it grows until the next backup, and must stay below the dashed "
        "objective.",
        [
            target(q.age(q.of_source("recovery_point_timestamp_seconds")), "{{source}}: age of the newest recovery point"),
            target(q.of_source("rpo_objective_seconds"), "{{source}}: objective"),
        ],
        unit="s", fill=15, overrides=[promised("B")])


def budget():
    return bars(
        "Error budget left", "Share of each error budget that is left. The budget is the time that a promise may be "
        "broken in 30 days. An empty bar means that it is used up or overspent.",
        [target(f"min by (objective) ({q.BUDGET_LEFT})", "{{objective}}", instant=True)],
        unit="percentunit", min=0, max=1, decimals=0, thresholds=OF_BUDGET,
        overrides=[override("byName", objective, displayName=name) for objective, name in OBJECTIVES.items()])


def rto():
    median = q.of_source("drill_rto_seconds", 'quantile="0.5"')
    return graph(
        "RTO of the drills", "Measured recovery time of the last drill, its 30-day median, the objective, and the "
        "forecast, with its interval, of how long a restore of the newest recovery point would take.",
        [
            target(f"{q.of_source('drill_last_rto_seconds')} > 0", "{{source}}: measured"),
            target(q.of_source("rto_objective_seconds"), "{{source}}: objective"),
            target(f"{median} > 0", "{{source}}: median"),
            target(f"{q.of_source('forecast_rto_seconds')} > 0", "{{source}}: forecast"),
            target(f"{q.of_source('forecast_rto_low_seconds')} > 0", "{{source}}: forecast, low"),
            target(f"{q.of_source('forecast_rto_high_seconds')} > 0", "{{source}}: forecast, high"),
        ],
        unit="s", line="stepAfter", fill=15,
        overrides=[
            override("byFrameRefID", "A", color=fixed(GOOD)), promised("B"), thin("C", PLAIN), thin("D", CALM, DASHED, 2),
            thin("E", CALM), thin("F", CALM),
        ])


def stages():
    return graph(
        "Stages of the drills", "How long each stage of the last drill took; if several sources are selected, their "
        "sum.",
        [target(f"sum by (stage) ({q.of_source('drill_stage_duration_seconds')})", "{{stage}}")],
        unit="s", line="stepAfter", fill=60, stacked=True,
        overrides=[override("byName", stage, color=fixed(color)) for stage, color in STAGES.items()])


def of_each_kind(metric):
    """A metric of backups, increments against an axis of their own: they are much smaller."""
    targets = [
        target(f"{q.of_source(metric, labels)} > 0", "{{source}}: {{kind}}")
        for labels in ('kind="full"', 'kind="incremental"')
    ]
    overrides = [
        override("byFrameRefID", "A", color=fixed(CALM)),
        override("byFrameRefID", "B", color=fixed("purple"), custom__axisPlacement="right"),
    ]
    return {"targets": targets, "unit": "bytes", "line": "stepAfter", "overrides": overrides}


def sizes():
    return graph(
        "Size of backups", "Size of the last successful backup before deduplication and compression; increments use "
        "the right axis.",
        **of_each_kind("backup_last_size_bytes"))


def added():
    return graph(
        "Added to the repository", "Bytes that the last successful backup added to the repository, after "
        "deduplication and compression; increments use the right axis.",
        **of_each_kind("backup_last_added_bytes"))


def chain():
    return graph(
        "Chain length", "Increments that a restore of the newest recovery point replays on top of its full backup, "
        "and the promised maximum.",
        [target(q.of_source("chain_length"), "{{source}}: increments"),
         target(q.of_source("chain_length_objective"), "{{source}}: objective")],
        unit="none", line="stepAfter", fill=15, decimals=0, overrides=[promised("B")])


def lag():
    return graph(
        "Increment lag", "Where increments are taken all the time: age of the oldest change that is not in the repository "
        "yet, at most; 0 when there is none. It must stay below the dashed RPO.",
        [target(q.of_source("increment_lag_seconds"), "{{source}}: lag"),
         target(q.of_source("rpo_objective_seconds"), "{{source}}: objective")],
        unit="s", fill=15, overrides=[promised("B")])


def window():
    return graph(
        "Recovery window", "How far back a restore can go: age of the oldest recovery point. It must reach the dashed "
        "retention objective, once the source is that old.",
        [target(q.age(q.of_source("oldest_recovery_point_timestamp_seconds")), "{{source}}: oldest recovery point"),
         target(q.of_source("retention_objective_seconds"), "{{source}}: objective")],
        unit="s", fill=15, overrides=[override("byFrameRefID", "A", color=fixed(GOOD)), promised("B")])


def verification():
    return graph(
        "Verification", "Comparisons of the restored data with what its backup promised, in the last drill that "
        "passed or failed, and those that found a difference.",
        [target(q.of_source("verification_checks"), "{{source}}: comparisons"),
         target(q.of_source("verification_mismatches"), "{{source}}: mismatches")],
        unit="none", line="stepAfter", fill=0, decimals=0, overrides=[
            override("byFrameRefID", "A", color=fixed(GOOD)),
            override("byFrameRefID", "B", color=fixed(BAD), custom__fillOpacity=60),
        ])


def proofs():
    return graph(
        "Proofs", "Time since a drill last passed, against the promised interval, and the age of the newest recovery point "
        "that a drill has proved; the age of the newest chain of increments that was proved whole; and that of the newest "
        "canary in the repository.",
        [
            target(q.age(q.of_source("drill_last_success_timestamp_seconds")), "{{source}}: since a passed drill"),
            target(q.of_source("drill_interval_objective_seconds"), "{{source}}: objective"),
            target(q.age(q.of_source("verified_recovery_point_timestamp_seconds")), "{{source}}: verified point"),
            target(q.age(q.of_source("closing_proof_timestamp_seconds")), "{{source}}: closing proof"),
            target(q.age(q.of_source("canary_timestamp_seconds")), "{{source}}: canary"),
        ],
        unit="s", fill=15, overrides=[
            override("byFrameRefID", "A", color=fixed(GOOD)), promised("B"), thin("C", "purple"), thin("D", CALM), thin("E", RISK),
        ])


def breaks():
    return graph(
        "Breaks", "Breaks of the chain in each hour, and how long a time cannot be restored because of the newest one, "
        "until a full backup begins a new chain.",
        [target(f"{q.of_source('pitr_gap_seconds')}", "{{source}}: time that is lost"),
         target(q.count(f"increase({q.of_source('chain_breaks_total')}[1h])"), "breaks in an hour")],
        unit="s", line="stepAfter", fill=40, overrides=[
            override("byFrameRefID", "A", color=fixed(BAD)),
            override("byFrameRefID", "B", color=fixed(RISK), unit="none", custom__axisPlacement="right", custom__fillOpacity=0),
        ])


def replay():
    return graph(
        "Replay", "How long the last drill replayed increments, how long a restore of the newest recovery point is expected to "
        "replay them, and on the right axis the transactions that were replayed.",
        [target(q.of_source("replay_seconds"), "{{source}}: measured"),
         target(f"{q.of_source('forecast_replay_seconds')} > 0", "{{source}}: forecast"),
         target(q.of_source("replayed_transactions"), "{{source}}: transactions")],
        unit="s", line="stepAfter", fill=15, overrides=[
            override("byFrameRefID", "A", color=fixed("purple")), thin("B", CALM, DASHED, 2),
            override("byFrameRefID", "C", color=fixed(PLAIN), unit="none", decimals=0, custom__axisPlacement="right",
                     custom__fillOpacity=0),
        ])


def any_moment():
    start, end = (q.of_source(f"restore_window_{edge}_timestamp_seconds") for edge in ("start", "end"))
    return graph(
        "Restore to any moment", "The newest unbroken restore window: how long ago it begins and ends. Any moment between "
        "the two can be restored.",
        [target(q.age(start), "{{source}}: begins"), target(q.age(end), "{{source}}: ends")],
        unit="s", fill=15, overrides=[override("byFrameRefID", "A", color=fixed(GOOD)), thin("B", RISK, DASHED)])


def kinds():
    return graph(
        "Kinds of drills", "Time since a drill of each kind last passed: of the newest recovery point, a closed chain, a random "
        "moment, the oldest.",
        [target(q.age(q.of_source("drill_kind_last_success_timestamp_seconds")), "{{source}}: {{drill_kind}}")],
        unit="s", fill=0)


def last_runs():
    return states(
        "Last runs", "How the last backup and the last drill ended, over time.",
        [
            target(f"1 + ({q.of_source('backup_last_run_success')} == bool 0)", "{{source}}: backup"),
            target(q.DRILL_OUTCOME, "{{source}}: drill"),
        ],
        values(_0=("none yet", RISK), _1=("good", GOOD), _2=("failed", BAD), _3=("inconclusive", RISK)))


def runs():
    backups = f"increase({q.of_source('backups_total')}[$__range])"
    failures = f"increase({q.of_source('backup_failures_total')}[$__range])"
    missed = f"increase({q.of_source('missed_runs_total')}[$__range])"
    alarm = {"color": {"mode": "thresholds"}, "thresholds": steps(PLAIN, (0.5, BAD))}
    return stat(
        "Runs", "In the selected time range: backups begun and failed, drills passed and failed, and scheduled runs that did not "
        "begin.",
        [
            target(q.count(backups), "backups", instant=True),
            target(q.count(failures), "failed", instant=True),
            target(q.count(q.DRILLS_PASSED), "drills passed", instant=True),
            target(q.count(q.DRILLS_FAILED), "drills failed", instant=True),
            target(q.count(missed), "missed", instant=True),
        ],
        unit="none", named=True, color=fixed(PLAIN), overrides=[
            override("byFrameRefID", "B", **alarm), override("byFrameRefID", "D", **alarm),
            override("byFrameRefID", "E", color={"mode": "thresholds"}, thresholds=steps(PLAIN, (0.5, RISK))),
        ])


def points():
    return graph(
        "Recovery points", "States that can be restored, as the repository lists them, by kind.",
        [target(f"{q.of_source('recovery_points')} and on {q.ONE} {q.of_source('source_retired')} == 0",
                "{{source}}: {{kind}}")],
        unit="none", line="stepAfter", fill=40, stacked=True, decimals=0)


def data():
    def suspect(severity):
        return q.of_source("change_suspect", f'severity="{severity}"')

    return graph(
        "Data", "Rows of the newest backup. On the right axis, 1 while its data, compared with the backups before "
        "it, looks destroyed (suspect) or changed in an unusual way (unusual).",
        [target(q.of_source("change_rows"), "{{source}}: rows"),
         target(suspect("warning"), "{{source}}: unusual"),
         target(suspect("critical"), "{{source}}: suspect")],
        unit="none", line="stepAfter", fill=15, decimals=0, overrides=[
            override("byFrameRefID", "A", color=fixed(CALM)),
            override("byFrameRefID", "B", color=fixed(RISK), custom__axisPlacement="right"),
            override("byFrameRefID", "C", color=fixed(BAD), custom__axisPlacement="right", custom__fillOpacity=40),
        ])


def annotations():
    def ended(metric, labels=""):
        return q.milliseconds(f"({q.of_source(metric, labels)} > 0)")

    full, increments = (
        ended("backup_last_success_timestamp_seconds", f'kind="{kind}"') for kind in ("full", "incremental"))
    failing = f"({q.of_source('backup_last_run_success')} == bool 0) == 1"
    return [
        annotation("Failed drill", f"{q.drill_outcome('failed')} == 1", "{{source}}", BAD, tags="source"),
        annotation("Failing backups", failing, "{{source}}", RISK, tags="source"),
        # Good news, a mark a day or more: whoever wants them switches them on.
        annotation("Full backups", full, "{{source}}", CALM, tags="source", value_is_time=True, enable=False),
        annotation("Increments", increments, "{{source}}", "semi-dark-blue", tags="source",
                   value_is_time=True, enable=False),
        annotation("Passed drills", ended("drill_last_success_timestamp_seconds"), "{{source}}", GOOD, tags="source",
                   value_is_time=True, enable=False),
    ]


def dashboard():
    return make(
        "backup-sla-source", "Backup SLA / Source",
        "What is promised of a source, what was measured, and what happened.",
        since="now-30d",
        variables=[
            variable("job", "label_values(backup_sla_build_info, job)"),
            variable("instance", 'label_values(backup_sla_build_info{job=~"$job"}, instance)'),
            variable("source", f"label_values(backup_sla_rpo_objective_seconds{{{q.SERVICE}}}, source)"),
        ],
        annotations=annotations(),
        rows=[
            (4, first_glance()),
            (9, [(17, rpo()), (7, [(6, budget()), (3, runs())])]),
            (9, [(15, rto()), (9, stages())]),
            "Backups and recovery points",
            (8, [(6, sizes()), (6, added()), (6, points()), (6, window())]),
            (7, [(18, data()), (6, lag())]),
            "Chain and drills",
            (8, [(6, chain()), (6, proofs()), (6, verification()), (6, last_runs())]),
            (8, [(6, any_moment()), (6, breaks()), (6, replay()), (6, kinds())]),
        ],
    )
