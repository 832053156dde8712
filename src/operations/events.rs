//! What happened in a source near a time, read from its stored increments: so that whoever looks for an accident finds it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::listing::refresh_points;
use super::ownership::Whose;
use crate::app::{App, Source};
use crate::domain::chain::{Chains, Window};
use crate::domain::logged::{ChangeKind, LoggedTransaction};
use crate::domain::manifest::{BackupKind, Manifest};
use crate::engine::{Opener, StoredIncrement};
use crate::error::{Error, Result};
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

/// Call `seen` with each transaction of `source` that is sought, in order. What of the time no increment covers is given back in
/// words: nothing is known of it.
pub fn events(
    app: &App,
    source: &Source,
    (sought, whose): (&Sought, Whose<'_>),
    seen: &mut dyn FnMut(LoggedTransaction) -> Result<()>,
    context: &RunContext,
) -> Result<Option<String>> {
    if !source.engine.has_increments() {
        return Err(Error::configuration(format!(
            "cannot look for transactions of {}: there are no increments of this kind of source",
            source.name
        )));
    }
    let listing = refresh_points(app, source)?.of_host(source, whose)?;
    let manifests: Vec<&Manifest> = listing.points.iter().map(|point| &point.manifest).collect();
    let (from, until) = sought.interval();
    let reaching = reaching(&manifests, from - SKEW, until + SKEW);
    let windows = Chains::of(manifests.iter().copied(), |_| false).windows();
    if reaching.is_empty() {
        return Err(nothing_there(source, sought.around, &windows));
    }
    for manifest in reaching {
        let (repository, name, id) = (source.repository.clone(), source.name.clone(), manifest.id.clone());
        let open: Opener = Arc::new(move |path| repository.open(&name, &id, path));
        let increment = StoredIncrement { manifest: manifest.clone(), open };
        source.engine.transactions(
            &increment,
            &mut |transaction| {
                let is_near = transaction.time >= from && transaction.time <= until;
                if is_near && transaction.does(&sought.kinds, sought.table.as_deref()) {
                    seen(transaction)
                } else {
                    Ok(())
                }
            },
            context,
        )?;
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
fn reaching<'m>(manifests: &[&'m Manifest], from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<&'m Manifest> {
    let begins = |manifest: &Manifest| {
        let parent = manifest.parent.as_ref()?;
        manifests.iter().find(|other| other.id == *parent).map(|parent| parent.as_of)
    };
    let increments = manifests.iter().filter(|manifest| manifest.kind == BackupKind::Incremental);
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
