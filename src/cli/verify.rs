//! `backup-sla verify SOURCE --against DESTINATION`

use clap::Args;

use super::arguments::{HostArguments, PointArguments};
use super::destination::{self, CredentialArguments};
use super::session::Session;
use super::{drill, output};
use crate::domain::drill::Verdict;
use crate::error::Result;
use crate::operations::prove::Scope;
use crate::operations::verify::verify;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Source whose manifest is compared with
    source: String,
    #[arg(long, value_name = "DESTINATION", help = format!("What to compare: {}", destination::forms()))]
    against: String,
    #[command(flatten)]
    credentials: CredentialArguments,
    #[command(flatten)]
    point: PointArguments,
    #[command(flatten)]
    host: HostArguments,
    /// Accounts and grants too
    #[arg(long)]
    accounts: bool,
    /// Leave the configured assertions out
    #[arg(long)]
    no_assertions: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let credentials = arguments.credentials.read()?;
    let app = session.app()?;
    let source = app.source(&arguments.source)?;
    let against = source.kind.destination(&arguments.against, &credentials)?;
    let scope = Scope { accounts: arguments.accounts, assertions: !arguments.no_assertions, ..Scope::default() };
    let zone = app.config.timezone;
    let selection = arguments.point.selection(zone)?;
    let wanted = (&selection, arguments.host.host.as_deref());
    let report = verify(&app, &source, wanted, &against, &scope, &session.context)?;
    if session.json {
        output::json(&report)?;
    } else if !session.quiet || report.verdict != Verdict::Passed {
        drill::print(&report, source.kind.words(), None, &report.warnings, zone)?;
    }
    Ok(report.verdict.exit_code())
}
