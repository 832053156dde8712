//! What a backup promises in detail: counted before it, looked at again after it, stored beside the data as `facts.json`.
//!
//! Pure. What was moving while the backup ran is not promised, and said to be so.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answer::qualified;
use super::count::Tally;
use super::survey::{Measurement, Policy, User, shown_time};
use crate::domain::digest::Digest;
use crate::domain::drill::Check;
use crate::domain::manifest::{Inventory, ObjectFacts, ObjectKind, TableFacts};
use crate::error::{Error, Result};

/// Everything that was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Points are promised up to here (nanoseconds, exclusive).
    pub bound: i64,
    /// By name.
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// Every user with its grants.
    pub users: Vec<User>,
}

/// One database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Retention policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Continuous queries by name: the statement that makes them.
    pub queries: BTreeMap<String, String>,
    /// Subscriptions, as people read them; no restore makes them.
    pub subscriptions: Vec<String>,
    /// Measurements by name.
    pub measurements: BTreeMap<String, MeasurementFacts>,
    /// Measurements that came to be while the backup ran.
    pub late: BTreeSet<String>,
    /// Retention policies and continuous queries that were made, changed or dropped while it ran: may be there or not.
    #[serde(default)]
    pub unsettled: BTreeSet<String>,
    /// Shards, in order of their ids.
    pub windows: Vec<Window>,
    /// Newest point (nanoseconds) by retention policy and measurement.
    pub newest: BTreeMap<String, BTreeMap<String, i64>>,
}

/// One measurement without its points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasurementFacts {
    /// Tag keys.
    pub tags: Growing,
    /// Field keys with their types: `idle float`.
    pub fields: Growing,
    /// Series before and after the backup; none where they were not counted.
    pub series: Option<[u64; 2]>,
}

/// A set that may grow while the backup runs: what is restored lies between the two.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growing {
    /// Before the backup.
    pub before: BTreeSet<String>,
    /// What came while it ran.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub came: BTreeSet<String>,
}

impl Growing {
    /// What was there before.
    pub fn new(before: BTreeSet<String>) -> Self {
        Self { before, came: BTreeSet::new() }
    }

    /// What is wrong with `found`: nothing, or a sentence.
    fn objection(&self, found: &BTreeSet<String>) -> Option<String> {
        let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let missing: Vec<&String> = self.before.difference(found).collect();
        let more: Vec<&String> =
            found.iter().filter(|name| !self.before.contains(*name) && !self.came.contains(*name)).collect();
        match (missing.is_empty(), more.is_empty()) {
            (true, true) => None,
            (false, true) => Some(format!("without {}", list(missing))),
            (true, false) => Some(format!("with {} in addition", list(more))),
            (false, false) => Some(format!("without {}, with {}", list(missing), list(more))),
        }
    }
}

/// The points of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Id of the shard at the source.
    pub shard: u64,
    /// Retention policy.
    pub policy: String,
    /// First nanosecond.
    pub start: i64,
    /// First nanosecond after what is promised.
    pub end: i64,
    /// Length of a step, in seconds.
    pub step: i64,
    /// Why nothing in it was counted; empty where it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uncounted: String,
    /// What was counted, by measurement; only what has points.
    pub measurements: BTreeMap<String, Counted>,
}

impl Window {
    /// For people.
    pub fn shown(&self) -> String {
        format!("{} to {}", shown_time(self.start), shown_time(self.end))
    }
}

/// The points of one measurement in one shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Values per field.
    pub fields: BTreeMap<String, u64>,
    /// Digest of all steps.
    pub digest: Digest,
    /// Start of each step that changed while the backup ran: not part of the above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<i64>,
}

impl Counted {
    /// What a tally says, without these steps.
    pub fn new(tally: Tally, moving: Vec<i64>) -> Self {
        let (fields, digest) = tally.without(&moving).totals();
        Self { fields, digest, moving }
    }
}

/// The same facts of a restored database, as far as they were promised.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Retention policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Continuous queries by name.
    pub queries: BTreeMap<String, String>,
    /// Measurements by name; those that are not promised only where they have points.
    pub schema: BTreeMap<String, Measurement>,
    /// For each promised window in order: what was counted by measurement, without what was moving.
    pub windows: Vec<BTreeMap<String, Counted>>,
    /// Newest point by retention policy and measurement.
    pub newest: BTreeMap<String, BTreeMap<String, i64>>,
}

/// Retention policy and measurement of every table of a database, with its values.
type Tables<'f> = BTreeMap<(&'f str, &'f str), (u64, Vec<&'f Digest>)>;

impl DatabaseFacts {
    /// What this database promises.
    pub fn inventory(&self, database: &str) -> Inventory {
        let mut tables: Tables<'_> = BTreeMap::new();
        for window in self.windows.iter().filter(|window| window.uncounted.is_empty()) {
            add(&mut tables, window, &window.measurements);
        }
        let tables = tables.into_iter().map(|((policy, measurement), (rows, digests))| {
            let schema = self.measurements.get(measurement).map(|m| (&m.tags.before, &m.fields.before));
            let newest = self.newest.get(policy).and_then(|newest| newest.get(measurement));
            table(&qualified(&[database, policy, measurement]), rows, &digests, schema, newest)
        });
        let mut inventory = Inventory {
            tables: tables.collect(),
            objects: vec![object(ObjectKind::Database, qualified(&[database]), None)],
            reach: None,
        };
        inventory.objects.extend(self.policies.iter().map(|(name, policy)| policy_object(database, name, policy)));
        inventory.objects.extend(self.queries.iter().map(|(name, text)| query_object(database, name, text)));
        inventory
    }

    /// What was found of it, in the same words, and what differs in detail.
    pub fn compare(&self, database: &str, found: &Found) -> (Inventory, Vec<Check>) {
        let mut tables: Tables<'_> = BTreeMap::new();
        let mut checks = Vec::new();
        for (window, tallies) in self.windows.iter().zip(&found.windows).filter(|(w, _)| w.uncounted.is_empty()) {
            add(&mut tables, window, tallies);
            checks.extend(self.compare_window(database, window, tallies));
        }
        let inventory_tables = tables.into_iter().map(|((policy, measurement), (rows, digests))| {
            let promised = self.measurements.get(measurement);
            let there = found.schema.get(measurement);
            let good = promised.zip(there).is_some_and(|(promised, there)| {
                promised.tags.objection(&there.tags).is_none() && promised.fields.objection(&there.fields).is_none()
            });
            // What lies between before and after is as promised.
            let schema = if good {
                promised.map(|m| (&m.tags.before, &m.fields.before))
            } else {
                there.map(|m| (&m.tags, &m.fields))
            };
            let newest = found.newest.get(policy).and_then(|newest| newest.get(measurement));
            table(&qualified(&[database, policy, measurement]), rows, &digests, schema, newest)
        });
        let inventory_tables = inventory_tables.collect();
        checks.extend(self.compare_schema(database, &found.schema));
        let mut inventory = Inventory {
            tables: inventory_tables,
            objects: vec![object(ObjectKind::Database, qualified(&[database]), None)],
            reach: None,
        };
        let settled = |name: &String| !self.unsettled.contains(name);
        let policies = found.policies.iter().filter(|(name, _)| settled(name));
        inventory.objects.extend(policies.map(|(name, policy)| policy_object(database, name, policy)));
        let queries = found.queries.iter().filter(|(name, _)| settled(name));
        inventory.objects.extend(queries.map(|(name, text)| query_object(database, name, text)));
        (inventory, checks)
    }

    /// Names every field of a shard that has another count, and every measurement whose points lie elsewhere.
    fn compare_window(&self, database: &str, window: &Window, tallies: &BTreeMap<String, Counted>) -> Vec<Check> {
        let mut checks = Vec::new();
        let names: BTreeSet<&String> = window.measurements.keys().chain(tallies.keys()).collect();
        for name in names.into_iter().filter(|name| !self.late.contains(*name)) {
            let nothing = Counted::default();
            let promised = window.measurements.get(name).unwrap_or(&nothing);
            let there = tallies.get(name).unwrap_or(&nothing);
            let place = format!("{} from {}", qualified(&[database, &window.policy, name]), window.shown());
            let fields: BTreeSet<&String> = promised.fields.keys().chain(there.fields.keys()).collect();
            let before = checks.len();
            for field in fields {
                let count = |fields: &BTreeMap<String, u64>| fields.get(field).copied().unwrap_or(0);
                let (expected, actual) = (count(&promised.fields), count(&there.fields));
                if expected != actual {
                    checks.push(check(&format!("points of {field} in {place}"), expected, actual, false));
                }
            }
            if checks.len() == before && promised.digest != there.digest {
                checks.push(check(&format!("times of points in {place}"), "as backed up", "different", false));
            }
        }
        checks
    }

    /// Names what a measurement lacks or has in addition, and checks the number of its series.
    fn compare_schema(&self, database: &str, found: &BTreeMap<String, Measurement>) -> Vec<Check> {
        let mut checks = Vec::new();
        for (name, promised) in &self.measurements {
            let shown = qualified(&[database, name]);
            let Some(there) = found.get(name) else {
                checks.push(check(&format!("measurement {shown}"), "present", "missing", false));
                continue;
            };
            for (what, objection) in [
                ("tag keys of", promised.tags.objection(&there.tags)),
                ("field keys of", promised.fields.objection(&there.fields)),
            ] {
                checks.extend(objection.map(|actual| check(&format!("{what} {shown}"), "as backed up", actual, false)));
            }
            let Some(([before, after], series)) = promised.series.zip(there.series) else { continue };
            let expected = if before == after { before.to_string() } else { format!("{before} to {after}") };
            let good = (before..=after).contains(&series);
            checks.push(check(&format!("series of {shown}"), expected, series, good));
        }
        checks
    }
}

impl Facts {
    /// What is not promised although it is in the backup, one sentence each; an error where nothing of a database is.
    pub fn reservations(&self) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for (name, database) in &self.databases {
            let counted = database.windows.iter().filter(|window| window.uncounted.is_empty()).count();
            if counted < database.windows.len() {
                let reasons: BTreeSet<&str> =
                    database.windows.iter().map(|w| w.uncounted.as_str()).filter(|reason| !reason.is_empty()).collect();
                let reasons = reasons.into_iter().collect::<Vec<_>>().join(", ");
                let all = database.windows.len();
                if counted == 0 {
                    let what = format!("nothing of the points of {name} was counted when it was backed up ({reasons})");
                    return Err(Error::inconclusive(what).hint("the next backup counts what changed; drill that one"));
                }
                notes
                    .push(format!("points of {name}: {counted} of {all} shards are promised and compared ({reasons})"));
            }
            let counts = database.windows.iter().flat_map(|window| window.measurements.values());
            let moving: usize = counts.map(|counted| counted.moving.len()).sum();
            if moving > 0 {
                notes.push(format!(
                    "points of {name}: {moving} steps of time changed while the backup ran and are not promised"
                ));
            }
        }
        Ok(notes)
    }

    /// What the backup promises.
    pub fn inventory(&self) -> Inventory {
        let mut inventory = Inventory::default();
        for (name, database) in &self.databases {
            let own = database.inventory(name);
            inventory.tables.extend(own.tables);
            inventory.objects.extend(own.objects);
        }
        inventory.objects.extend(self.users.iter().map(user_object));
        inventory.tables.sort_by(|a, b| a.name.cmp(&b.name));
        inventory.objects.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        inventory
    }
}

/// Add the points of one window to the tables they belong to.
fn add<'f>(tables: &mut Tables<'f>, window: &'f Window, measurements: &'f BTreeMap<String, Counted>) {
    for (measurement, counted) in measurements.iter().filter(|(_, counted)| !counted.fields.is_empty()) {
        let table = tables.entry((&window.policy, measurement)).or_default();
        table.0 += counted.fields.values().sum::<u64>();
        table.1.push(&counted.digest);
    }
}

fn table(
    name: &str,
    rows: u64,
    digests: &[&Digest],
    schema: Option<(&BTreeSet<String>, &BTreeSet<String>)>,
    newest: Option<&i64>,
) -> TableFacts {
    let mut content = blake3::Hasher::new();
    for digest in digests {
        content.update(&digest.0);
    }
    let schema = schema.map(|(tags, fields)| format!("tags {tags:?} fields {fields:?}")).unwrap_or_default();
    TableFacts {
        name: name.to_owned(),
        rows,
        digest: Digest(*content.finalize().as_bytes()),
        definition: Digest::of(schema.as_bytes()),
        newest: newest.map(|newest| ("time".to_owned(), shown_time(*newest))).into_iter().collect(),
        next_id: None,
    }
}

fn object(kind: ObjectKind, name: String, shown: Option<String>) -> ObjectFacts {
    let definition = Digest::of(shown.as_deref().unwrap_or_default().as_bytes());
    ObjectFacts { kind, name, definition, shown, definer: None, ends: None }
}

fn policy_object(database: &str, name: &str, policy: &Policy) -> ObjectFacts {
    object(ObjectKind::RetentionPolicy, qualified(&[database, name]), Some(policy.shown()))
}

fn query_object(database: &str, name: &str, text: &str) -> ObjectFacts {
    object(ObjectKind::ContinuousQuery, qualified(&[database, name]), Some(text.to_owned()))
}

/// A user as an object.
pub fn user_object(user: &User) -> ObjectFacts {
    object(ObjectKind::Account, user.name.clone(), Some(user.shown()))
}

#[allow(clippy::needless_pass_by_value)] // numbers and texts alike
fn check(name: &str, expected: impl ToString, actual: impl ToString, ok: bool) -> Check {
    Check { name: name.to_owned(), expected: expected.to_string(), actual: actual.to_string(), ok }
}
