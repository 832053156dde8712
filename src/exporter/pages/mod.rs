//! The status page: what was promised and what was measured, for people; and the same as JSON, for programs.
//!
//! Pages are rendered on the server, need nothing from anywhere else and work without JavaScript. They may ask the
//! ledger (a scrape may not), but only what [`crate::ledger::history`] answers within limits. Everything that is shown
//! goes through the template's escaping. Nothing of the configuration is shown but names, kinds and objectives.

mod api;
mod charts;
mod drills;
mod fleet;
mod layout;
mod lost_history;
mod missed;
mod objectives;
mod pending;
mod plots;
mod query;
mod restore;
mod running;
mod sawtooth;
mod source;
#[cfg(test)]
mod tests;
mod trouble;
pub(crate) mod words;

use bytes::Bytes;
use maud::Markup;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use self::query::Query;
use crate::error::{OrFailed, Result};
use crate::foreign;
use crate::ledger::Ledger;
use crate::state::View;

/// An answer of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Content type.
    pub content_type: &'static str,
    /// Further headers, in lower case: what a browser may do with the page.
    pub headers: Vec<(&'static str, String)>,
    /// Content.
    pub body: Bytes,
}

/// What a browser may do with content that is no page: nothing.
const CLOSED: &str = "default-src 'none'; frame-ancestors 'none'";

impl Page {
    fn html(status: u16, markup: Markup) -> Self {
        let body = foreign::html(markup.into_string()).into();
        Self::new(status, "text/html; charset=utf-8", layout::content_security_policy(), body)
    }

    fn json(status: u16, document: &impl Serialize) -> Result<Self> {
        let mut body = serde_json::to_vec(document).or_failed("write JSON")?;
        body.push(b'\n');
        Ok(Self::new(status, "application/json", CLOSED.to_owned(), body.into()))
    }

    fn new(status: u16, content_type: &'static str, policy: String, body: Bytes) -> Self {
        let headers = vec![
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff".to_owned()),
            ("x-frame-options", "DENY".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        Self { status, content_type, headers, body }
    }
}

/// The page at `path`, with `query` (what follows the `?`); none if there is none.
///
/// A ledger that cannot be read is no error: the page says so, shows what is known, and has status 503.
pub async fn answer(view: &View, ledger: &Ledger, path: &str, query: Option<&str>) -> Result<Option<Page>> {
    let query = Query::parse(query.unwrap_or_default());
    let named = |prefix| path.strip_prefix(prefix).map(|name| percent_decode_str(name).decode_utf8_lossy());
    match path {
        "/" => {
            let trouble = ledger.revision().await.err();
            let status = if trouble.is_some() { 503 } else { 200 };
            return Ok(Some(Page::html(status, fleet::page(view, trouble.as_ref(), &query))));
        }
        "/favicon.svg" => {
            let body = Bytes::from_static(include_bytes!("favicon.svg"));
            return Ok(Some(Page::new(200, "image/svg+xml", CLOSED.to_owned(), body)));
        }
        "/api/v1/status" => return api::status(view, ledger, &query).await.map(Some),
        _ => {}
    }
    if let Some(name) = named("/sources/") {
        return Ok(Some(source::page(view, ledger, &name, &query).await));
    }
    if let Some(name) = named("/api/v1/sources/") {
        return api::source(view, ledger, &name).await.map(Some);
    }
    Ok(None)
}
