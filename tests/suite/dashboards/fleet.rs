//! The sources of the invented fleet, what becomes of them, and their configuration.

use std::fmt::Write as _;

/// A source that was there and is not configured any more.
pub const RETIRED: &str = "legacy-forum";

/// A source that was configured so many hours ago.
pub const NEWCOMER: &str = "new-shop";
pub const NEWCOMER_HOURS: i64 = 3;

/// What becomes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Everything as promised.
    Good,
    /// The last drill finds a row that is not there.
    DrillFails,
    /// No backup for two days.
    BackupsFail,
    /// Two drills found no server to restore into.
    NoSandbox,
    /// Restores take longer and longer.
    Slower,
    /// Configured a few hours ago, without a schedule.
    NothingYet,
}

/// A source and its size.
pub struct Subject {
    pub name: &'static str,
    pub kind: &'static str,
    pub fate: Fate,
    pub gib: f64,
}

pub const FLEET: [Subject; 12] = [
    Subject { name: "ansible", kind: "files", fate: Fate::Good, gib: 0.4 },
    Subject { name: "billing", kind: "mysql", fate: Fate::Good, gib: 31.0 },
    Subject { name: "crm", kind: "mysql", fate: Fate::DrillFails, gib: 18.0 },
    Subject { name: "dns-zones", kind: "files", fate: Fate::Good, gib: 0.1 },
    Subject { name: "mail", kind: "files", fate: Fate::Good, gib: 62.0 },
    Subject { name: NEWCOMER, kind: "mysql", fate: Fate::NothingYet, gib: 0.0 },
    Subject { name: "sensors", kind: "influxdb", fate: Fate::Good, gib: 58.0 },
    Subject { name: "shop", kind: "mysql", fate: Fate::Good, gib: 44.0 },
    Subject { name: "telegraf", kind: "influxdb", fate: Fate::Good, gib: 27.0 },
    Subject { name: "tickets", kind: "mysql", fate: Fate::NoSandbox, gib: 6.0 },
    Subject { name: "warehouse", kind: "mysql", fate: Fate::Slower, gib: 130.0 },
    Subject { name: "wiki", kind: "mysql", fate: Fate::BackupsFail, gib: 2.5 },
];

/// The configuration in which all of this can happen; `shop` has increments and a tighter promise. Servers and repositories
/// are not there: nothing of this is asked for while nothing is due.
pub fn configuration() -> String {
    let mut text = String::from(
        "state_dir = \"state\"\n\
         [repository.vault]\nkind = \"restic\"\nurl = \"vault\"\npassword_file = \"key\"\n\
         [repository.offsite]\nkind = \"restic\"\nurl = \"offsite\"\npassword_file = \"key\"\n\
         [sla.standard]\nrpo = \"32h\"\nrto = \"2h\"\nretention = \"30d\"\ndrill_interval = \"26h\"\nobjective_ratio = 0.97\n\
         [sla.orders]\nrpo = \"6h\"\nrto = \"1h\"\nretention = \"30d\"\ndrill_interval = \"26h\"\nmax_chain_length = 8\n\
         objective_ratio = 0.99\n",
    );
    for Subject { name, kind, fate, .. } in FLEET {
        let table = match kind {
            "mysql" => "user = \"backup\"\nsocket = \"/nonexistent/mysqld.sock\"",
            "influxdb" => "url = \"http://127.0.0.1:9\"\nrpc_address = \"127.0.0.1:9\"",
            _ => "paths = [\"/nonexistent\"]",
        };
        let schedule = match fate {
            Fate::NothingYet => "",
            _ if kind == "mysql" => {
                "schedule = { full = \"@every 24h\", incremental = \"continuous\", drill = \"@every 24h\" }\n"
            }
            _ => "schedule = { full = \"@every 24h\", drill = \"@every 24h\" }\n",
        };
        let sla = if name == "shop" { "orders" } else { "standard" };
        let repository = repository_of(kind);
        write!(
            text,
            "[source.{name}]\nkind = \"{kind}\"\nrepository = \"{repository}\"\nsla = \"{sla}\"\n{schedule}\
             [source.{name}.{kind}]\n{table}\n"
        )
        .unwrap();
    }
    text
}

pub fn repository_of(kind: &str) -> &'static str {
    if kind == "files" { "vault" } else { "offsite" }
}
