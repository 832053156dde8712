//! A server that was looked at: what is said of it, and how it is dumped. Everything in the dump is read by what was found.

use std::io::Cursor;

use super::account::Account;
use super::block_ddl::Blocked;
use super::captured::{ACCOUNTS_FILE, DUMP_FILE, captured, warnings};
use super::connection::Session;
use super::source::Survey;
use super::supplement::{self, Asked};
use super::tool::{Extent, Purpose, Tools};
use super::{accounts, holdings, increments, listing, pump};
use crate::clock::Clock;
use crate::engine::{Dump, Preflight, Ready};
use crate::error::Result;
use crate::repository::{Stream, in_order};
use crate::run_context::RunContext;

/// A server that can be dumped.
pub struct Surveyed<'e> {
    pub account: Account,
    pub clock: &'e dyn Clock,
    /// Whether increments are scheduled, and whether definitions are to be blocked for them while this is read.
    pub has_increments: bool,
    pub blocks: bool,
    pub session: Session,
    pub survey: Survey,
    pub tools: Tools,
    /// What stands in the way of scheduled increments.
    pub hindrances: Vec<String>,
    /// Why increments that are scheduled cannot be taken at all, and what mends it.
    pub impossible: Option<(String, String)>,
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
        let Self { account, clock, has_increments, blocks, mut session, survey, tools, .. } = *self;
        let account = account.for_run(&context.cancel);
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
        let as_of = clock.wall();
        let purpose = Purpose::Backup { binlog: survey.binlog(), gtid: survey.gtid() };
        let extent = Extent { asked, pins: &survey.pins };
        let dump = tools.start_dump(&account, &extent, purpose, &context.cancel)?;
        let reading = pump::Reading { client: tools.reader(), capture: survey.capture, supplement };
        let blocked = Blocked::later();
        let (reader, outcome) = if has_increments && blocks && survey.binlog() {
            let product = &survey.server.product;
            pump::start(blocked.with_first_byte(dump, account.clone(), product), reading, context)?
        } else {
            pump::start(dump, reading, context)?
        };
        let accounts_sql = accounts::write(&accounts.all).into_bytes();
        let streams = in_order(vec![
            Stream { path: ACCOUNTS_FILE.to_owned(), reader: Box::new(Cursor::new(accounts_sql.clone())) },
            Stream { path: DUMP_FILE.to_owned(), reader },
        ]);
        let (progress, cancel, source) = (context.progress.clone(), context.cancel.clone(), account);
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
                match increments::identify(&tools, &source, (&accounts.all, &outside), position, &cancel) {
                    Ok(log) => position.log = log,
                    // It is a good backup all the same, and the chain before it goes on.
                    Err(error) if has_increments => {
                        captured.warnings.push(format!("no increment can continue this full backup: {error}"));
                    }
                    Err(error) => tracing::debug!("this backup cannot be continued by increments: {error}"),
                }
            }
            // What changes from here on is in the log behind the backup.
            blocked.end();
            Ok(captured)
        });
        Ok(Dump { streams, as_of, finish })
    }
}
