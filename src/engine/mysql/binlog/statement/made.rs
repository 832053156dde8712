//! What statements make, drop and rename.

use super::words;
use super::{Effect, Made, Statement};
use crate::engine::mysql::names::{self, Token};
use crate::engine::mysql::reach::KEEPS_ROWS;

impl Statement<'_> {
    /// Triggers run in an order, and go with their table.
    pub(super) fn triggers(&mut self, of: &str) {
        let all = words::all_beside(of);
        self.definition(&format!("trigger {all}"));
    }

    pub(super) fn create(&mut self) -> Option<()> {
        let head = self.words.head()?;
        match head.kind.as_str() {
            "TABLE" if head.is_temporary => Some(()),
            "TABLE" => self.create_table(head.replaces),
            "DATABASE" | "SCHEMA" => {
                self.words.eats_condition();
                let name = names::database(&self.words.one_name()?);
                if head.replaces {
                    self.out.push(Effect::DroppedDatabase(name.clone()));
                }
                self.definition(&format!("database {name}"));
                Some(())
            }
            "INDEX" => {
                while !self.words.eats("ON") {
                    self.words.skip()?;
                }
                let table = self.words.table()?;
                self.out.push(Effect::Redefined(table));
                Some(())
            }
            kind => self.object(kind),
        }
    }

    /// Something that is no table, behind the word that says what: created, altered or dropped, it may be another one.
    pub(super) fn object(&mut self, kind: &str) -> Option<()> {
        let kind = match kind {
            "VIEW" => "view",
            "TRIGGER" => "trigger",
            "EVENT" => "event",
            "PROCEDURE" => "procedure",
            "FUNCTION" => "function",
            "PACKAGE" => "package",
            "LIBRARY" => "library",
            "SEQUENCE" => "sequence",
            "USER" | "ROLE" => return self.accounts(),
            // None of them is backed up, and none has rows.
            "SERVER" | "TABLESPACE" | "LOGFILE" | "REFERENCE" | "RESOURCE" | "INSTANCE" | "PREPARE" | "UNDO" => {
                return Some(());
            }
            _ => return None,
        };
        self.words.eats("BODY");
        self.words.eats_condition();
        let mut all = vec![self.words.table()?];
        while self.words.eats_mark(',') {
            all.push(self.words.table()?);
        }
        if kind == "event" && self.words.seek(&["RENAME", "TO"]) {
            all.push(self.words.table()?);
        }
        for name in all {
            match kind {
                "trigger" => self.triggers(&name),
                _ => self.definition(&format!("{kind} {name}")),
            }
            if kind == "package" {
                self.definition(&format!("package {name} body"));
            }
        }
        Some(())
    }

    fn create_table(&mut self, replaces: bool) -> Option<()> {
        let is_conditional = self.words.eats_condition();
        let table = self.words.table()?;
        let made = if is_conditional && !replaces { Made::IfMissing } else { Made::Anew };
        self.out.push(Effect::Made(table.clone(), made));
        if replaces {
            self.triggers(&table);
        }
        let of_query = ["SELECT", "TABLE"].iter().any(|word| self.words.has(word))
            || self.words.follows("VALUES").any(|next| next.is_word("ROW"));
        if of_query {
            self.out.push(Effect::Uncounted("CREATE TABLE … SELECT in statement format".to_owned()));
            let why = "it was filled by a statement".to_owned();
            self.out.push(Effect::Doubted(table.clone(), why.clone()));
            self.out.push(Effect::Varies(table.clone(), why));
        }
        self.storage(&table);
        self.doubt_rest(&table);
        Some(())
    }

    /// Rows of a table whose storage engine keeps none, or those of another table, are not countable.
    pub(super) fn storage(&mut self, table: &str) {
        let kept = |engine: &Token| KEEPS_ROWS.iter().any(|name| words::text(engine).eq_ignore_ascii_case(name));
        if !self.words.values("ENGINE").into_iter().all(kept) || !self.words.values("UNION").is_empty() {
            let why = "its storage engine keeps no rows of its own".to_owned();
            self.out.push(Effect::Doubted(table.to_owned(), why));
        }
    }

    pub(super) fn doubt_rest(&mut self, table: &str) {
        if let Some(why) = self.doubt {
            self.out.push(Effect::Doubted(table.to_owned(), why.to_owned()));
        }
    }

    pub(super) fn drop(&mut self) -> Option<()> {
        let is_temporary = self.words.eats("TEMPORARY");
        let kind = self.words.keyword()?;
        match kind.as_str() {
            "TABLE" | "TABLES" | "SEQUENCE" if is_temporary => Some(()),
            "TABLE" | "TABLES" => {
                self.words.eats_condition();
                for table in self.words.tables()? {
                    self.triggers(&table);
                    self.definition(&format!("sequence {table}"));
                    self.definition(&format!("view {table}"));
                    self.out.push(Effect::Dropped(table));
                }
                Some(())
            }
            "DATABASE" | "SCHEMA" => {
                self.words.eats_condition();
                let name = names::database(&self.words.one_name()?);
                self.definition(&format!("database {name}"));
                self.out.push(Effect::DroppedDatabase(name));
                Some(())
            }
            "INDEX" => {
                while !self.words.eats("ON") {
                    self.words.skip()?;
                }
                let table = self.words.table()?;
                self.out.push(Effect::Redefined(table));
                Some(())
            }
            kind => self.object(kind),
        }
    }

    pub(super) fn rename(&mut self) -> Option<()> {
        match self.words.keyword()?.as_str() {
            "USER" => return self.accounts(),
            "TABLE" | "TABLES" => {}
            _ => return None,
        }
        self.words.eats_condition();
        loop {
            let from = self.words.table()?;
            self.words.eats_wait();
            if !self.words.eats("TO") {
                return None;
            }
            let to = self.words.table()?;
            self.renamed(from, to);
            if !self.words.eats_mark(',') {
                return Some(());
            }
        }
    }

    /// What is renamed like a table may be a view or a sequence. Foreign keys of other tables name it.
    pub(super) fn renamed(&mut self, from: String, to: String) {
        for name in [&from, &to] {
            self.triggers(name);
            self.definition(&format!("view {name}"));
            self.definition(&format!("sequence {name}"));
        }
        self.definition("table *");
        self.out.push(Effect::Renamed(from, to.clone()));
        self.may_be_temporary(to);
    }
}
