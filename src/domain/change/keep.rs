//! Which recovery points nobody may remove while a change is suspect, however old they are.

use std::collections::BTreeSet;

use super::State;
use crate::domain::manifest::RecoveryPointId;

/// What was found in a listed recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its name.
    pub id: RecoveryPointId,
    /// What was found; none where it was never compared.
    pub state: Option<State>,
    /// Whether the operator said that it was meant.
    pub is_accepted: bool,
    /// The last one before what was found, where that is known.
    pub before: Option<RecoveryPointId>,
}

impl Judged {
    /// What is to be worried about.
    fn level(&self) -> State {
        self.state.filter(|state| !self.is_accepted && state.is_suspect()).unwrap_or(State::Quiet)
    }
}

/// Of `points`, oldest first: the last one before each suspect change that nobody accepted, and before each that made it worse. It
/// may be all that is left of what is gone. What came little by little may have begun earlier: then the one before that, too.
/// Whatever decides what may be deleted must leave out these.
pub fn must_be_kept(points: &[Judged]) -> BTreeSet<&RecoveryPointId> {
    let is_worse = |pair: &&[Judged]| pair[1].level() > pair[0].level();
    let known: BTreeSet<&RecoveryPointId> = points.iter().map(|point| &point.id).collect();
    let worse = points.windows(2).filter(is_worse);
    worse
        .flat_map(|pair| [Some(&pair[0].id), pair[1].before.as_ref()])
        .flatten()
        .filter(|id| known.contains(id))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(states: &[(Option<State>, bool)]) -> Vec<Judged> {
        let judged = |(at, (state, is_accepted)): (usize, &(Option<State>, bool))| Judged {
            id: RecoveryPointId(at.to_string()),
            state: *state,
            is_accepted: *is_accepted,
            before: None,
        };
        states.iter().enumerate().map(judged).collect()
    }

    fn kept(states: &[(Option<State>, bool)]) -> Vec<String> {
        must_be_kept(&points(states)).into_iter().map(|id| id.0.clone()).collect()
    }

    const QUIET: (Option<State>, bool) = (Some(State::Quiet), false);
    const CRITICAL: (Option<State>, bool) = (Some(State::Critical), false);
    const ACCEPTED: (Option<State>, bool) = (Some(State::Critical), true);

    #[test]
    fn the_last_point_before_each_unaccepted_change_is_kept_and_no_other() {
        assert_eq!(kept(&[QUIET, QUIET, CRITICAL, CRITICAL]), ["1"]);
        assert_eq!(kept(&[QUIET, CRITICAL, QUIET, (Some(State::Warning), false), QUIET]), ["0", "2"]);
        assert_eq!(kept(&[QUIET, (Some(State::Warning), false), CRITICAL, CRITICAL]), ["0", "1"]);
        assert_eq!(kept(&[QUIET, ACCEPTED, QUIET]), [""; 0]);
        assert_eq!(kept(&[QUIET, ACCEPTED, CRITICAL]), ["1"]);
        assert_eq!(kept(&[(None, false), CRITICAL]), ["0"]);
        assert_eq!(kept(&[CRITICAL, CRITICAL]), [""; 0], "there is none before it any more");
        assert_eq!(kept(&[]), [""; 0]);
    }

    #[test]
    fn the_point_before_what_came_little_by_little_is_kept_too() {
        let mut all = points(&[QUIET, QUIET, QUIET, CRITICAL, CRITICAL]);
        for (before, expected) in [("0", ["0", "2"].as_slice()), ("2", &["2"]), ("gone", &["2"])] {
            all[3].before = Some(RecoveryPointId(before.to_owned()));
            let kept: Vec<&str> = must_be_kept(&all).into_iter().map(|id| id.0.as_str()).collect();
            assert_eq!(kept, expected);
        }
    }
}
