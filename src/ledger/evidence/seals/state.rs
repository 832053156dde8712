//! The state of a sealed record, read once from the text that its seal has. The text is what was sealed and stays what it is; what a
//! rule asks of it is asked of this.

use serde_json::Value;

use super::chain::{FORGOTTEN, Subject};
use crate::ledger::database::stored::RUNNING;
use crate::ledger::points::GoneMark;
use crate::ledger::runs::Outcome;

/// What a seal says of its record beside what never changes. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It is no longer kept.
    Forgotten,
    /// A run that runs.
    Running { since: i64 },
    /// A run that has ended.
    Ended { outcome: Outcome, at: i64 },
    /// A recovery point that can be restored, or a gap that is there.
    There,
    /// One that went away.
    Gone { at: i64 },
    /// A period that goes on, or a comparison that nobody accepted.
    Open,
    /// A period that has ended, or a comparison that was accepted.
    Closed { at: i64 },
    /// A recovery point that went away before its time.
    Vanished(GoneMark),
    /// The repository that a name means.
    Repository { since: i64, identity: String },
    /// A source that is known since.
    Known { since: i64 },
    /// So many runs that did not begin.
    Missed { runs: i64 },
    /// A page that was raised for a test.
    TestPage { ends: Option<i64>, confirmed: Option<i64> },
    /// One that no rule asks about, or that nobody here writes.
    Other,
}

impl State {
    /// Read what a seal of a record of this kind has.
    pub(super) fn read(subject: Subject, text: &str) -> Self {
        if text == FORGOTTEN {
            return Self::Forgotten;
        }
        if subject == Subject::Run {
            return run(text).unwrap_or(Self::Other);
        }
        let values: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        let number = |at: usize| values.get(at).and_then(Value::as_i64);
        let found = match subject {
            Subject::Point if values == [Value::Null, Value::Null] => Some(Self::There),
            Subject::Point => number(0).map(|at| Self::Gone { at }),
            Subject::Gap => Some(number(0).map_or(Self::There, |at| Self::Gone { at })),
            Subject::Configured | Subject::Change => Some(number(0).map_or(Self::Open, |at| Self::Closed { at })),
            Subject::Vanished => number(0).and_then(GoneMark::read).map(Self::Vanished),
            Subject::Repository => number(0).map(|since| {
                let identity = values.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
                Self::Repository { since, identity }
            }),
            Subject::Source => number(0).map(|since| Self::Known { since }),
            Subject::Missed => number(0).map(|runs| Self::Missed { runs }),
            Subject::TestPage => Some(Self::TestPage { ends: number(0), confirmed: number(1) }),
            Subject::Ledger
            | Subject::Run
            | Subject::Promise
            | Subject::Listed
            | Subject::Origin
            | Subject::Break
            | Subject::Adoption => None,
        };
        found.unwrap_or(Self::Other)
    }
}

fn run(text: &str) -> Option<State> {
    let mut words = text.split(' ');
    let (outcome, at) = (words.next()?, words.next()?.parse().ok()?);
    if outcome == RUNNING {
        return words.next().is_none().then_some(State::Running { since: at });
    }
    Outcome::ALL.into_iter().find(|it| it.name() == outcome).map(|outcome| State::Ended { outcome, at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_reads_what_its_seals_have() {
        let read = |subject, text: &str| State::read(subject, text);
        assert_eq!(read(Subject::Run, "running 7"), State::Running { since: 7 });
        assert_eq!(read(Subject::Run, "running 7 8"), State::Other);
        assert_eq!(read(Subject::Run, "passed 9 ab12"), State::Ended { outcome: Outcome::Passed, at: 9 });
        assert_eq!(read(Subject::Run, "glorious 9 ab12"), State::Other);
        assert_eq!(read(Subject::Point, "[null,null]"), State::There);
        assert_eq!(read(Subject::Point, "[5,6]"), State::Gone { at: 5 });
        assert_eq!(read(Subject::Point, "[null,6]"), State::Other);
        assert_eq!(read(Subject::Gap, "[null]"), State::There);
        assert_eq!(read(Subject::Gap, "[5]"), State::Gone { at: 5 });
        assert_eq!(read(Subject::Configured, "[null]"), State::Open);
        assert_eq!(read(Subject::Change, "[3]"), State::Closed { at: 3 });
        assert_eq!(read(Subject::Vanished, "[1]"), State::Vanished(GoneMark::Early));
        assert_eq!(read(Subject::Vanished, "[9]"), State::Other);
        let repository = State::Repository { since: 4, identity: "ab".to_owned() };
        assert_eq!(read(Subject::Repository, "[4,\"ab\"]"), repository);
        assert_eq!(read(Subject::Source, "[2,\"mysql\",\"offsite\"]"), State::Known { since: 2 });
        assert_eq!(read(Subject::Missed, "[2,3,4,\"\"]"), State::Missed { runs: 2 });
        assert_eq!(read(Subject::TestPage, "[8,null]"), State::TestPage { ends: Some(8), confirmed: None });
        assert_eq!(read(Subject::Listed, "[\"full\"]"), State::Other);
        for subject in Subject::ALL {
            assert_eq!(read(subject, FORGOTTEN), State::Forgotten);
        }
    }
}
