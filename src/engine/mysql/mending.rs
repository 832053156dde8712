//! What to do about a statement of the dump that was refused. A sandbox is set up as the source is: the dump is what the
//! server's own client printed and cannot load back, and only the source can be mended; whoever is paged needs to know
//! that, and how. A real destination may refuse what is good: there it is the destination that needs a hand.

/// What to do about the error that the client reported while it loaded a dump, if its number says so.
pub fn hint(said: &str, throwaway: bool) -> Option<String> {
    let number = said.split_once("ERROR ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
    let number = number.and_then(|digits| digits.collect::<String>().parse::<u16>().ok()).unwrap_or(0);
    let destination = match number {
        1044 | 1142 | 1227 => Some(
            "the account that restores lacks a privilege at the destination: /usr/share/doc/backup-sla/docs/mysql-privileges.md (\"The account at the destination\")",
        ),
        1290 => Some(
            "an option of the destination's server forbids this: its message names the option; change it there for the restore",
        ),
        1418 | 1419 => Some("at the destination: SET GLOBAL log_bin_trust_function_creators = ON"),
        _ => None,
    };
    if let (false, Some(hint)) = (throwaway, destination) {
        return Some(format!("{hint}; then try again with --overwrite"));
    }
    if !throwaway {
        return None;
    }
    let mend = match number {
        1054 if said.contains("'NEW'") || said.contains("'OLD'") => {
            "a trigger of this table uses a column that the table no longer has: drop the trigger or create it again (SHOW \
             TRIGGERS)"
        }
        1054 | 1146 | 1305 => "a definition uses something that is gone: drop the definition or create it again",
        1062 | 1586 => "rows have the same value in a unique key of the table: mend the rows or drop the key",
        3819 | 4025 => {
            "rows violate a CHECK constraint of the table: mend the rows, or drop the constraint or make it NOT ENFORCED"
        }
        1118 | 1071 => {
            "the table was created under wider limits than the server has now: give it ROW_FORMAT=DYNAMIC, or shorter columns \
             and keys"
        }
        1264 | 1292 | 1366 | 1406 | 3156 => {
            "rows hold values that their columns no longer take: mend the rows, or the column's type"
        }
        1064 | 1193 | 1231 | 1235 | 1286 | 1295 | 1524 => {
            "a definition uses something that this server does not know: see the line that the message names"
        }
        _ => return None,
    };
    Some(format!(
        "the dump is what the server's own client printed, and that client cannot load it back: {mend}; then take a new backup"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_known_causes_say_how_the_source_is_mended() {
        let hint = |said| hint(said, true).unwrap_or_default();
        assert!(hint("ERROR 1054 (42S22) at line 54: Unknown column 'b' in 'NEW'").contains("SHOW TRIGGERS"));
        assert!(hint("ERROR 3819 (HY000) at line 44: Check constraint 'c1' is violated.").contains("NOT ENFORCED"));
        assert_eq!(hint("ERROR 9999 (HY000)"), "");
    }

    #[test]
    fn a_real_destination_is_told_what_it_forbids_and_never_that_the_source_is_wrong() {
        for (said, word) in [
            (
                "ERROR 1418 (HY000) at line 7: This function has none of DETERMINISTIC",
                "log_bin_trust_function_creators",
            ),
            ("ERROR 1227 (42000) at line 1: Access denied", "privilege"),
            ("ERROR 1290 (HY000) at line 1: The server is running with --read-only", "option"),
        ] {
            let hint = hint(said, false).unwrap();
            assert!(hint.contains(word) && hint.contains("destination") && !hint.contains("new backup"), "{hint}");
        }
        assert_eq!(hint("ERROR 1146 (42S02) at line 3: Table 'd.t' doesn't exist", false), None);
    }
}
