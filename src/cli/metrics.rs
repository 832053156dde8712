//! `backup-sla metrics`: the exposition once.

use std::sync::Arc;

use super::session::Session;
use crate::error::{OrFailed, Result};
use crate::exporter::scrape::Exporter;
use crate::foreign;
use crate::operations::observe::observe_all;
use crate::state::State;

pub fn run(session: &Session<'_>) -> Result<u8> {
    use std::io::{IsTerminal, Write};
    let app = session.app()?;
    let state = State::new(Arc::new(app.config.clone()), app.clock.clone());
    let seen = observe_all(&app);
    state.update_service(|service| seen.show(service));
    app.block_on(state.refresh(&app.ledger))?;
    let text = Exporter::new(state).render()?;
    // Exact for whoever parses it.
    let text = if std::io::stdout().is_terminal() { foreign::lines(&text) } else { text.as_str().into() };
    std::io::stdout().write_all(text.as_bytes()).or_failed("cannot write to standard output")?;
    Ok(0)
}
