//! The document knows every key the parser knows, under the right table, and no others.

use std::collections::{BTreeMap, BTreeSet};

use super::Directory;

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

/// One unknown key in every table there is: each error lists the keys that are known there.
const UNKNOWN_EVERYWHERE: &str = r"
zz = 0
web.zz = 0
scheduler.zz = 0
maintenance.zz = 0
maintenance.keep.zz = 0
maintenance.check.zz = 0
repository.a.zz = 0
sla.a.zz = 0
[source.a]
zz = 0
schedule.zz = 0
drills.zz = 0
schedule.incremental.zz = 0
mysql.zz = 0
mysql.tls.zz = 0
influxdb.zz = 0
influxdb.tls.zz = 0
files.zz = 0
sandbox.zz = 0
watch.zz = 0
verify.assertions = [{ zz = 0 }]
";

type Keys = BTreeMap<String, BTreeSet<String>>;

/// The words in backquotes.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn known_to_the_parser() -> Keys {
    let mut known = Keys::new();
    for problem in Directory::new(&[]).problems(UNKNOWN_EVERYWHERE) {
        let Some((_, rest)) = problem.split_once("unknown key `zz` in ") else { continue };
        let (table, keys) = rest.split_once(": known keys are ").unwrap();
        let table = table.trim_matches(['[', ']']).replace(".a", ".NAME").replace(".NAMEssertions", ".assertions");
        known.insert(table, quoted(keys));
    }
    known
}

fn documented() -> Keys {
    let mut known = Keys::new();
    for chapter in DOCUMENT.split("\n## `[").skip(1) {
        let (title, body) = chapter.split_once('\n').unwrap();
        let rows = body.lines().filter_map(|line| line.strip_prefix("| `"));
        let keys = rows.flat_map(|row| quoted(&format!("`{}", row.split(" | ").next().unwrap()))).collect();
        known.insert(title.split(']').next().unwrap().trim_start_matches('[').to_owned(), keys);
    }
    known
}

#[test]
fn every_key_is_documented_under_its_table_and_no_other() {
    let (parser, document) = (known_to_the_parser(), documented());
    assert_eq!(parser.len(), 20, "{parser:?}");
    for (table, keys) in &parser {
        assert_eq!(document.get(table), Some(keys), "[{table}]");
    }
    assert_eq!(document.len(), parser.len(), "{:?}", document.keys());
}

#[test]
fn the_example_of_the_document_is_valid() {
    let example = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(Directory::new(&["repository.key"]).problems(example), [""; 0]);
}
