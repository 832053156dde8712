//! What the dump client is not asked for. It stops at the first program that it cannot print, and can leave no single one
//! out: where one of a kind is left out, all others of that kind are read here and put into the stream, at the place where
//! the client would have printed them. Source and sandbox are read in the same way, since what is compared is this text.

use std::collections::BTreeMap;

use super::connection::Session;
use super::names;
use super::programs::{self, GONE, Program, show_create, statement_at};
use super::relations::Relation;
use super::views;
use crate::domain::capture::Capture;
use crate::domain::left_out::LeftOut;
use crate::error::{Error, Result};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// These databases.
    pub databases: &'a [String],
    /// Without these.
    pub left_out: &'a [LeftOut],
    /// Read in this way.
    pub capture: Capture,
    /// Views that the client could not describe.
    pub undescribed: &'a [Relation],
}

/// Kinds that the client does not print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instead {
    /// Procedures, functions, packages, libraries.
    pub routines: bool,
    /// Triggers.
    pub triggers: bool,
    /// Events.
    pub events: bool,
}

impl Instead {
    /// Those of which one is left out, and events where the client cannot print one of them.
    pub fn of(left_out: &[LeftOut], capture: Capture) -> Self {
        let has = |kinds: &[&str]| left_out.iter().any(|one| kinds.contains(&one.kind.as_str()));
        Self {
            routines: has(&["procedure", "function", "package", "package body", "library"]),
            triggers: has(&["trigger"]),
            events: capture.events_apart || has(&["event"]),
        }
    }

    fn takes(self, kind: &str) -> bool {
        match kind {
            "event" => self.events,
            "trigger" => self.triggers,
            _ => self.routines,
        }
    }
}

/// Statements that the client does not print.
#[derive(Debug, Clone, Default)]
pub struct Supplement {
    after_table: BTreeMap<String, Vec<u8>>,
    rest: Vec<u8>,
    views: Vec<u8>,
    refused: Vec<String>,
}

impl Supplement {
    /// With these triggers by table, and this text.
    #[cfg(test)]
    pub fn of(triggers: &[(&str, &str)], rest: &str) -> Self {
        let triggers = triggers.iter().map(|(table, text)| ((*table).to_owned(), text.as_bytes().to_vec()));
        Self { after_table: triggers.collect(), rest: rest.as_bytes().to_vec(), ..Self::default() }
    }

    /// What the server did not print, one sentence each.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// An error if something is missing that was to be backed up.
    pub fn whole(&self) -> Result<()> {
        self.refused.first().map_or(Ok(()), |first| {
            Err(Error::failed(first.clone())
                .hint("it could be read a moment ago, so a definition changed meanwhile: try again"))
        })
    }

    /// Read these programs of `database`.
    fn add(&mut self, session: &mut Session, database: &str, programs: &[Program]) -> Result<()> {
        let collation = format!(
            "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            names::quote_text(database)
        );
        let collation = session.value(&collation)?.unwrap_or_default();
        let mut text = Vec::new();
        for program in programs {
            let answer = match session.ask_bytes(&show_create(database, program))? {
                Ok(rows) => rows.first().and_then(|row| Answer::read(program, row)).ok_or_else(String::new),
                Err(refusal) if GONE.contains(&refusal.number) => continue,
                Err(refusal) => Err(format!(": {refusal}")),
            };
            match answer {
                Ok(answer) => {
                    let into = match program.kind.as_str() {
                        "trigger" => self.after_table.entry(names::qualified(database, &program.table)).or_default(),
                        _ => &mut text,
                    };
                    into.extend(answer.write(database, &collation, program));
                }
                Err(why) => {
                    let name = names::qualified(database, &program.name);
                    self.refused.push(format!("cannot read {} {name} from the server{why}", program.kind));
                }
            }
        }
        if !text.is_empty() {
            let shown = names::quote_text(&database.replace(['\n', '\r'], " "));
            self.rest.extend(using(database));
            self.rest.extend(format!("--\n-- Dumping routines for database {shown}\n--\n\n").into_bytes());
            self.rest.extend(text);
        }
        Ok(())
    }

    /// Triggers of this table.
    pub fn take_after_table(&mut self, table: &str) -> Option<Vec<u8>> {
        self.after_table.remove(table)
    }

    /// Everything else; `database` is in use again behind it.
    pub fn take_rest(&mut self, database: &str) -> Option<Vec<u8>> {
        let mut text = std::mem::take(&mut self.rest);
        if text.is_empty() {
            return None;
        }
        text.extend_from_slice(&using(database));
        Some(text)
    }

    /// Views; they stand behind everything else.
    pub fn take_views(&mut self) -> Option<Vec<u8>> {
        Some(std::mem::take(&mut self.views)).filter(|text| !text.is_empty())
    }
}

/// In front of definitions of `database`, as the client writes it.
fn using(database: &str) -> Vec<u8> {
    let name = names::quote(database);
    // The name in the comment ends with its line.
    let shown = name.replace(['\n', '\r'], " ");
    format!("--\n-- Current Database: {shown}\n--\n\nUSE {name};\n\n").into_bytes()
}

/// Read what is asked for and the client will not print.
pub fn gather(session: &mut Session, asked: Asked<'_>) -> Result<Supplement> {
    let mut instead = Instead::of(asked.left_out, asked.capture);
    instead.events &= !asked.capture.without_events;
    let mut out = Supplement::default();
    if instead == Instead::default() && asked.undescribed.is_empty() {
        return Ok(out);
    }
    session.rows("SET SESSION sql_mode = '', sql_quote_show_create = 1, character_set_results = binary")?;
    (out.views, out.refused) = views::statements(session, asked.undescribed)?;
    let databases = if instead == Instead::default() { &[] } else { asked.databases };
    for database in databases {
        let mut all = programs::of(session, database, instead.events)?;
        all.extend(programs::libraries(session, database)?);
        all.retain(|program| instead.takes(&program.kind) && !is_left_out(asked.left_out, database, program));
        out.add(session, database, &all)?;
    }
    session.rows("SET SESSION character_set_results = utf8mb4")?;
    Ok(out)
}

fn is_left_out(left_out: &[LeftOut], database: &str, program: &Program) -> bool {
    let is = |kind: &str, name: &str| {
        let name = names::qualified(database, name);
        left_out.iter().any(|one| one.kind == kind && one.name == name)
    };
    is(&program.kind, &program.name) || is("table", &program.table)
}

/// What `SHOW CREATE` says of a program.
#[derive(Debug)]
struct Answer {
    statement: Vec<u8>,
    /// Session settings under which it must be created, in the order in which they are set.
    settings: Vec<(&'static str, String)>,
    database_collation: Option<String>,
}

impl Answer {
    fn read(program: &Program, row: &[Option<Vec<u8>>]) -> Option<Self> {
        let text = |at: usize| Some(String::from_utf8_lossy(row.get(at)?.as_deref()?).into_owned());
        let at = statement_at(&program.kind);
        let mut settings = Vec::new();
        if let Some(charset) = text(at + 1) {
            settings.extend([("character_set_client", charset.clone()), ("character_set_results", charset)]);
        }
        settings.extend(text(at + 2).map(|collation| ("collation_connection", collation)));
        settings.push(("sql_mode", names::quote_text(&text(1)?)));
        if program.kind == "event" {
            settings.push(("time_zone", names::quote_text(&text(2)?)));
        }
        let database_collation = text(at + 3);
        Some(Self { statement: row.get(at)?.clone()?, settings, database_collation })
    }

    /// As a script for the client program.
    fn write(&self, database: &str, collation: &str, program: &Program) -> Vec<u8> {
        let mut out = Vec::new();
        let mut line = |text: String| out.extend_from_slice(format!("{text} ;\n").as_bytes());
        let alter = |to: &str| format!("ALTER DATABASE {} COLLATE {to}", names::quote(database));
        // A program keeps the collation that its database had when it was created.
        let other = self.database_collation.as_deref().filter(|own| *own != collation && !collation.is_empty());
        if let Some(own) = other {
            line(alter(own));
        }
        for (name, _) in &self.settings {
            line(format!("SET @saved_{name} = @@{name}"));
        }
        for (name, value) in &self.settings {
            line(format!("SET {name} = {value}"));
        }
        if program.kind != "trigger" {
            // Only under its own `sql_mode` does the server know the word PACKAGE.
            line(format!("DROP {} IF EXISTS {}", program.kind.to_uppercase(), names::quote(&program.name)));
        }
        out.extend_from_slice(b"DELIMITER ;;\n");
        out.extend_from_slice(&self.statement);
        // The statement may end in a comment.
        out.extend_from_slice(b"\n;;\nDELIMITER ;\n");
        let mut line = |text: String| out.extend_from_slice(format!("{text} ;\n").as_bytes());
        for (name, _) in self.settings.iter().rev() {
            line(format!("SET {name} = @saved_{name}"));
        }
        if other.is_some() {
            line(alter(collation));
        }
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(kind: &str, name: &str) -> LeftOut {
        LeftOut { kind: kind.to_owned(), name: name.to_owned(), reason: String::new(), definition: None }
    }

    fn program(kind: &str, table: &str) -> Program {
        Program { kind: kind.to_owned(), name: "p`q".to_owned(), table: table.to_owned() }
    }

    fn row(values: &[&str]) -> Vec<Option<Vec<u8>>> {
        values.iter().map(|value| Some(value.as_bytes().to_vec())).collect()
    }

    fn written(kind: &str, values: &[&str]) -> String {
        let program = program(kind, "");
        let answer = Answer::read(&program, &row(values)).unwrap();
        String::from_utf8(answer.write("d", "utf8mb4_bin", &program)).unwrap()
    }

    #[test]
    fn the_client_is_asked_for_every_kind_of_which_none_is_left_out() {
        let all = [
            ("procedure", "r"),
            ("function", "r"),
            ("package", "r"),
            ("package body", "r"),
            ("trigger", "t"),
            ("event", "e"),
        ];
        for (kind, place) in all {
            let expected = Instead { routines: place == "r", triggers: place == "t", events: place == "e" };
            let instead = Instead::of(&[left_out("table", "d.t"), left_out(kind, "d.p")], Capture::default());
            assert_eq!(instead, expected, "{kind}");
            assert!(instead.takes(kind) && !Instead::default().takes(kind), "{kind}");
        }
        assert_eq!(Instead::of(&[left_out("view", "d.v")], Capture::default()), Instead::default());
        assert!(Instead::of(&[left_out("function", "d.f")], Capture::default()).takes("library"));
        assert!(Instead::of(&[], Capture { events_apart: true, ..Capture::default() }).takes("event"));
    }

    #[test]
    fn only_what_is_named_is_left_out() {
        let named = [left_out("procedure", "d.`p``q`"), left_out("table", "d.lost")];
        assert!(is_left_out(&named, "d", &program("procedure", "")));
        assert!(is_left_out(&named, "d", &program("trigger", "lost")));
        for (database, program) in
            [("d", program("function", "")), ("other", program("procedure", "")), ("d", program("trigger", "whole"))]
        {
            assert!(!is_left_out(&named, database, &program), "{program:?}");
        }
    }

    #[test]
    fn a_routine_is_created_under_its_own_settings_and_leaves_none_behind() {
        let statement = "CREATE PROCEDURE `p``q`()\nSELECT 1 -- the end";
        let text =
            written("procedure", &["p`q", "ANSI_QUOTES", statement, "latin1", "latin1_swedish_ci", "latin1_bin"]);
        let expected = "ALTER DATABASE `d` COLLATE latin1_bin ;\n\
            SET @saved_character_set_client = @@character_set_client ;\nSET @saved_character_set_results = @@character_set_results ;\n\
            SET @saved_collation_connection = @@collation_connection ;\nSET @saved_sql_mode = @@sql_mode ;\n\
            SET character_set_client = latin1 ;\nSET character_set_results = latin1 ;\nSET collation_connection = latin1_swedish_ci ;\n\
            SET sql_mode = 'ANSI_QUOTES' ;\nDROP PROCEDURE IF EXISTS `p``q` ;\nDELIMITER ;;\nCREATE PROCEDURE `p``q`()\nSELECT 1 -- the end\n;;\n\
            DELIMITER ;\nSET sql_mode = @saved_sql_mode ;\nSET collation_connection = @saved_collation_connection ;\n\
            SET character_set_results = @saved_character_set_results ;\nSET character_set_client = @saved_character_set_client ;\n\
            ALTER DATABASE `d` COLLATE utf8mb4_bin ;\n\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn events_have_a_time_zone_and_triggers_are_not_dropped() {
        let text = written("event", &["e", "", "SYSTEM", "CREATE EVENT e", "utf8mb4", "utf8mb4_bin", "utf8mb4_bin"]);
        assert!(
            text.contains(
                "SET time_zone = 'SYSTEM' ;\nDROP EVENT IF EXISTS `p``q` ;\nDELIMITER ;;\nCREATE EVENT e\n;;\n"
            ),
            "{text}"
        );
        assert!(!text.contains("ALTER DATABASE"), "{text}");
        let text = written("trigger", &["t", "", "CREATE TRIGGER t", "utf8mb4", "utf8mb4_bin", "utf8mb4_bin", "2026"]);
        assert!(
            text.contains("CREATE TRIGGER t\n;;\n") && !text.contains("DROP") && !text.contains("time_zone"),
            "{text}"
        );
    }

    #[test]
    fn a_statement_that_is_not_shown_is_no_answer() {
        let mut hidden = row(&["p", "", "x", "utf8mb4", "utf8mb4_bin", "utf8mb4_bin"]);
        hidden[2] = None;
        assert!(Answer::read(&program("procedure", ""), &hidden).is_none());
    }
}
