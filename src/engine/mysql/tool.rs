//! The dump client: which program, which version, which arguments. Source and sandbox are read with the very same
//! options, because what is compared are the texts they print.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::account::Account;
use super::connection::series;
use super::lexer::Client;
use super::names;
use super::supplement::{Asked, Instead};
use crate::domain::manifest::ServerIdentity;
use crate::error::{Error, OrFailed, Result};
use crate::process::{self, ChildOutput, OwnedChild, Telling, find_program};
use crate::run_context::Cancel;

/// A dump that waits for a lock waits for a day by default, in silence, and others may wait behind it.
const LONGEST_SILENCE: Duration = Duration::from_mins(10);
/// What dump clients of both products print on standard error as they go.
const TABLE_BY_TABLE: Telling = Telling { progress: "-- ", begins: "-- Retrieving table structure for " };

/// The programs that belong to a server product.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `mariadb-dump` or `mysqldump`.
    pub dump: PathBuf,
    /// `mariadb` or `mysql`.
    pub client: PathBuf,
    /// Version line of the dump program.
    pub version: String,
    /// Series of that version, as `10.11`.
    pub series: String,
    product: String,
    /// Whether the dump program takes a statement to begin its session with.
    takes_pins: bool,
}

/// How much of a server a dump is to contain.
#[derive(Debug, Clone, Copy)]
pub struct Extent<'a> {
    /// Less what the client is not asked for.
    pub asked: Asked<'a>,
    /// Statement that pins the settings of the client's session, where the client takes one.
    pub pins: &'a str,
}

/// What a dump is to contain beyond tables, views and triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be stored: with the snapshot's position where the server has one.
    Backup {
        /// Whether the server keeps a binary log.
        binlog: bool,
        /// Whether it uses MySQL's GTIDs.
        gtid: bool,
    },
    /// To be compared: goes on after an object that cannot be read, so that it can be named beside all others. Its exit
    /// status still tells.
    Inspection,
}

impl Tools {
    /// Find the programs for this server, in `directory` or in the usual places.
    pub fn find(server: &ServerIdentity, directory: Option<&Path>) -> Result<Self> {
        let maria = server.product == "MariaDB";
        let (dump, client, package) = if maria {
            (["mariadb-dump", "mysqldump"], ["mariadb", "mysql"], "mariadb-client")
        } else {
            (["mysqldump", "mysqldump"], ["mysql", "mysql"], "mysql-client-core")
        };
        let find = |names: &[&str]| {
            find_program(directory, names).ok_or_else(|| {
                Error::failed(format!(
                    "cannot find `{}` for {} {}: this host has no such program",
                    names[0], server.product, server.series
                ))
                .hint(format!("install {package}, or set `programs` in the source's [mysql] table"))
            })
        };
        let (dump, client) = (find(&dump)?, find(&client)?);
        let version = String::from_utf8_lossy(&process::answer(&dump, &["--version"])?).trim().to_owned();
        if version.contains("MariaDB") != maria {
            return Err(Error::failed(format!(
                "cannot use {} with {} {}: it is another product's client ({version})",
                dump.display(),
                server.product,
                server.version
            ))
            .hint("set `programs` in the source's [mysql] table to the directory of the matching client programs"));
        }
        let number =
            ["Distrib ", "from ", "Ver "].iter().find_map(|key| version.split_once(key)).map_or("", |(_, v)| v);
        let series = series(number);
        let takes_pins = !maria && {
            let said = process::answer(&dump, &["--no-defaults", "--help"])?;
            memchr::memmem::find(&said, b" --init-command=").is_some()
        };
        Ok(Self { dump, client, version, series, product: server.product.clone(), takes_pins })
    }

    /// Whether the dump program pins the settings of its session ([`Extent::pins`]).
    pub fn takes_pins(&self) -> bool {
        self.takes_pins
    }

    /// The program that fetches and prints binary logs: it lies beside the dump program.
    pub fn log_client(&self) -> Result<PathBuf> {
        let names: &[&str] =
            if self.product == "MariaDB" { &["mariadb-binlog", "mysqlbinlog"] } else { &["mysqlbinlog"] };
        find_program(self.dump.parent(), names).ok_or_else(|| {
            Error::failed(format!("cannot find `{}` beside {}", names[0], self.dump.display()))
                .hint("install the whole client package of the server's series, or set `programs` in the source's [mysql] table")
        })
    }

    /// `MariaDB` or `MySQL`.
    pub fn product(&self) -> &str {
        &self.product
    }

    /// The client that a dump of these programs is for.
    pub fn reader(&self) -> Client {
        Client::of(&self.product)
    }

    /// Start a dump of `databases`; its output ends well only if the program did.
    pub fn start_dump(
        &self,
        account: &Account,
        extent: &Extent<'_>,
        purpose: Purpose,
        cancel: &Cancel,
    ) -> Result<ChildOutput> {
        let mut command = process::command(&self.dump);
        command
            .arg("--defaults-file=/dev/stdin")
            .args(account.tls_arguments(&self.product))
            .args(self.dump_arguments(purpose, extent))
            .arg("--databases")
            .arg("--")
            .args(extent.asked.databases)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = OwnedChild::spawn_telling(command, "dump client", Some(TABLE_BY_TABLE))?;
        cancel.takes_down(child.killer());
        if let Err(error) = child.feed(account.option_file().as_bytes()) {
            // It ended without having read them: its own end says why.
            child.wait_success()?;
            return Err(error).or_failed("cannot pass options to the dump client");
        }
        Ok(ChildOutput::new(child)?.never_silent_for(LONGEST_SILENCE))
    }

    fn dump_arguments(&self, purpose: Purpose, extent: &Extent<'_>) -> Vec<String> {
        let mut arguments = vec![
            "--single-transaction",
            "--quick",
            "--hex-blob",
            "--comments",
            "--tz-utc",
            "--no-tablespaces",
            "--skip-lock-tables",
            "--skip-add-locks",
            "--skip-dump-date",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
            // What it is at goes to standard error at once; its output waits for kilobytes more, and is lost in a crash.
            "--verbose",
        ];
        let maria = self.product == "MariaDB";
        let Asked { left_out, capture, undescribed, .. } = extent.asked;
        // Of a kind that it would stop at, the client prints none: see `supplement`.
        let instead = Instead::of(left_out, capture);
        arguments.push(if instead.triggers { "--skip-triggers" } else { "--triggers" });
        if !instead.routines {
            arguments.push("--routines");
        }
        if !capture.without_events && !instead.events {
            arguments.push("--events");
        }
        if maria && at_least(&self.series, 10, 11) && !capture.without_history {
            arguments.push("--dump-history");
        }
        match purpose {
            Purpose::Backup { binlog: true, .. } if maria => arguments.extend(["--master-data=2", "--gtid"]),
            Purpose::Backup { binlog: true, .. } => arguments.push("--source-data=2"),
            Purpose::Backup { .. } => {}
            Purpose::Inspection => arguments.push("--force"),
        }
        if !maria {
            let with_gtid = matches!(purpose, Purpose::Backup { gtid: true, .. });
            arguments.push(if with_gtid { "--set-gtid-purged=COMMENTED" } else { "--set-gtid-purged=OFF" });
        }
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        if self.takes_pins {
            arguments.push(format!("--init-command={}", extent.pins));
        }
        let relations = left_out.iter().filter(|one| one.kind == "table" || one.kind == "view");
        let relations = relations.filter_map(|one| names::split_qualified(&one.name));
        let undescribed = undescribed.iter().map(|view| (view.database.clone(), view.name.clone()));
        let ignored = relations.chain(undescribed);
        arguments.extend(ignored.map(|(database, name)| format!("--ignore-table={database}.{name}")));
        arguments
    }
}

fn at_least(series: &str, major: u32, minor: u32) -> bool {
    let mut parts = series.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}
