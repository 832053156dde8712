//! `backup-sla accept-change`: what was found suspect in the data of a source was meant.

use clap::Args;

use super::output;
use super::session::Session;
use crate::error::Result;
use crate::operations::change::accept_change;

/// Arguments of `accept-change`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Source of the configuration
    #[arg(value_name = "SOURCE")]
    source: String,
}

/// Accept, and say what was accepted.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let accepted = accept_change(&session.app()?, &arguments.source)?;
    if session.json {
        output::json(&accepted)?;
    } else if !session.quiet {
        let source = &accepted.source;
        match accepted.recovery_points.last() {
            Some(newest) => {
                output::line(&format!("{source}: accepted as meant: {}", accepted.reasons.join("; ")))?;
                output::line(&format!("{source}: from now on backups are compared with {newest}"))?;
            }
            None => output::line(&format!("{source}: nothing is suspect now"))?,
        }
    }
    Ok(0)
}
