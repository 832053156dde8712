//! What somebody may have meant who mistyped a name.

/// Names shown at most.
const SHOWN: usize = 3;

/// Those of `known` that differ least from `typed`, nearest first; none that have little to do with it.
pub fn nearest<'n>(typed: &str, known: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let wanted: Vec<char> = typed.to_lowercase().chars().collect();
    let mut found: Vec<(usize, &str)> = known
        .map(|name| {
            let own = name.to_lowercase();
            // The database may be missing.
            let bare = own.split_once('.').map_or(own.as_str(), |(_, table)| table);
            let whole = distance(&wanted, &own.chars().collect::<Vec<_>>());
            (whole.min(distance(&wanted, &bare.chars().collect::<Vec<_>>())), name)
        })
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .collect();
    found.sort_unstable();
    found.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

/// How many letters have to be added, taken out or changed.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_strangers_not_at_all() {
        let known = ["shop.orders", "shop.order_items", "shop.customers", "crm.orders"];
        let near = |typed| nearest(typed, known.into_iter());
        assert_eq!(near("shop.order"), ["shop.orders"]);
        assert_eq!(near("shop.Oders"), ["shop.orders"]);
        assert_eq!(near("orders"), ["crm.orders", "shop.orders"]);
        assert_eq!(near("invoices"), [""; 0]);
    }
}
