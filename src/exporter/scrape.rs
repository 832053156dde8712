//! What a scrape is answered with.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::MissedTickBehavior;

use super::collector::collect;
use super::exposition::{Exposition, Format};
use super::rendering::{self, Form, Renderings};
use crate::error::Result;
use crate::state::State;
use crate::state::process_facts::ProcessFacts;

/// Writes what is known as metrics. Shared between the service and the web server.
pub struct Exporter {
    state: Arc<State>,
    renderings: Renderings,
}

impl Exporter {
    /// One that shows `state`.
    pub fn new(state: Arc<State>) -> Arc<Self> {
        Arc::new(Self { state, renderings: Renderings::default() })
    }

    /// What it shows.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The exposition in text format 0.0.4. Errors: the ledger was never read.
    pub fn render(&self) -> Result<String> {
        let mut view = self.state.view()?;
        view.service.process = ProcessFacts::read();
        Ok(collect(&view, Exposition::new(Format::Text)).encode())
    }

    /// The exposition as a client wants it, in parts. Takes a while if the ledger has just changed and
    /// [`Exporter::keep_rendered`] does not run: not for threads that drive connections.
    ///
    /// Errors: the ledger was never read.
    pub fn scrape(&self, form: Form) -> Result<Vec<Bytes>> {
        let (mut view, edition) = self.state.edition()?;
        view.service.process = ProcessFacts::read();
        Ok(self.renderings.serve(form, &view, &edition, self.state.clock().monotonic()))
    }

    /// Keep what was asked for lately ready for the next scrape, for as long as it is polled.
    pub async fn keep_rendered(self: Arc<Self>) {
        // News come more often than this: what waited for a time without any would wait for ever.
        let mut ticks = tokio::time::interval(rendering::INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                () = self.state.news() => false,
                _ = ticks.tick() => true,
            };
            let exporter = self.clone();
            // If it panics the next scrape does, too, and says so.
            let _ = tokio::task::spawn_blocking(move || exporter.follow(is_due)).await;
        }
    }

    fn follow(&self, is_due: bool) {
        let now = self.state.clock().monotonic();
        if !self.renderings.forget_unused(now) {
            return;
        }
        let Ok((view, edition)) = self.state.edition() else { return };
        if is_due || self.renderings.are_behind(&edition) {
            self.renderings.follow(&view, &edition, now);
        }
    }
}
