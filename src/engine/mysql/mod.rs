//! Engine `mysql`: MySQL and MariaDB through the server's own dump and client programs.
//!
//! The stored stream is plain SQL that the `mysql` client reads, so a person can restore without us. What it contains
//! is learnt from the stream itself while it is stored (`stream`), and restored data is proved by dumping it again
//! through the same scanner (`inspect`).

mod account;
mod accounts;
pub(crate) mod binlog;
mod block_ddl;
mod bodies;
mod canary;
mod canary_sql;
mod captured;
mod carried;
mod checks;
mod columns;
mod comments;
mod connection;
mod create_table;
mod defer;
mod destination;
mod elsewhere;
mod event_ends;
mod event_zones;
mod examine;
mod examined;
mod facts;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod guard;
mod holdings;
mod increments;
mod inspect;
pub(crate) mod installed;
mod invoker;
mod keyring;
mod kind;
mod letters;
mod lexer;
mod listing;
mod literals;
mod load;
mod mending;
mod modes;
mod names;
mod nearest;
mod needs;
mod order;
mod outside;
mod pinned;
mod plugins;
mod prepare;
mod privileges;
mod probe;
mod programs;
mod pump;
mod reach;
mod readers;
mod ready;
mod refusal;
mod relations;
mod replay;
mod rollforward;
mod row_facts;
mod rows;
mod schemas;
mod server;
mod shipped;
mod source;
mod sql;
mod stream;
mod supplement;
mod surveyed;
mod table;
mod table_options;
#[cfg(test)]
mod tests;
mod texture;
mod tool;
mod triggers;
mod trouble;
mod trust;
mod views;
mod vocabulary;
mod waits;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::account::Account;
use self::connection::Session;
use self::increments::Counting;
pub use self::kind::Mysql;
use self::source::Survey;
use self::surveyed::Surveyed;
pub use self::table::MysqlConfig;
use self::tool::Tools;
use self::waits::Unanswered;
use super::assertion::{Assertion, Question};
use super::destination::Destination;
use super::{
    Dump, Engine, InspectOptions, Inspection, LoadOptions, LoadReport, Ready, Replayed, Since, StoredIncrement,
    StoredPoint,
};
use crate::clock::Clock;
use crate::domain::canary::{Canary, DATABASE};
use crate::domain::drill::Check;
use crate::domain::logged::LoggedTransaction;
use crate::domain::manifest::{Manifest, Position};
use crate::error::{Error, Result};
use crate::run_context::{Cancel, RunContext};
use crate::sandbox::settings::SandboxConfig;
use crate::sandbox::{Access, SandboxSpec};

/// Rows are counted in a hundredth of the time at most, and not more often than once in this time.
const COUNTS_APART: u32 = 100;
const COUNTS_APART_LEAST: Duration = Duration::from_mins(1);

/// The engine of one source.
pub struct MysqlEngine {
    config: MysqlConfig,
    sandbox: SandboxConfig,
    clock: Arc<dyn Clock>,
    /// How far apart increments are scheduled; none where none are.
    increments: Option<Duration>,
    /// When rows were last counted at the end of an increment, on the monotonic clock.
    counted: Mutex<Option<Duration>>,
}

impl MysqlEngine {
    /// The engine of a source with this configuration.
    pub fn new(
        config: MysqlConfig,
        sandbox: SandboxConfig,
        clock: Arc<dyn Clock>,
        increments: Option<Duration>,
    ) -> Self {
        Self { config, sandbox, clock, increments, counted: Mutex::default() }
    }

    fn source(&self, cancel: &Cancel) -> Account {
        Account::of_source(&self.config).for_run(cancel)
    }

    fn tools(&self, server: &crate::domain::manifest::ServerIdentity) -> Result<Tools> {
        Tools::find(server, self.config.programs.as_deref())
    }

    /// Whether rows are counted at the end of the next increment; not where that was done not long ago.
    fn counting(&self) -> Counting {
        let Some(budget) = self.config.truth_budget else { return Counting::Never };
        let now = self.clock.monotonic();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = (budget * COUNTS_APART).max(COUNTS_APART_LEAST);
        if counted.is_some_and(|counted| now.saturating_sub(counted) < apart) {
            return Counting::Later;
        }
        *counted = Some(now);
        Counting::Now(budget)
    }

    /// What is to be backed up: the database of canaries too, where there is one and it can be read.
    fn databases(&self, session: &mut Session) -> Result<Vec<String>> {
        let mut databases = self.config.databases.clone();
        let is_beside = self.config.canary && !databases.is_empty() && !databases.iter().any(|name| name == DATABASE);
        if is_beside
            && session.column("SHOW DATABASES")?.iter().any(|name| name == DATABASE)
            && canary::can_read(session)?
        {
            databases.push(DATABASE.to_owned());
        }
        Ok(databases)
    }

    fn survey(&self, cancel: &Cancel) -> Result<(Session, Survey, Tools)> {
        let mut session = Session::open(&self.source(cancel))?;
        let databases = self.databases(&mut session)?;
        let survey = source::survey(&mut session, &databases)?;
        let tools = self.tools(&survey.server)?;
        if !tools.takes_pins() {
            pinned::refuse(&survey.smaller)?;
        }
        Ok((session, survey, tools))
    }
}

impl Engine for MysqlEngine {
    fn preflight<'e>(&'e self, context: &RunContext) -> Result<Box<dyn Ready + 'e>> {
        let (mut session, survey, tools) = self.survey(&context.cancel)?;
        let (mut hindrances, mut impossible) = (Vec::new(), None);
        if let Some(every) = self.increments {
            hindrances = increments::hindrances::look(&mut session, tools.product(), every, self.config.block_ddl)?;
            let error = increments::hindrances::possible(&mut session, tools.product(), &survey.databases).err();
            impossible = error.map(|error| (error.to_string(), error.hint_text().unwrap_or_default().to_owned()));
        }
        if self.config.canary {
            hindrances.extend(canary::hindrances(&mut session, survey.binlog())?);
        }
        let (account, clock) = (Account::of_source(&self.config), &*self.clock);
        let (has_increments, blocks) = (self.increments.is_some(), self.config.block_ddl);
        Ok(Box::new(Surveyed {
            account,
            clock,
            has_increments,
            blocks,
            session,
            survey,
            tools,
            hindrances,
            impossible,
        }))
    }

    fn has_increments(&self) -> bool {
        true
    }

    fn replays_single_tables(&self) -> bool {
        true
    }

    fn waits_on_break(&self) -> bool {
        self.config.waits_on_break
    }

    fn write_canary(&self, owner: &str, context: &RunContext) -> Result<Option<Canary>> {
        let write = || canary::write(self.source(&context.cancel), owner, &*self.clock);
        self.config.canary.then(write).transpose()
    }

    fn changes_since(&self, after: &Manifest, context: &RunContext) -> Result<Since> {
        let (session, survey, tools) = self.survey(&context.cancel)?;
        let (account, counting) = (self.source(&context.cancel), self.counting());
        let reached = increments::Reached { session, survey, tools, account, counting };
        increments::changes_since(reached, &*self.clock, (after, None), context)
    }

    fn changes_until(&self, after: &Manifest, end: &Position, context: &RunContext) -> Result<Since> {
        let (session, survey, tools) = self.survey(&context.cancel)?;
        // It ends where somebody said: a snapshot of now would be behind that.
        let counting = if self.config.truth_budget.is_some() { Counting::Later } else { Counting::Never };
        let account = self.source(&context.cancel);
        let reached = increments::Reached { session, survey, tools, account, counting };
        increments::changes_since(reached, &*self.clock, (after, Some(end)), context)
    }

    fn tail(&self, context: &RunContext) -> Result<Box<dyn crate::engine::Tail>> {
        increments::tail(self.source(&context.cancel))
    }

    fn join(&self, stored: &[StoredIncrement], context: &RunContext) -> Result<Dump> {
        increments::join(stored, context)
    }

    fn sandbox(&self, point: &StoredPoint) -> Result<SandboxSpec> {
        let needs = needs::of(point)?;
        let spec = server::spec(&point.manifest, &needs, self.sandbox.programs.as_deref(), self.sandbox.memory);
        Ok(SandboxSpec::Server(Box::new(spec)))
    }

    fn destination(&self, spec: &SandboxSpec, access: &Access) -> Destination {
        let user = match spec {
            SandboxSpec::Server(server) => server.user.clone(),
            SandboxSpec::Directory => String::new(),
        };
        Destination::new(Account::of_sandbox(access.socket.clone(), user))
    }

    fn table_name(&self, typed: &str) -> Result<String> {
        let parts = names::split_qualified(typed);
        Ok(parts.map_or_else(|| typed.to_owned(), |(database, table)| names::qualified(&database, &table)))
    }

    fn load(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<LoadReport> {
        let tools = self.tools(&point.manifest.server)?;
        let account = Account::of_destination(to)?.for_run(&context.cancel);
        if !point.increments.is_empty() {
            // What the replay needs is named before anything is loaded.
            rollforward::look(&account, point, options, context)?;
        }
        load::load(&tools, &self.source(&context.cancel), &account, point, options, context)
    }

    fn transactions(
        &self,
        increment: &StoredIncrement,
        seen: &mut dyn FnMut(LoggedTransaction) -> Result<()>,
        context: &RunContext,
    ) -> Result<()> {
        rollforward::events(increment, seen, context)
    }

    fn replay(
        &self,
        point: &StoredPoint,
        to: &Destination,
        options: &LoadOptions,
        context: &RunContext,
    ) -> Result<Replayed> {
        rollforward::roll_forward(&Account::of_destination(to)?.for_run(&context.cancel), point, options, context)
    }

    fn inspect(
        &self,
        at: &Destination,
        point: &StoredPoint,
        options: &InspectOptions,
        context: &RunContext,
    ) -> Result<Inspection> {
        let manifest = &point.manifest;
        let tools = self.tools(&manifest.server)?;
        let account = readers::inspecting(Account::of_destination(at)?).for_run(&context.cancel);
        context.progress.phase("verify", Some(manifest.logical_bytes()));
        let inspection = inspect::inspect(&tools, &account, manifest, context);
        context.progress.finish();
        let mut inspection = inspection?;
        if options.apart {
            let needs = needs::of(point)?;
            for table in elsewhere::stand_ins(&manifest.server, &needs) {
                let engine = needs.connected.get(table).map_or("", String::as_str);
                inspection.notes.push(elsewhere::untried(table, engine));
                inspection.untried.push(table.clone());
            }
        }
        Ok(inspection)
    }

    fn afterthoughts(&self, at: &Destination, point: &StoredPoint, tables: &[String]) -> Result<Vec<String>> {
        if point.manifest.server.product != "MariaDB" {
            return Ok(Vec::new());
        }
        let patient = Account::of_destination(at)?.answers_within(checks::LONGEST);
        checks::violated(&mut Session::open(&patient)?, point.manifest.inventory(), tables)
    }

    fn assert(&self, at: &Destination, assertion: &Assertion, context: &RunContext) -> Result<Check> {
        let Question::Query(sql) = &assertion.question else {
            return Err(Error::configuration(format!("cannot run assertion `{}`: it is not SQL", assertion.name)));
        };
        let account = readers::asking(Account::of_destination(at)?).for_run(&context.cancel);
        let mut session = Session::open(&account.answers_within(self.config.assertion_timeout))?;
        readers::only_read(&mut session)?;
        // What the server refuses is an answer, and taking too long is one. A server that is gone says nothing.
        let answer = match session.ask(sql) {
            Ok(answer) => answer.map_err(|refusal| refusal.to_string()),
            Err(error) => match error.cause::<Unanswered>().filter(|question| question.is_alive) {
                Some(question) => Err(question.to_string()),
                None => return Err(error.context(format!("cannot run assertion `{}`", assertion.name))),
            },
        };
        let value = answer.map(|rows| rows.into_iter().next().and_then(|mut row| row.drain(..).next().flatten()));
        let (actual, ok) = match value {
            Ok(Some(value)) => {
                (value.clone(), value.parse::<f64>().is_ok_and(|number| number.is_finite() && number != 0.0))
            }
            Ok(None) => ("NULL".to_owned(), false),
            Err(why) => (why, false),
        };
        Ok(Check { name: format!("assertion {}", assertion.name), expected: "true".to_owned(), actual, ok })
    }
}
