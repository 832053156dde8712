//! A dump that the server's own client printed and cannot load back. The drill is right to be red, and only the source can
//! be mended; whoever is paged needs to know that, and how.

/// What to do at the source about the error that the client reported while it loaded a dump.
pub fn hint(said: &str) -> String {
    let number = said.split_once("ERROR ").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
    let number = number.and_then(|digits| digits.collect::<String>().parse::<u16>().ok()).unwrap_or(0);
    let mend = match number {
        1054 if said.contains("'NEW'") || said.contains("'OLD'") => {
            "a trigger of this table uses a column that the table no longer has: drop the trigger or create it anew (SHOW TRIGGERS)"
        }
        1054 | 1146 | 1305 => "a definition uses something that is gone: drop the definition or create it anew",
        1062 | 1586 => "rows are not unique as one of the table's keys asks: mend the rows or drop the key",
        3819 | 4025 => {
            "rows violate a CHECK constraint of the table: mend the rows, or drop the constraint or make it NOT ENFORCED"
        }
        1118 | 1071 => {
            "the table was made under limits that the server no longer has: give it ROW_FORMAT=DYNAMIC, or shorter columns and keys"
        }
        1264 | 1292 | 1366 | 1406 | 3156 => {
            "rows hold values that their columns no longer take: mend the rows, or the column's type"
        }
        1064 | 1193 | 1231 | 1235 | 1286 | 1295 | 1524 => {
            "a definition uses what this server does not know: see the line that is named"
        }
        _ => "find the object that is named above at the source, and create it anew there",
    };
    format!(
        "the dump is what the server's own client printed, and that client cannot load it back: {mend}; then take a new backup"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_known_causes_say_how_the_source_is_mended() {
        assert!(hint("ERROR 1054 (42S22) at line 54: Unknown column 'b' in 'NEW'").contains("SHOW TRIGGERS"));
        assert!(hint("ERROR 3819 (HY000) at line 44: Check constraint 'c1' is violated.").contains("NOT ENFORCED"));
        assert!(hint("ERROR 9999 (HY000)").contains("create it anew"));
    }
}
