//! Pure types and rules: what a backup promises, what a drill found, what the SLA says.
//!
//! Knows no I/O: no async runtime, no database, no repository, no metrics crate may be named in this folder (a test greps).

pub mod canary;
pub mod canary_promise;
pub mod capture;
pub mod captured;
pub mod chain;
pub mod change;
pub mod closing_proof;
pub mod comparison;
pub mod counts;
pub mod digest;
pub mod drill;
pub mod drill_choice;
pub mod expected;
pub mod figures;
pub mod forecast;
pub mod history;
pub mod host;
pub mod inventory;
pub mod left_out;
pub mod local_time;
pub mod logged;
pub mod manifest;
pub mod needs;
pub mod order;
pub mod position;
pub mod promise;
pub mod proven;
pub mod recovery_point_id;
pub mod retention;
pub mod schedule;
pub mod sla;
pub mod words;
