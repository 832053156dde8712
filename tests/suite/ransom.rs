//! Data that somebody emptied, encrypted or overwrote: every backup of it restores, and it is told all the same. Ordinary days are
//! not.

mod slow;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::influx_support::{Influx, day, world as influx_world};
use crate::support::{PROGRAM, Product, Server, World};

/// Back up; what was found, and why.
fn found(world: &World) -> (String, String) {
    let backup = world.json(&["backup"], 0);
    let change = &backup["change"];
    (change["state"].as_str().unwrap_or_else(|| panic!("{backup:#}")).to_owned(), change.to_string())
}

#[track_caller]
fn is(world: &World, state: &str) -> String {
    let (found, why) = found(world);
    assert_eq!(found, state, "{why}");
    why
}

/// The first field of a metric of the world's source.
fn metric(world: &World, line: &str) -> f64 {
    let metrics = world.run(&["metrics"]).stdout;
    let value = metrics.lines().find_map(|it| it.strip_prefix("backup_sla_")?.strip_prefix(line));
    value.unwrap_or_else(|| panic!("no {line} in {metrics}")).trim().parse().unwrap()
}

/// Nothing is suspect, as every command and metric says.
fn assert_calm(world: &World, source: &str) {
    let status = world.run(&["status"]);
    assert!(!status.stdout.contains("DESTROYED") && !status.stdout.contains("unusual"), "{status:?}");
    assert_eq!(metric(world, &format!("change_suspect{{source=\"{source}\",severity=\"critical\"}}")), 0.0);
    assert_eq!(metric(world, &format!("change_suspect{{source=\"{source}\",severity=\"warning\"}}")), 0.0);
    assert_eq!(metric(world, &format!("change_before_timestamp_seconds{{source=\"{source}\"}}")), 0.0);
}

/// Something is, and the point `before` is named as the last one that is not.
fn assert_alarmed(world: &World, source: &str, before: &str) {
    let status = world.run(&["status"]);
    assert_eq!(status.status, 1, "{status:?}");
    let wanted = format!("the last recovery point before the change is {before} of 20");
    assert!(status.stdout.contains("looks DESTROYED") && status.stdout.contains(&wanted), "{status:?}");
    assert_eq!(metric(world, &format!("change_suspect{{source=\"{source}\",severity=\"critical\"}}")), 1.0);
    let since = metric(world, &format!("change_before_timestamp_seconds{{source=\"{source}\"}}"));
    assert!(since > 1.7e9, "{since}");
    let listed = world.run(&["--json", "list"]).stdout;
    let points: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(points.last().unwrap()["change"], "critical", "{listed}");
    let kept: Vec<&str> =
        points.iter().filter(|it| it["before_change"] == true).map(|it| it["id"].as_str().unwrap()).collect();
    assert!(kept.contains(&before), "{kept:?}");
}

fn newest(world: &World) -> String {
    let listed = world.run(&["--json", "list"]).stdout;
    let last: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    last["id"].as_str().unwrap().to_owned()
}

const NUMBERS: &str = "CREATE DATABASE aside; CREATE TABLE aside.d (n INT); INSERT INTO aside.d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9); \
     CREATE TABLE aside.n AS SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n AS n FROM aside.d a, aside.d b, aside.d c, \
     aside.d d, aside.d e WHERE e.n < 5";

/// A shop: 30 000 customers with text, orders that grow, a table of settings, one of sessions.
fn shop(server: &Server) {
    server.sql(NUMBERS);
    server.sql(
        "CREATE DATABASE app; \
         CREATE TABLE app.customers (id INT PRIMARY KEY, name VARCHAR(200), notes VARCHAR(200)) CHARACTER SET latin1; \
         CREATE TABLE app.orders (id INT PRIMARY KEY, item VARCHAR(100)); \
         CREATE TABLE app.settings (name VARCHAR(40) PRIMARY KEY, value VARCHAR(40)); \
         CREATE TABLE app.sessions (id INT PRIMARY KEY); \
         INSERT INTO app.customers SELECT n, CONCAT('customer number ', n, ' of the street ', n MOD 97), \
         CONCAT('pays by invoice in ', n MOD 14, ' days, as agreed with the department') FROM aside.n WHERE n < 30000; \
         INSERT INTO app.orders SELECT n, CONCAT('item ', n MOD 331, ' of the catalogue') FROM aside.n WHERE n < 5000; \
         INSERT INTO app.settings SELECT CONCAT('key ', n), 'on' FROM aside.n WHERE n < 30; \
         INSERT INTO app.sessions SELECT n FROM aside.n WHERE n < 20",
    );
}

/// A working day: a tenth of the customers is updated, orders come in, sessions go.
fn work(server: &Server, day: u32) {
    server.sql(&format!(
        "UPDATE app.customers SET notes = CONCAT('pays by card since day {day}, number ', id) WHERE id MOD 10 = {day} MOD 10; \
         INSERT INTO app.orders SELECT n, CONCAT('item ', n MOD 331, ' of the catalogue') FROM aside.n \
         WHERE n >= 5000 + 300 * {day} AND n < 5300 + 300 * {day}"
    ));
}

fn databases(product: Product) {
    let server = Server::start(product);
    shop(&server);
    let world = World::new(&server, &["app"], "");
    for state in ["pending", "pending", "pending"] {
        is(&world, state);
    }
    for day in 0..3 {
        work(&server, day);
        is(&world, "quiet");
    }
    server.sql("CREATE TABLE app.baskets AS SELECT n, CONCAT('basket ', n) AS text FROM aside.n WHERE n < 2000; TRUNCATE app.sessions");
    is(&world, "quiet");
    server.sql("RENAME TABLE app.orders TO app.purchases; ALTER TABLE app.customers ADD COLUMN since INT NOT NULL DEFAULT 2020");
    is(&world, "quiet");
    server.sql("RENAME TABLE app.purchases TO app.orders");
    is(&world, "quiet");
    assert_calm(&world, "shop");
    server.sql("CREATE TABLE aside.kept AS SELECT * FROM app.customers");
    let good = newest(&world);

    // 30 000 rows are none; the next backup has nothing new and is as bad.
    server.sql("DELETE FROM app.customers");
    let why = is(&world, "critical");
    assert!(why.contains("of the rows are gone") && why.contains("\"name\":\"app.customers\""), "{why}");
    is(&world, "critical");
    assert_alarmed(&world, "shop", &good);
    if product == Product::MariaDb {
        assert_eq!(world.json(&["drill"], 0)["verdict"], "passed", "the backup restores");
        restores_loudly(&world, &good);
    }
    server.sql("INSERT INTO app.customers SELECT * FROM aside.kept");
    is(&world, "quiet");
    assert_calm(&world, "shop");

    // Every text is noise of the same length.
    let good = newest(&world);
    let noise = |column: &str| format!("{column} = RANDOM_BYTES(CHAR_LENGTH({column}))");
    let (names, notes) = (noise("name"), noise("notes"));
    server.sql(&format!("SET NAMES latin1; UPDATE app.customers SET {names}, {notes}"));
    let why = is(&world, "critical");
    assert!(why.contains("of the plain content became data that looks encrypted"), "{why}");
    is(&world, "critical");
    assert_alarmed(&world, "shop", &good);
    server.sql("DELETE FROM app.customers; INSERT INTO app.customers SELECT * FROM aside.kept");
    is(&world, "quiet");

    // Tables are dropped, and that was meant.
    server.sql("DROP TABLE app.customers, app.baskets, app.settings");
    let why = is(&world, "critical");
    assert!(why.contains("every table") || why.contains("tables with rows are empty or gone"), "{why}");
    let accepted = world.json(&["accept-change", "shop"], 0);
    assert_eq!(accepted["recovery_points"].as_array().unwrap().len(), 1, "{accepted:#}");
    assert_calm(&world, "shop");
    is(&world, "quiet");
    server.sql("DELETE FROM app.orders");
    is(&world, "critical");
    assert_eq!(world.json(&["accept-change", "shop"], 0)["recovery_points"].as_array().unwrap().len(), 1);
    assert_eq!(world.json(&["accept-change", "shop"], 0)["recovery_points"].as_array().unwrap().len(), 0);
    let faults = world.json(&["report", "--json"], 0)["evidence"]["faults"].clone();
    assert_eq!(faults, Value::Array(Vec::new()), "what was accepted is sealed");
}

/// Whoever restores without a name is told before and after, and replaces nothing with it; whoever names the point is not told.
fn restores_loudly(world: &World, good: &str) {
    let target = Server::start(Product::MariaDb);
    let restore = |status: i32, more: &[&str]| {
        let to = target.destination();
        let mut arguments = vec!["restore", "shop", "--to", &to, "--no-accounts", "--no-verify"];
        arguments.extend(more);
        let ran = world.run(&arguments);
        assert_eq!(ran.status, status, "{ran:?}");
        ran
    };
    let customers = || target.sql("SELECT COUNT(*) FROM app.customers");
    // Into an empty place, to look at.
    let ran = restore(0, &[]);
    let wanted = format!("restore it with --recovery-point {good}");
    assert!(ran.stdout.contains(&wanted) && ran.stderr.contains(&wanted), "{ran:?}");
    assert_eq!(customers(), "0");
    let ran = restore(0, &["--overwrite", "--recovery-point", good]);
    assert!(!ran.stdout.contains("DESTROYED") && !ran.stderr.contains("DESTROYED"), "{ran:?}");
    assert_eq!(customers(), "30000");
    // Over data that is there, it is refused with what to type instead; typed, it brings the good one back.
    for unnamed in [&[][..], &["--at", "2999-01-01T00:00:00Z"]] {
        let ran = restore(1, &[&["--overwrite"], unnamed].concat());
        assert!(ran.stderr.contains("looks DESTROYED") && ran.stdout.is_empty(), "{ran:?}");
        let (_, command) = ran.stderr.split_once("type: backup-sla ").unwrap_or_else(|| panic!("{ran:?}"));
        let words: Vec<&str> = command.lines().next().unwrap().split(' ').collect();
        assert_eq!(words[words.len() - 2..], ["--recovery-point", good], "{ran:?}");
        assert_eq!(customers(), "30000", "nothing was touched");
        target.sql("DELETE FROM app.customers WHERE id < 100");
        let typed = Command::new(PROGRAM).args(words).output().unwrap();
        assert!(typed.status.success(), "{typed:?}");
        assert_eq!(customers(), "30000");
    }
    // Whoever names it means it.
    let ran = restore(0, &["--overwrite", "--recovery-point", &newest(world)]);
    assert!(ran.stdout.contains("DESTROYED") && ran.stderr.contains("DESTROYED"), "{ran:?}");
    assert_eq!(customers(), "0");
}

#[test]
fn a_mariadb_that_is_emptied_encrypted_or_dropped_is_told_and_ordinary_days_are_not() {
    databases(Product::MariaDb);
}

#[test]
fn a_mysql_that_is_emptied_encrypted_or_dropped_is_told_and_ordinary_days_are_not() {
    databases(Product::MySql);
}

/// Numbers that look random and are the same every time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

#[test]
fn an_influxdb_whose_points_are_dropped_or_overwritten_is_told_and_growth_and_compaction_are_not() {
    let server = Influx::start();
    server.query("", "CREATE DATABASE metrics WITH DURATION 0s SHARD DURATION 1d");
    let write = |back: i64, text: &dyn Fn(usize) -> String| {
        let line = |at: usize| {
            let time = day(back) + i64::try_from(at).unwrap() * 1_000_000_000;
            format!("events,host=h{} text=\"{}\",load={} {time}", at % 5, text(at), at % 17)
        };
        server.write("metrics", &(0..6_000).map(line).collect::<Vec<_>>().join("\n"));
    };
    let ordinary =
        |at: usize| format!("request {} of the service was answered in {} ms by the worker", at % 911, at % 83);
    for back in 2..7 {
        write(back, &ordinary);
    }
    let world = influx_world(&server, "", "");
    for state in ["pending", "pending", "pending", "quiet"] {
        is(&world, state);
    }
    write(1, &ordinary);
    is(&world, "quiet");
    server.flush();
    is(&world, "quiet");
    assert_calm(&world, "telegraf");
    let good = newest(&world);
    let digits =
        |at: usize| noise(at as u64 + 7, 32).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    for back in 1..7 {
        write(back, &digits);
    }
    let why = is(&world, "critical");
    assert!(why.contains("does not compress") || why.contains("times the space"), "{why}");
    assert_alarmed(&world, "telegraf", &good);
    assert_eq!(world.run(&["accept-change", "telegraf"]).status, 0);
    assert_calm(&world, "telegraf");
    is(&world, "quiet");
    server.query("metrics", "DROP SERIES FROM events WHERE host =~ /h[0-3]/");
    assert!(is(&world, "critical").contains("of the values are gone"));
}

/// A tree of texts, `version` of it.
fn texts(tree: &Path, files: usize, version: usize) {
    for file in 0..files {
        let line = |at: usize| format!("line {at} of file {file} says {} in version {version}\n", at * file);
        fs::create_dir_all(tree.join(format!("d{}", file % 7))).unwrap();
        fs::write(tree.join(format!("d{}/f{file}", file % 7)), (0..150).map(line).collect::<String>()).unwrap();
    }
}

#[test]
fn files_that_are_overwritten_emptied_or_deleted_are_told_and_edits_and_moves_are_not() {
    let world = crate::files::world("", "");
    let tree = world.path("tree");
    texts(&tree, 100, 0);
    for state in ["pending", "pending", "pending"] {
        is(&world, state);
    }
    for version in 1..4 {
        texts(&tree, 10, version);
        fs::write(tree.join(format!("new{version}")), format!("version {version}\n").repeat(4_000)).unwrap();
        is(&world, "quiet");
    }
    fs::rename(tree.join("d3"), tree.join("moved")).unwrap();
    is(&world, "quiet");
    fs::rename(tree.join("moved"), tree.join("d3")).unwrap();
    is(&world, "quiet");
    assert_calm(&world, "ansible");
    let (good, each) = (newest(&world), || (0..100).map(|file| tree.join(format!("d{}/f{file}", file % 7))));
    let contents: Vec<Vec<u8>> = each().map(|file| fs::read(file).unwrap()).collect();
    let put_back = || each().zip(&contents).for_each(|(file, content)| fs::write(file, content).unwrap());

    for (at, file) in each().enumerate() {
        let length = contents[at].len();
        fs::write(&file, noise(at as u64 + 1, length)).unwrap();
        fs::rename(&file, file.with_extension("locked")).unwrap();
    }
    assert!(is(&world, "critical").contains("of the plain content became data that looks encrypted"));
    assert_alarmed(&world, "ansible", &good);
    each().for_each(|file| fs::rename(file.with_extension("locked"), &file).unwrap());
    put_back();
    is(&world, "quiet");

    each().for_each(|file| fs::write(file, "").unwrap());
    assert!(is(&world, "critical").contains("of the bytes are gone"));
    put_back();
    is(&world, "quiet");

    each().for_each(|file| fs::remove_file(file).unwrap());
    assert!(is(&world, "critical").contains("of the entries are gone"));
    assert_eq!(world.run(&["accept-change", "ansible"]).status, 0);
    is(&world, "quiet");
    assert_calm(&world, "ansible");
}

#[test]
fn a_source_that_is_not_watched_raises_nothing_and_the_command_line_says_so() {
    let world = crate::files::world("", "[source.ansible.watch]\nenabled = false\n");
    let tree = world.path("tree");
    texts(&tree, 30, 0);
    (0..4).for_each(|_| drop(world.json(&["backup"], 0)));
    fs::remove_dir_all(&tree).unwrap();
    texts(&tree, 1, 0);
    assert_eq!(world.json(&["backup"], 0)["change"], Value::Null);
    assert_calm(&world, "ansible");
    assert_eq!(metric(&world, "change_judged{source=\"ansible\"}"), 0.0);
    let checked = world.run(&["check-config"]);
    assert!(checked.stdout.contains("warning: source `ansible` is not watched"), "{checked:?}");
    assert_eq!(world.run(&["accept-change", "nobody"]).status, 2);
}

#[test]
fn a_service_sees_at_once_what_a_command_accepted() {
    let world = crate::files::world("", "");
    let tree = world.path("tree");
    texts(&tree, 60, 0);
    (0..3).for_each(|_| drop(world.json(&["backup"], 0)));
    fs::remove_dir_all(&tree).unwrap();
    texts(&tree, 1, 0);
    // Nothing begins by itself.
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("{ full = \"0 2 * * *\" }", "{}")).unwrap();
    let service = crate::serving::Service::start(&world);
    world.json(&["backup"], 0);
    let suspect = "change_suspect{source=\"ansible\",severity=\"critical\"}";
    service.wait(suspect, |value| value == 1.0);
    assert_eq!(world.run(&["accept-change", "ansible"]).status, 0);
    service.wait(suspect, |value| value == 0.0);
}
