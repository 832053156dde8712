//! The definition of a table in the text of a dump. Names may hold anything, line ends and whole statements too, so it is
//! found and taken apart by reading the text as the server does, and never by looking for words in it.

use super::sql::{Kind, Piece, Quoting, pieces};

/// The `CREATE TABLE` of a table, and where its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateTable<'t> {
    /// The statement without its end.
    pub sql: &'t str,
    /// Offset of the statement in the text.
    pub start: usize,
    /// Offset in `sql` of what follows the table's name.
    pub body: usize,
}

impl<'t> CreateTable<'t> {
    /// The definition of the table of this name in `text`, which may hold other statements.
    pub fn of(text: &'t str, table: &str) -> Option<Self> {
        Self::named(text, |name| name == table)
    }

    /// The first definition of any table in `text`.
    pub fn first(text: &'t str) -> Option<Self> {
        Self::named(text, |_| true)
    }

    fn named(text: &'t str, is_wanted: impl Fn(&str) -> bool) -> Option<Self> {
        let pieces = read(text);
        let mut rest = pieces.as_slice();
        while !rest.is_empty() {
            let length = rest.iter().position(|piece| piece.is_mark(";")).unwrap_or(rest.len());
            let (statement, after) = (&rest[..length], rest.get(length + 1..).unwrap_or_default());
            rest = after;
            // Comments in front of a statement are none of it.
            let begin = statement.iter().position(|piece| piece.kind != Kind::Comment).unwrap_or(statement.len());
            let [create, word, name, open, ..] = &statement[begin..] else { continue };
            let is_table = create.is_word("CREATE") && word.is_word("TABLE") && name.kind == Kind::Name;
            // What is made from a query has no list of columns here, or more than a list.
            if is_table && open.is_mark("(") && is_wanted(&name.value()) {
                let end = statement.last().map_or(open.end(), Piece::end);
                let body = name.end() - create.start;
                return Some(Self { sql: &text[create.start..end], start: create.start, body });
            }
        }
        None
    }

    /// Columns, keys and options: everything behind the name.
    pub fn body(&self) -> &'t str {
        &self.sql[self.body..]
    }

    /// Offset in `sql` of the bracket that closes the list of columns and keys.
    pub fn list_end(&self) -> Option<usize> {
        let mut depth = 0_usize;
        for piece in read(self.body()) {
            if piece.is_mark("(") {
                depth += 1;
            } else if piece.is_mark(")") {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(self.body + piece.start);
                }
            }
        }
        None
    }

    /// Whether each line of the definition is a whole column, key or constraint: no name or text reaches over a line's end.
    pub fn is_in_lines(&self) -> bool {
        read(self.sql).iter().all(|piece| match piece.kind {
            Kind::Name | Kind::Text => !piece.text.contains(['\n', '\r']),
            Kind::Open => false,
            _ => true,
        })
    }
}

/// Options behind the list of columns: `name` and `=`, or the name alone, and what follows.
pub fn option<'t>(options: &'t str, name: &[&str]) -> Option<Piece<'t>> {
    let pieces = read(options);
    let (at, _) = pieces
        .windows(name.len())
        .enumerate()
        .find(|(_, words)| words.iter().zip(name).all(|(piece, word)| piece.is_word(word)))?;
    let mut after = pieces[at + name.len()..].iter();
    after.next().filter(|piece| piece.is_mark("="))?;
    after.next().copied()
}

fn read(text: &str) -> Vec<Piece<'_>> {
    // The dump sets the mode under which it is read.
    pieces(text, Quoting::default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::mysql::names;

    /// What a dump has in front of a table's rows.
    fn head(table: &str) -> String {
        let name = names::quote(table);
        let shown = table.replace('\n', "\n-- ");
        format!(
            "--\n-- Table structure for table `{shown}`\n--\n\nDROP TABLE IF EXISTS {name};\n\
             /*!40101 SET @saved_cs_client     = @@character_set_client */;\n\
             CREATE TABLE {name} (\n  `id` int(11) NOT NULL COMMENT ');\\n CREATE TABLE `no` ('\n) ENGINE=InnoDB;\n\
             /*!40101 SET character_set_client = @saved_cs_client */;\n"
        )
    }

    #[test]
    fn a_name_that_looks_like_a_definition_is_a_name() {
        for table in [
            "plain",
            "z (\na int) ENGINE=InnoDB AS SELECT evil.f() AS a/*",
            "*/#CREATE TABLE z(a int)DATA DIRECTORY='/tmp' AS SELECT e.f()/*",
            "\nCREATE TABLE x (\n  `a` int\n) ENGINE=InnoDB;\n",
            "a`b``c",
            ";\n",
            "\n) ENGINE=SPIDER ",
        ] {
            let text = head(table);
            let found = CreateTable::of(&text, table).unwrap_or_else(|| panic!("{table:?}"));
            assert!(found.sql.starts_with(&format!("CREATE TABLE {} (\n", names::quote(table))), "{}", found.sql);
            assert!(found.sql.ends_with("\n) ENGINE=InnoDB"), "{}", found.sql);
            assert!(found.body().starts_with(" (\n  `id` int(11)"), "{}", found.body());
            assert_eq!(&text[found.start..][..found.sql.len()], found.sql);
            assert!(found.sql[found.list_end().unwrap()..].starts_with(") ENGINE=InnoDB"));
            assert_eq!(found.is_in_lines(), !table.contains('\n'), "{table:?}");
        }
    }

    #[test]
    fn only_the_table_of_the_name_is_found_and_only_with_a_list_of_columns() {
        let text = format!("{}{}", head("a"), head("b"));
        assert!(CreateTable::of(&text, "b").unwrap().start > head("a").len());
        assert_eq!(CreateTable::of(&text, "c"), None);
        assert_eq!(CreateTable::of("CREATE TABLE `t` AS SELECT 1;\n", "t"), None);
        assert_eq!(CreateTable::of("CREATE TABLE `t` LIKE `u`;\n", "t"), None);
        assert_eq!(CreateTable::of("CREATE VIEW `t` (`a`) AS SELECT 1;\n", "t"), None);
    }

    #[test]
    fn an_option_is_read_and_not_what_a_text_says() {
        let options =
            ") ENGINE=SPIDER COMMENT='ENGINE=No DEFAULT CHARSET=no' DEFAULT CHARSET=latin1 COLLATE=latin1_bin";
        assert_eq!(option(options, &["ENGINE"]).unwrap().text, "SPIDER");
        assert_eq!(option(options, &["DEFAULT", "CHARSET"]).unwrap().text, "latin1");
        assert_eq!(option(options, &["CONNECTION"]), None);
    }

    proptest! {
        #[test]
        fn whatever_the_table_is_called_its_definition_is_found(
            table in prop::collection::vec(
                prop::sample::select(vec!["`", "'", "\"", "\n", "\\", ";", "#", "-- ", "/*", "*/", "(", ")", " (\n", "CREATE TABLE ", ";\n", "a", "\n) ENGINE=", "/*!"]),
                1..12
            ).prop_map(|parts| parts.concat())
        ) {
            // A name does not end with a space.
            let table = format!("{table}x");
            let text = head(&table);
            let found = CreateTable::of(&text, &table);
            prop_assert!(found.is_some(), "{text}");
            let found = found.unwrap();
            let start = format!("CREATE TABLE {} (\n  `id`", names::quote(&table));
            prop_assert!(found.sql.starts_with(&start), "{}", found.sql);
            prop_assert!(found.sql.ends_with("\n) ENGINE=InnoDB"), "{}", found.sql);
        }
    }
}
