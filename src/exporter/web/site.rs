//! What is served.

use std::sync::Arc;

use crate::exporter::scrape::Exporter;
use crate::ledger::Ledger;

/// What is served.
pub struct Site {
    /// Metrics, and what the pages show.
    pub exporter: Arc<Exporter>,
    /// History, for pages only.
    pub ledger: Ledger,
}
