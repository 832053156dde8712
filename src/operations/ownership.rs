//! Whose recovery points are: what a repository lists for a source, split into this host's and other hosts'.
//!
//! Only this host's count: for metrics, drills and promises the others do not exist. A restore may ask for them by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::app::{App, SaidOfOthers, Source};
use crate::domain::host::HostIdentity;
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Error, Result};
use crate::repository::{Listing, Published};

/// Whose recovery point is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// This host's: what drills prove.
    Own,
    /// Nothing was said: this host's, unless a person could mean another host's.
    Unsaid,
    /// Of the host of this name or id.
    Host(&'a str),
}

impl<'a> Whose<'a> {
    /// What `--host`, or its absence, means.
    pub fn asked(host: Option<&'a str>) -> Self {
        host.map_or(Self::Unsaid, Self::Host)
    }
}

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
        Self { own: Listing { points: own, ..listing }, foreign }
    }

    /// What must be known of the others: that they are there, and what follows.
    pub fn warning(&self, source: &Source) -> Option<String> {
        warning(source, &self.foreign)
    }

    /// What a person must know who gets what `whose` means: what else is there and was not considered.
    pub fn notes(&self, source: &Source, whose: Whose<'_>) -> Option<String> {
        let without = self.own.points.iter().filter(|point| point.manifest.host.is_none()).count();
        match whose {
            Whose::Own => None,
            Whose::Unsaid => self.warning(source),
            Whose::Host(_) => (without > 0).then(|| {
                format!(
                    "{without} recovery points of {} have no recorded host and were not considered: an earlier version made \
                     them; choose one with --recovery-point ID and without --host",
                    source.name
                )
            }),
        }
    }

    /// Names that several hosts have: only the id tells them apart.
    pub fn ambiguous_names(&self) -> BTreeSet<String> {
        let all = self.own.points.iter().chain(&self.foreign);
        let hosts: BTreeSet<&HostIdentity> = all.filter_map(|point| point.manifest.host.as_ref()).collect();
        let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for host in hosts {
            ids.entry(&host.name).or_default().insert(&host.id);
        }
        ids.into_iter().filter(|(_, ids)| ids.len() > 1).map(|(name, _)| name.to_owned()).collect()
    }

    /// The recovery points that `whose` means.
    ///
    /// Errors: no host or more than one is called so; where none is named, there are only other hosts' recovery points.
    pub fn of_host(self, source: &Source, whose: Whose<'_>) -> Result<Listing> {
        let Whose::Host(asked) = whose else { return self.of_this_host(source) };
        let mut own = self.own;
        let mut points: Vec<Published> = std::mem::take(&mut own.points).into_iter().chain(self.foreign).collect();
        let all = shown(source, &points);
        points.retain(|point| point.manifest.host.as_ref().is_some_and(|host| host.is_called(asked)));
        points.sort_by(|a, b| (a.manifest.as_of, &a.manifest.id).cmp(&(b.manifest.as_of, &b.manifest.id)));
        match by_host(&points).len() {
            1 => Ok(Listing { points, ..own }),
            0 => Err(Error::configuration(format!(
                "cannot choose a recovery point of {}: host {asked} made none",
                source.name
            ))
            .hint(format!("the repository has {all}"))),
            _ => {
                let what =
                    format!("cannot choose a recovery point of {}: several hosts are called {asked}", source.name);
                let hint = format!("give --host the id instead of the name: {}", shown(source, &points));
                Err(Error::configuration(what).hint(hint))
            }
        }
    }

    fn of_this_host(self, source: &Source) -> Result<Listing> {
        let ambiguous = self.ambiguous_names();
        match self.foreign.last() {
            Some(newest) if self.own.points.is_empty() && self.own.damaged.is_empty() => {
                let what = format!(
                    "cannot choose a recovery point of {}: this host made none; the repository has {}",
                    source.name,
                    each_host(&self.foreign)
                );
                Err(Error::configuration(what).hint(how_to_get(newest, &ambiguous)))
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

/// What is known of other hosts when a recovery point is chosen of this host's.
pub struct Others {
    /// As-of time and maker of each, oldest first.
    theirs: Vec<(DateTime<Utc>, HostIdentity)>,
    ambiguous: BTreeSet<String>,
    oldest_own: Option<DateTime<Utc>>,
}

impl Others {
    /// Of everything that is listed.
    pub fn of(listed: &Listed) -> Self {
        let made = |point: &Published| Some((point.manifest.as_of, point.manifest.host.clone()?));
        Self {
            theirs: listed.foreign.iter().filter_map(made).collect(),
            ambiguous: listed.ambiguous_names(),
            oldest_own: listed.own.points.first().map(|point| point.manifest.as_of),
        }
    }

    /// Refuse this host's `chosen` where another host's recovery point of before `until` is as likely to be meant: it is
    /// newer, or this host's history began after the other's ended. So it is on a new machine that backed up its nearly
    /// empty disk before anything was restored.
    pub fn are_not_meant(
        &self,
        source: &Source,
        chosen: Option<(&RecoveryPointId, DateTime<Utc>)>,
        until: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let in_time = |made: &&(DateTime<Utc>, HostIdentity)| until.is_none_or(|until| made.0 <= until);
        let Some((time, host)) = self.theirs.iter().rfind(in_time) else { return Ok(()) };
        let other = format!("host {host} (id {})", host.id);
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let why = match (chosen.map(|(_, as_of)| as_of), self.oldest_own) {
            (None, _) => format!("this host has none of that time, {other} has one of {}", at(*time)),
            (Some(own), _) if own < *time => {
                format!("that of {other} is newer ({}) than this host's ({})", at(*time), at(own))
            }
            (_, Some(own)) if own > *time => format!(
                "this host's begin ({}) after the last of {other} ({}); it may have been backed up before it was restored",
                at(own),
                at(*time)
            ),
            _ => return Ok(()),
        };
        let own = chosen
            .map(|(id, _)| format!("restore or verify this host's own with --recovery-point {id}; or the other: "));
        let hint = own.unwrap_or_default() + &how_to_name(host, &self.ambiguous);
        Err(Error::configuration(format!("cannot choose a recovery point of {}: {why}", source.name)).hint(hint))
    }
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
        let now = SaidOfOthers { names, warning: warning(source, hosts) };
        let before = said.insert(source.name.clone(), now.clone()).unwrap_or_default();
        if let Some(warning) = now.warning.filter(|_| before.names != now.names) {
            tracing::warn!(source = %source.name, "{warning}");
        }
    }
}

/// What the last look at its repository found of other hosts' recovery points of `source`; none where there is none.
pub fn last_said_of_others(app: &App, source: &str) -> Option<String> {
    app.said_of_others.lock().unwrap_or_else(PoisonError::into_inner).get(source)?.warning.clone()
}

/// Why `id`, which no recovery point of this host has, is refused: another host's has it.
pub fn refusal(listed: &Listed, source: &Source, id: &RecoveryPointId) -> Option<Error> {
    let point = listed.foreign.iter().find(|point| point.manifest.id.0.starts_with(&id.0))?;
    let (id, made_by) = (&point.manifest.id, point.manifest.host.as_ref()?);
    let what =
        format!("cannot use recovery point {id} of {}: it was made by host {made_by}, not by this one", source.name);
    Some(Error::configuration(what).hint(how_to_get(point, &listed.ambiguous_names())))
}

fn how_to_get(point: &Published, ambiguous: &BTreeSet<String>) -> String {
    point.manifest.host.as_ref().map_or_else(String::new, |host| how_to_name(host, ambiguous))
}

/// A name that several hosts have would be refused: the id does.
fn how_to_name(host: &HostIdentity, ambiguous: &BTreeSet<String>) -> String {
    let asked = if ambiguous.contains(&host.name) { &host.id } else { &host.name };
    format!(
        "restore or verify it with --host {asked}; a host that takes the place of {host} for good, backups and drills \
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

/// "recovery points of shop: 2 from host db1 (id 0f…)" and so on.
fn shown(source: &Source, points: &[Published]) -> String {
    let each = each_host(points);
    if each.is_empty() { "none".to_owned() } else { format!("recovery points of {}: {each}", source.name) }
}

fn each_host(points: &[Published]) -> String {
    let host = |host: Option<&HostIdentity>| {
        host.map_or("no recorded host".to_owned(), |host| format!("host {host} (id {})", host.id))
    };
    let each = by_host(points).into_iter().map(|(made_by, count)| format!("{count} from {}", host(made_by)));
    each.collect::<Vec<_>>().join(", ")
}
