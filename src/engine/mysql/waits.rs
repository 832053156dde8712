//! How long a session waits for the server, and what ends the waiting.

use std::fmt;
use std::time::Duration;

use crate::display;
use crate::run_context::Cancel;

/// Longest that one answer may take, unless said otherwise: what is asked are lists, and statements that change one thing.
const LONGEST: Duration = Duration::from_mins(10);

/// What ends a wait for an answer.
#[derive(Debug, Clone)]
pub struct Waits {
    /// Somebody asks for it.
    pub cancel: Cancel,
    /// It took longer than this.
    pub longest: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { cancel: Cancel::default(), longest: LONGEST }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// A stop was asked for.
    Cancelled,
    /// The time was up.
    TooLong,
}

/// A question that was not answered in time, as the cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered {
    /// The time it had.
    pub limit: Duration,
    /// Whether the server still answers others: then it is the question that takes too long.
    pub is_alive: bool,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {}", display::limit(self.limit))
    }
}

impl std::error::Error for Unanswered {}

impl Waits {
    /// Wait for `answer`, and no longer than is right.
    pub async fn on<T>(&self, answer: impl Future<Output = T>) -> Result<T, GivenUp> {
        tokio::select! {
            biased;
            answer = answer => Ok(answer),
            () = self.cancel.asked() => Err(GivenUp::Cancelled),
            () = tokio::time::sleep(self.longest) => Err(GivenUp::TooLong),
        }
    }
}
