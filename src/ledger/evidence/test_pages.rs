//! Test pages: an alert is raised on purpose, and whoever gets the page gives back the code that is in it. That is the
//! only proof there is that a page reaches a person; a metric that says that it was sent is none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt;
use serde::Serialize;

use super::seals::seal_test_page;
use crate::error::{Error, Kind, Result};
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Connection, Row, ledger_error};
use crate::ledger::runs::next_revision;

/// A page that was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestPage {
    /// Order in which they were raised.
    #[serde(skip)]
    pub(crate) revision: i64,
    /// Six digits, in the text of the page and in the metric that raises it. Not in anything that whoever raises the page is
    /// shown: it proves nothing if it did not come with the page.
    #[serde(skip)]
    pub code: u32,
    /// When it was raised.
    pub raised: DateTime<Utc>,
    /// When the alert ends by itself.
    pub ends: DateTime<Utc>,
    /// When its code was given back.
    pub confirmed: Option<DateTime<Utc>>,
}

/// What is known of test pages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestPages {
    /// The last one.
    pub last: Option<TestPage>,
    /// When one was last confirmed.
    pub last_confirmed: Option<DateTime<Utc>>,
}

/// Shorter than this nobody could be told of it.
pub const SHORTEST: Duration = Duration::from_secs(10);
/// An alert that is raised for days would be taken for one that nobody mends.
pub const LONGEST: Duration = Duration::from_hours(24);

const LAST: &str = "SELECT * FROM test_pages ORDER BY revision DESC LIMIT 1";

impl TestPage {
    /// Whether the alert is to fire at `now`.
    pub fn is_raised(&self, now: DateTime<Utc>) -> bool {
        self.confirmed.is_none() && (self.raised..self.ends).contains(&now)
    }
}

fn failed(error: sqlx::Error) -> Error {
    ledger_error("cannot record a test page", error)
}

impl Ledger {
    /// Raise a test page that ends by itself after `lasting`.
    ///
    /// Errors: one is raised already; or it would last too short or too long. Raised again
    /// it would be the same alert to Alertmanager, which would not tell it again.
    pub async fn raise_test_page(&self, lasting: Duration) -> Result<TestPage> {
        if !(SHORTEST..=LONGEST).contains(&lasting) {
            let what = format!("cannot raise a test page for {lasting:?}: it must last from 10 seconds to 24 hours");
            return Err(Error::configuration(what).hint("Prometheus and Alertmanager need a minute or two to tell it"));
        }
        let now = stored::time(stored::micros(self.clock.wall()))?;
        let mut tx = self.write().await?;
        if let Some(last) = read(&mut tx, LAST).await?.filter(|last| last.is_raised(now)) {
            let what = format!(
                "cannot raise a test page: one was raised at {} and is not confirmed",
                stored::shown(last.raised)
            );
            return Err(Error::new(Kind::Busy, what).hint(
                "whoever got it types `backup-sla test-page --confirm CODE`; `backup-sla test-page --withdraw` ends it",
            ));
        }
        let page = TestPage {
            revision: next_revision(&mut tx).await?,
            code: rand::rng().random_range(100_000..1_000_000),
            raised: now,
            ends: now + lasting,
            confirmed: None,
        };
        sqlx::query("INSERT INTO test_pages (revision, code, raised_at, ends_at) VALUES (?, ?, ?, ?)")
            .bind(page.revision)
            .bind(i64::from(page.code))
            .bind(stored::micros(page.raised))
            .bind(stored::micros(page.ends))
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        seal_test_page(&mut tx, page.revision, now).await?;
        tx.commit().await.map_err(failed)?;
        Ok(page)
    }

    /// Write down that a page arrived: its code was given back. A page that ended by itself meanwhile arrived late, but it
    /// arrived.
    ///
    /// Errors: the last page has another code, was confirmed before, or there never was one.
    pub async fn confirm_test_page(&self, code: u32) -> Result<TestPage> {
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        let wrong = |why: &str| Err(Error::failed(format!("cannot confirm the test page: {why}")));
        let Some(mut page) = read(&mut tx, LAST).await? else { return wrong("none was ever raised") };
        if page.code != code {
            return wrong("the last one has another code");
        }
        if let Some(confirmed) = page.confirmed {
            return wrong(&format!("it was confirmed at {}", stored::shown(confirmed)));
        }
        page.confirmed = Some(now);
        settle(&mut tx, &page, now).await?;
        tx.commit().await.map_err(failed)?;
        Ok(page)
    }

    /// End a page that is raised without proof. None where none is.
    pub async fn withdraw_test_page(&self) -> Result<Option<TestPage>> {
        let now = self.clock.wall();
        let mut tx = self.write().await?;
        let Some(mut page) = read(&mut tx, LAST).await?.filter(|page| page.is_raised(now)) else { return Ok(None) };
        page.ends = now;
        settle(&mut tx, &page, now).await?;
        tx.commit().await.map_err(failed)?;
        Ok(Some(page))
    }

    /// What is known of test pages.
    pub async fn test_pages(&self) -> Result<TestPages> {
        read_test_pages(&mut *self.read().await?).await
    }

    /// Test pages that were raised between `from` and `to`, in that order.
    pub async fn test_pages_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<TestPage>> {
        let rows = sqlx::query("SELECT * FROM test_pages WHERE raised_at >= ? AND raised_at < ? ORDER BY revision")
            .bind(stored::micros(from))
            .bind(stored::micros(to))
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        rows.iter().map(page).collect()
    }
}

/// Write down what became of a page.
async fn settle(tx: &mut Connection, page: &TestPage, now: DateTime<Utc>) -> Result<()> {
    sqlx::query("UPDATE test_pages SET ends_at = ?, confirmed_at = ? WHERE revision = ?")
        .bind(stored::micros(page.ends))
        .bind(page.confirmed.map(stored::micros))
        .bind(page.revision)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    next_revision(tx).await?;
    seal_test_page(tx, page.revision, now).await
}

/// What is known of test pages, in a transaction that reads other things too.
pub(in crate::ledger) async fn read_test_pages(tx: &mut Connection) -> Result<TestPages> {
    let last = read(&mut *tx, LAST).await?;
    let confirmed: Option<i64> =
        sqlx::query_scalar("SELECT MAX(confirmed_at) FROM test_pages").fetch_one(tx).await.map_err(failed)?;
    Ok(TestPages { last, last_confirmed: stored::optional_time(confirmed)? })
}

async fn read(tx: &mut Connection, statement: &'static str) -> Result<Option<TestPage>> {
    let row = sqlx::query(statement).fetch_optional(tx).await.map_err(failed)?;
    row.as_ref().map(page).transpose()
}

fn page(row: &Row) -> Result<TestPage> {
    Ok(TestPage {
        revision: column(row, "revision")?,
        code: stored::chain_length(column(row, "code")?),
        raised: stored::time(column(row, "raised_at")?)?,
        ends: stored::time(column(row, "ends_at")?)?,
        confirmed: stored::optional_time(column(row, "confirmed_at")?)?,
    })
}
