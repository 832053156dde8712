//! The status page: what was promised and what was measured, for people; and the same as JSON, for programs.
//!
//! Pages are rendered on the server, need nothing from anywhere else and work without JavaScript. They may ask the
//! ledger (a scrape may not), but only what [`crate::ledger::history`] answers within limits. Everything that is shown
//! goes through the template's escaping. Nothing of the configuration is shown but names, kinds and objectives.

mod api;
mod charts;
mod drills;
mod events;
mod fleet;
mod layout;
mod lost_history;
mod missed;
mod objectives;
mod page;
mod pending;
mod plots;
mod query;
mod repositories;
mod restore;
mod running;
mod sawtooth;
mod source;
#[cfg(test)]
mod tests;
mod trouble;
mod windows;
pub(crate) mod words;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use self::page::CLOSED;
pub use self::page::Page;
use self::query::Query;
use crate::error::Result;
use crate::exporter::events::Desk;
use crate::ledger::Ledger;
use crate::state::View;

/// The page at `path`, with `query` (what follows the `?`); none if there is none.
///
/// A ledger that cannot be read is no error: the page says so, shows what is known, and has status 503.
/// `desk` is where looks for transactions are asked for; none where there is no service.
pub async fn answer(
    view: &View,
    (ledger, desk): (&Ledger, Option<&Desk>),
    path: &str,
    query: Option<&str>,
) -> Result<Option<Page>> {
    let text = query.unwrap_or_default();
    let query = Query::parse(text);
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
        if let Some(config) = name.strip_suffix("/events").and_then(|name| view.config.sources.get(name)) {
            return Ok(Some(events::page(view, desk, config, text).await));
        }
        return Ok(Some(source::page(view, ledger, &name, &query).await));
    }
    if let Some(name) = named("/api/v1/sources/") {
        return api::source(view, ledger, &name).await.map(Some);
    }
    Ok(None)
}
