//! Notes of a run that the run before had too are not news: they are counted, and shown when they are asked for.

use std::fs;
use std::path::PathBuf;

use crate::app::App;

/// What to show of `notes`, those of an operation on `source` that has ended: what the last one that was shown did not have and
/// every one that is among `losses`, or all. What is lost stays lost however often it was said. Which notes were shown is kept in the state directory; losing that shows them once more.
pub fn news(
    app: &App,
    (source, operation): (&str, &str),
    notes: &[String],
    losses: &[String],
    all: bool,
) -> Vec<String> {
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
    fold(notes, &now, &known, losses)
}

/// `now` are `notes` on one line each.
fn fold(notes: &[String], now: &[String], known: &[&str], losses: &[String]) -> Vec<String> {
    let is_shown = |(said, note): &(&String, &String)| !known.contains(&note.as_str()) || losses.contains(said);
    let mut shown: Vec<String> = notes.iter().zip(now).filter(is_shown).map(|(_, note)| note.clone()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_never_folded() {
        let notes = ["a", "table d.t is NOT in the backup:\nbroken", "new"].map(str::to_owned);
        let now = notes.each_ref().map(|note| note.replace('\n', " "));
        let known = ["a", "table d.t is NOT in the backup: broken"];
        let shown = fold(&notes, &now, &known, &notes[1..2]);
        assert_eq!(
            shown,
            ["table d.t is NOT in the backup: broken", "new", "1 note unchanged since the last run (--notes lists it)"]
        );
    }
}
