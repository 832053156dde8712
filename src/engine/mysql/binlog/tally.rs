//! What whole groups add up to.

use std::collections::BTreeMap;

use super::canaries::Canaried;
use super::statement::{Effect, Made};
use super::table_rows::TableRows;
use crate::domain::canary::QUALIFIED;
use crate::domain::promise::{Changes, Origin, TableChanges};

/// What one group did.
#[derive(Debug, Default)]
pub struct Done {
    /// Rows by qualified name of their table.
    pub rows: BTreeMap<String, TableRows>,
    /// Why the rows of a table cannot be counted.
    doubts: BTreeMap<String, String>,
    /// What its statements did, before its rows.
    effects: Vec<Effect>,
    /// What it did to canaries.
    pub canaries: Canaried,
    /// Row events in it.
    pub row_events: u64,
    /// Why it cannot be replayed.
    pub unreplayable: Option<String>,
    /// A transaction of XA that waits for its commit under this name.
    pub prepared: Option<String>,
    /// One that it commits.
    pub committed: Option<String>,
    /// One that it rolls back.
    pub rolled_back: Option<String>,
}

impl Done {
    /// The rows of this table cannot be counted.
    pub fn doubt(&mut self, table: String, why: &str) {
        self.doubts.entry(table).or_insert_with(|| why.to_owned());
    }

    /// Nor those of any table that had rows so far.
    pub fn doubt_rows(&mut self, why: &str) {
        self.canaries.doubt();
        for table in self.rows.keys() {
            self.doubts.entry(table.clone()).or_insert_with(|| why.to_owned());
        }
    }

    /// Its contents may have changed, the number of its rows has not.
    pub fn touch(&mut self, table: String) {
        self.rows.entry(table).or_default();
    }

    /// A statement did this.
    pub fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            // A transaction may have millions of statements: those in statement format all say the same.
            if !(matches!(effect, Effect::Uncounted(_) | Effect::Stated(..)) && self.effects.contains(&effect)) {
                self.effects.push(effect);
            }
        }
    }
}

/// The sum.
#[derive(Debug, Default)]
pub struct Tally {
    changes: Changes,
    /// Transactions of XA that are neither committed nor rolled back.
    prepared: BTreeMap<String, Done>,
}

impl Tally {
    /// One group more, of so many bytes.
    pub fn add(&mut self, mut done: Done, bytes: u64) {
        self.changes.transactions += 1;
        self.changes.row_events += done.row_events;
        self.changes.bytes += bytes;
        if let Some(why) = done.unreplayable.take() {
            self.changes.unreplayable.get_or_insert(why);
        }
        if let Some(name) = done.prepared.take() {
            self.prepared.insert(name, done);
            return;
        }
        if let Some(name) = done.committed.take() {
            match self.prepared.remove(&name) {
                Some(waiting) => self.apply(waiting),
                // What it changes is in an increment before.
                None => self
                    .effect(Effect::Uncounted("a transaction of XA that was prepared before was committed".to_owned())),
            }
        }
        if let Some(name) = done.rolled_back.take() {
            self.prepared.remove(&name);
        }
        self.apply(done);
    }

    /// All of it.
    pub fn changes(&self) -> Changes {
        let mut whole = Self { changes: self.changes.clone(), prepared: BTreeMap::new() };
        for done in self.prepared.values() {
            for table in done.rows.keys() {
                let table = whole.table(table);
                table.uncounted.get_or_insert_with(|| "a transaction of XA waits for its commit".to_owned());
            }
            let by_statements = |it: &&Effect| matches!(it, Effect::Stated(..) | Effect::Uncounted(_));
            done.effects.iter().filter(by_statements).cloned().for_each(|effect| whole.effect(effect));
        }
        whole.changes.by_statements = !whole.changes.stated.is_empty();
        whole.changes
    }

    fn apply(&mut self, done: Done) {
        for effect in done.effects {
            self.effect(effect);
        }
        for (name, rows) in done.rows {
            let table = self.table(&name);
            table.inserted += rows.inserted;
            table.updated += rows.updated;
            table.deleted += rows.deleted;
        }
        for (name, why) in done.doubts {
            self.table(&name).uncounted.get_or_insert(why);
        }
        self.changes.canaries.add(done.canaries.changes());
    }

    fn table(&mut self, name: &str) -> &mut TableChanges {
        let uncounted = &self.changes.uncounted;
        let untouched = || TableChanges { uncounted: uncounted.clone(), ..TableChanges::default() };
        self.changes.tables.entry(name.to_owned()).or_insert_with(untouched)
    }

    fn put(&mut self, name: String, origin: Origin) {
        // What statements wrote there is gone.
        self.changes.stated.remove(&name);
        let redefined = origin != Origin::Gone;
        self.changes.tables.insert(name, TableChanges { origin, redefined, ..TableChanges::default() });
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Made(name, Made::Anew) => self.put(name, Origin::Nothing),
            Effect::Made(name, Made::IfMissing) => match self.changes.tables.get(&name).map(|table| &table.origin) {
                Some(Origin::Gone) => self.put(name, Origin::Nothing),
                Some(_) => {}
                None => {
                    let table = self.table(&name);
                    (table.origin, table.redefined) = (Origin::BeforeOrNothing, true);
                }
            },
            Effect::Emptied(name) => {
                let redefined = self.table(&name).redefined;
                self.put(name.clone(), Origin::Nothing);
                self.table(&name).redefined = redefined;
            }
            Effect::Dropped(name) => self.put(name, Origin::Gone),
            Effect::Renamed(from, to) => {
                let mut table = self.table(&from).clone();
                table.origin = match table.origin {
                    Origin::Before => Origin::Renamed(from.clone()),
                    Origin::BeforeOrNothing => Origin::RenamedOrNothing(from.clone()),
                    other => other,
                };
                table.redefined = true;
                let is_stated = self.changes.stated.contains(&from);
                self.put(from, Origin::Gone);
                if is_stated {
                    self.changes.stated.insert(to.clone());
                }
                self.changes.tables.insert(to, table);
            }
            Effect::Redefined(name) => self.table(&name).redefined = true,
            Effect::Doubted(name, why) => {
                self.table(&name).uncounted.get_or_insert(why);
            }
            Effect::Varies(name, why) => {
                self.table(&name).varies.get_or_insert(why);
            }
            Effect::Definition(name) => {
                self.changes.definitions.insert(name);
            }
            Effect::DroppedDatabase(database) => {
                let prefix = format!("{database}.");
                let names: Vec<String> =
                    self.changes.tables.keys().filter(|name| name.starts_with(&prefix)).cloned().collect();
                for name in names {
                    self.put(name, Origin::Gone);
                }
                self.changes.stated.retain(|name| !name.starts_with(&prefix));
                self.changes.dropped.insert(database);
            }
            Effect::Stated(name, why) => {
                if name != "*" && !name.ends_with(".*") {
                    self.table(&name).uncounted.get_or_insert_with(|| why.clone());
                }
                // Nothing hangs on our own table.
                if name != QUALIFIED {
                    self.changes.wrote.entry(name.clone()).or_insert(why);
                }
                self.changes.stated.insert(name);
            }
            Effect::Uncounted(why) => {
                for table in self.changes.tables.values_mut().filter(|table| table.origin != Origin::Gone) {
                    table.uncounted.get_or_insert_with(|| why.clone());
                }
                self.changes.uncounted.get_or_insert(why);
            }
        }
    }
}
