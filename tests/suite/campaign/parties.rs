//! Processes that take part in an operation, found below the program under test, and signals to them.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::plan::{Party, Source};
use crate::support::entries;

/// One process; its start tells it from a later one of the same number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    pub pid: u32,
    parent: u32,
    started: u64,
    pub line: String,
}

impl Process {
    /// Without its command line, which most of a busy machine's processes are not asked for.
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        if fields.first() == Some(&"Z") {
            return None;
        }
        let (parent, started) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
        Some(Self { pid, parent, started, line: String::new() })
    }

    fn with_line(mut self) -> Self {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        self.line = String::from_utf8_lossy(&line).replace('\0', " ");
        self
    }

    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }

    /// Only if it is still the same process.
    pub fn signal(&self, signal: Signal) {
        if self.lives() {
            send(self.pid, signal);
        }
    }

    pub fn is(&self, party: Party, source: Source) -> bool {
        let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let mut words = self.line.split(' ');
        let mut program = name(words.next().unwrap_or_default());
        if program.starts_with("ld-linux") {
            // MySQL's programs lie beside a loader of their own, which is what runs then.
            let found =
                words.by_ref().filter(|word| !word.contains(':')).map(name).find(|name| name.starts_with("mysql"));
            program = found.unwrap_or_default();
        }
        let (program, verb) = (&*program, words.next().unwrap_or_default());
        // Whoever only says its version or its options takes no part.
        if verb == "version" || self.line.split(' ').any(|word| ["--version", "--help"].contains(&word)) {
            return false;
        }
        match (party, source) {
            (Party::Dump, Source::Shop) => ["mariadb-dump", "mysqldump"].contains(&program),
            (Party::Dump, Source::Telegraf) => program == "influxd" && verb == "backup",
            (Party::Dump, Source::Tree) => ["git", "bwrap"].contains(&program),
            (Party::Load, Source::Shop) => ["mariadb", "mysql"].contains(&program),
            (Party::Load, Source::Telegraf) => program == "influxd" && verb == "restore",
            (Party::SandboxServer, Source::Shop) => ["mariadbd", "mysqld"].contains(&program),
            (Party::SandboxServer, Source::Telegraf) => program == "influxd" && !["backup", "restore"].contains(&verb),
            _ => false,
        }
    }
}

pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Everything that descends from `root`, without it.
pub fn below(root: u32) -> Vec<Process> {
    let all: Vec<Process> = entries("/proc".as_ref())
        .into_iter()
        .filter_map(|path| Process::read(path.file_name()?.to_str()?.parse().ok()?))
        .collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            parents.push(child.pid);
            found.push(child.clone().with_line());
        }
    }
    found
}

/// Those of these that still live after a moment in which they may end.
pub fn surviving(seen: &[Process], grace: Duration) -> Vec<Process> {
    let until = Instant::now() + grace;
    loop {
        let living: Vec<Process> = seen.iter().filter(|process| process.lives()).cloned().collect();
        if living.is_empty() || Instant::now() > until {
            return living;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_party_is_known_by_its_program_also_behind_a_loader_and_not_when_it_only_answers() {
    let is = |party, source, line: &str| {
        let process = Process { pid: 1, parent: 1, started: 1, line: line.to_owned() };
        process.is(party, source)
    };
    assert!(is(Party::SandboxServer, Source::Shop, "/usr/sbin/mariadbd --no-defaults --datadir=/x "));
    assert!(!is(Party::SandboxServer, Source::Shop, "/usr/sbin/mariadbd --no-defaults --version "));
    assert!(!is(Party::SandboxServer, Source::Shop, "/usr/sbin/mariadbd --no-defaults --verbose --help "));
    assert!(is(
        Party::SandboxServer,
        Source::Shop,
        "/m/ld-linux-x86-64.so.2 --argv0 /m/sbin/mysqld -- /m/sbin/mysqld --x "
    ));
    assert!(is(
        Party::Load,
        Source::Shop,
        "/m/ld-linux-x86-64.so.2 --library-path /m/lib/mysql:/m/lib /m/bin/mysql --x "
    ));
    assert!(!is(Party::Load, Source::Shop, "/m/ld-linux-x86-64.so.2 --library-path /m/lib:/m/l /m/bin/mysqldump --x "));
    assert!(is(Party::Dump, Source::Shop, "/m/ld-linux-x86-64.so.2 --library-path /m/lib:/m/l /m/bin/mysqldump --x "));
    assert!(is(Party::SandboxServer, Source::Telegraf, "/usr/bin/influxd -config /x "));
    assert!(!is(Party::SandboxServer, Source::Telegraf, "/usr/bin/influxd version "));
    assert!(is(Party::Load, Source::Telegraf, "/usr/bin/influxd restore -portable /x "));
}
