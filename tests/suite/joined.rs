//! Increments that were joined, read by the server's own program: what docs/restore-without-us.md says of increments, for real.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Product, Server, World, wrong};

/// Rows, each in an increment of its own. The first 30 increments become one.
const ROWS: u32 = 32;

fn reader(product: Product) -> PathBuf {
    match product {
        Product::MariaDb => "/usr/bin/mariadb-binlog".into(),
        Product::MySql => product.program("client").with_file_name("mysqlbinlog"),
    }
}

/// Snapshot, manifest: the full backup and what continues it, oldest first.
fn chain(world: &World) -> Vec<(String, Value)> {
    let listed = world.restic(&["snapshots", "--json", "--tag", "source=shop"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let read = |snapshot: &Value| {
        let id = snapshot["id"].as_str().unwrap().to_owned();
        let manifest = world.restic(&["dump", &id, "/shop/manifest.json"]).stdout;
        (id, serde_json::from_slice::<Value>(&manifest).unwrap())
    };
    let mut all: Vec<(String, Value)> = listed.as_array().unwrap().iter().map(read).collect();
    all.sort_by_key(|(_, manifest)| manifest["as_of"].as_str().unwrap().to_owned());
    assert_eq!(all[0].1["kind"], "full");
    all
}

/// The stored logs of an increment, as `restic dump` gives them.
fn logs(world: &World, (snapshot, manifest): &(String, Value)) -> Vec<Vec<u8>> {
    let files = manifest["files"].as_array().unwrap().iter().filter(|file| file["role"] == "log");
    let dump = |file: &Value| {
        let path = format!("/shop/{}", file["path"].as_str().unwrap());
        world.restic(&["dump", snapshot, &path]).stdout
    };
    files.map(dump).collect()
}

/// What the server's own program prints of a log. MySQL's takes no place to stop where it reads a pipe, so it is given a file.
fn printed(product: Product, log: &[u8], arguments: &[&str]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(log).unwrap();
    let mut command = Command::new(reader(product));
    match product {
        Product::MariaDb => command.args(arguments).arg("-").stdin(File::open(file.path()).unwrap()),
        Product::MySql => command.arg("--no-defaults").args(arguments).arg(file.path()),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The number behind `# at` in front of the transaction that inserts this row.
fn at(product: Product, log: &[u8], row: u32) -> Option<String> {
    let text = String::from_utf8(printed(product, log, &["--base64-output=decode-rows", "-v"])).unwrap();
    let (mut at, mut begun) = (None, None);
    for line in text.lines() {
        at = line.strip_prefix("# at ").or(at);
        if line.starts_with('#') && line.contains("GTID") {
            begun = at;
        }
        if line == format!("###   @1={row}") {
            return begun.map(str::to_owned);
        }
    }
    None
}

fn pour(into: &Server, text: &[u8]) {
    let mut client = into.client();
    let mut child = client.arg("--binary-mode").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    assert!(child.wait().unwrap().success());
}

fn are_read_by_the_servers_program(product: Product, options: &[&str]) {
    let server = Server::start_with(product, options);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY, b VARCHAR(20))");
    let world = World::new(&server, &["shop"], "");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let followed = text.replace("full = \"0 2 * * *\"", "full = \"0 0 29 2 *\", incremental = { interval = \"1s\" }");
    std::fs::write(world.path("config.toml"), followed.replace("rpo = \"24h\"", "rpo = \"1m\"")).unwrap();
    world.backup();
    for row in 1..=ROWS {
        server.sql(&format!("INSERT INTO shop.t VALUES ({row}, 'row {row}')"));
        if row % 12 == 0 {
            server.sql("FLUSH BINARY LOGS");
        }
        world.json(&["backup", "shop", "--incremental"], 0);
    }
    let maintained = world.run(&["maintain"]);
    assert_eq!(maintained.status, 0, "{maintained:?}");
    let chain = chain(&world);
    assert_eq!(chain.len(), 4, "{chain:#?}");
    assert_eq!(chain[1].1["joins"]["of"].as_array().unwrap().len(), 30, "{chain:#?}");
    let drill = world.json(&["drill", "shop"], 0);
    assert_eq!(drill["verdict"], "passed", "{:?}", wrong(&drill));
    let all = server.sql("SELECT * FROM shop.t ORDER BY a");
    let restored = Server::start(product);
    world.json(&["restore", "shop", "--to", &restored.destination()], 0);
    assert_eq!(restored.sql("SELECT * FROM shop.t ORDER BY a"), all);

    // By hand: everything, and up to a row in the middle of a file that begins in the middle of the server's.
    let target = Server::start(product);
    let full = world.restic(&["dump", &chain[0].0, "/shop/dump.sql"]).stdout;
    for last in [ROWS, 5, 20] {
        let mut text = full.clone();
        for log in chain[1..].iter().flat_map(|increment| logs(&world, increment)) {
            let stop = (last < ROWS).then(|| at(product, &log, last + 1)).flatten();
            let until = stop.as_ref().map(|stop| format!("--stop-position={stop}"));
            // GTIDs would be set at the destination, and MySQL's program does not print where they stand then.
            let skipped = (product == Product::MySql).then_some("--skip-gtids");
            text.extend(printed(product, &log, &until.as_deref().into_iter().chain(skipped).collect::<Vec<_>>()));
            if stop.is_some() {
                break;
            }
        }
        target.sql("DROP DATABASE IF EXISTS shop");
        pour(&target, &text);
        let rows = target.sql("SELECT * FROM shop.t ORDER BY a");
        let wanted: Vec<&str> = all.lines().take(last as usize).collect();
        assert_eq!(rows.lines().collect::<Vec<_>>(), wanted, "{product:?}, up to {last}");
    }
}

#[test]
fn joined_increments_of_an_encrypted_mariadb_log_are_replayed_and_read_by_its_own_program() {
    let keys = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
    let file = keys.path().join("keys");
    std::fs::write(&file, format!("1;{}\n", "0123456789abcdef".repeat(4))).unwrap();
    crate::support::hand_to_server(keys.path());
    let filename = format!("--file-key-management-filename={}", file.display());
    let options = ["--plugin-load-add=file_key_management", &filename, "--encrypt-binlog=ON"];
    are_read_by_the_servers_program(Product::MariaDb, &options);
}

#[test]
fn joined_increments_of_a_mysql_log_are_replayed_and_read_by_its_own_program() {
    are_read_by_the_servers_program(Product::MySql, &[]);
}
