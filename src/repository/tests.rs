//! A kind of repository that is only read: dumps that somebody else's job puts into directories, `SOURCE/NAME/FILE`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tempfile::TempDir;

use super::contract::{self, Kept, moment};
use super::{Listing, Repository, StoredFile, Unattested, Unsupported};
use crate::domain::manifest::RecoveryPointId;
use crate::error::{Kind, OrFailed, Result};

struct Dumps(PathBuf);

/// What is in a directory, by name.
fn names(directory: &Path) -> Result<Vec<String>> {
    let what = || format!("cannot list {}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).or_failed(what())? {
        names.push(entry.or_failed(what())?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

impl Repository for Dumps {
    fn location(&self) -> String {
        self.0.display().to_string()
    }

    fn exists(&self) -> Result<bool> {
        Ok(self.0.is_dir())
    }

    fn open_existing(&self) -> Result<()> {
        names(&self.0).map(drop)
    }

    fn listing(&self, source: Option<&str>) -> Result<Listing> {
        let mut unattested = Vec::new();
        for name in names(&self.0)?.into_iter().filter(|name| source.is_none_or(|wanted| wanted == name)) {
            for id in names(&self.0.join(&name))? {
                let place = self.0.join(&name).join(&id);
                let changed =
                    fs::metadata(&place).and_then(|facts| facts.modified()).or_failed("cannot read its time")?;
                unattested.push(Unattested {
                    source: Some(name.clone()),
                    id: RecoveryPointId(id),
                    made: DateTime::<Utc>::from(changed),
                    files: names(&place)?,
                    stored_bytes: None,
                });
            }
        }
        unattested.sort_by(|a, b| (a.made, &a.id).cmp(&(b.made, &b.id)));
        Ok(Listing { unattested, ..Listing::default() })
    }

    fn open(&self, source: &str, point: &RecoveryPointId, path: &str) -> Result<Arc<dyn StoredFile>> {
        let place = self.0.join(source).join(&point.0).join(path);
        let what = || format!("cannot open {}", place.display());
        let file = File::open(&place).or_failed(what())?;
        let length = file.metadata().or_failed(what())?.len();
        Ok(Arc::new(Dump { file, length }))
    }
}

struct Dump {
    file: File,
    length: u64,
}

impl StoredFile for Dump {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(left)];
        if !bytes.is_empty() {
            self.file.read_exact_at(&mut bytes, offset).or_failed("cannot read dump")?;
        }
        Ok(bytes.into())
    }
}

fn laid(backups: &[Kept]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for backup in backups {
        let place = root.path().join(&backup.source).join(&backup.id);
        fs::create_dir_all(&place).unwrap();
        for (path, content) in &backup.files {
            fs::write(place.join(path), content).unwrap();
        }
        File::open(place).unwrap().set_modified(moment(backup.hours).into()).unwrap();
    }
    root
}

#[test]
fn a_kind_that_is_only_read_keeps_the_reading_half_of_the_contract() {
    contract::reading::run(&|backups| {
        let root = laid(backups);
        Box::new(move || Box::new(Dumps(root.path().to_owned())) as Box<dyn Repository>)
    });
}

#[test]
fn what_somebody_else_made_is_no_published_backup() {
    let root = laid(&[Kept::new("shop", "monday", 0, &[("dump.sql", b"rows")])]);
    let repository = Dumps(root.path().to_owned());
    assert_eq!(repository.list(None).unwrap(), []);
    let listed = repository.listing(Some("shop")).unwrap().unattested;
    assert_eq!((listed[0].made, listed[0].files.as_slice()), (moment(0), &["dump.sql".to_owned()][..]));
    let error = repository.storing().err().unwrap();
    assert_eq!((Unsupported::why(&error), error.kind()), (Some(Unsupported::Storing), Kind::Configuration));
    let said =
        format!("cannot store backups in repository {}: this kind of repository is read only", root.path().display());
    assert_eq!(error.to_string(), said);
}
