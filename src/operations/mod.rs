//! The stories: [`backup`] and [`drill`], and the restore and proof that a drill shares with a real disaster.
//!
//! Nothing here knows the kind of an engine, a repository or a sandbox. Everything blocks; async callers use blocking
//! threads. Every run, good or bad, ends in the ledger.

pub mod accept_repository;
pub mod backup;
pub mod before_change;
mod breaks;
mod canary;
pub mod cancel;
pub mod change;
pub mod check;
mod closing;
pub mod compact;
pub mod doubts;
pub mod drill;
pub mod drill_plan;
pub mod events;
pub mod expectations;
mod finding;
pub mod follow;
pub mod identity;
pub mod increment;
pub mod ledger_health;
pub mod listing;
pub mod maintain;
pub mod observe;
pub mod ownership;
pub mod prove;
mod recording;
mod refusals;
pub mod report;
pub mod restore;
mod room;
pub mod select;
mod selection;
mod stages;
mod stored;
mod suspects;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod trust_tests;
mod upkeep;
pub mod verify;
