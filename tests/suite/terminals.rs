//! Text of others reaches a terminal, a log or a page as text: nothing that is backed up is obeyed there.

use std::process::Command;

use crate::support::{Product, Ran, Server, World};

/// What a terminal, or whoever shows text in two directions, obeys.
fn is_obeyed(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_shown(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(is_obeyed), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("shop: PASSED")), "{text:?}");
    }
}

#[test]
fn nothing_that_a_database_says_is_obeyed_by_a_terminal() {
    // Clears, sets the title, turns round, and tells a lie on a line of its own.
    const SAID: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}evil\nshop: PASSED";
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.`a\u{1b}[2Jb\u{202e}c\u{9b}1m` (a INT) ENGINE=MyISAM; \
         CREATE TABLE shop.`two\nshop: PASSED` (a INT) ENGINE=MyISAM",
    );
    let hex: String = SAID
        .bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|half| char::from(b"0123456789ABCDEF"[usize::from(half)]))
        .collect();
    let sql = format!("SELECT CONVERT(UNHEX('{hex}') USING utf8mb4)");
    let more = format!("[[source.shop.verify.assertions]]\nname = \"said\"\nsql = \"{sql}\"\n");
    let world = World::new(&server, &["shop"], &more);
    let backup = world.run(&["backup", "shop"]);
    assert_eq!(backup.status, 0, "{backup:?}");
    assert!(backup.stdout.contains("a\\x1b[2Jb\\u{202e}c\\x9b1m"), "{backup:?}");
    is_shown(&backup);
    let drill = world.run(&["drill", "shop"]);
    assert_eq!(drill.status, 3, "{drill:?}");
    assert!(drill.stdout.contains("\\x1b]0;owned\\x07\\x9b31m\\u{202e}evil\\nshop: PASSED"), "{drill:?}");
    is_shown(&drill);
    // Programs get what was said, and a terminal that shows it obeys nothing.
    let exact = world.run(&["--json", "drill", "shop"]);
    assert!(!exact.stdout.contains(is_obeyed), "{exact:?}");
    let report: serde_json::Value = serde_json::from_str(&exact.stdout).unwrap();
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "assertion said").unwrap();
    assert_eq!(check["actual"], SAID);
    for arguments in [&["status"][..], &["list", "shop"], &["verify", "shop", "--against", &server.destination()]] {
        is_shown(&world.run(arguments));
    }
    let month = Command::new("date").args(["--utc", "+%Y-%m"]).output().unwrap();
    let month = String::from_utf8(month.stdout).unwrap();
    for format in ["md", "html"] {
        let made = world.run(&["report", "--month", month.trim(), "--format", format]);
        assert!(made.stdout.contains("said"), "{made:?}");
        // A browser takes the end of a line for a space.
        let made = Ran { stdout: if format == "html" { made.stdout.replace('\n', " ") } else { made.stdout }, ..made };
        is_shown(&made);
    }
}
