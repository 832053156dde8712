//! `backup-sla report [SOURCE…] [--month YYYY-MM] [--format md|html|json] [--output FILE [--sign KEY]]` and
//! `backup-sla report verify FILE [--key KEY] [--ledger COPY]`.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::output;
use super::session::Session;
use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::ledger::{ChainHead, HOW_TO_COPY, LedgerCopy, Sealed};
use crate::operations::report::report;
use crate::report::signature::{SigningKey, VerifyingKey};
use crate::report::{Month, SlaReport, html, markdown, named_head};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<ReportCommand>,
    /// Sources to report on [default: all that the ledger knows]
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,
    /// Month to report on, in the time zone of the configuration [default: the last that has ended]
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,
    /// Form of the report [default: md; json with --json]
    #[arg(id = "report_format", long = "format", value_enum)]
    format: Option<Format>,
    /// Write it to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Sign the file with this private key (Ed25519, PEM); the signature is written to FILE.sig
    #[arg(long, value_name = "KEY", requires = "output")]
    sign: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// Check the signature of a report, and that the ledger has not changed since
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The report, in any form
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Public key of the signer (Ed25519, PEM)
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// The signature [default: FILE.sig]
    #[arg(long, value_name = "FILE", requires = "key")]
    signature: Option<PathBuf>,
    /// Check this copy of the ledger, which is only read; needs no configuration and no state directory [default: the
    /// ledger of the configuration]
    #[arg(long, value_name = "COPY", conflicts_with = "signature_only")]
    ledger: Option<PathBuf>,
    /// Check the signature only, without a ledger
    #[arg(long, requires = "key")]
    signature_only: bool,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// A page to print
    Html,
    /// For programs
    Json,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    match &arguments.command {
        Some(ReportCommand::Verify(arguments)) => verify(session, arguments),
        None => make(session, arguments),
    }
}

fn make(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    check_place(session, arguments)?;
    // A key that cannot be used is said before anything is written.
    let key = arguments.sign.as_deref().map(SigningKey::read).transpose()?;
    let app = session.app()?;
    let month = match &arguments.month {
        Some(month) => Month::parse(month)?,
        None => Month::last(app.clock.wall(), app.config.timezone),
    };
    let made = report(&app, month, &arguments.sources)?;
    let format = arguments.format.unwrap_or(if session.json { Format::Json } else { Format::Md });
    let text = render(&made, format)?;
    match &arguments.output {
        None => output::text(&text)?,
        Some(file) => {
            let written = prepare(file, text.as_bytes())?;
            if let Some(key) = key {
                let beside = beside(file);
                let signature = prepare(&beside, &key.sign(text.as_bytes()))?;
                // Both are on the disk: what is left to do is to give them their names.
                keep(signature, &beside)?;
            }
            keep(written, file)?;
        }
    }
    if made.evidence.is_whole {
        return Ok(0);
    }
    let first = made.evidence.faults.first().map_or("", |fault| &fault.what);
    let what = format!(
        "cannot rely on the ledger: {} of its records were changed after they were written: {first}",
        made.evidence.fault_count
    );
    Err(Error::failed(what)
        .hint("the report lists them; compare the ledger with a copy of it, and with earlier signed reports"))
}

fn render(report: &SlaReport, format: Format) -> Result<String> {
    Ok(match format {
        Format::Md => markdown::render(report),
        Format::Html => html::render(report),
        Format::Json => {
            #[derive(Serialize)]
            struct WithLine<'a> {
                #[serde(flatten)]
                report: &'a SlaReport,
                evidence_line: String,
            }
            let evidence_line = crate::report::evidence_line(&report.evidence.head);
            let json = serde_json::to_string(&WithLine { report, evidence_line });
            json.map_err(|e| Error::failed("cannot write report as JSON").because(e))? + "\n"
        }
    })
}

/// `FILE.sig`.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Write a file beside the one it will be, whole.
fn prepare(file: &Path, content: &[u8]) -> Result<NamedTempFile> {
    let shown = file.display();
    if std::fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        let what = format!("cannot write `{shown}`: it exists and is not a regular file");
        return Err(Error::configuration(what).hint("leave `--output` out to write to standard output"));
    }
    let failed = |e: std::io::Error| Error::failed(format!("cannot write `{shown}`")).because(e);
    let directory = file.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let readable = std::fs::Permissions::from_mode(0o644);
    let mut beside = tempfile::Builder::new().permissions(readable).tempfile_in(directory).map_err(|e| {
        failed(e).hint("the directory must be there, and whoever runs this must be allowed to write in it")
    })?;
    beside.write_all(content).and_then(|()| beside.as_file().sync_all()).map_err(failed)?;
    Ok(beside)
}

fn keep(written: NamedTempFile, file: &Path) -> Result<()> {
    written.persist(file).map_err(|e| Error::failed(format!("cannot write `{}`", file.display())).because(e.error))?;
    Ok(())
}

/// Errors: the report would take the place of the key that signs it, or of the configuration.
fn check_place(session: &Session<'_>, arguments: &Arguments) -> Result<()> {
    let Some(output) = &arguments.output else { return Ok(()) };
    let config = crate::config::find(session.config.as_deref());
    let is_same = |other: &Path| matches!((output.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if arguments.sign.iter().any(|key| is_same(key)) || is_same(&config) {
        let what = format!("cannot write `{}`: that file is the key or the configuration", output.display());
        return Err(Error::configuration(what).hint("give the report a name of its own"));
    }
    Ok(())
}

/// What `report verify` found.
#[derive(Debug, Serialize)]
struct Verified {
    /// Whether the signature fits; none where no key was given.
    signature_is_good: Option<bool>,
    /// The end of the chain that the report names.
    named: Option<ChainHead>,
    /// What the ledger says; none where it was not asked.
    ledger: Option<Sealed>,
}

impl Verified {
    fn is_good(&self) -> bool {
        self.signature_is_good != Some(false)
            && self.ledger.as_ref().is_none_or(|it| self.named.is_some() && it.is_whole())
    }

    /// Whether the ledger ends before the entry that the report names.
    fn is_ledger_too_short(&self) -> bool {
        let ends = self.ledger.as_ref().map(|it| it.head.position);
        self.named.as_ref().zip(ends).is_some_and(|(named, ends)| ends < named.position)
    }
}

fn verify(session: &Session<'_>, arguments: &VerifyArguments) -> Result<u8> {
    let shown = arguments.file.display();
    let report = std::fs::read(&arguments.file)
        .map_err(|e| Error::configuration(format!("cannot read report `{shown}`")).because(e))?;
    let signature_is_good = arguments.key.as_deref().map(|key| check_signature(arguments, key, &report)).transpose()?;
    let named = named_head(&String::from_utf8_lossy(&report));
    let known: Vec<ChainHead> = named.clone().into_iter().collect();
    let ledger = match &arguments.ledger {
        Some(copy) => Some(session.runtime.block_on(look_at(copy, &known))?),
        None if arguments.signature_only => None,
        None => {
            let app = session.app().map_err(|error| {
                error.hint(
                    "whoever has a copy of the ledger names it with `--ledger COPY`; whoever has none checks the \
                     signature alone: `--key KEY --signature-only`",
                )
            })?;
            Some(app.block_on(app.ledger.verify_seals(&known))?)
        }
    };
    let verified = Verified { signature_is_good, named, ledger };
    if session.json {
        output::json(&verified)?;
    } else {
        tell(&verified)?;
        if arguments.ledger.is_some() && verified.is_ledger_too_short() {
            output::line(&format!("  unless the copy is older than the report, or not complete: {HOW_TO_COPY}"))?;
        }
    }
    Ok(match (verified.is_good(), verified.signature_is_good) {
        (false, _) => 1,
        (true, Some(_)) => 0,
        // The ledger is whole, but whether the file says what it said is anybody's guess.
        (true, None) => 4,
    })
}

/// What a copy of the ledger says.
async fn look_at(copy: &Path, known: &[ChainHead]) -> Result<Sealed> {
    LedgerCopy::open(copy, SystemClock::shared()).await?.verify_seals(known).await
}

fn check_signature(arguments: &VerifyArguments, key: &Path, report: &[u8]) -> Result<bool> {
    let key = VerifyingKey::read(key)?;
    let file = arguments.signature.clone().unwrap_or_else(|| beside(&arguments.file));
    let signature = std::fs::read(&file).map_err(|e| {
        let hint = "`backup-sla report --output FILE --sign KEY` writes it beside the report";
        Error::configuration(format!("cannot read signature `{}`", file.display())).because(e).hint(hint)
    })?;
    Ok(key.has_signed(report, &signature))
}

fn tell(verified: &Verified) -> Result<()> {
    output::line(match verified.signature_is_good {
        Some(true) => "signature: good",
        Some(false) => "signature: BAD: the report is not what was signed, or was signed with another key",
        None => {
            "signature: not checked, no key was given: whether the figures of the file are those of the ledger is not known"
        }
    })?;
    let Some(ledger) = &verified.ledger else { return output::line("ledger: not looked at") };
    match &verified.named {
        None => {
            output::line("ledger: the report names no entry of a ledger: it is no report of backup-sla, or was cut")?;
        }
        Some(named) if ledger.is_whole() => output::line(&format!(
            "ledger: whole; {} entries, entry {} is the one that the report names",
            output::count(ledger.head.position),
            output::count(named.position)
        ))?,
        Some(_) => {
            output::line(&format!("ledger: CHANGED after it was written, {}:", output::count(ledger.fault_count)))?;
        }
    }
    ledger.faults.iter().try_for_each(|fault| output::line(&format!("  {}", fault.what)))
}
