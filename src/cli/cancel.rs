//! `backup-sla cancel SOURCE… [--backup | --drill]`

use clap::Args;

use super::output;
use super::session::{Session, for_each};
use crate::error::Result;
use crate::ledger::{Operation, Outcome};
use crate::operations::cancel::cancel;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Sources whose running operations are cancelled
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// Only its backup
    #[arg(long, conflicts_with = "drill")]
    backup: bool,
    /// Only its drill
    #[arg(long)]
    drill: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    let operation = match (arguments.backup, arguments.drill) {
        (true, _) => Some(Operation::Backup),
        (_, true) => Some(Operation::Drill),
        _ => None,
    };
    Ok(for_each(session, &names, |name| {
        let source = app.source(name)?;
        for cancelled in cancel(&app, &source, operation, &session.context)? {
            if session.json {
                output::json(&cancelled)?;
            } else if !session.quiet {
                let how = cancelled.outcome.map_or("ended", Outcome::name);
                output::line(&format!("{name}: {} {how}", cancelled.operation))?;
            }
        }
        Ok(0)
    }))
}
