//! Secondary indexes after the rows: building an index once is cheaper than keeping it up to date for every row. Foreign
//! keys after all tables: adding one while another session fills the table it refers to has crashed MariaDB 10.11.
//!
//! Done only where the outcome is the same table (the drill's definition digest would tell if it were not): plain InnoDB
//! tables, ordinary non-unique keys and foreign keys, in their original order. Everything else stays as it is.

use super::create_table::CreateTable;
use super::names;

/// Below this many bytes of rows an index is built with the table: there is nothing to win.
const WORTH_IT: u64 = 256 * 1024;

/// What to replay around the rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In front of the rows.
    pub before: Vec<u8>,
    /// Behind the rows.
    pub after: Vec<u8>,
    /// When all tables are loaded; empty where the table has no foreign keys.
    pub foreign_keys: Vec<u8>,
}

/// Plan the load of a table whose text in front of the rows is `head`, with `rows` bytes of rows.
pub fn plan(head: &[u8], rows: u64) -> Plan {
    rewrite(head, rows).unwrap_or_else(|| Plan { before: head.to_vec(), ..Plan::default() })
}

fn rewrite(head: &[u8], rows: u64) -> Option<Plan> {
    let text = std::str::from_utf8(head).ok()?;
    // The lines of a definition say what they seem to only where no name reaches over a line's end.
    let table = CreateTable::first(text).filter(CreateTable::is_in_lines)?;
    let start = table.start;
    let end = (start + table.list_end()?).checked_sub(1).filter(|at| text[*at..].starts_with("\n) ENGINE=InnoDB"))?;
    let options = &text[end..start + table.sql.len()];
    if options.contains("PARTITION BY") || options.contains("SYSTEM VERSIONING") {
        return None;
    }
    let mut lines = text[start..end].lines();
    let create = lines.next()?;
    let table = names::quote(&names::first_identifier(create)?);
    let body: Vec<&str> = lines.map(|line| line.strip_suffix(',').unwrap_or(line)).collect();
    let counted = auto_increment_column(&body);
    // Keys are listed in the order in which they were made: only what stands behind the last key that must be there from
    // the start can be added later without changing it.
    let needed = |line: &&str| counted.as_ref().is_some_and(|column| leads_with(line, column));
    let keys: Vec<&str> = body.iter().copied().filter(|line| line.starts_with("  KEY `")).collect();
    let deferrable = &keys[keys.iter().rposition(needed).map_or(0, |at| at + 1)..];
    let is_key = |line: &str| rows >= WORTH_IT && deferrable.contains(&line);
    let is_foreign = |line: &str| line.starts_with("  CONSTRAINT `") && line.contains(" FOREIGN KEY (");
    let kept: Vec<&str> = body.iter().copied().filter(|line| !is_key(line) && !is_foreign(line)).collect();
    if kept.len() == body.len() {
        return None;
    }
    let before = format!("{}{create}\n{}{}", &text[..start], kept.join(",\n"), &text[end..]);
    let add = |chosen: &dyn Fn(&str) -> bool| {
        let lines = body.iter().filter(|line| chosen(line));
        let additions: Vec<String> = lines.map(|line| format!("  ADD {}", line.trim_start())).collect();
        match additions.as_slice() {
            [] => Vec::new(),
            _ => format!("ALTER TABLE {table}\n{};\n", additions.join(",\n")).into_bytes(),
        }
    };
    Some(Plan { before: before.into_bytes(), after: add(&is_key), foreign_keys: add(&is_foreign) })
}

/// The column that needs a key of its own from the start.
fn auto_increment_column(body: &[&str]) -> Option<String> {
    let line = body.iter().find(|line| line.starts_with("  `") && line.contains(" AUTO_INCREMENT"))?;
    names::first_identifier(line)
}

/// Whether the first column of the key on this line is `column`.
fn leads_with(line: &str, column: &str) -> bool {
    line.find(" (").is_some_and(|at| names::first_identifier(&line[at..]).as_deref() == Some(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "DROP TABLE IF EXISTS `o``s`;\nCREATE TABLE `o``s` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `c` int(11) DEFAULT NULL COMMENT 'KEY `x` (',\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`c`),\n  KEY `again` (`id`),\n  KEY `k` (`c`,`id`),\n  FULLTEXT KEY `f` (`c`),\n  CONSTRAINT `fk` FOREIGN KEY (`c`) REFERENCES `p` (`id`),\n  CONSTRAINT `ck` CHECK (`c` > 0)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n/*!40000 ALTER TABLE `o` DISABLE KEYS */;\n";

    #[test]
    fn ordinary_keys_and_foreign_keys_move_behind_the_rows() {
        let plan = plan(HEAD.as_bytes(), 10_000_000);
        let before = String::from_utf8(plan.before).unwrap();
        assert!(before.contains("  UNIQUE KEY `u` (`c`),\n  KEY `again` (`id`),\n  FULLTEXT KEY `f` (`c`),\n  CONSTRAINT `ck` CHECK (`c` > 0)\n) ENGINE"), "{before}");
        assert!(!before.contains("`fk`") && !before.contains("  KEY `k`"), "{before}");
        let after = String::from_utf8(plan.after).unwrap();
        assert_eq!(after, "ALTER TABLE `o``s`\n  ADD KEY `k` (`c`,`id`);\n");
    }

    #[test]
    fn keys_keep_their_order() {
        let first = HEAD
            .replace("  KEY `again` (`id`),\n  KEY `k` (`c`,`id`),", "  KEY `k` (`c`,`id`),\n  KEY `again` (`id`),");
        assert!(plan(first.as_bytes(), 10_000_000).after.is_empty());
    }

    #[test]
    fn partitioned_versioned_and_foreign_tables_stay_as_they_are() {
        let same = |head: &str, rows| {
            assert_eq!(plan(head.as_bytes(), rows), Plan { before: head.as_bytes().to_vec(), ..Plan::default() });
        };
        same(&HEAD.replace("utf8mb4;", "utf8mb4\n PARTITION BY HASH (`id`);"), 10_000_000);
        same(&HEAD.replace("utf8mb4;", "utf8mb4 WITH SYSTEM VERSIONING;"), 10_000_000);
        same(&HEAD.replace("InnoDB", "Aria"), 10_000_000);
    }
}
