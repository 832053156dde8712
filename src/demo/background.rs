//! Something that goes on beside the demo until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{OrFailed, Result};

/// How soon a stop is noticed.
const POLL: Duration = Duration::from_millis(50);

/// Stops when dropped.
pub struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Do `work`, numbered from 0, with a pause after each, until it says that there is no more.
    pub fn every(pause: Duration, name: &str, mut work: impl FnMut(u64) -> bool + Send + 'static) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let run = move || {
            let mut at = 0;
            while !asked.load(Ordering::SeqCst) && work(at) {
                at += 1;
                let mut left = pause;
                while !left.is_zero() && !asked.load(Ordering::SeqCst) {
                    let nap = left.min(POLL);
                    std::thread::sleep(nap);
                    left -= nap;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        Ok(Self { stop, thread: Some(thread.or_failed(format!("cannot start the demo's {name}"))?) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
