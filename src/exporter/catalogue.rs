//! Every metric, declared once: the collector can fill no other, and `docs/metrics.md` is checked against this table.
//!
//! Rules: base units; timestamps instead of ages for whatever is alerted on; what never happened is 0 and present.

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, over restarts too.
    Counter,
    /// Percentiles with sum and count.
    Summary,
}

impl MetricKind {
    /// Name in the exposition and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Summary => "summary",
        }
    }
}

/// Declaration of one metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// Base unit; `1` for counts and truth values.
    pub unit: &'static str,
    /// Labels, in the order the collector gives their values.
    pub labels: &'static [&'static str],
    /// What it says, one sentence or two.
    pub help: &'static str,
    /// Place in [`ALL`].
    pub place: usize,
}

macro_rules! metrics {
    ($($symbol:ident $kind:ident $name:literal $unit:literal [$($label:literal)*] $help:literal)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)] // the symbols of the statics, to count them
        enum Place { $($symbol),* }
        $(#[doc = $help] pub static $symbol: Metric = Metric {
            name: $name, kind: MetricKind::$kind, unit: $unit, labels: &[$($label),*], help: $help,
            place: Place::$symbol as usize,
        };)*
        /// Every metric, in the order of the documentation.
        pub static ALL: &[&Metric] = &[$(&$symbol),*];
    };
}

metrics! {
    SOURCE_INFO Gauge "backup_sla_source_info" "1" ["source" "kind" "engine" "repository" "sla"]
        "Always 1; its labels say what the source is, where its backups are kept and which SLA is promised, and carry the operator's own. `kind` is the old name of `engine`."
    SOURCE_CREATED Gauge "backup_sla_source_created_timestamp_seconds" "seconds" ["source"]
        "When the ledger first heard of the source, or the time of its oldest recovery point if that is older; 0 if never."
    SOURCE_RETIRED Gauge "backup_sla_source_retired" "1" ["source"]
        "1 if the source is no longer configured; then only its info, creation and recovery points are exported."

    SOURCE_PENDING Gauge "backup_sla_source_pending" "1" ["source"]
        "1 while a new source still has time for its first backup or its first drill; its pending objectives have no backup_sla_objective_met."

    RPO_OBJECTIVE Gauge "backup_sla_rpo_objective_seconds" "seconds" ["source"]
        "Promised: largest age of the newest recovery point that the repository lists, whether or not a drill has restored it."
    RTO_OBJECTIVE Gauge "backup_sla_rto_objective_seconds" "seconds" ["source"]
        "Promised: largest time from the decision to restore to the first correct answer."
    RETENTION_OBJECTIVE Gauge "backup_sla_retention_objective_seconds" "seconds" ["source"]
        "Promised: how far back recovery points are kept."
    DRILL_INTERVAL_OBJECTIVE Gauge "backup_sla_drill_interval_objective_seconds" "seconds" ["source"]
        "Promised: largest time between two passed drills."
    CHAIN_LENGTH_OBJECTIVE Gauge "backup_sla_chain_length_objective" "1" ["source"]
        "Promised: largest number of increments on top of a full backup."
    SLO_OBJECTIVE Gauge "backup_sla_slo_objective_ratio" "ratio" ["source"]
        "Promised: share of the time in which each objective is met."

    RECOVERY_POINT_TIMESTAMP Gauge "backup_sla_recovery_point_timestamp_seconds" "seconds" ["source"]
        "As-of time of the newest recovery point that the repository lists; 0 if there is none."
    VERIFIED_RECOVERY_POINT_TIMESTAMP Gauge "backup_sla_verified_recovery_point_timestamp_seconds" "seconds" ["source"]
        "As-of time of the newest listed recovery point whose last drill passed (inconclusive drills do not count); 0 if there is none."
    OLDEST_RECOVERY_POINT_TIMESTAMP Gauge "backup_sla_oldest_recovery_point_timestamp_seconds" "seconds" ["source"]
        "As-of time of the oldest recovery point that the repository lists; 0 if there is none."
    RESTORE_WINDOW_START_TIMESTAMP Gauge "backup_sla_restore_window_start_timestamp_seconds" "seconds" ["source"]
        "Start of the newest unbroken restore window: any moment from then to its end can be restored; 0 if there is none."
    RESTORE_WINDOW_END_TIMESTAMP Gauge "backup_sla_restore_window_end_timestamp_seconds" "seconds" ["source"]
        "End of the newest unbroken restore window, equal to its start where no increment follows the full backup; 0 if there is none."
    RECOVERY_POINT_AGE Gauge "backup_sla_recovery_point_age_seconds" "seconds" ["source"]
        "Age of the newest recovery point when it was scraped, for people to read (alerts use the timestamp); absent if there is none."
    RECOVERY_POINTS Gauge "backup_sla_recovery_points" "1" ["source" "kind"]
        "Recovery points that the repository lists. Of increments closer together than a quarter of the RPO (at most 5 minutes) only the last is counted."
    RECOVERY_POINTS_VANISHED Gauge "backup_sla_recovery_points_vanished" "1" ["source"]
        "Recovery points that are gone from the repository before the promised retention is over."
    RETENTION_GAPS Gauge "backup_sla_retention_gaps" "1" ["source"]
        "Gaps longer than the RPO within the promised retention, of which no moment can be restored although incremental backups were scheduled; 0 if there is none."
    SUSPECT_RECOVERY_POINT_TIMESTAMP Gauge "backup_sla_suspect_recovery_point_timestamp_seconds" "seconds" ["source"]
        "As-of time of the latest recovery point with a doubtful date: in the future, or against the order of publication. Such points count for no objective. 0 if there is none."

    CHANGE_SUSPECT Gauge "backup_sla_change_suspect" "1" ["source" "severity"]
        "1 if the data of the newest backup looks destroyed (critical) or changed in an unusual way (warning) and nobody accepted that, else 0."
    CHANGE_JUDGED Gauge "backup_sla_change_judged" "1" ["source"]
        "1 if the newest backup was compared with those before it; 0 while there are too few of them, or if comparing is turned off."
    CHANGE_CONTENT_JUDGED Gauge "backup_sla_change_content_judged" "1" ["source"]
        "1 if the newest backup could be checked for encrypted content; 0 if not, or if it was not compared (backup_sla_change_judged)."
    CHANGE_BEFORE Gauge "backup_sla_change_before_timestamp_seconds" "seconds" ["source"]
        "As-of time of the last recovery point before a suspect change; 0 if nothing is suspect."
    CHANGE_ROWS Gauge "backup_sla_change_rows" "1" ["source"]
        "Rows of tables, points of measurements or entries of file trees in the newest compared backup; 0 if none was compared."
    CHANGE_ROWS_LOST Gauge "backup_sla_change_rows_lost_ratio" "ratio" ["source"]
        "Share of the rows that are gone from the newest compared backup, beyond the usual ups and downs; 0 if it was not judged."
    CHANGE_TABLES_EMPTIED Gauge "backup_sla_change_tables_emptied" "1" ["source"]
        "Tables, measurements or trees that are gone or nearly empty in the newest compared backup, but were not before; 0 if it was not judged."
    CHANGE_REPLACED Gauge "backup_sla_change_content_replaced_ratio" "ratio" ["source"]
        "Share of the content that was replaced between the newest compared backup and the one before; absent where that is unknown."
    CHANGE_COMPRESSION Gauge "backup_sla_change_compression_ratio" "ratio" ["source"]
        "Stored bytes per byte of new data in the newest compared backup, near 1 for encrypted data; absent if there was little new data."

    LEFT_OUT_OBJECTS Gauge "backup_sla_left_out_objects" "1" ["source" "kind"]
        "Tables, views and other objects that are missing from the newest recovery point because they could not be read; files count as tables."
    PITR_GAP Gauge "backup_sla_pitr_gap_seconds" "seconds" ["source"]
        "Time between the newest backup before a break of the chain and the moment at which the break was found; 0 once a newer full backup is there."

    BACKUPS Counter "backup_sla_backups_total" "1" ["source" "kind"]
        "Backups begun since the ledger was created."
    BACKUP_FAILURES Counter "backup_sla_backup_failures_total" "1" ["source" "kind"]
        "Backups that failed or were interrupted since the ledger was created."
    BACKUP_ADDED_BYTES Counter "backup_sla_backup_added_bytes_total" "bytes" ["source" "kind"]
        "Bytes that backups added to the repository since the ledger was created."
    BACKUP_LAST_RUN_SUCCESS Gauge "backup_sla_backup_last_run_success" "1" ["source"]
        "1 if the last finished backup succeeded, 0 if it did not or there was none."
    BACKUP_LAST_START Gauge "backup_sla_backup_last_start_timestamp_seconds" "seconds" ["source" "kind"]
        "When the last backup began; 0 if there was none."
    BACKUP_LAST_SUCCESS Gauge "backup_sla_backup_last_success_timestamp_seconds" "seconds" ["source" "kind"]
        "When the last successful backup ended; 0 if there was none."
    BACKUP_LAST_DURATION Gauge "backup_sla_backup_last_duration_seconds" "seconds" ["source" "kind"]
        "How long the last successful backup took; 0 if there was none."
    BACKUP_LAST_SIZE Gauge "backup_sla_backup_last_size_bytes" "bytes" ["source" "kind"]
        "Size of the last successful backup before deduplication and compression; 0 if there was none."
    BACKUP_LAST_ADDED Gauge "backup_sla_backup_last_added_bytes" "bytes" ["source" "kind"]
        "Bytes that the last successful backup added to the repository; 0 if there was none."
    BACKUP_NEXT_RUN Gauge "backup_sla_backup_next_run_timestamp_seconds" "seconds" ["source" "kind"]
        "When the next scheduled backup is due, a time in the past if it is late; 0 without a schedule."

    CHAIN_LENGTH Gauge "backup_sla_chain_length" "1" ["source"]
        "Increments that a restore of the newest recovery point replays on top of its full backup."
    CHAIN_BROKEN Gauge "backup_sla_chain_broken" "1" ["source"]
        "1 from a break of the chain (the source did not continue its newest backup) until a full backup is published after it."
    CHAIN_BREAKS Counter "backup_sla_chain_breaks_total" "1" ["source"]
        "Breaks of the chain since the ledger was created. Moments between a break and the next full backup cannot be restored."
    CHAIN_LAST_BREAK Gauge "backup_sla_chain_last_break_timestamp_seconds" "seconds" ["source"]
        "When the last break of the chain was found; 0 if there was none."

    CANARY Gauge "backup_sla_canary_timestamp_seconds" "seconds" ["source"]
        "When the newest canary was written that is in the repository: a row that is written into the source before each backup and read back from what is stored; 0 if there is none."
    INCREMENT_LAG Gauge "backup_sla_increment_lag_seconds" "seconds" ["source"]
        "With continuous increments: age of the oldest change that is not in the repository yet, at most; 0 when there is none. Where nobody knows what the server has, the time since the newest recovery point. Absent for other sources."

    DRILLS Counter "backup_sla_drills_total" "1" ["source"]
        "Drills of all kinds begun since the ledger was created."
    DRILL_FAILURES Counter "backup_sla_drill_failures_total" "1" ["source"]
        "Drills with the verdict failed since the ledger was created; inconclusive ones do not count, they say nothing about the backup."
    DRILLS_OVER_RTO Counter "backup_sla_drills_over_rto_total" "1" ["source"]
        "Drills that took longer than the RTO that was promised at the time, since the ledger was created."
    DRILL_LAST_OUTCOME Gauge "backup_sla_drill_last_outcome" "1" ["source" "outcome"]
        "1 for the outcome of the last finished drill, 0 for the others; an interrupted drill is inconclusive. A closing proof, or a drill of a random moment or the oldest point, that failed stands until the same passes or its point is gone."
    DRILL_LAST_SUCCESS Gauge "backup_sla_drill_last_success_timestamp_seconds" "seconds" ["source"]
        "When the last passed drill of the newest recovery point ended; 0 if there was none."
    DRILL_LAST_RTO Gauge "backup_sla_drill_last_rto_seconds" "seconds" ["source"]
        "Recovery time of the last drill that measured one; 0 if none has."
    DRILL_STAGE_DURATION Gauge "backup_sla_drill_stage_duration_seconds" "seconds" ["source" "stage"]
        "Duration of each stage of the drill that backup_sla_drill_last_rto_seconds is from; 0 for a stage that it did not enter."
    DRILL_RTO Summary "backup_sla_drill_rto_seconds" "seconds" ["source"]
        "Recovery time of passed drills: percentiles of the last 30 days (0 if there was none), sum and count since the ledger was created."
    DRILL_NEXT_RUN Gauge "backup_sla_drill_next_run_timestamp_seconds" "seconds" ["source"]
        "When the next scheduled drill is due, a time in the past if it is late; 0 without a schedule."
    DRILL_KIND_LAST_SUCCESS Gauge "backup_sla_drill_kind_last_success_timestamp_seconds" "seconds" ["source" "drill_kind"]
        "When the last passed drill of this kind ended: the newest recovery point, a closed chain, a random moment, the oldest, or one that somebody named; 0 if there was none."
    CLOSING_PROOF Gauge "backup_sla_closing_proof_timestamp_seconds" "seconds" ["source"]
        "As-of time of the newest full backup that proved the chain of increments before it; 0 if there is none."
    CLOSING_PROOF_MAX_AGE Gauge "backup_sla_closing_proof_max_age_seconds" "seconds" ["source"]
        "How old the newest closing proof may become: twice the time between full backups and the promised drill interval; 0 where no chain is to be proved."
    INCREMENTS_SINCE Gauge "backup_sla_increments_since_timestamp_seconds" "seconds" ["source"]
        "Since when the service is asked for increments at the configured times; 0 if it is not."
    REPLAYED_TRANSACTIONS Gauge "backup_sla_replayed_transactions" "1" ["source"]
        "Transactions that the drill replayed which backup_sla_drill_last_rto_seconds is from."
    REPLAY_SECONDS Gauge "backup_sla_replay_seconds" "seconds" ["source"]
        "How long that drill replayed increments; 0 if there were none."
    VERIFICATION_CHECKS Gauge "backup_sla_verification_checks" "1" ["source"]
        "Comparisons made by the last drill that passed or failed."
    VERIFICATION_MISMATCHES Gauge "backup_sla_verification_mismatches" "1" ["source"]
        "Comparisons that found a difference in the last drill that passed or failed."
    VERIFIED_ROWS Gauge "backup_sla_verified_rows" "1" ["source"]
        "Rows in the data restored by the last drill that passed or failed."

    FORECAST_RTO Gauge "backup_sla_forecast_rto_seconds" "seconds" ["source"]
        "Recovery time to expect if the newest recovery point were restored now; 0 if there is no forecast."
    FORECAST_RTO_LOW Gauge "backup_sla_forecast_rto_low_seconds" "seconds" ["source"]
        "Lower end of the 90 % interval of the forecast; 0 if there is no forecast."
    FORECAST_RTO_HIGH Gauge "backup_sla_forecast_rto_high_seconds" "seconds" ["source"]
        "Upper end of the 90 % interval of the forecast; 0 if there is no forecast."
    FORECAST_ERROR Gauge "backup_sla_forecast_error_ratio" "ratio" ["source"]
        "How wrong the forecast before the last passed drill was: the difference as a share of what the drill measured; 0 if there is no forecast."
    FORECAST_DRILLS Gauge "backup_sla_forecast_drills" "1" ["source"]
        "Passed drills that the forecast is based on; 0 if there is no forecast."

    FORECAST_REPLAY Gauge "backup_sla_forecast_replay_seconds" "seconds" ["source"]
        "How much of the recovery time to expect is the replay of increments; 0 if there is no forecast or nothing to replay."

    OBJECTIVE_MET Gauge "backup_sla_objective_met" "1" ["source" "objective"]
        "1 if the objective (rpo, rto as last measured, retention, drill_interval or chain_length) is met now, 0 if not. Absent while it is pending, and while the repository that would have to prove it cannot be read."
    OBJECTIVE_MET_RATIO Gauge "backup_sla_objective_met_ratio" "ratio" ["source" "objective" "window"]
        "Share of the window, or of the time since the source was first seen if that is shorter, in which the objective was met. Pending time does not count; absent if there was no other time."
    OBJECTIVE_MET_RATIO_JUDGED Gauge "backup_sla_objective_met_ratio_judged" "1" ["source" "objective" "window"]
        "1 if backup_sla_objective_met_ratio can be judged: it covers 7 days or more, or more time was lost than the whole window allows."

    REPOSITORY_UP Gauge "backup_sla_repository_up" "1" ["repository"]
        "1 if the repository could be read when that was last tried, 0 if not, or while it does not answer; absent until the first try."
    REPOSITORY_LAST_LOOK Gauge "backup_sla_repository_last_look_timestamp_seconds" "seconds" ["repository"]
        "When the last listing of the repository ended, successful or not: all figures about it and its recovery points are from then; absent before the first."
    REPOSITORY_UNSEEN_SINCE Gauge "backup_sla_repository_unseen_since_timestamp_seconds" "seconds" ["repository"]
        "Since when the service waits for the first listing of the repository: its own start, or the reload that added the repository; absent once a listing has ended."
    REPOSITORY_LOOK_INTERVAL Gauge "backup_sla_repository_look_interval_seconds" "seconds" ["repository"]
        "Longest time between two listings of the repository while all is well: listing_interval plus listing_timeout."
    REPOSITORY_CHECK_SUCCESS Gauge "backup_sla_repository_check_success" "1" ["repository"]
        "1 if the last integrity check found nothing wrong, 0 if it found something; absent before the first one."
    REPOSITORY_CHECK_TIMESTAMP Gauge "backup_sla_repository_check_timestamp_seconds" "seconds" ["repository"]
        "When the last integrity check ended; 0 if there was none."
    REPOSITORY_CHECK_PROGRESS Gauge "backup_sla_repository_check_progress_ratio" "ratio" ["repository"]
        "Share of the repository's data that checks have read and found intact within the last read_all_within; 0 if none."
    MAINTENANCE_LAST_SUCCESS Gauge "backup_sla_maintenance_last_success_timestamp_seconds" "seconds" ["repository"]
        "When maintenance last succeeded: it removed the recovery points beyond their retention, or found none; 0 if never."
    MAINTENANCE_LAST_RUN_SUCCESS Gauge "backup_sla_maintenance_last_run_success" "1" ["repository"]
        "1 if the last maintenance succeeded, 0 if it failed; absent before the first one."
    MAINTENANCE_REMOVED_POINTS Counter "backup_sla_maintenance_removed_points_total" "1" ["repository"]
        "Recovery points that maintenance removed since the ledger was created."
    MAINTENANCE_INTERVAL Gauge "backup_sla_maintenance_interval_seconds" "seconds" ["repository"]
        "Longest time between two scheduled maintenance runs; absent if none is scheduled."
    REPOSITORY_SIZE Gauge "backup_sla_repository_size_bytes" "bytes" ["repository"]
        "Bytes that the repository occupies; absent where that is unknown."
    REPOSITORY_AVAILABLE Gauge "backup_sla_repository_available_bytes" "bytes" ["repository"]
        "Free bytes on the storage that the repository is on; absent where that is unknown."
    ENCRYPTION_KEY_AVAILABLE Gauge "backup_sla_encryption_key_available" "1" ["repository"]
        "1 if the configured key opened the repository when that was last tried, 0 if not; absent until the first try, and while another repository is in its place."

    OPERATION_START Gauge "backup_sla_operation_start_timestamp_seconds" "seconds" ["source" "operation"]
        "When the oldest running operation of this kind began; 0 if none runs."
    OPERATION_PROGRESS Gauge "backup_sla_operation_progress_ratio" "ratio" ["source" "operation"]
        "Estimated share of its current phase that the oldest running operation of this kind has done; 0 if none runs."
    MISSED_RUNS Counter "backup_sla_missed_runs_total" "1" ["source" "operation"]
        "Scheduled runs that did not begin in time, because the service was down or they could not start, since the ledger was created."
    SCHEDULER_LAST_TICK Gauge "backup_sla_scheduler_last_tick_timestamp_seconds" "seconds" []
        "When the scheduler last looked for work; 0 if this process has no scheduler."
    STATE_WRITABLE Gauge "backup_sla_state_writable" "1" []
        "1 if the state directory could be written when that was last tried, 0 if not; then nothing is recorded, and no backup or drill can begin."
    CONFIG_LAST_RELOAD_SUCCESS Gauge "backup_sla_config_last_reload_success" "1" []
        "1 if the configuration that was last read is in use, 0 if it was refused and the one before is still in use."
    SANDBOXES Gauge "backup_sla_sandboxes" "1" []
        "Sandboxes that exist now, including those that were left behind."
    OLDEST_SANDBOX Gauge "backup_sla_oldest_sandbox_created_timestamp_seconds" "seconds" []
        "When the oldest existing sandbox was made; 0 if there is none."
    TEST_PAGE_CODE Gauge "backup_sla_test_page_code" "1" []
        "Code that confirms the test page that is raised now; 0 if none is raised."
    TEST_PAGE_RAISED Gauge "backup_sla_test_page_raised_timestamp_seconds" "seconds" []
        "When a test page was last raised; 0 if never."
    TEST_PAGE_CONFIRMED Gauge "backup_sla_test_page_confirmed_timestamp_seconds" "seconds" []
        "When somebody last confirmed that a test page had arrived; 0 if never."
    LEDGER_CREATED Gauge "backup_sla_ledger_created_timestamp_seconds" "seconds" []
        "When the ledger was created: counters count from then. If a source's oldest recovery point is older, history was lost."
    LEDGERS_SET_ASIDE Gauge "backup_sla_ledgers_set_aside" "1" []
        "Earlier ledgers that were damaged, removed or emptied; each left a file beside the one in use. What they had recorded is in no report."
    LEDGER_SEALS_VERIFIED Gauge "backup_sla_ledger_seals_verified_timestamp_seconds" "seconds" []
        "When all records of the ledger were last compared with their seals; 0 if never."
    LEDGER_SEAL_FAULTS Gauge "backup_sla_ledger_seal_faults" "1" []
        "Records of the ledger that did not match their seals when they were last compared: they were changed after they were written. Absent before the first comparison."
    LEDGER_LAST_READ Gauge "backup_sla_ledger_last_read_timestamp_seconds" "seconds" []
        "When these figures were last read from the ledger."
    BUILD_INFO Gauge "backup_sla_build_info" "1" ["version" "revision"]
        "Always 1; its labels name the program that answers."

    PROCESS_CPU Counter "process_cpu_seconds_total" "seconds" []
        "User and system CPU time of this process."
    PROCESS_START Gauge "process_start_time_seconds" "seconds" []
        "When this process started."
    PROCESS_RESIDENT Gauge "process_resident_memory_bytes" "bytes" []
        "Resident memory of this process."
    PROCESS_VIRTUAL Gauge "process_virtual_memory_bytes" "bytes" []
        "Address space of this process."
    PROCESS_OPEN_FDS Gauge "process_open_fds" "1" []
        "Open file descriptors of this process."
    PROCESS_MAX_FDS Gauge "process_max_fds" "1" []
        "Most file descriptors that this process may open."
}

/// The table of `docs/metrics.md`, in Markdown.
pub fn documentation() -> String {
    let row = |metric: &&Metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(" ");
        let cells = [&format!("`{}`", metric.name), metric.kind.name(), metric.unit, &labels, metric.help];
        format!("| {} |\n", cells.join(" | "))
    };
    let head = "| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n".to_owned();
    std::iter::once(head).chain(ALL.iter().map(row)).collect()
}
