use super::*;
use crate::domain::manifest::ObjectKind;

const DUMP: &str = r"/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
-- ------------------------------------------------------

/*!40101 SET NAMES utf8mb4 */;
-- CHANGE MASTER TO MASTER_LOG_FILE='bin.000001', MASTER_LOG_POS=3644;

/* SET @@GLOBAL.GTID_PURGED='+it;s-a-set:1-5';*/

--
-- A comment
--

--
-- Current Database: `a b`
--

CREATE DATABASE /*!32312 IF NOT EXISTS*/ `a b` /*!40100 DEFAULT CHARACTER SET latin1 */;

USE `a b`;

--
-- Temporary table structure for view `v`
--

DROP TABLE IF EXISTS `v`;
/*!50001 CREATE VIEW `v` AS SELECT
 NULL AS `a` */;

--
-- Table structure for table `t;`
--

DROP TABLE IF EXISTS `t;`;
CREATE TABLE `t;` (
  `id` int(11) NOT NULL AUTO_INCREMENT COMMENT ') ENGINE=x; -- ',
  `at` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4;

--
-- Dumping data for table `t;`
--

INSERT INTO `t;` VALUES
(1,'2024-01-01 00:00:00'),
(2,'-- Dump completed
-- Table structure for table `x`
');
INSERT INTO `t;` VALUES
(3,NULL);
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER tr BEFORE INSERT ON `t;` FOR EACH ROW
BEGIN -- don't; stop
  SET NEW.id = 1; /* it's; */
  SET NEW.at = ';;';
END */;;
DELIMITER ;

--
-- Table structure for table `m`
--

CREATE TABLE `m` (
  `x` int(11)
) ENGINE=MyISAM;

--
-- Final view structure for view `v`
--

/*!50001 DROP VIEW IF EXISTS `v`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 AS `a` */;
-- SET GLOBAL gtid_slave_pos='0-1-16';

-- Dump completed
";

fn scan(dump: &[u8], piece: usize) -> Result<(DumpFacts, Vec<u8>)> {
    let (mut scanner, mut out) = (StreamScanner::new(Client::MariaDb, Capture::default()), Vec::new());
    for piece in dump.chunks(piece) {
        scanner.feed(piece)?;
        out.extend(scanner.take_output());
    }
    let facts = scanner.finish()?;
    out.extend(scanner.take_output());
    Ok((facts, out))
}

#[test]
fn a_dump_is_described_whatever_the_size_of_its_pieces() {
    let (facts, stored) = scan(DUMP.as_bytes(), 4096).unwrap();
    let inventory = facts.inventory();
    let rows: Vec<_> = inventory.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!(rows, [("`a b`.`t;`", 3), ("`a b`.m", 0)]);
    assert_eq!(inventory.tables[0].newest["at"], "2024-01-01 00:00:00");
    let objects: Vec<_> = inventory.objects.iter().map(|o| (o.kind, o.name.as_str())).collect();
    let wanted = [(ObjectKind::Database, "`a b`"), (ObjectKind::View, "`a b`.v"), (ObjectKind::Trigger, "`a b`.tr")];
    assert_eq!(objects, wanted);
    assert_eq!(facts.not_in_snapshot, ["`a b`.m (MyISAM)"]);
    assert!(facts.sandbox_line_removed);
    assert_eq!(facts.position.binlog_file.as_deref(), Some("bin.000001"));
    assert_eq!(facts.position.binlog_offset, Some(3644));
    assert_eq!(facts.position.gtid.as_deref(), Some("0-1-16"));
    for piece in [1, 2, 5, 64] {
        let (again, bytes) = scan(DUMP.as_bytes(), piece).unwrap();
        assert!((again.inventory(), &again.segments, &bytes) == (inventory.clone(), &facts.segments, &stored));
    }
    // What was stored is itself a dump of the same content.
    let (again, twice) = scan(&stored, 4096).unwrap();
    assert_eq!(String::from_utf8_lossy(&twice), String::from_utf8_lossy(&stored));
    assert_eq!(again.inventory(), inventory);
}

#[test]
fn a_text_in_a_comment_with_a_version_is_stored_as_every_server_reads_it() {
    let table = "CREATE TABLE `t` (\n  `a*/b` int /*!80023 INVISIBLE */\n) ENGINE=InnoDB \
                 /*!80021 SECONDARY_ENGINE_ATTRIBUTE='{\"a\": \" */ AS SELECT f() -- \"}' */";
    let dump = |more: &str| format!("USE `d`;\n{table};\n{more}-- Dump completed\n");
    let (facts, stored) = scan(dump("").as_bytes(), 7).unwrap();
    let stored = String::from_utf8(stored).unwrap();
    assert_eq!(stored, dump("").replace(" */ AS", " *\\/ AS"));
    assert_eq!(scan(stored.as_bytes(), 4096).unwrap().0.inventory(), facts.inventory());
    assert!(can_carry(Client::MySql, table) && !can_carry(Client::MySql, &table.replace("` (", "` AS SELECT (")));
    // A histogram is no data: where a name cannot be written otherwise, it is left out.
    let plain = "/*!80002 ANALYZE TABLE `t` UPDATE HISTOGRAM ON `c` WITH 9 BUCKETS */;\n";
    let odd = "/*!80002 ANALYZE TABLE `t` UPDATE HISTOGRAM ON `a*/b` WITH 9 BUCKETS */;\n";
    let (facts, out) = scan(dump(&[plain, odd].concat()).as_bytes(), 64).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains(plain.trim_end()) && !out.contains("HISTOGRAM ON `a*/b`"), "{out}");
    assert!(facts.lossy[0].starts_with("table d.t: its histograms are not backed up"), "{:?}", facts.lossy);
}

/// Made by mariadb-dump of MariaDB 11.8.9.
#[test]
fn a_dump_of_mariadb_11_8_is_described() {
    let dump = include_bytes!("mariadb-11.8.sql");
    let (facts, stored) = scan(dump, 100).unwrap();
    let inventory = facts.inventory();
    let rows: Vec<_> = inventory.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!(rows, [("`ti;ny`.h", 2), ("`ti;ny`.t", 2)]);
    let objects: Vec<_> = inventory.objects.iter().map(|o| (o.kind, o.name.as_str())).collect();
    let wanted = [
        (ObjectKind::Database, "`ti;ny`"),
        (ObjectKind::View, "`ti;ny`.v"),
        (ObjectKind::Procedure, "`ti;ny`.p"),
        (ObjectKind::Trigger, "`ti;ny`.tr"),
        (ObjectKind::Sequence, "`ti;ny`.s"),
    ];
    assert!(wanted.iter().all(|one| objects.contains(one)) && objects.len() == wanted.len(), "{objects:?}");
    assert!(facts.sandbox_line_removed);
    let (again, _) = scan(&stored, 4096).unwrap();
    assert_eq!(again.inventory(), inventory);
}

#[test]
fn segments_cover_the_stream_without_gaps_and_point_at_the_rows() {
    let (facts, stored) = scan(DUMP.as_bytes(), 4096).unwrap();
    let mut end = 0;
    for segment in &facts.segments {
        assert_eq!(segment.offset, end);
        end += segment.bytes;
    }
    assert_eq!(end, stored.len() as u64);
    let table = facts.segments.iter().find(|s| s.table == "t;").unwrap();
    let text = &stored[table.offset as usize..][..table.bytes as usize];
    assert!(text.starts_with(b"-- Table structure for table `t;`"));
    let rows = String::from_utf8_lossy(&text[table.rows_start as usize..table.rows_end as usize]);
    assert!(rows.trim_start().starts_with("INSERT INTO `t;` VALUES\n(1,"), "{rows}");
    assert!(rows.ends_with("(3,NULL);\n"), "{rows}");
    assert!(text.ends_with(b"DELIMITER ;\n\n--\n"));
    assert_eq!(table.database, "a b");
}

#[test]
fn a_dump_cut_anywhere_is_an_error() {
    let marker = DUMP.rfind("-- Dump completed").unwrap();
    for end in (0..marker + 16).step_by(7) {
        assert!(scan(&DUMP.as_bytes()[..end], 512).is_err(), "cut at {end}");
    }
}

#[test]
fn what_the_client_would_wait_for_without_end_is_refused() {
    for (client, text) in [
        (Client::MariaDb, " "),
        (Client::MySql, "delimiter "),
        (Client::MariaDb, "DELIMITER ;;"),
        (Client::MySql, "SELECT $a"),
    ] {
        let mut scanner = StreamScanner::new(client, Capture::default());
        let endless = [text, &text[text.len() - 1..].repeat(1 << 20)].concat();
        let refusal = scanner.feed(endless.as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains("cannot store the dump"), "{text}: {refusal}");
    }
}

#[test]
fn the_next_auto_increment_value_does_not_change_a_definition() {
    let later = DUMP.replace("AUTO_INCREMENT=3 ", "AUTO_INCREMENT=77 ");
    let (a, b) = (scan(DUMP.as_bytes(), 512).unwrap(), scan(later.as_bytes(), 512).unwrap());
    let (mut a, mut b) = (a.0.inventory(), b.0.inventory());
    assert_eq!((a.tables[0].next_id.take(), b.tables[0].next_id.take()), (Some(3), Some(77)));
    assert_eq!(a, b);
}

/// Generated statements as a dump may contain them, and what the server's client would send for them.
mod generated {
    use proptest::prelude::*;

    use super::*;

    /// Text inside quotes of `quote`, escaped as the client prints it.
    fn quoted(quote: char) -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z0-9 ,()=@]{0,6}",
            Just(";".to_owned()),
            Just(";;".to_owned()),
            Just("-- x".to_owned()),
            Just("/*".to_owned()),
            Just("*/".to_owned()),
            Just("#".to_owned()),
            Just("\n".to_owned()),
            Just("\u{c}".to_owned()),
            Just("DELIMITER ;;\n".to_owned()),
            Just("\n-- Dump completed\n".to_owned()),
            Just("ü表".to_owned()),
            Just(format!("{quote}{quote}")),
            Just(if quote == '`' { "\\".to_owned() } else { "\\\\".to_owned() }),
            Just(if quote == '`' { "'".to_owned() } else { format!("\\{quote}") }),
        ];
        proptest::collection::vec(piece, 0..5).prop_map(move |parts| format!("{quote}{}{quote}", parts.concat()))
    }

    /// Parts of a statement; none holds the delimiter where the client would see it.
    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z]{1,6}",
            Just("1 - -2".to_owned()),
            Just("a/b*c".to_owned()),
            Just("-- it's; a \"comment`\n".to_owned()),
            Just("--\u{c}it's; a \"form feed`\n".to_owned()),
            Just("--\u{b}it's; a \"vertical tab`\n".to_owned()),
            Just("# it's; another\n".to_owned()),
            Just("/* it's; \"old`\n */".to_owned()),
            Just("/*/ it's; */".to_owned()),
            Just("/*!50003 x */".to_owned()),
            quoted('\''),
            quoted('"'),
            quoted('`'),
        ]
    }

    /// A program that says this and more: programs are the only statements that may say anything.
    fn statement(begins: &'static str) -> impl Strategy<Value = String> {
        (any::<u64>(), proptest::collection::vec(part(), 0..8)).prop_map(move |(number, parts)| {
            format!("CREATE FUNCTION `f{number}`() RETURNS int {begins} {}", parts.join(" "))
        })
    }

    fn rows() -> impl Strategy<Value = Vec<String>> {
        let value = prop_oneof![quoted('\''), Just("NULL".to_owned()), "-?[0-9]{1,5}", "0x[0-9A-F]{2,8}"];
        let row = proptest::collection::vec(value, 1..4).prop_map(|values| format!("({})", values.join(",")));
        proptest::collection::vec(row, 1..6)
    }

    /// The whole dump, and how many rows it has.
    fn dump() -> impl Strategy<Value = (String, usize)> {
        let part = prop_oneof![
            statement("RETURN").prop_map(|sql| (format!("{sql};\n"), 0)),
            statement("BEGIN SET @a =")
                .prop_map(|sql| (format!("DELIMITER ;;\n{sql};\nEND /*!50003 */;;\nDELIMITER ;\n"), 0)),
            rows().prop_map(|rows| (format!("INSERT INTO `t` VALUES\n{};\n", rows.join(",\n")), rows.len())),
            rows().prop_map(|rows| (format!("INSERT INTO `t` VALUES {};\n", rows.join(",")), rows.len())),
        ];
        proptest::collection::vec(part, 1..8).prop_map(|parts| {
            let rows = parts.iter().map(|(_, rows)| rows).sum();
            let text: String = parts.into_iter().map(|(text, _)| text).collect();
            (format!("USE `d`;\n--\n-- Table structure for table `t`\n--\nCREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB;\n{text}-- Dump completed\n"), rows)
        })
    }

    /// The statements that the client would send, told by its own rules in the plainest way.
    fn of_the_client(dump: &str) -> Vec<String> {
        let (mut out, mut buffer, mut rest, mut delimiter) = (Vec::new(), String::new(), dump, ";".to_owned());
        while let Some(first) = rest.chars().next() {
            let line = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let blank = buffer.trim().is_empty();
            let white = |text: &str| text.starts_with([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']);
            let taken = if blank && rest.starts_with("DELIMITER ") {
                rest[10..line].trim().clone_into(&mut delimiter);
                buffer.clear();
                rest = &rest[line..];
                continue;
            } else if rest.starts_with(&delimiter) {
                out.push(std::mem::take(&mut buffer).trim_start().to_owned());
                rest = &rest[delimiter.len()..];
                continue;
            } else if first == '#' || rest.strip_prefix("--").is_some_and(white) {
                line
            } else if rest.starts_with("/*") && !rest.starts_with("/*!") {
                2 + rest[2..].find("*/").unwrap() + 2
            } else if matches!(first, '\'' | '"' | '`') {
                let mut end = 1;
                while !rest[end..].starts_with(first) {
                    let escape = first != '`' && rest[end..].starts_with('\\');
                    end += rest[end..].chars().take(1 + usize::from(escape)).map(char::len_utf8).sum::<usize>();
                }
                end + 1
            } else {
                first.len_utf8()
            };
            let comment = first == '#' || rest.strip_prefix("--").is_some_and(white);
            if !(blank && comment) {
                buffer.push_str(&rest[..taken]);
            }
            rest = &rest[taken..];
        }
        out.retain(|statement| !statement.starts_with("INSERT "));
        out
    }

    proptest! {
        #[test]
        fn statements_are_cut_where_the_client_cuts_them((dump, _) in dump()) {
            let mut scanner = StreamScanner::new(Client::MariaDb, Capture::default());
            scanner.feed(dump.as_bytes()).unwrap();
            prop_assert_eq!(&scanner.seen.statements, &of_the_client(&dump));
            scanner.finish().unwrap();
        }

        #[test]
        fn any_cut_of_the_input_gives_the_same_facts_and_output((dump, rows) in dump(), cuts in proptest::collection::vec(1..40_usize, 1..20)) {
            let (facts, stored) = scan(dump.as_bytes(), dump.len()).unwrap();
            prop_assert_eq!(facts.inventory().tables[0].rows, rows as u64);
            let (mut scanner, mut out, mut rest) = (StreamScanner::new(Client::MariaDb, Capture::default()), Vec::new(), dump.as_bytes());
            for size in cuts.iter().cycle() {
                let (piece, more) = rest.split_at(rest.len().min(*size));
                scanner.feed(piece).unwrap();
                out.extend(scanner.take_output());
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            let again = scanner.finish().unwrap();
            out.extend(scanner.take_output());
            prop_assert_eq!(again.inventory(), facts.inventory());
            prop_assert_eq!(&again.segments, &facts.segments);
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&stored));
            // What is stored is a dump of the same content, and is stored again as it is.
            let (twice, same) = scan(&stored, stored.len()).unwrap();
            prop_assert_eq!(twice.inventory(), facts.inventory());
            prop_assert_eq!(String::from_utf8_lossy(&same), String::from_utf8_lossy(&stored));
        }
    }
}

#[test]
fn what_the_client_does_not_print_stands_where_it_would_have_printed_it() {
    let supplement = || {
        Supplement::of(
            &[(
                "`a b`.`t;`",
                "DELIMITER ;;\nCREATE TRIGGER more BEFORE INSERT ON `t;` FOR EACH ROW SET @a = ';;'\n;;\nDELIMITER ;\n",
            )],
            "USE `other`;\nDELIMITER ;;\nCREATE PROCEDURE p() SELECT '\n-- Dump completed\n'\n;;\nDELIMITER ;\n",
        )
    };
    let read = |dump: &str, piece: usize| {
        let (mut scanner, mut out) =
            (StreamScanner::new(Client::MariaDb, Capture::default()).with(supplement()), Vec::new());
        for piece in dump.as_bytes().chunks(piece) {
            scanner.feed(piece).unwrap();
            out.extend(scanner.take_output());
        }
        let facts = scanner.finish().unwrap();
        out.extend(scanner.take_output());
        (facts.inventory(), facts.segments, String::from_utf8(out).unwrap())
    };
    let without_view = format!("{}-- Dump completed\n", DUMP.split("--\n-- Final view").next().unwrap());
    for dump in [DUMP, &without_view] {
        let (inventory, segments, stored) = read(dump, 4096);
        let names: Vec<&str> = inventory.objects.iter().map(|object| object.name.as_str()).collect();
        assert!(names.contains(&"other.p") && names.contains(&"`a b`.more"), "{names:?}");
        let of_table = segments.iter().find(|segment| segment.table == "t;").unwrap();
        let (from, length) = (usize::try_from(of_table.offset).unwrap(), usize::try_from(of_table.bytes).unwrap());
        assert!(stored[from..from + length].contains("TRIGGER more"), "the trigger comes with its table: {stored}");
        let place = |text: &str| stored.find(text).unwrap_or(stored.len());
        let after = [place("(3,NULL)"), place("TRIGGER tr BEFORE")];
        assert!(after.iter().all(|before| *before < place("TRIGGER more")), "{stored}");
        assert!(
            place("PROCEDURE p()") < place("-- Final view structure").min(place("\n-- Dump completed\n\n")),
            "{stored}"
        );
        assert!(
            stored.contains("USE `a b`;\n\n-- Final view") || dump != DUMP,
            "the database in use is the same: {stored}"
        );
        assert_eq!((inventory, segments, stored), read(dump, 1));
    }
}

#[test]
fn rows_are_of_a_table_of_the_database_in_use_and_computed_by_nothing() {
    let tried = |sql: &str| {
        let dump = format!("USE `d`;\nCREATE TABLE `t` (\n  `a` text\n) ENGINE=InnoDB;\n{sql}\n-- Dump completed\n");
        scan(dump.as_bytes(), 7)
    };
    for sql in [
        "INSERT INTO `t` VALUES ('a');",
        "INSERT INTO `t` (`a`, `VALUES`) VALUES ('a',1);",
        "INSERT  IGNORE INTO `t` VALUES ('a');",
        "INSERT INTO `t` (`a`, row_start, row_end) VALUES ('a',1,2);",
        "INSERT INTO `t` () VALUES (),();",
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nSET sql_mode = @saved_sql_mode;\nINSERT INTO `t` VALUES ('a');",
    ] {
        assert!(tried(sql).is_ok(), "{sql}");
    }
    for sql in [
        "INSERT INTO `mysql`.`user` VALUES (1);",
        "insert into `t` values (f());",
        "INSERT INTO `t`VALUES (f());",
        "/*!50003 INSERT INTO `t` VALUES (f()) */;",
        "INSERT INTO `t` SELECT f() UNION VALUES (1);",
        "INSERT INTO `t` /*!99999 ' */ SELECT f() UNION -- '\n VALUES (1);",
        "INSERT INTO `t` -- x\n VALUES (1);",
        "INSERT INTO `t` (`a`, f()) VALUES (1,2);",
        "INSERT INTO `t` (`a` `b`) VALUES (1,2);",
        "INSERT INTO `t` (`a`) SELECT f() ON DUPLICATE KEY UPDATE a= VALUES (a);",
        // Read as the server would not.
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO `t` VALUES ('\\'),(f(),'');",
        "SET @a=1, sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO `t` VALUES ('a');",
        "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO `t` VALUES ('a');",
        "SET @@sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO `t` VALUES ('a');",
        "SET @saved_sql_mode = 'NO_BACKSLASH_ESCAPES';\nSET sql_mode = @saved_sql_mode;\nINSERT INTO `t` VALUES ('a');",
        "SET sql_mode = @m;\nINSERT INTO `t` VALUES ('a');",
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nCREATE TABLE `u` (`a` int COMMENT '\\') AS SELECT f() -- ');",
    ] {
        assert!(tried(sql).is_err(), "{sql}");
    }
}
