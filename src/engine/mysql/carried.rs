//! Programs that the client reads otherwise than the server: a quote that it does not see closed swallows whatever the dump
//! has behind it. The client that loads the dump back would do the same, so such a program is named before the backup.

use super::connection::Session;
use super::lexer::{Ahead, Client, Lexer, Step};
use super::listing;
use super::names;
use super::sql::Quoting;
use crate::error::{Error, Result};

/// Between programs in a dump.
const DELIMITER: &[u8] = b";;";

/// Refuse the first program of `databases` that would not come through the client as it is.
pub fn check(session: &mut Session, databases: &[String], client: Client, events: bool) -> Result<()> {
    let libraries = listing::has_libraries(session)?;
    for database in databases {
        let schema = names::quote_text(database);
        let of = |kind: &str, name: &str, table: &str, column: &str| {
            format!("SELECT {kind}, {name} FROM information_schema.{table} WHERE {column} = {schema}")
        };
        let mut questions = vec![
            of("ROUTINE_TYPE", "ROUTINE_NAME", "ROUTINES", "ROUTINE_SCHEMA"),
            of("'TRIGGER'", "TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA"),
        ];
        questions.extend(events.then(|| of("'EVENT'", "EVENT_NAME", "EVENTS", "EVENT_SCHEMA")));
        questions.extend(libraries.then(|| of("'LIBRARY'", "LIBRARY_NAME", "LIBRARIES", "LIBRARY_SCHEMA")));
        for question in questions {
            for row in session.rows(&question)? {
                let [Some(kind), Some(name)] = row.as_slice() else { continue };
                program(session, client, (kind, database, name))?;
            }
        }
    }
    Ok(())
}

fn program(session: &mut Session, client: Client, (kind, database, name): (&str, &str, &str)) -> Result<()> {
    let show = format!("SHOW CREATE {kind} {}.{}", names::quote(database), names::quote(name));
    // What cannot be shown is looked at elsewhere.
    let Ok(rows) = session.ask(&show)? else { return Ok(()) };
    let Some(row) = rows.into_iter().next() else { return Ok(()) };
    let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let (mode, mut definition) = (text(1), text(if kind == "EVENT" { 3 } else { 2 }));
    if kind == "EVENT" || kind == "TRIGGER" {
        definition = format!("/*!50003 {definition} */");
    }
    if comes_through(client, Quoting::of_mode(&mode), &definition) {
        return Ok(());
    }
    let shown = format!("{} {}", kind.to_lowercase(), names::qualified(database, name));
    Err(Error::failed(format!("cannot back up {shown}: the client program reads its text otherwise than the server, and with it all that follows"))
        .hint(
            "create it anew: without a backslash in front of a closing quote (sql_mode ANSI_QUOTES, or a text between $$), and \
             without quotes or comments inside of comments",
        ))
}

/// Whether the client, at the end of `definition`, sees the end of a statement and none before.
fn comes_through(client: Client, quoting: Quoting, definition: &str) -> bool {
    let mut lexer = Lexer::new(client);
    lexer.delimiter = DELIMITER.to_vec();
    (lexer.plain_backslash, lexer.ansi_quotes) = (quoting.plain_backslash, quoting.ansi);
    // A line comment may end the text: the dump has the delimiter on a line of its own then.
    let text = [definition.as_bytes(), b"\n", DELIMITER].concat();
    let mut at = 0;
    while at < text.len() {
        match lexer.step(Ahead::new(&text, at, true), at == 0) {
            Some(Step::End) => return at + DELIMITER.len() == text.len(),
            Some(Step::LineComment) => {
                at = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |end| at + end + 1);
                lexer.end_line();
            }
            Some(Step::Take(length)) => at += length,
            Some(Step::Opened | Step::Closed) => at += 2,
            Some(Step::Command) | None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_the_client_reads_otherwise_is_seen() {
        let ansi = Quoting::of_mode("ANSI_QUOTES");
        let through = |client, quoting, text: &str| comes_through(client, quoting, text);
        for good in [
            "CREATE PROCEDURE p() BEGIN SELECT 'it''s;;'; /* it's */ END",
            "CREATE PROCEDURE p() SELECT 1 -- it's",
            "/*!50003 CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW\nBEGIN /* a; */ SET @a = '*/;;'; END */",
            "/*!50003 CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1 /* a */ + 1 */",
        ] {
            assert!(through(Client::MariaDb, Quoting::default(), good), "{good}");
            assert!(through(Client::MySql, Quoting::default(), good), "{good}");
        }
        let name = "CREATE PROCEDURE p() SELECT \"a\\\" FROM t";
        assert!(through(Client::MariaDb, ansi, name) && !through(Client::MySql, ansi, name));
        let library = "CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ it's ;; $$";
        assert!(
            through(Client::MySql, Quoting::default(), library)
                && !through(Client::MariaDb, Quoting::default(), library)
        );
        for bad in [
            "CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ \\$$",
            "/*!50003 CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET @a = 1 /* a */, @b = '*/;;' */",
            "CREATE PROCEDURE p() SELECT /*!999999 \\! touch x */ 1",
        ] {
            assert!(!through(Client::MySql, Quoting::default(), bad), "{bad}");
        }
    }
}
