//! What bad files are told.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use super::{Directory, GOOD};

/// Blocks of changed lines and the messages about them.
const MISTAKES: &str = include_str!("mistakes.txt");

/// `GOOD` with the changes of `block`: each run of `- ` lines is replaced by the run of `+ ` lines after it.
fn changed(block: &str) -> String {
    let mut text = GOOD.to_owned();
    let mut lines = block.lines().peekable();
    while lines.peek().is_some() {
        let mut run = |sign: &str| {
            let mut run = String::new();
            while let Some(line) = lines.next_if(|line| line.starts_with(sign)) {
                run.push_str(line.strip_prefix(sign).unwrap().trim_start_matches(' '));
                run.push('\n');
            }
            run
        };
        let (old, new) = (run("-"), run("+"));
        assert!(text.contains(&old), "the good file has no {old:?}");
        text = text.replacen(&old, &new, 1);
    }
    text
}

#[test]
fn every_mistake_is_reported_with_its_place_and_what_to_write_instead() {
    let directory = Directory::new(&["key", "open"]);
    std::fs::set_permissions(directory.path().join("open"), Permissions::from_mode(0o644)).unwrap();
    let mut reported = Vec::new();
    for block in MISTAKES.split("\n\n") {
        let changes: Vec<&str> = block.lines().take_while(|line| line.starts_with(['-', '+'])).collect();
        if changes.is_empty() {
            reported.push(block.trim_end().to_owned());
            continue;
        }
        let problems = directory.problems(&changed(&changes.join("\n")));
        assert!(!problems.is_empty(), "accepted:\n{block}");
        reported.push(format!("{}\n{}", changes.join("\n"), problems.join("\n")));
    }
    let reported = reported.join("\n\n");
    assert!(reported == MISTAKES.trim_end(), "the messages are now:\n{reported}\n");
}

#[test]
fn an_empty_file_is_told_where_to_start() {
    let start = "config.toml:1:1: the file has no source: write [source.NAME] with kind, repository and sla";
    let directory = Directory::new(&[]);
    assert_eq!(directory.problems(""), [start]);
    assert_eq!(directory.problems("source = {}"), [start]);
}

#[test]
fn with_everything_missing_every_missing_key_is_named_at_once() {
    let tables = "[repository.a]\n[sla.b]\n[source.c]\n[source.c.mysql]\n[[source.c.verify.assertions]]\n";
    let expected = r#"config.toml:1:13: [repository.a] has no `kind`: write kind = "restic"
config.toml:1:13: [repository.a] has no `url`: write url = "/srv/backup"
config.toml:1:13: [repository.a] has no password: write `password_file = "FILE"` or `password_env = "VARIABLE"`
config.toml:2:6: [sla.b] has no `drill_interval`: write drill_interval = "24h"
config.toml:2:6: [sla.b] has no `retention`: write retention = "30d"
config.toml:2:6: [sla.b] has no `rpo`: write rpo = "24h"
config.toml:2:6: [sla.b] has no `rto`: write rto = "5h"
config.toml:3:9: [source.c] has no `kind`: write kind = "mysql"
config.toml:3:9: [source.c] has no `repository`: write repository = "offsite"
config.toml:3:9: [source.c] has no `sla`: write sla = "standard"
config.toml:4:11: [source.c.mysql] does not say where the server is: write `socket = "/run/mysqld/mysqld.sock"` or `host = "NAME"`
config.toml:5:1: [source.c.verify.assertions] has no `name`: write name = "orders are fresh"
config.toml:5:1: [source.c.verify.assertions] has no question: write `sql`, `influxql` or `command`"#;
    assert_eq!(Directory::new(&[]).problems(tables), expected.lines().collect::<Vec<_>>());
}

#[test]
fn line_ends_and_byte_order_mark_of_another_system_do_no_harm() {
    let directory = Directory::new(&["key"]);
    assert_eq!(directory.problems(&format!("\u{feff}{}", GOOD.replace('\n', "\r\n"))), [""; 0]);
    let problems = directory.problems(&GOOD.replace('\n', "\r\n").replace("24h", "24x"));
    assert!(problems[0].starts_with("config.toml:8:7: "), "{problems:?}");
}

#[test]
fn no_text_makes_the_parser_panic() {
    use proptest::prelude::*;
    let directory = Directory::new(&["key"]);
    proptest!(|(line in 0..20_usize, text in "[\\[\\]{}=\"'.,a-z0-9 \\\\ä#]{0,20}")| {
        let mut lines: Vec<&str> = GOOD.lines().collect();
        lines.insert(line.min(lines.len()), &text);
        let _ = directory.problems(&lines.join("\n"));
    });
}
