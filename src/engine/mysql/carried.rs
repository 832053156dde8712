//! Programs that the client reads otherwise than the server: a quote that it does not see closed swallows whatever the dump
//! has behind it. The client that loads the dump back would do the same, so such a program is left out by name. So is one of
//! which a server that loads the dump would run a part by itself.

use super::bodies::is_one_statement;
use super::connection::Session;
use super::examined::Examined;
use super::lexer::{Ahead, Client, Lexer, Step};
use super::programs::{self, Program};
use super::sql::Quoting;
use crate::error::Result;

/// Between programs in a dump.
const DELIMITER: &[u8] = b";;";
/// Why it is left out, and what to do.
const REASON: &str = "the dump client reads its text differently from the server, and would misread everything after it; \
     create it again without a backslash before a closing quote (sql_mode ANSI_QUOTES, or a text between $$), and without \
     quotes or comments inside comments";
/// The same where the text does not end with the program.
const GOES_ON: &str = "a server that loads the dump would read more than one statement in its text, and run the others, too; \
     check the text, and create it again as one statement, without comments inside comments";

/// Leave out by name what of `databases` would not come through the client as it is: the others are safe without it.
pub fn look(session: &mut Session, databases: &[String], client: Client, out: &mut Examined) -> Result<()> {
    out.events_apart |= databases.iter().any(|database| loses_events(client, database));
    for database in databases {
        let libraries = programs::libraries(session, database)?;
        for program in programs::of(session, database, !out.without_events)?.into_iter().chain(libraries) {
            let Some((definition, refusal)) = read(session, client, database, &program)? else { continue };
            // To print such an event the client looks for a delimiter that is not in it, and never finds one.
            out.events_apart |= program.kind == "event" && definition.contains(";;");
            if let Some(reason) = refusal {
                programs::name_as_left_out(database, &program, (reason, Some(definition)), out);
            }
        }
    }
    Ok(())
}

/// Whether the client fails where it comes to the events of this database: MariaDB's asks for the name as it stands in a
/// text, with backslashes.
fn loses_events(client: Client, database: &str) -> bool {
    client == Client::MariaDb && database.contains(['\\', '\'', '"', '\n', '\r', '\u{1a}'])
}

/// The program's definition, and why it cannot be carried.
fn read(
    session: &mut Session,
    client: Client,
    database: &str,
    program: &Program,
) -> Result<Option<(String, Option<&'static str>)>> {
    // What cannot be shown is looked at elsewhere.
    let Ok(rows) = session.ask(&programs::show_create(database, program))? else { return Ok(None) };
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let (mode, definition) = (text(1), text(programs::statement_at(&program.kind)));
    let printed = match program.kind.as_str() {
        "event" | "trigger" => format!("/*!50003 {definition} */"),
        _ => definition.clone(),
    };
    Ok(Some((definition, refusal(client, Quoting::of_mode(&mode), &printed))))
}

/// Why a program that is `printed` so is left out; none if it is not.
fn refusal(client: Client, quoting: Quoting, printed: &str) -> Option<&'static str> {
    if !comes_through(client, quoting, printed) {
        return Some(REASON);
    }
    (!is_one_statement(printed, quoting, client)).then_some(GOES_ON)
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
    fn a_database_whose_events_the_client_does_not_find_is_known_by_its_name() {
        for name in ["it's", "a\\b", "a\"b", "a\nb", "a\rb"] {
            assert!(loses_events(Client::MariaDb, name) && !loses_events(Client::MySql, name), "{name:?}");
        }
        for name in ["shop", "a`b", "a%b", "a;b", "日本"] {
            assert!(!loses_events(Client::MariaDb, name), "{name:?}");
        }
    }

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
        // Only at the beginning of a statement are two dashes a comment whatever follows.
        assert!(through(Client::MariaDb, Quoting::default(), "CREATE PROCEDURE p() SELECT 1--'\n;;'"));
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
