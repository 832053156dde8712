use proptest::prelude::*;

use super::*;

/// Seconds after an arbitrary beginning.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

fn objectives(rpo: u64, rto: u64, retention: u64, interval: u64, chain: u32) -> Objectives {
    let seconds = Duration::from_secs;
    Objectives {
        rpo: seconds(rpo),
        rto: seconds(rto),
        retention: seconds(retention),
        drill_interval: seconds(interval),
        max_chain_length: chain,
        objective_ratio: 0.99,
    }
}

/// What was known at a moment, found without any cleverness.
fn moment(facts: &Facts, now: DateTime<Utc>, at: DateTime<Utc>) -> (Objectives, Measured) {
    let known = |times: Vec<DateTime<Utc>>, place: usize| times[place..].iter().fold(now, |a, b| a.min(*b)) <= at;
    let since: Vec<_> = facts.promises.iter().map(|it| it.since).collect();
    let ended: Vec<_> = facts.drills.iter().map(|it| it.ended).collect();
    let promised = (0..since.len()).rev().find(|place| known(since.clone(), *place)).unwrap_or(0);
    let drills: Vec<&Drilled> =
        (0..ended.len()).filter(|place| known(ended.clone(), *place)).map(|place| &facts.drills[place]).collect();
    let points: Vec<&Lifetime> = facts
        .points
        .iter()
        .filter(|it| it.available.min(now) <= at && it.gone.is_none_or(|gone| gone.min(now) > at))
        .collect();
    let newest = points.iter().map(|it| it.as_of).max();
    let gaps = facts.gaps.iter().filter(|it| it.since.min(now) <= at && it.gone.is_none_or(|gone| gone.min(now) > at));
    let rpo = TimeDelta::from_std(facts.promises[promised].objectives.rpo).unwrap();
    let is_over = |it: &PromisedTime| it.to.is_some_and(|to| to <= at);
    let asked: Vec<&PromisedTime> = facts.moments.iter().filter(|it| it.from <= at).collect();
    let is_promised =
        |gap: &Gap| asked.iter().any(|it| gap.to - it.from > rpo && (!is_over(it) || it.to.unwrap() - gap.from > rpo));
    let broken = gaps.map(|it| it.gap).filter(|gap| gap.to - gap.from > rpo && is_promised(gap));
    let newest_gap = broken.map(|gap| gap.to).max().filter(|_| asked.iter().any(|it| !is_over(it)));
    // What went away in the same moment in which it came was never there.
    let came = |it: &&Lifetime| it.gone.is_none_or(|gone| gone.min(now) > it.available.min(now));
    let measured = Measured {
        created: Some(facts.created),
        is_history_partial: is_older_than_ledger(facts.created, facts.ledger_began),
        ever_had_point: facts.had_points || facts.points.iter().filter(came).any(|it| it.available.min(now) <= at),
        newest,
        oldest: points.iter().map(|it| it.as_of).min(),
        newest_gap,
        rto_seconds: drills.iter().rev().find_map(|it| it.rto_seconds),
        last_passed_drill: drills.iter().rev().find(|it| it.verdict == DrillVerdict::Passed).map(|it| it.ended),
        ever_failed_drill: drills.iter().any(|it| it.verdict == DrillVerdict::Failed),
        chain_length: points.iter().filter(|it| Some(it.as_of) == newest).map(|it| it.chain_length).max().unwrap_or(0),
    };
    (facts.promises[promised].objectives.clone(), measured)
}

const SPAN: i64 = 3000;

fn some_facts() -> impl Strategy<Value = Facts> {
    let objectives = (0..900_u64, 0..30_u64, 0..1500_u64, 0..900_u64, 0..4_u32)
        .prop_map(|(rpo, rto, retention, interval, chain)| objectives(rpo, rto, retention, interval, chain));
    let promise =
        (-SPAN..SPAN * 2, objectives).prop_map(|(since, objectives)| Promise { since: at(since), objectives });
    let point = (-SPAN..SPAN + 700, -400..400_i64, prop::option::of(0..SPAN), 0..5_u32).prop_map(
        |(as_of, delay, life, chain_length)| Lifetime {
            as_of: at(as_of),
            chain_length,
            available: at(as_of + delay),
            gone: life.map(|life| at(as_of + delay + life)),
        },
    );
    let verdict = prop::sample::select(vec![DrillVerdict::Passed, DrillVerdict::Failed, DrillVerdict::Inconclusive]);
    let drill = (-SPAN..SPAN + 700, verdict, prop::option::of(0..60_u32)).prop_map(|(ended, verdict, rto)| Drilled {
        ended: at(ended),
        verdict,
        rto_seconds: rto.map(f64::from),
    });
    let gap = (-SPAN..SPAN, 1..900_i64, -SPAN..SPAN + 700, prop::option::of(0..SPAN)).prop_map(
        |(from, length, since, life)| GapLifetime {
            gap: Gap { from: at(from), to: at(from + length) },
            since: at(since),
            gone: life.map(|life| at(since + life)),
        },
    );
    let asked = (-SPAN..SPAN, prop::option::of(1..SPAN))
        .prop_map(|(from, length)| PromisedTime { from: at(from), to: length.map(|length| at(from + length)) });
    (
        (-SPAN..SPAN, -SPAN..SPAN, any::<bool>()),
        (prop::collection::vec(gap, 0..5), prop::collection::vec(asked, 0..3)),
        prop::collection::vec(promise, 1..4),
        prop::collection::vec(point, 0..12),
        prop::collection::vec(drill, 0..8),
    )
        .prop_map(|((created, began, had_points), (gaps, moments), promises, points, drills)| Facts {
            created: at(created),
            ledger_began: at(began),
            had_points,
            promises,
            points,
            gaps,
            moments,
            drills,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_second_has_the_answer_of_the_rule_for_one_moment(facts in some_facts(), now in 0..SPAN) {
        let timeline = Timeline::of(&facts, at(0), at(now));
        let mut met = Objective::ALL.map(|_| (0, 0));
        for second in 0..now {
            let (promised, measured) = moment(&facts, at(now), at(second));
            for (objective, (met, judged)) in Objective::ALL.into_iter().zip(&mut met) {
                let expected = promised.judge(objective, &measured, at(second));
                prop_assert_eq!(timeline.judged(objective, at(second)), Some(expected), "{:?} at {}", objective, second);
                *met += i64::from(expected == Judgement::Met);
                *judged += i64::from(expected != Judgement::Pending);
            }
        }
        let ratios = timeline.ratios(at(0), at(now));
        for (objective, (met, judged)) in Objective::ALL.into_iter().zip(met) {
            // All times are whole seconds, but a limit belongs to the promise: it is broken a microsecond later, which a
            // count of seconds rounds up by one per change at most.
            let share = ratios[&objective];
            for (time, counted) in [(share.met, met), (share.judged, judged)] {
                prop_assert!((time.num_seconds() - counted).abs() <= 60, "{objective:?}: {share:?}, counted {counted}");
            }
        }
    }

    #[test]
    fn the_future_of_a_timeline_is_what_a_later_look_at_the_same_facts_finds(facts in some_facts(), later in 0..SPAN) {
        // Only what has happened by then.
        let facts = Facts {
            promises: facts.promises.into_iter().map(|it| Promise { since: it.since.min(at(0)), ..it }).collect(),
            drills: facts.drills.into_iter().map(|it| Drilled { ended: it.ended.min(at(0)), ..it }).collect(),
            points: facts.points.into_iter().filter(|it| it.available.max(it.gone.unwrap_or(it.available)) <= at(0)).collect(),
            gaps: facts.gaps.into_iter().filter(|it| it.since.max(it.gone.unwrap_or(it.since)) <= at(0)).collect(),
            ..facts
        };
        let (early, late) = (Timeline::of(&facts, at(-100), at(0)), Timeline::of(&facts, at(-100), at(later)));
        prop_assert_eq!(early, late);
    }
}

fn healthy() -> Facts {
    let hour = 3600;
    Facts {
        created: at(0),
        ledger_began: at(0),
        had_points: false,
        promises: vec![Promise { since: at(0), objectives: objectives(7200, 600, 86_400, 86_400, 5) }],
        points: (0..10)
            .map(|n| Lifetime { as_of: at(n * hour), chain_length: 0, available: at(n * hour + 60), gone: None })
            .collect(),
        gaps: Vec::new(),
        moments: Vec::new(),
        drills: vec![Drilled { ended: at(hour), verdict: DrillVerdict::Passed, rto_seconds: Some(300.0) }],
    }
}

#[test]
fn downtime_counts_as_met_until_the_newest_point_is_too_old_and_as_not_met_from_then_on() {
    let facts = healthy();
    // The last point is of hour 9 and good until hour 11; nothing came until hour 20.
    let timeline = Timeline::of(&facts, at(0), at(20 * 3600));
    let share = timeline.recent_ratios(facts.created, at(20 * 3600))[&Objective::Rpo];
    let ratio = share.ratio().unwrap();
    // The first minute, before there was a point, was pending.
    assert_eq!(share.judged, TimeDelta::seconds(20 * 3600 - 60));
    let expected = (11.0 * 3600.0 - 60.0) / (20.0 * 3600.0 - 60.0);
    assert!((ratio - expected).abs() < 1e-6, "{ratio} is not {expected}");
    assert_eq!(
        timeline.judged(Objective::Rpo, at(11 * 3600)),
        Some(Judgement::Met),
        "the limit belongs to the promise"
    );
    assert_eq!(timeline.judged(Objective::Rpo, at(11 * 3600) + TimeDelta::microseconds(1)), Some(Judgement::NotMet));
}

#[test]
fn a_failed_drill_renews_nothing_but_its_recovery_time_counts() {
    let mut facts = healthy();
    facts.drills.push(Drilled { ended: at(7200), verdict: DrillVerdict::Failed, rto_seconds: Some(700.0) });
    let timeline = Timeline::of(&facts, at(0), at(30 * 3600));
    assert_eq!(timeline.judged(Objective::Rto, at(7199)), Some(Judgement::Met));
    assert_eq!(timeline.judged(Objective::Rto, at(7200)), Some(Judgement::NotMet));
    assert_eq!(timeline.judged(Objective::DrillInterval, at(25 * 3600)), Some(Judgement::Met));
    assert_eq!(timeline.judged(Objective::DrillInterval, at(25 * 3600 + 1)), Some(Judgement::NotMet));
}

#[test]
fn each_time_is_judged_by_the_promise_of_that_time() {
    let mut facts = healthy();
    facts.promises.push(Promise { since: at(5 * 3600), objectives: objectives(600, 600, 86_400, 86_400, 5) });
    let timeline = Timeline::of(&facts, at(0), at(9 * 3600));
    assert_eq!(timeline.judged(Objective::Rpo, at(4 * 3600 + 1800)), Some(Judgement::Met));
    assert_eq!(timeline.judged(Objective::Rpo, at(5 * 3600 + 1800)), Some(Judgement::NotMet));
}

#[test]
fn a_window_begins_no_earlier_than_the_source_and_without_a_promise_nothing_is_said() {
    let facts = healthy();
    let now = at(40 * 86_400);
    let timeline = Timeline::of(&facts, window_start(now), now);
    let recent = timeline.recent_ratios(facts.created, now)[&Objective::Rpo];
    assert_eq!((recent.ratio(), recent.judged), (Some(0.0), TimeDelta::days(30)));
    assert_eq!(timeline.ratios(at(0), now), MetRatios::new(), "it does not reach back so far");
    let no_time = timeline.recent_ratios(now, now);
    assert!(no_time.len() == 5 && no_time.values().all(|share| *share == Share::default()), "{no_time:?}");
    let unpromised = Facts { promises: Vec::new(), ..facts };
    assert_eq!(Timeline::of(&unpromised, at(0), now).recent_ratios(at(0), now), MetRatios::new());
}

#[test]
fn a_month_of_hourly_points_that_are_all_in_time_needs_only_a_few_spans() {
    let mut facts = healthy();
    facts.points = (0..720)
        .map(|n| Lifetime { as_of: at(n * 3600), chain_length: 0, available: at(n * 3600 + 60), gone: None })
        .collect();
    let timeline = Timeline::of(&facts, at(0), at(720 * 3600));
    assert!(timeline.spans.len() < 10, "{:?}", timeline.spans);
}

#[test]
fn a_breach_is_one_span_whatever_else_changes_in_it_and_has_no_end_while_it_lasts() {
    let mut facts = healthy();
    // In the middle of the time without a young point a drill is too slow, and then too old.
    facts.drills.push(Drilled { ended: at(15 * 3600), verdict: DrillVerdict::Failed, rto_seconds: Some(900.0) });
    facts.points.push(Lifetime { as_of: at(20 * 3600), chain_length: 0, available: at(20 * 3600), gone: None });
    let timeline = Timeline::of(&facts, at(0), at(40 * 3600));
    let rpo = timeline.breaches(Objective::Rpo, at(0), at(40 * 3600));
    let micro = TimeDelta::microseconds(1);
    assert_eq!(
        rpo,
        [
            Breach { start: at(11 * 3600) + micro, end: Some(at(20 * 3600)) },
            Breach { start: at(22 * 3600) + micro, end: None }
        ]
    );
    assert_eq!(
        timeline.breaches(Objective::Rpo, at(12 * 3600), at(13 * 3600)),
        [Breach { start: at(12 * 3600), end: None }]
    );
    assert_eq!(timeline.breaches(Objective::Rpo, at(3600), at(2 * 3600)), []);
    let all: f64 = rpo.iter().map(|it| (it.end.unwrap_or(at(40 * 3600)) - it.start).as_seconds_f64()).sum();
    let share = timeline.ratios(at(0), at(40 * 3600))[&Objective::Rpo];
    let missing = (share.judged - share.met).as_seconds_f64();
    assert!((missing - all).abs() < 1e-3, "the breaches are what is missing of the share");
}

#[test]
fn time_before_the_first_results_are_due_is_neither_kept_nor_broken() {
    let hour = 3600;
    let mut facts = healthy();
    (facts.points, facts.drills) = (Vec::new(), Vec::new());
    let timeline = Timeline::of(&facts, at(0), at(30 * hour));
    assert_eq!(timeline.judged(Objective::Rpo, at(2 * hour)), Some(Judgement::Pending));
    assert_eq!(timeline.judged(Objective::Rpo, at(2 * hour) + TimeDelta::microseconds(1)), Some(Judgement::NotMet));
    let shares = timeline.ratios(at(0), at(30 * hour));
    assert_eq!(shares[&Objective::Rpo].judged.num_hours(), 27, "28 hours but a microsecond");
    assert_eq!(shares[&Objective::DrillInterval].judged.num_hours(), 5, "6 hours but a microsecond");
    assert_eq!(timeline.ratios(at(0), at(hour))[&Objective::Rpo], Share::default());
    let breach = Breach { start: at(2 * hour) + TimeDelta::microseconds(1), end: None };
    assert_eq!(timeline.breaches(Objective::Rpo, at(0), at(30 * hour)), [breach]);
    // The ledger is younger than the source: what it does not know is not "not yet".
    facts.ledger_began = at(hour);
    let timeline = Timeline::of(&facts, at(0), at(30 * hour));
    assert_eq!(timeline.judged(Objective::DrillInterval, at(1)), Some(Judgement::NotMet));
}

#[test]
fn from_the_end_of_a_failed_first_drill_its_promises_are_broken_and_no_longer_pending() {
    let mut facts = healthy();
    let inconclusive = Drilled { ended: at(1800), verdict: DrillVerdict::Inconclusive, rto_seconds: None };
    facts.drills = vec![inconclusive, Drilled { ended: at(3600), verdict: DrillVerdict::Failed, rto_seconds: None }];
    let timeline = Timeline::of(&facts, at(0), at(2 * 3600));
    for objective in [Objective::Rto, Objective::DrillInterval] {
        assert_eq!(timeline.judged(objective, at(3599)), Some(Judgement::Pending), "{objective:?}");
        assert_eq!(timeline.judged(objective, at(3600)), Some(Judgement::NotMet), "{objective:?}");
        assert_eq!(timeline.ratios(at(0), at(2 * 3600))[&objective].judged, TimeDelta::hours(1));
    }
}

#[test]
fn a_window_has_what_happens_from_its_beginning_until_before_its_end() {
    let (hour, micro) = (3600, TimeDelta::microseconds(1));
    let mut facts = healthy();
    facts.points.push(Lifetime { as_of: at(20 * hour), chain_length: 0, available: at(20 * hour), gone: None });
    let timeline = Timeline::of(&facts, at(0), at(40 * hour));
    let breaches = |from, to| timeline.breaches(Objective::Rpo, from, to);
    let broken = at(11 * hour) + micro;
    assert_eq!(breaches(at(0), broken), [], "it begins at the end of the window");
    assert_eq!(breaches(at(0), broken + micro), [Breach { start: broken, end: None }]);
    assert_eq!(breaches(at(20 * hour), at(21 * hour)), [], "it ends at the beginning of the window");
    assert_eq!(breaches(at(12 * hour), at(20 * hour)), [Breach { start: at(12 * hour), end: None }]);
    let whole = Breach { start: broken, end: Some(at(20 * hour)) };
    assert_eq!(breaches(at(0), at(20 * hour) + micro), [whole]);
    // Changes outside of the window add nothing to its time.
    let share = timeline.ratios(at(12 * hour), at(13 * hour))[&Objective::Rpo];
    assert_eq!(share, Share { met: TimeDelta::zero(), judged: TimeDelta::hours(1) });
    let share = timeline.ratios(at(19 * hour), at(21 * hour))[&Objective::Rpo];
    assert_eq!(share, Share { met: TimeDelta::hours(1), judged: TimeDelta::hours(2) });
}

#[test]
fn what_was_gone_as_soon_as_it_came_was_no_recovery_point() {
    let mut facts = healthy();
    facts.points.truncate(1);
    let judged = |facts: &Facts| Timeline::of(facts, at(0), at(600)).judged(Objective::Rpo, at(100));
    facts.points[0].gone = Some(facts.points[0].available);
    assert_eq!(judged(&facts), Some(Judgement::Pending));
    facts.points[0].gone = Some(facts.points[0].available + TimeDelta::microseconds(1));
    assert_eq!(judged(&facts), Some(Judgement::NotMet));
}
