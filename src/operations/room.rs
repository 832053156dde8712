//! Whether the repository's place has room for one more backup: asked before the source is made to work.

use crate::app::{App, Source};
use crate::display;
use crate::error::{Error, Result};
use crate::ledger::{Operation, Outcome};

/// Not even the manifest and the index of a backup without new data fit into less, in bytes.
const LEAST: u64 = 1 << 20;
/// Runs that are looked through for the last backup that succeeded.
const RUNS: u32 = 50;

/// What to know about the free space before a backup of `source`; an error only where it is certain that nothing fits. How much
/// a backup adds is not known before it is made, so less than the last one added is a warning.
pub(super) fn room(app: &App, source: &Source) -> Result<Option<String>> {
    let space = source.repository.space().unwrap_or_else(|error| {
        tracing::warn!(source = %source.name, "cannot tell how much space the repository has left: {error}");
        crate::repository::Space::default()
    });
    let Some(free) = space.usable else { return Ok(None) };
    let runs = app.block_on(app.ledger.last_runs(&source.name, Operation::Backup, RUNS))?;
    let last = runs.iter().find(|run| run.outcome == Some(Outcome::Succeeded)).map(|run| run.added_bytes);
    judge(free, last).map_err(|error| {
        error.context(format!(
            "cannot store in repository {} ({})",
            source.repository_name,
            source.repository.location()
        ))
    })
}

fn judge(free: u64, last: Option<u64>) -> Result<Option<String>> {
    if free < LEAST {
        return Err(Error::failed(format!("only {} are free there", display::size(free)))
            .hint("free space on its file system: grow it, or move other files away"));
    }
    let last = last.filter(|last| free < *last);
    Ok(last.map(|last| {
        format!(
            "the repository has {} left, and the last backup added {}: this one may not fit",
            display::size(free),
            display::size(last)
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_fit_is_refused_and_what_may_not_fit_is_said() {
        let warned = |free, last| judge(free, last).unwrap();
        assert_eq!(warned(LEAST, None), None);
        assert_eq!(warned(LEAST, Some(LEAST)), None);
        let said = warned(2 << 20, Some(5 << 20)).unwrap();
        assert!(said.contains("2.0 MiB left") && said.contains("added 5.0 MiB"), "{said}");
        for last in [None, Some(0), Some(LEAST)] {
            let error = judge(LEAST - 1, last).unwrap_err();
            assert!(error.hint_text().is_some() && error.to_string().contains("are free"), "{error}");
        }
    }
}
