//! Databases themselves: their defaults, and whether they take changes. A dump says both in its `CREATE DATABASE`, which
//! does nothing where the database exists; MySQL's `READ ONLY` it says only in a comment, since nothing could be loaded
//! behind it. A restore makes that good here.

use std::collections::BTreeSet;

use super::connection::Session;
use super::names;
use super::sql::{Kind, Piece, Quoting, pieces};
use crate::error::{Error, Result};

/// How MySQL says that a database takes no changes.
const READ_ONLY: &str = "/* READ ONLY = 1 */";

/// A database as a dump or a server defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Unquoted.
    pub name: String,
    /// The whole statement.
    pub sql: String,
    /// Character set, collation, comment, encryption, as the statement says them.
    defaults: String,
    /// It takes no changes.
    read_only: bool,
    has_comment: bool,
}

impl Schema {
    /// The database that is created at the beginning of a part of a dump, or in an answer of the server.
    pub fn of(text: &str) -> Option<Self> {
        let all = pieces(text, Quoting::default());
        let first = all.iter().position(|piece| piece.kind != Kind::Comment)?;
        let end = all[first..].iter().position(|piece| piece.is_mark(";")).map_or(all.len(), |at| first + at);
        let all = &all[first..end];
        if !(all.first()?.is_word("CREATE") && all.get(1)?.is_word("DATABASE")) {
            return None;
        }
        let at = all.iter().skip(2).position(|piece| matches!(piece.kind, Kind::Name | Kind::Word))? + 2;
        let end = all.last()?.end();
        let closes = |piece: &&Piece<'_>| piece.kind == Kind::Comment && piece.text == READ_ONLY;
        let read_only = all.iter().find(closes);
        Some(Self {
            name: all[at].value(),
            sql: text[all[0].start..end].to_owned(),
            defaults: text[all[at].end()..read_only.map_or(end, |piece| piece.start)].trim().to_owned(),
            read_only: read_only.is_some(),
            has_comment: all.iter().any(|piece| piece.is_word("COMMENT")),
        })
    }
}

/// The databases of one restore.
pub struct Schemas {
    wanted: Vec<Schema>,
    /// Single tables are restored: their databases stay as they are.
    partly: bool,
    /// Those that took no changes at the destination, and that were opened for the restore.
    opened: BTreeSet<String>,
}

impl Schemas {
    /// Prepare the destination's databases for what `wanted` brings: open those that take no changes, and bring the defaults
    /// of those that are replaced to what the backup says. Says what should be known.
    pub fn begin(
        session: &mut Session,
        wanted: Vec<Schema>,
        partly: bool,
        overwrite: bool,
    ) -> Result<(Self, Vec<String>)> {
        let mut schemas = Self { wanted, partly, opened: BTreeSet::new() };
        let opened = schemas.open(session, overwrite);
        let mended = opened.and_then(|mut notes| {
            notes.extend(if overwrite { schemas.mend(session)? } else { Vec::new() });
            Ok(notes)
        });
        match mended {
            Ok(notes) => Ok((schemas, notes)),
            Err(error) => {
                schemas.give_up(session);
                Err(error)
            }
        }
    }

    fn open(&mut self, session: &mut Session, overwrite: bool) -> Result<Vec<String>> {
        const CLOSED: &str =
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA_EXTENSIONS WHERE OPTIONS LIKE '%READ ONLY=1%'";
        // MariaDB has no such databases.
        let Ok(rows) = session.ask(CLOSED)? else { return Ok(Vec::new()) };
        let closed: BTreeSet<String> = rows.into_iter().filter_map(|mut row| row.drain(..).next().flatten()).collect();
        let mut notes = Vec::new();
        for Schema { name, read_only, .. } in self.wanted.iter().filter(|schema| closed.contains(&schema.name)) {
            let (shown, quoted) = (names::database(name), names::quote(name));
            if !overwrite {
                return Err(Error::failed(format!(
                    "cannot restore database {shown}: it is READ ONLY at the destination"
                ))
                .hint(format!(
                    "ALTER SCHEMA {quoted} READ ONLY = 0 at the destination, or replace it with --overwrite"
                )));
            }
            session.rows(&format!("ALTER SCHEMA {quoted} READ ONLY = 0"))?;
            self.opened.insert(name.clone());
            notes.push(if self.partly || *read_only {
                format!(
                    "database {shown} is READ ONLY: it was made writable for the restore, and READ ONLY again after it"
                )
            } else {
                format!("database {shown} was READ ONLY: it is writable now, as in the backup")
            });
        }
        Ok(notes)
    }

    fn mend(&self, session: &mut Session) -> Result<Vec<String>> {
        let present: BTreeSet<String> = session.column("SHOW DATABASES")?.into_iter().collect();
        let mut notes = Vec::new();
        for schema in self.wanted.iter().filter(|schema| present.contains(&schema.name)) {
            let (shown, quoted) = (names::database(&schema.name), names::quote(&schema.name));
            let rows = session.rows(&format!("SHOW CREATE DATABASE {quoted}"))?;
            let there = rows.into_iter().next().and_then(|row| Schema::of(&row.into_iter().nth(1)??));
            let Some(there) = there.filter(|there| there.defaults != schema.defaults) else { continue };
            if self.partly {
                notes.push(format!(
                    "database {shown} has other defaults than in the backup, and keeps them: {} (backup: {})",
                    there.defaults, schema.defaults
                ));
                continue;
            }
            let no_comment = if there.has_comment && !schema.has_comment { " COMMENT ''" } else { "" };
            session
                .rows(&format!("ALTER DATABASE {quoted} {}{no_comment}", schema.defaults))
                .map_err(|error| error.context(format!("cannot give database {shown} the defaults of the backup")))?;
        }
        Ok(notes)
    }

    /// Everything is loaded: what takes no changes takes none from now on. `made` are databases that the restore made.
    pub fn end(&self, session: &mut Session, made: &BTreeSet<String>) -> Result<()> {
        for schema in &self.wanted {
            let closes = if self.partly {
                self.opened.contains(&schema.name) || schema.read_only && made.contains(&schema.name)
            } else {
                schema.read_only
            };
            if closes {
                session.rows(&format!("ALTER SCHEMA {} READ ONLY = 1", names::quote(&schema.name)))?;
            }
        }
        Ok(())
    }

    /// The restore failed: nothing that took no changes stays open because of it.
    pub fn give_up(&self, session: &mut Session) {
        for name in &self.opened {
            if let Err(error) = session.rows(&format!("ALTER SCHEMA {} READ ONLY = 1", names::quote(name))) {
                tracing::error!(database = name, %error, "cannot make the database read-only again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_read_from_a_dump_whatever_its_name_and_comment_say() {
        let of = |text: &str| Schema::of(text).map(|schema| (schema.name.clone(), schema.defaults, schema.read_only));
        let part = "-- Current Database: `a;``b`\n--\n\nCREATE DATABASE /*!32312 IF NOT EXISTS*/ `a;``b` /*!40100 DEFAULT CHARACTER SET latin1 */ COMMENT 'x; /* READ ONLY = 1 */';\n\nUSE `x`;\n";
        let defaults = "/*!40100 DEFAULT CHARACTER SET latin1 */ COMMENT 'x; /* READ ONLY = 1 */'";
        assert_eq!(of(part), Some(("a;`b".to_owned(), defaults.to_owned(), false)));
        let closed = "CREATE DATABASE `/* READ ONLY = 1 */` /*!80016 DEFAULT ENCRYPTION='N' */ /* READ ONLY = 1 */";
        let want = ("/* READ ONLY = 1 */".to_owned(), "/*!80016 DEFAULT ENCRYPTION='N' */".to_owned(), true);
        assert_eq!(of(closed), Some(want.clone()));
        assert_eq!(of(&closed[..closed.len() - READ_ONLY.len()]), Some((want.0, want.1, false)));
        assert_eq!(of("CREATE DATABASE shop"), Some(("shop".to_owned(), String::new(), false)));
        assert_eq!(of("USE `CREATE DATABASE`; CREATE DATABASE x"), None);
    }
}
