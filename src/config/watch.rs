//! `[source.NAME.watch]`: from when on a change of the data is suspect.

use crate::domain::change::watch::Watch;
use crate::strict::{Section, value};

/// What the operator wants to be told of; what is not there is as usual.
pub(super) fn watch(source: &Section<'_>) -> Watch {
    let usual = Watch::default();
    let Some(section) = source.table("watch", "[source.NAME.watch]") else { return usual };
    let enabled = section.optional("enabled", value::boolean);
    let lost = section.optional("lost", value::ratio);
    let replaced = section.optional("replaced", value::ratio);
    let ignore = section.list("ignore", "[\"shop.log_*\"]", |it| value::text(it).map(str::to_owned));
    Watch {
        enabled: enabled.unwrap_or(usual.enabled),
        lost: lost.unwrap_or(usual.lost),
        replaced: replaced.unwrap_or(usual.replaced),
        ignore: ignore.unwrap_or_default(),
    }
}
