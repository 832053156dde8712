//! What to type to get the data back: exact commands, quoted for a shell.

use std::path::Path;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use maud::{Markup, html};

use super::words::{self, Moment, time};
use crate::config::SourceConfig;
use crate::display::rfc3339;
pub(super) use crate::display::shell_word as quoted;
use crate::domain::change::State;
use crate::domain::manifest::BackupKind;
use crate::domain::manifest::RecoveryPointId;
use crate::engine::kind::RestoreTo;
use crate::ledger::PointRow;
use crate::ledger::history::SourceHistory;
use crate::state::View;
use crate::status;

/// Where the program looks for its configuration by itself.
const USUAL_CONFIGURATION: &str = "/etc/backup-sla/config.toml";

/// `backup-sla`, with the configuration in use, and `arguments`.
pub(super) fn program(view: &View, arguments: &[&str]) -> String {
    let mut words = vec!["backup-sla".to_owned()];
    if let Some(file) = view.service.config_file.as_deref().filter(|file| *file != Path::new(USUAL_CONFIGURATION)) {
        words.extend(["--config".to_owned(), quoted(&file.to_string_lossy())]);
    }
    words.extend(arguments.iter().map(|argument| quoted(argument)));
    words.join(" ")
}

/// A command to copy.
pub(super) fn block(command: &str) -> Markup {
    // The frame scrolls, so it must be reachable with the keyboard.
    html! { div.command { pre tabindex="0" role="group" aria-label="Command" { code { (command) } } } }
}

/// How to restore one recovery point.
pub(super) fn restore(view: &View, config: &SourceConfig, point: &RecoveryPointId) -> String {
    let to = config.kind.restore_to().arguments;
    program(view, &[&["restore", &config.name, "--to"], to, &["--recovery-point", &point.0]].concat())
}

/// The last state before the data of a source changed in a suspect way; nothing where nothing is suspect.
fn before_change(view: &View, config: &SourceConfig) -> Markup {
    let change = view.snapshot.sources.get(&config.name).and_then(|figures| figures.change.as_ref());
    let change = change.filter(|change| config.watch.enabled && change.state().is_suspect());
    let Some(before) = change.and_then(|change| change.found.before.as_ref()) else { return html! {} };
    html! {
        h3 { "The last state before the data changed" }
        p.muted { "Recovery point of " (time(before.as_of, Moment::of(view))) }
        (block(&restore(view, config, &before.id)))
    }
}

/// What was found in a recovery point, as a mark; nothing where that is nothing.
pub(super) fn mark(history: &SourceHistory, point: &RecoveryPointId) -> Markup {
    match history.suspect.get(point) {
        Some(State::Critical) => html! { " " (words::state(false, "", "its data looks DESTROYED")) },
        Some(state) => html! { " " (words::unsure(&format!("its data {}", state.of_the_data()))) },
        None => html! {},
    }
}

/// How to restore, test and verify a source.
/// Times are written in whole seconds: the point has to be not newer than what is written.
fn whole_second_after(time: DateTime<Utc>) -> DateTime<Utc> {
    if time.timestamp_subsec_nanos() == 0 { time } else { time.trunc_subsecs(0) + TimeDelta::seconds(1) }
}

pub(super) fn section(view: &View, config: &SourceConfig, history: &SourceHistory) -> Markup {
    let name = config.name.as_str();
    let RestoreTo { arguments: to, note } = config.kind.restore_to();
    let newest = history.points.first().map(|state| &state.point);
    let at = |time: &str| program(view, &[&["restore", name, "--to"], to, &["--at", time]].concat());
    let is_same = newest.zip(history.newest_verified.as_ref()).is_some_and(|(a, b)| a.id == b.id);
    html! {
        section aria-labelledby="restore" {
            h2 id="restore" { "Restore" }
            @if let Some(newest) = newest {
                p { (note) " A destination that is not empty is refused unless you add --overwrite." }
                (before_change(view, config))
                @match &history.newest_verified {
                    Some(point) => (step(view, "The newest state that a drill has proved", point, &mark(history, &point.id), &restore(view, config, &point.id))),
                    None => p.bad-text {
                        @if view.snapshot.is_history_partial(name) { "No drill is known to have passed on any of the recovery points" }
                        @else { "No drill has passed on any of the recovery points" }
                        ": none of them is proved."
                    },
                }
                @if !is_same {
                    @let title = match history.points.first().and_then(|state| state.verdict.as_ref()) {
                        Some((false, _)) => "The newest state: a drill FAILED on it",
                        _ => "The newest state, not proved by a drill",
                    };
                    (step(view, title, newest, &mark(history, &newest.id), &restore(view, config, &newest.id)))
                }
                h3 { "The state at a time" }
                @if newest.kind == BackupKind::Incremental {
                    p.muted {
                        "Any moment of a restore window; put a time just before the damage. What happened near a time, with the command that \
                         restores to just before it:"
                    }
                    p { a href={ (words::source_address("../", name)) "/events" } { "Look for it here" } }
                    (block(&program(view, &["events", name, "--around", &rfc3339(newest.as_of.trunc_subsecs(0))])))
                    (block(&at(&rfc3339(newest.as_of.trunc_subsecs(0)))))
                } @else {
                    p.muted { "The newest recovery point that is not newer than it; put a time just before the damage." }
                    (block(&at(&rfc3339(whole_second_after(newest.as_of)))))
                }
                h3 { "Other things to type" }
                p.muted { "Test restore into a sandbox, now." }
                (block(&program(view, &["drill", name])))
                @if newest.kind == BackupKind::Full {
                    p.muted {
                        "Compare what was restored, by whatever means, with what the newest recovery point promises; after a restore \
                         with --at or --recovery-point, add the same here."
                    }
                    (block(&program(view, &[&["verify", name, "--against"], to].concat())))
                }
                p.muted { "Ask the repository for all recovery points." }
                (block(&program(view, &["list", name])))
            } @else {
                @let status = status::of(view, config);
                @if status.awaits_backup() && !status.has_first_failed() {
                    p.muted { "There is no recovery point yet: the first backup is still to come." }
                } @else {
                    p.bad-text { "There is no recovery point: nothing can be restored." }
                }
                p.muted { "Back up now." }
                (block(&program(view, &["backup", name])))
            }
        }
    }
}

fn step(view: &View, title: &str, point: &PointRow, mark: &Markup, command: &str) -> Markup {
    html! {
        h3 { (title) }
        p.muted { (point.kind) " of " (time(point.as_of, Moment::of(view))) (mark) }
        (block(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_word_as_it_was_meant() {
        let words =
            ["plain-1.2:/@x", "", "two words", "it's", "$(reboot)", "`x`", "a\nb", "ü*?", "\\", "\"q\"", "-x;y"];
        for word in words {
            let script = format!("printf %s {}", quoted(word));
            let output = std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), *word, "{script}");
        }
        assert_eq!(quoted("agama"), "agama");
    }
}
