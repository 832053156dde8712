//! Servers, told apart by which comments with a version are text to them.

use crate::engine::mysql::comments::{READ_BY_ALL, Versioned};
use crate::engine::mysql::lexer::Client;

/// More versions in the comments of one program than this are none of a person's.
const MOST_VERSIONS: usize = 8;

/// A server, as far as it matters what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Of MariaDB, else of MySQL.
    pub is_mariadb: bool,
    /// As comments with a version give it.
    version: u32,
}

impl Reader {
    /// One of each sort of server that reads `sql` in a way of its own; none where these are too many.
    pub fn all_of(sql: &str, client: Client) -> Option<Vec<Self>> {
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
    pub fn reads(self, comment: &Versioned) -> bool {
        let is_foreign = comment.is_of_mariadb && !self.is_mariadb;
        // MariaDB skips what is for MySQL's versions since they went apart.
        let is_skipped = self.is_mariadb && !comment.is_of_mariadb && (50_700..=99_999).contains(&comment.version);
        !is_foreign && !is_skipped && comment.version <= self.version
    }
}
