//! Comparing the ledger with its seals again and again, without reading all of it into this program each time.
//!
//! After a full comparison every part of the ledger has a fingerprint: a digest of its rows as SQLite prints them, which costs a
//! fraction of taking them apart. From then on new entries of the chain are followed, and only parts whose fingerprint is
//! another are compared row by row. Every row is still looked at every time, so nothing can be changed unnoticed for longer. Whatever
//! does not fit makes a full comparison, which alone says what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;

use super::chain::{ChainHead, Subject, failed};
use super::verify::{self, Sealed, Walk, Walked};
use super::{print, records};
use crate::domain::digest::Digest;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::Connection;

/// Runs in one part.
const RUNS: i64 = 500;
/// Entries of the chain in one part.
const ENTRIES: i64 = 5_000;

/// Kinds with so few records that all of them are compared each time.
const FEW: [Subject; 11] = [
    Subject::Ledger,
    Subject::Missed,
    Subject::Source,
    Subject::Configured,
    Subject::Promise,
    Subject::TestPage,
    Subject::Vanished,
    Subject::Repository,
    Subject::Origin,
    Subject::Break,
    Subject::Gap,
];

/// A part of the ledger that has one fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Entries of the chain after the first of these positions, up to the second.
    Entries(i64, i64),
    /// Runs after the first of these names, up to the second; the last part has no end. With all that belongs to them.
    Runs(String, Option<String>),
    /// Records of a kind that belong to a source.
    OfSource(Subject, String),
}

/// What is known since the last comparison. None until the first one that found everything whole.
#[derive(Debug, Default)]
pub struct SealWatch(Option<Known>);

#[derive(Debug)]
struct Known {
    walked: Walked,
    parts: BTreeMap<Part, Digest>,
}

impl SealWatch {
    /// Compare everything the next time.
    pub fn forget(&mut self) {
        // Its end must still be in the chain then.
        if let Some(known) = &mut self.0 {
            known.parts.clear();
        }
    }

    fn head(&self) -> Option<ChainHead> {
        self.0.as_ref().map(|known| known.walked.head())
    }
}

impl Ledger {
    /// As [`Ledger::verify_seals`] finds it, at a fraction of its cost from the second time on. The end of the chain that was
    /// known must still be in it.
    pub async fn watch_seals(&self, watch: &mut SealWatch) -> Result<Sealed> {
        // What cannot even be read does not fit: the full comparison names it, or fails of the same cause.
        if let Some(known) = watch.0.as_mut().filter(|known| !known.parts.is_empty())
            && let Ok(Some(found)) = self.what_is_new(known).await
        {
            return Ok(found);
        }
        let mut tx = self.read().await?;
        let known = watch.head();
        let (found, walked) = verify::all(&mut tx, known.as_slice()).await?;
        // What does not fit goes on being told: the end that was known is kept.
        if found.is_whole() {
            let mut parts = BTreeMap::new();
            for part in divide(&mut tx, &walked.head()).await? {
                let fingerprint = fingerprint(&mut tx, &part).await?;
                parts.insert(part, fingerprint);
            }
            watch.0 = Some(Known { walked, parts });
        } else {
            watch.forget();
        }
        Ok(found)
    }

    /// Whether nothing but what is new had to be compared.
    #[cfg(test)]
    pub(in crate::ledger) async fn is_followed(&self, watch: &mut SealWatch) -> bool {
        match watch.0.as_mut().filter(|known| !known.parts.is_empty()) {
            Some(known) => self.what_is_new(known).await.unwrap().is_some(),
            None => false,
        }
    }

    /// What there is since `known`; none where anything at all does not fit.
    async fn what_is_new(&self, known: &mut Known) -> Result<Option<Sealed>> {
        let mut tx = self.read().await?;
        let mut walk = Walk::follow(&mut tx, known.walked.clone()).await?;
        let mut changed = BTreeMap::new();
        for part in with_new_sources(&mut tx, &known.parts).await? {
            let now = fingerprint(&mut tx, &part).await?;
            if known.parts.get(&part) != Some(&now) {
                if matches!(part, Part::Entries(..)) {
                    return Ok(None);
                }
                compare(&mut walk, &mut tx, &part).await?;
                changed.insert(part, now);
            }
        }
        for subject in FEW {
            walk.expect(&mut tx, subject, ("", None)).await?;
            let mut pages = records::Pages::of(subject);
            loop {
                let entries = pages.next(&mut tx).await?;
                if entries.is_empty() {
                    break;
                }
                walk.hold(subject, entries);
            }
            walk.missing();
        }
        let (found, walked) = walk.end();
        if !found.is_whole() {
            return Ok(None);
        }
        let (from, to) = (known.walked.position(), walked.position());
        if to > from {
            let part = Part::Entries(from, to);
            let fingerprint = fingerprint(&mut tx, &part).await?;
            changed.insert(part, fingerprint);
        }
        known.parts.extend(changed);
        known.walked = walked;
        Ok(Some(found))
    }
}

/// The rows of a part against their newest entries.
async fn compare(walk: &mut Walk, tx: &mut Connection, part: &Part) -> Result<()> {
    match part {
        Part::Entries(..) => {}
        Part::Runs(after, until) => {
            walk.expect(tx, Subject::Run, (after, until.as_deref())).await?;
            let mut last = after.clone();
            loop {
                let entries = records::runs_between(tx, &last, until.as_deref(), RUNS).await?;
                let Some(end) = entries.last() else { break };
                last.clone_from(&end.name);
                walk.hold(Subject::Run, entries);
            }
        }
        Part::OfSource(subject, source) => {
            // The character after the slash.
            let (first, last) = (format!("{source}/"), format!("{source}0"));
            walk.expect(tx, *subject, (&first, Some(&last))).await?;
            let entries = records::of_source(tx, *subject, source).await?;
            walk.hold(*subject, entries);
        }
    }
    walk.missing();
    Ok(())
}

/// Everything that has fingerprints, in parts.
async fn divide(tx: &mut Connection, head: &ChainHead) -> Result<BTreeSet<Part>> {
    let mut parts = BTreeSet::new();
    // Entries are counted from 1: below that somebody else put one, and it is part of the first.
    let (mut after, last) = (i64::MIN, i64::try_from(head.position).unwrap_or(i64::MAX));
    while after < last {
        let until = after.max(0).saturating_add(ENTRIES).min(last);
        parts.insert(Part::Entries(after, until));
        after = until;
    }
    let borders = "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM runs) AS numbered WHERE n % ? = 0 ORDER BY id";
    let borders: Vec<String> = sqlx::query_scalar(borders).bind(RUNS).fetch_all(&mut *tx).await.map_err(failed)?;
    let mut begin = String::new();
    for border in borders {
        parts.insert(Part::Runs(std::mem::replace(&mut begin, border.clone()), Some(border)));
    }
    parts.insert(Part::Runs(begin, None));
    with_new_sources(tx, &parts.into_iter().map(|part| (part, Digest([0; 32]))).collect()).await
}

/// These parts, and those of sources that have none yet.
async fn with_new_sources(tx: &mut Connection, parts: &BTreeMap<Part, Digest>) -> Result<BTreeSet<Part>> {
    let mut all: BTreeSet<Part> = parts.keys().cloned().collect();
    for (subject, _, sources) in records::OF_SOURCE {
        let sources: Vec<String> = sqlx::query_scalar(sources).fetch_all(&mut *tx).await.map_err(failed)?;
        all.extend(sources.into_iter().map(|source| Part::OfSource(subject, source)));
    }
    Ok(all)
}

/// A digest of the rows of a part: of what is sealed of them, as SQLite prints it.
async fn fingerprint(tx: &mut Connection, part: &Part) -> Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let statements = match part {
        Part::Entries(..) => vec![print::chain("position > ? AND position <= ?")],
        Part::Runs(_, Some(_)) => print::records(Subject::Run, |key| format!("{key} > ? AND {key} <= ?")),
        Part::Runs(_, None) => print::records(Subject::Run, |key| format!("{key} > ?")),
        Part::OfSource(subject, _) => print::records(*subject, |key| format!("{key} = ?")),
    };
    for statement in statements {
        let query = sqlx::query_scalar(AssertSqlSafe(statement));
        let query = match part {
            Part::Entries(after, until) => query.bind(*after).bind(*until),
            Part::Runs(after, Some(until)) => query.bind(after).bind(until),
            Part::Runs(after, None) => query.bind(after),
            Part::OfSource(_, source) => query.bind(source),
        };
        let printed: Option<String> = query.fetch_one(&mut *tx).await.map_err(failed)?;
        let printed = printed.unwrap_or_default();
        hasher.update(&(printed.len() as u64).to_le_bytes()).update(printed.as_bytes());
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}
