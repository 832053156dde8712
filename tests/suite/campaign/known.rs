//! What is known to be broken and not mended yet: it is told and counted, and fails nothing. Empty is the goal, so what is
//! mended is taken out (`--strict` knows nothing).

use super::judge::Rule;
use super::plan::{Fault, Harm, Operation, Step, Stored};

/// Why this is known; none if it is new.
pub fn why(step: &Step, rule: Rule) -> Option<&'static str> {
    match (step.fault, rule) {
        (Fault::LinkedDirectory(_), Rule::NothingOutside) => {
            Some("directories of a repository that are links are followed")
        }
        (Fault::Ledger(_), Rule::Limits | Rule::Recovers) if step.operation == Operation::Serve => {
            Some("SIGTERM does not end a service whose ledger was replaced under it")
        }
        (Fault::Clock(_), Rule::NoFalseGreen) => Some("a point dated after now is chosen without a word"),
        (Fault::Damage(Stored::Snapshot, Harm::Pipe), Rule::NoFalseGreen) => {
            Some("what is no file among the snapshots is passed over in silence")
        }
        (Fault::Signal(..), Rule::NoFalseRed) => Some("a program killed on the drill host is a failed drill"),
        _ => None,
    }
}
