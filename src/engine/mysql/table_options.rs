//! The options of a table, as definitions print them.

use super::names::Token;

/// What stands behind the keyword at `at`, with or without `=`.
pub fn text_after(tokens: &[Token], at: usize) -> Option<String> {
    let next = if tokens.get(at + 1) == Some(&Token::Mark('=')) { at + 2 } else { at + 1 };
    match tokens.get(next)? {
        Token::Word(text) | Token::Quoted(text) => Some(text.clone()),
        Token::Mark(_) => None,
    }
}

/// The value of an option that is printed as a bare word.
pub fn value(tokens: &[Token], name: &str) -> Option<String> {
    let at = tokens.iter().position(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(name)))?;
    text_after(tokens, at)
}

/// The value of an option that is printed in backticks: a column of that name is not followed by `=`.
pub fn option(tokens: &[Token], name: &str) -> Option<String> {
    let named = |token: &Token| matches!(token, Token::Quoted(word) if word.eq_ignore_ascii_case(name));
    let at = (0..tokens.len()).find(|at| named(&tokens[*at]) && tokens.get(at + 1) == Some(&Token::Mark('=')))?;
    text_after(tokens, at)
}
