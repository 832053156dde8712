//! Which recovery points say nothing that another one does not say: where increments are taken every few seconds, history needs one of
//! them from time to time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::chains::Chains;
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};

impl<'m> Chains<'m> {
    /// Increments of whose data and making another one of the same chain, in the same stretch of `every`, says as much: its as-of time
    /// is later by less than that, and so is the time at which it was made. The last one of a stretch stays, whatever comes after it.
    pub fn dense(&self, every: TimeDelta, pinned: impl Fn(&Manifest) -> bool) -> BTreeSet<&'m RecoveryPointId> {
        let mut dense = BTreeSet::new();
        // By full: the stretch that was seen last, and what stays of it.
        let mut stays: BTreeMap<usize, (i64, &Manifest)> = BTreeMap::new();
        for at in self.sound().rev() {
            let (manifest, Ok(full)) = (self.points[at].manifest, &self.points[at].full) else { continue };
            let stretch = stretch(manifest.as_of, every);
            let later = stays.get(full).filter(|(of, _)| *of == stretch).map(|(_, later)| *later);
            let is_said = |later: &Manifest| later.finished - manifest.finished < every;
            if manifest.kind == BackupKind::Incremental && !pinned(manifest) && later.is_some_and(is_said) {
                dense.insert(&manifest.id);
            } else {
                stays.insert(*full, (stretch, manifest));
            }
        }
        dense
    }
}

/// Which stretch a time is in: they do not depend on what there is.
fn stretch(time: DateTime<Utc>, every: TimeDelta) -> i64 {
    time.timestamp_micros().div_euclid(every.num_microseconds().unwrap_or(i64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::model::{manifest, moment};
    use super::*;
    use crate::domain::manifest::{LogIdentity, Position};

    const EVERY: TimeDelta = TimeDelta::seconds(60);

    /// A full backup and increments, each so many seconds of data and of making after the one before it.
    fn chain(steps: &[(i64, i64)]) -> Vec<Manifest> {
        let position = |offset: usize| {
            let log = LogIdentity { server: "1".to_owned(), begun: 1, last: None, settled: None, outside: Vec::new() };
            let (binlog_file, binlog_offset) = (Some("log.000001".to_owned()), u64::try_from(offset).ok());
            Position { binlog_file, binlog_offset, gtid: None, log: Some(log) }
        };
        let mut all = vec![manifest("full", moment(0), position(4), None)];
        for (number, (data, making)) in steps.iter().enumerate() {
            let last = &all[number];
            let as_of = last.as_of + TimeDelta::seconds(*data);
            let mut next = manifest(&format!("i{number:03}"), as_of, position(5 + number), Some(last));
            next.finished = (last.finished + TimeDelta::seconds(*making)).max(as_of);
            all.push(next);
        }
        all
    }

    fn dense(points: &[Manifest], pinned: &[&str]) -> Vec<String> {
        let chains = Chains::of(points, |_| false);
        chains.dense(EVERY, |it| pinned.contains(&it.id.0.as_str())).into_iter().map(|id| id.0.clone()).collect()
    }

    #[test]
    fn of_increments_every_few_seconds_the_last_one_of_each_stretch_stays() {
        // moment(0) is in the middle of a minute.
        let points = chain(&[(10, 10); 12]);
        let left: Vec<&str> = {
            let dense = dense(&points, &[]);
            points.iter().map(|it| it.id.0.as_str()).filter(|id| !dense.contains(&(*id).to_owned())).collect()
        };
        let stretches: BTreeSet<i64> = points[1..].iter().map(|it| stretch(it.as_of, EVERY)).collect();
        assert_eq!(left.len(), 1 + stretches.len(), "{left:?}");
        assert_eq!((left[0], left[left.len() - 1]), ("full", "i011"));
    }

    #[test]
    fn what_is_pinned_stays_and_so_does_what_was_made_long_before_the_next_one() {
        let points = chain(&[(1, 1), (1, 1), (1, 90), (1, 1)]);
        assert_eq!(dense(&points, &[]), ["i000", "i002"]);
        assert_eq!(dense(&points, &["i000", "i002"]), [""; 0]);
    }

    #[test]
    fn increments_that_are_further_apart_than_that_all_stay() {
        assert_eq!(dense(&chain(&[(60, 60); 20]), &[]), [""; 0]);
    }

    proptest! {
        #[test]
        fn whatever_is_left_out_has_a_later_one_near_it_and_later_ones_bring_nothing_back(
            steps in prop::collection::vec((1_i64..100, 1_i64..100), 1..60),
            until in 1_usize..60,
        ) {
            let points = chain(&steps);
            let dense = dense(&points, &[]);
            let stays = |it: &&Manifest| !dense.contains(&it.id.0);
            for gone in points.iter().filter(|it| !stays(it)) {
                prop_assert_eq!(gone.kind, BackupKind::Incremental);
                let near = points.iter().filter(stays).any(|it| {
                    it.as_of >= gone.as_of && it.as_of - gone.as_of < EVERY && it.finished - gone.finished < EVERY
                });
                prop_assert!(near, "{:?} of {points:?}", gone.id);
            }
            // All but what is the last one now: what was left out before is left out later.
            let before = self::dense(&points[..=until.min(steps.len())], &[]);
            let last = |id: &String| points.iter().position(|it| it.id.0 == *id);
            let stretch_of = |id: &String| last(id).map(|at| stretch(points[at].as_of, EVERY));
            let newest = stretch(points[until.min(steps.len())].as_of, EVERY);
            for id in before.iter().filter(|id| stretch_of(id) != Some(newest)) {
                prop_assert!(dense.contains(id), "{id}");
            }
        }
    }
}
