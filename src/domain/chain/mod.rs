//! Chains: a full backup and the increments that continue it without a hole. Pure.
//!
//! [`Chains`] links the manifests of one source, [`Chains::windows`] says which moments can be restored, and [`Chains::plan`] what a
//! restore of one of them takes, or why it cannot be.

mod broken;
mod chains;
mod closing;
mod compaction;
mod dense;
mod end;
mod gtid;
mod place;
mod plan;
mod refusal;
mod until;
mod windows;

pub use self::broken::{Break, BreakKind};
pub use self::chains::{Chains, Line};
pub use self::closing::Closing;
pub use self::compaction::{Compaction, Join};
pub use self::gtid::Gtid;
pub use self::place::Place;
pub use self::plan::{Plan, Target};
pub use self::refusal::{NoPlan, Unrestorable};
pub use self::until::Until;
pub use self::windows::{Gap, PromisedTime, Window, gaps, kept_since, newest_break};

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod model;
#[cfg(test)]
mod overlap_tests;
#[cfg(test)]
mod tests;
