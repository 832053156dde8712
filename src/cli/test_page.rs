//! `backup-sla test-page [--for 15m] [--wait]`, `--confirm CODE`, `--withdraw`: does a page reach a person?

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use super::output;
use super::session::Session;
use crate::app::App;
use crate::display::{duration, rfc3339};
use crate::error::{Error, Result};
use crate::ledger::TestPage;

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").args(["confirm", "withdraw"]))]
pub struct Arguments {
    /// The page arrived: this code is in it
    #[arg(long, value_name = "CODE")]
    confirm: Option<u32>,
    /// Withdraw the alert that is raised
    #[arg(long)]
    withdraw: bool,
    /// How long it is raised if nobody confirms it
    #[arg(long = "for", value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration, conflicts_with = "what")]
    lasting: Duration,
    /// Wait until it is confirmed or ends
    #[arg(long, conflicts_with = "what")]
    wait: bool,
}

pub fn run(session: &Session<'_>, arguments: &Arguments) -> Result<u8> {
    let app = session.app()?;
    if let Some(code) = arguments.confirm {
        let page = app.block_on(app.ledger.confirm_test_page(code))?;
        return tell(session, &page);
    }
    if arguments.withdraw {
        let page = app.block_on(app.ledger.withdraw_test_page())?;
        let page = page.ok_or_else(|| Error::failed("cannot withdraw the test page: none is raised"))?;
        return told_as(session, &page, &format!("test page of {} withdrawn", rfc3339(page.raised)));
    }
    raise(session, &app, arguments)
}

fn raise(session: &Session<'_>, app: &App, arguments: &Arguments) -> Result<u8> {
    if !app.is_served()? {
        let what = "cannot raise the test page: no service runs on this state_dir, so Prometheus would not see it";
        return Err(Error::failed(what).hint("start `backup-sla serve` first"));
    }
    let page = app.block_on(app.ledger.raise_test_page(arguments.lasting))?;
    if !arguments.wait {
        return tell(session, &page);
    }
    if !session.json {
        output::line(&sentence(&page))?;
    }
    loop {
        let pages = app.block_on(app.ledger.test_pages())?;
        let ours = pages.last.filter(|last| last.revision == page.revision).unwrap_or_else(|| page.clone());
        if ours.confirmed.is_some() {
            return tell(session, &ours);
        }
        let failed = |why: &str| Err(Error::failed(format!("cannot confirm the test page: {why}")));
        if !ours.is_raised(app.clock.wall()) {
            return failed("nobody confirmed it in time");
        }
        if !app.is_served()? {
            return failed("the service has stopped, so Prometheus does not see the page");
        }
        if session.context.cancel.is_cancelled() {
            return failed("stopped waiting; the page stays raised until it is confirmed, withdrawn or over");
        }
        std::thread::sleep(LOOK);
    }
}

fn tell(session: &Session<'_>, page: &TestPage) -> Result<u8> {
    told_as(session, page, &sentence(page))
}

fn told_as(session: &Session<'_>, page: &TestPage, said: &str) -> Result<u8> {
    let told = if session.json { output::json(page) } else { output::line(said) };
    told.map(|()| 0)
}

fn sentence(page: &TestPage) -> String {
    let after = |end: DateTime<Utc>| duration((end - page.raised).as_seconds_f64());
    match page.confirmed {
        Some(confirmed) => {
            format!(
                "the page that was raised at {} arrived: confirmed after {}",
                rfc3339(page.raised),
                after(confirmed)
            )
        }
        None => format!(
            "test page raised at {}, until {}: whoever receives it runs the command in it",
            rfc3339(page.raised),
            rfc3339(page.ends)
        ),
    }
}
