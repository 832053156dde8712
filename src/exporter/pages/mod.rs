//! The status page: what was promised and what was measured, for people.
//!
//! Pages are rendered on the server and need nothing from anywhere else. They may ask the ledger, a scrape may not.

use bytes::Bytes;

use super::refresh::View;
use crate::error::Result;
use crate::ledger::Ledger;

/// An answer of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// Content.
    pub body: Bytes,
}

/// The page at `path`, with `query` (what follows the `?`); none if there is none.
pub async fn answer(view: &View, ledger: &Ledger, path: &str, _query: Option<&str>) -> Result<Option<Page>> {
    let _ = (view, ledger);
    Ok((path == "/").then(|| Page {
        status: 200,
        content_type: "text/html; charset=utf-8",
        body: Bytes::from_static(b"<!DOCTYPE html><title>backup-sla</title><a href=\"/metrics\">Metrics</a>"),
    }))
}
