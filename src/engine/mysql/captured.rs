//! What a complete dump contains, as the engine knows it.

use super::accounts::Accounts;
use super::needs;
use super::pump::Complete;
use super::source::{ALL_DATABASES, DATABASES, Survey};
use super::tool::Tools;
use crate::domain::captured::Captured;
use crate::domain::change::evidence::Evidence;
use crate::domain::digest::Digest;
use crate::domain::left_out::LeftOut;
use crate::domain::manifest::{FileRole, Position, StoredFileFacts};
use crate::domain::promise::Promise;

/// Path of the data in a backup.
pub const DUMP_FILE: &str = "dump.sql";
/// Path of accounts and grants in a backup.
pub const ACCOUNTS_FILE: &str = "accounts.sql";

pub fn warnings(survey: &Survey, tools: &Tools) -> Vec<String> {
    let examined = &survey.examined;
    let mut warnings: Vec<String> = examined.left_out.iter().map(LeftOut::sentence).collect();
    warnings.extend(examined.cannot_return.iter().map(LeftOut::will_not_return));
    warnings.extend(examined.notes.iter().cloned());
    if tools.series != survey.server.series {
        warnings.push(format!(
            "the dump client is of series {}, the server of series {}: install the client of the server's series",
            tools.series, survey.server.series
        ));
    }
    if !survey.binlog() {
        warnings.push("the server keeps no binary log: no point between two full backups can be restored".to_owned());
    } else if survey.settings.get("binlog_format").is_some_and(|format| format != "ROW") {
        warnings.push("binlog_format is not ROW: replaying such a log is not safe".to_owned());
    }
    warnings
}

/// Whether `table`, with its storage engine behind it, has this name.
fn is_table(table: &str, name: &str) -> bool {
    table.strip_prefix(name).is_some_and(|rest| rest.starts_with(" ("))
}

/// What a complete dump contains.
pub fn captured(
    survey: &Survey,
    tools: &Tools,
    complete: Complete,
    accounts: &Accounts,
    accounts_sql: &[u8],
) -> Captured {
    let facts = complete.facts;
    let mut inventory = facts.inventory();
    // What is not in the backup may have programs that change what is.
    let has_all = survey.settings.get(DATABASES).is_some_and(|what| what == ALL_DATABASES);
    inventory.reach = Some(facts.reach.clone()).filter(|_| has_all && survey.examined.left_out.is_empty());
    let promised: Vec<_> = accounts.all.iter().map(|account| account.facts(&inventory)).collect();
    inventory.objects.extend(promised);
    let (samples, textures, canaries) = (facts.samples(), facts.textures(), facts.canaries());
    let mut warnings = warnings(survey, tools);
    warnings.extend(accounts.warnings(&inventory));
    for table in &facts.not_in_snapshot {
        warnings.push(format!("table {table} is not transactional: its rows are not part of the consistent snapshot"));
    }
    let lost: Vec<&str> = survey.examined.left_out.iter().filter_map(LeftOut::rows_of).collect();
    for table in facts.without_rows.iter().filter(|table| !lost.iter().any(|lost| is_table(table, lost))) {
        warnings.push(format!(
            "table {table} shows rows that are stored elsewhere: its definition is backed up, those rows are not"
        ));
    }
    warnings.extend(facts.lossy.iter().cloned());
    if facts.sandbox_line_removed {
        warnings
            .push("the dump's first line `enable the sandbox mode` was taken out: older clients refuse it".to_owned());
    }
    Captured {
        server: survey.server.clone(),
        tool: tools.version.clone(),
        settings: survey.settings.clone(),
        position: Some(facts.position.clone()).filter(|position| *position != Position::default()),
        files: vec![
            StoredFileFacts {
                path: ACCOUNTS_FILE.to_owned(),
                role: FileRole::Accounts,
                bytes: accounts_sql.len() as u64,
                digest: Digest::of(accounts_sql),
            },
            StoredFileFacts {
                path: DUMP_FILE.to_owned(),
                role: FileRole::Stream,
                bytes: complete.part.bytes,
                digest: complete.part.digest,
            },
        ],
        promise: Promise::Exact(inventory),
        segments: facts.segments,
        needs: Some(needs::complete(facts.needs, survey)),
        warnings,
        left_out: survey.examined.left_out.clone(),
        cannot_return: survey.examined.cannot_return.clone(),
        canaries,
        capture: survey.capture,
        evidence: Evidence { samples, textures, ..Evidence::default() },
    }
}
