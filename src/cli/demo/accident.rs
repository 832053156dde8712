//! An accident in the demo's shop: somebody deletes without a WHERE while customers write; every row comes back.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use chrono::SubsecRound;

use super::place::{say, write_configuration};
use crate::app::{App, KINDS, Source};
use crate::cli::session::Session;
use crate::clock::SystemClock;
use crate::config;
use crate::demo::configuration;
use crate::demo::production::Production;
use crate::display::{rfc3339, shell_word};
use crate::domain::chain::Place;
use crate::domain::logged::{ChangeKind, LoggedTransaction};
use crate::engine::LoadOptions;
use crate::engine::destination::Credentials;
use crate::error::{Error, Result};
use crate::operations::backup::backup as full;
use crate::operations::events::{Before, Sought, events};
use crate::operations::increment::increment;
use crate::operations::ownership::Whose;
use crate::operations::restore::{RestoreRequest, restore};
use crate::operations::select::Selection;

const TABLE: &str = "shop.stock_movements";
/// What is in the table: how many rows, and a sum over all of them.
const CONTENT: &str = "SELECT CONCAT(COUNT(*), ' rows, checksum ', COALESCE(SUM(CRC32(CONCAT_WS('|', id, moved_on, product, \
     change_by, reason))), 0)) FROM shop.stock_movements";
/// A deadlock with a customer may make it its victim.
const TRIES: usize = 10;

/// Show it; 0 if what came back is what was there just before.
pub fn run(session: &Session<'_>, directory: &Path) -> Result<u8> {
    say(session, "1. a MariaDB with a generated shop, and customers who place about twenty orders a second")?;
    let shop = Production::start(&directory.join("production"))?;
    let _customers = shop.open_shop()?;
    let file = write_configuration(directory, &configuration::of_shop(&shop))?;
    let (config, clock) = (config::load(&file, KINDS)?, SystemClock::shared());
    let app = App::open_until(config, clock, session.runtime.clone(), &session.context.cancel)?;
    let source = app.source("shop")?;
    typed(session, &file, &["backup", "shop"])?;
    full(&app, &source, &session.context)?;
    more_orders(&shop)?;
    say(session, "2. an increment, as the service takes them by itself")?;
    typed(session, &file, &["backup", "shop", "--incremental"])?;
    increment(&app, &source, &session.context)?;
    more_orders(&shop)?;

    say(session, &format!("3. the accident: DELETE FROM {TABLE}, without a WHERE"))?;
    let was = accident(&shop)?;
    let seen = app.clock.wall();
    say(session, &format!("   it had {was}; customers go on writing"))?;
    more_orders(&shop)?;
    increment(&app, &source, &session.context)?;

    say(session, "4. which transaction was it?")?;
    let around = rfc3339(seen.trunc_subsecs(0));
    typed(session, &file, &["events", "shop", "--around", &around, "--table", TABLE, "--kind", "delete"])?;
    let (found, before) = find(&app, &source, seen, session)?;
    say(session, &format!("   {}  {}  {}", rfc3339(found.time), found.position, found.summary()))?;

    say(session, "5. the state just before it, in a new server")?;
    let elsewhere = Production::empty(&directory.join("restored"))?;
    let to = format!("unix:{}", elsewhere.socket().display());
    let words = [vec!["restore", "shop"], before.arguments(), vec!["--to", &to, "--no-accounts"]].concat();
    typed(session, &file, &words)?;
    let request = RestoreRequest {
        selection: selection(&before)?,
        host: None,
        to: source.kind.destination(&to, &Credentials::default())?,
        options: LoadOptions::default(),
        verify: true,
    };
    let report = restore(&app, &source, &request, &session.context)?;
    let is = elsewhere.sql(CONTENT)?;
    say(session, &format!("   it has {is}"))?;
    if is != was || report.verified == Some(false) {
        say(session, "6. that is NOT what was there just before the accident")?;
        return Ok(1);
    }
    say(session, "6. every row that was there just before the accident is back")?;
    Ok(0)
}

/// What a person would type.
fn typed(session: &Session<'_>, file: &Path, words: &[&str]) -> Result<()> {
    let file = file.display().to_string();
    let words: Vec<String> =
        ["backup-sla", "--config", &file].iter().chain(words).map(|word| shell_word(word)).collect();
    say(session, &format!("   $ {}", words.join(" ")))
}

/// Wait until customers have placed more orders.
fn more_orders(shop: &Production) -> Result<()> {
    let newest = || shop.sql("SELECT MAX(id) FROM shop.orders");
    let before = newest()?;
    for _ in 0..600 {
        if newest()? != before {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Error::failed("cannot show the accident: the demo's customers place no orders"))
}

/// Delete everything, and say what was there: nobody changes the table between the two, which lock all of it.
fn accident(shop: &Production) -> Result<String> {
    let sql = format!("START TRANSACTION; {CONTENT} FOR UPDATE; DELETE FROM {TABLE}; COMMIT");
    let mut tried = shop.sql(&sql);
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = shop.sql(&sql);
    }
    tried
}

/// The transaction near `seen` that deleted most.
fn find(
    app: &App,
    source: &Source,
    seen: chrono::DateTime<chrono::Utc>,
    session: &Session<'_>,
) -> Result<(LoggedTransaction, Before)> {
    let deleted = |it: &LoggedTransaction| it.tables.get(TABLE).map_or(0, |rows| rows.deleted);
    let mut worst: Option<(LoggedTransaction, Before)> = None;
    let mut told = |transaction: LoggedTransaction, before: Before| {
        if worst.as_ref().is_none_or(|(known, _)| deleted(&transaction) > deleted(known)) {
            worst = Some((transaction, before));
        }
        Ok(ControlFlow::Continue(()))
    };
    let sought = Sought {
        around: seen,
        within: Duration::from_mins(5),
        table: Some(TABLE.to_owned()),
        kinds: vec![ChangeKind::Delete],
    };
    events(app, source, (&sought, Whose::Own), &mut told, &session.context)?;
    worst.ok_or_else(|| Error::failed("cannot find the accident: no increment has it"))
}

fn selection(before: &Before) -> Result<Selection> {
    let place = |text: &str| {
        let place = Place::parse(text).map(Selection::BeforePosition);
        place.ok_or_else(|| Error::failed(format!("cannot read position {text}")))
    };
    Ok(match before {
        Before::Gtid(gtid) => Selection::BeforeGtid(gtid.clone()),
        Before::Position(text) => place(text)?,
        Before::Within(id, text) => Selection::Within(id.clone(), Box::new(place(text)?)),
    })
}
