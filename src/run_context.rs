//! What a running operation carries: a way to be stopped and a way to say how far it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::display;
use crate::error::{Error, Result};
use crate::process::{Killer, watch_for_stops};

/// How soon what waits in async code notices that a stop was asked for.
const NOTICE: Duration = Duration::from_millis(100);

/// Shared flag that asks an operation to end soon, by error, through its normal clean-up.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: AtomicBool,
    /// Set where it was time that ran out.
    limit: OnceLock<Duration>,
    children: Mutex<Vec<Killer>>,
}

impl Cancel {
    /// Ask everything that carries this flag to stop; children that are being waited for are killed.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.children().drain(..).for_each(|killer| killer.kill());
    }
    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
    /// The same because the operation took longer than `limit`: it has failed.
    pub fn time_out(&self, limit: Duration) {
        let _ = self.0.limit.set(limit);
        self.cancel();
    }
    /// What the operation ends with once a stop was asked for.
    pub fn error(&self) -> Error {
        match self.0.limit.get() {
            None => Error::cancelled(),
            Some(limit) => Error::failed(format!("it took longer than {}", display::limit(*limit))).hint(
                "find out what it waited for; the limits are `backup_timeout` and `drill_timeout` of the schedule",
            ),
        }
    }
    /// [`Cancel::error`] once a stop was asked for.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(self.error()) } else { Ok(()) }
    }
    /// Ends once a stop was asked for.
    pub async fn asked(&self) {
        while !self.is_cancelled() {
            tokio::time::sleep(NOTICE).await;
        }
    }
    /// Kill this child when a stop is asked for, or when somebody stops it: a thread may be blocked on it.
    pub fn takes_down(&self, child: Killer) {
        watch_for_stops(child.clone());
        let mut children = self.children();
        if self.is_cancelled() { child.kill() } else { children.push(child) }
    }
    fn children(&self) -> MutexGuard<'_, Vec<Killer>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives progress; drawn as bars on a terminal, ignored otherwise. Called often: must be cheap.
pub trait Observer: Send + Sync {
    /// A new phase (`backup`, `load`, `verify`) begins; `total` is in bytes where it is known.
    fn phase(&self, name: &str, total: Option<u64>);
    /// `bytes` more were done in the current phase.
    fn advance(&self, bytes: u64);
    /// The current phase ended.
    fn finish(&self);
}

/// Observer that shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn phase(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn finish(&self) {}
}

/// Cancellation and progress of one run.
#[derive(Clone)]
pub struct RunContext {
    /// Asked to stop?
    pub cancel: Cancel,
    /// Who is told how far we are.
    pub progress: Arc<dyn Observer>,
}

impl RunContext {
    /// A run that nobody watches.
    pub fn silent() -> Self {
        Self { cancel: Cancel::default(), progress: Arc::new(Silent) }
    }
}
