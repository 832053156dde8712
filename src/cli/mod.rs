//! The command line: one file per command. Standard output carries results only; logs and progress go to standard error.

mod accept_change;
mod accept_repository;
mod arguments;
mod backup;
mod cancel;
mod check;
mod check_config;
mod demo;
mod destination;
mod drill;
mod events;
mod list;
mod maintain;
mod metrics;
mod notes;
mod output;
mod progress;
mod report;
mod restore;
mod retired;
mod serve;
mod session;
mod shell;
mod status;
mod test_page;
mod verify;

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::Handle;

use self::arguments::Sources;
use self::session::Session;
use crate::error::{Error, Result};
use crate::logging::LogOptions;
use crate::run_context::RunContext;

/// Heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Take backups, restore them every day to prove that they work, and measure the promised RPO and RTO.
#[derive(Debug, Parser)]
#[command(name = "backup-sla", version, max_term_width = 110)]
pub struct Cli {
    /// Configuration file [default: $BACKUP_SLA_CONFIG or /etc/backup-sla/config.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = EVERYWHERE)]
    config: Option<PathBuf>,
    /// Results as JSON, one object per line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    /// Print nothing on success; errors, failed verdicts, and the output of `list`, `metrics` and `report` are still printed
    #[arg(long, short, global = true, help_heading = EVERYWHERE, conflicts_with = "json")]
    quiet: bool,
    /// How and how much is logged.
    #[command(flatten)]
    pub log: LogOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: scheduler, metrics and status page
    Serve(serve::Arguments),
    /// Back up now
    Backup(backup::Arguments),
    /// Restore a backup into a sandbox and verify it
    Drill(drill::Arguments),
    /// Cancel the running operations of a source
    Cancel(cancel::Arguments),
    /// Restore to a server or a directory
    Restore(restore::Arguments),
    /// Compare a server or a directory with what a backup promises
    Verify(verify::Arguments),
    /// List recovery points, read from the repository
    List(Sources),
    /// Show the transactions near a time, and how to restore to just before each
    Events(events::Arguments),
    /// Show what is promised and what is measured, per source
    Status(Sources),
    /// Print the metrics once
    Metrics,
    /// Raise a test alert, and confirm that its page arrived
    TestPage(test_page::Arguments),
    /// Accept a suspect change of a source's data
    AcceptChange(accept_change::Arguments),
    /// Accept a repository that was replaced on purpose
    AcceptRepository(accept_repository::Arguments),
    /// Validate the configuration
    CheckConfig(check_config::Arguments),
    /// Run a complete demo with generated data: servers, backups, drills, metrics
    Demo(demo::Arguments),
    /// Print completions for a shell
    Completions(shell::Completions),
    /// Manual pages and completions, for packages
    #[command(hide = true)]
    PackageFiles(shell::PackageFiles),
    /// Generated shop database as SQL, for benchmarks
    #[command(hide = true)]
    DemoData(demo::DataArguments),
    /// Check that everything stored in a repository is there and sound
    Check(check::Arguments),
    /// Remove recovery points beyond their retention
    Maintain(maintain::Arguments),
    /// Write the SLA report of a month, or verify one
    Report(report::Arguments),
}

/// Whether logs below warnings are wanted by default: for commands that stay.
pub fn stays(cli: &Cli) -> bool {
    match &cli.command {
        Command::Serve(_) => true,
        Command::Demo(arguments) => !arguments.once && !arguments.accident,
        _ => false,
    }
}

/// Say what went wrong and what to try.
pub fn report(error: &Error) {
    output::error(error);
}

/// Run one command; the number is the exit status.
pub fn run(cli: Cli, runtime: &Handle, context: RunContext) -> Result<u8> {
    let context = if cli.quiet { context } else { RunContext { progress: progress::for_terminal(), ..context } };
    let session = Session { config: cli.config, json: cli.json, quiet: cli.quiet, runtime, context };
    match cli.command {
        Command::Serve(arguments) => serve::run(&session, &arguments),
        Command::Backup(arguments) => backup::run(&session, &arguments),
        Command::Drill(arguments) => drill::run(&session, &arguments),
        Command::Cancel(arguments) => cancel::run(&session, &arguments),
        Command::Restore(arguments) => restore::run(&session, &arguments),
        Command::Verify(arguments) => verify::run(&session, &arguments),
        Command::List(sources) => list::run(&session, &sources),
        Command::Events(arguments) => events::run(&session, &arguments),
        Command::Status(sources) => status::run(&session, &sources),
        Command::Metrics => metrics::run(&session),
        Command::TestPage(arguments) => test_page::run(&session, &arguments),
        Command::AcceptChange(arguments) => accept_change::run(&session, &arguments),
        Command::AcceptRepository(arguments) => accept_repository::run(&session, &arguments),
        Command::CheckConfig(arguments) => check_config::run(&session, &arguments),
        Command::Demo(arguments) => demo::run(&session, &arguments),
        Command::Completions(arguments) => shell::completions(&arguments, &Cli::command()),
        Command::PackageFiles(arguments) => shell::package_files(&arguments, &Cli::command()),
        Command::DemoData(arguments) => demo::data(&arguments),
        Command::Check(arguments) => check::run(&session, &arguments),
        Command::Maintain(arguments) => maintain::run(&session, &arguments),
        Command::Report(arguments) => report::run(&session, &arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
