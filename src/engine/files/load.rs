//! Restores an archive, or parts of it, into a directory. Nothing in the archive is trusted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, Kind, is_at_or_below, order};
use super::notes::Notes;
use super::place::Place;
use super::powers::Powers;
use super::stored::{ARCHIVE, Ahead, INDEX, IndexReader, from_io};
use super::tape::{self, BLOCK};
use super::text::Name;
use super::walk::archive_path;
use crate::domain::manifest::Manifest;
use crate::engine::{LoadOptions, LoadReport, StoredPoint};
use crate::error::{Error, Result};
use crate::repository::StoredFile;
use crate::run_context::RunContext;

/// Restore `point` into `destination`; `live` are the paths that are backed up on this host.
pub fn load(
    point: &StoredPoint,
    destination: &Path,
    live: &[PathBuf],
    options: &LoadOptions,
    context: &RunContext,
) -> Result<LoadReport> {
    point.refuse_increments()?;
    let roots = roots(&point.manifest)?;
    let only = selected(&options.tables, &roots)?;
    check_destination(destination, live, options.overwrite)?;
    let archive = (point.open)(ARCHIVE)?;
    context.progress.phase("load", Some(archive.len()));
    let elsewhere = if only.is_empty() { BTreeMap::new() } else { first_names((point.open)(INDEX)?, &only)? };
    let powers = Powers::of_this_process();
    let mut loading = Loading {
        place: Place::new(destination, options.overwrite, powers)?,
        archive: Ahead::new(archive.clone(), 0),
        file: archive,
        roots,
        seen: vec![false; only.len()],
        only,
        elsewhere,
        devices: Notes::default(),
        powers,
        last: None,
        context,
    };
    loading.run()?;
    context.progress.finish();
    Ok(loading.report())
}

/// The promised roots, as the archive names them.
pub fn roots(manifest: &Manifest) -> Result<Vec<Vec<u8>>> {
    let mut roots = Vec::new();
    for table in &manifest.inventory().tables {
        let root = archive_path(Path::new(&table.name));
        if !table.name.starts_with('/') || (!root.is_empty() && !is_plain(&root)) {
            return Err(Error::failed(format!("cannot read manifest: {} is not an absolute path", table.name)));
        }
        roots.push(root);
    }
    roots.sort_by(|a, b| order(a, b));
    Ok(roots)
}

/// Relative, without empty parts, `.`, `..` and NUL.
fn is_plain(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..") && !part.contains(&0))
}

/// The sub-paths that were asked for, as the archive names them.
pub fn selected(tables: &[String], roots: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let mut only = Vec::new();
    for table in tables {
        // As reports write it, or as it is.
        let path = Name::parse(table).map_or_else(|| table.clone().into_bytes(), |name| name.0);
        let path = path.strip_prefix(b"/").unwrap_or(&path).to_vec();
        if !path.is_empty() && !is_plain(&path) {
            return Err(Error::configuration(format!("cannot restore {table}: it is not a plain path")));
        }
        if !roots.iter().any(|root| is_at_or_below(&path, root)) {
            let known: Vec<String> = roots.iter().map(|root| format!("/{}", Name(root.clone()))).collect();
            return Err(Error::configuration(format!("cannot restore {table}: it is not below a path of this backup"))
                .hint(format!("the backup has {}", known.join(", "))));
        }
        only.push(path);
    }
    Ok(only)
}

fn check_destination(destination: &Path, live: &[PathBuf], overwrite: bool) -> Result<()> {
    if overwrite {
        return Ok(());
    }
    let what = || format!("cannot restore into {}", destination.display());
    let real = destination
        .canonicalize()
        .map_err(|error| Error::failed(what()).because(error).hint("create the directory first"))?;
    for path in live {
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        if real.starts_with(&path) || path.starts_with(&real) {
            return Err(Error::failed(format!("{}: {} is backed up from there", what(), path.display()))
                .hint("restore somewhere else and look at it first; --overwrite restores in place"));
        }
    }
    let mut there = fs::read_dir(&real)
        .map_err(|error| Error::failed(what()).because(error).hint("the destination must be a directory"))?;
    if there.next().is_some() {
        return Err(Error::failed(format!("{}: it is not empty", what()))
            .hint("give an empty directory; --overwrite replaces what is there"));
    }
    Ok(())
}

/// First names outside of the selection that names inside of it are links to. Their bytes are found on the way.
fn first_names(index: Arc<dyn StoredFile>, only: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, FirstName>> {
    let mut found = BTreeMap::new();
    for entry in IndexReader::new(index) {
        let entry = entry?;
        let Some(first) = entry.hard_link.filter(|_| is_selected(&entry.path.0, only)) else { continue };
        if !is_selected(&first.0, only) {
            found.insert(first.0, FirstName::Unseen);
        }
    }
    Ok(found)
}

/// Whether `path` belongs to the selection `only`, which is everything where it is empty.
pub fn is_selected(path: &[u8], only: &[Vec<u8>]) -> bool {
    only.is_empty() || only.iter().any(|wanted| is_at_or_below(path, wanted))
}

/// What is known of a first name outside of the selection.
#[derive(Debug)]
enum FirstName {
    /// It has not come yet.
    Unseen,
    /// Its entry, and where its bytes are in the archive.
    Passed(Box<Entry>, u64),
    /// The name that it was restored under.
    Restored(Name),
}

struct Loading<'a> {
    place: Place,
    archive: Ahead,
    file: Arc<dyn StoredFile>,
    roots: Vec<Vec<u8>>,
    only: Vec<Vec<u8>>,
    seen: Vec<bool>,
    elsewhere: BTreeMap<Vec<u8>, FirstName>,
    devices: Notes,
    powers: Powers,
    last: Option<Name>,
    context: &'a RunContext,
}

impl Loading<'_> {
    fn run(&mut self) -> Result<()> {
        let mut told = 0;
        while let Some(mut entry) = tape::next(&mut self.archive).map_err(|error| damaged(error, self.last.as_ref()))? {
            self.context.cancel.check()?;
            self.check(&mut entry)?;
            let (data, size) = (self.archive.position(), entry.size);
            if is_selected(&entry.path.0, &self.only) {
                for (seen, wanted) in self.seen.iter_mut().zip(&self.only) {
                    *seen |= is_at_or_below(&entry.path.0, wanted);
                }
                self.put(&entry)?;
            } else if let Some(first) = self.elsewhere.get_mut(&entry.path.0) {
                *first = FirstName::Passed(Box::new(entry.clone()), data);
            }
            let end = data + size.next_multiple_of(BLOCK as u64);
            self.archive
                .skip(end.saturating_sub(self.archive.position()))
                .map_err(|error| damaged(error, Some(&entry.path)))?;
            self.last = Some(entry.path);
            self.context.progress.advance(self.archive.position() - told);
            told = self.archive.position();
        }
        if let Some((_, path)) = self.seen.iter().zip(&self.only).find(|(seen, _)| !**seen) {
            return Err(Error::configuration(format!(
                "cannot restore /{}: the backup has no such path",
                Name(path.clone())
            )));
        }
        self.place.finish()
    }

    /// Refuse whatever could lead outside, or does not look like an archive of ours.
    fn check(&self, entry: &mut Entry) -> Result<()> {
        let shown = entry.path.clone();
        let refuse = |why: &str| {
            Err(Error::failed(format!("cannot restore {shown}: refused, {why}"))
                .hint("the archive was not made by this program, or was tampered with"))
        };
        if entry.kind == Kind::Directory {
            entry.path.0.pop_if(|byte| *byte == b'/');
        }
        if entry.path.0 == b"." {
            entry.path.0.clear();
        }
        let whole = entry.path.0.is_empty() && entry.kind == Kind::Directory;
        if !whole && !is_plain(&entry.path.0) {
            return refuse("its path is absolute or has `..` in it");
        }
        if !self.roots.iter().any(|root| is_at_or_below(&entry.path.0, root)) {
            return refuse("it is not below a path that the backup promises");
        }
        if self.last.as_ref().is_some_and(|last| order(&last.0, &entry.path.0).is_ge()) {
            return refuse("it is out of order");
        }
        match &entry.hard_link {
            Some(first) if !is_plain(&first.0) => refuse("it is a link to an absolute path or one with `..` in it"),
            Some(first) if !self.roots.iter().any(|root| is_at_or_below(&first.0, root)) => {
                refuse("it is a link to something that the backup does not promise")
            }
            _ => Ok(()),
        }
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind.is_device() && !self.powers.devices {
            self.devices.add(|| format!("`/{}` is a device node, which this user may not make", entry.path));
            return Ok(());
        }
        if let Some(first) = entry.hard_link.as_ref().and_then(|first| self.elsewhere.get_mut(&first.0)) {
            return put_link(&mut self.place, &self.file, first, entry);
        }
        let size = entry.size;
        self.place.put(entry, &mut self.archive.by_ref().take(size))
    }

    fn report(mut self) -> LoadReport {
        let mut warnings = Vec::new();
        if !self.powers.owners {
            warnings.push("not running as root: everything belongs to the user who restored it".to_owned());
        }
        warnings.extend(std::mem::take(&mut self.place.refused));
        let lacking = self.devices.finish("device nodes");
        warnings.extend(lacking.iter().cloned());
        LoadReport { warnings, bytes: self.archive.position(), lacking, ..LoadReport::default() }
    }
}

/// A name whose first name was not asked for: the first of these gets the bytes, the others become its links.
fn put_link(place: &mut Place, file: &Arc<dyn StoredFile>, first: &mut FirstName, entry: &Entry) -> Result<()> {
    match first {
        FirstName::Unseen => {
            let what = "it is a hard link, and the file it links to is not in the archive";
            Err(Error::failed(format!("cannot restore {}: {what}", entry.path))
                .hint("the recovery point is damaged or was changed: run `backup-sla check`, and use another one"))
        }
        FirstName::Restored(name) => {
            let link = Entry { hard_link: Some(name.clone()), ..entry.clone() };
            place.put(&link, &mut io::empty())
        }
        FirstName::Passed(passed, data) => {
            let alone = Entry { path: entry.path.clone(), ..(**passed).clone() };
            place.put(&alone, &mut Ahead::new(file.clone(), *data).take(alone.size))?;
            *first = FirstName::Restored(entry.path.clone());
            Ok(())
        }
    }
}

fn damaged(error: io::Error, last: Option<&Name>) -> Error {
    let after = last.map_or("at its start".to_owned(), |last| format!("after {last}"));
    from_io(error).context(format!("cannot read archive {after}"))
}

/// The path that was typed, as reports and selections write it.
pub fn normal_path(typed: &str) -> Result<String> {
    let path = Path::new(typed);
    let plain =
        path.components().all(|part| matches!(part, std::path::Component::RootDir | std::path::Component::Normal(_)));
    if !path.is_absolute() || !plain {
        return Err(Error::configuration(format!("cannot restore {typed}: it is not an absolute path, or has `..`"))
            .hint("write the path as it was on the source, such as /srv/ansible/roles"));
    }
    Ok(path.components().collect::<PathBuf>().display().to_string())
}
