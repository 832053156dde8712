"""What both dashboards ask of Prometheus.

Every selector takes the variables of the dashboard; every objective comes from its metric, no number of hours is written
here. A timestamp is 0 as long as a thing never happened (docs/metrics.md): it is compared or mapped, never subtracted from
now as it is. A retired source has no objectives, so whatever is divided by one leaves it out.
"""

SERVICE = 'job=~"$job", instance=~"$instance"'
SOURCE = f'{SERVICE}, source=~"$source"'
# One source of one exporter: what joins are made on and what rows and lines stand for.
ONE = "(job, instance, source)"


def of_source(name, labels=""):
    """A metric of the chosen sources."""
    return f"backup_sla_{name}{{{labels + ', ' if labels else ''}{SOURCE}}}"


def of_service(name, labels=""):
    """A metric of the chosen exporters."""
    return f"backup_sla_{name}{{{labels + ', ' if labels else ''}{SERVICE}}}"


def milliseconds(timestamp):
    """Grafana counts dates in milliseconds."""
    return f"{timestamp} * 1000"


def age(timestamp):
    """Seconds since a time, nothing where it never happened."""
    return f"time() - ({timestamp} > 0)"


def of_objective(value, objective):
    """A value of a source as a share of what is promised."""
    return f"{value} / on {ONE} {of_source(objective)}"


# How much data would be lost now. A source without a recovery point has lost everything since it is known.
UNPROTECTED_SECONDS = (
    f"(time() - ({of_source('recovery_point_timestamp_seconds')} > 0"
    f" or {of_source('source_created_timestamp_seconds')} > 0))"
)
RPO_SHARE = of_objective(UNPROTECTED_SECONDS, "rpo_objective_seconds")
RTO_SHARE = of_objective(f"({of_source('drill_last_rto_seconds')} > 0)", "rto_objective_seconds")
FORECAST_SHARE = of_objective(f"({of_source('forecast_rto_seconds')} > 0)", "rto_objective_seconds")

# 1 while a new source is pending: what is not due yet has no objective_met, and is neither kept nor broken.
PENDING = f"({of_source('source_pending')} == 1)"

# 0 kept, 1 at risk, 2 breached, 3 pending.
_RPO_PENDING = PENDING + f" unless on {ONE} " + of_source("objective_met", 'objective="rpo"')
RPO_STATE = f"3 * ({_RPO_PENDING}) or on {ONE} ({RPO_SHARE} > bool 0.8) + ({RPO_SHARE} > bool 1)"


def drill_outcome(outcome):
    """1 where this was the outcome of the last drill."""
    return of_source("drill_last_outcome", f'outcome="{outcome}"')


# 0 none yet, 1 passed, 2 failed, 3 inconclusive.
DRILL_OUTCOME = " + ".join(
    f"{number} * sum by {ONE} ({drill_outcome(outcome)})"
    for number, outcome in enumerate(("passed", "failed", "inconclusive"), 1)
)

PROMISES_BROKEN = f"sum by {ONE} ({of_source('objective_met')} == bool 0)"
# What the newest recovery point has not of what its source had; of no recovery point nothing is left out.
LEFT_OUT = (f"sum by {ONE} ({of_source('left_out_objects')})"
            f" and on {ONE} {of_source('recovery_point_timestamp_seconds')} > 0")

# -1 where none is broken and something is pending.
BROKEN_OR_PENDING = f"{PROMISES_BROKEN} > 0 or on {ONE} -1 * max by {ONE} {PENDING} or on {ONE} {PROMISES_BROKEN}"

# Of the time in which a promise may be broken, the share that is left; below 0 it is overspent, -1 stands for twice the
# budget and everything worse. A promise of "always" has no budget.
MET_RATIO = of_source("objective_met_ratio", 'window="30d"')
BUDGET_LEFT = (
    f"clamp_min(({MET_RATIO} - on {ONE} group_left () {of_source('slo_objective_ratio')})"
    f" / on {ONE} group_left () (1 - clamp_max({of_source('slo_objective_ratio')}, 0.999999)), -1)"
)

DRILLS_BEGUN = f"increase({of_source('drills_total')}[$__range])"
DRILLS_PASSED = f"increase({of_source('drill_rto_seconds_count')}[$__range])"
DRILLS_FAILED = f"increase({of_source('drill_failures_total')}[$__range])"
DRILLS_OVER_RTO = f"increase({of_source('drills_over_rto_total')}[$__range])"


def count(per_source):
    """All sources together, as a whole number: `increase` extrapolates to the edges of the range."""
    return f"round(sum({per_source}))"
