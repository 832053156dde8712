//! What the live server holds, up to a bound that lies before the backup: counted before it, looked at again after it.
//!
//! Counting must not hurt the server: one question at a time, each about one measurement in one shard. A shard whose archive
//! is the very same as when it was counted is not counted again ([`Memory`]). What was still changing is not promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::archive::ArchiveFacts;
use super::client::Client;
use super::count::{self, Span};
use super::facts::{Counted, DatabaseFacts, Facts, Growing, MeasurementFacts, Window};
use super::survey::{self, Database, Schema, Shard, Survey};
use crate::config::Counting;
use crate::domain::digest::Digest;
use crate::error::Result;
use crate::run_context::RunContext;

/// Newest shards of each retention policy that `sampled` always counts, and the share of the others.
const ALWAYS: usize = 2;
const ONE_IN: u64 = 8;
const NANOSECONDS_PER_DAY: i64 = 86_400_000_000_000;

/// Remembers small texts of one source between backups. What is forgotten only costs time.
pub trait Memory: Send + Sync {
    /// What was kept under `name`.
    fn recall(&self, name: &str) -> Option<String>;
    /// Keep `text` under `name`.
    fn keep(&self, name: &str, text: &str);
    /// Forget everything that is not named here.
    fn retain(&self, names: &BTreeSet<String>);
}

/// A shard of a database.
pub type ShardKey = (String, u64);

/// What was counted of a shard, and of which archive of it that is true.
#[derive(Serialize, Deserialize)]
struct Remembered {
    archive: Digest,
    window: Window,
}

/// What is known before the backup.
pub struct Truth {
    facts: Facts,
    /// Steps of what was counted just now, to see what moved.
    steps: HashMap<ShardKey, BTreeMap<String, Vec<(i64, u64)>>>,
    /// Archives for which a remembered count is true.
    remembered: HashMap<ShardKey, Digest>,
    /// Whole shards, which may be remembered.
    whole: BTreeSet<ShardKey>,
    /// When counting began, in seconds by our clock.
    began: i64,
    memory: Arc<dyn Memory>,
}

/// How to count.
pub struct Method<'a> {
    /// Points are counted up to here (nanoseconds, exclusive).
    pub bound: i64,
    /// All or some.
    pub counting: Counting,
    /// What earlier backups counted.
    pub memory: Arc<dyn Memory>,
    /// Progress, and the way to be stopped.
    pub context: &'a RunContext,
}

impl Truth {
    /// Count what `survey` found.
    pub fn before(client: &mut Client, survey: &Survey, method: &Method<'_>, began: i64) -> Result<Self> {
        let mut truth = Self {
            facts: Facts { bound: method.bound, databases: BTreeMap::new(), users: survey.users.clone() },
            steps: HashMap::new(),
            remembered: HashMap::new(),
            whole: BTreeSet::new(),
            began,
            memory: method.memory.clone(),
        };
        for (name, database) in &survey.databases {
            let facts = truth.database(client, name, database, method)?;
            truth.facts.databases.insert(name.clone(), facts);
        }
        Ok(truth)
    }

    fn database(
        &mut self,
        client: &mut Client,
        name: &str,
        database: &Database,
        method: &Method<'_>,
    ) -> Result<DatabaseFacts> {
        let mut facts = DatabaseFacts {
            policies: database.policies.clone(),
            queries: database.queries.clone(),
            subscriptions: database.subscriptions.clone(),
            ..DatabaseFacts::default()
        };
        for (measurement, known) in &database.schema {
            let growing = |set: &BTreeSet<String>| Growing::new(set.clone());
            let known = MeasurementFacts {
                tags: growing(&known.tags),
                fields: growing(&known.fields),
                series: [known.series, known.series],
            };
            facts.measurements.insert(measurement.clone(), known);
        }
        let sample = sample(&database.shards, method);
        for shard in database.shards.iter().filter(|shard| shard.start < method.bound) {
            method.context.cancel.check()?;
            let window = self.window(client, (name, shard, sample.contains(&shard.id)), database, method)?;
            facts.windows.push(window);
        }
        facts.newest = newest(client, name, &facts)?;
        Ok(facts)
    }

    fn window(
        &mut self,
        client: &mut Client,
        (database, shard, wanted): (&str, &Shard, bool),
        known: &Database,
        method: &Method<'_>,
    ) -> Result<Window> {
        let key = (database.to_owned(), shard.id);
        let mut window = Window {
            shard: shard.id,
            policy: shard.policy.clone(),
            start: shard.start,
            end: shard.end.min(method.bound),
            step: count::step(shard.start, shard.end),
            uncounted: String::new(),
            measurements: BTreeMap::new(),
        };
        if shard.end <= method.bound {
            self.whole.insert(key.clone());
            let recalled = self.memory.recall(&memory_name(&key));
            let recalled = recalled.and_then(|text| serde_json::from_str::<Remembered>(&text).ok());
            let same = |old: &Window| (&old.policy, old.start, old.end) == (&window.policy, window.start, window.end);
            if let Some(recalled) = recalled.filter(|recalled| same(&recalled.window)) {
                self.remembered.insert(key, recalled.archive);
                return Ok(recalled.window);
            }
        }
        if !wanted {
            "not part of the sample".clone_into(&mut window.uncounted);
            return Ok(window);
        }
        let mut steps = BTreeMap::new();
        for measurement in known.schema.keys() {
            method.context.cancel.check()?;
            let tally = count::count(client, &span(database, &window), measurement, &[])?;
            if !tally.steps.is_empty() {
                steps.insert(measurement.clone(), tally.steps.clone());
                window.measurements.insert(measurement.clone(), Counted::new(tally, Vec::new()));
            }
        }
        self.steps.insert(key, steps);
        Ok(window)
    }

    /// Look again at everything that was not still: `archives` is what was stored of each shard. Gives the facts and what a
    /// reader must know.
    pub fn after(
        mut self,
        client: &mut Client,
        archives: &BTreeMap<ShardKey, ArchiveFacts>,
        context: &RunContext,
    ) -> Result<(Facts, Vec<String>)> {
        let mut facts = std::mem::take(&mut self.facts);
        let mut warnings = Vec::new();
        let mut names = BTreeSet::new();
        for (name, database) in &mut facts.databases {
            let schema = survey::schema(client, name)?;
            let mut schema_warnings = settle_schema(name, database, &schema);
            warnings.append(&mut schema_warnings);
            let mut windows = Vec::new();
            for mut window in std::mem::take(&mut database.windows) {
                context.cancel.check()?;
                let key = (name.clone(), window.shard);
                // The retention policy dropped it while we were at work; any other loss has failed the backup already.
                let Some(archive) = archives.get(&key) else {
                    warnings.push(format!("shard {} of {name} expired during the backup", window.shard));
                    continue;
                };
                if !self.settle(client, (name, &schema), &mut window, archive)? {
                    warnings.push(format!(
                        "shard {} of {name} ({}) changed since it was last counted: its points are not promised this time",
                        window.shard,
                        window.shown()
                    ));
                }
                let still = window.measurements.values().all(|counted| counted.moving.is_empty());
                if self.whole.contains(&key) && still && window.uncounted.is_empty() {
                    let remembered = Remembered { archive: archive.digest, window: window.clone() };
                    names.insert(memory_name(&key));
                    if self.remembered.get(&key) != Some(&archive.digest)
                        && let Ok(text) = serde_json::to_string(&remembered)
                    {
                        self.memory.keep(&memory_name(&key), &text);
                    }
                }
                windows.push(window);
            }
            database.windows = windows;
            warnings.extend(moving(name, database));
            let again = newest(client, name, database)?;
            retain_equal(&mut database.newest, &again);
        }
        self.memory.retain(&names);
        Ok((facts, warnings))
    }

    /// Make `window` true for the archive that was stored; false where nothing of it can be promised.
    fn settle(
        &mut self,
        client: &mut Client,
        (name, schema): (&str, &Schema),
        window: &mut Window,
        archive: &ArchiveFacts,
    ) -> Result<bool> {
        let key = (name.to_owned(), window.shard);
        if let Some(digest) = self.remembered.get(&key) {
            if *digest == archive.digest {
                return Ok(true);
            }
            "changed since it was last counted".clone_into(&mut window.uncounted);
            window.measurements.clear();
            return Ok(false);
        }
        // Everything in the archive is older than the count: the count is of just that.
        if archive.newest_change < self.began || !window.uncounted.is_empty() {
            return Ok(true);
        }
        let before = self.steps.remove(&key).unwrap_or_default();
        for measurement in schema.keys() {
            let span = span(name, window);
            let tally = count::count(client, &span, measurement, &[])?;
            let nothing = Vec::new();
            let moved = count::moved(before.get(measurement).unwrap_or(&nothing), &tally.steps);
            if moved.is_empty() {
                continue;
            }
            let tally = count::count(client, &span, measurement, &moved)?;
            window.measurements.insert(measurement.clone(), Counted::new(tally, moved));
        }
        Ok(true)
    }
}

fn span<'a>(database: &'a str, window: &'a Window) -> Span<'a> {
    Span { database, policy: &window.policy, start: window.start, end: window.end, step: window.step }
}

fn memory_name((database, shard): &ShardKey) -> String {
    format!("shard {shard} of {database}")
}

/// Shards to count: all, or the newest of each retention policy and others by turns.
fn sample(shards: &[Shard], method: &Method<'_>) -> BTreeSet<u64> {
    let mut newest: BTreeMap<&str, Vec<&Shard>> = BTreeMap::new();
    for shard in shards.iter().filter(|shard| shard.start < method.bound) {
        newest.entry(&shard.policy).or_default().push(shard);
    }
    let day = method.bound.div_euclid(NANOSECONDS_PER_DAY).unsigned_abs();
    let mut chosen = BTreeSet::new();
    for shards in newest.values_mut() {
        shards.sort_by_key(|shard| std::cmp::Reverse(shard.start));
        let wanted = |(at, shard): &(usize, &&Shard)| {
            method.counting == Counting::Exact || *at < ALWAYS || (shard.id + day).is_multiple_of(ONE_IN)
        };
        chosen.extend(shards.iter().enumerate().filter(wanted).map(|(_, shard)| shard.id));
    }
    chosen
}

/// Newest point of every table, where the newest of its shards that has points was counted.
fn newest(
    client: &mut Client,
    name: &str,
    database: &DatabaseFacts,
) -> Result<BTreeMap<String, BTreeMap<String, i64>>> {
    let mut last: BTreeMap<(&str, &str), &Window> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, i64> = BTreeMap::new();
    for window in &database.windows {
        if !window.uncounted.is_empty() {
            let end = unknown.entry(&window.policy).or_insert(i64::MIN);
            *end = (*end).max(window.end);
        }
        for measurement in window.measurements.keys() {
            let newest = last.entry((&window.policy, measurement)).or_insert(window);
            if newest.start < window.start {
                *newest = window;
            }
        }
    }
    let mut found: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for ((policy, measurement), window) in last {
        if unknown.get(policy).is_some_and(|end| *end > window.start) {
            continue;
        }
        if let Some(time) = count::newest(client, &span(name, window), measurement)? {
            found.entry(policy.to_owned()).or_default().insert(measurement.to_owned(), time);
        }
    }
    Ok(found)
}

/// What is the same before and after; the rest was moving.
fn retain_equal(before: &mut BTreeMap<String, BTreeMap<String, i64>>, after: &BTreeMap<String, BTreeMap<String, i64>>) {
    for (policy, newest) in before.iter_mut() {
        newest.retain(|measurement, time| after.get(policy).and_then(|after| after.get(measurement)) == Some(time));
    }
}

/// Note what came while the backup ran, and take back what went.
fn settle_schema(name: &str, database: &mut DatabaseFacts, after: &Schema) -> Vec<String> {
    let mut warnings = Vec::new();
    for (measurement, known) in &mut database.measurements {
        let Some(now) = after.get(measurement) else { continue };
        for (set, now) in [(&mut known.tags, &now.tags), (&mut known.fields, &now.fields)] {
            set.came = now.difference(&set.before).cloned().collect();
        }
        known.series = [known.series[0].min(now.series), known.series[1].max(now.series)];
    }
    let gone: Vec<String> =
        database.measurements.keys().filter(|measurement| !after.contains_key(*measurement)).cloned().collect();
    for measurement in gone {
        warnings.push(format!("measurement {measurement} of {name} was dropped during the backup"));
        database.measurements.remove(&measurement);
        for window in &mut database.windows {
            window.measurements.remove(&measurement);
        }
        for newest in database.newest.values_mut() {
            newest.remove(&measurement);
        }
    }
    database.late = after.keys().filter(|name| !database.measurements.contains_key(*name)).cloned().collect();
    warnings
}

/// One sentence where points with older times were written while the backup ran.
fn moving(name: &str, database: &DatabaseFacts) -> Option<String> {
    let steps: usize = database
        .windows
        .iter()
        .flat_map(|window| window.measurements.values())
        .map(|counted| counted.moving.len())
        .sum();
    (steps > 0).then(|| {
        format!("points of {name} from before the backup were written or deleted while it ran: {steps} steps of time are not promised")
    })
}
