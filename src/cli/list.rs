//! `backup-sla list [SOURCE…]`: what the repository has, asked now.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::output;
use super::{Session, Sources, for_each};
use crate::app::App;
use crate::domain::manifest::{BackupKind, RecoveryPointId};
use crate::error::{Error, Result};
use crate::operations::ownership::Listed;
use crate::operations::refresh_points;
use crate::repository::Published;

#[derive(Debug, Serialize)]
struct Line {
    source: String,
    id: RecoveryPointId,
    /// Name of the host that made it; null where it was made before hosts were recorded.
    host: Option<String>,
    host_id: Option<String>,
    /// Another host's: counts for nothing here.
    foreign: bool,
    kind: BackupKind,
    time: DateTime<Utc>,
    chain_length: u32,
    logical_bytes: u64,
    stored_bytes: u64,
    verified_at: Option<DateTime<Utc>>,
    /// What the source had and this recovery point has not, one sentence each.
    left_out: Vec<String>,
}

impl Line {
    fn shown_host(&self) -> String {
        let name = self.host.as_deref().unwrap_or("-");
        if self.foreign { format!("{name} (other)") } else { name.to_owned() }
    }
}

pub fn run(session: &Session<'_>, arguments: &Sources) -> Result<u8> {
    let app = session.app()?;
    let names = app.names(&arguments.sources)?;
    let mut lines = Vec::new();
    let code = for_each(session, &names, |name| {
        let (points, damaged) = points(&app, name)?;
        lines.extend(points);
        damaged.iter().for_each(output::error);
        Ok(u8::from(!damaged.is_empty()))
    });
    if session.json {
        lines.iter().try_for_each(output::json)?;
        return Ok(code);
    }
    let mut table = output::table(&["SOURCE", "RECOVERY POINT", "HOST", "KIND", "TIME", "SIZE", "STORED", "VERIFIED"]);
    for line in &lines {
        table.add_row([
            line.source.clone(),
            line.id.to_string(),
            line.shown_host(),
            line.kind.to_string(),
            output::time(line.time),
            output::size(line.logical_bytes),
            output::size(line.stored_bytes),
            line.verified_at.map_or("never".to_owned(), output::time),
        ]);
    }
    output::line(&table.to_string())?;
    for line in &lines {
        line.left_out.iter().try_for_each(|said| output::line(&format!("{} {}: {said}", line.source, line.id)))?;
    }
    Ok(code)
}

fn points(app: &App, name: &str) -> Result<(Vec<Line>, Vec<Error>)> {
    let source = app.source(name)?;
    let Listed { own, foreign } = refresh_points(app, &source)?;
    let verified = app.block_on(app.ledger.verified_at(name))?;
    let line = |(point, foreign): (Published, bool)| Line {
        source: name.to_owned(),
        host: point.manifest.host.as_ref().map(|host| host.name.clone()),
        host_id: point.manifest.host.as_ref().map(|host| host.id.clone()),
        foreign,
        kind: point.manifest.kind,
        time: point.manifest.as_of,
        chain_length: point.manifest.chain_length,
        logical_bytes: point.manifest.logical_bytes(),
        stored_bytes: point.stored_bytes,
        verified_at: verified.get(&point.manifest.id).copied(),
        left_out: point.manifest.not_in_it().collect(),
        id: point.manifest.id,
    };
    let all = own.points.into_iter().map(|point| (point, false)).chain(foreign.into_iter().map(|point| (point, true)));
    let mut lines: Vec<Line> = all.map(line).collect();
    lines.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    Ok((lines, own.damaged))
}
