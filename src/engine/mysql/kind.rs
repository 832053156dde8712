//! What the rest of the program has to know of MySQL and MariaDB.

use std::sync::Arc;

use super::MysqlEngine;
use super::account::Account;
use super::table::{self, MysqlConfig};
use crate::domain::words::Words;
use crate::engine::Engine;
use crate::engine::assertion::{Form, Sort};
use crate::engine::destination::{Credentials, Destination};
use crate::engine::kind::{Kind, RestoreTo, Settings, Table, Wiring};
use crate::error::Result;
use crate::strict::Section;

/// Sources of kind `mysql`: MySQL and MariaDB.
#[derive(Debug)]
pub struct Mysql;

impl Kind for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn words(&self) -> Words {
        Words::default()
    }

    fn read(&self, source: &str, section: &Section<'_>) -> Table {
        table::read(source, section)
    }

    fn has_increments(&self) -> bool {
        true
    }

    fn form(&self) -> Form {
        Form { key: "sql", example: "\"SELECT COUNT(*) > 0 FROM shop.orders\"", sort: Sort::Query }
    }

    fn destinations(&self) -> &'static [&'static str] {
        &["mysql://USER@HOST:PORT", "unix:/PATH/TO/SOCKET"]
    }

    fn destination(&self, address: &str, credentials: &Credentials) -> Result<Destination> {
        Account::named(address, credentials).map(Destination::new)
    }

    fn restore_to(&self) -> RestoreTo {
        RestoreTo {
            arguments: &["mysql://restore@NEW-HOST:3306", "--password-file", "/PATH/TO/PASSWORD"],
            note: "Put a new, empty server in place of NEW-HOST. The account restore is one that you make there for this \
                (/usr/share/doc/backup-sla/docs/mysql-privileges.md); root works on the server itself, with --to unix:/PATH/TO/SOCKET. \
                Accounts and grants come back too, unless you add --no-accounts. One table only: --table DB.TABLE.",
        }
    }
}

impl Settings for MysqlConfig {
    fn engine(&self, wiring: Wiring) -> Arc<dyn Engine> {
        Arc::new(MysqlEngine::new(self.clone(), wiring.sandbox, wiring.clock, wiring.increments))
    }
}
