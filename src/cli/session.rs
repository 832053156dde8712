//! What every command gets, and how one works on several sources.

use std::path::PathBuf;

use tokio::runtime::Handle;

use super::output;
use crate::app::{App, KINDS};
use crate::clock::SystemClock;
use crate::config;
use crate::error::{Error, Result};
use crate::run_context::RunContext;

/// What every command gets.
pub(super) struct Session<'a> {
    pub(super) config: Option<PathBuf>,
    pub(super) json: bool,
    /// Nothing is said of what went well.
    pub(super) quiet: bool,
    pub(super) runtime: &'a Handle,
    pub(super) context: RunContext,
}

impl Session<'_> {
    /// Read the configuration and open the state directory.
    pub(super) fn app(&self) -> Result<App> {
        let file = config::find(self.config.as_deref());
        App::open_until(config::load(&file, KINDS)?, SystemClock::shared(), self.runtime.clone(), &self.context.cancel)
    }
}

/// Run `work` for every name; an error is reported and the others still run. The worst exit status counts.
pub(super) fn for_each(session: &Session<'_>, names: &[String], mut work: impl FnMut(&str) -> Result<u8>) -> u8 {
    let mut worst = 0;
    for name in names {
        if session.context.cancel.is_cancelled() {
            output::error(&Error::cancelled().context(format!("{name}: not begun")));
            return worse(worst, 1);
        }
        let code = work(name).unwrap_or_else(|error| {
            output::error(&error);
            error.exit_code()
        });
        worst = worse(worst, code);
    }
    worst
}

/// Of two exit statuses the worse: a failed verdict over a failed operation over an inconclusive one over usage.
pub(super) fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| [0, 2, 4, 1, 3].iter().position(|known| *known == code).unwrap_or(5);
    if rank(a) >= rank(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_several_sources_the_worst_status_counts() {
        assert_eq!([0, 4, 1, 0].into_iter().fold(0, worse), 1);
        assert_eq!([3, 1, 4].into_iter().fold(0, worse), 3);
        assert_eq!([4, 0].into_iter().fold(0, worse), 4);
    }
}
