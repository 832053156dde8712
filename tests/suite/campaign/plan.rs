//! What a step does, chosen by the seed alone: the source, the operation, the fault, and how late it comes.

use super::chance::Chance;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    Shop,
    Telegraf,
    Tree,
}

pub const SOURCES: [Source; 3] = [Source::Shop, Source::Telegraf, Source::Tree];

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Telegraf => "telegraf",
            Self::Tree => "tree",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        SOURCES.into_iter().find(|source| source.name() == name)
    }

    /// Two sources share a repository, so that damage done to one is seen by the other.
    pub fn repository(self) -> &'static str {
        if self == Self::Tree { "b" } else { "a" }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Backup,
    Drill,
    /// Of a point that the step chooses, to a fresh place.
    Restore,
    /// `list`, `status` and `metrics`.
    Look,
    /// The service, which does all of it by itself.
    Serve,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    Us,
    /// What takes the backup, and compares in a drill: the dump client, `influxd backup`, git.
    Dump,
    /// What loads: the client, `influxd restore`.
    Load,
    SandboxServer,
    SourceServer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signalled {
    Kill,
    /// Stopped for so many milliseconds.
    Pause(u64),
    /// Stopped and never continued.
    Hang,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    State,
    Sandboxes,
    Repository,
    Temporary,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disk {
    /// So many KiB are left.
    Full(u64),
    /// So many inodes are left.
    NoInodes(u64),
    ReadOnly,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    Config,
    Key,
    Index,
    Snapshot,
    Data,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// To so many hundredths of its length.
    Cut(u64),
    Flip,
    Garbage,
    Empty,
    Remove,
    /// With another of its kind.
    Swap,
    /// A link to the same content elsewhere.
    Link,
    /// A pipe that nobody writes to.
    Pipe,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// So many hundredths of the output, then status 0.
    Part(u64),
    /// All of the output, then status 1.
    Fails,
    Garbage,
    Silent,
    /// Part of the output, then nothing for ever.
    Hangs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerHarm {
    Cut(u64),
    Garbage,
    Remove,
    /// Another database.
    Replace,
    /// A row is changed.
    Row,
    /// The newest transactions are lost.
    NoJournal,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    Invalid,
    Changed,
    /// The source is taken out.
    Without,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing: what must always work.
    None,
    /// So many hundredths of the usual duration late.
    Signal(Party, Signalled, u64),
    Disk(Place, Disk),
    Damage(Stored, Harm),
    /// A directory of the repository leads elsewhere.
    LinkedDirectory(&'static str),
    /// An empty directory in place of the repository, as when a disk is not mounted.
    Unmounted,
    /// Hours by which the wall clock is wrong.
    Clock(i64),
    Lie(Lie),
    Ledger(LedgerHarm),
    /// Another operation, on the same source or on another, so many hundredths later.
    Beside(Operation, Source, u64),
    /// SIGTERM so late; twice if so.
    Terminate(u64, bool),
    Reload(Reload),
}

#[derive(Clone, Debug)]
pub struct Step {
    pub number: u64,
    pub source: Source,
    pub operation: Operation,
    pub fault: Fault,
    /// What else is done while the fault stands.
    pub then: Option<Operation>,
    /// The source gets new content first.
    pub changes: bool,
    /// Backup and drill have to work afterwards; else only what is listed is looked at.
    pub proves: bool,
    /// For choices among what there is then: which file, which point.
    pub pick: u64,
}

impl Step {
    pub fn of(seed: u64, number: u64) -> Self {
        let mut chance = Chance::of(seed, number);
        let source = chance.weighted(&[(25, Source::Shop), (20, Source::Telegraf), (55, Source::Tree)]);
        let operation = chance.weighted(&[
            (36, Operation::Backup),
            (36, Operation::Drill),
            (8, Operation::Restore),
            (10, Operation::Look),
            (10, Operation::Serve),
        ]);
        let fault = fault(&mut chance, source, operation);
        let then = chance.weighted(&[
            (2, None),
            (2, Some(Operation::Backup)),
            (4, Some(Operation::Drill)),
            (2, Some(Operation::Restore)),
            (3, Some(Operation::Look)),
        ]);
        Self {
            number,
            source,
            operation,
            fault,
            then: then.filter(|_| fault.stands() && operation != Operation::Serve),
            changes: chance.percent(60),
            proves: chance.percent(if source == Source::Tree { 60 } else { 25 }),
            pick: chance.next(),
        }
    }

    /// A step that signals this party of a server's operation: by chance alone that is rare.
    pub fn aimed(seed: u64, number: u64, party: Party) -> Self {
        let mut chance = Chance::of(seed, number);
        let source = chance.one_of(&[Source::Shop, Source::Telegraf]);
        let operations: &[(u64, Operation)] = match party {
            Party::Load => &[(3, Operation::Drill), (2, Operation::Restore)],
            Party::SandboxServer => &[(1, Operation::Drill)],
            Party::Us | Party::Dump | Party::SourceServer => &[(1, Operation::Backup)],
        };
        let operation = chance.weighted(operations);
        let late = chance.below(110);
        let fault = Fault::Signal(party, signalled(&mut chance, party), late);
        let proves = chance.percent(25);
        Self { source, operation, fault, then: None, proves, ..Self::of(seed, number) }
    }
}

fn fault(chance: &mut Chance, source: Source, operation: Operation) -> Fault {
    use Operation::{Backup, Drill, Look, Restore, Serve};
    let late = chance.below(110);
    let which: u64 = match operation {
        Look => chance.weighted(&[(4, 2), (6, 3), (1, 4), (1, 5), (1, 6), (3, 8), (1, 0)]),
        Serve => chance.weighted(&[(8, 1), (4, 2), (4, 3), (1, 4), (1, 5), (3, 8), (4, 10), (4, 11), (1, 0)]),
        Restore => chance.weighted(&[(5, 1), (2, 2), (4, 3), (1, 5), (2, 10), (1, 9), (1, 0)]),
        Backup | Drill => chance.weighted(&[
            (26, 1),
            (16, 2),
            (22, 3),
            (3, 4),
            (3, 5),
            (4, 6),
            (8, 7),
            (5, 8),
            (6, 9),
            (5, 10),
            (2, 0),
        ]),
    };
    match which {
        2 => Fault::Disk(
            chance.one_of(&[Place::State, Place::Sandboxes, Place::Repository, Place::Temporary]),
            disk(chance),
        ),
        3 => damage(chance),
        4 => Fault::LinkedDirectory(chance.one_of(&["tmp", "index", "snapshots", "data", "keys", "locks"])),
        5 => Fault::Unmounted,
        6 => Fault::Clock(chance.one_of(&[-60 * 24, 60 * 24, -2, 2, 3650 * 24])),
        7 if source != Source::Tree => {
            let part = chance.below(100);
            Fault::Lie(chance.weighted(&[
                (4, Lie::Part(part)),
                (2, Lie::Fails),
                (2, Lie::Garbage),
                (2, Lie::Silent),
                (1, Lie::Hangs),
            ]))
        }
        8 => ledger(chance),
        9 => {
            let beside = chance.weighted(&[(3, Backup), (3, Drill), (1, Restore), (1, Look)]);
            let other = if chance.percent(70) { source } else { chance.one_of(&SOURCES) };
            Fault::Beside(beside, other, late)
        }
        10 => Fault::Terminate(late, chance.percent(20)),
        11 => Fault::Reload(chance.one_of(&[Reload::Invalid, Reload::Changed, Reload::Without])),
        0 => Fault::None,
        // Nor can git be made to lie: the jail finds it, not the configuration.
        _ => signal(chance, source, operation, late),
    }
}

fn disk(chance: &mut Chance) -> Disk {
    let (kib, inodes) = (chance.below(3_000), chance.below(30));
    chance.weighted(&[
        (3, Disk::Full(0)),
        (3, Disk::Full(kib)),
        (2, Disk::NoInodes(0)),
        (2, Disk::NoInodes(inodes)),
        (2, Disk::ReadOnly),
    ])
}

fn signal(chance: &mut Chance, source: Source, operation: Operation, late: u64) -> Fault {
    use Party::{Dump, Load, SandboxServer, SourceServer, Us};
    let has_server = source != Source::Tree;
    let parties: &[(u64, Party)] = match (operation, has_server) {
        (Operation::Backup, true) => &[(4, Us), (3, Dump), (2, SourceServer)],
        (Operation::Drill, true) => &[(4, Us), (1, Dump), (2, Load), (3, SandboxServer)],
        (Operation::Restore, true) => &[(2, Us), (2, Load)],
        (Operation::Serve, true) => &[(3, Us), (2, Dump), (1, Load), (1, SandboxServer), (2, SourceServer)],
        (_, false) => &[(3, Us), (2, Dump)],
        (Operation::Look, true) => &[(1, Us)],
    };
    let party = chance.weighted(parties);
    Fault::Signal(party, signalled(chance, party), late)
}

fn signalled(chance: &mut Chance, party: Party) -> Signalled {
    let pause = 50 + chance.below(1_000);
    let hang = if party == Party::Us { 0 } else { 2 };
    chance.weighted(&[(6, Signalled::Kill), (3, Signalled::Pause(pause)), (hang, Signalled::Hang)])
}

fn damage(chance: &mut Chance) -> Fault {
    let stored = chance.weighted(&[
        (1, Stored::Config),
        (1, Stored::Key),
        (3, Stored::Index),
        (3, Stored::Snapshot),
        (6, Stored::Data),
    ]);
    let part = chance.below(100);
    Fault::Damage(
        stored,
        chance.weighted(&[
            (4, Harm::Cut(part)),
            (4, Harm::Flip),
            (2, Harm::Garbage),
            (2, Harm::Empty),
            (3, Harm::Remove),
            (2, Harm::Swap),
            (2, Harm::Link),
            (1, Harm::Pipe),
        ]),
    )
}

fn ledger(chance: &mut Chance) -> Fault {
    let part = chance.below(100);
    Fault::Ledger(chance.one_of(&[
        LedgerHarm::Cut(part),
        LedgerHarm::Garbage,
        LedgerHarm::Remove,
        LedgerHarm::Replace,
        LedgerHarm::Row,
        LedgerHarm::NoJournal,
    ]))
}

impl Fault {
    /// Whether it stands until it is taken away, so that more than one operation meets it.
    fn stands(self) -> bool {
        !matches!(
            self,
            Self::None | Self::Signal(..) | Self::Beside(..) | Self::Terminate(..) | Self::Reload(_) | Self::Clock(_)
        )
    }

    /// The row of the table in which it is counted.
    pub fn kind(self) -> String {
        match self {
            Self::None => "no fault".to_owned(),
            Self::Signal(party, how, _) => {
                let how = match how {
                    Signalled::Kill => "killed",
                    Signalled::Pause(_) => "paused",
                    Signalled::Hang => "hangs",
                };
                let party = match party {
                    Party::Us => "backup-sla",
                    Party::Dump => "dump client, influxd backup or git",
                    Party::Load => "load client or influxd restore",
                    Party::SandboxServer => "sandbox server",
                    Party::SourceServer => "source server",
                };
                format!("{party} {how}")
            }
            Self::Disk(place, disk) => {
                let disk = match disk {
                    Disk::Full(_) => "full",
                    Disk::NoInodes(_) => "without inodes",
                    Disk::ReadOnly => "read-only",
                };
                format!("{disk}: {}", format!("{place:?}").to_lowercase())
            }
            Self::Damage(stored, harm) => {
                let harm = format!("{harm:?}");
                let harm = harm.split('(').next().unwrap().to_lowercase();
                format!("repository file {harm}: {}", format!("{stored:?}").to_lowercase())
            }
            Self::LinkedDirectory(_) => "repository directory is a link".to_owned(),
            Self::Unmounted => "repository is an empty directory".to_owned(),
            Self::Clock(hours) => format!("clock {}", if hours > 0 { "ahead" } else { "behind" }),
            Self::Lie(lie) => format!("tool lies: {}", format!("{lie:?}").split('(').next().unwrap().to_lowercase()),
            Self::Ledger(harm) => format!("ledger: {}", format!("{harm:?}").split('(').next().unwrap().to_lowercase()),
            Self::Beside(..) => "two commands at once".to_owned(),
            Self::Terminate(_, twice) => if twice { "SIGTERM twice" } else { "SIGTERM" }.to_owned(),
            Self::Reload(reload) => format!("reload: {}", format!("{reload:?}").to_lowercase()),
        }
    }
}
