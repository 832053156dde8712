//! What statements of a log do to tables and definitions. One that is not understood makes everything that it may touch
//! unsure, never exact.

mod alter;
mod made;
mod stated;
mod words;

use self::words::Words;
use super::query::Query;
use crate::engine::mysql::comments::Versioned;
use crate::engine::mysql::names::{self, Token};
use crate::engine::mysql::source::SYSTEM_DATABASES;
use crate::engine::mysql::sql::Quoting;

/// What a database has beside tables, as the checks name it.
const PROGRAMS: [&str; 3] = ["procedure", "function", "package"];

/// How a table came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Without rows.
    Anew,
    /// The same, where there was none of its name.
    IfMissing,
}

/// One effect of a statement. Tables are named as checks name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Made(String, Made),
    Emptied(String),
    Dropped(String),
    /// From this name to that.
    Renamed(String, String),
    /// The definition of a table may be another one.
    Redefined(String),
    /// Its rows cannot be counted, for this reason.
    Doubted(String, String),
    /// Run again, the statement gives it other contents, for this reason.
    Varies(String, String),
    /// Something else may be defined otherwise, or be there or not: `view d.v`, `trigger d.*`, `account *`, `*`.
    Definition(String),
    DroppedDatabase(String),
    /// Rows of any table may have changed, for this reason.
    Uncounted(String),
    /// A statement changed rows of it, which cannot be counted and may be others when it is run again: `d.t`, `d.*`, `*`; and what it is.
    Stated(String, String),
}

/// What a statement means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Understood {
    pub effects: Vec<Effect>,
    /// It changes rows: statement format.
    pub is_rows: bool,
    /// Rows follow, and a commit.
    pub begins: bool,
}

/// What a statement is to the transaction around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Begin,
    /// A transaction of XA by this name; MariaDB says it only at its end.
    Xa(String),
    Commit,
    Rollback,
    RollbackTo,
    XaCommit(String),
    XaRollback(String),
    /// A part of a transaction without effect.
    Inside,
    /// None of these.
    Statement,
}

/// What `text` is to the transaction around it.
pub fn order(text: &str) -> Order {
    let tokens = names::tokens(text, 4);
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
    let xa = |length: usize| {
        let name = text.trim_start().get(length..).unwrap_or_default().trim();
        let end = name.to_ascii_uppercase().rfind(" ONE PHASE").unwrap_or(name.len());
        name[..end].to_owned()
    };
    match () {
        () if is(0, "BEGIN") && !is(1, "NOT") || is(0, "START") && is(1, "TRANSACTION") => Order::Begin,
        () if is(0, "COMMIT") => Order::Commit,
        () if is(0, "ROLLBACK") && (is(1, "TO") || is(2, "TO")) => Order::RollbackTo,
        () if is(0, "ROLLBACK") => Order::Rollback,
        () if is(0, "SAVEPOINT") || is(0, "RELEASE") => Order::Inside,
        () if is(0, "XA") && is(1, "START") => Order::Xa(xa("XA START".len())),
        () if is(0, "XA") && is(1, "END") => Order::Xa(xa("XA END".len())),
        () if is(0, "XA") && is(1, "COMMIT") => Order::XaCommit(xa("XA COMMIT".len())),
        () if is(0, "XA") && is(1, "ROLLBACK") => Order::XaRollback(xa("XA ROLLBACK".len())),
        () if is(0, "XA") => Order::Inside,
        () => Order::Statement,
    }
}

/// What a statement does. `is_thread_specific`: a temporary table took part in it.
pub fn effects(query: &Query, is_thread_specific: bool) -> Understood {
    let Some(text) = &query.text else { return unknown("a statement in another character set") };
    let tokens = names::tokens(text, 1);
    let Some(Token::Word(first)) = tokens.first() else {
        let is_empty = tokens.is_empty();
        return if is_empty { Understood::default() } else { unknown("a statement that is not known") };
    };
    let first = first.to_ascii_uppercase();
    if let Some(understood) = of_rows(&first, query, text) {
        return understood;
    }
    let tokens = bare_tokens(text, usize::MAX);
    let mut statement = Statement {
        words: Words::new(&tokens, &query.database).folding(query.folds_names),
        out: Vec::new(),
        doubt: doubt(query, text),
        is_thread_specific,
    };
    let Some(()) = statement.read() else { return unknown(&format!("the statement {first}")) };
    if query.error != 0 && !statement.out.is_empty() {
        return unknown(&format!("{first} failed halfway (error {})", query.error));
    }
    statement.out.retain(|effect| !is_of_server(effect));
    let begins = tokens.len() >= 2
        && tokens[tokens.len() - 2].is_word("START")
        && tokens[tokens.len() - 1].is_word("TRANSACTION");
    Understood { effects: statement.out, is_rows: false, begins }
}

/// The first `limit` tokens of a statement, behind MariaDB's `SET STATEMENT … FOR` where it begins with that.
pub fn bare_tokens(text: &str, limit: usize) -> Vec<Token> {
    let is_behind =
        |tokens: &[Token]| matches!(tokens, [set, word, ..] if set.is_word("SET") && word.is_word("STATEMENT"));
    let mut tokens = names::tokens(text, limit.max(2));
    if is_behind(&tokens) {
        tokens = names::tokens(text, usize::MAX);
        if let Some(at) = tokens.iter().position(|token| token.is_word("FOR")) {
            tokens.drain(..=at);
        }
    }
    tokens.truncate(limit);
    tokens
}

/// Whether a statement is about accounts, and about nothing else.
pub fn is_about_accounts(text: &str) -> bool {
    let text = Some(text.to_owned());
    let (database, quoting) = (String::new(), Quoting::default());
    let query = Query { database, text, is_cut: false, error: 0, quoting, folds_names: false };
    let all = effects(&query, false).effects;
    let is_account = |effect: &Effect| matches!(effect, Effect::Definition(what) if what.starts_with("account "));
    !all.is_empty() && all.iter().all(is_account)
}

/// Statements that change rows; none for others.
fn of_rows(first: &str, query: &Query, text: &str) -> Option<Understood> {
    let rows = ["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "CALL", "SELECT", "DO", "WITH", "VALUES", "TABLE"];
    if !rows.contains(&first) {
        return None;
    }
    // The server empties a table in memory that was lost when it stopped.
    if first == "DELETE" && text.contains("generated by server") {
        let tokens = names::tokens(text, 8);
        let mut words = Words::new(&tokens, &query.database).folding(query.folds_names);
        if words.eats("DELETE")
            && words.eats("FROM")
            && let Some(table) = words.table()
            && words.is_at_end()
        {
            return Some(Understood { effects: vec![Effect::Emptied(table)], ..Understood::default() });
        }
    }
    let why = format!("{first} in statement format");
    let stated = stated::by(first, query, text);
    let mut effects: Vec<Effect> = stated.iter().filter_map(|name| of_server(name)).flatten().collect();
    if !effects.is_empty() || stated.contains(stated::ANY) {
        effects.push(Effect::Uncounted(why.clone()));
    }
    effects.extend(stated.into_iter().map(|name| Effect::Stated(name, why.clone())));
    Some(Understood { effects, is_rows: true, begins: false })
}

/// What a statement on a table of the server's own may define, or on any of them; none for other tables.
fn of_server(stated: &str) -> Option<Vec<Effect>> {
    if let Some(database) = stated.strip_suffix(".*") {
        return defined_by(&names::unquoted(database), "").map(|_| vec![Effect::Definition("*".to_owned())]);
    }
    names::split_qualified(stated).and_then(|(database, table)| defined_by(&database, &table))
}

/// Nothing is known of what it did.
fn unknown(what: &str) -> Understood {
    let why = format!("it is not known what was done by {what}");
    let effects = vec![Effect::Uncounted(why), Effect::Definition("*".to_owned())];
    Understood { effects, is_rows: false, begins: false }
}

/// Why the rest of a statement may mean something else than it seems to.
fn doubt(query: &Query, text: &str) -> Option<&'static str> {
    let has_version = |at: usize| Versioned::at(&text[at..]).is_some_and(|version| version.depends);
    if query.is_cut {
        Some("a statement is too long to be read")
    } else if query.quoting.plain_backslash && text.contains('\\') {
        Some("a statement with a backslash under NO_BACKSLASH_ESCAPES")
    } else if text.match_indices("/*").any(|(at, _)| has_version(at)) {
        Some("a statement that depends on the server's version")
    } else {
        None
    }
}

/// A statement that is being read.
struct Statement<'t> {
    words: Words<'t>,
    out: Vec<Effect>,
    doubt: Option<&'static str>,
    is_thread_specific: bool,
}

impl Statement<'_> {
    /// None where it is not understood.
    fn read(&mut self) -> Option<()> {
        match self.words.keyword()?.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => {
                self.words.eats("TABLE");
                let table = self.words.table()?;
                self.out.push(Effect::Emptied(table.clone()));
                self.may_be_temporary(table);
                Some(())
            }
            "GRANT" | "REVOKE" => self.accounts(),
            "SET" => {
                self.words.eats("DEFAULT");
                if self.words.eats("PASSWORD") || self.words.eats("ROLE") {
                    return self.accounts();
                }
                None
            }
            "ANALYZE" => {
                // Histograms are a part of what a dump says of a table.
                if self.words.has("HISTOGRAM") {
                    self.definition("table *");
                }
                Some(())
            }
            "REPAIR" => {
                self.words.eats_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
                self.words.keyword()?;
                for table in self.words.tables()? {
                    self.out.push(Effect::Doubted(table, "it was repaired".to_owned()));
                }
                Some(())
            }
            "OPTIMIZE" | "CHECK" | "FLUSH" | "CACHE" | "INSTALL" | "UNINSTALL" | "RESET" | "PURGE" | "HELP" => Some(()),
            _ => None,
        }
    }

    fn definition(&mut self, name: &str) {
        self.out.push(Effect::Definition(name.to_owned()));
    }

    #[allow(clippy::unnecessary_wraps)] // as its siblings
    fn accounts(&mut self) -> Option<()> {
        self.definition("account *");
        Some(())
    }

    fn may_be_temporary(&mut self, table: String) {
        if self.is_thread_specific {
            self.out.push(Effect::Doubted(table, "a temporary table may have hidden it".to_owned()));
        }
    }
}

/// Whether it is about a table of the server's own.
fn is_of_server(effect: &Effect) -> bool {
    let (Effect::Made(table, _)
    | Effect::Emptied(table)
    | Effect::Dropped(table)
    | Effect::Redefined(table)
    | Effect::Renamed(table, _)
    | Effect::Varies(table, _)
    | Effect::Doubted(table, _)) = effect
    else {
        return false;
    };
    names::split_qualified(table).is_some_and(|(database, _)| SYSTEM_DATABASES.contains(&database.as_str()))
}

/// A table of the server's own: what its rows define, as `account *`; nothing where they define nothing that is backed up.
pub fn defined_by(database: &str, table: &str) -> Option<Vec<Effect>> {
    if !SYSTEM_DATABASES.contains(&database) {
        return None;
    }
    let all = |kinds: &[&str]| kinds.iter().map(|kind| Effect::Definition(format!("{kind} *"))).collect();
    Some(match table {
        "proc" | "func" => all(&PROGRAMS),
        "event" => all(&["event"]),
        "user" | "global_priv" | "db" | "tables_priv" | "columns_priv" | "procs_priv" | "proxies_priv"
        | "roles_mapping" | "default_roles" | "role_edges" | "global_grants" => all(&["account"]),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests;
