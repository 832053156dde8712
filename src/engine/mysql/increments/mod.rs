//! Increments: what came into a server's binary log since a backup, byte for byte, and whether it continues that backup.
//!
//! Continuity is never taken from names and numbers alone: the server must be the same, the file must have been begun at the same
//! time, and the last archived transaction, fetched again, must have the same bytes. Whatever does not fit is a
//! [`Break`], never skipped over.

mod capture;
mod fetch;
pub(super) mod hindrances;
mod join;
mod log;
mod tail;
mod truth;

use self::capture::Window;
use self::fetch::{Fetch, PIECE, read};
pub(super) use self::join::join;
use self::log::Log;
pub(super) use self::tail::tail;
pub(super) use self::truth::Counting;
use self::truth::Truth;
use super::account::Account;
use super::accounts::{self, AccountSql};
use super::binlog::LogScanner;
use super::connection::Session;
use super::names;
use super::source::Survey;
use super::tool::Tools;
use crate::clock::Clock;
use crate::domain::chain::{Break, BreakKind};
use crate::domain::manifest::{LogIdentity, Manifest, Place, Position};
use crate::engine::Since;
use crate::error::{Error, Result};
use crate::run_context::{Cancel, RunContext};

/// A source that was reached.
pub(super) struct Reached {
    pub(super) session: Session,
    pub(super) survey: Survey,
    pub(super) tools: Tools,
    pub(super) account: Account,
    /// Whether rows are counted at the end.
    pub(super) counting: Counting,
}

/// What has come since `after`, up to `end` if there is one, else to where the log ends now.
pub(super) fn changes_since(
    reached: Reached,
    clock: &dyn Clock,
    (after, end): (&Manifest, Option<&Position>),
    context: &RunContext,
) -> Result<Since> {
    let Reached { mut session, survey, tools, account, counting } = reached;
    let cancel = &context.cancel;
    let from = after.position.clone().unwrap_or_default();
    // Before the server is asked how far it is: what it has then is at least this new.
    let as_of = clock.wall();
    // Its place is behind that, and before the end of the log that is read next.
    let mut truth = Truth::open(&account, tools.product(), counting, after);
    let Some(mut log) = log::read(&mut session, tools.product())? else {
        if from == Position::default() {
            // It is no break where there was never anything to continue: a full backup would change nothing.
            return Err(Error::failed("the server keeps no binary log").hint(hindrances::LOG_BIN));
        }
        return Ok(Since::Broken(Break::new(BreakKind::NoLog, "the server keeps no binary log any more")));
    };
    // Without these no full backup can be continued: another one would change nothing either.
    hindrances::allowed(&mut session, tools.product())?;
    hindrances::logs_everything(&mut session, &survey.databases)?;
    if from.log.is_none() {
        begun(&tools, &account, (&log.file, log.offset), cancel)?;
    }
    if let Some(broken) = end.and_then(|end| log.end_at(end).err()) {
        return Ok(Since::Broken(broken));
    }
    truth.ends(&mut log, &from);
    let files = match log.since(&from) {
        Ok(files) => files,
        Err(broken) => return Ok(Since::Broken(broken)),
    };
    let last = files.len().saturating_sub(1);
    let all = files.iter().enumerate().map(|(at, (_, size))| if at == last { log.offset } else { *size }).sum::<u64>();
    truth.waits_for(all.saturating_sub(from.binlog_offset.unwrap_or_default()));
    if let Some(broken) = other_history(&tools, &account, &mut session, &from, cancel)? {
        return Ok(Since::Broken(broken));
    }
    if log.ends_at(&from) {
        return Ok(Since::Nothing(as_of));
    }
    let gtid = gtid_at_end(&mut session, tools.product(), &log)?;
    drop(session);
    let from_log = capture::From { position: from, files, log, gtid };
    capture::start(capture::Capture { tools, account, survey, from: from_log, as_of, truth }, context)
        .map(Since::Changes)
}

/// The identity of the log in which a full backup's snapshot stands, as far as the server tells it; and where the log was when
/// the backup had been read.
pub(super) fn identify(
    tools: &Tools,
    account: &Account,
    (accounts, outside): (&[AccountSql], &[String]),
    position: &Position,
    cancel: &Cancel,
) -> Result<Option<LogIdentity>> {
    let (Some(file), Some(offset)) = (&position.binlog_file, position.binlog_offset) else { return Ok(None) };
    let mut session = Session::open(account)?;
    // They were read before the snapshot: the log after it does not have what came between.
    accounts::prepare(&mut session, tools.product(), "")?;
    if accounts::read(&mut session, tools.product())?.all != accounts {
        return Err(Error::failed("cannot tell which accounts it has: they changed while the backup was taken"));
    }
    let Some((end_file, end_offset, _)) = log::end(&mut session)? else { return Ok(None) };
    let server = log::server(&mut session, tools.product())?;
    let begun = begun(tools, account, (file, offset), cancel)?;
    let settled = Some(Place { file: end_file, offset: end_offset });
    Ok(Some(LogIdentity { server, begun, last: None, settled, outside: outside.to_vec() }))
}

/// When the server began a file, in its own words.
fn begun(tools: &Tools, account: &Account, (file, offset): (&str, u64), cancel: &Cancel) -> Result<u32> {
    let mut fetch = Fetch::start(tools, account, (file, offset), cancel)?;
    let mut scanner = LogScanner::new(file, offset);
    let mut buffer = [0; 4096];
    while scanner.header().is_none() {
        let read = read(&mut fetch, &mut buffer)?;
        if read == 0 {
            return Err(Error::failed(format!("cannot fetch {file}: it ends before its header is complete")));
        }
        scanner.push(&buffer[..read])?;
    }
    scanner
        .header()
        .map(|header| header.timestamp)
        .ok_or_else(|| Error::failed(format!("cannot fetch {file}: it has no header")))
}

/// Why the log at `from` is not the one that was archived; none where it is.
fn other_history(
    tools: &Tools,
    account: &Account,
    session: &mut Session,
    from: &Position,
    cancel: &Cancel,
) -> Result<Option<Break>> {
    let (Some(file), Some(offset), Some(identity)) = (&from.binlog_file, from.binlog_offset, &from.log) else {
        return Ok(Some(Break::new(BreakKind::Unknown, "the backup does not say where in which log it ends")));
    };
    let differs = |why: String| Ok(Some(Break::new(BreakKind::OtherHistory, why)));
    if tools.product() == "MariaDB" {
        let asked = format!("SELECT BINLOG_GTID_POS({}, {offset})", names::quote_text(file));
        let now = session.value(&asked)?.filter(|gtid| !gtid.is_empty());
        if let Some(was) = from.gtid.as_ref().filter(|was| !same_gtids(was, now.as_deref())) {
            let now = now.as_deref().unwrap_or("nothing");
            return differs(format!(
                "{file}:{offset} was at GTID {was} and is at {now}: the log was begun anew, or the server restored"
            ));
        }
    } else if let Some(was) = from.gtid.as_deref().map(|was| was.trim_start_matches('+')) {
        let asked = format!("SELECT GTID_SUBSET({}, @@GLOBAL.gtid_executed)", names::quote_text(was));
        if session.value(&asked)?.as_deref() != Some("1") {
            return differs(format!(
                "the server no longer has all of the archived transactions {was}: it was restored, or reset"
            ));
        }
    }
    let first = identity.last.as_ref().map_or(offset, |last| last.offset);
    let mut fetch = Fetch::start(tools, account, (file, first), cancel)?;
    let mut window = Window::of(first, offset);
    let (mut scanner, mut buffer) = (LogScanner::new(file, first), vec![0; PIECE]);
    while !window.is_full() {
        let read = read(&mut fetch, &mut buffer)?;
        if read == 0 {
            return differs(format!("{file} ends inside of the last archived transaction"));
        }
        if let Err(error) = scanner.push(&window.keep(&buffer[..read])) {
            return another_log(error, (file, first));
        }
        if scanner.header().is_some_and(|header| header.timestamp != identity.begun) {
            return differs(format!("{file} is another file than the archived one: it was begun at another time"));
        }
    }
    let again = match scanner.finish() {
        Ok(whole) => whole.last_group,
        Err(error) => return another_log(error, (file, first)),
    };
    // Between the last transaction and the position the server may have put notes of its own, which are no part of it.
    match &identity.last {
        Some(last) if again.as_ref() != Some(last) => differs(format!(
            "the transaction at {file}:{} is not the archived one: the log has another history",
            last.offset
        )),
        _ => Ok(None),
    }
}

/// What was whole events when it was archived is none now.
fn another_log(error: Error, (file, first): (&str, u64)) -> Result<Option<Break>> {
    match error.cause::<Break>() {
        Some(broken) => {
            let why = format!("at {file}:{first} there is another log: {broken}");
            Ok(Some(Break::new(BreakKind::OtherHistory, why)))
        }
        None => Err(error),
    }
}

/// Both name the same transactions, in whatever order the domains are written.
fn same_gtids(was: &str, now: Option<&str>) -> bool {
    let sorted = |text: &str| {
        let mut parts: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        parts.sort();
        parts
    };
    sorted(was) == sorted(now.unwrap_or_default())
}

/// GTID state at exactly the end of `log`.
fn gtid_at_end(session: &mut Session, product: &str, log: &Log) -> Result<Option<String>> {
    if product != "MariaDB" {
        // It was in the same answer as the position.
        return Ok(log.gtid.clone());
    }
    let asked = format!("SELECT BINLOG_GTID_POS({}, {})", names::quote_text(&log.file), log.offset);
    Ok(session.value(&asked)?.filter(|gtid| !gtid.is_empty()))
}
