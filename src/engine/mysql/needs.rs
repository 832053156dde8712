//! What the definitions of a dump rely on beyond the dump: directories, tablespaces, engines, keys.

use std::collections::BTreeSet;

use super::create_table::CreateTable;
use super::elsewhere;
use super::names::{self, Token};
use super::source::Survey;
use super::table_options::{option, storage_engine, text_after, value};
use crate::domain::manifest::{FileRole, Segment, SegmentKind};
use crate::domain::needs::Needs;
use crate::engine::StoredPoint;
use crate::error::{OrFailed, Result};

/// Storage engines whose tables are a connection to another server.
const CONNECTED: [&str; 5] = ["FEDERATED", "SPIDER", "SPHINX", "S3", "CONNECT"];
/// Tablespaces that every server has.
const BUILT_IN: [&str; 3] = ["innodb_system", "innodb_file_per_table", "innodb_temporary"];
/// Longest definition that is looked at, in bytes.
const LONGEST_HEAD: u64 = 64 * 1024 * 1024;

impl Needs {
    /// Take in table `name`, which `sql` (a `CREATE TABLE` as the server prints it) defines.
    pub(super) fn add_table(&mut self, name: &str, sql: &str) {
        let tokens = names::tokens(sql, usize::MAX);
        let block_size = value(&tokens, "KEY_BLOCK_SIZE").and_then(|size| size.parse::<u64>().ok());
        let mut tablespaces = BTreeSet::new();
        let mut encrypted = None;
        for at in 0..tokens.len() {
            let word = |offset: usize| match tokens.get(at + offset) {
                Some(Token::Word(text)) => text.to_ascii_uppercase(),
                _ => String::new(),
            };
            match word(0).as_str() {
                "DIRECTORY" if at > 0 => {
                    // `DATA DIRECTORY` or `INDEX DIRECTORY`: nothing else is spelt so outside quotes.
                    self.directories.extend(text_after(&tokens, at).map(directory));
                }
                "TABLESPACE" => tablespaces.extend(text_after(&tokens, at)),
                "ENGINE" => {
                    let engine = text_after(&tokens, at).unwrap_or_default().to_ascii_uppercase();
                    if CONNECTED.contains(&engine.as_str()) {
                        self.connected.insert(name.to_owned(), engine.clone());
                    }
                    self.engines.entry(engine).or_default();
                }
                // MySQL's option. MariaDB prints its own in backticks.
                "ENCRYPTION" if text_after(&tokens, at).as_deref() == Some("Y") => encrypted = Some(1),
                _ => {}
            }
        }
        if option(&tokens, "ENCRYPTED").is_some_and(|on| on.eq_ignore_ascii_case("YES") || on == "1") {
            let key = option(&tokens, "ENCRYPTION_KEY_ID").and_then(|key| key.parse().ok());
            encrypted = Some(key.unwrap_or(1));
        }
        self.encryption_keys.extend(encrypted);
        tablespaces.retain(|tablespace: &String| !BUILT_IN.contains(&tablespace.as_str()));
        if encrypted.is_some() {
            // Either all of a tablespace is encrypted or nothing of it is.
            self.encrypted_tablespaces.extend(tablespaces.iter().cloned());
        }
        self.tablespaces
            .extend(tablespaces.into_iter().map(|tablespace| (tablespace, block_size.map(|kib| kib * 1024))));
    }
}

fn directory(path: String) -> String {
    let plain = path.trim_end_matches('/');
    if plain.is_empty() { path } else { plain.to_owned() }
}

/// What the definitions of a dump need, with what the source's server tells of it.
pub fn complete(mut needs: Needs, survey: &Survey) -> Needs {
    for (engine, library) in &mut needs.engines {
        if let Some(found) = survey.engine_libraries.get(engine) {
            library.clone_from(found);
        }
    }
    needs.named_time_zones = survey.named_time_zones;
    needs
}

/// What the point at hand needs: as recorded, or, where an earlier version made the backup, as its definitions say.
pub fn of(point: &StoredPoint) -> Result<Needs> {
    let manifest = &point.manifest;
    if let Some(recorded) = &manifest.needs {
        return Ok(recorded.clone());
    }
    of_definitions(point, manifest.segments.iter())
}

/// What the tables of `selected` need, and no other.
pub fn of_tables(point: &StoredPoint, selected: &[&Segment]) -> Result<Needs> {
    let mut needs = of_definitions(point, selected.iter().copied())?;
    let recorded = point.manifest.needs.iter().flat_map(|needs| &needs.engines);
    for (engine, library) in recorded {
        if let Some(mine) = needs.engines.get_mut(engine) {
            mine.clone_from(library);
        }
    }
    Ok(needs)
}

fn of_definitions<'s>(point: &StoredPoint, segments: impl Iterator<Item = &'s Segment>) -> Result<Needs> {
    let mut needs = Needs::default();
    definitions(point, segments, |name, sql| needs.add_table(&name, sql))?;
    Ok(needs)
}

/// The first InnoDB table of `selected` that has no key which could be its primary key.
pub fn without_key(point: &StoredPoint, selected: &[&Segment]) -> Result<Option<String>> {
    let mut found = None;
    definitions(point, selected.iter().copied(), |name, sql| {
        let is_innodb = storage_engine(sql).is_some_and(|engine| engine.eq_ignore_ascii_case("InnoDB"));
        if is_innodb && !has_key(sql) {
            found.get_or_insert(name);
        }
    })?;
    Ok(found)
}

/// Whether a `CREATE TABLE` has a primary key, or a unique one over whole columns that are never NULL.
fn has_key(sql: &str) -> bool {
    let unique = |line: &str| {
        let Some(columns) = line.strip_prefix("  UNIQUE KEY ") else { return false };
        let tokens = names::tokens(columns, usize::MAX);
        let end = tokens.iter().rposition(|token| *token == Token::Mark(')')).unwrap_or(tokens.len());
        tokens.get(2..end).is_some_and(|keyed| {
            keyed.iter().all(|token| match token {
                Token::Mark(mark) => *mark == ',',
                Token::Quoted(name) => is_never_null(sql, name),
                // A descending column.
                Token::Word(_) => true,
            })
        })
    };
    sql.lines().any(|line| line.starts_with("  PRIMARY KEY (") || unique(line))
}

fn is_never_null(sql: &str, column: &str) -> bool {
    let start = format!("  {} ", names::quote(column));
    let line = sql.lines().find(|line| line.starts_with(&start));
    line.is_some_and(|line| {
        names::tokens(line, usize::MAX).windows(2).any(|pair| pair[0].is_word("NOT") && pair[1].is_word("NULL"))
    })
}

/// The tables of `selected` that keep files in a directory of their own: database, name, definition.
pub fn with_directories(point: &StoredPoint, selected: &[&Segment]) -> Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    definitions(point, selected.iter().copied(), |name, sql| {
        let mut needs = Needs::default();
        needs.add_table(&name, sql);
        let parts = names::split_qualified(&name).filter(|_| !needs.directories.is_empty());
        found.extend(parts.map(|(database, table)| (database, table, sql.to_owned())));
    })?;
    Ok(found)
}

/// The tables of `selected` that point to another server: name, definition.
pub fn connected(point: &StoredPoint, selected: &[&Segment]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    definitions(point, selected.iter().copied(), |name, sql| {
        if elsewhere::may_be_tried(sql) {
            found.push((name, sql.to_owned()));
        }
    })?;
    Ok(found)
}

/// Hand over name and `CREATE TABLE` of every table in `segments`.
fn definitions<'s>(
    point: &StoredPoint,
    segments: impl Iterator<Item = &'s Segment>,
    mut sink: impl FnMut(String, &str),
) -> Result<()> {
    let Some(file) = point.manifest.file(FileRole::Stream) else { return Ok(()) };
    let stream = (point.open)(&file.path)?;
    for segment in segments.filter(|segment| segment.kind == SegmentKind::Table) {
        let head = if segment.rows_start > 0 { segment.rows_start } else { segment.bytes };
        let head = usize::try_from(head.min(LONGEST_HEAD)).or_failed("cannot read the stored dump")?;
        let text = stream.read_at(segment.offset, head)?;
        let text = String::from_utf8_lossy(&text);
        let Some(found) = CreateTable::of(&text, &segment.table) else { continue };
        sink(names::qualified(&segment.database, &segment.table), found.sql);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Digest;
    use crate::repository::StoredFile;
    use std::sync::Arc;

    fn needs(sql: &str) -> Needs {
        let mut needs = Needs::default();
        needs.add_table("d.t", sql);
        needs
    }

    fn directories(sql: &str) -> Vec<String> {
        needs(sql).directories.into_iter().collect()
    }

    #[test]
    fn directories_are_found_in_options_and_partitions_and_nowhere_else() {
        let myisam = "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=MyISAM DEFAULT CHARSET=utf8mb4 COMMENT='x DATA DIRECTORY=''/no''' DATA DIRECTORY='/x/ssd/' INDEX DIRECTORY='/x/it''s/'";
        assert_eq!(directories(myisam), ["/x/it's", "/x/ssd"]);
        let partitions = "CREATE TABLE `t` (\n  `a` int NOT NULL\n) ENGINE=InnoDB\n/*!50100 PARTITION BY RANGE (`a`)\n(PARTITION x VALUES LESS THAN (10) DATA DIRECTORY = '/p/1/' ENGINE = InnoDB,\n PARTITION y VALUES LESS THAN MAXVALUE DATA DIRECTORY = '/p/2' ENGINE = InnoDB) */";
        assert_eq!(directories(partitions), ["/p/1", "/p/2"]);
        let columns = "CREATE TABLE `t` (\n  `DATA` int,\n  `DIRECTORY` varchar(9) DEFAULT 'DATA DIRECTORY=',\n  `ENCRYPTED` int\n) ENGINE=InnoDB";
        assert_eq!(
            needs(columns),
            Needs { engines: [("INNODB".to_owned(), String::new())].into(), ..Needs::default() }
        );
    }

    #[test]
    fn tablespaces_of_the_operator_are_found_with_their_block_size() {
        let table = |options: &str| {
            needs(&format!("CREATE TABLE `t` (\n  `a` int\n) /*!50100 TABLESPACE {options}")).tablespaces
        };
        assert_eq!(table("`ts1` */ ENGINE=InnoDB"), [("ts1".to_owned(), None)].into());
        assert_eq!(table("`ts 2` */ ENGINE=InnoDB KEY_BLOCK_SIZE=8"), [("ts 2".to_owned(), Some(8192))].into());
        assert_eq!(table("`innodb_system` */ ENGINE=InnoDB"), [].into());
    }

    struct Text(&'static [u8]);

    impl StoredFile for Text {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, offset: u64, length: usize) -> Result<bytes::Bytes> {
            let from = usize::try_from(offset).unwrap();
            Ok(bytes::Bytes::from_static(&self.0[from..self.0.len().min(from + length)]))
        }
    }

    #[test]
    fn a_backup_of_an_earlier_version_is_read_for_what_it_needs() {
        const STREAM: &[u8] = b"-- head\nCREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=MyISAM DATA DIRECTORY='/x/ssd/';\nINSERT INTO `t` VALUES ('CREATE TABLE x DATA DIRECTORY=''/no''');\n";
        let manifest = serde_json::json!({
            "format": 1, "id": "p", "source": "shop", "engine": "mysql", "kind": "full", "created_by": "0.1", "tool": "",
            "as_of": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
            "server": {"product": "MariaDB", "version": "10.11", "series": "10.11"},
            "files": [{"path": "dump.sql", "role": "stream", "bytes": STREAM.len(), "digest": Digest::default()}],
            "inventory": {"tables": [], "objects": []},
            "segments": [{"kind": "table", "database": "d", "table": "t", "offset": 8, "bytes": STREAM.len() - 8}],
        });
        let open = Arc::new(|_: &str| Ok(Arc::new(Text(STREAM)) as Arc<dyn StoredFile>));
        let mut point = StoredPoint::full(serde_json::from_value(manifest).unwrap(), open);
        assert_eq!(of(&point).unwrap().directories, ["/x/ssd".to_owned()].into());
        point.manifest.needs = Some(Needs::default());
        assert_eq!(of(&point).unwrap(), Needs::default(), "what is recorded is not looked for again");
    }

    #[test]
    fn a_unique_key_over_columns_that_are_never_null_is_as_good_as_a_primary_key() {
        let table = |key: &str| {
            format!(
                "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  `b` int(11) DEFAULT NULL COMMENT 'NOT NULL',\n{key}\n) ENGINE=InnoDB"
            )
        };
        for key in ["  PRIMARY KEY (`a`)", "  UNIQUE KEY `u` (`a`)", "  UNIQUE KEY `u` (`a`) USING HASH"] {
            assert!(has_key(&table(key)), "{key}");
        }
        for key in [
            "  KEY `k` (`a`)",
            "  UNIQUE KEY `u` (`a`,`b`)",
            "  UNIQUE KEY `u` (`a`(3))",
            "  CONSTRAINT `PRIMARY KEY (` CHECK (1)",
        ] {
            assert!(!has_key(&table(key)), "{key}");
        }
    }

    #[test]
    fn keys_and_connections_are_found() {
        let maria = "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 `ENCRYPTED`=YES `ENCRYPTION_KEY_ID`=7";
        assert_eq!(needs(maria).encryption_keys, [7].into());
        assert_eq!(needs(&maria.replace("=YES", "=NO")).encryption_keys, [].into());
        let mysql = "CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*!80016 ENCRYPTION='Y' */";
        assert_eq!(needs(mysql).encryption_keys, [1].into());
        assert_eq!(needs(mysql).encrypted_tablespaces, [].into());
        let shared = mysql.replace(") ENGINE", ") /*!50100 TABLESPACE `ts` */ ENGINE");
        assert_eq!(needs(&shared).encrypted_tablespaces, ["ts".to_owned()].into());
        assert_eq!(needs(&shared.replace("'Y'", "'N'")).encrypted_tablespaces, [].into());
        let federated = "CREATE TABLE `t` (\n  `a` int(11)\n) ENGINE=FEDERATED CONNECTION='mysql://u:p@h/d/t'";
        assert_eq!(needs(federated).connected, [("d.t".to_owned(), "FEDERATED".to_owned())].into());
    }
}
