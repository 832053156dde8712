//! What must have become of canaries when a backup was restored. Pure.

use super::canary::{Canaries, Canary, CanaryChanges, DATABASE};
use super::drill::Check;
use super::manifest::{Inventory, ObjectKind};
use super::promise::Changes;

/// What must be there after these increments, on top of what a full backup has.
pub fn expected<'c>(base: &Canaries, increments: impl IntoIterator<Item = &'c Changes>) -> Canaries {
    let mut all = CanaryChanges { forgotten: false, newest: base.clone() };
    for changes in increments {
        all.add(changes.canaries.clone());
    }
    all.newest
}

/// Whether restored data has the database of canaries, as far as the full backup says.
pub fn has_database(inventory: &Inventory) -> bool {
    inventory.objects.iter().any(|object| object.kind == ObjectKind::Database && object.name == DATABASE)
}

/// Hold what was found against the canary of `owner`; nothing where none is promised.
pub fn check(owner: &str, expected: &Canaries, found: &Canaries) -> Option<Check> {
    let promised = expected.get(owner)?;
    let there = found.get(owner);
    Some(Check {
        name: "canary".to_owned(),
        expected: promised.shown(),
        actual: there.map_or_else(|| "missing".to_owned(), Canary::shown),
        ok: there == Some(promised),
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn canary(second: i64) -> Canary {
        Canary { written: DateTime::from_timestamp(second, 5000).unwrap(), value: format!("v{second}") }
    }

    fn wrote(owners: &[(&str, i64)]) -> Changes {
        let mut changes = Changes::default();
        for (owner, second) in owners {
            changes.canaries.write((*owner).to_owned(), canary(*second));
        }
        changes
    }

    #[test]
    fn the_newest_of_each_owner_is_expected_and_nothing_behind_what_is_not_understood() {
        let base = Canaries::from([("a".to_owned(), canary(1)), ("b".to_owned(), canary(2))]);
        let after = |increments: &[Changes]| {
            let all = expected(&base, increments);
            all.iter().map(|(owner, canary)| format!("{owner}{}", canary.value)).collect::<Vec<_>>()
        };
        assert_eq!(after(&[]), ["av1", "bv2"]);
        assert_eq!(after(&[wrote(&[("a", 3)]), Changes::default(), wrote(&[("c", 4)])]), ["av3", "bv2", "cv4"]);
        let mut forgotten = wrote(&[("a", 5)]);
        forgotten.canaries.forget();
        assert_eq!(after(std::slice::from_ref(&forgotten)), [""; 0]);
        forgotten.canaries.write("b".to_owned(), canary(6));
        assert_eq!(after(&[wrote(&[("a", 3)]), forgotten]), ["bv6"]);
        let crowd: Vec<String> = (0..=100).map(|number| format!("o{number}")).collect();
        let crowd: Vec<(&str, i64)> = crowd.iter().map(|owner| (owner.as_str(), 7)).collect();
        assert_eq!(after(&[wrote(&crowd)]), [""; 0], "more than anybody has");
    }

    #[test]
    fn a_canary_that_is_missing_or_another_one_is_no_canary() {
        let promised = Canaries::from([("a".to_owned(), canary(1))]);
        assert_eq!(check("b", &promised, &promised), None);
        let same = check("a", &promised, &promised).unwrap();
        assert!(same.ok && same.name == "canary" && same.expected == same.actual);
        let other = check("a", &promised, &Canaries::from([("a".to_owned(), canary(2))])).unwrap();
        assert!(!other.ok && other.actual.ends_with("v2"));
        let missing = check("a", &promised, &Canaries::new()).unwrap();
        assert!(!missing.ok && missing.actual == "missing");
    }

    proptest! {
        #[test]
        fn increments_that_are_joined_promise_the_same(
            steps in proptest::collection::vec((0_u8..4, 0_i64..1000), 0..30), cut in 0_usize..30
        ) {
            let apply = |changes: &mut CanaryChanges, (kind, second): &(u8, i64)| match kind {
                0 => changes.forget(),
                owner => changes.write(format!("o{owner}"), canary(*second)),
            };
            let (first, second) = steps.split_at(cut.min(steps.len()));
            let of = |steps: &[(u8, i64)]| {
                let mut changes = Changes::default();
                for step in steps {
                    apply(&mut changes.canaries, step);
                }
                changes
            };
            let base = Canaries::from([("o1".to_owned(), canary(1))]);
            prop_assert_eq!(expected(&base, &[of(first), of(second)]), expected(&base, &[of(&steps)]));
        }
    }
}
