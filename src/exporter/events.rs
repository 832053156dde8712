//! Looks for transactions, for the pages: bounded, so that nobody can make the service work more than a little.
//!
//! One look at a time, within a time limit, and after each a rest as long as the look took. A look only reads.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, oneshot};

use crate::clock::{Clock, Stopwatch};
use crate::domain::logged::{ChangeKind, LoggedTransaction};
use crate::error::{Error, Kind, Result};
use crate::run_context::Cancel;

mod nearest;

pub use nearest::Nearest;

/// How long a look may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Most transactions that are shown.
pub const MOST: usize = 200;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Name of the source.
    pub source: String,
    /// Near this time.
    pub around: DateTime<Utc>,
    /// At most so far from it.
    pub within: Duration,
    /// Only what concerns this table.
    pub table: Option<String>,
    /// Only these kinds; empty means all.
    pub kinds: Vec<ChangeKind>,
}

/// A transaction, and the arguments of `restore` for the state just before it.
pub type FoundTransaction = (LoggedTransaction, Vec<String>);

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The nearest ones, in order.
    pub transactions: Vec<FoundTransaction>,
    /// Whether there are more before them.
    pub is_cut_before: bool,
    /// Whether there are more after them.
    pub is_cut_after: bool,
    /// What of the time nothing is known of, in words.
    pub uncovered: Option<String>,
}

/// Who looks. Blocks, writes nothing, and ends soon once it is cancelled.
pub trait Look: Send + Sync {
    /// At most [`MOST`] transactions, those [nearest](Nearest) to the time.
    fn look(&self, asked: &Asked, cancel: &Cancel) -> Result<Found>;
}

/// Where looks are asked for.
pub struct Desk {
    who: Arc<dyn Look>,
    turn: Arc<Semaphore>,
    /// Asked for when the service ends.
    stop: Cancel,
    clock: Arc<dyn Clock>,
    limit: Duration,
}

impl Desk {
    /// Looks are carried out by `who`, until `stop`.
    pub fn new(who: Arc<dyn Look>, stop: Cancel, clock: Arc<dyn Clock>) -> Self {
        Self { who, turn: Arc::new(Semaphore::new(1)), stop, clock, limit: LIMIT }
    }

    /// Look, if nobody else does.
    pub async fn look(&self, asked: Asked) -> Result<Found> {
        let Ok(turn) = self.turn.clone().try_acquire_owned() else {
            return Err(Error::new(
                Kind::Busy,
                "cannot look for transactions: another look is under way, or has just ended",
            )
            .hint("try again in some seconds, or use `backup-sla events`"));
        };
        let (tell, told) = oneshot::channel();
        let (who, stop, limit, watch) =
            (self.who.clone(), self.stop.clone(), self.limit, Stopwatch::start(&self.clock));
        // On its own: the turn is over when the look is, not when whoever asked goes away.
        tokio::spawn(async move {
            let cancel = Cancel::default();
            let flag = cancel.clone();
            let mut look = tokio::task::spawn_blocking(move || who.look(&asked, &flag));
            let found = tokio::select! {
                found = &mut look => Some(found),
                () = tokio::time::sleep(limit) => None,
                () = stop.asked() => None,
            };
            let is_over = found.is_some();
            let found = match found {
                Some(Ok(found)) => found,
                Some(Err(panic)) => Err(Error::failed("cannot look for transactions").because(panic)),
                None => Err(Error::failed(format!("cannot look for transactions within {} s", limit.as_secs()))
                    .hint("look at less time, or use `backup-sla events`, which has no limit")),
            };
            let _ = tell.send(found);
            if !is_over {
                cancel.cancel();
                let _ = look.await;
            }
            tokio::select! {
                () = tokio::time::sleep(watch.elapsed()) => {}
                () = stop.asked() => {}
            }
            drop(turn);
        });
        told.await.unwrap_or_else(|gone| Err(Error::failed("cannot look for transactions").because(gone)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::clock::SystemClock;

    fn asked() -> Asked {
        Asked {
            source: "shop".into(),
            around: DateTime::UNIX_EPOCH,
            within: Duration::from_mins(5),
            table: None,
            kinds: Vec::new(),
        }
    }

    /// Looks until it is told to stop looking, or cancelled.
    struct Slow {
        go_on: Mutex<mpsc::Receiver<()>>,
        looks: AtomicUsize,
    }

    impl Look for Slow {
        fn look(&self, _: &Asked, cancel: &Cancel) -> Result<Found> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            loop {
                cancel.check()?;
                if self.go_on.lock().unwrap().recv_timeout(Duration::from_millis(5)).is_ok() {
                    return Ok(Found::default());
                }
            }
        }
    }

    fn desk(limit: Duration) -> (Arc<Desk>, Arc<Slow>, mpsc::Sender<()>) {
        let (finish, go_on) = mpsc::channel();
        let slow = Arc::new(Slow { go_on: Mutex::new(go_on), looks: AtomicUsize::new(0) });
        let desk = Desk { limit, ..Desk::new(slow.clone(), Cancel::default(), SystemClock::shared()) };
        (Arc::new(desk), slow, finish)
    }

    #[tokio::test]
    async fn a_second_look_is_refused_while_one_is_under_way_even_if_nobody_waits_for_it_any_more() {
        let (desk, slow, finish) = desk(Duration::from_mins(1));
        let first = tokio::spawn({
            let desk = desk.clone();
            async move { desk.look(asked()).await }
        });
        while slow.looks.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        let error = desk.look(asked()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        finish.send(()).unwrap();
        // The rest is as long as the look was: short.
        let again = desk.turn.acquire().await;
        assert_eq!((again.is_ok(), slow.looks.load(Ordering::SeqCst)), (true, 1));
    }

    #[tokio::test]
    async fn a_look_that_takes_too_long_is_ended_and_told() {
        let (desk, slow, _finish) = desk(Duration::from_millis(20));
        let error = desk.look(asked()).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot look for transactions within"), "{error}");
        assert!(desk.turn.acquire().await.is_ok(), "it was cancelled");
        assert_eq!(slow.looks.load(Ordering::SeqCst), 1);
    }
}
