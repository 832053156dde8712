//! Progress bars on a terminal; nothing without one.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::run_context::{Observer, Silent};

const KNOWN: &str = "{msg:7} {bar:30} {bytes:>11} of about {total_bytes} {bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{msg:7} {spinner} {bytes:>11} {bytes_per_sec}";

/// Bars if standard error is a terminal.
pub fn for_terminal() -> Arc<dyn Observer> {
    if std::io::stderr().is_terminal() { Arc::new(Bars(Mutex::new(None))) } else { Arc::new(Silent) }
}

struct Bars(Mutex<Option<ProgressBar>>);

impl Observer for Bars {
    fn phase(&self, name: &str, total: Option<u64>) {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style(KNOWN)),
            None => ProgressBar::new_spinner().with_style(style(UNKNOWN)),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        let old = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(bar.with_message(name.to_owned()));
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(bytes);
            // The total is an estimate: a bar beyond its end would be wrong.
            if bar.length().is_some_and(|length| bar.position() > length) {
                bar.set_length(bar.position());
            }
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
