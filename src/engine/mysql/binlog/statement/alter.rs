//! `ALTER`: of tables above all, which can gain, lose and swap rows by it.

use super::words::Words;
use super::{Effect, Made, Statement};
use crate::engine::mysql::names;

/// First words of what may be done to a table and leaves its rows as many as they are.
const KEEPS: [&str; 58] = [
    "ADD",
    "ALTER",
    "CHANGE",
    "MODIFY",
    "DROP",
    "RENAME",
    "CONVERT",
    "ENGINE",
    "COMMENT",
    "DEFAULT",
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "AUTO_INCREMENT",
    "ROW_FORMAT",
    "ALGORITHM",
    "LOCK",
    "ENABLE",
    "DISABLE",
    "FORCE",
    "ORDER",
    "PARTITION",
    "REMOVE",
    "REORGANIZE",
    "COALESCE",
    "REBUILD",
    "ANALYZE",
    "CHECK",
    "OPTIMIZE",
    "KEY_BLOCK_SIZE",
    "STATS_PERSISTENT",
    "STATS_AUTO_RECALC",
    "STATS_SAMPLE_PAGES",
    "CHECKSUM",
    "DELAY_KEY_WRITE",
    "PACK_KEYS",
    "AVG_ROW_LENGTH",
    "MAX_ROWS",
    "MIN_ROWS",
    "TRANSACTIONAL",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "ENCRYPTED",
    "ENCRYPTION_KEY_ID",
    "ENCRYPTION",
    "COMPRESSION",
    "WITH",
    "WITHOUT",
    "NOWAIT",
    "WAIT",
    "IETF_QUOTES",
    "SEQUENCE",
    "TABLESPACE",
    "CONNECTION",
    "PASSWORD",
    "INSERT_METHOD",
    "AUTOEXTEND_SIZE",
];

/// Words of values that are others each time: a column that is added with one gets them when the statement is run.
const VOLATILE: [&str; 9] =
    ["UUID", "UUID_SHORT", "SYS_GUID", "RAND", "RANDOM_BYTES", "SYSDATE", "NEXTVAL", "NEXT", "CONNECTION_ID"];

/// What is done to a table.
enum Action {
    RenamesTo(String),
    Other,
}

impl Statement<'_> {
    pub(super) fn alter(&mut self) -> Option<()> {
        let head = self.words.head()?;
        if head.ignores {
            self.doubt = Some("ALTER IGNORE drops rows that are there twice");
        }
        match head.kind.as_str() {
            "TABLE" => self.alter_table(),
            "DATABASE" | "SCHEMA" => {
                let name = self.words.database()?;
                self.definition(&format!("database {}", names::database(&name)));
                Some(())
            }
            kind => self.object(kind),
        }
    }

    fn alter_table(&mut self) -> Option<()> {
        self.words.eats_condition();
        let table = self.words.table()?;
        self.words.eats_wait();
        self.out.push(Effect::Redefined(table.clone()));
        self.storage(&table);
        self.doubt_rest(&table);
        self.may_be_temporary(table.clone());
        let mut renamed = None;
        for mut action in self.words.actions() {
            if let Action::RenamesTo(to) = self.action(&table, &mut action)? {
                renamed = Some(to);
            }
        }
        if let Some(to) = renamed {
            self.renamed(table, to);
        }
        Some(())
    }

    /// Whether rows that are there get values that the log does not have.
    fn may_vary(&mut self, table: &str, first: &str, action: &Words<'_>) {
        let why = match first {
            "ADD" | "CHANGE" | "MODIFY" if VOLATILE.iter().any(|word| action.has(word)) => {
                "a column was added whose default is another one each time"
            }
            "ADD" | "CHANGE" | "MODIFY" if action.has("AUTO_INCREMENT") => "rows that were there were numbered",
            _ => return,
        };
        self.out.push(Effect::Varies(table.to_owned(), why.to_owned()));
    }

    /// One of the things that are done to a table; none where it is not understood.
    fn action(&mut self, table: &str, action: &mut Words<'_>) -> Option<Action> {
        if action.is_at_end() {
            return Some(Action::Other);
        }
        let first = action.keyword().unwrap_or_default();
        self.may_vary(table, &first, action);
        let doubt = |why: &str| Effect::Doubted(table.to_owned(), why.to_owned());
        match first.as_str() {
            "RENAME" if action.eats("COLUMN") => self.definition("table *"),
            "RENAME" if action.eats_any(&["INDEX", "KEY", "CONSTRAINT"]) => {}
            "RENAME" => {
                if !action.eats_any(&["TO", "AS"]) {
                    action.eats_mark('=');
                }
                return Some(Action::RenamesTo(action.table()?));
            }
            // Foreign keys of other tables name the column.
            "CHANGE" => self.definition("table *"),
            "EXCHANGE" => {
                self.out.push(doubt("a partition of it was exchanged"));
                if !action.seek(&["WITH", "TABLE"]) {
                    return None;
                }
                let other = action.table()?;
                self.out.push(Effect::Doubted(other, "it was exchanged with a partition".to_owned()));
            }
            "DROP" if action.eats("PARTITION") => self.out.push(doubt("a partition of it was dropped")),
            "DROP" if action.eats("SYSTEM") => self.out.push(doubt("its history was dropped")),
            "TRUNCATE" => self.out.push(doubt("a partition of it was emptied")),
            "CONVERT" if action.eats("PARTITION") => {
                self.out.push(doubt("a partition of it became a table"));
                if !action.seek(&["TO", "TABLE"]) {
                    return None;
                }
                let other = action.table()?;
                self.out.push(Effect::Made(other.clone(), Made::Anew));
                self.out.push(Effect::Doubted(other, "it was a partition".to_owned()));
            }
            "CONVERT" if action.eats("TABLE") => {
                self.out.push(doubt("a table became a partition of it"));
                let other = action.table()?;
                self.triggers(&other);
                self.out.push(Effect::Dropped(other));
            }
            word if KEEPS.contains(&word) => {}
            word => self.out.push(doubt(&format!("ALTER TABLE … {word} may change the number of its rows"))),
        }
        Some(Action::Other)
    }
}

impl Words<'_> {
    /// The database that is altered: named, or that in use.
    fn database(&mut self) -> Option<String> {
        let options = ["CHARACTER", "CHARSET", "COLLATE", "DEFAULT", "COMMENT", "ENCRYPTION", "READ", "UPGRADE"];
        let is_option = options.iter().any(|word| self.is_next(word));
        if is_option { Some(self.in_use().to_owned()).filter(|name| !name.is_empty()) } else { self.one_name() }
    }
}
