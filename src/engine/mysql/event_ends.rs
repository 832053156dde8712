//! Events that end by themselves: the server drops them, or switches them off, when their time is over.

use super::names::{self, Token};
use crate::domain::digest::Digest;

/// Digest of such an event's definition without whether it is switched on; none of one that goes on for ever. `sql` creates it,
/// under these settings.
pub fn of(sql: &str, settings: &str) -> Option<Digest> {
    let tokens = names::tokens(sql, usize::MAX);
    let at = |word: &str, from: usize| Some(from + tokens.get(from..)?.iter().position(|token| token.is_word(word))?);
    let schedule = at("SCHEDULE", 0)?;
    let body = at("DO", schedule)?;
    let has_end = tokens[schedule..body].iter().any(|token| token.is_word("AT") || token.is_word("ENDS"));
    let status = at("PRESERVE", schedule).filter(|preserve| *preserve < body).map_or(body, |preserve| preserve + 1);
    let is =
        |at: usize, words: &[&str]| tokens.get(at).is_some_and(|token| words.iter().any(|word| token.is_word(word)));
    let length = match () {
        () if is(status, &["DISABLE"]) && is(status + 1, &["ON"]) => 3,
        () if is(status, &["ENABLE", "DISABLE"]) => 1,
        () => 0,
    };
    let rest = tokens[..status].iter().chain(tokens.get(status + length..).unwrap_or_default());
    let text: Vec<String> = rest
        .map(|token| match token {
            Token::Word(text) | Token::Quoted(text) => text.clone(),
            Token::Mark(mark) => mark.to_string(),
        })
        .collect();
    has_end.then(|| Digest::of(format!("{}\0{settings}", text.join("\0")).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_with_an_end_is_the_same_whether_it_is_switched_on_or_not() {
        let event = |schedule: &str, status: &str, body: &str| {
            let printed = format!(
                "/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE {schedule} ON COMPLETION NOT PRESERVE \
                 {status} DO {body} */"
            );
            of(&printed, "sql_mode=")
        };
        let ends = "EVERY 1 DAY STARTS '2026-01-01 00:00:00' ENDS '2026-02-01 00:00:00'";
        for schedule in [ends, "AT '2026-01-01 00:00:00'"] {
            let on = event(schedule, "ENABLE", "SELECT 1");
            assert!(on.is_some(), "{schedule}");
            for status in ["DISABLE", "DISABLE ON SLAVE", "DISABLE ON REPLICA"] {
                assert_eq!(event(schedule, status, "SELECT 1"), on, "{schedule} {status}");
            }
            assert_ne!(event(schedule, "ENABLE", "SELECT 2"), on);
        }
        let forever = event("EVERY 1 DAY STARTS '2026-01-01 00:00:00'", "ENABLE", "SELECT 1 AS `at`, 2 AS ends");
        assert_eq!(forever, None, "what it does is not when");
    }
}
