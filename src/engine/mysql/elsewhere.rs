//! Tables whose rows are not in their own server: they are a connection to another server, or a view of files. What a
//! sandbox makes of them, what a real destination must have, and which of them are a loss after all.

use std::collections::BTreeSet;

use super::connection::{Refusal, Session};
use super::create_table::{self, CreateTable};
use super::names::{self, Token};
use super::probe::Probe;
use super::sql::Kind;
use super::table_options;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::error::{Error, Result};

/// Engines of MariaDB whose tables cannot be made, or not without harm, where nothing else can be reached: FEDERATED connects
/// when a table is made, SPIDER wants the server definition that it names, CONNECT writes to the file that it names.
const STOOD_IN: [&str; 3] = ["CONNECT", "FEDERATED", "SPIDER"];
/// Types of CONNECT tables whose rows are a file.
const OF_FILES: [&str; 12] = ["BIN", "BSON", "CSV", "DBF", "DOS", "FIX", "FMT", "INI", "JSON", "VEC", "XML", "ZIP"];

/// Whether a sandbox makes something else of tables of this engine.
pub fn is_stood_in(server: &ServerIdentity, engine: &str) -> bool {
    server.product == "MariaDB" && STOOD_IN.contains(&engine)
}

/// Tables that a sandbox makes something else of.
pub fn stand_ins<'n>(server: &ServerIdentity, needs: &'n Needs) -> BTreeSet<&'n String> {
    needs.connected.iter().filter(|(_, engine)| is_stood_in(server, engine)).map(|(table, _)| table).collect()
}

/// The definition in `head` with an engine that needs nothing else: columns and keys are tried all the same, and what refers
/// to the table finds it.
pub fn stand_in(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let Some(table) = CreateTable::first(&text) else { return head.to_vec() };
    let Some(list_end) = table.list_end() else { return head.to_vec() };
    let options = &table.sql[list_end..];
    let engine = create_table::option(options, &["ENGINE"]);
    if !engine.is_some_and(|engine| STOOD_IN.contains(&engine.text)) {
        return head.to_vec();
    }
    let end = table.start + table.sql.len();
    let (columns, charset) = (&text[..table.start + list_end], charset(options));
    // InnoDB's keys may be as long as the server's; Aria also counts in the second column of a key.
    let engine = if columns.contains("AUTO_INCREMENT") { "Aria" } else { "InnoDB" };
    let after = text[end..].strip_prefix(";\n").unwrap_or_default();
    // Columns and keys may have options that only their own engine knows.
    format!(
        "SET @bsla_sql_mode = @@sql_mode, sql_mode = CONCAT(@@sql_mode, ',IGNORE_BAD_TABLE_OPTIONS');\n\
         {columns}) ENGINE={engine}{charset};\nSET sql_mode = @bsla_sql_mode;\n{after}"
    )
    .into_bytes()
}

/// Character set and collation in a table's options: its columns show none that is the table's.
fn charset(options: &str) -> String {
    let word = |name: &[&str]| create_table::option(options, name).filter(|value| value.kind == Kind::Word);
    let Some(charset) = word(&["DEFAULT", "CHARSET"]) else { return String::new() };
    let collation = word(&["COLLATE"]).map_or_else(String::new, |name| format!(" COLLATE={}", name.text));
    format!(" DEFAULT CHARSET={}{collation}", charset.text)
}

/// What a drill did not try of `table`.
pub fn untried(table: &str, engine: &str) -> String {
    let what = if engine == "CONNECT" {
        "shows files or another server (CONNECT), which the sandbox cannot reach"
    } else {
        "shows a table of another server, which the sandbox cannot reach"
    };
    format!("table {table} {what}: the drill tested only its columns and keys")
}

/// The rows of a CONNECT table that are nowhere but in a file of its own server's data directory: the dump client prints none.
pub fn lost_rows(name: &str, sql: &str) -> Option<LeftOut> {
    let tokens = names::tokens(sql, usize::MAX);
    let option = |name: &str| table_options::option(&tokens, name);
    let is_file = match option("TABLE_TYPE") {
        Some(kind) => OF_FILES.iter().any(|file| kind.eq_ignore_ascii_case(file)),
        None => !["SRCDEF", "TABNAME"].iter().any(|other| option(other).is_some()),
    };
    let is_inside = option("FILE_NAME").is_none_or(|file| !file.starts_with('/')) && option("HTTP").is_none();
    (is_file && is_inside).then(|| LeftOut {
        kind: LeftOut::ROWS.to_owned(),
        name: name.to_owned(),
        reason: "the dump client does not dump rows of CONNECT tables, and these are in a file of the server's data directory: \
                 change the table's storage engine (ALTER TABLE … ENGINE=InnoDB), or back up that file with a source of kind \
                 `files`"
            .to_owned(),
        definition: None,
    })
}

/// Whether a server refuses a table because of what the table points to: a server definition that is gone or wrong, another
/// server that cannot be reached.
pub fn is_about_the_other_side(refusal: &Refusal) -> bool {
    // MariaDB's FEDERATED says 1 for a server definition that is gone.
    let is_unnumbered = refusal.number == 1 && refusal.message.starts_with("server name: ");
    is_unnumbered || matches!(refusal.number, 1429..=1434 | 1477)
}

/// Make each of `tables` (name, definition) at a real destination, and drop it again: some cannot be made without what they
/// point to, and it is better to hear that before the load.
pub fn can_be_made(session: &mut Session, tables: &[(String, String)]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let mut probe = Probe::make(session)?;
    for (number, (name, sql)) in tables.iter().enumerate() {
        let Some(table) = CreateTable::first(sql) else { continue };
        let place = format!("{}.t{number}", probe.name());
        match probe.ask(&format!("CREATE TABLE {place}{}", table.body()))? {
            Ok(_) => drop(probe.ask(&format!("DROP TABLE {place}"))?),
            Err(refusal) if is_about_the_other_side(&refusal) => {
                return Err(Error::failed(format!("cannot restore table {name}: {refusal}")).hint(
                    "the table needs another server: create its server definition at the destination (CREATE SERVER) and start \
                     that server, or restore the other tables with --table",
                ));
            }
            // Anything else is for the load to say.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Whether [`can_be_made`] may try this table: nothing of it is a file.
pub fn may_be_tried(sql: &str) -> bool {
    let tokens = names::tokens(sql, usize::MAX);
    let engine = |pair: &[Token]| pair[0].is_word("ENGINE") && pair[1] == Token::Mark('=');
    let is_file = table_options::option(&tokens, "FILE_NAME").is_some();
    let connects = tokens.windows(2).any(|pair| pair[0].is_word("CONNECTION") && pair[1] == Token::Mark('='));
    let spider = tokens.windows(3).any(|three| engine(&three[..2]) && three[2].is_word("SPIDER"));
    !is_file && (connects || spider)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stood_in(head: &str) -> String {
        let made = String::from_utf8(stand_in(head.as_bytes())).unwrap();
        let set = "SET @bsla_sql_mode = @@sql_mode, sql_mode = CONCAT(@@sql_mode, ',IGNORE_BAD_TABLE_OPTIONS');\n";
        let made = made.strip_prefix(set).unwrap();
        made.replacen(";\nSET sql_mode = @bsla_sql_mode;\n", ";\n", 1)
    }

    #[test]
    fn a_stand_in_keeps_columns_character_set_and_what_follows() {
        let head = "DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=FEDERATED DEFAULT CHARSET=latin1 COLLATE=latin1_bin CONNECTION='x';\n/*!40000 ALTER */;\n";
        let kept = "DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB DEFAULT CHARSET=latin1 COLLATE=latin1_bin;\n/*!40000 ALTER */;\n";
        assert_eq!(stood_in(head), kept);
        let counting = head.replace("int(11)", "int(11) AUTO_INCREMENT").replace(" COLLATE=latin1_bin", "");
        assert!(stood_in(&counting).contains("\n) ENGINE=Aria DEFAULT CHARSET=latin1;\n/*"), "{counting}");
        let parts = "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=SPIDER COMMENT='wrapper'\n PARTITION BY KEY (`a`)\n(PARTITION `p` ENGINE = SPIDER);\nX";
        assert_eq!(stood_in(parts), "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB;\nX");
        assert_eq!(
            stood_in("CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=CONNECT;\n"),
            "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB;\n"
        );
        let other = "CREATE TABLE `t` (\n  `a` int(11) COMMENT ') ENGINE=SPIDER '\n) ENGINE=InnoDB;\n";
        assert_eq!(stand_in(other.as_bytes()), other.as_bytes());
    }

    #[test]
    fn rows_in_the_data_directory_are_lost_and_no_others_are() {
        let lost = |options: &str| {
            lost_rows(
                "d.t",
                &format!("CREATE TABLE `t` (\n  `a` int NOT NULL,\n  `FILE_NAME` int\n) ENGINE=CONNECT {options}"),
            )
            .is_some()
        };
        for options in [
            "",
            "`TABLE_TYPE`='CSV'",
            "`table_type`='fix' `file_name`='f.txt'",
            "`TABLE_TYPE`='XML' `FILE_NAME`='../other/f.xml'",
        ] {
            assert!(lost(options), "{options}");
        }
        for options in [
            "`TABLE_TYPE`='CSV' `FILE_NAME`='/data/f.csv'",
            "`TABLE_TYPE`='JSON' `FILE_NAME`='f.json' `HTTP`='http://x'",
            "`TABLE_TYPE`='MYSQL' CONNECTION='mysql://u@h/d/t'",
            "`TABLE_TYPE`='DIR' `FILE_NAME`='*'",
            "`TABLE_TYPE`='ODBC' CONNECTION='DSN=x'",
            "`TABNAME`='own'",
            "`SRCDEF`='select 1'",
        ] {
            assert!(!lost(options), "{options}");
        }
        assert!(
            lost_rows("d.t", "ENGINE=CONNECT")
                .unwrap()
                .sentence()
                .starts_with("rows of table d.t are NOT in the backup: ")
        );
    }

    #[test]
    fn only_the_other_side_makes_a_table_impossible() {
        let said = |number, message: &str| is_about_the_other_side(&Refusal { number, message: message.to_owned() });
        assert!(said(1, "server name: 'far' doesn't exist!") && said(1477, "x") && said(1429, "x") && said(1434, "x"));
        assert!(!said(1, "x") && !said(1428, "x") && !said(1435, "x") && !said(1146, "x"));
    }

    #[test]
    fn tables_of_files_are_not_tried_at_a_real_destination() {
        let may = |options: &str| may_be_tried(&format!("CREATE TABLE `t` (\n  `a` int\n) ENGINE={options}"));
        assert!(
            may("SPIDER COMMENT='x'")
                && may("FEDERATED CONNECTION='far/t'")
                && may("CONNECT CONNECTION='far/t' `TABLE_TYPE`='MYSQL'")
        );
        assert!(!may("CONNECT `TABLE_TYPE`='CSV'") && !may("InnoDB COMMENT='ENGINE=SPIDER'"));
        assert!(!may("CONNECT CONNECTION='x' `TABLE_TYPE`='CSV' `FILE_NAME`='/f'"));
    }
}
