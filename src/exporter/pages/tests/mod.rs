//! Pages over real ledgers, without a browser: what is said, what is escaped, what is bounded.

mod past;
mod unseen;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;

use super::{Page, answer};
use crate::clock::Clock;
use crate::domain::drill::{Check, TableResult};
use crate::domain::forecast::{Forecast, Size};
use crate::domain::history::Share;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::domain::schedule::Work;
use crate::domain::sla::Objective;
use crate::exporter::tests::{SetClock, config, point, seeded, service};
use crate::ledger::{Ledger, Operation, Outcome, RunResult, RunStart};
use crate::state::View;
use crate::state::service::{Progress, Reload, SchedulerState};

struct Place {
    view: View,
    ledger: Ledger,
    _dir: tempfile::TempDir,
}

impl Place {
    /// A ledger in which much happened to `agama`, nothing to `new`, and `gone` is retired.
    async fn seeded() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
        let ledger = seeded(dir.path(), &clock).await;
        Self::of(dir, ledger, &clock, &["agama", "new"]).await
    }

    async fn of(dir: tempfile::TempDir, ledger: Ledger, clock: &SetClock, sources: &[&str]) -> Self {
        let snapshot = ledger.snapshot().await.unwrap();
        let view = View::new(config(dir.path(), sources), snapshot, service(), clock.wall());
        Self { view, ledger, _dir: dir }
    }

    async fn page(&self, address: &str) -> Page {
        let (path, query) = address.split_once('?').map_or((address, None), |(path, query)| (path, Some(query)));
        answer(&self.view, (&self.ledger, None), path, query).await.unwrap().unwrap()
    }

    async fn text(&self, address: &str) -> String {
        String::from_utf8(self.page(address).await.body.to_vec()).unwrap()
    }

    async fn json(&self, address: &str) -> serde_json::Value {
        serde_json::from_slice(&self.page(address).await.body).unwrap()
    }
}

fn assert_says(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "not said: {words}\n{text}");
    }
}

#[tokio::test]
async fn the_fleet_page_says_what_is_wrong_what_runs_and_what_comes_next() {
    let mut place = Place::seeded().await;
    let now = place.view.now;
    place.view.service.scheduler = Some(SchedulerState {
        last_tick: Some(now - TimeDelta::minutes(10)),
        next_runs: BTreeMap::from([(("agama".to_owned(), Work::FullBackup), now + TimeDelta::minutes(12))]),
    });
    place.view.service.last_reload = Some(Reload { at: now, error: Some("line 3: unknown key `rop`".into()) });
    place.view.service.running = vec![Progress {
        source: "agama".into(),
        operation: Operation::Restore,
        kind: None,
        started: now - TimeDelta::minutes(5),
        phase: "load".into(),
        done_bytes: 1 << 30,
        total_bytes: Some(4 << 30),
    }];
    let share = Share { met: TimeDelta::hours(686), judged: TimeDelta::hours(700) };
    place.view.met_ratios = Arc::new(BTreeMap::from([(
        "agama".to_owned(),
        Objective::ALL.into_iter().map(|objective| (objective, share)).collect(),
    )]));
    let text = place.text("/").await;
    assert_says(
        &text,
        &[
            "<h1>The data of 1 source looks DESTROYED; 1 of 2 sources breaks a promise; 1 more needs attention; the service itself is in trouble.</h1>",
            "There is no recovery point: nothing can be restored",
            "The scheduler has stalled",
            "line 3: unknown key `rop`",
            "The last drill failed: the backup does not restore as promised",
            "backup-sla drill agama",
            "1.0 GiB of about 4.0 GiB",
            "25 %",
            "98 %</span> <span class=\"state bad\">",
            "full <time datetime=\"2026-09-21T14:35:20Z\" title=\"2026-09-21T14:35:20Z\">in 12m</time>",
            "Retired sources",
            "http-equiv=\"refresh\"",
            "data looks DESTROYED</span>",
            "Only if the change was meant: backup-sla",
        ],
    );
    let wrong = &text[text.find("Wrong now").unwrap()..];
    assert!(wrong.find("href=\"sources/agama\"") < wrong.find("href=\"sources/new\""), "worst first");
    let filtered = place.text("/?q=AGA").await;
    assert_says(&filtered, &["1 of 2 sources, worst first", "value=\"AGA\""]);
}

#[tokio::test]
async fn a_source_page_offers_the_state_before_the_data_changed_first_and_marks_the_suspect_one() {
    let text = Place::seeded().await.text("/sources/agama").await;
    let restore = &text[text.find("<h2 id=\"restore\"").unwrap()..];
    let at = |said: &str| restore.find(said).unwrap_or_else(|| panic!("no {said} in {restore}"));
    assert!(at("The last state before the data changed") < at("--recovery-point old"), "{restore}");
    assert!(at("--recovery-point old") < at("The newest state"), "{restore}");
    assert!(restore.contains("its data looks DESTROYED"), "{restore}");
    let wrong = &text[..text.find("<h2 id=\"restore\"").unwrap()];
    let at = |said: &str| wrong.find(said).unwrap_or_else(|| panic!("no {said} in {wrong}"));
    assert!(at("--recovery-point old") < at("accept-change agama"), "{wrong}");
}

#[tokio::test]
async fn a_source_page_says_what_a_restore_would_take_now_where_that_is_known() {
    let mut place = Place::seeded().await;
    assert!(!place.text("/sources/agama").await.contains("would take"));
    assert_says(
        &place.text("/sources/agama").await,
        &["Recovery time: the last measured restore took ", "a forecast needs 3 drills"],
    );
    let forecast = Forecast {
        rto_seconds: 130.0,
        rto_low_seconds: 110.0,
        rto_high_seconds: 185.0,
        error_ratio: Some(0.1),
        drills: 27,
        replay_seconds: 0.0,
        size: Size { logical_bytes: 7, chain_length: 0, replay_bytes: 0 },
    };
    place.view.forecasts = Arc::new(BTreeMap::from([("agama".to_owned(), forecast)]));
    let said = "Recovery time: a restore would take about 2m 10s now (1m 50s – 3m 5s, from 27 drills).";
    assert_says(&place.text("/sources/agama").await, &[said]);
    assert_eq!(place.json("/api/v1/sources/agama").await["forecast"]["rto_high_seconds"], 185.0);
    assert!(place.json("/api/v1/sources/new").await["forecast"].is_null());
}

#[tokio::test]
async fn a_source_page_gives_the_commands_and_the_evidence() {
    let mut place = Place::seeded().await;
    place.view.service.config_file = Some("/srv/it's here/c.toml".into());
    let text = place.text("/sources/agama").await;
    let program = "backup-sla --config '/srv/it'\\''s here/c.toml'";
    assert_says(
        &text,
        &[
            &format!(
                "{program} restore agama --to mysql://restore@NEW-HOST:3306 --password-file /PATH/TO/PASSWORD --recovery-point old<"
            ),
            &format!(
                "{program} restore agama --to mysql://restore@NEW-HOST:3306 --password-file /PATH/TO/PASSWORD --recovery-point new<"
            ),
            "a drill FAILED on it",
            " --at 2026-09-21T13:13:20Z<",
            &format!("{program} drill agama<"),
            &format!(
                "{program} verify agama --against mysql://restore@NEW-HOST:3306 --password-file /PATH/TO/PASSWORD<"
            ),
            "What disagrees",
            "<span class=\"id\">a.b</span>",
            "role=\"img\"",
            "1m 20s",
        ],
    );
    let never = place.text("/sources/new").await;
    assert_says(
        &never,
        &["Breaks 5 of 5 promises.", "nothing can be restored", "No drill is known to have ended", "unknown"],
    );
    let retired = place.text("/sources/gone").await;
    assert_says(&retired, &["Retired: no longer configured", "influxdb in repository old"]);
    assert!(!retired.contains(" restore gone"), "a source that is not configured cannot be restored by name");
    assert_eq!(place.page("/sources/nobody").await.status, 404);
    assert_eq!(place.page("/sources/%FF%00").await.status, 404);
    assert_eq!(answer(&place.view, (&place.ledger, None), "/nothing", None).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_that_is_shown_can_become_markup() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    let hostile =
        format!("</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>ü\u{202e}{}", "x".repeat(5000));
    for source in ["agama", hostile.as_str()] {
        ledger.ensure_source(source, &hostile, &hostile).await.unwrap();
        ledger.reconcile_points(source, &[point(&hostile, clock.wall())]).await.unwrap();
        let start = RunStart { source: source.into(), operation: Operation::Drill, kind: None, drill: None };
        let run = ledger.begin(&start).await.unwrap();
        let text = || hostile.clone();
        let result = RunResult {
            reason: text(),
            hint: Some(text()),
            recovery_point: Some(RecoveryPointId(text())),
            stages: vec![(text(), 1.0)],
            checks: vec![Check { name: text(), expected: text(), actual: text(), ok: false }],
            tables: vec![TableResult { name: text(), rows_expected: 1, rows_restored: 0, digest_ok: false }],
            ..RunResult::new(Outcome::Failed, 1.0)
        };
        ledger.finish(&run, &result).await.unwrap();
    }
    let mut place = Place::of(dir, ledger, &clock, &["agama"]).await;
    place.view.service.last_reload = Some(Reload { at: place.view.now, error: Some(hostile.clone()) });
    let retired = super::words::source_address("/", &hostile);
    for address in ["/", "/?q=%3Cscript%3Ealert(1)%22%3E", "/sources/agama", &retired, "/sources/%3Cscript%3E"] {
        let text = place.text(address).await;
        assert_eq!(text.matches("<script").count(), 1, "{address}: {text}");
        assert!(!text.contains("<img") && !text.contains("</title><s"), "{address}: {text}");
        assert!(
            !text.contains(" style=\"") && !text.contains(" onerror=\"") && !text.contains("javascript:"),
            "{address}"
        );
    }
    let said = place.text(&retired).await;
    assert!(said.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{said}");
}

#[tokio::test]
async fn a_browser_may_run_our_script_and_nothing_else() {
    let place = Place::seeded().await;
    let page = place.page("/").await;
    let header = |name: &str| page.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let policy = header("content-security-policy");
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    for tag in ["script", "style"] {
        use sha2::Digest as _;
        let content = text.split(&format!("<{tag}>")).nth(1).unwrap().split(&format!("</{tag}>")).next().unwrap();
        let digest = sha2::Sha256::digest(content.as_bytes());
        let digest = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        assert!(policy.contains(&format!("{tag}-src 'sha256-{digest}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff".into(), "no-referrer".into()));
    assert!(place.page("/api/v1/status").await.headers.iter().any(|(_, value)| value.contains("default-src 'none'")));
}

#[tokio::test]
async fn a_broken_ledger_is_told_with_what_is_still_known() {
    let place = Place::seeded().await;
    place.ledger.clone().close().await;
    for address in ["/", "/sources/agama", "/sources/gone"] {
        let page = place.page(address).await;
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        assert_eq!(page.status, 503, "{address}");
        assert_says(&text, &["The ledger cannot be read", "agama"][..if address == "/sources/gone" { 1 } else { 2 }]);
    }
    assert_says(&place.text("/sources/agama").await, &["Promised and measured", "/ 24h"][..1]);
    let page = place.page("/api/v1/status").await;
    assert_eq!(page.status, 503);
    let status: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert!(status["ledger"]["error"].is_string() && status["sources"][0]["source"] == "agama", "{status:#}");
    assert_eq!(place.page("/api/v1/sources/agama").await.status, 503);
}

#[tokio::test]
async fn the_api_answers_what_is_documented_and_null_for_what_nobody_knows() {
    let place = Place::seeded().await;
    let status = place.json("/api/v1/status").await;
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let documented =
        ["ledger", "reload", "repositories", "retired", "revision", "scheduler", "sources", "time", "version"];
    assert_eq!(keys(&status), documented);
    let agama = &status["sources"][0];
    let documented = [
        "breaks",
        "change",
        "forecast",
        "gaps",
        "history_is_partial",
        "history_since",
        "judged_days_30d",
        "kept_30d",
        "kind",
        "last_backup",
        "last_drill",
        "measured",
        "met",
        "met_ratio_30d",
        "missed_runs",
        "next_runs",
        "objectives",
        "pending",
        "progress",
        "repository",
        "running",
        "source",
        "windows",
    ];
    assert_eq!(keys(agama), documented);
    assert_eq!(
        (&agama["met"]["rpo"], &agama["met_ratio_30d"]["rpo"]),
        (&serde_json::json!(true), &serde_json::Value::Null)
    );
    assert_eq!((&agama["running"][0], &agama["progress"][0]["operation"]), (&"restore".into(), &"restore".into()));
    assert!(agama["progress"][0]["ratio"].is_null() && agama["progress"][0]["elapsed_seconds"].is_number());
    assert_eq!(status["retired"], serde_json::json!(["gone"]));
    assert_eq!(place.json("/api/v1/status?running=true").await["sources"].as_array().unwrap().len(), 1);
    assert_eq!(place.json("/api/v1/status?q=new").await["sources"][0]["source"], "new");
    let source = place.json("/api/v1/sources/agama").await;
    assert_eq!(source["history"]["recovery_points"][1]["verdict"], "passed", "{source:#}");
    assert_eq!(source["history"]["newest_verified"]["id"], "old");
    assert_eq!(source["history"]["verification"]["mismatches"], 1);
    assert_eq!(source["history"]["drills"][1]["stages"]["load"], 80.0);
    assert_eq!(agama["missed_runs"], serde_json::json!({"backup": 0, "drill": 3}));
    let missed = &source["history"]["missed"][0];
    assert_eq!((&missed["operation"], &missed["count"]), (&"drill".into(), &3.into()), "{missed}");
    assert_eq!(place.page("/api/v1/sources/nobody").await.status, 404);
    let text = place.text("/api/v1/status").await;
    assert!(!text.contains("/srv/backup"), "where backups are is nobody's business: {text}");
}

#[tokio::test]
async fn a_long_past_makes_no_long_page() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    ledger.ensure_source("agama", "mysql", "offsite").await.unwrap();
    let points: Vec<_> =
        (0..3000).map(|n| point(&format!("p{n}"), clock.wall() - TimeDelta::minutes(15 * (3000 - n)))).collect();
    ledger.reconcile_points("agama", &points).await.unwrap();
    for _ in 0..70 {
        let start = RunStart { source: "agama".into(), operation: Operation::Drill, kind: None, drill: None };
        let run = ledger.begin(&start).await.unwrap();
        clock.advance(3600);
        ledger.finish(&run, &RunResult::new(Outcome::Inconclusive, 9.0)).await.unwrap();
        let start = RunStart {
            source: "agama".into(),
            operation: Operation::Backup,
            kind: Some(BackupKind::Full),
            drill: None,
        };
        let run = ledger.begin(&start).await.unwrap();
        ledger.finish(&run, &RunResult::new(Outcome::Failed, 9.0)).await.unwrap();
    }
    let history = ledger.source_history("agama", clock.wall() - TimeDelta::days(30), None).await.unwrap();
    assert_eq!((history.points.len(), history.drills.len(), history.failures.len()), (50, 60, 10));
    assert_eq!(history.points[0].point.id.0, "p2999");
    let place = Place::of(dir, ledger, &clock, &["agama"]).await;
    let text = place.text("/sources/agama?days=30").await;
    assert!(text.len() < 300_000, "{} bytes", text.len());
    assert_says(&text, &["The newest 50 of"]);
}

#[tokio::test]
async fn a_new_source_is_grey_and_says_what_it_waits_for() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = Ledger::open(dir.path(), clock.clone()).await.unwrap();
    ledger.ensure_source("fresh", "mysql", "offsite").await.unwrap();
    let mut place = Place::of(dir, ledger, &clock, &["fresh"]).await;
    let (now, share) = (place.view.now, Share { met: TimeDelta::hours(9), judged: TimeDelta::hours(11) });
    let due = |due| SchedulerState {
        last_tick: Some(now),
        next_runs: BTreeMap::from([(("fresh".to_owned(), Work::FullBackup), due)]),
    };
    place.view.service.scheduler = Some(due(now - TimeDelta::seconds(2)));
    place.view.met_ratios =
        Arc::new(BTreeMap::from([("fresh".to_owned(), Objective::ALL.into_iter().map(|it| (it, share)).collect())]));
    let text = place.text("/").await;
    let all = [
        "<h1>The one source is new and pending.</h1>",
        "pending: first backup due now",
        "not judged yet",
        "after 7 days, so far 11 hours",
    ];
    assert_says(&text, &all);
    assert!(!text.contains("older ones are not removed"), "maintenance has a schedule: {text}");
    let mut config = (*place.view.config).clone();
    config.maintenance.schedule = None;
    place.view.config = Arc::new(config);
    assert_says(&place.text("/").await, &["older ones are not removed"]);
    assert!(!text.contains("state bad") && !text.contains("Wrong now"), "{text}");
    place.view.service.scheduler = Some(due(now + TimeDelta::hours(2)));
    let page = place.text("/sources/fresh").await;
    assert_says(
        &page,
        &["pending: first backup due 16:13 UTC", "There is no recovery point yet: the first backup is still to come."],
    );
    assert!(!page.contains("class=\"bad-text\""), "{page}");
    let json = &place.json("/api/v1/status").await["sources"][0];
    assert_eq!((&json["met"]["rpo"], &json["kept_30d"]["rpo"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(json["pending"]["drill_interval"], "2026-09-22T14:13:20Z", "{json:#}");
    place.view.now += TimeDelta::hours(25);
    let late = place.text("/").await;
    assert_says(&late, &["The one source breaks a promise", "There is no recovery point: nothing can be restored"]);
    // Its share still waits for days to judge; nothing else does.
    assert_eq!(late.matches("state pending").count(), late.matches("not judged yet").count(), "{late}");
    assert!(!late.contains("pending: first"), "{late}");
}

#[tokio::test]
async fn what_needs_attention_is_counted_among_those_that_keep_their_promises() {
    let mut place = Place::seeded().await;
    // Of two sources one has a failed drill; the other is new to the ledger.
    let figures = place.view.snapshot.sources["agama"].clone();
    Arc::make_mut(&mut place.view.snapshot).sources.insert("new".into(), figures);
    assert_says(
        &place.text("/").await,
        &[
            "<h1>The data of 2 sources looks DESTROYED; all 2 sources keep their promises; 2 of them need attention.</h1>",
        ],
    );
}

#[tokio::test]
async fn an_age_that_breaks_a_promise_does_not_look_as_if_it_kept_it() {
    let mut place = Place::seeded().await;
    let config = Arc::make_mut(&mut place.view.config);
    config.sources.get_mut("agama").unwrap().objectives.rpo = std::time::Duration::from_mins(70);
    // The newest point is 70 minutes old.
    place.view.now += TimeDelta::seconds(3);
    let text = place.text("/").await;
    assert_says(&text, &["<span class=\"figure\">1h 10m 3s</span><span class=\"muted\"> / 1h 10m</span>"]);
}

#[tokio::test]
async fn a_thousand_sources_are_shown_a_hundred_at_a_time() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let ledger = seeded(dir.path(), &clock).await;
    let names: Vec<String> = (0..1000).map(|n| format!("source-{n:04}")).collect();
    let mut place = Place::of(dir, ledger, &clock, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let figures = place.view.snapshot.sources["agama"].clone();
    let snapshot = Arc::make_mut(&mut place.view.snapshot);
    snapshot.sources.extend(names.iter().map(|name| (name.clone(), figures.clone())));
    let text = place.text("/").await;
    assert_eq!(text.matches("scope=\"row\" role=\"rowheader\"").count(), 102, "a hundred sources and two repositories");
    assert!(text.len() < 700_000, "{} bytes", text.len());
    assert_says(&text, &["page 1 of 10", "and 980 more sources", "and 950 more"]);
    assert_says(&place.text("/?page=10").await, &["page 10 of 10", "source-0999"]);
    assert_says(&place.text("/?page=99").await, &["page 10 of 10"]);
    assert_says(&place.text("/?q=source-0007").await, &["1 of 1"]);
}
