//! Holds a restored tree against the index, entry by entry: both are in the same order, so neither is kept in memory.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::iter::Peekable;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::entry::{DigestTree, Entry, Kind, is_at_or_below, order};
use super::exclude::Excludes;
use super::holes::Reader;
use super::load::is_selected;
use super::powers::Powers;
use super::stored::IndexReader;
use super::text::Name;
use super::walk::{Found, Step, Walk, open_directory};
use crate::domain::digest::Digest;
use crate::domain::drill::Check;
use crate::domain::manifest::TableFacts;
use crate::error::{Error, OrFailed, Result};
use crate::run_context::RunContext;

/// Most entries that are named.
const NAMED: u64 = 50;

/// What was found of the tree.
#[derive(Debug, Default)]
pub struct Findings {
    /// One row per root that was looked at as a whole.
    pub tables: Vec<TableFacts>,
    /// One per entry that differs, and one per sub-path.
    pub checks: Vec<Check>,
    /// What could not be read.
    pub problems: Vec<String>,
    /// What is there beyond the promise, where that is no difference.
    pub more: Vec<String>,
}

/// Compare the tree below `destination` with `index`; `roots` are promised, `only` of them is asked for, and what is there
/// beyond them may be a difference or not.
pub fn compare(
    destination: &Path,
    index: IndexReader,
    roots: &[Vec<u8>],
    (only, may_have_more): (&[Vec<u8>], bool),
    context: &RunContext,
) -> Result<Findings> {
    let steps = starts(roots, only).into_iter().map(|start| start_at(destination, &start));
    let walks = steps.collect::<Result<Vec<_>>>()?;
    let wanted = only.to_vec();
    let mut comparing = Comparing {
        promised: index
            .filter(move |entry| entry.as_ref().map_or(true, |e| is_selected(&e.path.0, &wanted)))
            .peekable(),
        walk: walks.into_iter().flatten().flatten().peekable(),
        trees: roots.iter().map(|root| (root.clone(), DigestTree::new(root))).collect(),
        only: only.iter().map(|path| (path.clone(), 0, 0)).collect(),
        names: HashMap::new(),
        first_names: BTreeMap::new(),
        differing: 0,
        may_have_more,
        powers: Powers::of_this_process(),
        findings: Findings::default(),
        context,
    };
    comparing.run()?;
    Ok(comparing.finish())
}

/// Where to walk: the roots, or the sub-paths that are not inside of others, in order.
fn starts(roots: &[Vec<u8>], only: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut starts: Vec<Vec<u8>> = if only.is_empty() { roots.to_vec() } else { only.to_vec() };
    starts.sort_by(|a, b| order(a, b));
    starts.dedup_by(|later, earlier| is_at_or_below(later, earlier));
    starts
}

/// The walk over one start; `None` where it is not there.
fn start_at(destination: &Path, start: &[u8]) -> Result<Option<Walk>> {
    let what = || format!("cannot open {}", destination.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(destination, flags, Mode::empty()).map_err(std::io::Error::from).or_failed(what());
    let mut directory = directory.map_err(|error| error.hint("give an existing directory that this user may read"))?;
    let mut parts: Vec<&[u8]> = start.split(|byte| *byte == b'/').collect();
    let name = parts.pop().filter(|name| !name.is_empty()).unwrap_or(b".");
    for part in parts {
        directory = match open_directory(&directory, part) {
            Ok(inner) => inner,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => return Ok(None),
            Err(error) => return Err(Error::failed(what()).because(std::io::Error::from(error))),
        };
    }
    let name = CString::new(name).or_failed(what())?;
    Ok(Some(Walk::new(directory, name, start, Excludes::none())))
}

struct Comparing<'c, P: Iterator<Item = Result<Entry>>, W: Iterator<Item = Step>> {
    promised: Peekable<P>,
    walk: Peekable<W>,
    trees: Vec<(Vec<u8>, DigestTree)>,
    /// Sub-paths with the entries promised of each and how many of them differ.
    only: Vec<(Vec<u8>, u64, u64)>,
    /// First name and content of files with several names, as they are found.
    names: HashMap<(u64, u64), (Name, Digest)>,
    /// For files whose first name was not asked for: the one that takes its place.
    first_names: BTreeMap<Name, Name>,
    differing: u64,
    /// What is there beyond the promise is no difference.
    may_have_more: bool,
    powers: Powers,
    findings: Findings,
    context: &'c RunContext,
}

impl<P: Iterator<Item = Result<Entry>>, W: Iterator<Item = Step>> Comparing<'_, P, W> {
    fn run(&mut self) -> Result<()> {
        while let Some(step) = self.walk.next() {
            self.context.cancel.check()?;
            match step {
                Step::Found(found) => self.found(found)?,
                Step::LeftOut(path, why) => self.beyond(&path, why)?,
                Step::Replaced(path) => self.beyond(&path, "was another one whenever it was looked at")?,
                Step::Unreadable(path, error) => {
                    self.problem(&path, &error.into());
                }
                Step::Vanished(_) | Step::Excluded => {}
            }
        }
        self.missing_before(None)
    }

    /// What is never in a backup is there.
    fn beyond(&mut self, path: &Name, why: &str) -> Result<()> {
        self.missing_before(Some(path))?;
        if self.may_have_more {
            self.more(path);
        } else {
            self.differs(path, "absent".to_owned(), format!("present: it {why}"));
        }
        Ok(())
    }

    /// Everything promised that should have come before `path` is missing.
    fn missing_before(&mut self, path: Option<&Name>) -> Result<()> {
        let comes_before = |entry: &Entry| path.is_none_or(|path| order(&entry.path.0, &path.0).is_lt());
        while let Some(entry) = self.promised.next_if(|entry| entry.as_ref().map_or(true, comes_before)) {
            let entry = entry?;
            self.count(&entry);
            if entry.kind.is_device() && !self.powers.devices {
                self.add(&entry);
            } else {
                self.differs(&entry.path, entry.kind.name().to_owned(), "missing".to_owned());
            }
        }
        Ok(())
    }

    fn found(&mut self, found: Found) -> Result<()> {
        self.missing_before(Some(&found.entry.path))?;
        let path = found.entry.path.clone();
        let same_place = |entry: &Result<Entry>| entry.as_ref().is_ok_and(|entry| entry.path == path);
        let promised = self.promised.next_if(same_place).transpose()?;
        let mut entry = match self.read(found) {
            Ok(entry) => entry,
            Err((path, error)) => {
                if let Some(promised) = &promised {
                    self.count(promised);
                }
                self.problem(&path, &error);
                return Ok(());
            }
        };
        let Some(mut promised) = promised else {
            if self.may_have_more {
                // Not part of the digest tree: that is what was promised.
                self.more(&path);
            } else {
                self.add(&entry);
                self.differs(&path, "absent".to_owned(), entry.kind.name().to_owned());
            }
            return Ok(());
        };
        self.count(&promised);
        self.powers.forgive(&promised, &mut entry);
        self.first_name(&mut promised);
        self.add(&entry);
        let (expected, actual) = differences(&promised, &entry);
        if !expected.is_empty() {
            self.differs(&path, expected.join(", "), actual.join(", "));
        }
        Ok(())
    }

    /// Complete what was found: content, and the first name where this is a later one.
    fn read(&mut self, found: Found) -> Result<Entry, (Name, std::io::Error)> {
        if found.entry.kind != Kind::File {
            return Ok(found.entry);
        }
        if let Some((first, digest)) = self.names.get(&found.identity) {
            let hard_link = Some(first.clone());
            return Ok(Entry { hard_link, sha256: Some(*digest), ..found.entry });
        }
        let digest = self.digest(&found).map_err(|error| (found.entry.path.clone(), error))?;
        if found.names > 1 {
            self.names.insert(found.identity, (found.entry.path.clone(), digest));
        }
        Ok(Entry { sha256: Some(digest), ..found.entry })
    }

    fn digest(&self, found: &Found) -> std::io::Result<Digest> {
        let (file, mut hasher) = (found.open()?, Sha256::new());
        let mut reader = Reader::new(&file, found.entry.size);
        loop {
            // To its end, wherever that is now.
            let piece = reader.next(u64::MAX)?;
            if piece.is_empty() {
                return Ok(Digest(hasher.finalize().into()));
            }
            hasher.update(piece);
            self.context.progress.advance(piece.len() as u64);
            self.context.cancel.check().map_err(std::io::Error::other)?;
        }
    }

    /// Where only a part was restored, the first name of a file is the first one in that part.
    fn first_name(&mut self, promised: &mut Entry) {
        let Some(first) = promised.hard_link.clone() else { return };
        if self.only.is_empty() || self.only.iter().any(|(path, ..)| is_at_or_below(&first.0, path)) {
            return;
        }
        promised.hard_link = self.first_names.get(&first).cloned();
        self.first_names.entry(first).or_insert_with(|| promised.path.clone());
    }

    /// The first few say it: one is enough for nothing to be proved.
    fn problem(&mut self, path: &Name, error: &std::io::Error) {
        if self.findings.problems.len() < 20 {
            self.findings.problems.push(format!("read `/{path}`: {error}"));
        }
    }

    fn add(&mut self, entry: &Entry) {
        if let Some((_, tree)) = self.trees.iter_mut().find(|(root, _)| is_at_or_below(&entry.path.0, root)) {
            tree.add(entry);
        }
    }

    fn count(&mut self, promised: &Entry) {
        for (path, entries, _) in &mut self.only {
            *entries += u64::from(is_at_or_below(&promised.path.0, path));
        }
    }

    /// The first few say it.
    fn more(&mut self, path: &Name) {
        if self.findings.more.len() < 20 {
            self.findings.more.push(format!("file {path}"));
        }
    }

    fn differs(&mut self, path: &Name, expected: String, actual: String) {
        self.differing += 1;
        for (below, _, differing) in &mut self.only {
            *differing += u64::from(is_at_or_below(&path.0, below));
        }
        if self.differing <= NAMED {
            let name = format!("file {path}");
            self.findings.checks.push(Check { name, expected, actual, ok: false });
        }
    }

    fn finish(self) -> Findings {
        let mut findings = self.findings;
        if self.differing > NAMED {
            findings.checks.push(Check {
                name: "other entries".to_owned(),
                expected: "as backed up".to_owned(),
                actual: format!("{} more entries differ", self.differing - NAMED),
                ok: false,
            });
        }
        for (path, entries, differing) in &self.only {
            findings.checks.push(Check {
                name: format!("path /{}", Name(path.clone())),
                expected: format!("{entries} entries as backed up"),
                actual: format!("{differing} differ"),
                ok: *differing == 0 && *entries > 0,
            });
        }
        let lacking = self.powers.lacking();
        if !lacking.is_empty() {
            findings.checks.push(Check {
                name: "what only root can restore".to_owned(),
                expected: "not compared".to_owned(),
                actual: format!("not compared: {}", lacking.join(", ")),
                ok: true,
            });
        }
        let only = self.only;
        for (root, tree) in self.trees {
            let whole = only.is_empty() || only.iter().any(|(path, ..)| *path == root);
            if let Some((rows, digest, definition)) = tree.finish().filter(|_| whole) {
                let name = format!("/{}", String::from_utf8_lossy(&root));
                findings.tables.push(TableFacts {
                    name,
                    rows,
                    digest,
                    definition,
                    newest: BTreeMap::new(),
                    next_id: None,
                });
            }
        }
        findings
    }
}

/// What differs between the two, as short texts of the same length.
fn differences(promised: &Entry, found: &Entry) -> (Vec<String>, Vec<String>) {
    if promised.kind != found.kind {
        return (vec![promised.kind.name().to_owned()], vec![found.kind.name().to_owned()]);
    }
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    let mut compare = |equal: bool, show: &dyn Fn(&Entry) -> String| {
        if !equal {
            expected.push(show(promised));
            actual.push(show(found));
        }
    };
    compare(promised.mode == found.mode, &|entry| format!("mode {:04o}", entry.mode));
    compare(promised.uid == found.uid, &|entry| format!("uid {}", entry.uid));
    compare(promised.gid == found.gid, &|entry| format!("gid {}", entry.gid));
    compare(promised.mtime == found.mtime, &|entry| {
        let (seconds, nanoseconds) = entry.mtime;
        let time = chrono::DateTime::from_timestamp(seconds, nanoseconds);
        let shown = time.map_or_else(|| format!("{seconds} s, {nanoseconds} ns"), |time| time.to_rfc3339());
        format!("mtime {shown}")
    });
    compare(promised.size == found.size, &|entry| format!("{} bytes", entry.size));
    compare(promised.sha256 == found.sha256, &|entry| {
        format!("sha256 {:.12}…", entry.sha256.map_or_else(String::new, |digest| digest.to_string()))
    });
    compare(promised.target == found.target, &|entry| format!("link to {}", shown(entry.target.as_ref())));
    compare(promised.hard_link == found.hard_link, &|entry| {
        entry.hard_link.as_ref().map_or("a file of its own".to_owned(), |first| format!("same file as {first}"))
    });
    compare(promised.device == found.device, &|entry| format!("device {:?}", entry.device.unwrap_or_default()));
    for name in promised.xattrs.keys().chain(found.xattrs.keys().filter(|name| !promised.xattrs.contains_key(*name))) {
        compare(promised.xattrs.get(name) == found.xattrs.get(name), &|entry| match entry.xattrs.get(name) {
            Some(value) => format!("{name}={:.40}", value.to_string()),
            None => format!("no {name}"),
        });
    }
    (expected, actual)
}

fn shown(name: Option<&Name>) -> String {
    name.map_or("nothing".to_owned(), ToString::to_string)
}
