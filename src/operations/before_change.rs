//! Recovery points that are the last before data that looks destroyed: no retention may take them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::change::keep::{self, Judged};
use crate::domain::manifest::RecoveryPointId;
use crate::ledger::Compared;
use crate::repository::Published;

/// Those of this host's `points` that must be kept because of what came after them; `compared` is what the ledger knows of each.
pub fn must_be_kept(points: &[Published], compared: &BTreeMap<RecoveryPointId, Compared>) -> BTreeSet<RecoveryPointId> {
    let judged = |point: &Published| {
        let found = compared.get(&point.manifest.id);
        let (id, is_accepted) = (point.manifest.id.clone(), found.is_some_and(|it| it.is_accepted));
        let before = found.and_then(|it| it.before.clone());
        Judged { id, state: found.map(|it| it.state), is_accepted, before }
    };
    let judged: Vec<Judged> = points.iter().map(judged).collect();
    keep::must_be_kept(&judged).into_iter().cloned().collect()
}
