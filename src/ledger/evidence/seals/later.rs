//! Kinds of records that earlier versions did not seal: what the repositories list now, marks of points that vanished, and
//! which repositories are meant. A ledger of such a version is sealed from its first opening on, and the chain says from where.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::chain::{Entry, FORGOTTEN, Subject, append, failed};
use super::records;
use super::state::State;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::Connection;

/// What there was to be sealed of a source before something was changed.
pub(in crate::ledger) struct Sealable(BTreeMap<(Subject, String), Entry>);

impl Sealable {
    /// What is listed and what vanished of `source` now, in the transaction that will change it.
    pub(in crate::ledger) async fn of(tx: &mut Connection, source: &str) -> Result<Self> {
        let mut all = BTreeMap::new();
        let statements = [
            (Subject::Listed, "SELECT * FROM points WHERE source = ?"),
            (Subject::Vanished, "SELECT * FROM point_lifetimes WHERE source = ? AND gone_early <> 0"),
        ];
        for (subject, statement) in statements {
            for entry in records::fetch(tx, subject, sqlx::query(statement).bind(source)).await? {
                all.insert((subject, entry.name.clone()), entry);
            }
        }
        Ok(Self(all))
    }

    /// Seal what has changed since.
    pub(in crate::ledger) async fn seal_changes(
        self,
        tx: &mut Connection,
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (mut before, Self(after)) = (self.0, Self::of(tx, source).await?);
        let mut changed = Vec::new();
        for (key, entry) in after {
            if before.remove(&key).as_ref() != Some(&entry) {
                changed.push(entry);
            }
        }
        changed.extend(before.into_values().map(|entry| Entry { state: FORGOTTEN.to_owned(), ..entry }));
        append(tx, &changed, now).await
    }
}

/// Seal which repository `name` means.
pub(in crate::ledger) async fn seal_repository(tx: &mut Connection, name: &str, now: DateTime<Utc>) -> Result<()> {
    let query = sqlx::query("SELECT * FROM repositories WHERE name = ?").bind(name);
    let entries = records::fetch(tx, Subject::Repository, query).await?;
    append(tx, &entries, now).await
}

/// The id of the repository that `name` means and since when, as it was sealed last; none where nothing was.
pub(in crate::ledger) async fn sealed_repository(tx: &mut Connection, name: &str) -> Result<Option<(String, i64)>> {
    let newest = "SELECT state FROM seals WHERE subject = 'repository' AND name = ? ORDER BY position DESC LIMIT 1";
    let state: Option<String> = sqlx::query_scalar(newest).bind(name).fetch_optional(tx).await.map_err(failed)?;
    Ok(match state.map(|state| State::read(Subject::Repository, &state)) {
        Some(State::Repository { since, identity }) if !identity.is_empty() => Some((identity, since)),
        _ => None,
    })
}

async fn is_adopted(tx: &mut Connection, subject: Subject) -> Result<bool> {
    let adopted = "SELECT COUNT(*) FROM seals WHERE subject = 'adoption' AND name = ?";
    let found: i64 = sqlx::query_scalar(adopted).bind(subject.name()).fetch_one(tx).await.map_err(failed)?;
    Ok(found > 0)
}

/// Seal what is there of kinds that are not sealed yet, each once.
pub(super) async fn adopt(tx: &mut Connection, now: DateTime<Utc>) -> Result<()> {
    for subject in Subject::LATER {
        if is_adopted(tx, subject).await? {
            continue;
        }
        let (mut pages, mut all) = (records::Pages::of(subject), Vec::new());
        loop {
            let entries = pages.next(tx).await?;
            if entries.is_empty() {
                break;
            }
            all.extend(entries);
        }
        let (name, state) = (subject.name().to_owned(), all.len().to_string());
        let mark = Entry { subject: Subject::Adoption, name, content: String::new(), state };
        append(tx, &[vec![mark], all].concat(), now).await?;
    }
    Ok(())
}

impl Ledger {
    /// The same for a ledger that an earlier version sealed.
    pub(super) async fn seal_later_kinds(&self) -> Result<()> {
        let mut missing = false;
        for subject in Subject::LATER {
            missing |= !is_adopted(&mut *self.read().await?, subject).await?;
        }
        if !missing {
            return Ok(());
        }
        let mut tx = self.write().await?;
        adopt(&mut tx, self.clock.wall()).await?;
        tx.commit().await.map_err(failed)
    }
}
