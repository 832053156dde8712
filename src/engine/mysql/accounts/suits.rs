//! Settings of a MySQL server that decide what a grant means. A real destination that reads grants otherwise than the source
//! is refused before anything is loaded: nobody may get more rights than the backup gives. A sandbox is started with them.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Step, parse};
use super::statement::{Phase, at_top, default_role};
use crate::domain::manifest::{FileRole, Manifest};
use crate::engine::LoadOptions;
use crate::engine::StoredPoint;
use crate::engine::mysql::connection::Session;
use crate::engine::mysql::sql::{Kind, Piece, Quoting, pieces};
use crate::error::{Error, OrFailed, Result};

const REVOKES: &str = "partial_revokes";
const MANDATORY: &str = "mandatory_roles";
const ACTIVE: &str = "activate_all_roles_on_login";

/// A role, or who holds it: user and host.
type Name = (String, String);

/// Whether the destination gives the accounts of `point` the rights that they had; what should be known of it.
pub fn check(session: &mut Session, point: &StoredPoint, options: &LoadOptions) -> Result<Vec<String>> {
    let manifest = &point.manifest;
    let file = manifest.file(FileRole::Accounts).filter(|_| options.accounts && options.tables.is_empty());
    let (Some(file), "MySQL") = (file, manifest.server.product.as_str()) else { return Ok(Vec::new()) };
    let file = (point.open)(&file.path)?;
    let text = file.read_at(0, usize::try_from(file.len()).or_failed("cannot read accounts")?)?;
    let mode = manifest.settings.get("sql_mode").map_or("", String::as_str);
    let steps = parse(&String::from_utf8_lossy(&text), mode).steps;
    let question = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('{REVOKES}', '{MANDATORY}', '{ACTIVE}')");
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        Some((row.next()?, row.next()?))
    };
    let there: BTreeMap<String, String> = session.rows(&question)?.into_iter().filter_map(pair).collect();
    let problems: Vec<(String, String)> =
        revokes(manifest, &there, &steps).into_iter().chain(mandatory(manifest, &there, &steps)).collect();
    if problems.is_empty() {
        return Ok(if options.throwaway { Vec::new() } else { inactive(manifest, &there, &steps) });
    }
    let (what, how): (Vec<String>, Vec<String>) = problems.into_iter().unzip();
    Err(Error::failed(format!("cannot restore accounts with the destination's settings: {}", what.join("; "))).hint(
        format!("at the destination: {}; then try again, or leave accounts out with --no-accounts", how.join("; ")),
    ))
}

/// With `partial_revokes`, what is granted on everything may be taken away from one database, and `_` and `%` in the name of
/// a database are only themselves.
fn revokes(manifest: &Manifest, there: &BTreeMap<String, String>, steps: &[Step]) -> Option<(String, String)> {
    let is_on = |settings: &BTreeMap<String, String>| settings.get(REVOKES).is_some_and(|value| value == "ON");
    let revoked = steps.iter().find(|step| step.sql.starts_with("REVOKE "));
    let source = is_on(&manifest.settings) || revoked.is_some();
    if source == is_on(there) {
        return None;
    }
    let pattern = || steps.iter().find(|step| step.phase == Phase::Privileges && names_a_pattern(&step.sql));
    let (step, what) = match revoked {
        Some(step) if source => (step, "would have again what was revoked from it on one database"),
        _ => {
            (pattern()?, "would have rights on other databases, because `_` and `%` in their names mean something else")
        }
    };
    let value = if source { "ON" } else { "OFF" };
    Some((format!("account {} {what} ({REVOKES})", step.account), format!("SET PERSIST {REVOKES} = {value}")))
}

fn names_a_pattern(sql: &str) -> bool {
    let all = pieces(sql, Quoting::default());
    let on = at_top(&all, |piece| piece.is_word("ON"));
    on.and_then(|on| all.get(on + 1)).is_some_and(|database| database.text.contains(['_', '%']))
}

/// A role that everybody has may be somebody's default role without being granted to him.
fn mandatory(manifest: &Manifest, there: &BTreeMap<String, String>, steps: &[Step]) -> Option<(String, String)> {
    let roles = |settings: &BTreeMap<String, String>| -> BTreeSet<Name> {
        let text = settings.get(MANDATORY).map_or("", String::as_str);
        accounts(&pieces(text, Quoting::default())).into_iter().collect()
    };
    let lacking: BTreeSet<Name> = roles(&manifest.settings).difference(&roles(there)).cloned().collect();
    let needs = |step: &&Step| {
        let all = pieces(&step.sql, Quoting::default());
        let Some((first, last)) = default_role(&all) else { return false };
        let granted = |role: &Name| {
            steps.iter().any(|other| {
                other.account == step.account && other.phase == Phase::Member && given(&other.sql).contains(role)
            })
        };
        accounts(&all[first + 2..=last]).iter().any(|role| lacking.contains(role) && !granted(role))
    };
    let step = steps.iter().filter(|step| step.phase == Phase::DefaultRole).find(needs)?;
    let source = manifest.settings.get(MANDATORY).map_or("", String::as_str);
    let value = crate::engine::mysql::names::quote_text(source);
    Some((
        format!("account {} has a default role that only {MANDATORY} gives it", step.account),
        format!("SET PERSIST {MANDATORY} = {value}"),
    ))
}

/// The roles that a statement grants.
fn given(sql: &str) -> Vec<Name> {
    let all = pieces(sql, Quoting::default());
    let to = at_top(&all, |piece| piece.is_word("TO")).unwrap_or(all.len());
    accounts(all.get(1..to).unwrap_or_default())
}

/// `a, b@h`, with and without quotes. A role without a host is on every host.
fn accounts(list: &[Piece<'_>]) -> Vec<Name> {
    let mut out = Vec::new();
    for one in list.split(|piece| piece.is_mark(",")) {
        let names: Vec<String> =
            one.iter().filter(|piece| !matches!(piece.kind, Kind::Mark)).map(Piece::value).collect();
        let host = one.iter().position(|piece| piece.is_mark("@"));
        match (names.first(), host) {
            (Some(user), Some(_)) => out.push((user.clone(), names[1..].join("."))),
            (Some(user), None) => out.push((user.clone(), "%".to_owned())),
            _ => {}
        }
    }
    out
}

/// Who holds roles that are active only where the server makes them so.
fn inactive(manifest: &Manifest, there: &BTreeMap<String, String>, steps: &[Step]) -> Vec<String> {
    let is_on = |settings: &BTreeMap<String, String>| settings.get(ACTIVE).is_some_and(|value| value == "ON");
    let holds = steps.iter().any(|step| step.phase == Phase::Member);
    if is_on(&manifest.settings) && !is_on(there) && holds {
        return vec![format!(
            "restored accounts sign in without their roles until `SET PERSIST {ACTIVE} = ON` at the destination, as on the source"
        )];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(settings: &[(&str, &str)]) -> Manifest {
        let mut made: Manifest = serde_json::from_value(serde_json::json!({
            "format": 1, "id": "p", "source": "shop", "engine": "mysql", "kind": "full", "created_by": "0.1", "tool": "",
            "as_of": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
            "server": {"product": "MySQL", "version": "9.7", "series": "9.7"},
            "files": [], "inventory": {"tables": [], "objects": []},
        }))
        .unwrap();
        made.settings = map(settings);
        made
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn steps(statements: &[&str]) -> Vec<Step> {
        let text: String = statements.iter().fold("-- u@%\n".to_owned(), |text, sql| text + sql + ";\n");
        parse(&text, "").steps
    }

    #[test]
    fn what_was_revoked_is_never_given_back_in_silence() {
        let with = steps(&["GRANT SELECT ON *.* TO `u`@`%`", "REVOKE SELECT ON `d`.* FROM `u`@`%`"]);
        let (off, on) = (map(&[(REVOKES, "OFF")]), map(&[(REVOKES, "ON")]));
        let (what, how) = revokes(&manifest(&[(REVOKES, "ON")]), &off, &with).unwrap();
        assert!(
            what.starts_with("account u@% would have again") && how == "SET PERSIST partial_revokes = ON",
            "{what} {how}"
        );
        assert_eq!(revokes(&manifest(&[(REVOKES, "ON")]), &on, &with), None);
        // A backup of before the setting was recorded, and a server that does not know it.
        assert!(revokes(&manifest(&[]), &off, &with).is_some() && revokes(&manifest(&[]), &map(&[]), &with).is_some());
    }

    #[test]
    fn a_database_name_that_would_be_read_otherwise_is_refused_in_both_directions() {
        let (off, on) = (map(&[(REVOKES, "OFF")]), map(&[(REVOKES, "ON")]));
        let pattern = steps(&["GRANT SELECT ON `a_b`.* TO `u`@`%`"]);
        let plain = steps(&["GRANT SELECT ON `ab`.* TO `u_%`@`%`", "GRANT SELECT ON `a_b`.`t` TO `u`@`%`"]);
        for (source, there, value) in [("ON", &off, "ON"), ("OFF", &on, "OFF")] {
            let (_, how) = revokes(&manifest(&[(REVOKES, source)]), there, &pattern).unwrap();
            assert_eq!(how, format!("SET PERSIST partial_revokes = {value}"));
            assert_eq!(revokes(&manifest(&[(REVOKES, source)]), there, &plain), None);
        }
    }

    #[test]
    fn a_default_role_that_everybody_has_needs_the_list_at_the_destination() {
        let source = manifest(&[(MANDATORY, "`r`@`%`,s@h.example")]);
        let alter = |roles: &str| format!("ALTER USER `u`@`%` DEFAULT ROLE {roles}");
        let found = |there: &str, sql: &[&str]| mandatory(&source, &map(&[(MANDATORY, there)]), &steps(sql)).is_some();
        assert!(found("", &[&alter("`r`@`%`")]) && found("x", &[&alter("`x`@`%`,`s`@`h.example`")]));
        assert!(!found("r", &[&alter("`r`@`%`")]) && !found("", &[&alter("`other`@`%`")]));
        assert!(!found("", &["GRANT `r`@`%` TO `u`@`%`", &alter("`r`@`%`")]));
        // What somebody else was granted is of no use to this account.
        let text = "-- v@%\nGRANT `r`@`%` TO `v`@`%`;\n-- u@%\nALTER USER `u`@`%` DEFAULT ROLE `r`@`%`;\n";
        assert!(mandatory(&source, &map(&[]), &parse(text, "").steps).is_some());
        let (what, how) = mandatory(&source, &map(&[]), &steps(&[&alter("`r`@`%`")])).unwrap();
        assert!(what.contains("account u@%") && how.contains("'`r`@`%`,s@h.example'"), "{what} {how}");
    }

    #[test]
    fn roles_that_only_the_setting_made_active_are_told() {
        let (on, off) = (manifest(&[(ACTIVE, "ON")]), map(&[(ACTIVE, "OFF")]));
        let held = steps(&["GRANT `r`@`%` TO `u`@`%`"]);
        assert_eq!(inactive(&on, &off, &held).len(), 1);
        assert_eq!(inactive(&on, &map(&[(ACTIVE, "ON")]), &held).len() + inactive(&on, &off, &[]).len(), 0);
    }
}
