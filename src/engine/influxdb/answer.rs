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

/// Why there are no rows.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server's own words.
    Said(String),
    /// Rows are missing at the end: the server has a limit for answers in one piece (`max-row-limit`).
    CutShort,
}

/// The rows of an answer that came in one piece or, where that was asked for, in several. A part of an answer is no answer.
pub fn rows(pieces: Vec<Answer>) -> Result<Vec<Series>, Refusal> {
    let mut all: Vec<Series> = Vec::new();
    let (mut is_cut, mut goes_on) = (false, false);
    for piece in pieces {
        if let Some(error) = piece.error {
            return Err(Refusal::Said(error));
        }
        for statement in piece.results {
            if let Some(error) = statement.error {
                return Err(Refusal::Said(error));
            }
            is_cut = statement.partial;
            for series in statement.series {
                let is_more = std::mem::replace(&mut goes_on, series.partial);
                match all.last_mut() {
                    Some(last) if is_more && last.name == series.name => last.values.extend(series.values),
                    _ => all.push(series),
                }
            }
        }
    }
    if is_cut || goes_on { Err(Refusal::CutShort) } else { Ok(all) }
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
        let read = |text: &str| rows(vec![serde_json::from_str::<Answer>(text).unwrap()]);
        let said = |text: &str| Err(Refusal::Said(text.to_owned()));
        assert_eq!(read(r#"{"error":"no"}"#), said("no"));
        assert_eq!(read(r#"{"results":[{"error":"shard is disabled"}]}"#), said("shard is disabled"));
        assert_eq!(read(r#"{"results":[{"series":[{"name":"m"}],"partial":true}]}"#), Err(Refusal::CutShort));
        assert!(read(r#"{"results":[{"series":[{"name":"m","columns":[],"values":[],"partial":true}]}]}"#).is_err());
        assert_eq!(read(r#"{"results":[{"statement_id":0}]}"#), Ok(Vec::new()));
    }

    #[test]
    fn an_answer_in_pieces_is_put_together_and_must_have_its_last_one() {
        let piece = |name: &str, value: u8, partial: bool, more: bool| {
            let text = format!(
                r#"{{"results":[{{"series":[{{"name":"{name}","columns":["v"],"values":[[{value}]],"partial":{partial}}}],"partial":{more}}}]}}"#
            );
            serde_json::from_str::<Answer>(&text).unwrap()
        };
        let whole =
            rows(vec![piece("a", 1, true, true), piece("a", 2, false, true), piece("b", 3, false, false)]).unwrap();
        let values = |series: &Series| (series.name.clone(), series.values.len());
        assert_eq!(whole.iter().map(values).collect::<Vec<_>>(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(rows(vec![piece("a", 1, false, true)]), Err(Refusal::CutShort));
        assert_eq!(rows(vec![piece("a", 1, true, false)]), Err(Refusal::CutShort));
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(literal("it's \\"), r"'it\'s \\'");
        assert_eq!(qualified(&["telegraf", "autogen", "win cpu"]), "telegraf.autogen.\"win cpu\"");
    }
}
