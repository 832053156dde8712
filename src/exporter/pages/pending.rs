//! What a new source waits for, in words.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::words;
use crate::domain::schedule::Work;
use crate::ledger::Operation;
use crate::state::View;
use crate::status::{self, SourceStatus};

/// `pending: first backup due 02:00 UTC`; nothing for a source that is judged.
pub(super) fn badge(view: &View, status: &SourceStatus) -> Markup {
    let Some(words) = in_words(view, status) else { return html! {} };
    words::pending(&words)
}

fn in_words(view: &View, status: &SourceStatus) -> Option<String> {
    let latest = *status.pending.values().min()?;
    let (name, operation, work) = if status.awaits_backup() {
        ("backup", Operation::Backup, Work::FullBackup)
    } else {
        ("drill", Operation::Drill, Work::Drill)
    };
    let is_running = status::running(view, &status.source).iter().any(|run| run.operation == operation);
    let due = status::next_runs(view, &status.source).get(&work).copied();
    let when = match due {
        _ if is_running => "is running".to_owned(),
        Some(due) if due <= view.now => "due now".to_owned(),
        Some(due) => format!("due {}", clock_time(view, due)),
        None => format!("expected by {}", clock_time(view, latest)),
    };
    Some(format!("pending: first {name} {when}"))
}

/// The time of day in the configured zone, with the day where it is not the next one of that time.
fn clock_time(view: &View, time: DateTime<Utc>) -> String {
    let is_near = (time - view.now).num_hours().abs() < 24;
    let form = if is_near { "%H:%M %Z" } else { "%Y-%m-%d %H:%M %Z" };
    time.with_timezone(&view.config.timezone).format(form).to_string()
}
