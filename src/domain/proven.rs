//! What the checks of a drill prove, for people and programs.

use std::collections::BTreeMap;

use super::drill::Check;

/// The kinds of checks that hold, with how many there are of each: `content (12)`, `rows (12)`, `view (3)`.
pub fn proven(checks: &[Check]) -> Vec<String> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for check in checks.iter().filter(|check| check.ok) {
        let kind = if check.name.starts_with("next id ") { "next id" } else { first_word(&check.name) };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds.into_iter().map(|(kind, count)| format!("{kind} ({count})")).collect()
}

fn first_word(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_that_hold_are_counted_by_kind_and_others_are_not_proven() {
        let check =
            |name: &str, ok| Check { name: name.to_owned(), expected: String::new(), actual: String::new(), ok };
        let checks = [
            check("rows d.t", true),
            check("rows d.u", true),
            check("content d.t", true),
            check("content d.u", false),
            check("next id d.t", true),
            check("view d.v", true),
        ];
        assert_eq!(proven(&checks), ["content (1)", "next id (1)", "rows (2)", "view (1)"]);
        assert_eq!(proven(&[]), [""; 0]);
    }
}
