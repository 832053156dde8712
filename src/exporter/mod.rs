//! The exporter: what the ledger and the service know, as Prometheus metrics over HTTP.
//!
//! `catalogue` declares every metric, `collector` fills them from an in-memory snapshot, `exposition` writes them as
//! text, `rendering` keeps the text ready, `refresh` keeps the snapshot young, `web` serves it. A scrape does no I/O on databases or repositories: it
//! cannot be slow and cannot break a backup. The exporter knows nothing of engines.

pub mod catalogue;
pub mod collector;
pub mod exposition;
mod forecasts;
mod gzip;
mod kept_promises;
mod openmetrics;
pub mod pages;
pub mod process_facts;
pub mod refresh;
pub mod rendering;
pub mod service_state;
#[cfg(test)]
pub(crate) mod tests;
pub mod web;
