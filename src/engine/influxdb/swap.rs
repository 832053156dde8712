//! Puts a backup in the place of a database that is in use: 1.x cannot rename, so it is restored beside it, compared,
//! and only then restored under the name itself.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::quoted;
use super::client::Client;
use super::facts::DatabaseFacts;
use super::inspect::find;
use super::load::Loading;
use super::survey;
use super::writers::Writers;
use crate::domain::comparison::compare;
use crate::engine::LoadReport;
use crate::error::{Error, Result};

/// How often the name is freed again for the restore: whoever misses the database may make it at once.
const ATTEMPTS: u32 = 5;

impl Loading<'_> {
    /// Restore beside, compare, drop, restore, drop what is beside. Until the comparison the old one is untouched, and
    /// until the end the backup is on the server.
    pub(super) fn swap(
        &self,
        client: &mut Client,
        name: &str,
        facts: &DatabaseFacts,
        (writers, report): (Option<&Writers>, &mut LoadReport),
    ) -> Result<()> {
        let beside = format!("{name}_restored_{}", self.point.manifest.id);
        let drop_beside = format!("DROP DATABASE {}", quoted(&beside));
        if self.has_shards(name)? {
            if let Err(error) = self.prepare_beside(client, (name, &beside), facts, writers) {
                // What is beside is of no use, and the reason it is there matters more than whether it goes.
                let _ = client.query("", &drop_beside);
                return Err(error.context(format!("cannot replace database {name}, which was not touched")));
            }
        } else if !survey::names(&client.query("", &format!("SHOW MEASUREMENTS ON {}", quoted(name)))?).is_empty() {
            let what = format!("cannot replace database {name}: it has points, and the backup of it has none");
            return Err(Error::failed(what).hint("if that is intended, drop it by hand and restore again"));
        }
        let lost = Lost::note(client, name, facts)?;
        self.replace(client, name, facts).map_err(|error| {
            error.hint(format!(
                "{name} was dropped; the same data is on the server as {beside}: stop all writers and try again, or copy from there"
            ))
        })?;
        report.warnings.extend(lost.give_back(client, name)?);
        client.query("", &drop_beside)?;
        Ok(())
    }

    /// The backup under its other name, as promised, and nobody who writes.
    fn prepare_beside(
        &self,
        client: &mut Client,
        (name, beside): (&str, &str),
        facts: &DatabaseFacts,
        writers: Option<&Writers>,
    ) -> Result<()> {
        // One that an earlier attempt left is as good as a new one, if it is as promised.
        let present = survey::names(&client.query("", "SHOW DATABASES")?).iter().any(|other| other == beside);
        if !present || self.compare_beside(client, (name, beside), facts).is_err() {
            client.query("", &format!("DROP DATABASE {}", quoted(beside)))?;
            self.restore(name, beside)?;
            self.compare_beside(client, (name, beside), facts)?;
        }
        match writers.map_or(0, |writers| writers.came(client)) {
            0 => Ok(()),
            points => Err(Error::failed(format!(
                "writers are still connected: {points} points were written during the restore"
            ))
            .hint("stop telegraf and other writers, then restore again: what they write would mix with the backup")),
        }
    }

    fn compare_beside(&self, client: &mut Client, (name, beside): (&str, &str), facts: &DatabaseFacts) -> Result<()> {
        // The queries are made when it has its own name.
        let promised = DatabaseFacts { queries: BTreeMap::new(), ..facts.clone() };
        let found = find(client, beside, &promised, self.context)?;
        let (inventory, checks) = promised.compare(name, &found);
        let comparison = compare(&promised.inventory(name), &inventory);
        match comparison.checks.iter().chain(&checks).find(|check| !check.ok) {
            None => Ok(()),
            Some(bad) => Err(Error::failed(format!(
                "restored beside it, {} is {} instead of {}",
                bad.name, bad.actual, bad.expected
            ))),
        }
    }

    fn replace(&self, client: &mut Client, name: &str, facts: &DatabaseFacts) -> Result<()> {
        let mut attempts = ATTEMPTS;
        loop {
            client.query("", &format!("DROP DATABASE {}", quoted(name)))?;
            match self.restore_or_make(client, name, facts) {
                Err(error) if attempts > 1 && error.to_string().contains("already exist") => attempts -= 1,
                result => return result,
            }
        }
    }
}

/// What a server takes away with a database.
struct Lost {
    /// Statements that grant again.
    grants: Vec<String>,
    /// What the backup does not bring, as people read it.
    definitions: Vec<String>,
}

impl Lost {
    fn note(client: &mut Client, name: &str, facts: &DatabaseFacts) -> Result<Self> {
        let mut grants = Vec::new();
        for user in survey::users(client)? {
            let own: BTreeMap<String, String> =
                user.grants.into_iter().filter(|(database, _)| database == name).collect();
            let user = survey::User { grants: own, ..user };
            grants.extend(survey::grants(&user));
        }
        let kept: BTreeSet<&String> = facts.queries.keys().collect();
        let queries = survey::queries(client, name)?;
        let queries = queries.into_iter().filter(|(query, _)| !kept.contains(query));
        let mut definitions: Vec<String> = queries.map(|(_, text)| format!("continuous query: {text}")).collect();
        let subscriptions = survey::subscriptions(client, name)?;
        definitions.extend(subscriptions.into_iter().map(|subscription| format!("subscription {subscription}")));
        Ok(Self { grants, definitions })
    }

    /// Grant again what was granted; the rest is named.
    fn give_back(self, client: &mut Client, name: &str) -> Result<Vec<String>> {
        for statement in &self.grants {
            client.query("", statement)?;
        }
        let gone = self.definitions.into_iter();
        Ok(gone.map(|definition| format!("{name} had, and the backup does not: {definition}")).collect())
    }
}
