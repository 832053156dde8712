//! `backup-sla demo`: a complete world with generated data, so that a newcomer sees the promise kept within a minute.

mod accident;
mod place;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use self::place::{say, write_configuration};
use super::session::{Session, worse};
use super::{backup, drill, output, status};
use crate::app::{App, KINDS};
use crate::clock::SystemClock;
use crate::config;
use crate::demo::ansible::AnsibleRepository;
use crate::demo::configuration;
use crate::demo::monitoring::Monitoring;
use crate::demo::production::Production;
use crate::demo::shop::{self, Size};
use crate::error::{Error, OrFailed, Result};
use crate::exporter::web::WebOptions;
use crate::operations::backup as operation;
use crate::operations::drill::{DrillRequest, drill as run_drill};
use crate::service::{ConfigurationFile, ServiceOptions, serve};

#[derive(Debug, Args)]
pub struct Arguments {
    /// One round, then exit with the verdict's status
    #[arg(long)]
    pub once: bool,
    /// Lose a table's rows while customers write, and bring back the state just before; then exit
    #[arg(long, conflicts_with = "once")]
    pub accident: bool,
    /// Directory of the demo; must be new or empty, and is kept [default: a temporary directory that is removed]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Address the metrics are served on
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10909")]
    listen: String,
}

#[derive(Debug, Args)]
pub struct DataArguments {
    /// About how many bytes a dump of it has
    #[arg(long, value_name = "N")]
    bytes: u64,
}

/// Run the demo.
pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let temporary;
    let directory = if let Some(directory) = &arguments.dir {
        directory.clone()
    } else {
        temporary = tempfile::Builder::new()
            .prefix("backup-sla-demo-")
            .tempdir()
            .or_failed("cannot make a temporary directory")?;
        temporary.path().to_owned()
    };
    let directory = prepare(&directory)?;
    if arguments.accident {
        return accident::run(session, &directory);
    }
    say(
        session,
        "starting a MariaDB with a generated shop, an InfluxDB with a week of telegraf, an Ansible repository …",
    )?;
    let world = DemoWorld {
        shop: Production::start(&directory.join("production"))?,
        monitoring: Monitoring::start(&directory.join("monitoring"))?,
        ansible: AnsibleRepository::create(&directory.join("ansible"))?,
    };
    let _busy = [world.shop.open_shop()?, world.monitoring.open_telegraf()?, world.ansible.open_office()?];
    let file = write_configuration(&directory, &configuration::text(&world.shop, &world.monitoring, &world.ansible))?;
    let stop = &session.context.cancel;
    let app = App::open_until(config::load(&file, KINDS)?, SystemClock::shared(), session.runtime.clone(), stop)?;
    say(session, &format!("its configuration: {}", file.display()))?;
    let code = round(session, &app)?;
    if arguments.once {
        return Ok(code);
    }
    stay(session, app, file, &arguments.listen)?;
    Ok(0)
}

/// Back up and drill every source, and say what was promised and measured.
fn round(session: &Session<'_>, app: &App) -> Result<u8> {
    let mut code = 0;
    for name in app.names(&[])? {
        let source = app.source(&name)?;
        let backed_up = operation::backup(app, &source, &session.context)?;
        if !session.json {
            backup::print(&backed_up, source.kind.words(), &backed_up.warnings, app.config.timezone)?;
        }
        let report = run_drill(app, &source, &DrillRequest::default(), &session.context)?;
        if session.json {
            output::json(&report)?;
        } else {
            let promised = Some(source.objectives.rto.as_secs_f64());
            drill::print(&report, source.kind.words(), promised, &report.warnings, app.config.timezone)?;
        }
        code = worse(code, report.verdict.exit_code());
    }
    if !session.json {
        status::show(app, &app.names(&[])?, status::Form::default())?;
    }
    Ok(code)
}

/// Serve until asked to stop; from now on the scheduler does the rounds.
fn stay(session: &Session<'_>, app: App, file: PathBuf, listen: &str) -> Result<()> {
    let options = ServiceOptions { file: ConfigurationFile::at(file), web: WebOptions::on(&[listen.to_owned()]) };
    serve(app, options, &session.context.cancel, |urls| {
        for url in urls {
            say(session, &format!("status page: {} — metrics: {url}", url.trim_end_matches("metrics")))?;
        }
        say(
            session,
            "a backup a minute, of the shop an increment every 20 seconds, a drill every two minutes; stop with Ctrl-C",
        )
    })
}

/// The demo writes into a directory of its own only.
fn prepare(directory: &Path) -> Result<PathBuf> {
    fs::create_dir_all(directory).or_failed(format!("cannot create {}", directory.display()))?;
    let mut entries = fs::read_dir(directory).or_failed(format!("cannot read {}", directory.display()))?;
    if entries.next().is_some() {
        return Err(Error::configuration(format!("cannot use {} for the demo: it is not empty", directory.display()))
            .hint("give --dir a new directory"));
    }
    // The demo's server runs as its own account and has to pass through.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711))
        .or_failed("cannot change the mode of the demo's directory")?;
    directory.canonicalize().or_failed(format!("cannot find {}", directory.display()))
}

/// What is alive.
struct DemoWorld {
    shop: Production,
    monitoring: Monitoring,
    ansible: AnsibleRepository,
}

/// Generated shop database as SQL.
pub fn data(arguments: &DataArguments) -> Result<u8> {
    let size = Size::about_bytes(arguments.bytes);
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    shop::write_all(&mut out, &size).and_then(|()| out.flush()).or_failed("cannot write generated data")?;
    Ok(0)
}
