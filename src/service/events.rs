//! Looks for transactions that the pages ask for.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::domain::logged::LoggedTransaction;
use crate::error::Result;
use crate::exporter::events::{Asked, Found, Look, MOST, Nearest};
use crate::operations::events::{Before, Sought, events_read_only};
use crate::run_context::{Cancel, RunContext};
use crate::scheduler::AppWork;

/// Looks with the configuration that is in use.
pub(super) struct Looking(pub(super) Arc<AppWork>);

impl Look for Looking {
    fn look(&self, asked: &Asked, cancel: &Cancel) -> Result<Found> {
        let app = self.0.app();
        let source = app.source(&asked.source)?;
        let table = asked.table.as_deref().map(|table| source.engine.table_name(table)).transpose()?;
        let sought = Sought { around: asked.around, within: asked.within, table, kinds: asked.kinds.clone() };
        let mut nearest = Nearest::new(asked.around, MOST);
        let mut seen = |transaction: LoggedTransaction, before: Before| {
            let is_wanted = nearest.wants(transaction.time);
            let arguments = before.arguments().into_iter().map(str::to_owned).collect();
            nearest.push((transaction, arguments));
            Ok(if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        let context = RunContext { cancel: cancel.clone(), ..RunContext::silent() };
        let uncovered = events_read_only(&app, &source, &sought, &mut seen, &context)?;
        Ok(Found { uncovered, ..nearest.found() })
    }
}
