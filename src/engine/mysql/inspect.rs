//! Describes a server's data exactly as the dump described it when it was stored: by dumping it again through the same
//! scanner. `dump(restore(dump)) = dump` catches wrong values, not only missing rows.

use std::cell::RefCell;
use std::io::{self, Read};

use super::accounts;
use super::connection::{Account, Session};
use super::names;
use super::pump;
use super::tool::{Purpose, Tools};
use crate::domain::manifest::{Manifest, ObjectFacts, ObjectKind};
use crate::engine::Inspection;
use crate::error::Result;
use crate::process::ChildOutput;
use crate::run_context::RunContext;

/// Inspect the databases of `manifest` at `account`.
pub fn inspect(tools: &Tools, account: &Account, manifest: &Manifest, context: &RunContext) -> Result<Inspection> {
    let mut session = Session::open(account)?;
    let present = session.column("SHOW DATABASES")?;
    let promised = |database: &String| {
        let name = names::database(database);
        manifest.inventory.objects.iter().any(|object| object.kind == ObjectKind::Database && object.name == name)
    };
    let databases: Vec<String> = present.into_iter().filter(promised).collect();
    let mut inspection = Inspection::default();
    if !databases.is_empty() {
        let problems = RefCell::new(Vec::new());
        let dump = Tolerant {
            dump: tools.start_dump(account, &databases, Purpose::Inspection, &context.cancel)?,
            problems: &problems,
        };
        match pump::scan(dump, context, |_| Ok(())) {
            Ok(complete) => inspection.inventory = complete.facts.inventory(),
            Err(error) if problems.borrow().is_empty() => return Err(error),
            Err(error) => problems.borrow_mut().push(error.to_string()),
        }
        inspection.problems = problems.into_inner();
    }
    if manifest.inventory.objects.iter().any(|object| object.kind == ObjectKind::Account) {
        inspection.inventory.objects.extend(promised_accounts(&mut session, manifest)?);
    }
    Ok(inspection)
}

/// Accounts beyond the promised ones belong to the destination.
fn promised_accounts(session: &mut Session, manifest: &Manifest) -> Result<Vec<ObjectFacts>> {
    let product = &manifest.server.product;
    let mut read = |sql_mode: &str| {
        accounts::prepare(session, product, sql_mode)?;
        Ok(accounts::promised_there(&accounts::read(session, product)?.all, &manifest.inventory))
    };
    let mut there = read("")?;
    let promised = manifest.inventory.objects.iter().filter(|object| object.kind == ObjectKind::Account);
    let as_promised = |object: &ObjectFacts| there.get(&object.name) == Some(object);
    let mode = manifest.settings.get("sql_mode").filter(|mode| !mode.is_empty());
    if let (Some(mode), false) = (mode, promised.clone().all(as_promised)) {
        // Earlier versions read accounts under the server's own mode, which decides how names are quoted.
        there.extend(read(mode)?.into_iter().filter(|(_, found)| manifest.inventory.objects.contains(found)));
    }
    Ok(promised.filter_map(|object| there.get(&object.name).cloned()).collect())
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
            self.problems.borrow_mut().push(error.to_string());
            Ok(0)
        })
    }
}
