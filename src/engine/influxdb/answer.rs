//! What a server answers, and how names and texts are written in questions.

use serde::Deserialize;
use serde_json::Value;

/// Answer to one statement.
#[derive(Debug, Deserialize)]
pub struct Answer {
    #[serde(default)]
    results: Vec<Statement>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Statement {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
    #[serde(default)]
    partial: bool,
}

/// Rows of one measurement (or of one kind of thing).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Series {
    /// Name; empty for lists of the whole server.
    #[serde(default)]
    pub name: String,
    /// Column names.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Rows.
    #[serde(default)]
    pub values: Vec<Vec<Value>>,
    /// Whether rows are missing.
    #[serde(default)]
    partial: bool,
}

impl Answer {
    /// The rows; the server's own words where it has none. A part of an answer is no answer.
    pub fn into_series(self) -> Result<Vec<Series>, String> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut all = Vec::new();
        for statement in self.results {
            if let Some(error) = statement.error {
                return Err(error);
            }
            if statement.partial || statement.series.iter().any(|series| series.partial) {
                return Err("the server cut the answer short (max-row-limit)".to_owned());
            }
            all.extend(statement.series);
        }
        Ok(all)
    }
}

impl Series {
    /// Values of the named columns as text, row by row; a column that is not there is empty.
    pub fn texts<const N: usize>(&self, names: [&str; N]) -> Vec<[String; N]> {
        let at = names.map(|name| self.columns.iter().position(|column| column == name));
        let cell = |row: &Vec<Value>, at: Option<usize>| at.and_then(|at| row.get(at)).map(text).unwrap_or_default();
        self.values.iter().map(|row| at.map(|at| cell(row, at))).collect()
    }
}

/// A value as text: strings without their quotes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A name in a question.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A text in a question.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}

/// A qualified name as people write it: parts with other than word characters in double quotes.
pub fn qualified(parts: &[&str]) -> String {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let shown = parts.iter().map(|part| if plain(part) { (*part).to_owned() } else { quoted(part) });
    shown.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_or_a_cut_answer_is_never_taken_for_an_answer() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).unwrap().into_series();
        assert_eq!(read(r#"{"error":"no"}"#), Err("no".to_owned()));
        assert_eq!(read(r#"{"results":[{"error":"shard is disabled"}]}"#), Err("shard is disabled".to_owned()));
        assert!(read(r#"{"results":[{"series":[{"name":"m","columns":[],"values":[],"partial":true}]}]}"#).is_err());
        assert_eq!(read(r#"{"results":[{"statement_id":0}]}"#), Ok(Vec::new()));
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(literal("it's \\"), r"'it\'s \\'");
        assert_eq!(qualified(&["telegraf", "autogen", "win cpu"]), "telegraf.autogen.\"win cpu\"");
    }
}
