//! Sources that are no longer configured: what the ledger knows of them, and what their repository still has.

use std::collections::BTreeMap;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ledger::SourceFigures;

/// Names that a command is to work on.
pub struct Names {
    /// Of the configuration.
    pub configured: Vec<String>,
    /// Known to the ledger alone, with what it knows.
    pub retired: BTreeMap<String, SourceFigures>,
}

/// All sources, or those named: retired ones are known, too.
pub fn names(app: &App, wanted: &[String]) -> Result<Names> {
    let mut retired = app.block_on(app.ledger.snapshot())?.sources;
    retired.retain(|name, _| !app.config.sources.contains_key(name));
    let named: Vec<String> = wanted.iter().filter(|name| !retired.contains_key(*name)).cloned().collect();
    let only_retired =
        if wanted.is_empty() { app.config.sources.is_empty() && !retired.is_empty() } else { named.is_empty() };
    let configured = if only_retired { Vec::new() } else { app.names(&named)? };
    retired.retain(|name, _| wanted.is_empty() || wanted.contains(name));
    Ok(Names { configured, retired })
}

/// That the repository of a retired source is not configured any more.
pub fn without_repository(name: &str, figures: &SourceFigures) -> Error {
    Error::configuration(format!(
        "cannot list recovery points of {name}: it is retired, and its repository {} is not configured",
        figures.repository
    ))
    .hint("put the repository back into the configuration")
}
