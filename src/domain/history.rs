//! How much of the time a promise was kept.

use std::collections::BTreeMap;

use super::sla::Objective;

/// Share of the window in which each objective was met, 0–1. An objective of which nothing can be said is missing.
pub type MetRatios = BTreeMap<Objective, f64>;
