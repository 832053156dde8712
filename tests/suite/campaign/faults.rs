//! Faults that stand while an operation runs: they are put in place, and everything is put back as it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::plan::{Fault, Harm, LedgerHarm, Lie, Step, Stored};
use super::world::World;
use crate::support::entries;

/// How to put back what a fault changed.
#[derive(Default)]
pub struct Undo {
    /// Files as they were; none: the path was not there.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
    /// Directories that were moved, from where to where.
    moved: Vec<(PathBuf, PathBuf)>,
    tools: bool,
    disk: bool,
}

/// Put a standing fault in place; none if there is nothing that it could harm.
pub fn apply(world: &World<'_>, step: &Step) -> Option<Undo> {
    let mut undo = Undo::default();
    let repository = world.repository(step.source);
    let applied = match step.fault {
        Fault::Disk(place, how) => {
            undo.disk = true;
            world.disk(place, step.source).spoil(how)
        }
        Fault::Damage(stored, harm) => damage(&mut undo, world, &repository, stored, harm, step.pick),
        Fault::LinkedDirectory(name) => {
            let (at, outside) = (repository.join(name), world.path("outside"));
            let to = outside.join(name);
            // Most lead to what was there before, so that everything can be read; `tmp` leads to somebody's files.
            let moved = fs::create_dir_all(&at).is_ok() && copy_and_move(&at, &to, name == "tmp");
            let target = if name == "tmp" { &outside } else { &to };
            undo.moved.push((at.clone(), repository.join(format!("../{name}.kept"))));
            moved && symlink(target, &at).is_ok()
        }
        Fault::Unmounted => {
            let away = repository.with_extension("kept");
            undo.moved.push((repository.clone(), away.clone()));
            fs::rename(&repository, &away).is_ok() && fs::create_dir(&repository).is_ok()
        }
        Fault::Lie(lie) => {
            undo.tools = true;
            lies(world, lie);
            true
        }
        Fault::Ledger(harm) => ledger(&mut undo, world, harm, step.pick),
        _ => true,
    };
    if applied {
        return Some(undo);
    }
    undo.undo(world, step);
    None
}

/// Move a directory out of the way of a link; a copy of it is where the link will lead to, unless it is `tmp`.
fn copy_and_move(at: &Path, to: &Path, only_move: bool) -> bool {
    let parent = at.parent().unwrap().parent().unwrap();
    let kept = parent.join(format!("{}.kept", at.file_name().unwrap().to_string_lossy()));
    let copied = only_move || {
        let _ = fs::remove_dir_all(to);
        Command::new("cp").arg("-a").arg(at).arg(to).status().unwrap().success()
    };
    copied && fs::rename(at, kept).is_ok()
}

pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = entries(directory)
        .into_iter()
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    found.sort();
    found
}

/// Files of one kind of a repository.
fn stored_files(repository: &Path, stored: Stored) -> Vec<PathBuf> {
    match stored {
        Stored::Config => vec![repository.join("config")],
        Stored::Key => files_below(&repository.join("keys")),
        Stored::Index => files_below(&repository.join("index")),
        Stored::Snapshot => files_below(&repository.join("snapshots")),
        Stored::Data => files_below(&repository.join("data")),
    }
}

fn pick_of<T>(all: &[T], pick: u64) -> Option<&T> {
    all.get(usize::try_from(pick % (all.len() as u64).max(1)).unwrap())
}

fn damage(undo: &mut Undo, world: &World<'_>, repository: &Path, stored: Stored, harm: Harm, pick: u64) -> bool {
    let mut all = stored_files(repository, stored);
    if pick & 1 == 0 {
        // The newest are those that most depends on.
        all.sort_by_key(|path| fs::metadata(path).and_then(|facts| facts.modified()).ok());
        all.drain(..all.len().saturating_sub(4));
    }
    let Some(victim) = pick_of(&all, pick >> 1).cloned() else { return false };
    let Ok(whole) = fs::read(&victim) else { return false };
    undo.files.push((victim.clone(), Some(whole.clone())));
    let _ = fs::set_permissions(&victim, fs::Permissions::from_mode(0o600));
    let length = whole.len() as u64;
    match harm {
        Harm::Cut(part) => fs::write(&victim, &whole[..usize::try_from(length * part / 100).unwrap()]).is_ok(),
        Harm::Flip => {
            let mut flipped = whole;
            let at = usize::try_from((pick >> 20) % length).unwrap();
            flipped[at] ^= 1 << (pick % 8);
            fs::write(&victim, flipped).is_ok()
        }
        Harm::Garbage => fs::write(&victim, "garbage".repeat(usize::try_from(length / 7 + 1).unwrap())).is_ok(),
        Harm::Empty => fs::write(&victim, "").is_ok(),
        Harm::Remove => fs::remove_file(&victim).is_ok(),
        Harm::Swap => {
            let others: Vec<&PathBuf> = all.iter().filter(|path| **path != victim).collect();
            let Some(other) = pick_of(&others, pick >> 30) else { return false };
            let Ok(content) = fs::read(other) else { return false };
            undo.files.push(((*other).clone(), Some(content.clone())));
            let _ = fs::set_permissions(other, fs::Permissions::from_mode(0o600));
            content != whole && fs::write(&victim, content).is_ok() && fs::write(other, whole).is_ok()
        }
        Harm::Link => {
            let to = world.path("outside/linked");
            fs::write(&to, &whole).is_ok() && fs::remove_file(&victim).is_ok() && symlink(&to, &victim).is_ok()
        }
        Harm::Pipe => {
            fs::remove_file(&victim).is_ok() && Command::new("mkfifo").arg(&victim).status().unwrap().success()
        }
    }
}

/// Tools that do not do what they say.
fn lies(world: &World<'_>, lie: Lie) {
    let scratch = world.path("logs").display().to_string();
    for (name, real) in world.tools() {
        let real = real.display();
        // Only of long output, so that a version is still told: what matters is the data.
        let output = match lie {
            Lie::Part(part) => format!("head -c $((size * {part} / 100)) \"$t\"; status=0"),
            Lie::Fails => "cat \"$t\"; status=1".to_owned(),
            Lie::Garbage => "head -c $size /dev/zero | tr '\\0' 'x'; status=0".to_owned(),
            Lie::Silent => "status=0".to_owned(),
            Lie::Hangs => "head -c $((size / 2)) \"$t\"; rm -f \"$t\"; exec sleep 600".to_owned(),
        };
        let script = if name.ends_with("dump") {
            format!(
                "t=$(mktemp -p '{scratch}'); '{real}' \"$@\" > \"$t\"; status=$?; size=$(stat -c %s \"$t\")\n\
                 if [ $size -gt 4000 ]; then {output}; else cat \"$t\"; fi; rm -f \"$t\"; exit $status"
            )
        } else if name == "influxd" {
            let after = match lie {
                Lie::Part(part) => format!(
                    "f=$(ls -S \"$out\"/*.tar.gz | head -1); truncate -s $(($(stat -c %s \"$f\") * {part} / 100)) \"$f\"; exit 0"
                ),
                Lie::Fails => "exit 1".to_owned(),
                Lie::Garbage => "for f in \"$out\"/*.tar.gz; do echo garbage > \"$f\"; done; exit 0".to_owned(),
                Lie::Silent => "rm -rf \"$out\"/*; exit 0".to_owned(),
                Lie::Hangs => "exec sleep 600".to_owned(),
            };
            format!(
                "[ \"$1\" = backup ] || exec '{real}' \"$@\"\n'{real}' \"$@\" || exit\nfor out; do :; done\n{after}"
            )
        } else {
            continue;
        };
        world.tool(&name, &script);
    }
}

fn ledger(undo: &mut Undo, world: &World<'_>, harm: LedgerHarm, pick: u64) -> bool {
    let ledger = world.path("state/ledger.sqlite");
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let path = world.path("state").join(name);
        undo.files.push((path.clone(), fs::read(&path).ok()));
    }
    let Ok(whole) = fs::read(&ledger) else { return false };
    let journal = world.path("state/ledger.sqlite-wal");
    match harm {
        LedgerHarm::Cut(part) => {
            fs::write(&ledger, &whole[..usize::try_from(whole.len() as u64 * part / 100).unwrap()]).is_ok()
        }
        LedgerHarm::Garbage => fs::write(&ledger, "garbage ".repeat(whole.len() / 8)).is_ok(),
        LedgerHarm::Remove => {
            undo.files.iter().for_each(|(path, _)| drop(fs::remove_file(path)));
            true
        }
        LedgerHarm::Replace => {
            undo.files.iter().for_each(|(path, _)| drop(fs::remove_file(path)));
            sqlite(&ledger, "CREATE TABLE other (a); INSERT INTO other VALUES (1)").is_some()
        }
        LedgerHarm::Row => change_row(&ledger, pick),
        LedgerHarm::NoJournal => fs::remove_file(&journal).is_ok(),
    }
}

fn sqlite(ledger: &Path, sql: &str) -> Option<String> {
    let output = Command::new("sqlite3").arg(ledger).arg(sql).output().unwrap();
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Change one value somewhere.
fn change_row(ledger: &Path, pick: u64) -> bool {
    let tables = "SELECT m.name || ' ' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
                  WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '\\_sqlx%' ESCAPE '\\' ORDER BY 1";
    let Some(columns) = sqlite(ledger, tables) else { return false };
    let columns: Vec<&str> = columns.lines().collect();
    let Some((table, column)) = pick_of(&columns, pick).and_then(|both| both.split_once(' ')) else { return false };
    let value = ["1", "'x'", "NULL", "9999999999999999"][usize::try_from(pick >> 40).unwrap() % 4];
    let sql = format!(
        "UPDATE \"{table}\" SET \"{column}\" = {value} WHERE rowid = (SELECT rowid FROM \"{table}\" ORDER BY RANDOM() LIMIT 1)"
    );
    sqlite(ledger, &sql).is_some()
}

impl Undo {
    /// Put everything back.
    pub fn undo(self, world: &World<'_>, step: &Step) {
        if let (true, Fault::Disk(place, _)) = (self.disk, step.fault) {
            world.disk(place, step.source).mend();
        }
        if self.tools {
            world.be_honest();
        }
        for (from, kept) in self.moved {
            if fs::symlink_metadata(&kept).is_err() {
                continue;
            }
            let is_link = fs::symlink_metadata(&from).is_ok_and(|facts| facts.is_symlink());
            let _ = if is_link { fs::remove_file(&from) } else { fs::remove_dir_all(&from) };
            fs::rename(&kept, &from).unwrap();
        }
        for (path, content) in self.files {
            let _ = fs::remove_file(&path);
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
}
