//! What the rest of the program has to know of file trees.

use std::path::PathBuf;
use std::sync::Arc;

use super::FilesEngine;
use super::table::{self, FilesConfig};
use super::target::Target;
use crate::domain::words::Words;
use crate::engine::Engine;
use crate::engine::assertion::{Form, Sort};
use crate::engine::destination::{Credentials, Destination};
use crate::engine::kind::{Kind, RestoreTo, Settings, Table, Wiring};
use crate::error::{Error, Result};
use crate::strict::Section;

/// Sources of kind `files`: trees of files.
#[derive(Debug)]
pub struct Files;

impl Kind for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn words(&self) -> Words {
        Words { table: "tree", tables: "trees", rows: "entries" }
    }

    fn read(&self, _source: &str, section: &Section<'_>) -> Table {
        table::read(section)
    }

    fn form(&self) -> Form {
        Form { key: "command", example: "[\"test\", \"-s\", \"site.yml\"]", sort: Sort::Command }
    }

    fn destinations(&self) -> &'static [&'static str] {
        &["a directory"]
    }

    fn destination(&self, address: &str, _credentials: &Credentials) -> Result<Destination> {
        if address.contains("://") || address.starts_with("unix:") {
            let what = format!("cannot use `{address}` as a destination: it is a server, not a directory");
            return Err(Error::configuration(what).hint("give the path of a directory that exists"));
        }
        Ok(Destination::new(Target::Named(PathBuf::from(address))))
    }

    fn restore_to(&self) -> RestoreTo {
        RestoreTo {
            arguments: &["/PATH/TO/AN/EMPTY/DIRECTORY"],
            note: "Put a directory that exists and is empty there; the tree appears in it under its full path. One path only: --path PATH.",
        }
    }
}

impl Settings for FilesConfig {
    fn engine(&self, wiring: Wiring) -> Arc<dyn Engine> {
        let engine = FilesEngine::new(self.clone(), wiring.clock, wiring.own_places);
        Arc::new(engine.hiding(wiring.own_files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_server_is_a_directory() {
        let named = |address: &str| Files.destination(address, &Credentials::default());
        let to = named("/srv/tree").unwrap();
        assert_eq!(Target::of(&to).unwrap().directory(), std::path::Path::new("/srv/tree"));
        for server in ["http://h", "mysql://h", "unix:/x"] {
            assert!(named(server).is_err(), "{server}");
        }
    }
}
