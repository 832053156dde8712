//! What every form of a report says, and in which words.

use super::*;

#[test]
fn what_others_said_has_no_meaning_in_any_form() {
    let mut records = records();
    let hostile = "<script>alert(1)</script> | [x](http://evil) `a`\n# Title";
    let broken = records.runs.iter_mut().find(|run| run.started == at("2026-10-03T02:00:00Z")).unwrap();
    (broken.outcome, broken.reason) = (Some(Outcome::Failed), hostile.into());
    settle(&mut records);
    let report = whole(vec![source(records, october()).unwrap()]);
    let (page, text) = (html::render(&report), markdown::render(&report));
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
    assert!(!text.contains("<script>") && !text.contains("\n# Title") && !text.contains(" | [x]"), "{text}");
    assert!(page.contains("agama"));
}

#[test]
fn every_form_names_the_end_of_the_chain() {
    let report = whole(Vec::new());
    let json = serde_json::to_string(&report).unwrap();
    for form in [html::render(&report), markdown::render(&report), json] {
        assert_eq!(named_head(&form), Some(report.evidence.head.clone()));
    }
    let seal = "ab".repeat(32);
    for bad in ["", "ledger-seal", "    ledger-seal x y", "    ledger-seal 12 abcdef", "    ledger-seal 0 -", "{}"] {
        assert_eq!(named_head(bad), None, "{bad}");
    }
    assert_eq!(named_head(&format!("somebody said: ledger-seal 12 {seal}")), None);
}

#[test]
fn recovery_points_that_lack_something_are_told_of_in_every_form() {
    let point = |day: &str, table| PointRow {
        id: RecoveryPointId(day.to_owned()),
        kind: BackupKind::Full,
        as_of: at(day),
        finished: at(day) + TimeDelta::minutes(5),
        chain_length: 0,
        logical_bytes: 7,
        stored_bytes: 7,
        rows: 1,
        left_out: LeftOutCounts { table, ..LeftOutCounts::default() },
        window_from: None,
        line: None,
        canary: None,
    };
    let told = |points: &[PointRow]| source(SourceRecords { points: points.to_vec(), ..records() }, october()).unwrap();
    let whole = told(&[point("2026-10-03T02:00:00Z", 0), point("2026-09-30T02:00:00Z", 3)]);
    assert_eq!(whole.incomplete, None, "September is not October");
    assert!(!serde_json::to_string(&whole).unwrap().contains("incomplete"));
    let report = told(&[
        point("2026-10-03T02:00:00Z", 2),
        point("2026-10-04T02:00:00Z", 1),
        point("2026-10-05T02:00:00Z", 0),
        point("2026-11-01T02:00:00Z", 9),
    ]);
    let incomplete = report.incomplete.unwrap();
    assert_eq!((incomplete.recovery_points, incomplete.left_out.table), (2, 1));
    assert_eq!(incomplete.newest, at("2026-10-04T02:00:00Z"));
    let words = "2 recovery points lack something that the source had and that could not be backed up; the newest of them is \
                 INCOMPLETE; left out: 1 table or file.";
    assert!(incomplete.in_words().starts_with(words), "{}", incomplete.in_words());
    assert_eq!(serde_json::to_value(&report).unwrap()["incomplete"]["left_out"]["table"], 1);
}

#[test]
fn backups_of_data_that_looked_destroyed_are_listed_with_what_was_said_of_them() {
    use crate::domain::change::{Assessment, Point, State};
    use crate::ledger::ChangeFigures;

    let change = |id: &str, judged: &str, accepted: Option<&str>| ChangeFigures {
        point: Point { id: crate::domain::manifest::RecoveryPointId(id.into()), as_of: at(judged) },
        judged: at(judged),
        found: Assessment {
            state: State::Critical,
            reasons: vec![format!("why | {id}"), "and <more>".into()],
            ..Assessment::default()
        },
        accepted: accepted.map(at),
        since: None,
    };
    let mut records = records();
    records.changes = vec![
        change("01old", "2026-09-25T02:00:00Z", None),
        change("01new", "2026-10-05T02:00:00Z", None),
        change("01meant", "2026-10-06T02:00:00Z", Some("2026-10-07T09:00:00Z")),
    ];
    let report = whole(vec![source(records, october()).unwrap()]);
    let json = serde_json::to_value(&report).unwrap();
    let listed = &json["sources"][0]["changes"];
    assert_eq!(listed.as_array().unwrap().len(), 2, "the one of September is not in it");
    assert_eq!((&listed[0]["state"], &listed[0]["accepted"]), (&"critical".into(), &serde_json::Value::Null));
    let markdown = markdown::render(&report);
    assert!(markdown.contains("| 01new | 2026-10-05T02:00:00Z | critical | why \\| 01new; and"), "{markdown}");
    assert!(markdown.contains("| 2026-10-07T09:00:00Z |"), "{markdown}");
    let said = "2 backups of data that looked destroyed, 1 accepted as meant.";
    let head = markdown.find(said).expect("a line above the table");
    assert!(head < markdown.find("| Objective |").unwrap(), "{markdown}");
    let page = html::render(&report);
    assert!(page.contains(said), "{page}");
    assert!(page.contains("and &lt;more&gt;") && page.contains("01meant"), "{page}");
    let quiet = whole(vec![source(self::records(), october()).unwrap()]);
    assert!(
        !markdown::render(&quiet).contains("looked destroyed") && !html::render(&quiet).contains("looked destroyed")
    );
}

#[test]
fn recovery_points_that_vanished_in_the_month_are_told_with_when_that_was_noticed_and_whether_it_was_accepted() {
    use crate::ledger::VanishedPoint;

    let gone = |id: &str, noticed: &str, is_accepted: bool, returned: Option<&str>| VanishedPoint {
        id: RecoveryPointId(id.into()),
        as_of: at("2026-09-24T02:00:00Z"),
        noticed: at(noticed),
        is_accepted,
        accepted: is_accepted.then(|| at("2026-10-03T09:00:00Z")).filter(|_| id != "01long"),
        returned: returned.map(at),
    };
    let report =
        |vanished: Vec<VanishedPoint>| whole(vec![source(SourceRecords { vanished, ..records() }, october()).unwrap()]);
    let told = report(vec![
        gone("01before", "2026-09-30T23:59:59Z", false, None),
        gone("01<open>", "2026-10-02T02:00:00Z", false, None),
        gone("01meant", "2026-10-03T02:00:00Z", true, None),
        gone("01long", "2026-10-03T02:00:00Z", true, None),
        gone("01back", "2026-10-04T02:00:00Z", false, Some("2026-10-05T09:00:00Z")),
        gone("01after", "2026-11-01T00:00:00Z", false, None),
    ]);
    let listed = &serde_json::to_value(&told).unwrap()["sources"][0]["vanished"];
    assert_eq!(listed.as_array().unwrap().len(), 4, "what was noticed in other months is not in it: {listed}");
    assert_eq!((&listed[0]["noticed"], &listed[0]["is_accepted"]), (&"2026-10-02T02:00:00Z".into(), &false.into()));
    assert_eq!((&listed[1]["is_accepted"], &listed[1]["returned"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(
        (&listed[1]["accepted"], &listed[0]["accepted"]),
        (&"2026-10-03T09:00:00Z".into(), &serde_json::Value::Null)
    );
    assert_eq!(listed[3]["returned"], "2026-10-05T09:00:00Z");
    let (markdown, page) = (markdown::render(&told), html::render(&told));
    let beside = "1 recovery point is gone before the promised retention, and nobody accepted that: agama.";
    assert!(markdown.contains(&format!("**{beside}**")) && page.contains(beside), "{markdown}");
    let accepted = "2026-10-03T09:00:00Z";
    let meant = format!("| 01meant | 2026-09-24T02:00:00Z | 2026-10-03T02:00:00Z | {accepted} | no |");
    assert!(markdown.contains(&meant) && page.contains(accepted), "{markdown}");
    assert!(markdown.contains("| 01long | 2026-09-24T02:00:00Z | 2026-10-03T02:00:00Z | yes | no |"), "{markdown}");
    assert!(markdown.contains("| no | 2026-10-05T09:00:00Z |"), "{markdown}");
    assert!(markdown.contains("01&lt;open>") && page.contains("01&lt;open&gt;"), "{page}");
    for quiet in [report(Vec::new()), report(vec![gone("01meant", "2026-10-03T02:00:00Z", true, None)])] {
        assert!(
            !markdown::render(&quiet).contains("nobody accepted") && !html::render(&quiet).contains("nobody accepted")
        );
    }
}

#[test]
fn every_form_tells_of_a_break_with_its_cause_and_what_was_lost_until_the_next_full_backup() {
    use crate::ledger::ChainBreak;

    let broken = |found: &str| ChainBreak {
        source: "agama".into(),
        kind: "purged".into(),
        detail: "the server removed <log.000007>".into(),
        parent: RecoveryPointId("01p".into()),
        lost_since: at("2026-10-05T01:00:00Z"),
        found: at(found),
    };
    let report =
        |breaks: Vec<ChainBreak>| whole(vec![source(SourceRecords { breaks, ..records() }, october()).unwrap()]);
    let told = report(vec![broken("2026-10-05T01:30:00Z"), broken("2026-11-02T00:00:00Z")]);
    let found = told.sources[0].point_in_time.as_ref().unwrap();
    let until: Vec<_> = found.breaks.iter().map(|broken| broken.lost_until).collect();
    assert_eq!(until, [Some(at("2026-10-05T02:00:00Z"))], "what was found in another month is not in it");
    let (markdown, page) = (markdown::render(&told), html::render(&told));
    for form in [&markdown, &page] {
        assert!(form.contains("2026-10-05T01:00:00Z to 2026-10-05T02:00:00Z (1h"), "{form}");
        assert!(form.contains("purged: the server removed &lt;log.000007"), "{form}");
    }
    assert!(report(Vec::new()).sources[0].point_in_time.is_none(), "nothing is said where there are no increments");
}
