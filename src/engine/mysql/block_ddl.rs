//! Keeps definitions as they are while a full backup is read that increments are to continue: what changed meanwhile is in it already, or
//! half, and nothing could be replayed on it.
//!
//! Tried: a client's `FLUSH TABLES WITH READ LOCK` waits behind a change of a definition that waits for this, and holds up every
//! writer meanwhile. So it is taken when the client has begun to print, and its snapshot is open. What changed before is noticed as
//! it is without this, and another full backup is taken.
//!
//! Tried, too: at MariaDB an ALTER that runs already goes on, and waits at its end, with its table locked against all readers. So
//! nothing is blocked while one runs, and the block ends as soon as one waits that began before it. Whoever begins later waits
//! without a lock on rows.

mod others;

use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::others::Other;
use super::account::Account;
use super::connection::Session;
use super::source::SYSTEM_DATABASES;
use crate::clock::{Stopwatch, SystemClock};
use crate::error::Result;

/// As many seconds it waits for changes that run already. New ones wait meanwhile.
const PATIENCE: u32 = 10;
/// The longest that it lasts.
const LONGEST: Duration = Duration::from_hours(1);
/// So often it is looked whether somebody is held up who must not be.
const INTERVAL: Duration = Duration::from_secs(1);
/// After as many seconds without a look the server ends the session, and with it the block: also where this host is gone.
const IDLE: u32 = 60;

/// Definitions cannot change as long as this lives, where the server allows that.
#[derive(Clone)]
pub struct Blocked(Arc<Mutex<Option<Watch>>>);

impl Blocked {
    /// Not yet.
    pub fn later() -> Self {
        Self(Arc::default())
    }

    /// The same output of a dump client; with its first bytes definitions are blocked at the server of `account`.
    pub fn with_first_byte<R: Read>(&self, dump: R, account: Account, product: &str) -> Blocking<R> {
        Blocking { dump, waiting: Some((self.clone(), account, product == "MariaDB")) }
    }

    fn begin(&self, account: &Account, maria: bool) {
        match block(account, maria) {
            Ok(Ok(session)) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Watch::start(session, maria);
            }
            // It is a good backup all the same, and what changes meanwhile is noticed.
            Ok(Err(why)) => tracing::info!("definitions are not blocked while the backup is read: {why}"),
            Err(error) => tracing::info!("definitions are not blocked while the backup is read: {error}"),
        }
    }

    /// Definitions may change again.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Holds the block, and ends it where it would hold up more than definitions.
struct Watch {
    /// Gone when the block is to end.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Of the block that `session` has. None where it cannot be watched; the block has ended then.
    fn start(mut session: Session, maria: bool) -> Option<Self> {
        let (stop, asked) = mpsc::channel::<()>();
        let watch = Stopwatch::start(&SystemClock::shared());
        let block = Other::number_now(&mut session, maria).ok()?;
        let look = move || {
            // The session, and with it the block, ends where this does.
            while watch.elapsed() < LONGEST {
                match Other::all(&mut session, maria) {
                    Ok(others) => {
                        if let Some(other) = others.iter().find(|other| other.is_held_up_from_before(block)) {
                            let id = &other.id;
                            tracing::info!(
                                "definitions are not blocked any more: connection {id} began to change one before"
                            );
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::info!("definitions are not blocked any more: {error}");
                        return;
                    }
                }
                if asked.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("definitions".to_owned()).spawn(look).ok()?;
        Some(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A session that blocks them, or why there is none.
fn block(account: &Account, maria: bool) -> Result<std::result::Result<Session, String>> {
    let mut session = Session::open(account)?;
    if let Some(why) = hindrance(&mut session, maria)? {
        return Ok(Err(why));
    }
    hold(session, maria)
}

/// Why nothing may be blocked now.
fn hindrance(session: &mut Session, maria: bool) -> Result<Option<String>> {
    if maria {
        // Whoever may not see what others do may not see this.
        if let Err(refusal) = session.ask("SELECT 1 FROM information_schema.INNODB_TRX LIMIT 1")? {
            return Ok(Some(format!("{refusal}; it needs the privileges RELOAD and PROCESS")));
        }
        if let Some(table) = session.value(&not_transactional())? {
            return Ok(Some(format!("writers of tables like {table}, which is not transactional, would have to wait")));
        }
    }
    let others = Other::all(session, maria)?;
    let changing = others.iter().find_map(|other| Some((&other.id, other.change()?)));
    Ok(changing
        .map(|(id, change)| format!("connection {id} runs a statement {change} …, which would be held up at its end")))
}

/// The block, on this session.
fn hold(mut session: Session, maria: bool) -> Result<std::result::Result<Session, String>> {
    session.rows(&format!("SET SESSION lock_wait_timeout = {PATIENCE}, wait_timeout = {IDLE}"))?;
    if maria {
        for stage in ["START", "BLOCK_DDL"] {
            if let Err(refusal) = session.ask(&format!("BACKUP STAGE {stage}"))? {
                return Ok(Err(format!("{refusal}; it needs the privileges RELOAD and PROCESS")));
            }
        }
    } else if let Err(refusal) = session.ask("LOCK INSTANCE FOR BACKUP")? {
        return Ok(Err(format!("{refusal}; it needs the privilege BACKUP_ADMIN")));
    }
    Ok(Ok(session))
}

/// MariaDB has those who write into such tables wait too.
fn not_transactional() -> String {
    let systems = SYSTEM_DATABASES.map(|name| format!("'{name}'")).join(", ");
    format!(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES JOIN information_schema.ENGINES USING (ENGINE) \
         WHERE TRANSACTIONS = 'NO' AND ENGINE NOT IN ('MEMORY', 'SEQUENCE', 'PERFORMANCE_SCHEMA') AND TABLE_TYPE = 'BASE TABLE' \
         AND TABLE_SCHEMA NOT IN ({systems}) LIMIT 1"
    )
}

/// What a dump client prints.
pub struct Blocking<R> {
    dump: R,
    waiting: Option<(Blocked, Account, bool)>,
}

impl<R: Read> Read for Blocking<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.dump.read(buffer)?;
        if let Some((blocked, account, maria)) = self.waiting.take() {
            blocked.begin(&account, maria);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::domain::needs::Needs;
    use crate::engine::mysql::server;
    use crate::engine::mysql::tests::manifest;
    use crate::run_context::RunContext;
    use crate::sandbox::local::LocalSandbox;
    use crate::sandbox::{Sandbox, SandboxSpec};

    /// Lock wait timeout exceeded.
    const TIMED_OUT: u16 = 1205;

    fn with_server(product: &str, series: &str, programs: Option<&Path>, run: impl FnOnce(&Account)) {
        let spec = server::spec(&manifest(product, series), &Needs::default(), programs, 1 << 30);
        let state = tempfile::tempdir().unwrap();
        let sandbox = LocalSandbox::new(state.path(), SystemClock::shared());
        let spec = SandboxSpec::Server(Box::new(spec));
        let mut instance = sandbox.provision(&spec, "run", &RunContext::silent()).unwrap();
        instance.start(&RunContext::silent()).unwrap();
        let SandboxSpec::Server(server) = &spec else { unreachable!() };
        let account = Account::of_sandbox(instance.access().socket.clone(), server.user.clone());
        run(&account);
        instance.destroy().unwrap();
    }

    fn rows_go_on_and_definitions_wait(product: &str, account: &Account) {
        let maria = product == "MariaDB";
        let mut session = Session::open(account).unwrap();
        session.rows("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB").unwrap();
        session.rows("SET SESSION lock_wait_timeout = 1").unwrap();

        let blocked = Blocked::later();
        let mut dump = blocked.with_first_byte(&b"-- dump"[..], account.clone(), product);
        session.rows("CREATE TABLE d.before (a INT) ENGINE=InnoDB").unwrap();
        // While it says that it is done, a session still shows its statement.
        session.rows("DO 0").unwrap();
        let mut byte = [0];
        dump.read_exact(&mut byte).unwrap();
        for change in
            ["CREATE TABLE d.u (a INT)", "ALTER TABLE d.t ADD COLUMN b INT", "TRUNCATE TABLE d.t", "DROP TABLE d.t"]
        {
            assert_eq!(session.ask(change).unwrap().unwrap_err().number, TIMED_OUT, "{product}: {change}");
        }
        session.rows("INSERT INTO d.t VALUES (1); UPDATE d.t SET a = 2; CREATE TEMPORARY TABLE d.own (a INT)").unwrap();
        // Also the rows of a table whose definition is waiting to be changed.
        for (change, is_looked_at) in
            [("TRUNCATE TABLE d.t", false), ("ALTER TABLE d.t ADD COLUMN c INT, ALGORITHM=COPY", true)]
        {
            let changing = in_background(account, change);
            until_state(&mut session, changing.0, "Waiting for backup lock");
            session.rows("UPDATE d.t SET a = a + 1; SELECT * FROM d.t").unwrap();
            if is_looked_at {
                // More than one look later the block is there.
                until_running(&mut session, changing.0, 2);
                until_state(&mut session, changing.0, "Waiting for backup lock");
            }
            session.rows(&format!("KILL {}", changing.0)).unwrap();
            changing.1.join().unwrap();
        }
        dump.read_exact(&mut byte).unwrap();
        blocked.end();
        session.rows("ALTER TABLE d.t ADD COLUMN b INT").unwrap();

        // Whoever may not, or would have writers wait, is told and lives without.
        session.rows("CREATE USER poor@localhost; GRANT SELECT ON *.* TO poor@localhost").unwrap();
        let poor = account.clone().with_user("poor");
        let why = block(&poor, maria).unwrap().err().unwrap();
        assert!(why.contains(if maria { "RELOAD" } else { "BACKUP_ADMIN" }), "{why}");
        session.rows("CREATE TABLE d.m (a INT) ENGINE=MyISAM").unwrap();
        let again = block(account, maria).unwrap();
        assert_eq!(again.err().is_some_and(|why| why.contains("d.m")), maria);
        session.rows("INSERT INTO d.m VALUES (1)").unwrap();
    }

    /// A statement in a session of its own, and the number of that.
    fn in_background(account: &Account, sql: &str) -> (u64, JoinHandle<bool>) {
        let mut session = Session::open(account).unwrap();
        let id = session.value("SELECT CONNECTION_ID()").unwrap().unwrap().parse().unwrap();
        let sql = sql.to_owned();
        (id, std::thread::spawn(move || session.ask(&sql).is_ok_and(|done| done.is_ok())))
    }

    fn until(session: &mut Session, id: u64, condition: &str) {
        let sql = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id} AND {condition}");
        let watch = Stopwatch::start(&SystemClock::shared());
        while session.value(&sql).unwrap().as_deref() != Some("1") {
            assert!(watch.elapsed() < Duration::from_mins(1), "{condition}");
        }
    }

    fn until_state(session: &mut Session, id: u64, state: &str) {
        until(session, id, &format!("STATE = '{state}'"));
    }

    fn until_running(session: &mut Session, id: u64, seconds: u32) {
        until(session, id, &format!("TIME >= {seconds}"));
    }

    /// An ALTER that is nearly done: it only waits for a reader.
    fn a_change_that_began_before_holds_up_nobody(product: &str, account: &Account) {
        let maria = product == "MariaDB";
        let mut session = Session::open(account).unwrap();
        session.rows("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY, b INT) ENGINE=InnoDB").unwrap();
        session.rows("SET SESSION lock_wait_timeout = 20").unwrap();
        let mut reader = Session::open(account).unwrap();
        reader.rows("BEGIN; SELECT * FROM d.t").unwrap();
        let (id, changing) = in_background(account, "ALTER TABLE d.t ADD INDEX i (b), ALGORITHM=INPLACE");
        until_state(&mut session, id, "Waiting for table metadata lock");

        let why = block(account, maria).unwrap().err().unwrap();
        assert!(why.contains(&format!("connection {id} runs a statement ALTER")), "{product}: {why}");
        if maria {
            // One that began between that look and the block.
            let held = hold(Session::open(account).unwrap(), maria).unwrap().unwrap();
            let watch = Watch::start(held, maria).unwrap();
            reader.rows("COMMIT").unwrap();
            session.rows("SELECT * FROM d.t; INSERT INTO d.t VALUES (1, 1)").unwrap();
            assert!(changing.join().unwrap());
            assert!(watch.thread.as_ref().unwrap().is_finished(), "the block has ended by itself");
            session.rows("ALTER TABLE d.t ADD COLUMN c INT").unwrap();
        } else {
            reader.rows("COMMIT").unwrap();
            assert!(changing.join().unwrap());
        }
        assert!(block(account, maria).unwrap().is_ok(), "{product}: nothing runs any more");
    }

    #[test]
    fn a_change_that_began_before_the_block_holds_up_nobody_at_mariadb() {
        with_server("MariaDB", "10.11", None, |account| a_change_that_began_before_holds_up_nobody("MariaDB", account));
    }

    #[test]
    fn a_change_that_began_before_the_block_holds_up_nobody_at_mysql() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
        with_server("MySQL", "9.7", Some(&programs), |account| {
            a_change_that_began_before_holds_up_nobody("MySQL", account);
        });
    }

    #[test]
    fn definitions_wait_and_rows_go_on_at_mariadb() {
        with_server("MariaDB", "10.11", None, |account| rows_go_on_and_definitions_wait("MariaDB", account));
    }

    #[test]
    fn definitions_wait_and_rows_go_on_at_mysql() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/mysql-root/wrappers");
        with_server("MySQL", "9.7", Some(&programs), |account| rows_go_on_and_definitions_wait("MySQL", account));
    }
}
