//! Whether the destination takes the backup's functions and triggers: a server that writes a binary log refuses some of
//! them, and a load would learn that only when the tables are there.

use super::connection::Session;
use super::names::{self, Token};
use super::probe::Probe;
use crate::domain::manifest::{FileRole, ObjectKind, Segment, SegmentKind};
use crate::engine::StoredPoint;
use crate::error::{OrFailed, Result};

/// What a load creates that such a server looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Programs {
    Nothing,
    /// Triggers, and functions that are declared to change nothing or always to return the same.
    Declared,
    /// Functions of which nothing is said.
    Undeclared,
}

/// What forbids the load of `selected`, and what to do about it. Asked only where the server writes a binary log and trusts
/// nobody.
pub fn problem(session: &mut Session, point: &StoredPoint, selected: &[&Segment]) -> Result<Option<(String, String)>> {
    let declared = match programs(point, selected)? {
        Programs::Nothing => return Ok(None),
        Programs::Declared => " DETERMINISTIC",
        Programs::Undeclared => "",
    };
    // Where nothing can be tried, the load itself has to tell.
    let Ok(mut probe) = Probe::make(session) else { return Ok(None) };
    let function = format!("CREATE FUNCTION {}.f() RETURNS INT{declared} RETURN 1", probe.name());
    let what = match probe.ask(&function)? {
        Err(refusal) if refusal.number == 1418 => {
            "functions that are not declared DETERMINISTIC, NO SQL or READS SQL DATA"
        }
        Err(refusal) if refusal.number == 1419 => "functions and triggers of an account without SUPER",
        _ => return Ok(None),
    };
    Ok(Some((
        format!("it writes a binary log and refuses {what} (log_bin_trust_function_creators)"),
        "SET GLOBAL log_bin_trust_function_creators = ON".to_owned(),
    )))
}

fn programs(point: &StoredPoint, selected: &[&Segment]) -> Result<Programs> {
    let manifest = &point.manifest;
    let has = |kind| manifest.inventory().objects.iter().any(|object| object.kind == kind);
    let (functions, triggers) = (has(ObjectKind::Function), has(ObjectKind::Trigger));
    let Some(file) = manifest.file(FileRole::Stream).filter(|_| functions || triggers) else {
        return Ok(Programs::Nothing);
    };
    let stream = (point.open)(&file.path)?;
    let mut found = Programs::Nothing;
    for segment in selected {
        let is_table = segment.kind == SegmentKind::Table;
        // Triggers stand behind the rows of their table.
        let skipped = if is_table { segment.rows_end.max(segment.rows_start) } else { 0 };
        if if is_table { !triggers || found != Programs::Nothing } else { !functions } {
            continue;
        }
        let length = usize::try_from(segment.bytes - skipped).or_failed("read stored stream")?;
        let text = stream.read_at(segment.offset + skipped, length)?;
        match programs_of(&String::from_utf8_lossy(&text)) {
            Programs::Nothing => {}
            Programs::Declared => found = Programs::Declared,
            Programs::Undeclared => return Ok(Programs::Undeclared),
        }
    }
    Ok(found)
}

/// What a part of a dump without rows creates.
fn programs_of(text: &str) -> Programs {
    let (mut found, mut at) = (Programs::Nothing, 0);
    for line in text.split_inclusive('\n') {
        let rest = &text[at..];
        at += line.len();
        if !line.starts_with("CREATE ") && !line.starts_with("/*!5") {
            continue;
        }
        match names::created(line).map(|created| created.kind).as_deref() {
            Some("TRIGGER") => found = Programs::Declared,
            Some("FUNCTION") => {
                if !is_declared(&rest[..rest.find(";;\n").unwrap_or(rest.len())]) {
                    return Programs::Undeclared;
                }
                found = Programs::Declared;
            }
            _ => {}
        }
    }
    found
}

/// Whether a `CREATE FUNCTION`, as the server prints it, says what the function does to data.
fn is_declared(sql: &str) -> bool {
    let tokens = names::tokens(sql, usize::MAX);
    let mut depth = 0_i32;
    let returns = tokens.iter().position(|token| {
        match token {
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is_word("RETURNS")
    });
    // In another dialect (sql_mode=ORACLE) the server itself has to tell.
    let Some(returns) = returns else { return true };
    let head = &tokens[returns..];
    let body = head.iter().position(|token| token.is_word("RETURN") || token.is_word("BEGIN"));
    head[..body.unwrap_or(head.len())].windows(2).any(|pair| {
        let [before, word] = pair else { return false };
        let reads = word.is_word("SQL") && (before.is_word("NO") || before.is_word("READS"));
        reads || word.is_word("DETERMINISTIC") && !before.is_word("NOT")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_declare_is_read_from_their_head_only() {
        let function = |head: &str| {
            programs_of(&format!(
                "DELIMITER ;;\nCREATE DEFINER=`u`@`%` FUNCTION `f`(a int) RETURNS {head} ;;\nDELIMITER ;\n"
            ))
        };
        for declared in [
            "int(11)\n    DETERMINISTIC\nRETURN 1",
            "int\n    NO SQL\nBEGIN RETURN 1; END",
            "int\n    READS SQL DATA\nRETURN 1",
        ] {
            assert_eq!(function(declared), Programs::Declared, "{declared}");
        }
        for bare in [
            "int(11)\nRETURN RAND()",
            "int\n    MODIFIES SQL DATA\n    COMMENT 'DETERMINISTIC NO SQL'\nRETURN 1",
            "int\n    NOT DETERMINISTIC\nRETURN 1",
            "int\nBEGIN DECLARE DETERMINISTIC INT; RETURN 1; END",
        ] {
            assert_eq!(function(bare), Programs::Undeclared, "{bare}");
        }
    }

    #[test]
    fn triggers_are_seen_and_procedures_need_nothing() {
        let trigger = "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */;;\n";
        assert_eq!(programs_of(trigger), Programs::Declared);
        assert_eq!(programs_of("CREATE PROCEDURE `p`()\nSELECT 1 ;;\n"), Programs::Nothing);
    }
}
