use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::model::{Fate, World, manifest, moment, steps};
use super::super::{Line, Target};
use super::*;
use crate::domain::manifest::{Joins, Position};

/// Recovery points as a repository lists them while increments are joined, and how many transactions each sees.
struct Stored {
    points: Vec<Manifest>,
    sees: BTreeMap<RecoveryPointId, usize>,
    made: usize,
}

impl Stored {
    fn of(world: &World) -> Self {
        let sees = world.listed().map(|it| (it.id.clone(), world.sees(&it.id))).collect();
        Self { points: world.listed().cloned().collect(), sees, made: 0 }
    }

    fn chains<'s>(&'s self, world: &World) -> Chains<'s> {
        let wrong: Vec<RecoveryPointId> =
            world.made.iter().filter(|made| made.fate == Fate::Misdated).map(|made| made.manifest.id.clone()).collect();
        Chains::of(&self.points, move |point| wrong.contains(&point.id))
    }

    /// How many increments lie on the way to each that can be restored.
    fn steps(&self, world: &World) -> BTreeMap<RecoveryPointId, usize> {
        let chains = self.chains(world);
        let steps = |id: &RecoveryPointId| Some((id.clone(), chains.line(id)?.ok()?.increments.len()));
        self.points.iter().filter_map(|point| steps(&point.id)).collect()
    }

    /// What compaction publishes for a join.
    fn joined(&mut self, world: &World, join: usize, fan: [usize; 2], pinned: &[usize]) -> Option<Manifest> {
        let chains = self.chains(world);
        let compaction = chains.compaction_of(fan, |it| is_pinned(it, pinned));
        let join = compaction.joins.get(join)?;
        let (first, last) = (join.increments[0], join.increments[join.increments.len() - 1]);
        let parent = chains.parent_of(&first.id).unwrap();
        assert!(join.increments.len() > 1);
        let mut new = manifest(&format!("j{:03}", self.made), last.as_of, last.position.clone(), Some(parent));
        new.joins = Some(Joins { tier: join.tier, of: join.of() });
        let sees = self.sees[&last.id];
        self.made += 1;
        self.sees.insert(new.id.clone(), sees);
        Some(new)
    }
}

fn is_pinned(manifest: &Manifest, pinned: &[usize]) -> bool {
    pinned.iter().any(|number| manifest.id.0 == format!("p{number:03}"))
}

/// What is replayed follows on from what is before it.
fn is_contiguous(line: &Line<'_>) -> bool {
    let ends: Vec<&Option<Position>> =
        std::iter::once(&line.full.position).chain(line.increments.iter().map(|it| &it.position)).collect();
    line.increments.iter().zip(ends).all(|(increment, end)| increment.from == *end)
}

/// Every moment and every point of the world that was there is there as before.
fn is_whole(world: &World, stored: &Stored, gone: &[RecoveryPointId]) -> Result<(), TestCaseError> {
    let all: Vec<&Manifest> = world.listed().collect();
    let before = Chains::of(all.iter().copied(), |point| world.is_misdated(point));
    let now = stored.chains(world);
    prop_assert_eq!(now.windows(), before.windows());
    for halves in 0..=world.end() {
        let (was, is) = (before.plan(&Target::At(moment(halves))), now.plan(&Target::At(moment(halves))));
        prop_assert_eq!(was.is_ok(), is.is_ok(), "{} {:?} {:?}", halves, was, is);
        let Ok(plan) = is else { continue };
        let line = Line { full: plan.full, increments: plan.increments.clone() };
        prop_assert!(is_contiguous(&line), "{halves}: {line:?}");
        if now.has_increments() && world.has_moment(halves) {
            let sees = |manifest: &Manifest| stored.sees[&manifest.id];
            let last = plan.newest();
            let from = now.parent_of(&last.id).map_or(sees(last), sees);
            prop_assert!((from..=sees(last)).contains(&world.at(halves)), "{halves}");
        }
    }
    for made in world.made.iter().filter(|made| made.fate != Fate::Lost && !gone.contains(&made.manifest.id)) {
        let line = now.line(&made.manifest.id).unwrap();
        prop_assert_eq!(line.is_ok(), world.can_be_restored(made), "{:?}", made.manifest.id);
        prop_assert!(line.is_err() || is_contiguous(&line.unwrap()));
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_moment_is_lost_at_any_step_of_a_compaction_however_it_is_killed(
        steps in steps(),
        fan in (2_usize..4, 2_usize..4),
        pinned in prop::collection::vec(0_usize..40, 0..4),
        turns in prop::collection::vec((0_usize..3, any::<bool>()), 0..12),
    ) {
        let world = World::of(steps);
        let mut stored = Stored::of(&world);
        let mut gone = Vec::new();
        let mut steps = stored.steps(&world);
        for (join, forgets) in turns {
            // Published, and perhaps killed before anything is forgotten.
            if let Some(new) = stored.joined(&world, join, (fan.0, fan.1).into(), &pinned) {
                stored.points.push(new);
                is_whole(&world, &stored, &gone)?;
                let now = stored.steps(&world);
                for (id, before) in std::mem::replace(&mut steps, now.clone()) {
                    prop_assert!(now[&id] <= before, "{id:?}: {before} became {}", now[&id]);
                }
            }
            if forgets {
                let superseded = stored.chains(&world).compaction_of(fan.into(), |it| is_pinned(it, &pinned)).superseded;
                let means = |id: &RecoveryPointId| pinned.iter().any(|it| id.0 == format!("p{it:03}"));
                prop_assert!(!superseded.iter().any(means));
                stored.points.retain(|point| !superseded.contains(&point.id));
                gone.extend(superseded);
                is_whole(&world, &stored, &gone)?;
                // What went was on nobody's way any more, or was of a wrong date: then the way leads through what has taken its place.
                let now = stored.steps(&world);
                steps.retain(|id, _| !gone.contains(id));
                prop_assert!(now.keys().eq(steps.keys()));
                for (id, before) in std::mem::replace(&mut steps, now.clone()) {
                    prop_assert!(now[&id] <= before, "{id:?}: {before} became {}", now[&id]);
                }
            }
        }
    }
}

/// A full backup and so many increments of one log.
fn line(count: u32) -> Vec<Manifest> {
    let position = |offset: u32| Position {
        binlog_file: Some("binlog.000001".to_owned()),
        binlog_offset: Some(u64::from(offset)),
        ..Position::default()
    };
    let mut points = vec![manifest("f", moment(0), position(4), None)];
    for number in 1..=count {
        let next = manifest(&format!("i{number:05}"), moment(number.into()), position(4 + number), points.last());
        points.push(next);
    }
    points
}

/// The same with changes in each.
fn with_changes(mut points: Vec<Manifest>) -> Vec<Manifest> {
    for point in points.iter_mut().filter(|point| point.parent.is_some()) {
        let file = serde_json::json!({"path": "log", "role": "log", "bytes": 1, "digest": "0".repeat(64)});
        point.files = vec![serde_json::from_value(file).unwrap()];
    }
    points
}

#[test]
fn what_was_joined_is_replayed_at_once_while_somebody_still_reads_what_it_took_the_place_of() {
    let mut points = with_changes(line(150));
    let full = points[0].clone();
    let replayed = |points: &[Manifest]| {
        let chains = Chains::of(points, |_| false);
        let newest = chains.point(&RecoveryPointId("i00150".to_owned())).unwrap();
        let line = chains.line(&newest.id).unwrap().unwrap();
        assert!(is_contiguous(&line));
        (chains.length_of(newest), line.increments.len())
    };
    assert_eq!(replayed(&points), (150, 150));
    for (number, end) in [30, 60, 90, 120].into_iter().enumerate() {
        let chains = Chains::of(&points, |_| false);
        let join = chains.compaction(|_| false).joins.swap_remove(0);
        let last = join.increments[join.increments.len() - 1];
        assert_eq!(last.id.0, format!("i{end:05}"));
        let parent = chains.parent_of(&join.increments[0].id);
        let mut new = manifest(&format!("j{number}"), last.as_of, last.position.clone(), parent);
        new.joins = Some(Joins { tier: join.tier, of: join.of() });
        points.extend(with_changes(vec![new]));
    }
    assert_eq!(replayed(&points), (4 + 30, 4 + 30), "{} are listed", points.len());
    // One that was joined is restored from what it was made on, as long as nothing shorter ends there.
    let chains = Chains::of(&points, |_| false);
    assert_eq!(chains.length_of(chains.point(&RecoveryPointId("i00045".to_owned())).unwrap()), 1 + 15);
    // Where the joined one cannot be restored, what it took the place of is replayed.
    for point in points.iter_mut().filter(|point| point.joins.is_some()) {
        point.from.clone_from(&full.from);
    }
    assert_eq!(replayed(&points), (150, 150));
}

fn sizes(points: &[Manifest], pinned: &str) -> Vec<(usize, u32)> {
    let chains = Chains::of(points, |_| false);
    let compaction = chains.compaction(|it| it.id.0 == pinned);
    assert!(compaction.superseded.is_empty());
    compaction.joins.iter().map(|join| (join.increments.len(), join.tier)).collect()
}

#[test]
fn thirty_small_ones_are_joined_and_the_newest_stays() {
    assert_eq!(sizes(&line(30), ""), [], "the thirtieth is the newest");
    assert_eq!(sizes(&line(31), ""), [(30, 1)]);
    assert_eq!(sizes(&line(75), ""), [(30, 1), (30, 1)]);
    // One that somebody means by name is passed over, and what lies before it is complete.
    assert_eq!(sizes(&line(40), "i00005"), [(4, 1), (30, 1)]);
    // A newer full backup ends the chain: what is left of it is joined, the newest of it too.
    let mut points = line(40);
    points.push(manifest("g", moment(100), None, None));
    assert_eq!(sizes(&points, ""), [(30, 1), (10, 1)]);
}

#[test]
fn in_a_day_of_increments_every_ten_seconds_a_restore_replays_few() {
    let (mut points, mut longest, mut made) = (line(0), 0, 0);
    let mut newest = points[0].clone();
    for number in 1..=8640_u32 {
        let next = line(1).pop().unwrap();
        let position = Position { binlog_offset: Some(u64::from(4 + number)), ..next.position.unwrap() };
        newest = manifest(&format!("i{number:05}"), moment(number.into()), position, Some(&newest));
        points.push(newest.clone());
        if number % 30 != 1 {
            continue;
        }
        let chains = Chains::of(&points, |_| false);
        let joins = chains.compaction(|_| false).joins;
        let new: Vec<Manifest> = joins
            .iter()
            .map(|join| {
                let last = join.increments[join.increments.len() - 1];
                let parent = chains.parent_of(&join.increments[0].id);
                made += 1;
                let mut new = manifest(&format!("j{made:05}"), last.as_of, last.position.clone(), parent);
                new.joins = Some(Joins { tier: join.tier, of: join.of() });
                new
            })
            .collect();
        points.extend(new);
        let superseded = Chains::of(&points, |_| false).compaction(|_| false).superseded;
        points.retain(|point| !superseded.contains(&point.id));
        let chains = Chains::of(&points, |_| false);
        longest =
            longest.max(chains.line(&RecoveryPointId(format!("i{number:05}"))).unwrap().unwrap().increments.len());
    }
    assert!(longest <= 24 + 12 + 31, "{longest}");
    let names: Vec<&str> = points.iter().map(|point| &point.id.0[..1]).collect();
    assert!(points.len() < 80, "{names:?}");
}
