//! Which changes of a record there can be.

use super::chain::Subject;
use super::state::State;
use crate::ledger::points::{GONE_POINTS_DAYS, GoneMark};
use crate::ledger::runs::Outcome;

const DAY_MICROS: i64 = 86_400_000_000;

/// Whether a record can begin in this state, sealed at this time.
pub(super) fn may_begin(subject: Subject, state: &State, sealed_at: i64) -> bool {
    match subject {
        // The moment at which it was sealed is the moment at which it began.
        Subject::Run => *state == State::Running { since: sealed_at },
        Subject::Point | Subject::Gap => *state == State::There,
        Subject::Configured | Subject::Change => *state == State::Open,
        Subject::Vanished => matches!(state, State::Vanished(GoneMark::Early | GoneMark::Unreadable)),
        Subject::Repository => matches!(state, State::Repository { since, .. } if *since == sealed_at),
        // It is written when there are no seals yet, and taken over from then.
        Subject::Origin => false,
        _ => *state != State::Forgotten,
    }
}

/// Whether a record can change from one state to another, at this time.
pub(super) fn may_change(subject: Subject, from: &State, to: &State, sealed_at: i64) -> bool {
    match (subject, from, to) {
        // What is listed is what the repository said last, whatever it said before.
        (Subject::Listed, ..)
        | (Subject::Vanished, _, State::Forgotten)
        | (Subject::Point, State::There, State::Gone { .. } | State::Other) => true,
        // Somebody said that it was on purpose, or what could not be read is gone now.
        (Subject::Vanished, State::Vanished(from), State::Vanished(to)) => {
            let known = [(GoneMark::Early, GoneMark::Accepted), (GoneMark::Unreadable, GoneMark::Early)];
            known.contains(&(*from, *to))
        }
        // It happens at the moment at which it is sealed: another repository is accepted, a run ends, and so does a period or
        // a suspicion, once. A run that was taken for interrupted may report after all, even that it was interrupted.
        (Subject::Repository, _, State::Repository { since: at, .. })
        | (
            Subject::Run,
            State::Running { .. } | State::Ended { outcome: Outcome::Interrupted, .. },
            State::Ended { at, .. },
        )
        | (Subject::Configured | Subject::Change, State::Open, State::Closed { at })
        | (Subject::Gap, State::There, State::Gone { at }) => *at == sealed_at,
        (Subject::Point | Subject::Gap, State::Gone { at }, State::Forgotten) => {
            *at < sealed_at - (GONE_POINTS_DAYS - 1) * DAY_MICROS
        }
        // It may turn out to be older than was known, never younger.
        (Subject::Source, State::Known { since: from }, State::Known { since: to }) => to <= from,
        (Subject::Missed, State::Missed { runs: from }, State::Missed { runs: to }) => to > from,
        (
            Subject::TestPage,
            State::TestPage { ends, confirmed: None },
            State::TestPage { ends: ends_then, confirmed: confirmed_then },
        ) => {
            let is_confirmed = *confirmed_then == Some(sealed_at) && ends == ends_then;
            let is_withdrawn = confirmed_then.is_none() && *ends_then == Some(sealed_at) && ends_then <= ends;
            is_confirmed || is_withdrawn
        }
        // The beginning of a ledger, what was promised, and what was adopted never change.
        _ => false,
    }
}
