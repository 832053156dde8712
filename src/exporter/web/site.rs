//! What is served.

use std::sync::Arc;

use crate::exporter::events::Desk;
use crate::exporter::scrape::Exporter;
use crate::ledger::Ledger;

/// What is served.
pub struct Site {
    /// Metrics, and what the pages show.
    pub exporter: Arc<Exporter>,
    /// History, for pages only.
    pub ledger: Ledger,
    /// Where looks for transactions are asked for; none where nobody can look.
    pub events: Option<Desk>,
}
