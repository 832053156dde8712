//! What befalls the service: it starts, is configured, is killed, loses its ledger, and its host's clock is put wrong.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::model::{End, Model, Promised};
use super::world::{EVERY, REMOVABLE, configuration};
use super::{Chance, Jumps, LIMITS, Missed, Plan, START, Soak, SoakClock, dues, wanted, work};
use crate::app::KINDS;
use crate::clock::Clock;
use crate::config::{Config, parse};
use crate::domain::schedule::Work;
use crate::ledger::{FILE_NAME, Ledger};
use crate::scheduler::asked;
use crate::scheduler::job::Job;
use crate::state::State;

/// Minutes of a day.
const DAY: i64 = 1440;
/// When a tighter promise and another schedule come with a new configuration.
const TIGHTENED: i64 = 20 * DAY;
/// When a source is taken out of the configuration, and for how long.
const REMOVED: [(i64, i64); 2] = [(13 * DAY + 200, 3 * DAY), (41 * DAY, 6 * DAY + 77)];
/// Days that the calendar knows beyond those that are lived: clocks are put forward.
const AHEAD: i64 = 30;
/// An occurrence that begins so much after its time is missed.
const LATE: TimeDelta = TimeDelta::minutes(5);
/// A time that has not ended.
const OPEN: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

fn parsed(directory: &Path, is_tightened: bool, has_removable: bool) -> Config {
    parse(&configuration(is_tightened, has_removable), &directory.join("config.toml"), KINDS).unwrap()
}

impl Soak {
    pub(super) async fn start(directory: &Path, seed: u64, days: i64) -> Self {
        let clock = Arc::new(SoakClock::new());
        std::fs::write(directory.join("key"), "correct horse").unwrap();
        std::fs::set_permissions(directory.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = parsed(directory, false, true);
        let ledger = Ledger::open(directory, clock.clone()).await.unwrap();
        let state = State::new(Arc::new(config.clone()), clock.clone());
        let mut soak = Self {
            directory: directory.to_owned(),
            ledger,
            state,
            plan: Plan::new(LIMITS),
            jumps: Jumps::default(),
            model: Model::default(),
            awaited: dues::all(days + AHEAD),
            chance: Chance(seed),
            under_way: Vec::new(),
            begun: Vec::new(),
            awaits_full: false,
            busy: BTreeMap::new(),
            missed: Vec::new(),
            made: 0,
            asked_since: BTreeMap::new(),
            is_tightened: false,
            forgotten: Vec::new(),
            unasked: Vec::new(),
            repeated: Vec::new(),
            compared: 0,
            crashes: 0,
            losses: 0,
            down: 0,
            clock,
            config,
        };
        soak.model.lose_ledger(soak.clock.wall());
        soak.record_configuration().await;
        soak.begin_plan().await;
        soak
    }

    /// The next minute.
    pub(super) async fn live_until(&mut self, passed: TimeDelta) {
        let minute = passed.num_minutes();
        if self.down == 0 {
            self.end_until(passed).await;
        }
        self.clock.pass(passed);
        self.put_clock_wrong();
        if self.down > 0 {
            self.down -= 1;
            if self.down == 0 {
                self.restart(minute).await;
            }
        } else if self.chance.below(4 * DAY.unsigned_abs()) == 0 {
            self.crash().await;
        }
        self.reconfigure(minute).await;
        if self.down == 0 {
            self.tick().await;
            if minute % DAY == 720 {
                self.maintain().await;
            } else if minute % DAY == 0 {
                self.compare(None).await;
            }
        }
        self.model.note_minute(self.clock.wall());
    }

    /// As the service does at its start and with a new configuration.
    async fn record_configuration(&mut self) {
        let now = self.clock.wall();
        let sources: Vec<_> = self.config.sources.values().cloned().collect();
        for source in &sources {
            self.ledger.ensure_source(&source.name, "files", "offsite").await.unwrap();
            self.ledger.record_promises(&source.name, &source.objectives).await.unwrap();
            let objectives = &source.objectives;
            let promised = Promised {
                rpo: objectives.rpo.as_secs_f64(),
                rto: objectives.rto.as_secs_f64(),
                retention: objectives.retention.as_secs_f64(),
                chain_length: f64::from(objectives.max_chain_length),
                ratio: objectives.objective_ratio,
                drill_interval: objectives.drill_interval.as_secs_f64(),
            };
            self.model.promised.insert(source.name.clone(), promised);
            self.model.created.entry(source.name.clone()).or_insert(now);
            for (job, awaited) in &mut self.awaited {
                let objective = if job.work.is_backup() { objectives.rpo } else { objectives.drill_interval };
                if job.source == source.name {
                    awaited.set_objective(TimeDelta::from_std(objective).unwrap());
                }
            }
        }
        let asked = asked::asked(&self.config, &Work::ALL);
        asked::record(&self.ledger, &asked, now).await.unwrap();
        let names: Vec<&str> = self.config.sources.keys().map(String::as_str).collect();
        for job in self.awaited.keys().filter(|job| names.contains(&job.source.as_str())) {
            let since = self.asked_since.entry(job.clone()).or_insert(now);
            if *since > now + LATE {
                // The clock was put back since.
                *since = now;
            }
        }
        // Another schedule of increments, or a clock that is put right, goes on with what was promised.
        for job in self.asked_since.keys().filter(|job| job.work == Work::IncrementalBackup) {
            let since = self.model.moments_since.entry(job.source.clone()).or_insert(now);
            *since = now.min(*since);
        }
        let created = self.model.created.keys();
        self.model.retired = created.filter(|name| !names.contains(&name.as_str())).cloned().collect();
    }

    /// What is not planned yet begins as the ledger has it.
    async fn configure_plan(&mut self) {
        self.state.refresh(&self.ledger).await.unwrap();
        let runs = self.ledger.last_runs_by_work().await.unwrap();
        let snapshot = self.state.view().unwrap().snapshot;
        let zone = self.config.timezone;
        let specs = self.config.sources.values().flat_map(|source| wanted::specs(source, &Work::ALL, zone)).collect();
        self.plan.configure(specs, LIMITS, self.clock.wall(), |job| {
            work::history(job.work, runs.get(&(job.source.clone(), job.work)), snapshot.sources.get(&job.source))
        });
    }

    /// All of it, as after a start.
    async fn begin_plan(&mut self) {
        self.plan = Plan::new(LIMITS);
        self.awaits_full = false;
        self.jumps = Jumps::default();
        self.configure_plan().await;
        let configured: Vec<String> = self.config.sources.keys().cloned().collect();
        for source in &configured {
            self.await_anew(source);
        }
        self.compare(None).await;
    }

    fn await_anew(&mut self, source: &str) {
        let now = self.clock.wall();
        for (job, awaited) in self.awaited.iter_mut().filter(|(job, _)| job.source == source) {
            let awaits_first = self.model.awaits_first(source, job.work);
            awaited.restart(self.model.last(source, job.work), awaits_first, self.asked_since[job], now);
        }
    }

    /// The service is killed and stays down; every third time the ledger is gone when it comes back.
    async fn crash(&mut self) {
        self.crashes += 1;
        self.ledger.disown_running().await.unwrap();
        self.ledger.clone().close().await;
        let is_short = self.chance.percent(40);
        self.down = 1 + i64::try_from(self.chance.below(if is_short { 4 } else { 1000 })).unwrap();
        if self.crashes % 5 == 3 {
            self.losses += 1;
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(self.directory.join(format!("{FILE_NAME}{suffix}")));
            }
            // What waited then may have waited for long.
            self.forgotten.push((self.clock.wall() - TimeDelta::hours(24), OPEN));
        }
    }

    async fn restart(&mut self, minute: i64) {
        let now = self.clock.wall();
        let is_lost = self.forgotten.last_mut().is_some_and(|(_, until)| {
            let is_open = *until == OPEN;
            *until = now.min(*until);
            is_open
        });
        self.ledger = Ledger::open(&self.directory, self.clock.clone()).await.unwrap();
        let under_way = std::mem::take(&mut self.under_way);
        if is_lost {
            self.model.lose_ledger(now);
            self.asked_since.clear();
        } else {
            for under in under_way {
                let order = self.model.next_result();
                self.model.runs.get_mut(&under.job.source).unwrap()[under.at].end =
                    Some((now, End::Interrupted, order));
            }
        }
        self.change_configuration(minute);
        self.state = State::new(Arc::new(self.config.clone()), self.clock.clone());
        self.record_configuration().await;
        let sources: Vec<String> = self.config.sources.keys().cloned().collect();
        for source in sources {
            self.list(&source).await;
        }
        self.begin_plan().await;
    }

    /// The configuration of this minute is taken over; whether it is another one.
    fn change_configuration(&mut self, minute: i64) -> bool {
        let has_removable = !REMOVED.iter().any(|(at, takes)| (*at..at + takes).contains(&minute));
        let is_there = self.config.sources.contains_key(REMOVABLE);
        let is_tightened = minute >= TIGHTENED;
        if (is_tightened, has_removable) == (self.is_tightened, is_there) {
            return false;
        }
        let now = self.clock.wall();
        self.config = parsed(&self.directory, is_tightened, has_removable);
        if is_tightened != self.is_tightened {
            for (work, _, minutes) in EVERY.into_iter().filter(|(_, before, after)| before != after) {
                let job = Job::new("c", work);
                self.ask_no_longer(&job, now);
                self.awaited.get_mut(&job).unwrap().every(minutes, now);
            }
        }
        match (is_there, has_removable) {
            (true, false) => {
                let jobs: Vec<Job> = self.awaited.keys().filter(|job| job.source == REMOVABLE).cloned().collect();
                for job in &jobs {
                    self.ask_no_longer(job, now);
                }
                self.unasked.push((now - LATE, OPEN));
            }
            (false, true) => self.unasked.last_mut().unwrap().1 = now,
            _ => {}
        }
        self.is_tightened = is_tightened;
        true
    }

    /// What did not begin in time until now was missed, even if nobody asks for it any more.
    fn ask_no_longer(&mut self, job: &Job, now: DateTime<Utc>) {
        // A ledger that was lost knows of nothing that was asked for.
        let Some(since) = self.asked_since.remove(job) else { return };
        let after = self.model.known_until(&job.source, job.work).map_or(since, |known| known.max(since));
        let dues = self.awaited[job].dues(after, now - LATE);
        if let (Some(first), Some(last)) = (dues.first(), dues.last()) {
            let (first, last, count) = (*first, *last, u32::try_from(dues.len()).unwrap());
            self.note_missed(Missed { job: job.clone(), first, last, count, reason: "gone" });
        }
    }

    /// The configuration changes while the service runs.
    async fn reconfigure(&mut self, minute: i64) {
        if self.down > 0 || !self.change_configuration(minute) {
            return;
        }
        let (now, is_there) = (self.clock.wall(), self.config.sources.contains_key(REMOVABLE));
        self.state.set_config(Arc::new(self.config.clone()));
        self.record_configuration().await;
        if is_there {
            self.list(REMOVABLE).await;
        }
        self.configure_plan().await;
        let is_new = |job: &Job| job.source == REMOVABLE && self.asked_since.get(job) == Some(&now);
        if self.awaited.keys().any(is_new) {
            self.await_anew(REMOVABLE);
        }
        self.compare(None).await;
    }

    /// Somebody puts the host's clock wrong, or right.
    fn put_clock_wrong(&mut self) {
        if self.chance.below(5 * DAY.unsigned_abs()) != 0 {
            return;
        }
        let before = self.clock.wall();
        let is_long = self.chance.percent(30);
        let by = if is_long { self.chance.minutes(400) } else { self.chance.minutes(40) };
        let is_young = before < START.parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(1);
        if self.chance.percent(50) || is_young {
            // Nothing happens in the minutes that are skipped; some promises run out in them.
            for minute in 1..by.num_minutes() {
                self.model.note_minute(before + TimeDelta::minutes(minute));
            }
            self.clock.jump(by);
        } else {
            self.clock.jump(-by);
            self.repeated.push((before - by, before));
            self.model.repeated += by.num_minutes();
        }
    }

    pub(super) fn end(&self, days: i64) {
        let start: DateTime<Utc> = START.parse().unwrap();
        let occurrences = self.check_occurrences(self.clock.wall() - TimeDelta::days(1));
        println!(
            "{days} days, {} by the wall clock: {} runs, {} crashes, {} lost ledgers, {} clocks put back, {} missed, \
             {} values compared, {occurrences} occurrences accounted for",
            (self.clock.wall() - start).num_days(),
            self.begun.len(),
            self.crashes,
            self.losses,
            self.repeated.len(),
            self.missed.len(),
            self.compared
        );
        assert!(self.crashes > 3 && self.losses > 0 && !self.repeated.is_empty());
        assert!(self.compared > 100_000 && occurrences > 1000);
    }
}
