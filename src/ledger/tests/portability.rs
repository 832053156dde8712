//! The schema and the statements have to work on PostgreSQL and MySQL one day.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::find_program;

/// Words of one product only. Compared without regard to case, between word boundaries.
const BANNED: [&str; 21] = [
    "autoincrement",
    "auto_increment",
    "serial",
    "upsert",
    "on conflict",
    "on duplicate",
    "insert or",
    "replace into",
    "returning",
    "rowid",
    "strftime",
    "julianday",
    "datetime",
    "ifnull",
    "group_concat",
    "pragma",
    "blob",
    "without rowid",
    "if not exists",
    "json_extract",
    "glob",
];

fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
    let (mut all, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(path) = open.pop() {
        if path.is_file() {
            all.push(path);
        } else if path != root.join("tests") {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let mut all: Vec<PathBuf> = all
        .into_iter()
        // The catalogue of the schema is each product's own, and how rows are printed.
        .filter(|path| !["schema.rs", "print.rs"].iter().any(|own| path.ends_with(own)))
        .collect();
    // Migrations in their order.
    all.sort();
    all
}

/// The SQL in a file: the whole of a migration, the string literals that start with a statement's word elsewhere.
fn statements(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "sql") {
        let code = text.lines().map(|line| line.split("--").next().unwrap()).collect::<Vec<_>>().join("\n");
        return vec![code];
    }
    let starts = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "WITH", "REPLACE", "PRAGMA"];
    let literals = text.split('"').skip(1).step_by(2);
    literals.filter(|sql| starts.iter().any(|word| sql.starts_with(word))).map(str::to_owned).collect()
}

fn offences(sql: &str) -> Vec<&'static str> {
    let spaced = sql.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '_', " ");
    let words = format!(" {} ", spaced.split_whitespace().collect::<Vec<_>>().join(" "));
    BANNED.into_iter().filter(|banned| words.contains(&format!(" {banned} "))).collect()
}

#[test]
fn no_statement_uses_what_one_product_alone_understands() {
    let mut seen = 0;
    for path in sources() {
        for sql in statements(&path) {
            seen += 1;
            assert_eq!(offences(&sql), Vec::<&str>::new(), "{}: {sql}", path.display());
        }
    }
    assert!(seen > 25, "only {seen} statements found: the test no longer sees them");
}

#[test]
fn the_grep_itself_finds_what_it_looks_for() {
    assert_eq!(offences("INSERT OR IGNORE INTO t (a) VALUES (1) ON CONFLICT DO NOTHING"), ["on conflict", "insert or"]);
    assert_eq!(offences("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)"), ["autoincrement"]);
    assert_eq!(offences("SELECT serial_number FROM t"), Vec::<&str>::new());
}

/// The statement as it runs: continued lines joined, and what a query builder appends put in its place.
fn completed(sql: &str) -> String {
    let joined = sql.replace("\\\n", "\n").split_whitespace().collect::<Vec<_>>().join(" ");
    if joined.ends_with(" IN") {
        return format!("{joined} (?, ?)");
    }
    if joined.starts_with("INSERT") && !joined.contains("VALUES") {
        let marks = vec!["?"; joined.matches(',').count() + 1].join(", ");
        return format!("{joined} VALUES ({marks})");
    }
    joined
}

#[test]
fn a_real_mariadb_server_accepts_the_schema_and_every_statement() {
    let server = find_program(None, &["mariadbd"]).expect("mariadbd is needed (Debian package `mariadb-server`)");
    let (migrations, code): (Vec<_>, Vec<_>) =
        sources().into_iter().partition(|path| path.extension().unwrap() == "sql");
    let mut script = "CREATE DATABASE ledger COLLATE utf8mb4_bin;\nUSE ledger;\n".to_owned();
    for path in migrations {
        script.push_str(&std::fs::read_to_string(path).unwrap());
    }
    for sql in code.iter().flat_map(|path| statements(path)) {
        script.push_str("PREPARE statement FROM \"");
        script.push_str(&completed(&sql));
        script.push_str("\";\n");
    }
    let dir = tempfile::tempdir().unwrap();
    // Reads statements from its input and ends at the first error; listens nowhere.
    let mut server = Command::new(server)
        .args(["--no-defaults", "--bootstrap", "--skip-networking", "--user=root"])
        .arg(format!("--datadir={}", dir.path().display()))
        .arg(format!("--tmpdir={}", dir.path().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = server.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(output.status.success() && errors.is_empty(), "{}: {errors:?}", output.status);
}
