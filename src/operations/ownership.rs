//! Whose recovery points are: what a repository lists for a source, split into this host's and other hosts'.
//!
//! Only this host's count: for metrics, drills and promises the others do not exist. A restore may ask for them by name.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::app::{App, Source};
use crate::domain::host::HostIdentity;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::repository::{Listing, Published};

/// What a repository has of one source.
#[derive(Debug, Default)]
pub struct Listed {
    /// This host's recovery points, oldest first, and everything that cannot be read, whosever it is.
    pub own: Listing,
    /// Other hosts' recovery points, oldest first.
    pub foreign: Vec<Published>,
}

impl Listed {
    /// Split `listing`.
    pub fn of(app: &App, listing: Listing) -> Self {
        let is_own = |point: &Published| app.host.owns(point.manifest.host.as_ref());
        let (own, foreign) = listing.points.into_iter().partition(is_own);
        Self { own: Listing { points: own, damaged: listing.damaged }, foreign }
    }

    /// What must be known of the others: that they are there, and what follows.
    pub fn warning(&self, source: &Source) -> Option<String> {
        warning(source, &self.foreign)
    }

    /// The recovery points of the host that `asked` means; of this host where nothing was asked.
    ///
    /// Errors: no host or more than one is called so; without `asked`, there are only other hosts' recovery points.
    pub fn of_host(self, source: &Source, asked: Option<&str>) -> Result<Listing> {
        let Some(asked) = asked else { return self.of_this_host(source) };
        let Listing { points, damaged } = self.own;
        let mut points: Vec<Published> = points.into_iter().chain(self.foreign).collect();
        let all = shown(source, &points);
        points.retain(|point| point.manifest.host.as_ref().is_some_and(|host| host.is_called(asked)));
        points.sort_by(|a, b| (a.manifest.as_of, &a.manifest.id).cmp(&(b.manifest.as_of, &b.manifest.id)));
        match by_host(&points).len() {
            1 => Ok(Listing { points, damaged }),
            0 => Err(Error::configuration(format!("no recovery point of {} was made by host {asked}", source.name))
                .hint(format!("the repository has {all}"))),
            _ => {
                let what = format!("several hosts that made recovery points of {} are called {asked}", source.name);
                let hint = format!("give --host the id instead of the name: {}", shown(source, &points));
                Err(Error::configuration(what).hint(hint))
            }
        }
    }

    fn of_this_host(self, source: &Source) -> Result<Listing> {
        match self.foreign.last() {
            Some(newest) if self.own.points.is_empty() && self.own.damaged.is_empty() => {
                let what = format!(
                    "cannot choose a recovery point of {}: none is this host's, the repository has {}",
                    source.name,
                    shown(source, &self.foreign)
                );
                Err(Error::configuration(what).hint(how_to_get(newest)))
            }
            _ => Ok(self.own),
        }
    }
}

fn warning(source: &Source, foreign: &[Published]) -> Option<String> {
    (!foreign.is_empty()).then(|| {
        format!(
            "the repository also has {}, which do not count here: give each host's source a name of its own, or set `host` \
             where this host takes the place of the other",
            shown(source, foreign)
        )
    })
}

/// Log what a look at a repository found of other hosts, when it changed.
pub(super) fn tell_of_others(app: &App, sources: &[&Source], foreign: Vec<Published>) {
    let mut by_source: BTreeMap<String, Vec<Published>> = BTreeMap::new();
    for point in foreign {
        by_source.entry(point.manifest.source.clone()).or_default().push(point);
    }
    let mut said = app.said_of_others.lock().unwrap_or_else(PoisonError::into_inner);
    for source in sources {
        let hosts = by_source.get(&source.name).map_or(&[][..], Vec::as_slice);
        let names = by_host(hosts).into_keys().flatten().map(|host| host.id.as_str()).collect::<Vec<_>>().join(",");
        let before = said.insert(source.name.clone(), names.clone()).unwrap_or_default();
        if let Some(warning) = warning(source, hosts).filter(|_| before != names) {
            tracing::warn!(source = %source.name, "{warning}");
        }
    }
}

/// Why `id`, which no recovery point of this host has, is refused: another host's has it.
pub fn refusal(foreign: &[Published], source: &Source, id: &RecoveryPointId) -> Option<Error> {
    let point = foreign.iter().find(|point| point.manifest.id.0.starts_with(&id.0))?;
    let (id, made_by) = (&point.manifest.id, point.manifest.host.as_ref()?);
    let what =
        format!("cannot use recovery point {id} of {}: it was made by host {made_by}, not by this one", source.name);
    Some(Error::configuration(what).hint(how_to_get(point)))
}

fn how_to_get(point: &Published) -> String {
    let host = point.manifest.host.as_ref().map_or("NAME", |host| host.name.as_str());
    format!(
        "restore or verify it with --host {host}; a host that takes the place of {host} for good, backups and drills \
         included, says `host = \"{host}\"` at the top of its configuration"
    )
}

/// Number of recovery points by host.
fn by_host(points: &[Published]) -> BTreeMap<Option<&HostIdentity>, usize> {
    let mut counts = BTreeMap::new();
    for point in points {
        *counts.entry(point.manifest.host.as_ref()).or_default() += 1;
    }
    counts
}

/// "2 recovery point(s) of shop of host db1 (id 0f…)" and so on.
fn shown(source: &Source, points: &[Published]) -> String {
    let host = |host: Option<&HostIdentity>| {
        host.map_or("no recorded host".to_owned(), |host| format!("host {host} (id {})", host.id))
    };
    let each = by_host(points).into_iter().map(|(made_by, count)| format!("{count} of {}", host(made_by)));
    let each = each.collect::<Vec<_>>().join(", ");
    if each.is_empty() { "none".to_owned() } else { format!("recovery points of {}: {each}", source.name) }
}
