use proptest::prelude::*;

use super::*;

fn is_one(sql: &str, mode: &str, client: Client) -> bool {
    is_one_statement(sql, Quoting::of_mode(mode), client)
}

/// Of both products.
fn both(sql: &str) -> bool {
    let [of_mariadb, of_mysql] = [Client::MariaDb, Client::MySql].map(|client| is_one(sql, "", client));
    assert_eq!(of_mariadb, of_mysql, "{sql}");
    of_mariadb
}

/// Programs as servers print them.
const HONEST: [&str; 38] = [
    "CREATE DEFINER=`a`@`b` PROCEDURE `p`()\nSELECT 1",
    "CREATE DEFINER=`a`@`b` PROCEDURE `p`()\nSELECT 1;",
    "CREATE PROCEDURE `p`(IN a INT, OUT b VARCHAR(9))\n    READS SQL DATA\n    SQL SECURITY INVOKER\n    COMMENT 'x; y'\nSELECT a INTO b -- ; CALL x()\n",
    "CREATE PROCEDURE p() (SELECT 1) UNION (SELECT 2)",
    "CREATE PROCEDURE `p`() BEGIN END",
    "CREATE PROCEDURE `p`() `my label`: BEGIN SELECT 1; SELECT ';'; END `my label`",
    "CREATE PROCEDURE `p`() l: BEGIN LEAVE l; END l",
    "CREATE PROCEDURE p() NOT DETERMINISTIC security: BEGIN LEAVE security; END",
    "CREATE PROCEDURE p() BEGIN SELECT a AS begin, b end, t.if FROM x WHERE begin < 1 AND end > 2; SELECT 1 AS end; END",
    "CREATE PROCEDURE p() BEGIN SELECT CASE a WHEN 1 THEN 2 END, CASE WHEN 1 THEN end ELSE 3 END; SELECT 2; END",
    "CREATE PROCEDURE p() BEGIN SELECT IF(1, 2, 3), REPEAT('x', 2); SET @begin = 1; SET @x.end = 2; END",
    "CREATE PROCEDURE p() IF a THEN SELECT 1; ELSEIF (b) THEN SELECT 2; ELSE SELECT 3; SELECT 4; END IF",
    "CREATE PROCEDURE p() IF CASE WHEN a THEN 1 ELSE 0 END THEN SELECT 1; END IF",
    "CREATE PROCEDURE p() CASE a WHEN 1 THEN SELECT 1; WHEN CASE 2 WHEN 2 THEN 3 END THEN SELECT 2; ELSE BEGIN END; END CASE",
    "CREATE PROCEDURE p() CASE CASE 1 WHEN 1 THEN 1 END WHEN 1 THEN SELECT 1; END CASE",
    "CREATE PROCEDURE p() BEGIN a: LOOP LEAVE a; END LOOP a; b: WHILE x < 1 DO SELECT 1; END WHILE b; REPEAT SELECT 2; UNTIL CASE WHEN 1 THEN 1 END END REPEAT; END",
    "CREATE PROCEDURE p() BEGIN DECLARE x, y INT DEFAULT 3; DECLARE c CURSOR FOR SELECT 1; DECLARE n CONDITION FOR SQLSTATE '42S02'; \
     DECLARE EXIT HANDLER FOR SQLEXCEPTION, NOT FOUND, SQLSTATE VALUE '23000', 1062, n BEGIN ROLLBACK; RESIGNAL; END; \
     DECLARE CONTINUE HANDLER FOR SQLWARNING SET x = 1; OPEN c; END",
    "CREATE PROCEDURE p() BEGIN CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 1; SELECT 2; END; ALTER EVENT e DISABLE; SELECT 3; END",
    "CREATE PROCEDURE p() BEGIN CREATE TABLE event (do INT); CREATE TEMPORARY TABLE t AS SELECT 1; START TRANSACTION; XA END 'x'; COMMIT; END",
    "CREATE FUNCTION `f`(a INT) RETURNS varchar(10) CHARSET utf8mb4 COLLATE utf8mb4_bin\n    DETERMINISTIC\nRETURN CONCAT(a, ';')",
    "CREATE FUNCTION `f`() RETURNS enum('begin','end;') CHARSET latin1 DETERMINISTIC BEGIN DECLARE x INT; RETURN x; END",
    "CREATE FUNCTION `f`() RETURNS decimal(10,2) unsigned NO SQL COMMENT 'a' IF 1 THEN RETURN 1; ELSE RETURN 2; END IF",
    "CREATE AGGREGATE FUNCTION `f`(x INT) RETURNS int(11) BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN 1; LOOP FETCH GROUP NEXT ROW; END LOOP; END",
    "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER `t` BEFORE INSERT ON `x` FOR EACH ROW SET NEW.a = 1 */",
    "/*!50003 CREATE*/ /*!50003 TRIGGER t BEFORE INSERT ON `for each` FOR EACH ROW FOLLOWS `u` BEGIN SET NEW.a = ';'; /* END; */ END */",
    "/*!50106 CREATE*/ /*!50117 DEFINER=`a`@`b`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY '1:2' DAY_MINUTE STARTS '2037-01-01 00:00:00' ENDS '2038-01-01 00:00:00' ON COMPLETION NOT PRESERVE ENABLE COMMENT 'DO; x' DO BEGIN SELECT 1; END */",
    "CREATE EVENT do ON SCHEDULE EVERY 1 DAY DO DO SLEEP(1)",
    // MariaDB.
    "CREATE PROCEDURE `p`() FOR i IN 1..3 DO SELECT i; END FOR",
    "CREATE PROCEDURE `p`() BEGIN FOR r IN (SELECT 1 AS a) DO SELECT r.a; END FOR; EXECUTE IMMEDIATE 'SELECT 1;'; END",
    "CREATE PROCEDURE `p_oracle`(x int) AS y int; z int := 2; BEGIN z := z + 1; SELECT 1; END",
    "CREATE PROCEDURE p IS BEGIN <<here>> LOOP EXIT here WHEN 1; END LOOP; NULL; EXCEPTION WHEN OTHERS THEN NULL; WHEN x THEN BEGIN NULL; END; END p",
    "CREATE FUNCTION `f` RETURN INT DETERMINISTIC AS a INT; CURSOR c IS SELECT 1; BEGIN IF a THEN RETURN 1; ELSIF 2 THEN RETURN 2; END IF; RETURN 3; END",
    "CREATE PROCEDURE p AS BEGIN FOR i IN 1..3 LOOP NULL; END LOOP; WHILE 1 LOOP NULL; END LOOP; DECLARE a INT; b INT; BEGIN NULL; END; END",
    "CREATE PACKAGE `pk` AS PROCEDURE p1; FUNCTION f(a INT) RETURN INT; END",
    "CREATE PACKAGE BODY `pk` AS x INT := 1; PROCEDURE p1 AS y INT; BEGIN SELECT 'it''s ;; a'; END; FUNCTION f(a INT) RETURN INT AS BEGIN RETURN a; END f; \
     BEGIN x := 2; END pk",
    "CREATE PACKAGE BODY `pk` COMMENT 'c' AS PROCEDURE p1; PROCEDURE p1 AS BEGIN NULL; END; END",
    "CREATE DEFINER=event@view PROCEDURE p() BEGIN SELECT 1; END",
    "CREATE DEFINER=`u`@`h` EVENT IF NOT EXISTS `e` ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 1 DAY ON COMPLETION PRESERVE DO l: BEGIN SELECT 1; END",
];

#[test]
fn what_servers_print_is_one_statement() {
    for sql in HONEST {
        assert!(both(sql), "{sql}");
    }
    for (sql, mode) in [
        ("CREATE PROCEDURE p() BEGIN SELECT 'a\\', \"b\\\"; SELECT ';'; END", "NO_BACKSLASH_ESCAPES"),
        ("CREATE PROCEDURE p() \"l;\": BEGIN SELECT \"a\\\" FROM t; END \"l;\"", "ANSI_QUOTES"),
    ] {
        assert!(is_one(sql, mode, Client::MariaDb) && !is_one(sql, "", Client::MariaDb), "{sql}");
    }
    for sql in [
        "CREATE LIBRARY `l`\n    COMMENT 'c'\n    LANGUAGE JAVASCRIPT\nAS $$ export function f(n) { return n } // it's \" ` ;; /* -- \n$$",
        "CREATE LIBRARY `l` LANGUAGE JAVASCRIPT AS $tag$ a; $$ b; $tag$",
        "CREATE FUNCTION f(n INT) RETURNS int DETERMINISTIC NO SQL LANGUAGE JAVASCRIPT USING (`z`.`t` AS `t`) AS $$ a; /*!80000 b */ $$",
        "CREATE PROCEDURE p() LANGUAGE JAVASCRIPT USING (t AS AS) AS $$ a; b; $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE JAVASCRIPT AS 'a; b'",
    ] {
        assert!(is_one(sql, "", Client::MySql), "{sql}");
    }
    // What is no program is looked at elsewhere.
    assert!(both("CREATE VIEW v AS SELECT 1; CALL x()") && both("SELECT 1; CALL x()"));
}

#[test]
fn nothing_may_follow_the_end_of_a_body() {
    for more in [
        "; CALL x()",
        ";CALL x()",
        " ; /* a */ DROP TABLE t -- ",
        "; BEGIN NOT ATOMIC SELECT 1; END",
        "; SELECT 1 AS end",
        "; CALL x(); END",
    ] {
        for sql in HONEST {
            let sql = match sql.strip_suffix(" */") {
                Some(sql) => format!("{sql}{more} */"),
                None => format!("{}\n{more}", sql.trim_end_matches(';')),
            };
            assert!(!both(&sql), "{sql}");
        }
    }
}

#[test]
fn names_that_read_like_the_ends_of_blocks_hide_nothing() {
    for sql in [
        "CREATE PROCEDURE p() SELECT a AS begin FROM t; CALL x(); END",
        "CREATE PROCEDURE p() SELECT 1 AS begin; CALL x(); SELECT 1 AS end",
        "CREATE PROCEDURE p() BEGIN SELECT begin FROM t; END; CALL x(); END",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END; CALL x(); BEGIN NOT ATOMIC SELECT 2; END",
        "CREATE PROCEDURE p() BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; END; CALL x(); END",
        "CREATE PROCEDURE p() BEGIN SELECT IF(1,2,3) , CASE a WHEN 1 THEN 1 END; END; CALL x(); END IF; END",
        "CREATE PROCEDURE p() COMMENT 'x' SELECT 1; CALL x(); END",
        "CREATE FUNCTION f() RETURNS int RETURN 1; CALL x(); BEGIN SELECT 1; END",
        "CREATE FUNCTION f() RETURNS int RETURN 1 + (SELECT a AS begin FROM t); CALL x(); END",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY COMMENT 'a' DO SELECT 1 AS begin; CALL x(); END",
        "/*!50003 CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET NEW.a = 1; CALL x() -- */",
        "/*!50003 CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN END; CALL x() -- */",
        "CREATE PROCEDURE p() IF 1 THEN SELECT 1; END IF; CALL x(); END IF",
        "CREATE PROCEDURE p() BEGIN DECLARE x INT; DECLARE EXIT HANDLER FOR NOT FOUND SET x = 1; END; CALL x(); END",
        "CREATE PROCEDURE p() REPEAT SELECT 1; UNTIL 1 END REPEAT; CALL x(); UNTIL 1 END REPEAT",
        "CREATE LIBRARY l LANGUAGE JAVASCRIPT AS $$ a $$; CALL x(); SELECT $$ $$",
        "CREATE PROCEDURE p() BEGIN SELECT 1; END \0 ; CALL x()",
    ] {
        assert!(!is_one(sql, "", Client::MariaDb) && !is_one(sql, "", Client::MySql), "{sql}");
    }
}

#[test]
fn a_comment_that_some_servers_read_hides_nothing_from_them() {
    for (sql, expected) in [
        ("CREATE PROCEDURE p() BEGIN SELECT 1 /*!80000 + 1 */; SELECT /*M!100600 2, */ 3; END", true),
        ("CREATE PROCEDURE p() BEGIN /*!99999 ' */ SELECT 1; END", true),
        ("CREATE PROCEDURE p() BEGIN /*!80000 SELECT 1; END; CALL x(); */ SELECT 2; END", false),
        ("CREATE PROCEDURE p() BEGIN /*M!100600 SELECT 1; END; CALL x(); BEGIN NOT ATOMIC */ SELECT 2; END", false),
        ("CREATE PROCEDURE p() SELECT 1 /*!80000 ; CALL x() */", false),
        ("CREATE PROCEDURE p() SELECT 1 /*!99999 ; CALL x() */", false),
        ("CREATE PROCEDURE p() BEGIN /*!80000 BEGIN */ SELECT 1; /*!90000 END; */ END", false),
        // Comments inside of comments are read in more than one way.
        ("CREATE PROCEDURE p() BEGIN /*!80000 /* a */ SELECT 1; */ SELECT 1; END", false),
    ] {
        assert_eq!(both(sql), expected, "{sql}");
    }
}

#[test]
fn blocks_without_end_and_comments_without_number_are_refused_in_their_time() {
    let deep = |depth: usize| format!("CREATE PROCEDURE p() {}{}", "BEGIN ".repeat(depth), "END; ".repeat(depth));
    assert!(both(&deep(50)) && !both(&deep(100_000)));
    let versions = |count: usize| (0..count).map(|at| format!("/*!8{at:04} */ ")).collect::<Vec<_>>().concat();
    assert!(both(&format!("CREATE PROCEDURE p() BEGIN {} END", versions(6))));
    assert!(!both(&format!("CREATE PROCEDURE p() BEGIN {} END", versions(5000))));
}

/// Text of programs, and what servers of a product make of it.
pub(super) mod generated {
    use proptest::prelude::*;
    use proptest::sample::select;

    /// Statements without others in them.
    const SIMPLE: [&str; 16] = [
        "SET @a = 1",
        "SELECT 1 INTO @a",
        "SELECT ';' INTO @a",
        "SELECT 'it''s \\' END;' INTO @a",
        "SELECT a AS begin, a AS `end;` FROM u LIMIT 0",
        "SELECT begin, end FROM u LIMIT 0",
        "SET @x = CASE @a WHEN 1 THEN 2 ELSE 3 END",
        "SET @x = CASE WHEN @a THEN CASE 1 WHEN 2 THEN 3 END END",
        "SET @x = IF(@a, 1, 2), @y = REPEAT('x', 2)",
        "DO 1 /* ; END */",
        "INSERT INTO u (a) VALUES (1) -- ; END\n",
        "UPDATE u SET begin = 1, end = 2 WHERE end > 3 # ;\n",
        "CALL other()",
        "DELETE FROM u WHERE a = (SELECT 1)",
        "SELECT 1 /*!40001 + 1 */ INTO @a",
        "SELECT 1 AS \"a;\" INTO @a",
    ];

    fn condition() -> impl Strategy<Value = &'static str> {
        select(vec![
            "@a",
            "(1)",
            "@a = 1 AND (SELECT COUNT(end) FROM u) > 2 OR 1",
            "CASE WHEN @a THEN 1 ELSE 2 END",
            "IF(1, 2, 3)",
            "EXISTS (SELECT 1)",
            "';' = 'x'",
        ])
    }

    /// One statement, without its semicolon.
    pub fn statement() -> impl Strategy<Value = String> {
        select(SIMPLE.to_vec()).prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
            let many = |least| {
                proptest::collection::vec(inner.clone(), least..4)
                    .prop_map(|all| all.iter().map(|one| format!("{one}; ")).collect::<Vec<_>>().concat())
            };
            let label = || select(vec!["", "", "l1: ", "`l;`: ", "begin_it: "]);
            let block = (
                label(),
                many(0),
                select(vec!["", "DECLARE x INT DEFAULT 3; "]),
                select(vec![0, 1, 2, 3]),
                inner.clone(),
            )
                .prop_map(|(label, all, declared, handler, handled)| {
                    let handler = match handler {
                        1 => format!("DECLARE EXIT HANDLER FOR SQLEXCEPTION {handled}; "),
                        2 => {
                            format!("DECLARE CONTINUE HANDLER FOR NOT FOUND, SQLSTATE VALUE '23000', 1062 {handled}; ")
                        }
                        _ => String::new(),
                    };
                    let end = label.trim_end_matches(": ");
                    format!("{label}BEGIN {declared}{handler}{all}END {end}")
                });
            let branches = (condition(), many(1), condition(), many(1), many(1), 0..3).prop_map(
                |(a, first, b, second, last, how)| {
                    let more = [String::new(), format!("ELSE {last}"), format!("ELSEIF {b} THEN {second}ELSE {last}")];
                    format!("IF {a} THEN {first}{}END IF", more[usize::try_from(how).unwrap_or(0)])
                },
            );
            let cases =
                (select(vec!["", "@a", "CASE @a WHEN 1 THEN 2 END"]), many(1), many(1)).prop_map(|(of, one, other)| {
                    format!(
                        "CASE {of} WHEN 1 THEN {one}WHEN CASE 2 WHEN 2 THEN 3 END THEN {other}ELSE BEGIN END; END CASE"
                    )
                });
            let loops = (select(vec![0, 1, 2]), condition(), many(1)).prop_map(|(how, condition, all)| match how {
                0 => format!("ll: LOOP {all}LEAVE ll; END LOOP ll"),
                1 => format!("WHILE {condition} DO {all}END WHILE"),
                _ => format!("REPEAT {all}UNTIL {condition} END REPEAT"),
            });
            prop_oneof![3 => block, 1 => branches, 1 => cases, 1 => loops]
        })
    }

    /// A program, of a name that is free.
    pub fn program() -> impl Strategy<Value = String> {
        let kind = select(vec![
            "CREATE PROCEDURE `p;`() ",
            "CREATE PROCEDURE p(IN a INT, OUT b VARCHAR(9)) SQL SECURITY INVOKER COMMENT 'END; x' ",
            "CREATE FUNCTION f(a INT) RETURNS varchar(10) CHARSET utf8mb4 DETERMINISTIC MODIFIES SQL DATA BEGIN RETURN 1; ",
            "CREATE TRIGGER tr BEFORE INSERT ON v FOR EACH ROW ",
            "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' COMMENT 'DO;' DO ",
        ]);
        (kind, statement()).prop_map(|(kind, statement)| {
            if kind.starts_with("CREATE FUNCTION") {
                format!("{kind}{statement}; END")
            } else {
                format!("{kind}{statement}")
            }
        })
    }
}

proptest! {
    #[test]
    fn a_generated_program_is_one_statement_and_with_another_behind_it_is_not(
        program in generated::program(),
        more in proptest::sample::select(vec!["CALL x()", "END", "BEGIN NOT ATOMIC SELECT 1; END", "SELECT 1 AS end", "DROP TABLE t -- ", "END IF"]),
    ) {
        for client in [Client::MariaDb, Client::MySql] {
            prop_assert!(is_one(&program, "", client), "{program}");
            let two = format!("{program};{more}");
            prop_assert!(!is_one(&two, "", client), "{two}");
        }
    }

    #[test]
    fn whatever_the_text_is_it_is_read_to_its_end(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "BEGIN ", "END", "; ", "IF ", "THEN ", "CASE ", "WHEN ", "ELSE ", "LOOP ", "REPEAT ", "UNTIL ", "WHILE ", "DO ", "FOR ", "DECLARE ", "EXIT ",
            "HANDLER ", "AS ", "IS ", "EXCEPTION ", "PROCEDURE ", "a ", "l: ", "<<l>> ", "( ", ") ", "'", "`", "\"", "$$", "/*!80000 ", "*/ ", "/* ", "é", "\0", "@", ".",
        ]), 0..40).prop_map(|parts| parts.concat()),
        kind in proptest::sample::select(vec!["PROCEDURE p()", "FUNCTION f() RETURNS INT", "TRIGGER t", "EVENT e", "PACKAGE BODY p", "LIBRARY l"]),
    ) {
        for client in [Client::MariaDb, Client::MySql] {
            is_one(&format!("CREATE {kind} {parts}"), "", client);
        }
    }
}
