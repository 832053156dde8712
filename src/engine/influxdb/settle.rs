//! What of everything but points can be promised: what is the same before and after the backup.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Client;
use super::facts::DatabaseFacts;
use super::survey::{self, Schema};
use crate::error::Result;

/// A field whose points were all deleted is still listed by a live server, and not by a restored one; so is a measurement whose
/// points went with a retention policy that was dropped.
pub fn promise_fields_with_values(facts: &mut DatabaseFacts) {
    let mut seen: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (measurement, counted) in facts.windows.iter().flat_map(|window| &window.measurements) {
        seen.entry(measurement).or_default().extend(counted.fields.keys());
    }
    for (measurement, known) in &mut facts.measurements {
        let has_values = |field: &String| {
            let name = field.rsplit_once(' ').map_or(field.as_str(), |(name, _)| name);
            seen.get(measurement).is_some_and(|fields| fields.iter().any(|seen| *seen == name))
        };
        let without: BTreeSet<String> =
            known.fields.before.iter().filter(|field| !has_values(field)).cloned().collect();
        known.fields.before.retain(|field| !without.contains(field));
        known.fields.came = without;
    }
    let seen: BTreeSet<String> = seen.into_keys().cloned().collect();
    if facts.windows.iter().all(|window| window.uncounted.is_empty()) {
        facts.measurements.retain(|measurement, _| seen.contains(measurement));
    }
}

/// What of policies and queries is the same before and after is promised; the rest may be there or not.
pub fn settle_definitions(client: &mut Client, name: &str, database: &mut DatabaseFacts) -> Result<Vec<String>> {
    let (policies, queries) = (survey::policies(client, name)?, survey::queries(client, name)?);
    let mut unsettled: BTreeSet<String> = BTreeSet::new();
    unsettled.extend(
        database
            .policies
            .keys()
            .chain(policies.keys())
            .filter(|k| database.policies.get(*k) != policies.get(*k))
            .cloned(),
    );
    unsettled.extend(
        database.queries.keys().chain(queries.keys()).filter(|k| database.queries.get(*k) != queries.get(*k)).cloned(),
    );
    database.policies.retain(|name, _| !unsettled.contains(name));
    database.queries.retain(|name, _| !unsettled.contains(name));
    let warnings = unsettled.iter().map(|definition| {
        format!(
            "retention policy or continuous query {definition} of {name} changed during the backup: it is not promised"
        )
    });
    let warnings = warnings.collect();
    database.unsettled = unsettled;
    Ok(warnings)
}

/// Note what came while the backup ran, and take back what went.
pub fn settle_schema(name: &str, database: &mut DatabaseFacts, after: &Schema) -> Vec<String> {
    let mut warnings = Vec::new();
    for (measurement, known) in &mut database.measurements {
        let Some(now) = after.get(measurement) else { continue };
        for (set, now) in [(&mut known.tags, &now.tags), (&mut known.fields, &now.fields)] {
            set.came.extend(now.difference(&set.before).cloned());
        }
        known.series = known.series.zip(now.series).map(|([least, most], now)| [least.min(now), most.max(now)]);
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

/// What is the same before and after; the rest was moving.
pub fn retain_equal(
    before: &mut BTreeMap<String, BTreeMap<String, i64>>,
    after: &BTreeMap<String, BTreeMap<String, i64>>,
) {
    for (policy, newest) in before.iter_mut() {
        newest.retain(|measurement, time| after.get(policy).and_then(|after| after.get(measurement)) == Some(time));
    }
}
