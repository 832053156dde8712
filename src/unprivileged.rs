//! Ids of users that nobody is: what runs code of others gets one of its own, so that no process and no file of this host
//! belongs to it.

use std::fs;
use std::ops::RangeInclusive;

use rustix::process::geteuid;

/// Nobody gives these to people, services or containers (systemd's table of user ids has the range as unused).
const RANGE: RangeInclusive<u32> = 0x7000_0000..=0x77FF_FFFF;

/// A user and group id of its own. Of 134 million a random one: two at a time do not meet, whoever took them. None where we
/// are not root, or where the kernel does not know such ids: a container may have been given few.
pub fn fresh_id() -> Option<u32> {
    let id = RANGE.start() | (rand::random::<u32>() & (RANGE.end() - RANGE.start()));
    let is_in = |file: &str| fs::read_to_string(file).is_ok_and(|map| is_mapped(&map, id));
    (geteuid().is_root() && is_in("/proc/self/uid_map") && is_in("/proc/self/gid_map")).then_some(id)
}

/// Whether a map of a user namespace (first id inside, first id outside, count) has `id`.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        matches!(fields[..], [first, _, count] if (first..first + count).contains(&u64::from(id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_the_range_and_differs_from_another() {
        let (one, other) = (fresh_id(), fresh_id());
        assert!(one.is_none_or(|id| RANGE.contains(&id)));
        assert!(one.is_none() || one != other);
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        assert_eq!(one.is_some(), geteuid().is_root() && is_mapped(&map, *RANGE.start()));
    }

    #[test]
    fn a_map_that_has_few_ids_has_none_of_the_range() {
        assert!(is_mapped("         0          0 4294967295\n", *RANGE.end()));
        assert!(!is_mapped("         0     100000      65536\n     65536     200000      10\n", *RANGE.start()));
        assert!(is_mapped("0 1 2\n7 9 1\n", 7) && !is_mapped("0 1 2\n7 9 1\n", 8) && !is_mapped("", 0));
    }
}
