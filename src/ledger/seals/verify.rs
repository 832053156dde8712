//! Whether the records are still those that were sealed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{BEGINNING, ChainHead, Entry, FORGOTTEN, Subject, failed, records, seal_of, transition};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::schema::foreign_objects;
use crate::ledger::stored::{self, column};

/// Entries per query.
const PAGE: i64 = 5_000;
/// A clock may be put back by this much without anybody having done anything.
const CLOCK_STEP_MICROS: i64 = 300_000_000;
/// Faults that are told one by one; the rest is counted.
const TOLD: usize = 100;

/// What looking at all seals and records found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// Where the chain ends.
    pub head: ChainHead,
    /// When its first entry was made; none for a ledger without any.
    pub since: Option<DateTime<Utc>>,
    /// How many of the first entries are of records that were there before there were seals.
    pub adopted: u64,
    /// What does not fit, the first hundred of it.
    pub faults: Vec<SealFault>,
    /// How much does not fit.
    pub fault_count: u64,
}

/// Something of the past that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealFault {
    /// A sentence for people, without control characters.
    pub what: String,
}

impl Sealed {
    /// Whether everything is as it was written.
    pub fn is_whole(&self) -> bool {
        self.fault_count == 0
    }

    fn fault(&mut self, what: &str) {
        self.fault_count += 1;
        if self.faults.len() < TOLD {
            // Names are whatever somebody wrote into the file.
            let what = what.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            self.faults.push(SealFault { what });
        }
    }
}

impl Ledger {
    /// Compare all records with their seals, and the chain with itself and with `known`: ends of the chain that were
    /// written down elsewhere. Reads the whole ledger.
    pub async fn verify_seals(&self, known: &[ChainHead]) -> Result<Sealed> {
        let mut tx = self.read().await?;
        let origin = "SELECT MAX(adopted) FROM seal_origin";
        let adopted: Option<i64> = sqlx::query_scalar(origin).fetch_one(&mut *tx).await.map_err(failed)?;
        let mut walk = Walk {
            found: Sealed {
                head: ChainHead { position: 0, seal: BEGINNING.to_owned() },
                since: None,
                adopted: stored::count(adopted.unwrap_or(0)),
                faults: Vec::new(),
                fault_count: 0,
            },
            adopted: adopted.unwrap_or(0),
            position: 0,
            previous: BEGINNING.to_owned(),
            pinned: None,
            sealed: BTreeMap::new(),
            later: BTreeMap::new(),
        };
        for object in foreign_objects(&mut tx).await? {
            walk.found.fault(&format!(
                "the ledger has a {object}, which is not of backup-sla and may change what is written"
            ));
        }
        walk.chain(&mut tx, known).await?;
        walk.records(&mut tx).await?;
        Ok(walk.found)
    }

    /// Where the chain of seals ends now.
    pub async fn seal_head(&self) -> Result<ChainHead> {
        let (position, seal) = super::head(&mut *self.read().await?).await?;
        Ok(ChainHead { position: position.unsigned_abs(), seal })
    }
}

/// Going through a chain.
struct Walk {
    found: Sealed,
    adopted: i64,
    /// Of the entry before.
    position: i64,
    previous: String,
    /// When the last entry was sealed that is known from elsewhere.
    pinned: Option<i64>,
    /// Newest digest and state by subject and name.
    sealed: BTreeMap<(Subject, String), (String, String)>,
    /// Kinds that are sealed since an entry of the chain, and up to which one what was there before was sealed.
    later: BTreeMap<Subject, i64>,
}

/// An entry as it is stored.
struct Link {
    position: i64,
    sealed_at: i64,
    seal: String,
    entry: Entry,
}

impl Walk {
    async fn chain(&mut self, tx: &mut SqliteConnection, known: &[ChainHead]) -> Result<()> {
        let mut wanted: BTreeMap<i64, &str> = BTreeMap::new();
        for head in known {
            wanted.insert(i64::try_from(head.position).unwrap_or(i64::MAX), &head.seal);
        }
        let mut after = i64::MIN;
        loop {
            let page = "SELECT * FROM seals WHERE position > ? ORDER BY position LIMIT ?";
            let rows = sqlx::query(page).bind(after).bind(PAGE).fetch_all(&mut *tx).await.map_err(failed)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let Ok(link) = link(row) else {
                    self.found.fault(&format!("an entry after entry {} of the chain cannot be read", self.position));
                    return Ok(());
                };
                after = link.position;
                if let Some(seal) = wanted.remove(&link.position) {
                    self.pinned = Some(link.sealed_at);
                    if seal != link.seal {
                        let what = "is not the one that was written down elsewhere";
                        self.found.fault(&format!("entry {} of the chain {what}", link.position));
                    }
                }
                self.step(link);
            }
        }
        for at in wanted.keys() {
            self.found.fault(&format!("the chain ends at entry {}; entry {at} was there once", self.position));
        }
        self.found.head = ChainHead { position: self.position.unsigned_abs(), seal: self.previous.clone() };
        Ok(())
    }

    /// The next entry, against the one before it and against what was sealed of its record before.
    fn step(&mut self, link: Link) {
        let Link { position, sealed_at, seal, entry } = link;
        self.found.since = self.found.since.or(DateTime::from_timestamp_micros(sealed_at));
        if position != self.position.saturating_add(1) {
            let (first, last) = (self.position.saturating_add(1), position.saturating_sub(1));
            self.found.fault(&format!("entries {first} to {last} of the chain are missing"));
        } else if seal_of(position, &entry, sealed_at, &self.previous) != seal {
            self.found.fault(&format!("entry {position} of the chain was changed, or the one before it"));
        }
        if self.pinned.is_some_and(|pinned| sealed_at < pinned.saturating_sub(CLOCK_STEP_MICROS)) {
            let what = "is dated before one that was written down elsewhere, and comes after it";
            self.found
                .fault(&format!("entry {position} of the chain {what}: it was added later, or a clock was put back"));
        }
        (self.position, self.previous) = (position, seal);
        let what = format!("{} {}", entry.subject.title(), entry.name);
        if entry.subject == Subject::Adoption {
            return self.adopt(&entry, &what);
        }
        let adopted = self.later.get(&entry.subject).map_or(self.adopted, |until| self.adopted.max(*until));
        let before = self.sealed.get(&(entry.subject, entry.name.clone()));
        let is_allowed = match before {
            None => position <= adopted || transition::may_begin(entry.subject, &entry.state, sealed_at),
            Some((content, state)) => {
                *content == entry.content && transition::may_change(entry.subject, state, &entry.state, sealed_at)
            }
        };
        if !is_allowed {
            let how = if before.is_some() { "was changed after it was written" } else { "was added by something else" };
            self.found.fault(&format!("{what} {how} (entry {position} of the chain)"));
        }
        self.sealed.insert((entry.subject, entry.name), (entry.content, entry.state));
    }

    /// From here on records of another kind are sealed, once.
    fn adopt(&mut self, entry: &Entry, what: &str) {
        let subject = Subject::parse(&entry.name).filter(|subject| Subject::LATER.contains(subject));
        let (Some(subject), Ok(count)) = (subject, entry.state.parse::<i64>()) else {
            return self.found.fault(&format!("{what} is not of backup-sla (entry {} of the chain)", self.position));
        };
        if self.later.insert(subject, self.position.saturating_add(count)).is_some() {
            self.found.fault(&format!("{what} was done again (entry {} of the chain)", self.position));
        }
    }

    /// Every record against its newest entry.
    async fn records(&mut self, tx: &mut SqliteConnection) -> Result<()> {
        for subject in Subject::ALL {
            // A copy that an earlier version made has no seals of them.
            if Subject::LATER.contains(&subject) && !self.later.contains_key(&subject) {
                continue;
            }
            let mut pages = records::Pages::of(subject);
            loop {
                let entries = pages.next(tx).await?;
                if entries.is_empty() {
                    break;
                }
                for entry in entries {
                    let what = format!("{} {}", subject.title(), entry.name);
                    match self.sealed.remove(&(subject, entry.name)) {
                        Some((content, state)) if content == entry.content && state == entry.state => {}
                        Some((_, state)) if state == FORGOTTEN => self.found.fault(&format!("{what} was put back")),
                        Some(_) => self.found.fault(&format!("{what} was changed after it was written")),
                        None => self.found.fault(&format!("{what} was added by something that is not backup-sla")),
                    }
                }
            }
        }
        for ((subject, name), (_, state)) in std::mem::take(&mut self.sealed) {
            if state != FORGOTTEN {
                self.found.fault(&format!("{} {name} was removed", subject.title()));
            }
        }
        Ok(())
    }
}

fn link(row: &SqliteRow) -> Result<Link> {
    let subject: String = column(row, "subject")?;
    let subject = Subject::parse(&subject);
    let entry = Entry {
        subject: subject.ok_or_else(|| crate::error::Error::failed("read seal"))?,
        name: column(row, "name")?,
        content: column(row, "content")?,
        state: column(row, "state")?,
    };
    Ok(Link {
        position: column(row, "position")?,
        sealed_at: column(row, "sealed_at")?,
        seal: column(row, "seal")?,
        entry,
    })
}
