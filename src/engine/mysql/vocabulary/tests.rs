use super::rocksdb::ROCKSDB;
use super::*;

#[test]
fn what_dump_clients_write_is_known() {
    for sql in [
        "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
        "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */",
        "/*!50503 SET NAMES utf8mb4 */",
        "/*!40103 SET TIME_ZONE='+00:00' */",
        "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
        "SET @@SESSION.SQL_LOG_BIN= 0",
        "SET @@SESSION.system_versioning_insert_history=1",
        "/*!50003 SET sql_mode              = @saved_sql_mode */ ",
        "USE `a b`",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `ro` /*!40100 DEFAULT CHARACTER SET utf8mb4 */",
        "DROP TABLE IF EXISTS `t;`",
        "/*!50001 DROP VIEW IF EXISTS `v`*/",
        "/*!50106 DROP EVENT IF EXISTS `e` */",
        "/*!50003 DROP PROCEDURE IF EXISTS `p` */",
        "/*!50003 DROP PACKAGE BODY IF EXISTS `p` */",
        "DROP LIBRARY IF EXISTS `l`",
        "/*!40000 ALTER TABLE `t` DISABLE KEYS */",
        "ALTER DATABASE `d` CHARACTER SET latin1 COLLATE latin1_bin",
        "/*!80002 ANALYZE TABLE `t` UPDATE HISTOGRAM ON `a` WITH 100 BUCKETS */",
        "DO SETVAL(`s`, 1001, 0)",
        "SELECT SETVAL(`s`, 1001, 0)",
        "CREATE TABLE `t` (\n  `select` int DEFAULT (1 + 2),\n  `b` int GENERATED ALWAYS AS (`select` + 1) STORED COMMENT 'AS SELECT'\n) \
         ENGINE=InnoDB WITH SYSTEM VERSIONING\n/*!50100 PARTITION BY RANGE (`b`)\n(PARTITION p VALUES LESS THAN (9)) */",
        "CREATE TABLE `f` (`a` int) ENGINE=MRG_MyISAM UNION=(`t`,`u`)",
        "CREATE VIEW `v` AS SELECT 1",
        "CREATE DEFINER=`u`@`h` AGGREGATE FUNCTION `f`(`x` int) RETURNS int(11) RETURN 1",
        "CREATE DEFINER=`view`@`table` FUNCTION `f`() RETURNS int(11) RETURN 'RETURNS x SONAME'",
        "CREATE DEFINER=`role` PROCEDURE `p`() SELECT 1",
        "CREATE DEFINER=`u`@`h` PACKAGE BODY `p` AS x",
        "CREATE SEQUENCE `s` start with 1 minvalue 1",
        "CREATE LIBRARY `lib`\n    LANGUAGE JAVASCRIPT\nAS $$ x $$",
        "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`u`@`%` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS select '*/;'  AS `/*` */",
        "CREATE TABLE `*/` (\n  `/*` int COMMENT '*/ AS SELECT',\n  `b` int /*!80023 INVISIBLE */\n) /*!50100 TABLESPACE `x` */ ENGINE=InnoDB",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `*/` /*!40100 DEFAULT CHARACTER SET latin1 */ /*!80016 DEFAULT ENCRYPTION='N' */",
        "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `d`.`tr` BEFORE INSERT ON `t` FOR EACH ROW\nBEGIN /*!99999 ' */ SET NEW.id = 1; END */",
        "/*!40101 SET SQL_MODE=@OLD_SQL_MODE */",
        "DROP PACKAGE BODY IF EXISTS `p` ",
        "DO SETVAL(`s`, -1001, 0)",
        "LOCK TABLES `t` WRITE",
        "ALTER DATABASE `d` COLLATE utf8mb4_bin ",
        "UNLOCK TABLES",
        // MariaDB 11.8 around the rows of each table.
        "set autocommit=0",
        "commit",
        "SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0",
        "SET AUTOCOMMIT=@OLD_AUTOCOMMIT",
        "/*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history, @@session.system_versioning_insert_history=1 */",
        "",
        "/* SET @@GLOBAL.GTID_PURGED='x' */",
    ] {
        assert!(knows(sql), "{sql}");
    }
}

#[test]
fn what_none_writes_is_not() {
    for sql in [
        "GRANT ALL ON *.* TO u@localhost",
        "\\! touch /tmp/x\nSET NAMES utf8mb4",
        "source /etc/passwd",
        "delimiter ",
        "SET GLOBAL general_log = 1",
        "SET @@GLOBAL.general_log_file = '/tmp/x'",
        "/*!50003 SET @@PERSIST.x = 1 */",
        "SET @a = (SELECT evil())",
        "SET PASSWORD = 'x'",
        "CALL p()",
        "DROP TABLE t",
        "DROP TABLE IF EXISTS `other`.`t`",
        "DROP USER IF EXISTS root",
        "INSERT INTO `mysql`.`user` VALUES (1)",
        "ALTER USER root@localhost IDENTIFIED BY 'x'",
        "ALTER TABLE `t` ADD x INT",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        "PREPARE s FROM @x",
        "INSERT INTO `t` SELECT f()",
        "INSERT INTO `t` (`a`) SELECT f()",
        "INSERT INTO `t` (SELECT f())",
        "INSERT INTO `t` SET a = f()",
        "INSERT INTO `t` TABLE u",
        "INSERT INTO `t` WITH x AS (SELECT f()) SELECT * FROM x",
        "CREATE TABLE `t` SELECT f()",
        "CREATE TABLE `t` (`a` int) AS SELECT f()",
        "CREATE TABLE IF NOT EXISTS `t` (`a` int) IGNORE (SELECT f())",
        "CREATE TEMPORARY TABLE `t` (SELECT f())",
        "CREATE TABLE `t` /*!50003 SELECT f() */",
        "CREATE TABLE `t` VALUES ROW(f())",
        "CREATE TABLE `t` (`a` int) TABLE u",
        "SHUTDOWN",
        &format!("SET {} GLOBAL general_log_file='/tmp/x'", "@a=1,".repeat(100)),
        &format!("SET {} @b=(SELECT evil())", "@a=1,".repeat(100)),
        "SET @a='x",
        r"SET @a='\', GLOBAL general_log='ON'",
        "SET STATEMENT max_statement_time=1 FOR DROP DATABASE d",
        "UNLOCK TABLES AND MORE",
        "COMMIT RELEASE",
        "/*!50112 SET @enable_bulk_load = IF (@is_rocksdb_supported, 'GRANT ALL ON *.* TO u', 'DO 0') */",
        "/*!50112 PREPARE s FROM @evil */",
        "/*!50112 PREPARE s FROM @enable_bulk_load */",
        "/*!50112 EXECUTE s */",
        "/*!50717 SELECT COUNT(*) INTO @rocksdb_has_p_s_session_variables FROM INFORMATION_SCHEMA.TABLES INTO OUTFILE '/tmp/x' */",
        "DROP TABLE IF EXISTS `t`, `other`.`t`",
        "DROP TABLE IF EXISTS `t`; CALL evil()",
        "DROP PACKAGE BODY IF EXISTS `t`, `u`",
        "ALTER TABLE `t` DISABLE KEYS, ADD x INT",
        "ALTER DATABASE `d` COLLATE x; CALL evil()",
        "ANALYZE TABLE `t`, `other`.`u`",
        "LOCK TABLES `t` WRITE, `other`.`u` WRITE",
        "DO SETVAL(`s`, f(), 0)",
        "DO SETVAL(`s`, 1, 0), f()",
        "SELECT SETVAL(`s`, 1, 0) INTO OUTFILE '/tmp/x'",
        "CREATE TABLE `other`.`t` (`a` int)",
        "CREATE TABLE `t` (`a` int); CALL evil()",
        "CREATE VIEW `v` AS SELECT 1; CALL evil()",
        // Rows are read elsewhere, and whatever is written so that it is not is none of a client's.
        "INSERT INTO `t` VALUES (1)",
        "insert into `t` values (f())",
        "INSERT INTO `t`VALUES (f())",
        "/*!50003 INSERT INTO `t` VALUES (f()) */",
        "CREATE USER view IDENTIFIED BY 'x'",
        "CREATE USER event",
        "CREATE SERVER view FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        "CREATE TABLESPACE event ADD DATAFILE '/tmp/x.ibd'",
        "CREATE UNIQUE INDEX view ON t (a)",
        "CREATE OR REPLACE TABLE `mysql`.`user` (`a` int)",
        "CREATE TEMPORARY TABLE `t` (`a` int)",
        "CREATE FUNCTION `f` RETURNS INTEGER SONAME 'x.so'",
        "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "CREATE /*!99999 PROCEDURE p */ USER evil IDENTIFIED BY 'x'",
        "CREATE /*M!999999 PROCEDURE p AS */ TABLE `t` AS SELECT f()",
        &format!("CREATE FUNCTION `f` /*!99999 {} */ RETURNS INTEGER SONAME 'x.so'", "x ".repeat(25)),
    ] {
        assert!(!follows(&mut Before::default(), sql), "{sql}");
    }
}

#[test]
fn a_comment_that_servers_read_otherwise_hides_nothing() {
    for sql in [
        // The comment is longer than it looks.
        "CREATE TABLE `t` (`a` int) /*/ ' */ AS SELECT f() -- '",
        // It goes to the line's end.
        "CREATE TABLE `t` (`a` int) --\t'\n AS SELECT f() -- '",
        "CREATE TABLE `t` (`a` int) --\u{1}'\n AS SELECT f() -- '",
        // A server of another version or product skips it.
        "CREATE TABLE `t` (`a` int) /*!99999 ' */ AS SELECT f() -- '",
        "CREATE TABLE `t` (`a` int) /*M!999999 ' */ AS SELECT f() -- '",
        "CREATE TABLE `t` (`a` int) /*!80016 \" */ AS SELECT f() -- \"",
        "CREATE TABLE `t` /*!99999 ( */ TABLE u",
        "CREATE TABLE `t` (`a` int) /*!80016 # */ AS VALUES (1)\n*/",
        "SET @a='x' /*!99999 ' */, GLOBAL general_log=1 -- '",
        "SET @a=1 --\t'\n, GLOBAL general_log=1 -- '",
    ] {
        assert!(!follows(&mut Before::default(), sql), "{sql}");
    }
}

#[test]
fn what_runs_a_variable_counts_only_behind_the_line_that_sets_it() {
    for lines in ROCKSDB {
        let mut before = Before::default();
        assert!(lines.iter().all(|line| follows(&mut before, line)), "{lines:?}");
    }
    let [_, _, _, _, enable, _] = ROCKSDB;
    let mut before = Before::default();
    assert!(follows(&mut before, enable[0]));
    assert!(follows(&mut before, "SET @enable_bulk_load = 'GRANT ALL ON *.* TO u'"));
    assert!(!follows(&mut before, enable[1]), "the variable is another one now");
    assert!(!follows(&mut before, enable[2]));
    // As a whole dump has them.
    let mut before = Before::default();
    for group in [&ROCKSDB[0], &ROCKSDB[2], &ROCKSDB[3], &ROCKSDB[4]] {
        assert!(group.iter().all(|line| follows(&mut before, line)), "{group:?}");
    }
}
