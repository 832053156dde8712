//! Rows of many transactions, sent at once and committed together: neither a round trip nor a write to disk for each.
//!
//! What is restored is only of use when all of it is there, so where it is committed on the way makes no difference. All of them are
//! one `BINLOG`: MariaDB does not tell after it that further results follow, so it cannot be one of several statements in a packet.

use std::mem::take;

/// As much text is sent at once: less than the smallest packet that servers are set to take.
const FULL: usize = 512 * 1024;

/// Events that are still to be sent, in the letters of base64.
#[derive(Debug, Default)]
pub struct Batch {
    /// Those of transactions that have ended.
    ended: String,
    /// Those of the one at hand; none between transactions.
    open: Option<String>,
    /// Its beginning is at the server already.
    is_begun: bool,
    /// How many they are.
    events: u64,
    /// Each transaction is committed by itself.
    pub is_apart: bool,
}

impl Batch {
    /// An empty one.
    pub fn new(is_apart: bool) -> Self {
        Self { is_apart, ..Self::default() }
    }

    /// Whether it stands inside of a transaction.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A transaction begins.
    pub fn begin(&mut self) {
        self.open = Some(String::new());
    }

    /// One began at the server by a statement of its own. Everything was sent before.
    pub fn begun(&mut self) {
        (self.open, self.is_begun) = (Some(String::new()), true);
    }

    /// It ended there likewise.
    pub fn has_ended(&mut self) {
        (self.open, self.is_begun) = (None, false);
    }

    /// Events that change rows, with the tables that they are of. The statements that are to be run now.
    #[must_use]
    pub fn rows(&mut self, lines: &str, events: u64) -> Vec<String> {
        self.open.as_mut().unwrap_or(&mut self.ended).push_str(lines);
        self.events += events;
        self.when_full()
    }

    /// The transaction is committed.
    #[must_use]
    pub fn commit(&mut self) -> Vec<String> {
        if self.is_begun {
            return self.end("COMMIT");
        }
        self.ended += &self.open.take().unwrap_or_default();
        if self.is_apart { self.everything() } else { self.when_full() }
    }

    /// The transaction is rolled back: what stays of it are tables that know no transactions.
    #[must_use]
    pub fn roll_back(&mut self) -> Vec<String> {
        let mut statements = self.everything();
        statements.extend(self.end("ROLLBACK"));
        statements
    }

    /// All that there is, before something else is done in the same transaction or between transactions.
    #[must_use]
    pub fn everything(&mut self) -> Vec<String> {
        let mut statements = Vec::new();
        if !self.ended.is_empty() {
            statements.extend(["BEGIN".to_owned(), binlog(&take(&mut self.ended)), "COMMIT".to_owned()]);
        }
        if let Some(open) = &mut self.open {
            if !std::mem::replace(&mut self.is_begun, true) {
                statements.push("BEGIN".to_owned());
            }
            if !open.is_empty() {
                statements.push(binlog(&take(open)));
            }
        }
        statements
    }

    /// How many events were in what was sent.
    pub fn take_events(&mut self) -> u64 {
        take(&mut self.events)
    }

    fn when_full(&mut self) -> Vec<String> {
        let length = self.ended.len() + self.open.as_ref().map_or(0, String::len);
        if length >= FULL { self.everything() } else { Vec::new() }
    }

    fn end(&mut self, word: &str) -> Vec<String> {
        let open = self.open.take().filter(|open| !open.is_empty());
        self.is_begun = false;
        open.as_deref().map(binlog).into_iter().chain([word.to_owned()]).collect()
    }
}

/// The statement that has a server do what events say.
pub fn binlog(lines: &str) -> String {
    format!("BINLOG '\n{lines}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On one line.
    fn said(statements: &[String]) -> String {
        statements.join(";").replace("BINLOG '\n", "<").replace('\'', ">")
    }

    fn with(lines: &str) -> Batch {
        let mut batch = Batch::new(false);
        batch.begin();
        assert!(batch.rows(lines, 1).is_empty() && batch.commit().is_empty());
        batch
    }

    #[test]
    fn transactions_are_sent_together_and_keep_their_order() {
        let mut batch = Batch::new(false);
        for rows in ["one,", "two,"] {
            batch.begin();
            assert!(batch.is_open());
            assert!(batch.rows(rows, 2).is_empty() && batch.commit().is_empty());
            assert!(!batch.is_open());
        }
        assert!(batch.rows("three", 1).is_empty(), "a statement outside of a transaction");
        assert_eq!(said(&batch.everything()), "BEGIN;<one,two,three>;COMMIT");
        assert_eq!((batch.take_events(), batch.take_events()), (5, 0));
        assert_eq!(said(&batch.everything()), "");
    }

    #[test]
    fn before_a_statement_inside_of_a_transaction_the_others_are_committed() {
        let mut batch = with("before");
        batch.begin();
        assert!(batch.rows("within", 1).is_empty());
        assert_eq!(said(&batch.everything()), "BEGIN;<before>;COMMIT;BEGIN;<within>");
        assert_eq!((said(&batch.everything()), batch.is_open()), (String::new(), true));
        assert!(batch.rows("more", 1).is_empty());
        assert_eq!(said(&batch.commit()), "<more>;COMMIT");
        assert_eq!((said(&batch.everything()), batch.is_open()), (String::new(), false));
        // One without rows begins at the server when a statement of it comes.
        batch.begin();
        assert_eq!(said(&batch.everything()), "BEGIN");
        assert_eq!(said(&batch.commit()), "COMMIT");
        batch.begin();
        assert!(batch.commit().is_empty() && batch.everything().is_empty(), "nothing of it is wanted");
    }

    #[test]
    fn what_is_rolled_back_takes_nothing_else_with_it() {
        let mut batch = with("before");
        batch.begin();
        assert!(batch.rows("gone", 1).is_empty());
        assert_eq!(said(&batch.roll_back()), "BEGIN;<before>;COMMIT;BEGIN;<gone>;ROLLBACK");
        assert_eq!((said(&batch.everything()), batch.is_open()), (String::new(), false));
    }

    #[test]
    fn a_transaction_that_began_by_itself_is_gone_on_with() {
        let mut batch = Batch::new(false);
        batch.begun();
        assert!(batch.is_open() && batch.rows("xa", 1).is_empty());
        assert_eq!(said(&batch.everything()), "<xa>");
        batch.has_ended();
        assert_eq!((said(&batch.everything()), batch.is_open()), (String::new(), false));
    }

    #[test]
    fn apart_each_transaction_is_committed_by_itself() {
        let mut batch = Batch::new(true);
        for rows in ["one", "two"] {
            batch.begin();
            assert!(batch.rows(rows, 1).is_empty());
            assert_eq!(said(&batch.commit()), format!("BEGIN;<{rows}>;COMMIT"));
        }
        batch.begin();
        assert!(batch.commit().is_empty());
    }

    #[test]
    fn no_more_is_held_back_than_a_packet_takes() {
        let half = "x".repeat(FULL / 2);
        let mut batch = with(&half);
        batch.begin();
        let sent = said(&batch.rows(&half, 1));
        assert!(sent.starts_with("BEGIN;<x") && sent.contains("x>;COMMIT;BEGIN;<x"), "{}", sent.len());
        assert_eq!(said(&batch.commit()), "COMMIT");
        let mut batch = with(&half[1..]);
        batch.begin();
        assert!(batch.rows(&half, 1).is_empty() && batch.commit().is_empty());
        batch.begin();
        assert!(!batch.rows("x", 1).is_empty());
        let mut batch = with(&half);
        batch.begin();
        assert!(batch.rows(&half[1..], 1).is_empty());
        assert!(batch.commit().is_empty() && !batch.rows("x", 1).is_empty());
    }
}
