//! Character sets and collations that are the default of something: a replay comes to the same definitions as the next full backup.

use crate::support::{Product, Server, World, wrong};

/// Tables in every way of saying utf8mb3 (and what is beside it), after `{}` sets the session.
const TABLES: [&str; 14] = [
    "CREATE TABLE {}01 (a VARCHAR(10)) CHARACTER SET utf8mb3",
    "CREATE TABLE {}02 (a VARCHAR(10) CHARACTER SET utf8mb3)",
    "CREATE TABLE {}03 (a VARCHAR(10) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci, b TEXT COLLATE utf8mb3_bin)",
    "CREATE TABLE {}04 (a VARCHAR(10)) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci",
    "CREATE TABLE {}05 (a VARCHAR(10)) COLLATE utf8mb3_unicode_ci",
    "CREATE TABLE {}06 (a VARCHAR(10), b ENUM('x') CHARACTER SET latin1) CHARACTER SET utf8mb3",
    "CREATE TABLE {}07 (a VARCHAR(10)); ALTER TABLE {}07 CONVERT TO CHARACTER SET utf8mb3",
    "CREATE TABLE {}08 (a VARCHAR(10)); ALTER TABLE {}08 CONVERT TO CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci",
    "CREATE TABLE {}09 (a VARCHAR(10)) CHARACTER SET utf8mb3; ALTER TABLE {}09 ADD b VARCHAR(5), ADD c TEXT CHARACTER SET utf8mb3",
    "CREATE TABLE {}10 (a VARCHAR(10)) CHARACTER SET utf8mb3; ALTER TABLE {}10 CHARACTER SET utf8mb4",
    "CREATE TABLE {}11 (a VARCHAR(10) CHARACTER SET utf8, b TEXT) CHARACTER SET utf8",
    "CREATE TABLE {}12 (a NCHAR(10), b NATIONAL VARCHAR(5), c VARCHAR(7) CHARACTER SET utf8mb4, d SET('x') CHARACTER SET binary)",
    "CREATE TABLE {}13 LIKE {}01; ALTER TABLE {}13 ADD b VARCHAR(5) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin FIRST",
    "CREATE TABLE {}14 (a VARCHAR(10)); ALTER TABLE {}14 DEFAULT CHARACTER SET utf8mb3, MODIFY a VARCHAR(20)",
];

fn tables(prefix: &str) -> String {
    TABLES.map(|table| table.replace("{}", prefix)).join("; ")
}

#[test]
fn tables_in_utf8mb3_are_the_same_after_a_replay_however_their_collation_became_the_default() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = Server::start_with(product, &["--binlog-format=ROW"]);
        let sessions: &[&str] = match product {
            Product::MariaDb => &[
                "SET NAMES utf8mb4",
                "SET NAMES utf8mb3 COLLATE utf8mb3_unicode_ci",
                "SET NAMES latin1, character_set_server = utf8mb3, collation_server = utf8mb3_unicode_ci",
            ],
            Product::MySql => &[
                "SET NAMES utf8mb4",
                "SET NAMES utf8mb3 COLLATE utf8mb3_unicode_ci",
                "SET NAMES latin1, character_set_server = utf8mb3, collation_server = utf8mb3_unicode_ci",
                "SET NAMES utf8mb4, default_collation_for_utf8mb4 = utf8mb4_general_ci",
            ],
        };
        server.sql(
            "CREATE DATABASE four CHARACTER SET utf8mb4; CREATE DATABASE three CHARACTER SET utf8mb3; \
             CREATE DATABASE threeu CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci",
        );
        let all = |when: &str| {
            let mut sql = Vec::new();
            for (number, session) in sessions.iter().enumerate() {
                sql.push((*session).to_owned());
                for database in ["four", "three", "threeu"] {
                    sql.push(format!("USE {database}; {}", tables(&format!("{when}{number}_"))));
                }
                sql.push(format!("CREATE DATABASE {when}{number}; USE {when}{number}; {}", tables("t")));
                sql.push(format!(
                    "CREATE DATABASE {when}{number}u CHARACTER SET utf8mb3; USE {when}{number}u; {}",
                    tables("t")
                ));
            }
            sql.join("; ")
        };
        server.sql(&all("before"));
        let world = World::new(&server, &[], "");
        world.backup();
        server.sql(&all("after"));
        // What was there before is changed by the log.
        for number in 0..sessions.len() {
            server.sql(&format!(
                "USE four; ALTER TABLE before{number}_01 ADD z INT; ALTER TABLE before{number}_02 ADD z VARCHAR(3); ALTER TABLE before{number}_10 FORCE; \
                 USE threeu; ALTER TABLE before{number}_03 ADD z VARCHAR(3); ALTER TABLE before{number}_12 ADD z TEXT"
            ));
        }
        let made = world.json(&["backup", "shop", "--incremental"], 0);
        assert_eq!(made["kind"], "incremental", "{made:#}");
        world.backup();
        let drill = world.json(&["drill", "shop", "--closed-chain"], 0);
        assert_eq!(drill["verdict"], "passed", "{product:?}: {:#?}", wrong(&drill));
        assert!(drill["checks"].as_array().unwrap().len() > 700, "{product:?}");
    }
}
