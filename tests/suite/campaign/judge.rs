//! The rules, from the documented interface: what may come of an operation under a fault, and what must be true afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::command::Done;
use super::content::{difference, restored};
use super::faults::files_below;
use super::parties::surviving;
use super::plan::{Fault, Harm, Operation, Party, SOURCES, Signalled, Source, Step, Stored};
use super::world::{Point, World};
use crate::support::entries;

/// A rule that did not hold.
#[derive(Debug)]
pub struct Broken {
    pub rule: Rule,
    pub what: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A published point is there and restores with its exact content.
    NothingLost,
    /// What is not good is not told as good.
    NoFalseGreen,
    /// What is good is not told as bad.
    NoFalseRed,
    /// Everything ends in time.
    Limits,
    /// Processes, directories and files go.
    NothingLeft,
    /// Exit status, output and metrics agree, and say why.
    Agreement,
    /// Nothing outside is touched.
    NothingOutside,
    /// When the fault is gone, everything works.
    Recovers,
}

/// How long an end may take to be seen on a busy machine.
pub const GRACE: Duration = Duration::from_secs(20);

pub type Judged<T = ()> = Result<T, Broken>;

pub fn broken<T>(rule: Rule, what: impl Into<String>) -> Judged<T> {
    Err(Broken { rule, what: what.into() })
}

pub fn ensure(holds: bool, rule: Rule, what: impl FnOnce() -> String) -> Judged {
    if holds { Ok(()) } else { broken(rule, what()) }
}

/// Exit statuses that an operation may end with under a fault; none: by the signal that we sent.
pub fn allowed(operation: Operation, fault: Fault) -> &'static [i32] {
    use Operation::{Backup, Drill, Look, Restore, Serve};
    match (fault, operation) {
        (_, Serve) | (Fault::None | Fault::Signal(_, Signalled::Pause(_), _), _) => &[0],
        (Fault::Terminate(_, true), _) => &[0, 1, 130],
        (Fault::Terminate(_, false) | Fault::Signal(Party::Us, ..), _) => &[0, 1],
        // The host is at fault, never the backup.
        (Fault::Signal(..) | Fault::Disk(..) | Fault::Ledger(_), Drill | Restore) => &[0, 1, 4],
        (Fault::Clock(_), Drill | Restore) => &[0, 1, 2, 4],
        (Fault::Unmounted, Restore) => &[1, 2],
        (Fault::Unmounted, _) | (Fault::Lie(_), Backup) => &[1],
        (Fault::Lie(_), _) => &[0, 1, 3, 4],
        // Every one of these would be reached through the link; what may wait there for a reader is nobody's.
        (Fault::LinkedDirectory(_), Drill | Restore) if is_refused(fault) => &[1, 3],
        (Fault::LinkedDirectory(_), _) if is_refused(fault) => &[1],
        (Fault::LinkedDirectory("tmp"), Backup) => &[1],
        (Fault::Damage(..), Drill) => &[0, 1, 3],
        (Fault::Damage(..), Restore) => &[0, 1, 2, 3],
        (_, Backup | Look) | (Fault::Beside(..) | Fault::LinkedDirectory(_), _) => &[0, 1],
        (Fault::Reload(_), _) => &[0],
    }
}

/// How one run of a command ended, by itself: status, reason, limits.
pub fn sound(done: &Done, step: &Step, operation: Operation, hangs: bool) -> Judged {
    let said = || done.said();
    ensure(!done.stderr.contains("panicked"), Rule::Agreement, || format!("it panicked: {}", said()))?;
    ensure(!done.was_stuck, Rule::Limits, || format!("it did not end after SIGTERM: {}", said()))?;
    ensure(!done.was_asked || hangs, Rule::Limits, || format!("it did not end by itself: {}", said()))?;
    let Some(status) = done.status else {
        // A program that was asked to end before it was ready to be asked.
        let early = matches!(step.fault, Fault::Terminate(..)) && done.signal == Some(15);
        let ours = matches!(step.fault, Fault::Signal(Party::Us, Signalled::Kill, _)) && done.signal == Some(9);
        let ours = ours || early;
        return ensure(ours, Rule::Agreement, || format!("a signal ended it: {}", said()));
    };
    let rule = match status {
        0 => Rule::NoFalseGreen,
        3 => Rule::NoFalseRed,
        _ if step.fault == Fault::None => Rule::NoFalseRed,
        _ => Rule::Agreement,
    };
    // Metrics are printed whatever they say.
    let stands = matches!(step.fault, Fault::Unmounted | Fault::LinkedDirectory(_) | Fault::Damage(..));
    let tells = stands && done.what == "metrics";
    let may = if tells { &[0][..] } else { allowed(operation, step.fault) };
    ensure(may.contains(&status), rule, || format!("of {may:?}: {}", said()))?;
    let reason = done.json()["reason"].as_str().unwrap_or_default().to_owned();
    let names_why = status == 0 || !reason.is_empty() || done.stderr.contains("error") || operation == Operation::Look;
    ensure(names_why || status == 130, Rule::Agreement, || format!("it does not say why: {}", said()))?;
    if operation == Operation::Drill && !done.json().is_null() {
        let verdict = match status {
            0 => "passed",
            3 => "failed",
            4 => "inconclusive",
            _ => return Ok(()),
        };
        ensure(done.json()["verdict"] == verdict, Rule::Agreement, || format!("verdict and status: {}", said()))?;
    }
    Ok(())
}

/// What the program lists, by id.
pub fn listed(done: &Done) -> BTreeMap<String, Value> {
    let objects = done.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.filter_map(|object| Some((object["id"].as_str()?.to_owned(), object))).collect()
}

/// Nothing of what a run started is left; a killed one may leave what the next one removes.
pub fn nothing_runs(done: &Done) -> Judged {
    let left = surviving(&done.seen, GRACE);
    ensure(left.is_empty(), Rule::NothingLeft, || format!("of {}: {left:?}", done.what))
}

impl World<'_> {
    /// Take what is listed now into the model: nothing is missing, and what is new is what the step may have published.
    pub fn reconcile(&mut self, step: &Step, may_publish: &[Source]) -> Judged<Vec<String>> {
        // The other repository is looked at too where a step looks closely.
        let looked_at = |source: Source| step.proves || source.repository() == step.source.repository();
        let names = SOURCES.into_iter().filter(|source| looked_at(*source) || may_publish.contains(source));
        let names: Vec<&str> = names.map(Source::name).collect();
        let list = self.run(&[&["--json", "list"], &names[..]].concat());
        let found = listed(&list);
        ensure(list.status == Some(0), Rule::Recovers, || list.said())?;
        let here = self.points.iter().filter(|(_, point)| names.contains(&point.source.name()));
        let missing: Vec<&String> = here.map(|(id, _)| id).filter(|id| !found.contains_key(*id)).collect();
        ensure(missing.is_empty(), Rule::NothingLost, || format!("not listed any more: {missing:?}: {}", list.said()))?;
        let mut new = Vec::new();
        for (id, object) in found.iter().filter(|(id, _)| !self.points.contains_key(*id)) {
            let source = object["source"].as_str().and_then(Source::of);
            let source = source.filter(|source| may_publish.contains(source));
            let Some(source) = source else {
                return broken(Rule::Agreement, format!("nobody published {id}: {object}"));
            };
            ensure(
                !matches!(step.fault, Fault::Lie(_)) || step.operation != Operation::Backup,
                Rule::NoFalseGreen,
                || format!("what a lying tool gave is published: {object}"),
            )?;
            let (content, dated_wrong) = (self.content.of(source), matches!(step.fault, Fault::Clock(_)));
            new.push((id.clone(), Point { source, content, snapshot: None, dated_wrong }));
        }
        let ids = new.iter().map(|(id, _)| id.clone()).collect();
        self.points.extend(new);
        Ok(ids)
    }

    /// A point restores to a fresh place with its exact content.
    pub fn prove(&mut self, id: &str) -> Judged {
        let source = self.points[id].source;
        self.clear_targets();
        let arguments = self.restoring(id, source);
        let done = self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        ensure(done.status == Some(0), Rule::NothingLost, || format!("{id} does not restore: {}", done.said()))?;
        self.holds(id, &done)
    }

    /// What was just restored is what the point promised.
    pub fn holds(&self, id: &str, done: &Done) -> Judged {
        let point = &self.points[id];
        let found = restored(self.servers, point.source, &self.restored_tree());
        match difference(&point.content, &found) {
            None => Ok(()),
            Some(how) => {
                broken(Rule::NothingLost, format!("{id} restores with another content: {how}: {}", done.said()))
            }
        }
    }

    /// Whether the restic program, which knows nothing of ours, can read all of a point as the repository is now.
    pub fn is_whole(&mut self, id: &str, source: Source) -> bool {
        let known = self.points.get(id).and_then(|point| point.snapshot.clone());
        // One that the step itself published is the newest file.
        let newest = || {
            let written = |path: &std::path::PathBuf| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
            let all = entries(&self.repository(source).join("snapshots"));
            all.into_iter().max_by_key(written).map(|path| name(&path))
        };
        let Some(snapshot) = known.or_else(newest) else { return false };
        let to = self.path("logs/restic");
        let _ = std::fs::remove_dir_all(&to);
        let output = self.restic(source, &["restore", &snapshot, "--target", &to.display().to_string()]);
        self.log.push(format!("restic restore {snapshot}: {output:?}"));
        output.status.success()
    }

    /// Learn, while the repository is well, which snapshot each point is.
    pub fn learn_snapshots(&mut self, source: Source) {
        let unknown = |point: &Point| point.snapshot.is_none() && point.source.repository() == source.repository();
        if !self.points.values().any(unknown) {
            return;
        }
        let output = self.restic(source, &["snapshots", "--json"]);
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        for snapshot in &all {
            let mut tags = snapshot["tags"].as_array().into_iter().flatten();
            let id = tags.find_map(|tag| tag.as_str()?.strip_prefix("point="));
            if let Some(point) = id.and_then(|id| self.points.get_mut(id)) {
                point.snapshot = snapshot["id"].as_str().map(str::to_owned);
            }
        }
    }

    /// What the metrics say now that the fault is gone agrees with the listing and with the last verdict.
    pub fn agrees(&mut self, step: &Step, done: Option<&Done>) -> Judged {
        let run = self.run(&["metrics"]);
        ensure(run.status == Some(0), Rule::Recovers, || run.said())?;
        let value = |series: String| {
            let line = run.stdout.lines().find_map(|line| line.strip_prefix("backup_sla_")?.strip_prefix(&*series));
            line.and_then(|line| line.trim().parse::<f64>().ok())
        };
        let (name, repository) = (step.source.name(), step.source.repository());
        let points = self.points.values().filter(|point| point.source == step.source).count() as f64;
        let mut wanted = vec![
            (format!("recovery_points{{source=\"{name}\",kind=\"full\"}}"), points),
            (format!("repository_up{{repository=\"{repository}\"}}"), 1.0),
            (format!("encryption_key_available{{repository=\"{repository}\"}}"), 1.0),
        ];
        if let (Some(done), Operation::Drill) = (done, step.operation) {
            for (status, outcome) in [(0, "passed"), (3, "failed"), (4, "inconclusive")] {
                let is = f64::from(u8::from(done.status == Some(status)));
                // Which of them comes of a drill that could not even begin is not documented, but never that it passed.
                if status == 0 || done.status != Some(1) {
                    wanted.push((format!("drill_last_outcome{{source=\"{name}\",outcome=\"{outcome}\"}}"), is));
                }
            }
        }
        if let (Some(done), Operation::Backup) = (done, step.operation) {
            let is = f64::from(u8::from(done.status == Some(0)));
            wanted.push((format!("backup_last_run_success{{source=\"{name}\"}}"), is));
        }
        for (series, wanted) in wanted {
            let found = value(series.clone());
            let rule = if wanted == 0.0 { Rule::NoFalseGreen } else { Rule::Agreement };
            ensure(found == Some(wanted), rule, || {
                format!("{series} is {found:?} and not {wanted} after {}", done.map(Done::said).unwrap_or_default())
            })?;
        }
        Ok(())
    }

    /// Nothing is left of operations when none runs and the clean-up has run.
    pub fn is_clean(&self, step: &Step) -> Judged {
        for name in ["state/sandboxes", "tmp"] {
            let left = entries(&self.path(name));
            ensure(left.is_empty(), Rule::NothingLeft, || format!("{left:?}"))?;
        }
        let left = entries(&self.repository(step.source).join("tmp"));
        ensure(left.is_empty(), Rule::NothingLeft, || format!("{left:?}"))
    }

    /// Files that are none of the program's business are as they were.
    pub fn outside_is_untouched(&self) -> Judged {
        for name in ["index", "snapshots", "data", "keys", "locks"] {
            for parent in ["a", "b"].map(|name| self.path(name)) {
                let (kept, linked) = (parent.join(format!("{name}.kept")), self.path("outside").join(name));
                let same = !kept.exists() || names_below(&kept) == names_below(&linked);
                ensure(same, Rule::NothingOutside, || format!("something was done behind the link {name}"))?;
            }
        }
        let text = std::fs::read_to_string(self.path("outside/precious")).unwrap_or_default();
        ensure(text == "must stay", Rule::NothingOutside, || "a file behind a link is gone".to_owned())?;
        let known = ["precious", "linked", "tmp", "index", "snapshots", "data", "keys", "locks"];
        let names: BTreeSet<String> = entries(&self.path("outside")).iter().map(|path| name(path)).collect();
        let strange: Vec<&String> = names.iter().filter(|name| !known.contains(&name.as_str())).collect();
        ensure(strange.is_empty(), Rule::NothingOutside, || format!("files were written outside: {strange:?}"))
    }
}

fn names_below(directory: &Path) -> Vec<PathBuf> {
    let files = files_below(directory);
    files.iter().map(|path| path.strip_prefix(directory).unwrap().to_owned()).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Whether nothing can be read while the fault stands: what must be read is behind a link, and links are refused.
pub fn is_refused(fault: Fault) -> bool {
    matches!(fault, Fault::LinkedDirectory("index" | "snapshots" | "data" | "keys"))
}

/// Whether a drill must not pass, whichever point it takes: not every snapshot can be read.
pub fn forbids_pass(fault: Fault) -> bool {
    matches!(fault, Fault::Damage(Stored::Snapshot, harm) if harm != Harm::Remove)
}
