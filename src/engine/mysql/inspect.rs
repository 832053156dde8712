//! Describes a server's data exactly as the dump described it when it was stored: by dumping it again through the same
//! scanner. `dump(restore(dump)) = dump` catches wrong values, not only missing rows.

use std::cell::RefCell;
use std::io::{self, Read};

use super::account::Account;
use super::accounts;
use super::connection::Session;
use super::names;
use super::pinned;
use super::pump::{self, Reading};
use super::supplement::{self, Asked};
use super::tool::{Extent, Purpose, Tools};
use super::views;
use crate::domain::manifest::{Manifest, ObjectKind};
use crate::engine::Inspection;
use crate::error::{Error, Kind, Result};
use crate::process::{ChildOutput, Died};
use crate::run_context::RunContext;

/// Inspect the databases of `manifest` at `account`.
pub fn inspect(tools: &Tools, account: &Account, manifest: &Manifest, context: &RunContext) -> Result<Inspection> {
    let mut session = Session::open(account)?;
    let present = session.column("SHOW DATABASES")?;
    let promised = |database: &String| {
        let name = names::database(database);
        manifest.inventory().objects.iter().any(|object| object.kind == ObjectKind::Database && object.name == name)
    };
    let databases: Vec<String> = present.into_iter().filter(promised).collect();
    let mut inspection = Inspection::default();
    if !databases.is_empty() {
        let problems = RefCell::new(Vec::new());
        // What the backup left out may be there, and just as unreadable, where a live server is inspected.
        let pins = &pinned::statement(&mut session)?;
        let undescribed = &views::undescribed(&mut session, &databases, &manifest.left_out)?;
        let (left_out, capture) = (&manifest.left_out[..], manifest.capture);
        let asked = Asked { databases: &databases, left_out, capture, undescribed };
        let supplement = supplement::gather(&mut session, asked)?;
        let refused = supplement.refused().to_vec();
        let extent = Extent { asked, pins };
        let dump = Tolerant {
            dump: tools.start_dump(account, &extent, Purpose::Inspection, &context.cancel)?,
            problems: &problems,
        };
        let reading = Reading { client: tools.reader(), capture, supplement };
        match pump::scan(dump, reading, context, |_| Ok(())) {
            Ok(facts) => (inspection.inventory, inspection.canaries) = (facts.inventory(), facts.canaries()),
            Err(error) if problems.borrow().is_empty() => return Err(error),
            Err(error) => problems.borrow_mut().push(error.to_string()),
        }
        inspection.problems = [problems.into_inner(), refused].concat();
    }
    if manifest.inventory().objects.iter().any(|object| object.kind == ObjectKind::Account) {
        // Accounts beyond the promised ones belong to the destination.
        let (_, there) = accounts::read_promised(&mut session, manifest)?;
        inspection.inventory.objects.extend(there.into_values());
    }
    Ok(inspection)
}

fn is_from_outside(error: &Error) -> bool {
    error.cause::<Died>().is_some_and(Died::by_another)
}

/// A dump whose failure is a finding: what it could print is still compared, so that everything wrong has its name.
struct Tolerant<'a> {
    dump: ChildOutput,
    problems: &'a RefCell<Vec<String>>,
}

impl Read for Tolerant<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.problems.borrow().is_empty() {
            return Ok(0);
        }
        self.dump.read(buffer).or_else(|error| {
            // What ended it was not the data.
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
            if cause.is_some_and(|cause| cause.kind() == Kind::Inconclusive || is_from_outside(cause)) {
                return Err(error);
            }
            self.problems.borrow_mut().push(error.to_string());
            Ok(0)
        })
    }
}
