//! Which recovery point to restore.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

use super::ownership::{Listed, refusal};
use super::refresh_points;
use crate::app::{App, Source};
use crate::config::format_duration;
use crate::domain::manifest::RecoveryPointId;
use crate::engine::StoredPoint;
use crate::error::{Error, Result};
use crate::repository::{Listing, Published};

/// How the operator names a recovery point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// The newest.
    #[default]
    Newest,
    /// The oldest that is kept.
    Oldest,
    /// Any.
    Random,
    /// This one; an unambiguous beginning of its name will do.
    Id(RecoveryPointId),
    /// The newest that is not newer than this.
    At(DateTime<Utc>),
}

/// What was chosen.
pub struct Selected {
    /// The recovery point.
    pub published: Published,
    /// What the repository has and cannot be read: a newer one may be among it.
    pub damaged: Vec<Error>,
}

impl Selected {
    /// One sentence per thing that cannot be read, and per thing that the backup has not.
    pub fn warnings(&self) -> Vec<String> {
        let damaged = self.damaged.iter().map(|error| format!("{error}; a newer recovery point may be lost with it"));
        damaged.chain(self.published.manifest.not_in_it()).collect()
    }
}

/// Choose a recovery point of `source` from what the repository lists now: one of this host's, or where another is asked
/// for, of `host`'s.
pub fn select(app: &App, source: &Source, selection: &Selection, host: Option<&str>) -> Result<Selected> {
    let listed = refresh_points(app, source)?;
    if let (Selection::Id(id), None) = (selection, host)
        && by_name(&listed.own.points, id)?.is_none()
        && let Some(refusal) = refusal(&listed.foreign, source, id)
    {
        return Err(refusal);
    }
    choose(source, listed, selection, host)
}

fn choose(source: &Source, listed: Listed, selection: &Selection, host: Option<&str>) -> Result<Selected> {
    let Listing { points: mut published, mut damaged } = listed.of_host(source, host)?;
    let times = published.first().zip(published.last()).map(|(a, b)| (a.manifest.as_of, b.manifest.as_of));
    let Some((oldest, newest)) = times else {
        if let Some(error) = damaged.pop() {
            return Err(error.context(format!("choose a recovery point of {}: none can be read", source.name)));
        }
        return Err(Error::failed(format!("choose a recovery point of {}: the repository has none", source.name))
            .hint(format!("take one with `backup-sla backup {}`", source.name)));
    };
    let at = match selection {
        Selection::Newest => Some(published.len() - 1),
        Selection::Oldest => Some(0),
        Selection::Random => Some(any(published.len())),
        // People type the seconds that they were shown.
        Selection::At(time) => published.iter().rposition(|p| p.manifest.as_of.trunc_subsecs(0) <= *time),
        Selection::Id(id) => by_name(&published, id)?,
    };
    let range = format!(
        "it has {} from {} to {} ({} apart); `backup-sla list {}` shows them",
        published.len(),
        oldest.to_rfc3339(),
        newest.to_rfc3339(),
        format_duration(
            (newest - oldest).to_std().map(|d| std::time::Duration::from_secs(d.as_secs())).unwrap_or_default()
        ),
        source.name
    );
    match at {
        Some(at) => Ok(Selected { published: published.swap_remove(at), damaged }),
        None if !damaged.is_empty() => {
            let error = damaged.swap_remove(0);
            Err(error
                .context(format!("choose a recovery point of {}: there is no such one that can be read", source.name)))
        }
        None => Err(Error::configuration(format!("choose a recovery point of {}: there is no such one", source.name))
            .hint(range)),
    }
}

fn by_name(published: &[Published], id: &RecoveryPointId) -> Result<Option<usize>> {
    let found: Vec<usize> = (0..published.len()).filter(|at| published[*at].manifest.id.0.starts_with(&id.0)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(Error::configuration(format!("choose recovery point {id}: several begin like this"))),
    }
}

/// A number below `count`, different from call to call.
fn any(count: usize) -> usize {
    use std::hash::{BuildHasher, RandomState};
    usize::try_from(RandomState::new().hash_one(count) % count as u64).unwrap_or(0)
}

/// Open a published backup for a restore.
pub fn open(source: &Source, published: &Published) -> StoredPoint {
    let (repository, name) = (source.repository.clone(), source.name.clone());
    let id = published.manifest.id.clone();
    StoredPoint { manifest: published.manifest.clone(), open: Arc::new(move |path| repository.open(&name, &id, path)) }
}
