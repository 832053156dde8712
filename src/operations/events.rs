//! What happened in a source near a time, read from its stored increments: so that whoever looks for an accident finds it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::listing::refresh_points;
use super::ownership::{Listed, Whose};
use crate::app::{App, Source};
use crate::domain::chain::{Chains, Place, Target, Window};
use crate::domain::logged::{ChangeKind, LoggedTransaction};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::engine::{Opener, StoredIncrement};
use crate::error::{Error, Result};
use crate::repository::Listing;
use crate::run_context::RunContext;

/// The server's clock and ours may differ by as much.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Near this time.
    pub around: DateTime<Utc>,
    /// At most so far from it.
    pub within: Duration,
    /// Only what concerns this table.
    pub table: Option<String>,
    /// Only these kinds; empty means all.
    pub kinds: Vec<ChangeKind>,
}

impl Sought {
    fn interval(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let within = TimeDelta::from_std(self.within).unwrap_or(TimeDelta::MAX);
        let from = self.around.checked_sub_signed(within).unwrap_or(DateTime::<Utc>::MIN_UTC);
        (from, self.around.checked_add_signed(within).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

/// How the state just before a transaction is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// By its GTID.
    Gtid(String),
    /// By its place in the server's log, `FILE:POS`.
    Position(String),
    /// By its place within this increment: the server began its log anew, and the place occurs more than once.
    Within(RecoveryPointId, String),
}

impl Before {
    /// The arguments of `restore` and `drill` for it.
    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Gtid(gtid) => vec!["--before-gtid", gtid],
            Self::Position(place) => vec!["--before-position", place],
            Self::Within(id, place) => vec!["--recovery-point", &id.0, "--before-position", place],
        }
    }

    /// The shortest name of the state before `transaction` of `increment` that means no other.
    fn of(transaction: &LoggedTransaction, increment: &Manifest, chains: &Chains<'_>, is_ambiguous: bool) -> Self {
        let place = transaction.position.clone();
        let is_one =
            |target: Option<Target>| !is_ambiguous || target.is_some_and(|target| chains.plan(&target).is_ok());
        if let Some(gtid) = transaction.gtid.clone().filter(|gtid| is_one(Some(Target::BeforeGtid(gtid.clone())))) {
            return Self::Gtid(gtid);
        }
        if is_one(Place::parse(&place).map(Target::BeforePosition)) {
            return Self::Position(place);
        }
        Self::Within(increment.id.clone(), place)
    }
}

/// Who is told of a transaction, and says whether to go on.
pub type Told<'t> = dyn FnMut(LoggedTransaction, Before) -> Result<ControlFlow<()>> + 't;

/// Call `seen` with each transaction of `source` that is sought, in order. What of the time no increment covers is given back in
/// words: nothing is known of it.
pub fn events(
    app: &App,
    source: &Source,
    (sought, whose): (&Sought, Whose<'_>),
    seen: &mut Told<'_>,
    context: &RunContext,
) -> Result<Option<String>> {
    check_increments(source)?;
    look((app, source), sought, &refresh_points(app, source)?.of_host(source, whose)?, seen, context)
}

/// The same for whoever may only look: nothing is written, neither to the ledger nor to the repository.
pub fn events_read_only(
    app: &App,
    source: &Source,
    sought: &Sought,
    seen: &mut Told<'_>,
    context: &RunContext,
) -> Result<Option<String>> {
    check_increments(source)?;
    let listing = Listed::of(app, source.repository.listing(Some(&source.name))?).of_host(source, Whose::Own)?;
    look((app, source), sought, &listing, seen, context)
}

fn check_increments(source: &Source) -> Result<()> {
    if !source.engine.has_increments() {
        return Err(Error::configuration(format!(
            "cannot look for transactions of {}: there are no increments of this kind of source",
            source.name
        )));
    }
    Ok(())
}

fn look(
    (app, source): (&App, &Source),
    sought: &Sought,
    listing: &Listing,
    seen: &mut Told<'_>,
    context: &RunContext,
) -> Result<Option<String>> {
    let manifests: Vec<&Manifest> = listing.points.iter().map(|point| &point.manifest).collect();
    let (from, until) = sought.interval();
    let chains = Chains::of(manifests.iter().copied(), |_| false);
    let reaching = reaching(&manifests, &chains, (from - SKEW, until + SKEW));
    let (windows, is_ambiguous) = (chains.windows(), chains.are_places_ambiguous());
    if reaching.is_empty() {
        return Err(nothing_there(source, sought.around, &windows));
    }
    let mut is_enough = false;
    let overlapping = chains.overlapping(&reaching);
    let mut told: BTreeSet<(String, Option<String>, DateTime<Utc>)> = BTreeSet::new();
    for manifest in &reaching {
        let may_be_told = overlapping.contains(&manifest.id);
        let (repository, name, id) = (source.repository.clone(), source.name.clone(), manifest.id.clone());
        let open: Opener = Arc::new(move |path| repository.open(&name, &id, path));
        let increment = StoredIncrement { manifest: (*manifest).clone(), open };
        let read = source.engine.transactions(
            &increment,
            &mut |transaction| {
                let is_near = transaction.time >= from && transaction.time <= until;
                let name = || (transaction.position.clone(), transaction.gtid.clone(), transaction.time);
                let is_told = may_be_told && is_near && !told.insert(name());
                if is_near && !is_told && transaction.does(&sought.kinds, sought.table.as_deref()) {
                    let before = Before::of(&transaction, manifest, &chains, is_ambiguous);
                    is_enough = seen(transaction, before)?.is_break();
                }
                // Nothing more is read.
                if is_enough { Err(Error::cancelled()) } else { Ok(()) }
            },
            context,
        );
        if is_enough {
            break;
        }
        read?;
    }
    let until = until.min(app.clock.wall());
    let is_covered = windows.iter().any(|window| window.from <= from && until <= window.to);
    Ok((!is_covered).then(|| format!("only increments are looked through, which reach {}", reach(&windows).join(", "))))
}

/// Between which times increments hold what came.
fn reach(windows: &[Window]) -> Vec<String> {
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let windows = windows.iter().filter(|window| !window.is_instant());
    windows.map(|window| format!("from {} to {}", shown(window.from), shown(window.to))).collect()
}

/// Increments that hold something of this interval, in order.
fn reaching<'m>(
    manifests: &[&'m Manifest],
    chains: &Chains<'_>,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<&'m Manifest> {
    let begins = |manifest: &Manifest| {
        // One whose own place is not known has what its name says.
        let named = || chains.point(manifest.parent.as_ref()?);
        chains.parent_of(&manifest.id).or_else(named).map(|parent| parent.as_of)
    };
    // Nothing is shown twice while one is there beside those that it takes the place of.
    let joined: BTreeSet<&RecoveryPointId> =
        manifests.iter().filter_map(|manifest| manifest.joins.as_ref()).flat_map(|joins| &joins.of).collect();
    let increments = manifests.iter().filter(|manifest| manifest.kind == BackupKind::Incremental);
    let increments = increments.filter(|manifest| !joined.contains(&manifest.id));
    let mut found: Vec<&Manifest> = increments
        .filter(|manifest| manifest.as_of >= from && begins(manifest).is_none_or(|begins| begins <= until))
        .copied()
        .collect();
    found.sort_by_key(|manifest| (manifest.as_of, manifest.chain_length));
    found
}

fn nothing_there(source: &Source, around: DateTime<Utc>, windows: &[Window]) -> Error {
    let shown = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let what =
        format!("cannot look for transactions of {} around {}: no increment reaches there", source.name, shown(around));
    let windows = reach(windows);
    match windows.len() {
        0 => Error::failed(what).hint("there are no increments yet"),
        _ => Error::failed(what).hint(format!("increments reach {}", windows.join(", "))),
    }
}
