//! `backup-sla list [SOURCE…]`: what the repository has, asked now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::arguments::Sources;
use super::session::{Session, for_each, worse};
use super::{output, retired};
use crate::app::App;
use crate::display::{rfc3339, size};
use crate::domain::chain::{Chains, Window};
use crate::domain::change::State;
use crate::domain::drill_choice::{DrillKind, FailedDrill};
use crate::domain::manifest::{BackupKind, Manifest, RecoveryPointId};
use crate::domain::promise::Promise;
use crate::error::{Error, Kind, Result};
use crate::ledger::SourceFigures;
use crate::operations::before_change::must_be_kept;
use crate::operations::doubts::Doubts;
use crate::operations::listing::refresh_points;
use crate::operations::ownership::Listed;
use crate::operations::select::{Suspects, suspicion};
use crate::repository::Published;

#[derive(Debug, Serialize)]
#[allow(clippy::struct_excessive_bools)] // each is a field of its own in the JSON form
struct Line {
    source: String,
    id: RecoveryPointId,
    /// Name of the host that made it; null where it was made before hosts were recorded.
    host: Option<String>,
    host_id: Option<String>,
    /// Other hosts have that name too.
    #[serde(skip)]
    ambiguous: bool,
    /// Another host's: counts for nothing here.
    foreign: bool,
    kind: BackupKind,
    time: DateTime<Utc>,
    chain_length: u32,
    /// What an increment continues, and from where to where in the server's log it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RecoveryPointId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<u64>,
    /// Between which times any moment can be restored, this one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Window>,
    /// Why it cannot be restored, although it is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    unrestorable: Option<String>,
    /// As-of time and id of the full that its chain begins with.
    #[serde(skip)]
    chain: (DateTime<Utc>, RecoveryPointId),
    logical_bytes: u64,
    stored_bytes: u64,
    verified_at: Option<DateTime<Utc>>,
    /// What the source had and this recovery point has not, one sentence each.
    left_out: Vec<String>,
    /// What its data looks like beside that of the backups before: `warning` or `critical`, until the operator accepts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<State>,
    /// The last one before such a change: no retention may take it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    before_change: bool,
    /// Drills that found something wrong with it or its chain, where none of the same has passed since; the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_drills: Vec<Failed>,
    /// Why its date cannot be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    suspect: Option<String>,
    /// The source is no longer configured.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retired: bool,
}

/// A drill that failed.
#[derive(Debug, Serialize)]
struct Failed {
    kind: DrillKind,
    time: DateTime<Utc>,
    reason: String,
    /// Of a closing proof: the full backup that the chain begins with. Of others: what was restored.
    of: RecoveryPointId,
    #[serde(skip)]
    sentence: String,
}

impl Failed {
    fn of(failed: &FailedDrill) -> Self {
        Self {
            kind: failed.kind,
            time: failed.ended,
            reason: failed.reason.clone(),
            of: failed.chain.as_ref().unwrap_or(&failed.point).clone(),
            sentence: failed.sentence(),
        }
    }
}

impl Line {
    fn shown_host(&self) -> String {
        let name = self.host.as_deref().unwrap_or("-");
        let id = self.host_id.as_deref().filter(|_| self.ambiguous);
        let named = id.map_or(name.to_owned(), |id| format!("{name}, id {id}"));
        if self.foreign { format!("{named} (other)") } else { named }
    }
}

impl Line {
    fn shown_id(&self) -> String {
        let indent = if self.kind == BackupKind::Incremental { "  " } else { "" };
        format!("{indent}{}", self.id)
    }

    fn shown_change(&self) -> String {
        match self.change {
            Some(state) => state.of_the_data().to_owned(),
            None if self.before_change => "last before a change: keep".to_owned(),
            None => String::new(),
        }
    }
}

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = retired::names(&app, &arguments.sources)?;
    let mut lines = Vec::new();
    let mut keep = |(found, damaged): (Vec<Line>, Vec<Error>)| {
        lines.extend(found);
        damaged.iter().for_each(output::error);
        Ok(u8::from(!damaged.is_empty()))
    };
    let (mut looked_at, mut told, mut empty) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let code = for_each(session, &names.configured, |name| match points(&app, name, &mut looked_at) {
        Ok(found) => {
            empty.extend((found.0.is_empty() && found.1.is_empty()).then(|| name.to_owned()));
            keep(found)
        }
        // It is of the repository, which others may share: once is enough.
        Err(error) if !told.insert(error.to_string()) => Ok(error.exit_code()),
        Err(error) => Err(error),
    });
    let gone: Vec<String> = names.retired.keys().cloned().collect();
    // Whoever did not name it does not have to hear of a repository that is gone with it.
    let is_asked = |name: &str| arguments.sources.iter().any(|asked| asked == name);
    let code_of_retired = for_each(session, &gone, |name| match retired_points(&app, name, &names.retired[name]) {
        Ok(found) => keep(found),
        Err(error) if error.kind() == Kind::Configuration && !is_asked(name) => Ok(0),
        Err(error) => Err(error),
    });
    let code = worse(code, code_of_retired);
    if session.json {
        lines.iter().try_for_each(output::json)?;
        return Ok(code);
    }
    lines.sort_by(|a, b| (&a.source, &a.chain, a.time, &a.id).cmp(&(&b.source, &b.chain, b.time, &b.id)));
    print(&lines, app.config.timezone)?;
    print_windows(&lines, app.config.timezone)?;
    empty.iter().try_for_each(|name| {
        output::line(&format!("{name}: no recovery point; take the first with `backup-sla backup {name}`"))
    })?;
    Ok(code)
}

fn print(lines: &[Line], zone: Tz) -> Result<()> {
    let local = format!("TIME ({zone})");
    let mut header = vec!["SOURCE", "RECOVERY POINT", "HOST", "KIND", "TIME (UTC)"];
    header.extend((zone != Tz::UTC).then_some(local.as_str()));
    let has_increments = lines.iter().any(|line| line.kind == BackupKind::Incremental);
    header.extend(has_increments.then_some(["CHAIN", "TRANSACTIONS"]).into_iter().flatten());
    header.extend(["SIZE", "STORED", "VERIFIED"]);
    let is_suspect = lines.iter().any(|line| line.change.is_some());
    header.extend(is_suspect.then_some("DATA"));
    let mut table = output::table(&header);
    for line in lines {
        let source = if line.retired { format!("{} (retired)", line.source) } else { line.source.clone() };
        let mut row = vec![source, line.shown_id(), line.shown_host()];
        row.extend([line.kind.to_string(), rfc3339(line.time)]);
        row.extend((zone != Tz::UTC).then(|| output::wall_clock(line.time, zone)));
        if has_increments {
            let transactions = line.transactions.map_or("-".to_owned(), |count| count.to_string());
            row.extend([line.chain_length.to_string(), transactions]);
        }
        row.extend([size(line.logical_bytes), size(line.stored_bytes)]);
        row.push(line.verified_at.map_or("never".to_owned(), rfc3339));
        row.extend(is_suspect.then(|| line.shown_change()));
        table.add_row(row);
    }
    output::text(&table.to_string())?;
    for line in lines {
        line.unrestorable
            .iter()
            .try_for_each(|why| output::line(&format!("{} {}: cannot be restored: {why}", line.source, line.id)))?;
        // Once is enough: not at every point of a chain.
        let own = line.failed_drills.iter().filter(|failed| failed.of == line.id);
        own.map(|failed| format!("{}: {}", line.source, failed.sentence)).try_for_each(|said| output::line(&said))?;
        line.suspect.iter().try_for_each(|said| output::line(&format!("{}: {said}", line.source)))?;
        line.left_out.iter().try_for_each(|said| output::line(&format!("{} {}: {said}", line.source, line.id)))?;
    }
    Ok(())
}

/// Which moments can be restored, of sources that have increments.
fn print_windows(lines: &[Line], zone: Tz) -> Result<()> {
    let own = lines.iter().filter(|line| !line.foreign);
    let with_increments: BTreeSet<&str> =
        own.clone().filter(|line| line.kind == BackupKind::Incremental).map(|line| line.source.as_str()).collect();
    for source in with_increments {
        let windows: BTreeSet<Window> =
            own.clone().filter(|line| line.source == source).filter_map(|it| it.window).collect();
        if windows.is_empty() {
            output::line(&format!("{source}: no moment can be restored"))?;
        }
        for window in windows {
            let (from, to) = (output::time_in(window.from, zone), output::time_in(window.to, zone));
            let shown = if window.is_instant() {
                format!("{from} alone (a full backup without increments)")
            } else {
                format!("any moment from {from} to {to}")
            };
            output::line(&format!("{source}: restore window: {shown}"))?;
        }
    }
    Ok(())
}

/// The points of a source, and what is wrong with its repository, unless that is among those `looked_at`.
fn points(app: &App, name: &str, looked_at: &mut BTreeSet<String>) -> Result<(Vec<Line>, Vec<Error>)> {
    let source = app.source(name)?;
    let mut listed = refresh_points(app, &source)?;
    if looked_at.insert(source.repository_name.clone()) {
        // A pack that is lost holds no listing up, but what needs it does not come back.
        listed.own.damaged.extend(source.repository.incomplete()?);
    }
    shown(app, name, listed, false)
}

/// What the repository still has of a source that is no longer configured. The ledger keeps what it knew.
fn retired_points(app: &App, name: &str, figures: &SourceFigures) -> Result<(Vec<Line>, Vec<Error>)> {
    let repository = app.repository(&figures.repository).ok_or_else(|| retired::without_repository(name, figures))?;
    shown(app, name, Listed::of(app, repository.listing(Some(name))?), true)
}

fn shown(app: &App, name: &str, listed: Listed, retired: bool) -> Result<(Vec<Line>, Vec<Error>)> {
    let ambiguous = listed.ambiguous_names();
    let Listed { own, foreign } = listed;
    let verified = app.block_on(app.ledger.verified_at(name))?;
    let compared = app.block_on(app.ledger.compared(name))?;
    let kept = must_be_kept(&own.points, &compared);
    let (suspects, now) = (Suspects::of_name(app, name)?, app.clock.wall());
    let doubts = Doubts::of(app, name)?;
    let places = {
        let is_suspect = |manifest: &Manifest| suspects.contains(manifest);
        let windows = Chains::of(own.points.iter().map(|point| &point.manifest), is_suspect);
        let all = own.points.iter().chain(&foreign);
        places(&windows, &Chains::of(all.map(|point| &point.manifest), is_suspect))
    };
    let line = |(point, foreign): (Published, bool)| Line {
        failed_drills: doubts
            .about(&point.manifest.id, &places.chain_of(&point.manifest).1)
            .filter(|_| !foreign)
            .map(Failed::of)
            .collect(),
        suspect: suspects.contains(&point.manifest).then(|| suspicion(&point, now)),
        chain: places.chain_of(&point.manifest),
        window: places.windows.get(&point.manifest.id).copied(),
        unrestorable: places.unrestorable.get(&point.manifest.id).cloned(),
        parent: point.manifest.parent.clone(),
        from: point.manifest.from.as_ref().map(ToString::to_string),
        to: point.manifest.from.as_ref().and(point.manifest.position.as_ref()).map(ToString::to_string),
        transactions: match &point.manifest.promise {
            Promise::Changes(changes) => Some(changes.transactions),
            Promise::Exact(_) | Promise::Pending => None,
        },
        source: name.to_owned(),
        host: point.manifest.host.as_ref().map(|host| host.name.clone()),
        ambiguous: point.manifest.host.as_ref().is_some_and(|host| ambiguous.contains(&host.name)),
        host_id: point.manifest.host.as_ref().map(|host| host.id.clone()),
        foreign,
        kind: point.manifest.kind,
        time: point.manifest.as_of,
        chain_length: places.lengths.get(&point.manifest.id).copied().unwrap_or(point.manifest.chain_length),
        logical_bytes: point.manifest.logical_bytes(),
        stored_bytes: point.stored_bytes,
        verified_at: verified.get(&point.manifest.id).copied(),
        left_out: point.manifest.not_in_it().collect(),
        change: compared.get(&point.manifest.id).filter(|it| it.is_suspect()).map(|it| it.state),
        before_change: kept.contains(&point.manifest.id),
        retired,
        id: point.manifest.id,
    };
    let all = own.points.into_iter().map(|point| (point, false)).chain(foreign.into_iter().map(|point| (point, true)));
    let mut lines: Vec<Line> = all.map(line).collect();
    lines.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok((lines, own.damaged))
}

/// Where recovery points are in their chains.
struct Places {
    windows: BTreeMap<RecoveryPointId, Window>,
    chains: BTreeMap<RecoveryPointId, (DateTime<Utc>, RecoveryPointId)>,
    unrestorable: BTreeMap<RecoveryPointId, String>,
    /// Increments that a restore replays.
    lengths: BTreeMap<RecoveryPointId, u32>,
}

impl Places {
    /// What cannot be restored stands by itself.
    fn chain_of(&self, manifest: &Manifest) -> (DateTime<Utc>, RecoveryPointId) {
        self.chains.get(&manifest.id).cloned().unwrap_or_else(|| (manifest.as_of, manifest.id.clone()))
    }
}

fn places(own: &Chains<'_>, all: &Chains<'_>) -> Places {
    let chain = |point: &Manifest| {
        let full = all.full_of(&point.id)?;
        Some((point.id.clone(), (full.as_of, full.id.clone())))
    };
    let broken = all.unrestorable().filter(|(point, _)| point.kind == BackupKind::Incremental);
    Places {
        windows: own.in_windows().into_iter().map(|(id, window)| (id.clone(), window)).collect(),
        chains: all.points().filter_map(chain).collect(),
        unrestorable: broken.map(|(point, why)| (point.id.clone(), why.to_string())).collect(),
        lengths: all.points().map(|point| (point.id.clone(), all.length_of(point))).collect(),
    }
}
