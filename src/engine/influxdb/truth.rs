//! What the live server holds, up to a bound that lies before the backup: counted before it, looked at again after it.
//!
//! Counting must not hurt the server: one question at a time, each about one measurement in one shard. A shard whose archive
//! is the very same as when it was counted is not counted again ([`Memory`]). What was still changing is not promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::archive::ArchiveFacts;
use super::client::Client;
use super::count::{self, Span, Steps};
use super::facts::{Counted, DatabaseFacts, Facts, Growing, MeasurementFacts, Window};
use super::settle::{promise_fields_with_values, retain_equal, settle_definitions, settle_schema};
use super::survey::{self, Database, Schema, Shard, Survey};
use super::table::Counting;
use crate::domain::digest::Digest;
use crate::engine::kind::Memory;
use crate::error::Result;
use crate::run_context::RunContext;

/// Newest shards of each retention policy that `sampled` always counts, and the share of the others.
const ALWAYS: usize = 2;
const ONE_IN: u64 = 8;
const NANOSECONDS_PER_DAY: i64 = 86_400_000_000_000;

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
    steps: HashMap<ShardKey, BTreeMap<String, Steps>>,
    /// Archives for which a remembered count is true.
    remembered: HashMap<ShardKey, Digest>,
    /// Whole shards, which may be remembered.
    whole: BTreeSet<ShardKey>,
    /// Shards with points of the future only: which of them have files is known later.
    future: Vec<(String, Shard)>,
    /// When counting began, in seconds by the server's clock.
    began: i64,
    memory: Arc<dyn Memory>,
    /// Whether series are counted.
    cardinalities: bool,
}

/// How to count.
pub struct Method {
    /// Points are counted up to here (nanoseconds, exclusive).
    pub bound: i64,
    /// All or some.
    pub counting: Counting,
    /// What earlier backups counted.
    pub memory: Arc<dyn Memory>,
}

impl Truth {
    /// Count what `survey` found.
    pub fn before(client: &mut Client, survey: &Survey, method: &Method, began: i64) -> Result<Self> {
        let mut truth = Self {
            facts: Facts { bound: method.bound, databases: BTreeMap::new(), users: survey.users.clone() },
            steps: HashMap::new(),
            remembered: HashMap::new(),
            whole: BTreeSet::new(),
            future: Vec::new(),
            began,
            memory: method.memory.clone(),
            cardinalities: method.counting == Counting::Exact,
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
        method: &Method,
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
                series: known.series.map(|series| [series, series]),
            };
            facts.measurements.insert(measurement.clone(), known);
        }
        let sample = sample(&database.shards, method);
        for shard in &database.shards {
            if shard.start >= method.bound {
                self.future.push((name.to_owned(), shard.clone()));
                continue;
            }
            let window = self.window(client, (name, shard, sample.contains(&shard.id)), database, method)?;
            facts.windows.push(window);
        }
        facts.newest = newest(client, name, &facts)?;
        promise_fields_with_values(&mut facts);
        Ok(facts)
    }

    fn window(
        &mut self,
        client: &mut Client,
        (database, shard, wanted): (&str, &Shard, bool),
        known: &Database,
        method: &Method,
    ) -> Result<Window> {
        let key = (database.to_owned(), shard.id);
        let mut window = window_of(shard, method.bound);
        if shard.begins_too_early() {
            "of 1677, where the server itself does not find points by their time".clone_into(&mut window.uncounted);
            return Ok(window);
        }
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
        let names: Vec<&String> = known.schema.keys().collect();
        for measurement in &count::present(client, &span(database, &window), &names)? {
            let tally = count::count(client, &span(database, &window), measurement)?;
            if !tally.is_empty() {
                steps.insert(measurement.clone(), tally.steps());
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
            let schema = survey::schema(client, name, self.cardinalities)?;
            warnings.extend(settle_schema(name, database, &schema));
            warnings.extend(settle_definitions(client, name, database)?);
            let mut windows = Vec::new();
            for mut window in std::mem::take(&mut database.windows) {
                context.cancel.check()?;
                let key = (name.clone(), window.shard);
                // It was dropped while we were at work, or never had points; any other loss has failed the backup already.
                let Some(archive) = archives.get(&key) else {
                    if !window.measurements.is_empty() {
                        warnings.push(format!("shard {} of {name} was dropped during the backup", window.shard));
                    }
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
            for (_, shard) in self.future.iter().filter(|(of, _)| of == name) {
                if archives.get(&(name.clone(), shard.id)).is_some_and(|archive| archive.files > 0) {
                    let uncounted = "newer than the as-of time".to_owned();
                    windows.push(Window { uncounted, end: shard.end, ..window_of(shard, i64::MAX) });
                }
            }
            database.windows = windows;
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
        if !window.uncounted.is_empty() {
            return Ok(true);
        }
        if let Some(digest) = self.remembered.get(&key) {
            // Other files may hold the same points (a compaction), and fewer files must not pass for a change.
            if *digest == archive.digest || same_totals(client, name, window, schema)? {
                return Ok(true);
            }
            "changed since it was last counted".clone_into(&mut window.uncounted);
            window.measurements.clear();
            return Ok(false);
        }
        // Nothing was written since the count; a deletion may still be in memory only.
        if archive.newest_change < self.began && same_totals(client, name, window, schema)? {
            return Ok(true);
        }
        let before = self.steps.remove(&key).unwrap_or_default();
        let names: Vec<&String> = schema.keys().collect();
        let present = count::present(client, &span(name, window), &names)?;
        let names: BTreeSet<&String> = present.iter().chain(before.keys()).collect();
        for measurement in names {
            let tally = count::count(client, &span(name, window), measurement)?;
            let moved = count::moved(before.get(measurement).map_or(&[], Vec::as_slice), &tally.steps());
            // What is the same before and after was there in between. Nothing is asked again: more may come any time.
            if !moved.is_empty() {
                window.measurements.insert(measurement.clone(), Counted::new(tally, moved));
            }
        }
        Ok(true)
    }
}

/// Whether the live shard has as many values of every field as `window` says.
fn same_totals(client: &mut Client, name: &str, window: &Window, schema: &Schema) -> Result<bool> {
    let now = count::totals(client, &span(name, window), schema.keys())?;
    let names: BTreeSet<&String> = now.keys().chain(window.measurements.keys()).collect();
    Ok(names.into_iter().all(|measurement| {
        let counted = window.measurements.get(measurement).map(|counted| &counted.fields);
        now.get(measurement) == counted
    }))
}

/// The span of a shard up to `bound`, nothing counted.
fn window_of(shard: &Shard, bound: i64) -> Window {
    Window {
        shard: shard.id,
        policy: shard.policy.clone(),
        start: shard.start,
        end: shard.end.min(bound),
        step: count::step(shard.start, shard.end),
        uncounted: String::new(),
        measurements: BTreeMap::new(),
    }
}

fn span<'a>(database: &'a str, window: &'a Window) -> Span<'a> {
    Span { database, policy: &window.policy, start: window.start, end: window.end, step: window.step }
}

fn memory_name((database, shard): &ShardKey) -> String {
    format!("shard {shard} of {database}")
}

/// Shards to count: all, or the newest of each retention policy and others by turns.
fn sample(shards: &[Shard], method: &Method) -> BTreeSet<u64> {
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
