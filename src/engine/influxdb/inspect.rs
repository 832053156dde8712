//! Looks at a server's databases with the eyes of a backup's facts: the same questions about the same spans of time.

use std::collections::BTreeMap;

use super::client::Client;
use super::count::{self, Span};
use super::facts::{DatabaseFacts, Facts, Found, user_object};
use super::survey;
use crate::engine::{Inspection, StoredPoint};
use crate::error::{OrFailed, Result};
use crate::run_context::RunContext;

/// Name of the stored facts.
pub const FACTS_FILE: &str = "facts.json";

/// The facts that were stored with a backup.
pub fn stored_facts(point: &StoredPoint) -> Result<Facts> {
    let file = (point.open)(FACTS_FILE)?;
    let length = usize::try_from(file.len()).or_failed(format!("read {FACTS_FILE}"))?;
    let text = file.read_at(0, length)?;
    serde_json::from_slice(&text).or_failed(format!("read {FACTS_FILE} of {}", point.manifest.id))
}

/// Inspect what `facts` promise.
pub fn inspect(client: &mut Client, facts: &Facts, context: &RunContext) -> Result<Inspection> {
    let mut inspection = Inspection::default();
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
    let schema = survey::schema(client, name)?;
    let mut found = Found {
        policies: survey::policies(client, name)?,
        queries: survey::queries(client, name)?,
        ..Found::default()
    };
    for window in &promised.windows {
        let mut tallies = BTreeMap::new();
        let span =
            Span { database: name, policy: &window.policy, start: window.start, end: window.end, step: window.step };
        for measurement in schema.keys().filter(|_| window.uncounted.is_empty()) {
            context.cancel.check()?;
            if promised.late.contains(measurement) {
                continue;
            }
            let counted = window.measurements.get(measurement);
            let moving = counted.map(|counted| counted.moving.as_slice()).unwrap_or_default();
            let tally = count::count(client, &span, measurement, moving)?;
            let newest = promised.newest.get(&window.policy).is_some_and(|newest| newest.contains_key(measurement));
            if newest && let Some(time) = count::newest(client, &span, measurement)? {
                let newest = found.newest.entry(window.policy.clone()).or_default();
                let known = newest.entry(measurement.clone()).or_insert(time);
                *known = time.max(*known);
            }
            tallies.insert(measurement.clone(), tally);
        }
        context.progress.advance(1);
        found.windows.push(tallies);
    }
    found.schema = schema;
    Ok(found)
}
