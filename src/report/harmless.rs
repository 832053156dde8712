//! Text of others in a report that is written in Markdown.

use crate::foreign::is_obeyed;

/// Text of others, on one line and without meaning to Markdown or HTML.
pub(super) fn text(said: &str) -> String {
    let mut out = String::new();
    for c in said.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_whitespace() || is_obeyed(c) => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
