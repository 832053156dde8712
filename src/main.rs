//! The `backup-sla` program: parse, start logging, run one command, turn the result into an exit status.

use std::process::ExitCode;

use backup_sla::cli::{self, Cli};
use backup_sla::logging::{self, Level};
use backup_sla::run_context::RunContext;
use clap::Parser;

fn main() -> ExitCode {
    tame_umask();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    logging::start(cli.log, if cli::stays(&cli) { Level::Info } else { Level::Warn });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "start runtime");
            return ExitCode::FAILURE;
        }
    };
    let context = RunContext::silent();
    runtime.spawn(stop_on_signal(context.clone()));
    let code = cli::run(cli, runtime.handle(), context).unwrap_or_else(|error| {
        cli::report(&error);
        error.exit_code()
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ExitCode::from(code)
}

/// Whatever umask we were started with: what we make is ours to use (a umask of 0777 would lock us out of our own
/// files) and nobody else's to write (0000 would open the repository to everyone). What must be private or passable has
/// its mode set where it is made.
fn tame_umask() {
    use rustix::fs::Mode;
    let inherited = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask((inherited & (Mode::RWXG | Mode::RWXO)) | Mode::WGRP | Mode::WOTH);
}

/// Signals that come so soon after the first are the same request: `timeout` and process managers ask both the process and its group.
const SAME_REQUEST: std::time::Duration = std::time::Duration::from_secs(1);

/// The first signal ends the run through its clean-up; a later one ends it at once.
#[allow(clippy::exit)] // `main` is the place for it
async fn stop_on_signal(context: RunContext) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut asked = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    asked().await;
    // Killing and reaping children may block.
    tokio::task::spawn_blocking(move || context.cancel.cancel());
    let same = tokio::time::sleep(SAME_REQUEST);
    tokio::pin!(same);
    loop {
        tokio::select! {
            () = &mut same => break,
            () = asked() => {}
        }
    }
    asked().await;
    std::process::exit(130);
}
