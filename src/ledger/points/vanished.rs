//! Recovery points that went away before the end of their retention, for reports: what is missing now, what was accepted, and
//! what came back.

use chrono::{DateTime, Utc};

use super::gone::GoneMark;
use crate::domain::manifest::RecoveryPointId;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::database::stored::{self, column};
use crate::ledger::database::{Row, ledger_error};

/// One time at which a point went away. A point that came back and went away again has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VanishedPoint {
    /// The point.
    pub id: RecoveryPointId,
    /// Its as-of time.
    pub as_of: DateTime<Utc>,
    /// When a listing first missed it.
    pub noticed: DateTime<Utc>,
    /// Whether somebody said that it was on purpose.
    pub is_accepted: bool,
    /// When, as that was sealed; none where it was before there were such seals.
    pub accepted: Option<DateTime<Utc>>,
    /// When it was listed again; none where it was not.
    pub returned: Option<DateTime<Utc>>,
}

const VANISHED: &str = "SELECT l.id AS id, l.as_of AS as_of, l.gone_at AS gone_at, l.gone_early AS gone_early, \
     (SELECT MIN(n.first_seen) FROM point_lifetimes n WHERE n.source = l.source AND n.id = l.id \
       AND n.seen_revision > l.seen_revision) AS returned_at, \
     (SELECT MIN(s.sealed_at) FROM seals s WHERE s.subject = 'vanished' AND s.state = ? \
       AND s.name = l.source || '/' || l.id || '/' || l.seen_revision \
       AND EXISTS (SELECT 1 FROM seals e WHERE e.subject = s.subject AND e.name = s.name AND e.position < s.position)) \
       AS accepted_at \
     FROM point_lifetimes l WHERE l.source = ? AND l.gone_early IN (?, ?) ORDER BY l.gone_at, l.as_of, l.id";

impl Ledger {
    /// All points of `source` that went away before the end of the retention that was promised then, in the order in which
    /// that was noticed. One that is still there and cannot be read is not among them.
    pub async fn vanished_points(&self, source: &str) -> Result<Vec<VanishedPoint>> {
        let (early, accepted) = (GoneMark::Early.stored(), GoneMark::Accepted.stored());
        let query = sqlx::query(VANISHED).bind(format!("[{accepted}]")).bind(source).bind(early).bind(accepted);
        let rows =
            query.fetch_all(&self.pool).await.map_err(|e| ledger_error("cannot read vanished recovery points", e))?;
        rows.iter().map(point).collect()
    }
}

fn point(row: &Row) -> Result<VanishedPoint> {
    let is_accepted = GoneMark::read(column(row, "gone_early")?) == Some(GoneMark::Accepted);
    Ok(VanishedPoint {
        id: RecoveryPointId(column(row, "id")?),
        as_of: stored::time(column(row, "as_of")?)?,
        noticed: stored::time(column(row, "gone_at")?)?,
        is_accepted,
        accepted: stored::optional_time(column(row, "accepted_at")?)?.filter(|_| is_accepted),
        returned: stored::optional_time(column(row, "returned_at")?)?,
    })
}
