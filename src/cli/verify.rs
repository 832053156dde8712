//! `backup-sla verify SOURCE --against DESTINATION`

use clap::Args;

use super::arguments::{HostArguments, PointArguments};
use super::destination::{self, Credentials};
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
    /// What to compare: mysql://USER@HOST:PORT, unix:/PATH/TO/SOCKET, http://USER@HOST:PORT of an InfluxDB, a directory
    #[arg(long, value_name = "DESTINATION")]
    against: String,
    #[command(flatten)]
    credentials: Credentials,
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
    let against = destination::parse(&arguments.against, &arguments.credentials)?;
    let app = session.app()?;
    let source = app.source(&arguments.source)?;
    let scope = Scope { accounts: arguments.accounts, assertions: !arguments.no_assertions, ..Scope::default() };
    let zone = app.config.timezone;
    let selection = arguments.point.selection(zone)?;
    let wanted = (&selection, arguments.host.host.as_deref());
    let report = verify(&app, &source, wanted, &against, &scope, &session.context)?;
    if session.json {
        output::json(&report)?;
    } else if !session.quiet || report.verdict != Verdict::Passed {
        drill::print(&report, source.engine_name, None, &report.warnings, zone)?;
    }
    Ok(report.verdict.exit_code())
}
