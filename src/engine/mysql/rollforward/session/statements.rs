//! Statements of a log, each run alone.

use super::{Applier, OUR_OWN, refused, tells_transactions_apart};
use crate::engine::mysql::binlog::event::THREAD_SPECIFIC;
use crate::engine::mysql::binlog::logged::Logged;
use crate::engine::mysql::binlog::statement::{Order, is_about_accounts, order};
use crate::engine::mysql::connection::Refusal;
use crate::engine::mysql::names;
use crate::engine::mysql::rollforward::event::Event;
use crate::engine::mysql::rollforward::variables;
use crate::engine::mysql::rollforward::words::{first_word, may_tell_transactions_apart};
use crate::error::{Error, Result};

/// The table is not there; a DROP of several tables is logged although some were not.
const NO_SUCH_TABLE: u16 = 1051;
/// An account could not be made or changed: it is there, or is not.
const ACCOUNT_FAILED: u16 = 1396;
/// Some statements cannot be prepared.
const NOT_TO_BE_PREPARED: u16 = 1295;
/// A longer statement is not sent in hexadecimal digits, of which there are two for each byte.
const MOST_TWICE: usize = 8 << 20;
/// No such database, table, column or routine.
const NOT_THERE: [u16; 5] = [1049, 1054, 1141, 1146, 1305];

impl Applier<'_> {
    pub(super) fn query(&mut self, event: &Event) -> Result<()> {
        let query = Logged::read(event.body()).ok_or_else(|| Error::failed("a statement is cut off"))?;
        // Words that matter here have the same letters in all character sets of clients.
        let text: &str = &String::from_utf8_lossy(query.text);
        match order(text) {
            Order::Begin => {
                self.batch.begin();
                return Ok(());
            }
            Order::Commit => return self.commit(),
            Order::Rollback => {
                let rest = self.batch.roll_back();
                return self.do_all(&rest);
            }
            Order::Xa(_) | Order::XaCommit(_) | Order::XaRollback(_) => return self.xa(text),
            Order::Inside if first_word(text) == "XA" => return self.xa(text),
            Order::Inside | Order::RollbackTo | Order::Statement => {}
        }
        let next_id = self.next_id.take();
        if !self.setting.wanted.takes(event.body(), query.database, event.header.has(THREAD_SPECIFIC)) {
            return Ok(());
        }
        if let Some(only) = &self.setting.only
            && !only.takes(event.body(), event.header.has(THREAD_SPECIFIC))?
        {
            return Ok(());
        }
        self.send_all()?;
        if self.only_looks {
            return Ok(());
        }
        let settings = query.settings(self.maria, event.header.timestamp)?;
        if query.database != self.database {
            self.use_database(query.database, text)?;
        }
        if self.leaves_out(text) {
            return Ok(());
        }
        if settings != self.settings {
            self.session.one(&settings)?.map_err(|refusal| refused(&refusal, "SET …"))?;
            self.settings = settings;
        }
        match self.one(&query, next_id)? {
            Ok(()) if query.error == 0 => self.tell_apart(text),
            Ok(()) => {
                Err(Error::failed(format!("a statement that failed at the source with {} succeeds here", query.error)))
            }
            Err(refusal) if refusal.number == query.error => Ok(()),
            // It was logged with all its tables, though not all were there.
            Err(refusal) if refusal.number == NO_SUCH_TABLE && first_word(text) == "DROP" => Ok(()),
            // The destination's own account of this name is kept, as it is when a full backup is loaded.
            Err(refusal) if refusal.number == ACCOUNT_FAILED && self.keeps_accounts(text) => Ok(()),
            // Rights on something that is not replayed.
            Err(refusal) if NOT_THERE.contains(&refusal.number) && self.is_about_others(text) => Ok(()),
            Err(refusal) => Err(refused(&refusal, text)),
        }
    }

    /// Exactly one statement, in its own bytes. Those that are no UTF-8 cannot be sent as they are: the server takes them from
    /// a variable, in the character set that the session has by now. So are those prepared that need `next_id` right before they run.
    fn one(&mut self, query: &Logged<'_>, next_id: Option<String>) -> Result<std::result::Result<(), Refusal>> {
        if let Ok(text) = std::str::from_utf8(query.text) {
            let Some(set) = next_id.as_ref().filter(|_| text.len() > MOST_TWICE) else {
                return if next_id.is_none() { self.session.one(text) } else { self.kept(query, next_id) };
            };
            self.session.one(set)?.map_err(|refusal| refused(&refusal, "SET …"))?;
            return self.session.one(text);
        }
        self.kept(query, next_id)
    }

    fn kept(&mut self, query: &Logged<'_>, next_id: Option<String>) -> Result<std::result::Result<(), Refusal>> {
        let set = query.client().and_then(|client| self.collations.get(&client.into()));
        let (set, _) =
            set.ok_or_else(|| Error::failed("a statement is written in a character set that is not known here"))?;
        let kept = format!("SET @backup_sla_statement := _{set} X'{}'", variables::hex(query.text));
        let steps = [
            Some(kept),
            Some("PREPARE backup_sla_statement FROM @backup_sla_statement".to_owned()),
            next_id,
            Some("EXECUTE backup_sla_statement".to_owned()),
        ];
        for step in steps.into_iter().flatten() {
            match self.session.ask(&step)? {
                Err(refusal) if refusal.number == NOT_TO_BE_PREPARED => {
                    let what = "a statement is not written in UTF-8, or gives numbers to rows, and this server takes one of its kind in no \
                                other way";
                    return Err(Error::failed(what).hint("it can be replayed by `mysqlbinlog … | mysql` by hand"));
                }
                Err(refusal) => return Ok(Err(refusal)),
                Ok(_) => {}
            }
        }
        Ok(Ok(()))
    }

    /// One table for which it matters is enough: from then on transactions are told apart.
    fn tell_apart(&mut self, text: &str) -> Result<()> {
        if !self.batch.is_apart && may_tell_transactions_apart(text, self.maria) {
            // Asking MariaDB would open all its tables. Behind a `CREATE TABLE … START TRANSACTION` MySQL takes nothing but its rows.
            let cannot_ask = self.maria || self.batch.is_open();
            self.batch.is_apart = cannot_ask || tells_transactions_apart(&mut self.session, false)?;
        }
        Ok(())
    }

    /// Without accounts, what the log says of them is left out too.
    fn leaves_out(&self, text: &str) -> bool {
        !self.setting.accounts && is_about_accounts(text)
    }

    fn keeps_accounts(&self, text: &str) -> bool {
        !self.setting.throwaway && first_word(text) == "CREATE"
    }

    fn is_about_others(&self, text: &str) -> bool {
        self.setting.wanted.is_restricted() && matches!(first_word(text).as_str(), "GRANT" | "REVOKE")
    }

    fn use_database(&mut self, database: &[u8], text: &str) -> Result<()> {
        let name = std::str::from_utf8(database)
            .map_err(|_| Error::failed("the name of a database is not written in UTF-8"))?;
        // One that is not replayed need not be there. In its place is one in which nothing can be meant by accident.
        self.run(OUR_OWN)?;
        self.settings.clear();
        let only = self.setting.only.as_ref();
        let is_there = self.setting.wanted.has(name) && only.is_none_or(|only| only.has_database(name));
        let name = if name.is_empty() || is_there { name } else { "information_schema" };
        // One that this very statement makes, or took away, cannot be used.
        if !name.is_empty()
            && let Err(refusal) = self.session.one(&format!("USE {}", names::quote(name)))?
        {
            let is_missing = refusal.number == 1049 && matches!(first_word(text).as_str(), "CREATE" | "DROP");
            return if is_missing { Ok(()) } else { Err(refused(&refusal, "USE")) };
        }
        database.clone_into(&mut self.database);
        // The database's collation goes with it.
        self.settings.clear();
        Ok(())
    }
}
