//! Notes of a run that the run before had too are not news: they are counted, and shown when they are asked for.

use std::fs;
use std::path::PathBuf;

use crate::app::App;

/// What to show of `notes`, those of an operation on `source` that has ended: what the last one that was shown did not have, or
/// all. Which notes were shown is kept in the state directory; losing that shows them once more.
pub fn news(app: &App, source: &str, operation: &str, notes: &[String], all: bool) -> Vec<String> {
    let place = file(app, source, operation);
    let before = fs::read_to_string(&place).unwrap_or_default();
    let known: Vec<&str> = before.lines().collect();
    let now: Vec<String> = notes.iter().map(|note| note.replace('\n', " ")).collect();
    if now.iter().map(String::as_str).ne(known.iter().copied())
        && let Err(error) = write(&place, &now)
    {
        tracing::debug!(%error, "cannot remember notes");
    }
    if all {
        return now;
    }
    let mut shown: Vec<String> = now.iter().filter(|note| !known.contains(&note.as_str())).cloned().collect();
    match now.len() - shown.len() {
        0 => {}
        1 => shown.push("1 note unchanged since the last run (--notes lists it)".to_owned()),
        same => shown.push(format!("{same} notes unchanged since the last run (--notes lists them)")),
    }
    shown
}

fn file(app: &App, source: &str, operation: &str) -> PathBuf {
    app.config.state_dir.join("notes").join(format!("{source}.{operation}"))
}

/// Written beside and renamed: another command may be reading.
fn write(place: &PathBuf, notes: &[String]) -> std::io::Result<()> {
    if let Some(directory) = place.parent() {
        fs::create_dir_all(directory)?;
    }
    let beside = place.with_extension(format!("new.{}", std::process::id()));
    fs::write(&beside, notes.join("\n"))?;
    fs::rename(beside, place)
}
