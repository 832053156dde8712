//! The `sql_mode` under which a dump's statements are read. Dump clients change it in a few ways only; whoever changes it
//! otherwise would have the server read a text as something else than the scanner does. The same goes for the character set of
//! the session: in some a letter ends with the byte of a backslash.

use super::comments::Versioned;
use super::letters::Letters;
use super::names::{self, Token};
use super::sql::Quoting;

/// The mode in force at a place of the dump, and those that the dump has put aside. None: that of whoever loads it.
#[derive(Debug, Clone)]
pub struct Modes {
    now: Option<Quoting>,
    saved: Option<Quoting>,
    old: Option<Quoting>,
    letters: Letters,
}

impl Default for Modes {
    /// A dump is loaded under a mode without peculiarities.
    fn default() -> Self {
        let usual = Some(Quoting::default());
        Self { now: usual, saved: usual, old: usual, letters: Letters::default() }
    }
}

impl Modes {
    /// Read `sql`; whether it leaves the mode alone, or changes it as dump clients do.
    pub fn read(&mut self, sql: &str) -> bool {
        let all = names::tokens(sql, usize::MAX);
        if !all.first().is_some_and(|token| token.is_word("SET")) {
            return true;
        }
        let is_about_letters = all.iter().any(super::letters::is_about);
        if !is_about_letters && !all.iter().any(is_about_modes) {
            return true;
        }
        // Some servers would skip it.
        let mut begins = sql.match_indices("/*").map(|(at, _)| &sql[at..]);
        if begins.any(|comment| Versioned::at(comment).is_some_and(|begun| begun.depends)) {
            return false;
        }
        // What is quoted is not looked at here: of a mode it is the value, and nothing else may be quoted.
        let shape = all[1..].iter().map(shape).collect::<Vec<_>>().concat();
        if is_about_letters {
            return self.letters.read(&shape);
        }
        let value = all.last().and_then(|token| if let Token::Quoted(text) = token { Some(text) } else { None });
        // Servers are generous with blanks in it; clients write none.
        let is_plain =
            |mode: &String| mode.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b','));
        if !value.is_none_or(is_plain) {
            return false;
        }
        let quoting = value.map(|mode| Quoting::of_mode(mode));
        match shape.as_str() {
            "sql_mode='" => self.now = quoting,
            "sql_mode=@saved_sql_mode" => self.now = self.saved,
            "sql_mode=@old_sql_mode" => self.now = self.old,
            "@saved_sql_mode=@@sql_mode" => self.saved = self.now,
            "@old_sql_mode=@@sql_mode,sql_mode='" => {
                self.old = None;
                self.now = quoting;
            }
            _ => return false,
        }
        true
    }

    /// How quotes are read; none if that is up to whoever loads the dump.
    pub fn quoting(&self) -> Option<Quoting> {
        self.now
    }

    /// Whether texts are read here as rows and tables are written.
    pub fn is_usual(&self) -> bool {
        self.now == Some(Quoting::default())
    }

    /// The character set in which texts are read here.
    pub fn letters(&self) -> &Letters {
        &self.letters
    }
}

fn is_about_modes(token: &Token) -> bool {
    match token {
        Token::Word(text) | Token::Quoted(text) => {
            ["sql_mode", "saved_sql_mode", "old_sql_mode"].iter().any(|name| text.eq_ignore_ascii_case(name))
        }
        Token::Mark(_) => false,
    }
}

fn shape(token: &Token) -> String {
    match token {
        Token::Word(text) => text.to_ascii_lowercase(),
        Token::Quoted(_) => "'".to_owned(),
        Token::Mark(mark) => mark.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(statements: &[&str]) -> Option<Quoting> {
        let mut modes = Modes::default();
        assert!(statements.iter().all(|sql| modes.read(sql)), "{statements:?}");
        modes.quoting()
    }

    #[test]
    fn the_mode_is_followed_as_clients_set_it() {
        let (usual, plain) = (Some(Quoting::default()), Some(Quoting::of_mode("NO_BACKSLASH_ESCAPES")));
        let begun = "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */";
        let (save, restore) =
            ("/*!50003 SET @saved_sql_mode       = @@sql_mode */ ", "SET sql_mode = @saved_sql_mode ");
        let special = "/*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES' */ ";
        let ended = "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */";
        assert_eq!(after(&[begun, save]), usual);
        assert_eq!(after(&[begun, save, special, "SET time_zone = 'SYSTEM'"]), plain);
        assert_eq!(after(&[begun, save, special, restore]), usual);
        assert_eq!(after(&[begun, save, special, restore, ended]), None, "the session's own");
        assert_eq!(after(&[begun, ended, save, special, restore]), None);
        assert_eq!(after(&[begun, ended, save, "SET sql_mode = ''"]), usual);
    }

    #[test]
    fn no_other_way_is_known() {
        for sql in [
            "SET @a=1, sql_mode = ''",
            "SET SESSION sql_mode = ''",
            "SET @@sql_mode = ''",
            "SET `sql_mode` = ''",
            "SET sql_mode := ''",
            "SET sql_mode = ANSI_QUOTES",
            "SET sql_mode = @x",
            "SET sql_mode = '', @saved_sql_mode = ''",
            "SET @saved_sql_mode = 'NO_BACKSLASH_ESCAPES'",
            "SET @`saved_sql_mode` = ''",
            "SET @OLD_SQL_MODE = @@sql_mode, sql_mode = @x",
            "/*!99999 SET sql_mode = '' */",
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES '",
            "/*!99999 SET character_set_client = utf8mb4 */",
        ] {
            assert!(!Modes::default().read(sql), "{sql}");
        }
    }
}
