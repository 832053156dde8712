//! An answer of the pages: what it says, and what a browser may do with it.

use bytes::Bytes;
use maud::Markup;
use serde::Serialize;

use super::layout;
use crate::error::{OrFailed, Result};
use crate::foreign;

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
pub(super) const CLOSED: &str = "default-src 'none'; frame-ancestors 'none'";

impl Page {
    pub(super) fn html(status: u16, markup: Markup) -> Self {
        let body = foreign::html(markup.into_string()).into();
        Self::new(status, "text/html; charset=utf-8", layout::content_security_policy(), body)
    }

    pub(super) fn json(status: u16, document: &impl Serialize) -> Result<Self> {
        let mut body = serde_json::to_vec(document).or_failed("cannot write JSON")?;
        body.push(b'\n');
        Ok(Self::new(status, "application/json", CLOSED.to_owned(), body.into()))
    }

    pub(super) fn new(status: u16, content_type: &'static str, policy: String, body: Bytes) -> Self {
        let headers = vec![
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff".to_owned()),
            ("x-frame-options", "DENY".to_owned()),
            ("referrer-policy", "no-referrer".to_owned()),
        ];
        Self { status, content_type, headers, body }
    }
}
