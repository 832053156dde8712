//! Tables that are meant to be emptied, by their names: logs, queues, sessions, caches. That one of them is empty one day is worth a
//! look and no call at night, as long as everything else is there.

use crate::domain::manifest::Manifest;

/// Words of such names.
const WORDS: [&str; 19] = [
    "accesslog",
    "cache",
    "caches",
    "errorlog",
    "log",
    "logs",
    "queue",
    "queues",
    "querylog",
    "scratch",
    "session",
    "sessions",
    "slowlog",
    "syslog",
    "temp",
    "temporary",
    "tmp",
    "trace",
    "traces",
];

/// Whether the table `name`, qualified as in an inventory, is one. A path is none.
pub(super) fn is_log(name: &str) -> bool {
    let table = name.rsplit('.').next().unwrap_or(name);
    !name.starts_with('/') && words(table).iter().any(|word| WORDS.contains(&word.as_str()))
}

/// `accessLog_2024` is `access`, `log`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

/// Bytes of the tables of `manifest` that are none. No more of a long row counts than is looked into, so they are only comparable with
/// each other. None where they were not recorded.
pub(super) fn bytes_of_others(manifest: &Manifest) -> Option<u64> {
    let textures = &manifest.evidence.textures;
    let others = textures.iter().filter(|(name, _)| !is_log(name)).flat_map(|(_, texture)| texture.bytes);
    (!textures.is_empty()).then(|| others.fold(0, u64::saturating_add))
}

/// Whether such tables have all rows that they had: then whatever is gone was in other tables. Not where samples do not tell.
pub(super) fn have_all(before: &Manifest, now: &Manifest) -> bool {
    let samples = [&before.evidence.samples, &now.evidence.samples];
    let mut logs = before.inventory().tables.iter().filter(|table| table.rows > 0 && is_log(&table.name));
    logs.all(|table| {
        let [Some(sample), Some(later)] = samples.map(|of| of.get(&table.name)) else { return false };
        sample.gone_in(later).is_some_and(|gone| gone <= 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::is_log;

    #[test]
    fn logs_queues_and_sessions_are_known_by_a_word_of_their_names() {
        for name in ["d.log", "shop.access_log", "shop.AccessLog", "d.sessionData", "d.log2024", "`my-app`.`job-queue`"]
        {
            assert!(is_log(name), "{name}");
        }
        let others =
            ["d.catalog", "d.blog_posts", "log.orders", "d.dialog", "d.login", "/var/log", "d.orders", "d.cached", ""];
        for name in others {
            assert!(!is_log(name), "{name}");
        }
    }
}
