//! Which changes of a record there can be.

use serde_json::Value;

use super::chain::{FORGOTTEN, Subject};
use crate::ledger::gone::{GONE_ACCEPTED, GONE_EARLY, GONE_UNREADABLE};
use crate::ledger::points::GONE_POINTS_DAYS;
use crate::ledger::run::Outcome;
use crate::ledger::stored::RUNNING;

const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a record can begin in this state, sealed at this time.
pub(super) fn may_begin(subject: Subject, state: &str, sealed_at: i64) -> bool {
    match subject {
        // The moment at which it was sealed is the moment at which it began.
        Subject::Run => state == format!("{RUNNING} {sealed_at}"),
        Subject::Point => is_there(state),
        Subject::Configured | Subject::Change => numbers(state)[0].is_none(),
        Subject::Vanished => [Some(GONE_EARLY), Some(GONE_UNREADABLE)].contains(&numbers(state)[0]),
        Subject::Repository => numbers(state)[0] == Some(sealed_at),
        // It is written when there are no seals yet, and taken over from then.
        Subject::Origin => false,
        _ => state != FORGOTTEN,
    }
}

/// Whether a record can change from one state to another, at this time.
pub(super) fn may_change(subject: Subject, from: &str, to: &str, sealed_at: i64) -> bool {
    match subject {
        Subject::Ledger | Subject::Promise | Subject::Origin | Subject::Adoption => false,
        // What is listed is what the repository said last, whatever it said before.
        Subject::Listed => true,
        // Somebody said that it was on purpose, what could not be read is gone now, or it is not remembered any more.
        Subject::Vanished => {
            let known = [(GONE_EARLY, GONE_ACCEPTED), (GONE_UNREADABLE, GONE_EARLY)];
            to == FORGOTTEN || numbers(from)[0].zip(numbers(to)[0]).is_some_and(|change| known.contains(&change))
        }
        // Another one was accepted, at the moment at which that is sealed.
        Subject::Repository => numbers(to)[0] == Some(sealed_at),
        Subject::Run => {
            let (before, after) = (word(from, 0), word(to, 0));
            // A run that was taken for interrupted may report after all, even that it was interrupted.
            let is_open = before == RUNNING || before == Outcome::Interrupted.name();
            is_open && after != RUNNING && word(to, 1).parse() == Ok(sealed_at)
        }
        Subject::Point if to == FORGOTTEN => {
            let gone = numbers(from)[0];
            gone.is_some_and(|gone| gone < sealed_at - (GONE_POINTS_DAYS - 1) * DAY_MICROS)
        }
        Subject::Point => is_there(from) && !is_there(to),
        // It ends once, at the moment at which that is sealed.
        Subject::Configured | Subject::Change => numbers(from)[0].is_none() && numbers(to)[0] == Some(sealed_at),
        // It may turn out to be older than was known, never younger.
        Subject::Source => matches!((numbers(from)[0], numbers(to)[0]), (Some(old), Some(new)) if new <= old),
        Subject::Missed => matches!((numbers(from)[0], numbers(to)[0]), (Some(old), Some(new)) if new > old),
        Subject::TestPage => {
            let ([ends, confirmed], [ends_then, confirmed_then]) = (numbers(from), numbers(to));
            let is_confirmed = confirmed_then == Some(sealed_at) && ends == ends_then;
            let is_withdrawn = confirmed_then.is_none() && ends_then == Some(sealed_at) && ends_then <= ends;
            confirmed.is_none() && (is_confirmed || is_withdrawn)
        }
    }
}

fn word(state: &str, at: usize) -> &str {
    state.split(' ').nth(at).unwrap_or_default()
}

fn is_there(state: &str) -> bool {
    state == "[null,null]"
}

/// The first two values of a state, where they are numbers.
fn numbers(state: &str) -> [Option<i64>; 2] {
    let values: Vec<Value> = serde_json::from_str(state).unwrap_or_default();
    [values.first().and_then(Value::as_i64), values.get(1).and_then(Value::as_i64)]
}
