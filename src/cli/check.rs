//! `backup-sla check [REPOSITORY…]`: whether everything that is stored is there and is what it was.

use clap::Args;

use super::output;
use super::session::{Session, for_each};
use crate::display::size;
use crate::error::{Error, Result};
use crate::operations::check::{CheckReport, HOW_TO_GO_ON, Reading, check};
use crate::operations::observe::by_repository;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Repositories to work on [default: all]
    #[arg(value_name = "REPOSITORY")]
    repositories: Vec<String>,
    /// Read all data too, not only the structure: takes as long as reading the whole repository
    #[arg(long)]
    read_data: bool,
}

/// Check each repository; one that fails does not keep the others from their turn. Exit status 1 if anything is wrong.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    let all = || by_repository(&app).into_keys().collect();
    let names = if arguments.repositories.is_empty() { all() } else { arguments.repositories.clone() };
    let reading = if arguments.read_data { Reading::All } else { Reading::Structure };
    Ok(for_each(session, &names, |name| {
        let report = check(&app, name, reading, &session.context);
        session.context.progress.finish();
        let report = report?;
        if session.json {
            output::json(&report)?;
        } else {
            print(session, &report)?;
        }
        Ok(u8::from(!report.ok))
    }))
}

fn print(session: &Session<'_>, report: &CheckReport) -> Result<()> {
    let name = &report.repository;
    for problem in &report.problems {
        output::error(&Error::failed(format!("repository {name}: {problem}")));
    }
    for (source, points) in &report.damaged_points {
        for point in points {
            output::line(&format!("{name}: recovery point {point} of {source} cannot be restored whole"))?;
        }
    }
    if !report.ok {
        return output::line(&format!("{name}: DAMAGED; {HOW_TO_GO_ON}"));
    }
    if session.quiet {
        return Ok(());
    }
    let (read, stored) = (size(report.read_bytes), size(report.stored_bytes));
    let read = if report.read_bytes == 0 { "data not read".to_owned() } else { format!("{read} read and sound") };
    output::line(&format!("{name}: everything is there ({stored} stored, {read})"))
}
