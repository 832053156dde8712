//! Looks at a server's databases with the eyes of a backup's facts: the same questions about the same spans of time.

use std::collections::BTreeMap;

use super::client::Client;
use super::count::{self, Span};
use super::facts::{Counted, DatabaseFacts, Facts, Found, Window, user_object};
use super::survey;
use crate::engine::{Inspection, StoredPoint};
use crate::error::{OrFailed, Result};
use crate::run_context::RunContext;

/// Name of the stored facts.
pub const FACTS_FILE: &str = "facts.json";

/// What a reader of any drill of this kind should know.
const NOTE: &str = "InfluxDB: every value is counted by field and step of time; what it is was not read";

/// The facts that were stored with a backup.
pub fn stored_facts(point: &StoredPoint) -> Result<Facts> {
    let file = (point.open)(FACTS_FILE)?;
    let length = usize::try_from(file.len()).or_failed(format!("cannot read {FACTS_FILE}"))?;
    let text = file.read_at(0, length)?;
    serde_json::from_slice(&text).or_failed(format!("cannot read {FACTS_FILE} of {}", point.manifest.id))
}

/// Inspect what `facts` promise.
pub fn inspect(client: &mut Client, facts: &Facts, context: &RunContext) -> Result<Inspection> {
    let mut inspection = Inspection { notes: facts.reservations()?, ..Inspection::default() };
    inspection.notes.push(NOTE.to_owned());
    let present = survey::names(&client.query("", "SHOW DATABASES")?);
    for (name, database) in facts.databases.iter().filter(|(name, _)| present.contains(name)) {
        let found = find(client, name, database, context)?;
        let (inventory, checks) = database.compare(name, &found);
        inspection.inventory.tables.extend(inventory.tables);
        inspection.inventory.objects.extend(inventory.objects);
        inspection.checks.extend(checks);
    }
    // Users beyond the promised ones belong to the destination.
    let promised = |name: &str| facts.users.iter().any(|user| user.name == name);
    let mut users = survey::users(client)?;
    users.retain(|user| promised(&user.name));
    // What a user may do in other databases was there before.
    for user in &mut users {
        user.grants.retain(|name, _| facts.databases.contains_key(name));
    }
    inspection.inventory.objects.extend(users.iter().map(user_object));
    Ok(inspection)
}

/// What database `name` has of what `promised` says.
pub fn find(client: &mut Client, name: &str, promised: &DatabaseFacts, context: &RunContext) -> Result<Found> {
    let cardinalities = promised.measurements.values().any(|known| known.series.is_some());
    let schema = survey::schema(client, name, cardinalities)?;
    let mut found = Found {
        policies: survey::policies(client, name)?,
        queries: survey::queries(client, name)?,
        newest: newest(client, name, promised)?,
        ..Found::default()
    };
    let names: Vec<&String> = schema.keys().filter(|name| !promised.late.contains(*name)).collect();
    for window in &promised.windows {
        let mut counts = BTreeMap::new();
        if window.uncounted.is_empty() {
            let span = span(name, window);
            // Whatever has points, promised or not.
            for measurement in &count::present(client, &span, &names)? {
                context.cancel.check()?;
                let moving = window.measurements.get(measurement).map(|counted| counted.moving.clone());
                let tally = count::count(client, &span, measurement)?;
                counts.insert(measurement.clone(), Counted::new(tally, moving.unwrap_or_default()));
            }
        }
        context.progress.advance(1);
        found.windows.push(counts);
    }
    found.schema = schema;
    Ok(found)
}

/// Newest point of every table that has one promised, in the shard where it was.
fn newest(
    client: &mut Client,
    name: &str,
    promised: &DatabaseFacts,
) -> Result<BTreeMap<String, BTreeMap<String, i64>>> {
    let mut found: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for (policy, newest) in &promised.newest {
        for (measurement, time) in newest {
            let holds = |window: &&Window| window.policy == *policy && (window.start..window.end).contains(time);
            let Some(window) = promised.windows.iter().find(holds) else { continue };
            if let Some(time) = count::newest(client, &span(name, window), measurement)? {
                found.entry(policy.clone()).or_default().insert(measurement.clone(), time);
            }
        }
    }
    Ok(found)
}

fn span<'a>(database: &'a str, window: &'a Window) -> Span<'a> {
    Span { database, policy: &window.policy, start: window.start, end: window.end, step: window.step }
}
