//! What follows the `?` of a page's address. What is not understood is ignored: an address is no configuration.

use percent_encoding::percent_decode_str;

/// Parameters of the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// `q`: only sources whose name, kind or repository contains this.
    pub filter: String,
    /// `page`: which page of the fleet's table, from 1.
    pub page: usize,
    /// `days`: how far back the plots reach.
    pub days: i64,
    /// `running`: only sources on which something runs.
    pub running: bool,
}

/// Longest filter, in characters.
const FILTER_CHARACTERS: usize = 200;

impl Query {
    /// Read a query string.
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self { filter: String::new(), page: 1, days: 7, running: false };
        for pair in text.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            match key {
                "q" => query.filter = value.trim().chars().take(FILTER_CHARACTERS).collect(),
                "page" => query.page = value.parse().unwrap_or(1).max(1),
                "days" => query.days = if value == "30" { 30 } else { 7 },
                "running" => query.running = value == "true",
                _ => {}
            }
        }
        query
    }

    /// Whether one of `words` contains the filter, without regard to case.
    pub(super) fn matches(&self, words: &[&str]) -> bool {
        let wanted = self.filter.to_lowercase();
        words.iter().any(|word| word.to_lowercase().contains(&wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_in_a_query_is_ignored() {
        let usual = Query { filter: String::new(), page: 1, days: 7, running: false };
        for text in ["", "&&=", "page=-1&days=x", "page=99999999999999999999999", "%zz=%ff", "running=1"] {
            assert_eq!(Query::parse(text), usual, "{text}");
        }
        let query = Query::parse("q=a%20b+%3Cc&page=3&days=30&running=true");
        assert_eq!(query, Query { filter: "a b <c".into(), page: 3, days: 30, running: true });
        assert!(query.matches(&["x", "XA B <CX"]) && !query.matches(&["a b"]));
        assert_eq!(Query::parse(&format!("q={}", "ä".repeat(1000))).filter.chars().count(), 200);
    }
}
