//! Engine `influxdb`: InfluxDB 1.x through the server's own `influxd backup -portable` and `influxd restore -portable`.
//!
//! Every backup is full: the archives of the shards are stored without compression and under names that never change, so
//! the repository keeps only what changed. What the data must be is counted on the live server before the backup, up to
//! a bound (`truth`), and asked of the restored server in the same words (`inspect`).

mod answer;
mod archive;
mod backup;
mod client;
mod count;
mod facts;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod inspect;
mod kind;
mod load;
mod peer;
pub(crate) mod server;
mod settle;
mod staging;
mod survey;
mod swap;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod tool;
mod truth;
mod writers;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use self::answer::text;
use self::backup::{HandedOn, Missed, Plan, Streams, Tool};
use self::client::{Address, Client};
use self::count::Span;
use self::facts::Facts;
use self::inspect::{FACTS_FILE, stored_facts};
pub use self::kind::Influxdb;
use self::load::Loading;
use self::staging::Staging;
use self::survey::{Survey, creation};
use self::table::{Counting, InfluxdbConfig};
use self::target::Target;
use self::truth::{Method, Truth};
use super::assertion::{Assertion, Question};
use super::destination::Destination;
use super::kind::Memory;
use super::{
    Captured, Dump, Engine, InspectOptions, Inspection, LoadOptions, LoadReport, Preflight, Ready, StoredPoint, stream,
};
use crate::clock::Clock;
use crate::domain::digest::Digest;
use crate::domain::drill::Check;
use crate::domain::manifest::{FileRole, StoredFileFacts};
use crate::domain::promise::Promise;
use crate::error::{Error, OrFailed, Result};
use crate::repository::Stream;
use crate::run_context::{Cancel, RunContext};
use crate::sandbox::settings::SandboxConfig;
use crate::sandbox::{Access, SandboxSpec};

/// Statements that make users, grants and continuous queries, for people.
const ACCOUNTS_FILE: &str = "accounts.influxql";
/// Points younger than this when a backup begins are not promised: writers send in batches.
const SETTLED: Duration = Duration::from_secs(10);

/// The engine of one source.
pub struct InfluxdbEngine {
    config: InfluxdbConfig,
    sandbox: SandboxConfig,
    clock: Arc<dyn Clock>,
    memory: Arc<dyn Memory>,
    staging: Staging,
}

impl InfluxdbEngine {
    /// The engine of a source with this configuration; `memory` and the directory `staging`, where one database at a
    /// time waits to be stored, are this source's own.
    pub fn new(
        config: InfluxdbConfig,
        sandbox: SandboxConfig,
        clock: Arc<dyn Clock>,
        memory: Arc<dyn Memory>,
        staging: PathBuf,
    ) -> Self {
        Self { config, sandbox, clock, memory, staging: Staging::new(staging) }
    }

    fn client(&self, cancel: &Cancel) -> Result<Client> {
        Client::open(&Address::of_source(&self.config), self.config.query_timeout, cancel)
    }

    fn client_at(&self, destination: &Destination, cancel: &Cancel) -> Result<Client> {
        Client::open(&Address::of_target(Target::of(destination)?), self.config.query_timeout, cancel)
    }

    /// A shard that the server still lists and that has points. One that was made ahead of its time has none.
    fn missed(&self, cancel: &Cancel) -> Missed {
        let (address, timeout) = (Address::of_source(&self.config), self.config.query_timeout);
        let cancel = cancel.clone();
        Arc::new(move |database, id| {
            let mut client = Client::open(&address, timeout, &cancel)?;
            let shards = survey::shards(&mut client, database)?;
            let Some(shard) = shards.into_iter().find(|shard| shard.id == id) else { return Ok(false) };
            let span = Span { database, policy: &shard.policy, start: shard.start, end: shard.end, step: 1 };
            let names = survey::schema(&mut client, database, false)?;
            Ok(!count::totals(&mut client, &span, names.keys())?.is_empty())
        })
    }

    fn exact(&self) -> bool {
        self.config.counting == Counting::Exact
    }
}

/// A server that can be backed up.
struct Surveyed<'e> {
    engine: &'e InfluxdbEngine,
    client: Client,
    survey: Survey,
    /// `influxd`, and its version.
    program: (PathBuf, String),
}

impl Ready for Surveyed<'_> {
    fn describe(&self) -> Result<Preflight> {
        let survey = &self.survey;
        let shards: usize = survey.databases.values().map(|database| database.shards.len()).sum();
        let (version, databases) = (&self.client.version, survey.databases.len());
        let summary = format!("InfluxDB {version}, {databases} database(s), {shards} shard(s)");
        Ok(Preflight { summary, warnings: warnings(survey, &self.program.1), impossible: None })
    }

    fn dump(self: Box<Self>, context: &RunContext) -> Result<Dump> {
        let Self { engine, mut client, survey, program: (program, version) } = *self;
        let as_of = engine.clock.wall() - SETTLED;
        let bound =
            as_of.timestamp_nanos_opt().ok_or_else(|| Error::failed("cannot read the clock: it is out of range"))?;
        context.progress.phase("count", None);
        let method = Method { bound, counting: engine.config.counting, memory: engine.memory.clone() };
        let began = client.server_time;
        let truth = Truth::before(&mut client, &survey, &method, began)?;
        context.progress.finish();
        context.progress.phase("backup", None);
        let tool = Tool {
            program,
            rpc_address: engine.config.rpc_address.clone(),
            staging: engine.staging.clone(),
            missed: engine.missed(&context.cancel),
            context: context.clone(),
        };
        let plans = backup::in_order(plans(&survey));
        let (tell, late) = mpsc::channel();
        let (inside, known) = (context.clone(), plans.clone());
        let (readers, outcome) = stream::run("influxd", context, move |sink| {
            let HandedOn { mut files, archives } = backup::run(&known, &tool, &tell, sink)?;
            let (facts, warnings) = truth.after(&mut client, &archives, &inside)?;
            sink.write(&serde_json::to_vec(&facts).or_failed("cannot write the facts")?)?;
            let part = sink.end()?;
            let (path, role) = (FACTS_FILE.to_owned(), FileRole::Facts);
            files.push(StoredFileFacts { path, role, bytes: part.bytes, digest: part.digest });
            Ok((facts, files, warnings))
        })?;
        let accounts = statements(&survey).into_bytes();
        let accounts_facts = described(ACCOUNTS_FILE, FileRole::Accounts, &accounts);
        let head = Stream { path: ACCOUNTS_FILE.to_owned(), reader: Box::new(Cursor::new(accounts)) };
        let streams = std::iter::once(Ok(head)).chain(Streams::new(&plans, late, FACTS_FILE, readers));
        let progress = context.progress.clone();
        let finish = Box::new(move || {
            progress.finish();
            let (facts, mut files, mut more) = outcome.take()?;
            files.push(accounts_facts);
            files.sort_by(|a, b| a.path.cmp(&b.path));
            let mut captured = captured(&survey, &version, &facts, files);
            captured.warnings.append(&mut more);
            Ok(captured)
        });
        Ok(Dump { streams: Box::new(streams), as_of, finish })
    }
}

impl Engine for InfluxdbEngine {
    fn preflight<'e>(&'e self, context: &RunContext) -> Result<Box<dyn Ready + 'e>> {
        let mut client = self.client(&context.cancel)?;
        let program = server::program(self.config.programs.as_deref()).map_err(needed_here)?;
        let survey = survey::survey(&mut client, &self.config.databases, self.exact())?;
        // The tool itself tries for a minute.
        reach_backup_service(&self.config.rpc_address)?;
        Ok(Box::new(Surveyed { engine: self, client, survey, program }))
    }

    fn sandbox(&self, point: &StoredPoint) -> Result<SandboxSpec> {
        let manifest = &point.manifest;
        let programs = self.sandbox.programs.as_deref().or(self.config.programs.as_deref());
        Ok(SandboxSpec::Server(Box::new(server::spec(manifest, programs, self.sandbox.memory))))
    }

    fn destination(&self, spec: &SandboxSpec, access: &Access) -> Destination {
        let port = |name: &str| access.ports.get(name).copied().unwrap_or_default();
        let (user, password) = match spec {
            SandboxSpec::Server(server) => (server.user.clone(), server.password.clone()),
            SandboxSpec::Directory => (String::new(), None),
        };
        Destination::new(Target {
            url: format!("http://127.0.0.1:{}", port(server::HTTP)),
            socket: Some(access.socket.clone()),
            transfer_address: Some(format!("127.0.0.1:{}", port(server::RPC))),
            user,
            password,
            tls_ca: None,
            enter: access.enter.clone(),
            fresh: true,
        })
    }

    fn table_name(&self, typed: &str) -> Result<String> {
        Err(Error::configuration(format!("cannot restore {typed} alone: InfluxDB 1.x restores whole databases"))
            .hint("restore everything to another server, then copy what you need: SELECT * INTO … GROUP BY *"))
    }

    fn load(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<LoadReport> {
        let programs = self.sandbox.programs.as_deref().or(self.config.programs.as_deref());
        let (program, _) = server::program(programs)?;
        let (staging, timeout) = (self.staging.clone(), self.config.query_timeout);
        Loading { program, to: Target::of(to)?, point, timeout, staging, clock: &*self.clock, context }.run(options)
    }

    fn inspect(
        &self,
        at: &Destination,
        point: &StoredPoint,
        _options: &InspectOptions,
        context: &RunContext,
    ) -> Result<Inspection> {
        let facts = stored_facts(point)?;
        if facts.inventory() != *point.manifest.inventory() {
            return Err(Error::failed(format!("cannot use {FACTS_FILE}: it does not match the manifest"))
                .hint("the recovery point is damaged or was changed: run `backup-sla check`, and use another one"));
        }
        let mut client = self.client_at(at, &context.cancel)?;
        context.progress.phase("verify", None);
        let inspection = inspect::inspect(&mut client, &facts, context);
        context.progress.finish();
        inspection
    }

    fn assert(&self, at: &Destination, assertion: &Assertion, context: &RunContext) -> Result<Check> {
        let Question::Query(question) = &assertion.question else {
            return Err(Error::configuration(format!("cannot run assertion {}: it is not InfluxQL", assertion.name)));
        };
        let database = match self.config.databases.as_slice() {
            [one] => one.as_str(),
            _ => "",
        };
        let answer = self.client_at(at, &context.cancel)?.try_query(database, question);
        let answer = answer.map_err(|error| error.context(format!("cannot run assertion {}", assertion.name)))?;
        let (actual, ok) = match answer {
            Ok(series) => judge(&series),
            Err(error) => (error.to_string(), false),
        };
        Ok(Check { name: format!("assertion {}", assertion.name), expected: "true".to_owned(), actual, ok })
    }
}

/// The first value of the first row that is no time: true, or a number other than zero.
fn judge(series: &[answer::Series]) -> (String, bool) {
    let first = series.iter().find_map(|series| Some((&series.columns, series.values.first()?)));
    let value = first.and_then(|(columns, row)| columns.iter().zip(row).find(|(column, _)| *column != "time"));
    match value {
        None => ("no answer".to_owned(), false),
        Some((_, value)) => {
            let number = value.as_f64().is_some_and(|number| number != 0.0);
            (text(value), number || value.as_bool() == Some(true))
        }
    }
}

/// What cannot be found for a backup is a failure of the backup.
fn needed_here(error: Error) -> Error {
    error.with_kind(crate::error::Kind::Failed)
}

fn reach_backup_service(address: &str) -> Result<()> {
    use std::net::{TcpStream, ToSocketAddrs};
    let what = || format!("cannot reach the server's backup service at {address}");
    let hint = "`rpc_address` must be the `bind-address` of the server's configuration, usually port 8088; from another \
                host it has to listen on more than loopback, and it asks nobody for a password: mind the firewall";
    let mut addresses = address.to_socket_addrs().or_failed(what()).map_err(|error| error.hint(hint))?;
    let reached = addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(10)).is_ok());
    if reached { Ok(()) } else { Err(Error::failed(what()).hint(hint)) }
}

fn plans(survey: &Survey) -> Vec<Plan> {
    let plan = |(name, database): (&String, &survey::Database)| Plan {
        database: name.clone(),
        shards: database.shards.iter().map(|shard| shard.id).collect(),
    };
    survey.databases.iter().map(plan).collect()
}

fn described(path: &str, role: FileRole, bytes: &[u8]) -> StoredFileFacts {
    StoredFileFacts { path: path.to_owned(), role, bytes: bytes.len() as u64, digest: Digest::of(bytes) }
}

/// What a person runs after a restore by hand. No server tells passwords.
fn statements(survey: &Survey) -> String {
    let mut lines: Vec<String> = survey.users.iter().flat_map(|user| creation(user, "choose a password")).collect();
    for database in survey.databases.values() {
        lines.extend(database.queries.values().cloned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn warnings(survey: &Survey, tool: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if survey::identity(tool).series != survey.server.series {
        warnings.push(format!(
            "`influxd` here is {tool}, the server {}: use the program that matches",
            survey.server.version
        ));
    }
    if !survey.users.is_empty() {
        warnings.push(format!(
            "passwords of {} user(s) are not told by the server: a restore makes the users with new ones",
            survey.users.len()
        ));
    }
    for (name, database) in &survey.databases {
        let subscriptions = &database.subscriptions;
        warnings.extend(subscriptions.iter().map(|s| format!("subscription {s} of {name} is recorded, not restored")));
    }
    warnings
}

/// What a complete backup contains.
fn captured(survey: &Survey, tool: &str, facts: &Facts, files: Vec<StoredFileFacts>) -> Captured {
    let mut warnings = warnings(survey, tool);
    // Only a drill of it is not possible then, and says so.
    warnings.extend(facts.reservations().unwrap_or_else(|error| vec![error.to_string()]));
    let windows: Vec<_> = facts.databases.values().flat_map(|database| &database.windows).collect();
    let counted = windows.iter().filter(|window| window.uncounted.is_empty()).count();
    let counting =
        if counted == windows.len() { "exact".to_owned() } else { format!("{counted} of {} shards", windows.len()) };
    let mut settings: BTreeMap<String, String> = survey.settings.clone();
    settings.insert("counting".to_owned(), counting);
    Captured {
        server: survey.server.clone(),
        tool: format!("influxd {tool}"),
        settings,
        position: None,
        files,
        promise: Promise::Exact(facts.inventory()),
        segments: Vec::new(),
        needs: None,
        warnings,
        left_out: Vec::new(),
        cannot_return: Vec::new(),
        canaries: BTreeMap::new(),
        capture: crate::domain::capture::Capture::default(),
        evidence: crate::domain::change::evidence::Evidence::default(),
    }
}
