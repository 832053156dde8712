//! `backup-sla metrics`: the exposition once.

use std::sync::Arc;

use super::Session;
use crate::error::{OrFailed, Result};
use crate::exporter::refresh::Exporter;
use crate::operations::observe::observe;

pub fn run(session: &Session<'_>) -> Result<u8> {
    use std::io::Write;
    let app = session.app()?;
    let exporter = Exporter::new(Arc::new(app.config.clone()), app.clock.clone());
    for name in app.config.sources.keys() {
        // A source that cannot be wired up is named by `check-config`.
        if let Ok(source) = app.source(name) {
            let observation = observe(&app, &source);
            exporter.update_service(|service| observation.note_in(service));
        }
    }
    app.block_on(exporter.refresh(&app.ledger))?;
    let text = exporter.render()?;
    std::io::stdout().write_all(text.as_bytes()).or_failed("write to standard output")?;
    Ok(0)
}
