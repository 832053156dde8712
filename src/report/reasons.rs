//! Why an objective was not met, in a sentence or two: what there was, and which runs should have changed it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::display::{counted, duration, rfc3339};
use crate::domain::chain::Gap;
use crate::domain::drill::Verdict;
use crate::domain::history::{Breach, Facts};
use crate::domain::sla::Objective;
use crate::ledger::{MissedRuns, Operation, Outcome, Run};

/// What reasons are taken from.
pub(super) struct Records<'a> {
    pub facts: &'a Facts,
    pub runs: &'a [Run],
    pub missed: &'a [MissedRuns],
    /// End of the time in question.
    pub until: DateTime<Utc>,
}

impl Records<'_> {
    /// Why `objective` was not met.
    pub fn why(&self, objective: Objective, breach: &Breach) -> String {
        let mut said = match objective {
            Objective::Rpo => self.why_rpo(breach),
            Objective::Rto => self.why_rto(breach),
            Objective::DrillInterval => self.why_drill(breach),
            Objective::Retention => self.why_retention(breach),
            Objective::ChainLength => self.why_chain(breach),
        };
        if self.was_promised_at(breach.start) {
            said.insert(0, "the objective changed at that moment".to_owned());
        }
        said.join("; ")
    }

    fn why_rpo(&self, breach: &Breach) -> Vec<String> {
        let newest = self.facts.standing(breach.start).newest;
        let mut said = vec![match newest {
            Some(newest) => format!("the newest recovery point was of {}", rfc3339(newest)),
            None => "there was no recovery point".to_owned(),
        }];
        said.extend(self.went_away(breach));
        let since = newest.unwrap_or(self.facts.created);
        said.extend(self.attempts(Operation::Backup, since, breach));
        said
    }

    fn why_rto(&self, breach: &Breach) -> Vec<String> {
        let measured = self.facts.drills.iter().rfind(|it| it.ended <= breach.start && it.rto_seconds.is_some());
        vec![match measured.and_then(|drill| Some((drill.ended, drill.rto_seconds?))) {
            Some((ended, rto)) => format!("the drill that ended at {} took {}", rfc3339(ended), duration(rto)),
            None => "no drill had measured a recovery time yet".to_owned(),
        }]
    }

    fn why_drill(&self, breach: &Breach) -> Vec<String> {
        let passed = self
            .facts
            .drills
            .iter()
            .rfind(|it| it.ended <= breach.start && it.verdict == Verdict::Passed)
            .map(|it| it.ended);
        let mut said = vec![match passed {
            Some(ended) => format!("the last drill that passed ended at {}", rfc3339(ended)),
            None => "no drill had passed yet".to_owned(),
        }];
        said.extend(self.attempts(Operation::Drill, passed.unwrap_or(self.facts.created), breach));
        said
    }

    fn why_retention(&self, breach: &Breach) -> Vec<String> {
        let mut said = vec![match self.facts.standing(breach.start).oldest {
            Some(oldest) => format!("the oldest recovery point was of {}", rfc3339(oldest)),
            None => "there was no recovery point".to_owned(),
        }];
        said.extend(self.went_away(breach));
        let known = self
            .facts
            .gaps
            .iter()
            .filter(|it| it.since <= breach.start && it.gone.is_none_or(|gone| gone > breach.start));
        // Another one may lie between longer ones; the one that ends last is what it waits for.
        let rpo = self.facts.promises.iter().rfind(|it| it.since <= breach.start).map(|it| it.objectives.rpo);
        let is_long = |gap: &&Gap| rpo.is_none_or(|rpo| (gap.to - gap.from).as_seconds_f64() > rpo.as_secs_f64());
        if let Some(gap) =
            known.map(|it| &it.gap).filter(is_long).max_by_key(|gap| gap.to).filter(|_| !self.facts.moments.is_empty())
        {
            said.push(format!("no moment between {} and {} could be restored", rfc3339(gap.from), rfc3339(gap.to)));
        }
        said
    }

    fn why_chain(&self, breach: &Breach) -> Vec<String> {
        let standing = self.facts.standing(breach.start);
        vec![match standing.newest {
            Some(newest) => {
                let increments = counted(standing.chain_length as usize, "increment");
                format!("the recovery point of {} needs {increments}", rfc3339(newest))
            }
            None => "there was no recovery point".to_owned(),
        }]
    }

    /// Recovery points that were no longer there when it began.
    fn went_away(&self, breach: &Breach) -> Option<String> {
        let gone = self.facts.points.iter().filter(|point| point.gone == Some(breach.start)).count();
        (gone > 0).then(|| format!("{} had gone from the repository", counted(gone, "recovery point")))
    }

    /// What was tried from `since` until it was met again, and did not help.
    fn attempts(&self, operation: Operation, since: DateTime<Utc>, breach: &Breach) -> Vec<String> {
        let end = breach.end.unwrap_or(self.until);
        let bad: Vec<&Run> = self
            .runs
            .iter()
            .filter(|run| run.operation == operation && run.is_bad())
            .filter(|run| run.started < end && run.ended.unwrap_or(run.started) >= since)
            .collect();
        let mut said = Vec::new();
        for outcome in [Outcome::Failed, Outcome::Inconclusive, Outcome::Interrupted] {
            let of_it: Vec<&&Run> = bad.iter().filter(|run| run.outcome == Some(outcome)).collect();
            if let Some(first) = of_it.first() {
                let why = if first.reason.is_empty() { String::new() } else { format!(": {}", first.reason) };
                let many = counted(of_it.len(), operation.name());
                said.push(format!("{many} {outcome}, the first at {}{why}", rfc3339(first.started)));
            }
        }
        let missed: Vec<&MissedRuns> =
            self.missed.iter().filter(|it| it.operation == operation && it.first < end && it.last >= since).collect();
        if let Some(first) = missed.iter().min_by_key(|it| it.first) {
            let count: usize = missed.iter().map(|it| it.count as usize).sum();
            let many = counted(count, &format!("scheduled {operation}"));
            said.push(format!("{many} did not begin, the first due at {}: {}", rfc3339(first.first), first.reason));
        }
        if said.is_empty() {
            said.push(format!("no {operation} ended or was missed in that time"));
        }
        said
    }

    fn was_promised_at(&self, at: DateTime<Utc>) -> bool {
        let near = |since: DateTime<Utc>| (since - at).abs() <= TimeDelta::microseconds(1);
        self.facts.promises.iter().skip(1).any(|promise| near(promise.since))
    }
}
