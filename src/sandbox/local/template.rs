//! Data directories of new servers, made once and [kept](super::kept): making one takes seconds that a real restore would not lose,
//! for there the server is installed already.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::found::Found;
use super::isolation::Isolation;
use super::kept::{Kept, Slot, TIME_TO_MAKE, User};
use super::launch::{self, Limits, last_words, launch};
use super::time_zones::{self, Telling};
use super::waiting::Patience;
use super::workspace::Workspace;
use crate::error::{Error, Kind, OrFailed, Result};
use crate::process::{self, OwnedChild, find_program};
use crate::run_context::Cancel;
use crate::sandbox::{Decisive, Initial, Place, ServerSpec, Text};

/// The file with the statements that name time zones.
const ZONES_FILE: &str = "zones.sql";

/// A data directory to be made or found.
pub(super) struct Template<'a> {
    spec: &'a ServerSpec,
    initial: &'a Initial,
    found: &'a Found,
    zones: Option<Telling>,
}

impl<'a> Template<'a> {
    /// What the server of `spec` starts on; none where that is nothing.
    pub(super) fn of(spec: &'a ServerSpec, found: &'a Found) -> Option<Self> {
        let initial = spec.installation.initial.as_ref()?;
        Some(Self { spec, initial, found, zones: time_zones::telling(spec) })
    }

    fn value(&self, decisive: &Decisive) -> String {
        let given = self.spec.options.iter().find(|(name, _)| name == decisive.option);
        // Of an instance's places nothing that is kept may depend.
        given.map_or_else(|| decisive.usual.to_owned(), |(_, value)| value.written(|_| String::new()))
    }

    /// Product, version and whatever else changes the result.
    fn key(&self) -> Result<String> {
        let plain =
            |text: &str| -> String { text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect() };
        let mut parts = vec![self.spec.product.to_lowercase(), plain(&self.found.version)];
        parts.extend(self.initial.decisive.iter().map(|one| format!("{}{}", one.label, self.value(one))));
        parts.extend(self.zones.as_ref().map(|zones| format!("zones{}", zones.state)));
        let key = parts.join("-");
        if key.starts_with('.') || key.contains(['/', '\0']) {
            return Err(Error::inconclusive(format!(
                "cannot keep an empty data directory: `{key}` is not a file name"
            )));
        }
        Ok(key)
    }

    fn product(&self) -> String {
        format!("{} {}", self.spec.product, self.found.version)
    }

    /// The program that makes it, and its arguments.
    fn command(&self, workspace: &Workspace) -> Result<(PathBuf, Vec<String>)> {
        let (initial, installation) = (self.initial, &self.spec.installation);
        let program = match initial.programs {
            [] => self.found.program.clone(),
            names => find_program(self.spec.programs.as_deref(), names).ok_or_else(|| {
                let what = format!("cannot make an empty data directory of {}", self.product());
                Error::inconclusive(format!("{what}: there is no program `{}`", names[0]))
                    .hint(format!("it comes with the server (Debian package {})", installation.package))
            })?,
        };
        let mut options = vec![(initial.directory.to_owned(), Text::from(Place::Data))];
        for decisive in initial.decisive.iter().filter(|decisive| decisive.is_told) {
            let value = self.value(decisive);
            if value != decisive.usual {
                options.push((decisive.option.to_owned(), value.into()));
            }
        }
        if let Some(zones) = &self.zones {
            let file = Text::from(Place::Own).then(format!("/{ZONES_FILE}"));
            options.push((zones.table.option.to_owned(), file));
        }
        let mut args: Vec<String> = installation.first.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(launch::arguments(&options, |text| launch::written(text, workspace, None)));
        args.extend(initial.arguments.iter().map(|arg| (*arg).to_owned()));
        Ok((program, args))
    }

    /// The kept data directory, made in a workspace of `make_workspace` if there is none.
    pub(super) fn kept(
        &self,
        state_dir: &Path,
        patience: &Patience<'_>,
        make_workspace: impl Fn() -> Result<Workspace>,
    ) -> Result<Kept> {
        let slot = Slot::of(state_dir, &self.key()?)?;
        let user = User { program: self.found.program.clone(), version: self.found.version.clone() };
        slot.kept(&user, patience, || {
            let mut workspace = make_workspace()?;
            self.initialise(&workspace, patience)?;
            slot.put(&workspace.data())?;
            workspace.remove()
        })
    }

    fn initialise(&self, workspace: &Workspace, patience: &Patience<'_>) -> Result<()> {
        let what = format!("cannot make an empty data directory of {}", self.product());
        let product = format!("the initialisation of {}", self.product());
        if let Some(zones) = &self.zones {
            describe_zones(workspace, zones, patience.cancel)?;
        }
        let (program, args) = self.command(workspace)?;
        workspace.make_data()?;
        workspace.hand_over()?;
        let isolation = Isolation::possible(workspace, false);
        let limits = Limits { isolation, memory: None, loopback: None, outside: Vec::new() };
        let mut child = launch(workspace, &product, &program, &args, &limits)?;
        patience.cancel.takes_down(child.killer());
        patience.until(TIME_TO_MAKE, || what.clone(), || child.try_wait().or_inconclusive(&what))?;
        child.wait_success().map_err(|_| {
            Error::new(Kind::Inconclusive, format!("{what}: {}", last_words(&child)))
                .hint("the server's initialisation program must work on this host; is the disk full?")
        })
    }
}

/// Write the statements that name this host's time zones.
fn describe_zones(workspace: &Workspace, zones: &Telling, cancel: &Cancel) -> Result<()> {
    let path = workspace.directory().join(ZONES_FILE);
    let what = || format!("cannot write time zones to {} with {}", path.display(), zones.program.display());
    let mut output = File::create(&path).or_inconclusive(what())?;
    output.write_all(zones.table.head.as_bytes()).or_inconclusive(what())?;
    let mut command = process::command(&zones.program);
    command.arg(zones.zones).stdin(Stdio::null()).stdout(output);
    let mut child = OwnedChild::spawn(command, &zones.program.to_string_lossy())?;
    cancel.takes_down(child.killer());
    child.wait_success().map_err(|error| error.with_kind(Kind::Inconclusive).context(what()))
}
