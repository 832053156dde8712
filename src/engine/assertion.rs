//! The operator's own questions about restored data: `[[source.NAME.verify.assertions]]`.

/// One question with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Name in reports.
    pub name: String,
    /// The question.
    pub question: Question,
}

/// What an assertion asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A query in the language of the engine, whose first value must be true.
    Query(String),
    /// A command that must exit 0, run inside the restored data.
    Command(Vec<String>),
}

/// How assertions of one kind of source are written.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The key of the question: `sql`.
    pub key: &'static str,
    /// A value of that key, as TOML.
    pub example: &'static str,
    /// What the value is.
    pub sort: Sort,
}

/// What the value of a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A string: [`Question::Query`].
    Query,
    /// An array of strings, a program and its arguments: [`Question::Command`].
    Command,
}
