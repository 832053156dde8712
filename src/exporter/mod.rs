//! The exporter: what the ledger and the service know, as Prometheus metrics over HTTP.
//!
//! `catalogue` declares every metric, `collector` fills them from what `state` knows, `exposition` writes them as
//! text, `rendering` keeps the text ready for `scrape`, `web` serves it. A scrape does no I/O on databases or repositories: it
//! cannot be slow and cannot break a backup. The exporter knows nothing of engines.

pub mod catalogue;
pub mod collector;
pub mod events;
pub mod exposition;
mod gzip;
mod openmetrics;
pub mod pages;
pub mod rendering;
pub mod scrape;
#[cfg(test)]
pub(crate) mod tests;
pub mod web;
