//! Whether the records are still those that were sealed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::chain::{ChainHead, Entry, FORGOTTEN, Subject, failed, seal_of};
use super::state::State;
use super::{records, transition};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, foreign_objects};

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
        Ok(all(&mut *self.read().await?, known).await?.0)
    }

    /// Where the chain of seals ends now.
    pub async fn seal_head(&self) -> Result<ChainHead> {
        let (position, seal) = super::head(&mut *self.read().await?).await?;
        Ok(ChainHead { position: position.unsigned_abs(), seal })
    }
}

/// Compare everything, and tell how far the chain goes.
pub(super) async fn all(tx: &mut Connection, known: &[ChainHead]) -> Result<(Sealed, Walked)> {
    let mut walk = Walk::from(tx, Walked::default()).await?;
    walk.chain(tx, known).await?;
    walk.records(tx).await?;
    Ok(walk.end())
}

/// How far a chain was gone through.
#[derive(Debug, Clone, Default)]
pub(super) struct Walked {
    /// Of the last entry.
    position: i64,
    previous: String,
    /// When the first one was sealed.
    since: Option<DateTime<Utc>>,
    /// When the last entry was sealed that is known from elsewhere.
    pinned: Option<i64>,
    /// Kinds that are sealed since an entry of the chain, and up to which one what was there before was sealed.
    later: BTreeMap<Subject, i64>,
}

impl Walked {
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    pub(super) fn head(&self) -> ChainHead {
        ChainHead { position: self.position.unsigned_abs(), seal: self.previous.clone() }
    }
}

/// Going through a chain.
pub(super) struct Walk {
    found: Sealed,
    adopted: i64,
    walked: Walked,
    /// Newest digest and state by subject and name.
    sealed: BTreeMap<(Subject, String), (String, String)>,
}

/// An entry as it is stored.
struct Link {
    position: i64,
    sealed_at: i64,
    seal: String,
    entry: Entry,
}

impl Walk {
    /// Begin behind what was gone through before.
    async fn from(tx: &mut Connection, walked: Walked) -> Result<Self> {
        let origin = "SELECT MAX(adopted) FROM seal_origin";
        let adopted: Option<i64> = sqlx::query_scalar(origin).fetch_one(&mut *tx).await.map_err(failed)?;
        let found = Sealed {
            head: walked.head(),
            since: walked.since,
            adopted: stored::count(adopted.unwrap_or(0)),
            faults: Vec::new(),
            fault_count: 0,
        };
        let mut walk = Self { found, adopted: adopted.unwrap_or(0), walked, sealed: BTreeMap::new() };
        for object in foreign_objects(tx).await? {
            walk.found.fault(&format!(
                "the ledger has a {object}, which is not of backup-sla and may change what is written"
            ));
        }
        Ok(walk)
    }

    /// Follow the entries behind those that were gone through before.
    pub(super) async fn follow(tx: &mut Connection, walked: Walked) -> Result<Self> {
        let mut walk = Self::from(tx, walked).await?;
        // What was sealed before of the records that the new entries are about.
        let before = "SELECT s.* FROM seals s JOIN (SELECT MAX(o.position) AS newest FROM seals o \
             JOIN (SELECT DISTINCT subject, name FROM seals WHERE position > ?) n ON n.subject = o.subject AND n.name = o.name \
             WHERE o.position <= ? GROUP BY o.subject, o.name) m ON s.position = m.newest";
        let end = walk.walked.position;
        walk.know(sqlx::query(before).bind(end).bind(end).fetch_all(&mut *tx).await.map_err(failed)?)?;
        walk.chain(tx, &[walk.walked.head()]).await?;
        walk.sealed.clear();
        Ok(walk)
    }

    /// Expect what the newest entries say of the records of a kind whose names are after the first of these, and not after the
    /// second.
    pub(super) async fn expect(
        &mut self,
        tx: &mut Connection,
        subject: Subject,
        (after, until): (&str, Option<&str>),
    ) -> Result<()> {
        let newest = "SELECT s.* FROM seals s JOIN (SELECT MAX(position) AS newest FROM seals \
             WHERE subject = ? AND name > ? AND (? IS NULL OR name <= ?) GROUP BY name) m ON s.position = m.newest";
        let query = sqlx::query(newest).bind(subject.name()).bind(after).bind(until).bind(until);
        self.know(query.fetch_all(tx).await.map_err(failed)?)
    }

    fn know(&mut self, rows: Vec<Row>) -> Result<()> {
        for row in rows {
            let subject: String = column(&row, "subject")?;
            let subject = Subject::parse(&subject)
                .ok_or_else(|| crate::error::Error::failed("cannot read a seal: its kind is unknown"))?;
            self.sealed.insert((subject, column(&row, "name")?), (column(&row, "content")?, column(&row, "state")?));
        }
        Ok(())
    }

    /// What was found, and how far the chain goes.
    pub(super) fn end(mut self) -> (Sealed, Walked) {
        self.found.since = self.walked.since;
        (self.found, self.walked)
    }

    async fn chain(&mut self, tx: &mut Connection, known: &[ChainHead]) -> Result<()> {
        let mut wanted: BTreeMap<i64, &str> = BTreeMap::new();
        for head in known {
            wanted.insert(i64::try_from(head.position).unwrap_or(i64::MAX), &head.seal);
        }
        // An entry below the first is told, too.
        let mut after = if self.walked.position > 0 { self.walked.position - 1 } else { i64::MIN };
        loop {
            let page = "SELECT * FROM seals WHERE position > ? ORDER BY position LIMIT ?";
            let rows = sqlx::query(page).bind(after).bind(PAGE).fetch_all(&mut *tx).await.map_err(failed)?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let Ok(link) = link(row) else {
                    self.found
                        .fault(&format!("an entry after entry {} of the chain cannot be read", self.walked.position));
                    return Ok(());
                };
                after = link.position;
                if let Some(seal) = wanted.remove(&link.position) {
                    self.walked.pinned = Some(link.sealed_at);
                    if seal != link.seal {
                        let what = "is not the one that was written down elsewhere";
                        self.found.fault(&format!("entry {} of the chain {what}", link.position));
                    }
                }
                if link.position > self.walked.position || self.walked.position == 0 {
                    self.step(link);
                }
            }
        }
        for at in wanted.keys() {
            self.found.fault(&format!("the chain ends at entry {}; entry {at} was there once", self.walked.position));
        }
        self.found.head = self.walked.head();
        Ok(())
    }

    /// The next entry, against the one before it and against what was sealed of its record before.
    fn step(&mut self, link: Link) {
        let Link { position, sealed_at, seal, entry } = link;
        self.walked.since = self.walked.since.or(DateTime::from_timestamp_micros(sealed_at));
        if position != self.walked.position.saturating_add(1) {
            let (first, last) = (self.walked.position.saturating_add(1), position.saturating_sub(1));
            self.found.fault(&format!("entries {first} to {last} of the chain are missing"));
        } else if seal_of(position, &entry, sealed_at, &self.walked.previous) != seal {
            self.found.fault(&format!("entry {position} of the chain was changed, or the one before it"));
        }
        if self.walked.pinned.is_some_and(|pinned| sealed_at < pinned.saturating_sub(CLOCK_STEP_MICROS)) {
            let what = "is dated before one that was written down elsewhere, and comes after it";
            self.found
                .fault(&format!("entry {position} of the chain {what}: it was added later, or a clock was put back"));
        }
        (self.walked.position, self.walked.previous) = (position, seal);
        let what = format!("{} {}", entry.subject.title(), entry.name);
        if entry.subject == Subject::Adoption {
            return self.adopt(&entry, &what);
        }
        let adopted = self.walked.later.get(&entry.subject).map_or(self.adopted, |until| self.adopted.max(*until));
        let before = self.sealed.get(&(entry.subject, entry.name.clone()));
        let state = |text: &str| State::read(entry.subject, text);
        let is_allowed = match before {
            None => position <= adopted || transition::may_begin(entry.subject, &state(&entry.state), sealed_at),
            Some((content, old)) => {
                let (from, to) = (state(old), state(&entry.state));
                *content == entry.content && transition::may_change(entry.subject, &from, &to, sealed_at)
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
            return self
                .found
                .fault(&format!("{what} is not of backup-sla (entry {} of the chain)", self.walked.position));
        };
        if self.walked.later.insert(subject, self.walked.position.saturating_add(count)).is_some() {
            self.found.fault(&format!("{what} was done again (entry {} of the chain)", self.walked.position));
        }
    }

    /// Every record against its newest entry.
    async fn records(&mut self, tx: &mut Connection) -> Result<()> {
        for subject in Subject::ALL {
            // A copy that an earlier version made has no seals of them.
            if Subject::LATER.contains(&subject) && !self.walked.later.contains_key(&subject) {
                continue;
            }
            let mut pages = records::Pages::of(subject);
            loop {
                let entries = pages.next(tx).await?;
                if entries.is_empty() {
                    break;
                }
                self.hold(subject, entries);
            }
        }
        self.missing();
        Ok(())
    }

    /// Records against what is expected of them.
    pub(super) fn hold(&mut self, subject: Subject, entries: Vec<Entry>) {
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

    /// What was expected and is not there.
    pub(super) fn missing(&mut self) {
        for ((subject, name), (_, state)) in std::mem::take(&mut self.sealed) {
            if state != FORGOTTEN {
                self.found.fault(&format!("{} {name} was removed", subject.title()));
            }
        }
    }
}

fn link(row: &Row) -> Result<Link> {
    let subject: String = column(row, "subject")?;
    let subject = Subject::parse(&subject);
    let entry = Entry {
        subject: subject.ok_or_else(|| crate::error::Error::failed("cannot read a seal: its kind is unknown"))?,
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
