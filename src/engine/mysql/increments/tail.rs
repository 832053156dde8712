//! Looks how far the server's log is, over one connection that stays open.

use std::time::Duration;

use super::log;
use crate::domain::chain::Place;
use crate::engine::Tail;
use crate::engine::mysql::account::Account;
use crate::engine::mysql::connection::Session;
use crate::error::Result;

/// A server that takes longer for so little hangs.
const LONGEST_ANSWER: Duration = Duration::from_secs(20);

/// A connection that is asked again and again.
struct Connected(Session);

/// Connect to the server.
pub(in crate::engine::mysql) fn tail(account: Account) -> Result<Box<dyn Tail>> {
    Ok(Box::new(Connected(Session::open(&account.answers_within(LONGEST_ANSWER))?)))
}

impl Tail for Connected {
    fn end(&mut self) -> Result<Option<Place>> {
        Ok(log::end(&mut self.0)?.map(|(file, offset, _)| Place { file, offset }))
    }
}
