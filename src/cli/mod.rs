//! The command line: one file per command. Standard output carries results only; logs and progress go to standard error.

mod accept_change;
mod accept_repository;
mod backup;
mod cancel;
mod check_config;
mod demo;
mod destination;
mod drill;
mod list;
mod metrics;
mod notes;
mod output;
mod progress;
mod report;
mod restore;
mod retired;
mod serve;
mod shell;
mod status;
mod test_page;
mod verify;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Handle;

use crate::app::App;
use crate::clock::SystemClock;
use crate::config;
use crate::domain::local_time;
use crate::error::{Error, Result};
use crate::logging::LogOptions;
use crate::operations::select::Selection;
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
    /// Repository integrity (not built yet)
    #[command(hide = true)]
    Check(Later),
    /// Retention, unpublished leftovers, prune (not built yet)
    #[command(hide = true)]
    Maintain(Later),
    /// Write the SLA report of a month, or verify one
    Report(report::Arguments),
}

/// Arguments of a command that this version does not have.
#[derive(Debug, Args)]
struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _anything: Vec<String>,
}

/// Which sources a command works on.
#[derive(Debug, Args)]
struct Sources {
    /// Sources to work on [default: all]
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
}

/// Which recovery point.
#[derive(Debug, Args)]
struct PointArguments {
    /// This recovery point (as `list` shows it; an unambiguous beginning will do)
    #[arg(long, value_name = "ID", group = "point")]
    recovery_point: Option<String>,
    /// The newest that is not newer than this time: "2026-11-26 11:29" in the zone of the configuration, or RFC 3339
    #[arg(long, value_name = "TIME", group = "point")]
    at: Option<String>,
}

/// Whose recovery point.
#[derive(Debug, Args)]
struct HostArguments {
    /// A recovery point that another host made: its name or id, as `list` shows it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

impl PointArguments {
    /// What was asked for; wall clock times are those of `zone`.
    fn selection(&self, zone: chrono_tz::Tz) -> Result<Selection> {
        Ok(match (&self.recovery_point, &self.at) {
            (Some(id), _) => Selection::Id(crate::domain::manifest::RecoveryPointId(id.to_lowercase())),
            (None, Some(text)) => {
                let time = local_time::parse(text, zone);
                Selection::At(time.map_err(|fault| Error::configuration(fault.to_string()).hint(fault.hint()))?)
            }
            (None, None) => Selection::Newest,
        })
    }
}

/// What every command gets.
struct Session<'a> {
    config: Option<PathBuf>,
    json: bool,
    /// Nothing is said of what went well.
    quiet: bool,
    runtime: &'a Handle,
    context: RunContext,
}

impl Session<'_> {
    /// Read the configuration and open the state directory.
    fn app(&self) -> Result<App> {
        let file = config::find(self.config.as_deref());
        App::open_until(config::load(&file)?, SystemClock::shared(), self.runtime.clone(), &self.context.cancel)
    }
}

/// Whether logs below warnings are wanted by default: for commands that stay.
pub fn stays(cli: &Cli) -> bool {
    match &cli.command {
        Command::Serve(_) => true,
        Command::Demo(arguments) => !arguments.once,
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
        Command::Status(sources) => status::run(&session, &sources),
        Command::Metrics => metrics::run(&session),
        Command::TestPage(arguments) => test_page::run(&session, &arguments),
        Command::AcceptChange(arguments) => accept_change::run(&session, &arguments),
        Command::AcceptRepository(arguments) => accept_repository::run(&session, &arguments),
        Command::CheckConfig(arguments) => check_config::run(&session, &arguments),
        Command::Demo(arguments) => demo::run(&session, &arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::PackageFiles(arguments) => shell::package_files(&arguments),
        Command::DemoData(arguments) => demo::data(&arguments),
        Command::Check(_) => not_built("check"),
        Command::Maintain(_) => not_built("maintain"),
        Command::Report(arguments) => report::run(&session, &arguments),
    }
}

fn not_built(command: &str) -> Result<u8> {
    Err(Error::configuration(format!("`backup-sla {command}` is not built yet")))
}

/// Run `work` for every name; an error is reported and the others still run. The worst exit status counts.
fn for_each(session: &Session<'_>, names: &[String], mut work: impl FnMut(&str) -> Result<u8>) -> u8 {
    let mut worst = 0;
    for name in names {
        if session.context.cancel.is_cancelled() {
            output::error(&Error::cancelled().context(format!("{name}: not begun")));
            return worse(worst, 1);
        }
        let code = work(name).unwrap_or_else(|error| {
            output::error(&error);
            error.exit_code()
        });
        worst = worse(worst, code);
    }
    worst
}

/// Of two exit statuses the worse: a failed verdict over a failed operation over an inconclusive one over usage.
fn worse(a: u8, b: u8) -> u8 {
    let rank = |code: u8| [0, 2, 4, 1, 3].iter().position(|known| *known == code).unwrap_or(5);
    if rank(a) >= rank(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn with_several_sources_the_worst_status_counts() {
        assert_eq!([0, 4, 1, 0].into_iter().fold(0, worse), 1);
        assert_eq!([3, 1, 4].into_iter().fold(0, worse), 3);
        assert_eq!([4, 0].into_iter().fold(0, worse), 4);
    }
}
