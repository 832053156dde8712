//! What docs/mysql-privileges.md says of MariaDB's own dump client is so: which omissions fail, and which are silent.

use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Output};
use std::{fs, io::Write};

use backup_sla::demo::production::backup_account_sql;
use backup_sla::demo::shop::{Size, write_all};

use crate::support::{Product, Server};

const ON_SHOP: &str = "SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*";
const ROUTINES: &str = "SELECT ON mysql.proc";

struct Shop {
    server: Server,
    directory: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        let shop = Self { server: Server::start(Product::MariaDb), directory: tempfile::tempdir().unwrap() };
        let mut script = Vec::new();
        write_all(&mut script, &Size::about_bytes(100_000)).unwrap();
        shop.server.sql(&String::from_utf8(script).unwrap());
        let options = shop.directory.path().join("options");
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(options).unwrap();
        writeln!(file, "[client]\nuser=backup\npassword=pw\nsocket={}", shop.server.socket.display()).unwrap();
        shop
    }

    fn allow(&self, grants: &[&str]) {
        self.server.sql("CREATE OR REPLACE USER backup@localhost IDENTIFIED BY 'pw'");
        for grant in grants {
            self.server.sql(&format!("GRANT {grant} TO backup@localhost"));
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(Product::MariaDb.program(program));
        command.arg(format!("--defaults-file={}", self.directory.path().join("options").display()));
        command.args(arguments).output().unwrap()
    }

    fn dump(&self) -> Output {
        let options = "--single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces \
                       --skip-lock-tables --skip-add-locks --dump-history --master-data=2 --gtid --databases shop";
        self.run("dump", &options.split_whitespace().collect::<Vec<_>>())
    }

    /// Triggers, events, routines and binlog positions in a dump that ended with status 0.
    fn found(&self) -> [usize; 4] {
        let output = self.dump();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let count = |what: &str| text.matches(what).count();
        let routines =
            count(" PROCEDURE `place_order`") + count(" FUNCTION `with_vat`") + count(" FUNCTION `orders_of`");
        // Of each routine there is a DROP too.
        [count(" TRIGGER `"), count(" EVENT `"), routines, count("MASTER_LOG_FILE=")]
    }

    fn refusal(&self) -> String {
        let output = self.dump();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[test]
fn the_documented_account_dumps_everything_and_reads_accounts_and_binlogs() {
    let shop = Shop::open();
    shop.server.sql("CREATE USER app@'%' IDENTIFIED BY 'x'; CREATE ROLE clerk; GRANT clerk TO app@'%'");
    shop.server.sql(&backup_account_sql("backup", "localhost", "pw"));
    let everything = shop.found();
    shop.server.sql("GRANT ALL ON *.* TO backup@localhost");
    assert_eq!(everything, shop.found(), "the list is as good as ALL");
    assert!(everything.iter().all(|count| *count > 0), "{everything:?}");
    shop.server.sql(&format!("DROP USER backup@localhost; {}", backup_account_sql("backup", "localhost", "pw")));
    for sql in ["SHOW CREATE USER app@'%'", "SHOW GRANTS FOR app@'%'", "SHOW GRANTS FOR clerk", "SHOW BINARY LOGS"] {
        assert!(shop.run("client", &["-e", sql]).status.success(), "{sql}");
    }
    assert!(!shop.run("client", &["-e", "DELETE FROM shop.wish_lists"]).status.success());
}

#[test]
fn a_dump_without_the_privilege_for_triggers_or_routines_is_smaller_and_says_nothing() {
    let shop = Shop::open();
    shop.allow(&[ON_SHOP, ROUTINES]);
    let everything = shop.found();
    assert!(everything.iter().all(|count| *count > 0), "the position needs no privilege: {everything:?}");
    shop.allow(&["SELECT, SHOW VIEW, EVENT ON shop.*", ROUTINES]);
    assert_eq!(shop.found(), [0, everything[1], everything[2], everything[3]]);
    shop.allow(&[ON_SHOP]);
    assert_eq!(shop.found(), [everything[0], everything[1], 0, everything[3]]);
}

#[test]
fn a_dump_without_the_privilege_for_views_or_events_fails() {
    let shop = Shop::open();
    shop.allow(&["SELECT, TRIGGER, EVENT ON shop.*", ROUTINES]);
    assert!(shop.refusal().contains("SHOW VIEW command denied"));
    shop.allow(&["SELECT, SHOW VIEW, TRIGGER ON shop.*", ROUTINES]);
    assert!(shop.refusal().contains("Couldn't execute 'show events'"));
}

#[test]
fn accounts_need_the_whole_mysql_database_and_binlogs_a_privilege_of_their_own() {
    let shop = Shop::open();
    shop.server.sql("CREATE USER app@'%' IDENTIFIED BY 'x'");
    let may = |sql: &str| shop.run("client", &["-e", sql]).status.success();
    shop.allow(&[ON_SHOP, "SELECT ON mysql.user"]);
    assert!(may("SELECT user FROM mysql.user") && !may("SHOW CREATE USER app@'%'") && !may("SHOW BINARY LOGS"));
    shop.allow(&[ON_SHOP, "SELECT ON mysql.*"]);
    assert!(may("SHOW CREATE USER app@'%'") && may("SHOW GRANTS FOR app@'%'") && !may("SHOW BINARY LOGS"));
    shop.allow(&[ON_SHOP, "BINLOG MONITOR ON *.*"]);
    assert!(may("SHOW BINARY LOGS") && may("SHOW MASTER STATUS"));
}
