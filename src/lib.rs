//! backup-sla: takes backups, proves every day that they restore, measures RPO and RTO, tells Prometheus the truth.
//!
//! Two stories tell nearly everything: [`operations::backup`] and [`operations::drill`]. They speak to three seams:
//! [`engine`] knows a kind of source, [`repository`] keeps backups, [`sandbox`] runs throwaway servers. [`app`] wires
//! them to the configuration; [`domain`] holds the types and rules that all of them share and knows no I/O; every run
//! ends in the [`ledger`]; [`state`] is what is known now, and [`exporter`] makes metrics and pages of it. See `ARCHITECTURE.md`.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
mod display;
pub mod domain;
pub mod engine;
pub mod error;
pub mod exporter;
mod foreign;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod ledger;
pub mod logging;
pub mod operations;
pub mod process;
pub mod report;
pub mod repository;
pub mod run_context;
pub mod sandbox;
pub mod scheduler;
pub mod service;
pub mod state;
pub mod status;
pub mod strict;
pub mod systemd;
mod temporary;
mod unprivileged;
