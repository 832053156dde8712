//! An independent model: a server that commits, rotates and resets its log, and backups of it. It knows what is really in each.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Chains, Place, Plan, Until};
use crate::domain::manifest::{LogIdentity, Manifest, Position, RecoveryPointId};

/// A moment, in half seconds.
pub fn moment(halves: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).unwrap() + TimeDelta::milliseconds(500 * halves)
}

/// A manifest of nothing but what a chain consists of.
pub fn manifest(
    id: &str,
    as_of: DateTime<Utc>,
    position: impl Into<Option<Position>>,
    continues: Option<&Manifest>,
) -> Manifest {
    let position: Option<Position> = position.into();
    let promise: (&str, Value) = match continues {
        None => ("exact", json!({"tables": [], "objects": []})),
        Some(_) => ("changes", json!({"transactions": 0, "row_events": 0, "bytes": 0})),
    };
    let mut all = json!({
        "format": 2, "id": id, "source": "shop", "engine": "server", "kind": "full", "as_of": as_of, "finished": as_of,
        "created_by": "model", "server": {"product": "MariaDB", "version": "10.11.19", "series": "10.11"}, "tool": "none",
        "position": position, "files": [], "promise": promise.0,
    });
    all[if promise.0 == "exact" { "inventory" } else { "changes" }] = promise.1;
    if let Some(parent) = continues {
        all["kind"] = json!("incremental");
        all["parent"] = json!(parent.id);
        all["from"] = json!(parent.position);
        all["chain_length"] = json!(parent.chain_length + 1);
    }
    serde_json::from_value(all).unwrap()
}

/// What happens next.
#[derive(Debug, Clone)]
pub enum Step {
    Commit,
    Rotate,
    Reset,
    Full,
    /// The snapshot of a full is opened; it is read while other things happen, and published later.
    Read,
    Publish,
    /// Of the point that was published so many before the newest.
    Increment(usize),
}

/// What is wrong with a recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Sound,
    Lost,
    Holed,
    Misdated,
}

struct Transaction {
    history: u32,
    file: u64,
    start: u64,
    end: u64,
    time: i64,
    sequence: u64,
}

/// A recovery point and what is in it.
pub struct Made {
    pub manifest: Manifest,
    pub fate: Fate,
    history: u32,
    file: u64,
    offset: u64,
    /// Transactions that were committed before it.
    sees: usize,
    parent: Option<usize>,
    time: i64,
}

/// The server, and every backup of it.
#[derive(Default)]
pub struct World {
    transactions: Vec<Transaction>,
    pub made: Vec<Made>,
    now: i64,
    history: u32,
    file: u64,
    offset: u64,
    begun: i64,
    sequence: u64,
    /// Of the full that is being read.
    snapshot: Option<Snapshot>,
}

/// A moment of the server.
#[derive(Clone, Copy)]
struct Snapshot {
    history: u32,
    file: u64,
    offset: u64,
    begun: i64,
    sequence: u64,
    sees: usize,
    time: i64,
}

pub fn steps() -> impl Strategy<Value = Vec<(Step, Fate)>> {
    let step = prop_oneof![
        6 => Just(Step::Commit),
        1 => Just(Step::Rotate),
        1 => Just(Step::Reset),
        2 => Just(Step::Full),
        1 => Just(Step::Read),
        1 => Just(Step::Publish),
        6 => Just(Step::Increment(0)),
        2 => (0_usize..4).prop_map(Step::Increment),
    ];
    let fate =
        prop_oneof![16 => Just(Fate::Sound), 1 => Just(Fate::Lost), 1 => Just(Fate::Holed), 1 => Just(Fate::Misdated)];
    prop::collection::vec((step, fate), 0..60)
}

impl World {
    pub fn of(steps: Vec<(Step, Fate)>) -> Self {
        let mut world = Self::new();
        for (step, fate) in steps {
            world.step(&step, fate);
        }
        world
    }

    /// Nothing happened yet.
    pub fn new() -> Self {
        Self { file: 1, offset: 4, ..Self::default() }
    }

    pub fn step(&mut self, step: &Step, fate: Fate) {
        self.now += 2;
        match step {
            Step::Commit => self.commit(),
            Step::Rotate => (self.file, self.offset, self.begun) = (self.file + 1, 4, self.now),
            Step::Reset => {
                self.history += 1;
                (self.file, self.offset, self.begun, self.sequence) = (1, 4, self.now, 0);
            }
            Step::Full => self.back_up(None, fate, self.snapshot()),
            Step::Read => self.snapshot = Some(self.snapshot()),
            Step::Publish => {
                if let Some(snapshot) = self.snapshot.take() {
                    self.back_up(None, fate, snapshot);
                }
            }
            Step::Increment(back) => {
                let parent = self.made.len().checked_sub(1 + back);
                // Of another history the engine makes none.
                if let Some(parent) = parent.filter(|at| self.made[*at].history == self.history) {
                    self.back_up(Some(parent), fate, self.snapshot());
                }
            }
        }
    }

    /// Increment of the point of this name.
    pub fn continue_from(&mut self, id: &RecoveryPointId) {
        self.now += 2;
        let parent = self.made.iter().position(|made| made.manifest.id == *id);
        self.back_up(parent, Fate::Sound, self.snapshot());
    }

    /// Publish the full that is being read, and before it what lies between the last increment and its place.
    pub fn close_and_publish(&mut self) {
        self.now += 2;
        let Some(snapshot) = self.snapshot.take() else { return };
        let end = Chains::of(self.listed(), |_| false).end().map(|end| end.id.clone());
        let end = end.and_then(|end| self.made.iter().position(|made| made.manifest.id == end));
        let is_open = |at: &usize| {
            let last = &self.made[*at];
            last.parent.is_some() && (last.file, last.offset) < (snapshot.file, snapshot.offset)
        };
        if let Some(end) = end.filter(is_open) {
            self.back_up(Some(end), Fate::Sound, Snapshot { time: snapshot.time - 1, ..snapshot });
        }
        self.back_up(None, Fate::Sound, snapshot);
    }

    fn snapshot(&self) -> Snapshot {
        let Self { history, file, offset, begun, sequence, now: time, .. } = *self;
        Snapshot { history, file, offset, begun, sequence, sees: self.transactions.len(), time }
    }

    fn commit(&mut self) {
        let (start, end) = (self.offset, self.offset + 10);
        (self.offset, self.sequence) = (end, self.sequence + 1);
        let Self { history, file, now: time, sequence, .. } = *self;
        self.transactions.push(Transaction { history, file, start, end, time, sequence });
    }

    fn back_up(&mut self, parent: Option<usize>, fate: Fate, snapshot: Snapshot) {
        let Snapshot { history, file, offset, begun, sequence, sees, time } = snapshot;
        let log = LogIdentity {
            server: "1".to_owned(),
            begun: u32::try_from(begun).unwrap(),
            last: None,
            settled: None,
            outside: Vec::new(),
        };
        let position = Position {
            binlog_file: Some(name(file)),
            binlog_offset: Some(offset),
            gtid: (sequence > 0).then(|| format!("0-1-{sequence}")),
            log: Some(log),
        };
        let id = format!("p{:03}", self.made.len());
        let dated = |time: i64| moment(time + if fate == Fate::Misdated { 100_000 } else { 0 });
        let mut manifest = manifest(&id, dated(time), position, parent.map(|at| &self.made[at].manifest));
        manifest.finished = dated(self.now);
        if let (Fate::Holed, Some(from)) = (fate, &mut manifest.from) {
            from.binlog_offset = from.binlog_offset.map(|offset| offset + 1);
        }
        self.made.push(Made { manifest, fate, history, file, offset, sees, parent, time });
    }

    /// Everything that is listed.
    pub fn listed(&self) -> impl Iterator<Item = &Manifest> {
        self.made.iter().filter(|made| made.fate != Fate::Lost).map(|made| &made.manifest)
    }

    pub fn is_misdated(&self, manifest: &Manifest) -> bool {
        self.made(&manifest.id).fate == Fate::Misdated
    }

    pub fn made(&self, id: &RecoveryPointId) -> &Made {
        self.made.iter().find(|made| made.manifest.id == *id).unwrap()
    }

    pub fn sees(&self, id: &RecoveryPointId) -> usize {
        self.made(id).sees
    }

    pub fn can_be_restored(&self, made: &Made) -> bool {
        let is_holed = made.fate == Fate::Holed && made.parent.is_some();
        made.fate != Fate::Lost
            && !is_holed
            && made.parent.is_none_or(|parent| self.can_be_restored(&self.made[parent]))
    }

    fn is_sound(&self, made: &Made) -> bool {
        self.can_be_restored(made) && made.fate != Fate::Misdated
    }

    pub fn end(&self) -> i64 {
        self.now
    }

    /// Whether the state at a moment can be restored: it is that of a point, it lies on the way to one, or nothing happened between two.
    pub fn has_moment(&self, halves: i64) -> bool {
        let sound: Vec<&Made> = self.made.iter().filter(|made| self.is_sound(made)).collect();
        sound.iter().any(|to| {
            let is_way = |from: &Made| self.is_sound(from) && from.time <= halves && halves <= to.time;
            let is_idle = |from: &&Made| {
                (from.history, from.file, from.offset) == (to.history, to.file, to.offset) && is_way(from)
            };
            to.time == halves || to.parent.is_some_and(|at| is_way(&self.made[at])) || sound.iter().any(is_idle)
        })
    }

    /// Whether an increment that leads back to `full` holds the place at which `next` stands.
    pub fn reaches(&self, full: &RecoveryPointId, next: &RecoveryPointId) -> bool {
        let next = self.made(next);
        let root = |made: &Made| {
            let mut root = made;
            while let Some(parent) = root.parent {
                root = &self.made[parent];
            }
            root.manifest.id == *full
        };
        let place = |made: &Made| (made.file, made.offset);
        self.made.iter().any(|made| {
            let holds = |parent: &Made| place(parent) < place(next) && place(next) <= place(made);
            let is_at_end = place(made) == place(next);
            made.history == next.history
                && self.can_be_restored(made)
                && root(made)
                && made.parent.is_some_and(|parent| is_at_end || holds(&self.made[parent]))
        })
    }

    /// Whether so many transactions were committed until a moment.
    pub fn is_state_of(&self, count: usize, time: DateTime<Utc>) -> bool {
        self.transactions.iter().filter(|it| moment(it.time) <= time).count() == count
    }

    /// How many transactions were committed until a moment.
    pub fn at(&self, halves: i64) -> usize {
        self.transactions.iter().filter(|it| it.time <= halves).count()
    }

    /// Carry out a plan: how many transactions are there afterwards. Panics where something is replayed twice or left out.
    pub fn restore(&self, plan: &Plan<'_>) -> usize {
        let mut done = self.made(&plan.full.id).sees;
        let mut before = plan.full;
        for (at, increment) in plan.increments.iter().enumerate() {
            assert_eq!((increment.parent.as_ref(), &increment.from), (Some(&before.id), &before.position));
            while done < self.made(&increment.id).sees {
                let next = &self.transactions[done];
                let is_stop = match &plan.until {
                    Until::End => false,
                    Until::Time(time) => moment(next.time) > *time,
                    Until::Before { file, offset } => (name(next.file), next.end) > (file.clone(), *offset),
                    Until::BeforeGtid(gtid) => format!("0-1-{}", next.sequence) == *gtid,
                };
                if is_stop {
                    assert_eq!(at + 1, plan.increments.len(), "more was opened than is replayed");
                    return done;
                }
                done += 1;
            }
            before = increment;
        }
        done
    }

    /// Every place at which a transaction begins, or that one contains, and what comes before it in each log that the points hold.
    pub fn places(&self) -> Vec<(Place, BTreeSet<(u32, usize)>)> {
        let places = self.transactions.iter().flat_map(|it| [(it.file, it.start), (it.file, it.start + 3)]);
        let holds = |made: &Made, file: u64, offset: u64| {
            let begins = made.parent.map(|at| (self.made[at].file, self.made[at].offset));
            let is_inside =
                begins.is_some_and(|from| from < (file, offset)) && (file, offset) < (made.file, made.offset);
            is_inside || (file, offset) == (made.file, made.offset)
        };
        let with_states = |(file, offset): (u64, u64)| {
            let holding = self.made.iter().filter(|made| self.can_be_restored(made) && holds(made, file, offset));
            let histories: BTreeSet<u32> = holding.map(|made| made.history).collect();
            let before = |history: u32| {
                let is_before = |it: &&Transaction| {
                    it.history < history || it.history == history && (it.file, it.end) <= (file, offset)
                };
                (history, self.transactions.iter().filter(is_before).count())
            };
            (Place { file: name(file), offset }, histories.into_iter().map(before).collect())
        };
        places.map(with_states).collect()
    }

    /// Every GTID, and what comes before it in each log in which an increment brings it.
    pub fn gtids(&self) -> Vec<(String, BTreeSet<(u32, usize)>)> {
        let brings = |made: &Made, number: usize| {
            self.can_be_restored(made)
                && made.parent.is_some_and(|at| (self.made[at].sees..made.sees).contains(&number))
        };
        let with_states = |sequence: u64| {
            let same = (0..self.transactions.len()).filter(|number| self.transactions[*number].sequence == sequence);
            let brought = same.filter(|number| self.made.iter().any(|made| brings(made, *number)));
            (format!("0-1-{sequence}"), brought.map(|number| (self.transactions[number].history, number)).collect())
        };
        self.transactions.iter().map(|it| it.sequence).collect::<BTreeSet<_>>().into_iter().map(with_states).collect()
    }
}

fn name(file: u64) -> String {
    format!("binlog.{file:06}")
}
