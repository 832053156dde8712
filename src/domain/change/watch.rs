//! What the operator wants to be told of: `[source.NAME.watch]`.

use serde::Serialize;

/// From which share on a change is suspect. At half of it there is a warning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watch {
    /// Whether backups are compared at all.
    pub enabled: bool,
    /// Share of rows, of bytes or of tables that is gone: from 0 to 1.
    pub lost: f64,
    /// Share of content that was replaced by something that does not compress: from 0 to 1.
    pub replaced: f64,
    /// Tables that come and go as they like; `*` stands for any text.
    pub ignore: Vec<String>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { enabled: true, lost: 0.5, replaced: 0.5, ignore: Vec::new() }
    }
}

impl Watch {
    /// Whether `table` is not looked at.
    pub fn ignores(&self, table: &str) -> bool {
        self.ignore.iter().any(|pattern| matches(pattern, table))
    }
}

/// Whether `text` is what `pattern` says.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_text_and_nothing_else_is_special() {
        for (pattern, text) in
            [("a.log", "a.log"), ("a.log*", "a.log"), ("*", ""), ("*.log_*", "a.log_7"), ("a*b*c", "aXbXc")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a.log", "a.logs"),
            ("a.log", "b.a.log"),
            ("*.log_*", "a.log"),
            ("a*a", "a"),
            ("", "a"),
            ("a.*", "axb"),
            ("a*b*c", "acb"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
