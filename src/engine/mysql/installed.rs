//! How MariaDB and MySQL are installed on a host, for sandboxes that run there.

use super::connection::series;
use crate::sandbox::{Decisive, Identity, Initial, Installation, Libraries, TimeZones};

/// Settings that a data directory cannot change later.
const NAMES: Decisive = Decisive { option: "lower-case-table-names", label: "names", usual: "0", is_told: true };
const PAGES: Decisive = Decisive { option: "innodb-page-size", label: "page", usual: "16384", is_told: true };
/// `mysql.cnf` of this host is for its own server.
const FIRST: [&str; 1] = ["--no-defaults"];
const LIBRARIES: Libraries = Libraries {
    option: "plugin-dir",
    ask: &["--no-defaults", "--verbose", "--help"],
    beside: &["basedir", "lc-messages-dir", "character-sets-dir"],
};

/// MariaDB.
pub const MARIADB: Installation = Installation {
    server: &["mariadbd", "mysqld"],
    package: "mariadb-server",
    ask: &["--no-defaults", "--version"],
    identify: mariadb,
    first: &FIRST,
    statements: Some("init-file"),
    initial: Some(Initial {
        programs: &["mariadb-install-db", "mysql_install_db"],
        arguments: &["--auth-root-authentication-method=normal", "--skip-test-db"],
        directory: "datadir",
        decisive: &[Decisive { is_told: false, ..NAMES }, PAGES],
        time_zones: Some(TimeZones {
            programs: &["mariadb-tzinfo-to-sql", "mysql_tzinfo_to_sql"],
            foreign: None,
            head: "USE mysql;\n",
            option: "extra-file",
        }),
    }),
    libraries: Some(LIBRARIES),
    accounts: &["mysql", "nobody"],
};

/// MySQL.
pub const MYSQL: Installation = Installation {
    server: &["mysqld"],
    package: "mysql-server-core",
    identify: mysql,
    initial: Some(Initial {
        programs: &[],
        arguments: &["--initialize-insecure", "--secure-file-priv=NULL"],
        directory: "datadir",
        decisive: &[NAMES, PAGES],
        time_zones: Some(TimeZones {
            programs: &["mysql_tzinfo_to_sql"],
            // MariaDB's program goes by MySQL's name, too, and writes what only MariaDB understands.
            foreign: Some("mariadb"),
            head: "USE mysql;\n",
            option: "init-file",
        }),
    }),
    ..MARIADB
};

fn mariadb(said: &str) -> Option<Identity> {
    identity(said).filter(|_| said.contains("MariaDB"))
}

fn mysql(said: &str) -> Option<Identity> {
    identity(said).filter(|_| !said.contains("MariaDB"))
}

/// `mysqld  Ver 9.7.1 for Linux on x86_64 …`
fn identity(said: &str) -> Option<Identity> {
    let version = said.split_once("Ver ")?.1.split_whitespace().next()?;
    Some(Identity { version: version.to_owned(), series: series(version) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_by_what_it_says_and_not_by_its_name() {
        let maria = "mysqld  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)";
        let found = mariadb(maria).unwrap();
        assert_eq!((found.version.as_str(), found.series.as_str()), ("10.11.19-MariaDB-0+deb12u1", "10.11"));
        assert_eq!(mysql(maria), None);
        let found = mysql("/opt/bin/mysqld  Ver 9.7.1 for Linux on x86_64 (Source distribution)").unwrap();
        assert_eq!((found.version.as_str(), found.series.as_str()), ("9.7.1", "9.7"));
        assert_eq!(mariadb("mysqld: cannot open shared object file"), None);
    }
}
