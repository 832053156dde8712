//! Where the body of a program ends. Client programs send everything between two delimiters as one piece, and a server runs
//! each statement of such a piece: what follows the end of a body would run when the dump is loaded.
//!
//! Only words at the beginning of a statement open and close blocks: `begin` and `end` may be names of columns elsewhere.

mod heads;
mod parser;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod tests;
mod tokens;

use self::parser::{Parser, Stop};
use super::comments::{READ_BY_ALL, Versioned};
use super::lexer::Client;
use super::sql::Quoting;
use super::vocabulary;

/// More versions in the comments of one program than this are none of a person's.
const MOST_VERSIONS: usize = 8;

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

/// A server, as far as it matters what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reader {
    is_mariadb: bool,
    version: u32,
}

impl Reader {
    /// One of each sort of server that reads `sql` in a way of its own; none where these are too many.
    fn all_of(sql: &str, client: Client) -> Option<Vec<Self>> {
        let is_mariadb = client == Client::MariaDb;
        let newest = Self { is_mariadb, version: u32::MAX };
        let mut versions: Vec<u32> = Vec::new();
        for (at, _) in sql.match_indices("/*") {
            if let Some(begun) = Versioned::at(&sql[at..]).filter(|begun| begun.depends) {
                versions.push(begun.version);
            }
        }
        let has_dollars = sql.contains('$');
        if versions.is_empty() && !has_dollars {
            return Some(vec![newest]);
        }
        versions.push(READ_BY_ALL);
        versions.sort_unstable();
        versions.dedup();
        let products = [true, false]
            .into_iter()
            .flat_map(|is_mariadb| versions.iter().map(move |version| Self { is_mariadb, version: *version }));
        (versions.len() <= MOST_VERSIONS).then(|| products.collect())
    }

    /// Whether the text of a comment is text to it.
    fn reads(self, comment: &Versioned) -> bool {
        let is_foreign = comment.is_of_mariadb && !self.is_mariadb;
        // MariaDB skips what is for MySQL's versions since they went apart.
        let is_skipped = self.is_mariadb && !comment.is_of_mariadb && (50_700..=99_999).contains(&comment.version);
        !is_foreign && !is_skipped && comment.version <= self.version
    }
}
