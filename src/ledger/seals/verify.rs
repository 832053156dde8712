//! Whether the records are still those that were sealed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{BEGINNING, ChainHead, FORGOTTEN, Subject, failed, records, seal_of};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::stored::column;

/// Entries per query.
const PAGE: i64 = 5_000;
/// Faults that are told one by one; the rest is counted.
const TOLD: usize = 100;

/// What looking at all seals and records found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Where the chain ends.
    pub head: ChainHead,
    /// What does not fit, the first hundred of it.
    pub faults: Vec<SealFault>,
    /// How much does not fit.
    pub fault_count: u64,
}

/// Something of the past that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealFault {
    /// A sentence for people.
    pub what: String,
}

impl Sealed {
    /// Whether everything is as it was written.
    pub fn is_whole(&self) -> bool {
        self.fault_count == 0
    }

    fn fault(&mut self, what: String) {
        self.fault_count += 1;
        if self.faults.len() < TOLD {
            self.faults.push(SealFault { what });
        }
    }
}

impl Ledger {
    /// Compare all records with their seals, and the chain with itself and with `known`: ends of the chain that were
    /// written down elsewhere. Reads the whole ledger.
    pub async fn verify_seals(&self, known: &[ChainHead]) -> Result<Sealed> {
        let mut tx = self.read().await?;
        let mut found =
            Sealed { head: ChainHead { position: 0, seal: BEGINNING.to_owned() }, faults: Vec::new(), fault_count: 0 };
        let mut wanted: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for head in known.iter().filter(|head| head.position > 0) {
            wanted.entry(i64::try_from(head.position).unwrap_or(i64::MAX)).or_default().push(&head.seal);
        }
        // By subject and name: the newest digest.
        let mut sealed: BTreeMap<(Subject, String), String> = BTreeMap::new();
        let (mut position, mut previous) = (0, BEGINNING.to_owned());
        loop {
            let page = "SELECT * FROM seals WHERE position > ? ORDER BY position LIMIT ?";
            let rows = sqlx::query(page).bind(position).bind(PAGE).fetch_all(&mut *tx).await.map_err(failed)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let at: i64 = column(row, "position")?;
                let (subject, name): (&str, String) = (column(row, "subject")?, column(row, "name")?);
                let (content, seal): (String, String) = (column(row, "content")?, column(row, "seal")?);
                if at != position + 1 {
                    found.fault(format!("entries {} to {} of the chain are missing", position + 1, at - 1));
                } else if seal_of(at, (subject, &name, &content), column(row, "sealed_at")?, &previous) != seal {
                    found.fault(format!("entry {at} of the chain was changed, or the one before it"));
                }
                if wanted.remove(&at).is_some_and(|heads| heads.iter().any(|it| *it != seal)) {
                    found.fault(format!("entry {at} of the chain is not the one that was written down elsewhere"));
                }
                match Subject::ALL.into_iter().find(|it| it.name() == subject) {
                    Some(subject) => {
                        sealed.insert((subject, name), content);
                    }
                    None => found.fault(format!("entry {at} of the chain is of an unknown kind, {subject}")),
                }
                (position, previous) = (at, seal);
            }
        }
        for at in wanted.keys() {
            found.fault(format!("the chain ends at entry {position}; entry {at} was there once"));
        }
        found.head = ChainHead { position: position.unsigned_abs(), seal: previous };
        for subject in Subject::ALL {
            let mut seen = 0;
            loop {
                let entries = records::page(&mut tx, subject, seen).await?;
                if entries.is_empty() {
                    break;
                }
                seen += entries.len();
                for entry in entries {
                    let what = format!("{} {}", subject.title(), entry.name);
                    match sealed.remove(&(subject, entry.name)) {
                        Some(content) if content == entry.content => {}
                        Some(content) if content == FORGOTTEN => found.fault(format!("{what} was put back")),
                        Some(_) => found.fault(format!("{what} was changed after it was written")),
                        None => found.fault(format!("{what} was added by something that is not backup-sla")),
                    }
                }
            }
        }
        for ((subject, name), _) in sealed.into_iter().filter(|(_, content)| content != FORGOTTEN) {
            found.fault(format!("{} {name} was removed", subject.title()));
        }
        Ok(found)
    }

    /// Where the chain of seals ends now.
    pub async fn seal_head(&self) -> Result<ChainHead> {
        let (position, seal) = super::head(&mut *self.read().await?).await?;
        Ok(ChainHead { position: position.unsigned_abs(), seal })
    }
}
