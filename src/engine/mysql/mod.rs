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
mod readers;
mod ready;
mod refusal;
mod relations;
mod replay;
mod rollforward;
mod rows;
mod schemas;
mod server;
mod shipped;
mod source;
mod sql;
mod stream;
mod supplement;
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

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use self::account::Account;
use self::block_ddl::Blocked;
use self::captured::{ACCOUNTS_FILE, DUMP_FILE, captured, warnings};
use self::connection::Session;
pub use self::kind::Mysql;
use self::source::Survey;
use self::supplement::Asked;
pub use self::table::MysqlConfig;
use self::tool::{Extent, Purpose, Tools};
use self::waits::Unanswered;
use super::assertion::{Assertion, Question};
use super::destination::Destination;
use super::{
    Dump, Engine, InspectOptions, Inspection, LoadOptions, LoadReport, Preflight, Ready, Replayed, Since,
    StoredIncrement, StoredPoint,
};
use crate::clock::Clock;
use crate::domain::drill::Check;
use crate::domain::logged::LoggedTransaction;
use crate::domain::manifest::{Manifest, Position};
use crate::error::{Error, Result};
use crate::repository::{Stream, in_order};
use crate::run_context::{Cancel, RunContext};
use crate::sandbox::settings::SandboxConfig;
use crate::sandbox::{Access, SandboxSpec};

/// The engine of one source.
pub struct MysqlEngine {
    config: MysqlConfig,
    sandbox: SandboxConfig,
    clock: Arc<dyn Clock>,
    /// How far apart increments are scheduled; none where none are.
    increments: Option<Duration>,
}

impl MysqlEngine {
    /// The engine of a source with this configuration.
    pub fn new(
        config: MysqlConfig,
        sandbox: SandboxConfig,
        clock: Arc<dyn Clock>,
        increments: Option<Duration>,
    ) -> Self {
        Self { config, sandbox, clock, increments }
    }

    fn source(&self, cancel: &Cancel) -> Account {
        Account::of_source(&self.config).for_run(cancel)
    }

    fn tools(&self, server: &crate::domain::manifest::ServerIdentity) -> Result<Tools> {
        Tools::find(server, self.config.programs.as_deref())
    }

    fn survey(&self, cancel: &Cancel) -> Result<(Session, Survey, Tools)> {
        let mut session = Session::open(&self.source(cancel))?;
        let survey = source::survey(&mut session, &self.config.databases)?;
        let tools = self.tools(&survey.server)?;
        if !tools.takes_pins() {
            pinned::refuse(&survey.smaller)?;
        }
        Ok((session, survey, tools))
    }
}

/// A server that can be dumped.
struct Surveyed<'e> {
    engine: &'e MysqlEngine,
    session: Session,
    survey: Survey,
    tools: Tools,
    /// What stands in the way of scheduled increments.
    hindrances: Vec<String>,
    /// Why increments that are scheduled cannot be taken at all, and what mends it.
    impossible: Option<(String, String)>,
}

impl Ready for Surveyed<'_> {
    fn describe(&self) -> Result<Preflight> {
        let (survey, tools) = (&self.survey, &self.tools);
        let summary = format!(
            "{} {} as {}, {} database(s), binary log {}",
            survey.server.product,
            survey.server.version,
            survey.user,
            survey.databases.len(),
            if survey.binlog() { "on" } else { "off" }
        );
        let warnings = [warnings(survey, tools), self.hindrances.clone()].concat();
        Ok(Preflight { summary, warnings, impossible: self.impossible.clone() })
    }

    fn dump(self: Box<Self>, context: &RunContext) -> Result<Dump> {
        let Self { engine, mut session, survey, tools, .. } = *self;
        accounts::prepare(&mut session, &survey.server.product, "")?;
        let mut accounts = accounts::read(&mut session, &survey.server.product)?;
        let left_out = survey.examined.left_out.clone();
        let asked = Asked {
            databases: &survey.databases,
            left_out: &left_out,
            capture: survey.capture,
            undescribed: &survey.examined.undescribed,
        };
        let supplement = supplement::gather(&mut session, asked)?;
        supplement.whole()?;
        let listed = listing::read(&mut session, &survey.databases, !survey.capture.without_events, &left_out)?;
        accounts.left_out.extend(holdings::warnings(&mut session, &survey.server.product)?);
        drop(session);
        context.progress.phase("backup", Some(survey.estimated_bytes).filter(|bytes| *bytes > 0));
        // Taken before the client can open its snapshot: the data is at least this new, never older than we say.
        let as_of = engine.clock.wall();
        let purpose = Purpose::Backup { binlog: survey.binlog(), gtid: survey.gtid() };
        let extent = Extent { asked, pins: &survey.pins };
        let dump = tools.start_dump(&engine.source(&context.cancel), &extent, purpose, &context.cancel)?;
        let reading = pump::Reading { client: tools.reader(), capture: survey.capture, supplement };
        let blocked = Blocked::later();
        let (reader, outcome) = if engine.increments.is_some() && engine.config.block_ddl && survey.binlog() {
            let product = &survey.server.product;
            pump::start(blocked.with_first_byte(dump, engine.source(&context.cancel), product), reading, context)?
        } else {
            pump::start(dump, reading, context)?
        };
        let accounts_sql = accounts::write(&accounts.all).into_bytes();
        let streams = in_order(vec![
            Stream { path: ACCOUNTS_FILE.to_owned(), reader: Box::new(Cursor::new(accounts_sql.clone())) },
            Stream { path: DUMP_FILE.to_owned(), reader },
        ]);
        let (progress, source) = (context.progress.clone(), engine.source(&context.cancel));
        let cancel = context.cancel.clone();
        let finish = Box::new(move || {
            progress.finish();
            let complete = outcome.take()?;
            let now = || {
                let mut session = Session::open(&source)?;
                session.rows(&survey.pins)?;
                listing::read(&mut session, &survey.databases, !survey.capture.without_events, &left_out)
            };
            let moved = listing::Listing::of(&complete.facts.inventory()).check(&listed, now)?;
            let engine_left_out =
                |table: &String| table.rsplit_once(" (").map_or(table.as_str(), |(name, _)| name).to_owned();
            let outside: Vec<String> = complete.facts.not_in_snapshot.iter().map(engine_left_out).collect();
            let mut captured = captured(&survey, &tools, complete, &accounts, &accounts_sql);
            captured.warnings.extend(moved);
            if let Some(position) = &mut captured.position {
                position.log = increments::identify(&tools, &source, (&accounts.all, &outside), position, &cancel)
                    .unwrap_or_else(|error| {
                        // It is a good backup all the same; an incremental one says why it cannot continue it.
                        tracing::debug!("this backup cannot be continued by increments: {error}");
                        None
                    });
            }
            // What changes from here on is in the log behind the backup.
            blocked.end();
            Ok(captured)
        });
        Ok(Dump { streams, as_of, finish })
    }
}

impl Engine for MysqlEngine {
    fn preflight<'e>(&'e self, context: &RunContext) -> Result<Box<dyn Ready + 'e>> {
        let (mut session, survey, tools) = self.survey(&context.cancel)?;
        let (mut hindrances, mut impossible) = (Vec::new(), None);
        if let Some(every) = self.increments {
            hindrances = increments::hindrances::look(&mut session, tools.product(), every)?;
            let error = increments::hindrances::possible(&mut session, tools.product(), &survey.databases).err();
            impossible = error.map(|error| (error.to_string(), error.hint_text().unwrap_or_default().to_owned()));
        }
        Ok(Box::new(Surveyed { engine: self, session, survey, tools, hindrances, impossible }))
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

    fn changes_since(&self, after: &Manifest, context: &RunContext) -> Result<Since> {
        let (session, survey, tools) = self.survey(&context.cancel)?;
        let reached = increments::Reached { session, survey, tools, account: self.source(&context.cancel) };
        increments::changes_since(reached, &*self.clock, (after, None), context)
    }

    fn changes_until(&self, after: &Manifest, end: &Position, context: &RunContext) -> Result<Since> {
        let (session, survey, tools) = self.survey(&context.cancel)?;
        let reached = increments::Reached { session, survey, tools, account: self.source(&context.cancel) };
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
