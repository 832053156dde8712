//! The frame of every page: head, header, footer, the one style sheet and the one script.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::display::rfc3339;
use crate::state::View;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Seconds after which a browser without JavaScript asks for the page again while something runs.
const REFRESH_SECONDS: u32 = 10;

/// What browsers may do with a page: apply our style sheet, run our script, ask us; nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
});

/// The value of `content-security-policy`.
pub(super) fn content_security_policy() -> String {
    POLICY.clone()
}

/// What differs between pages.
pub(super) struct Frame<'a> {
    /// Title of the window, and of what is read aloud first.
    pub title: &'a str,
    /// The way to the root: empty, or `../`.
    pub base: &'a str,
    /// Only what runs on this source concerns the page.
    pub source: Option<&'a str>,
    /// Whether something that is shown runs now.
    pub is_running: bool,
}

/// A page.
pub(super) fn page(view: &View, frame: &Frame<'_>, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · backup-sla" }
                link rel="icon" href={ (frame.base) "favicon.svg" } type="image/svg+xml";
                style { (PreEscaped(STYLE)) }
                @if frame.is_running { noscript { meta http-equiv="refresh" content=(REFRESH_SECONDS); } }
            }
            body data-api={ (frame.base) "api/v1/status?running=true" } data-source=[frame.source] {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href=(root(frame.base)) { "backup-sla" }
                    nav aria-label="Pages" {
                        a href=(root(frame.base)) { "Sources" }
                        a href={ (frame.base) "api/v1/status" } { "JSON" }
                        a href={ (frame.base) "metrics" } { "Metrics" }
                    }
                    p.updated {
                        "Updated " time #updated datetime=(rfc3339(view.now)) { (rfc3339(view.now)) }
                        span #live {}
                    }
                }
                p #news role="status" hidden {}
                main #main tabindex="-1" { (main) }
                footer { p { "backup-sla " (view.service.version) ". Times are UTC"
                    @if view.config.timezone != chrono_tz::Tz::UTC { ", beside them and in plots those of " (view.config.timezone.name()) }
                    "." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// An address that is never empty: an empty one would keep the query.
fn root(base: &str) -> &str {
    if base.is_empty() { "./" } else { base }
}
