//! Where the body of a program ends. Client programs send everything between two delimiters as one piece, and a server runs
//! each statement of such a piece: what follows the end of a body would run when the dump is loaded.
//!
//! Only words at the beginning of a statement open and close blocks: `begin` and `end` may be names of columns elsewhere.

mod heads;
mod parser;
mod reader;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
mod tokens;

use self::parser::{Parser, Stop};
use self::reader::Reader;
use super::lexer::Client;
use super::sql::Quoting;
use super::vocabulary;

/// Whether every server that `client` sends the program `sql` to reads one statement, and nothing behind it. What is no
/// program is not looked at here.
pub fn is_one_statement(sql: &str, quoting: Quoting, client: Client) -> bool {
    let Some(kind) = vocabulary::program(sql) else { return true };
    let Some(readers) = Reader::all_of(sql, client) else { return false };
    let mut is_read = false;
    for reader in readers {
        match Parser::new(tokens::read(sql, quoting, reader)).program(&kind) {
            Ok(()) => is_read = true,
            // That server refuses the text, and runs nothing of it.
            Err(Stop::Refused) => {}
            Err(Stop::Malformed) => return false,
        }
    }
    is_read
}
