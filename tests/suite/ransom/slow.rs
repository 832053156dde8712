//! Encryption that takes its time, in columns that a dump writes as hex; what is restored from before it and after it was accepted;
//! and what rewrites itself without anybody having done anything.

use serde_json::Value;

use super::{assert_alarmed, assert_calm, found, is, metric, newest, texts};
use crate::support::{Product, Server, World};

const LETTERS: &str = "CREATE DATABASE aside; CREATE TABLE aside.d (n INT); INSERT INTO aside.d VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9); \
     CREATE DATABASE app; CREATE TABLE app.letters (id INT PRIMARY KEY, body LONGBLOB, seal VARBINARY(600)); \
     INSERT INTO app.letters (id, body) SELECT a.n + 10 * b.n + 100 * c.n, REPEAT(CONCAT('Dear customer ', a.n, b.n, c.n, \
     ', your order is on its way. '), 20) FROM aside.d a, aside.d b, aside.d c; \
     CREATE TABLE app.access_log (id INT PRIMARY KEY AUTO_INCREMENT, line VARCHAR(100)); \
     INSERT INTO app.access_log (line) SELECT CONCAT('GET /letters/', a.n, b.n, c.n) FROM aside.d a, aside.d b, aside.d c, aside.d e WHERE e.n < 5";

const ENCRYPTED: &str = "UPDATE app.letters SET body = AES_ENCRYPT(body, 'a key of theirs')";

fn letters(product: Product) {
    let server = Server::start(product);
    server.sql(LETTERS);
    let world = World::new(&server, &["app"], "");
    for state in ["pending", "pending", "pending", "quiet"] {
        is(&world, state);
    }
    assert_eq!(metric(&world, "change_content_judged{source=\"shop\"}"), 1.0);
    // A log that is emptied is most of the rows, and nobody is called for it. Nor for a column of random tokens.
    server.sql("TRUNCATE app.access_log");
    assert!(is(&world, "warning").contains("app.access_log"));
    let token = |salt: &str| format!("UNHEX(SHA2(CONCAT(id, '{salt}'), 512))");
    let tokens = ["a", "b", "c", "d", "e", "f", "g", "h"].map(token).join(", ");
    server.sql(&format!("UPDATE app.letters SET seal = CONCAT({tokens})"));
    let (state, why) = found(&world);
    assert!(state == "warning" || state == "quiet", "{why}");
    assert_eq!(world.run(&["accept-change", "shop"]).status, 0);
    is(&world, "quiet");
    let good = newest(&world);

    // A fifth with each backup.
    let told: Vec<String> = (0..5)
        .map(|part| {
            server.sql(&format!("{ENCRYPTED} WHERE id MOD 5 = {part}"));
            let (state, why) = found(&world);
            assert!(state == "quiet" || why.contains("of the plain content became data that looks encrypted"), "{why}");
            state
        })
        .collect();
    // Samples are small: the third part is more than half, or nearly.
    let expected = [
        ["quiet", "warning", "critical", "critical", "critical"],
        ["quiet", "warning", "warning", "critical", "critical"],
    ];
    assert!(expected.iter().any(|it| told == *it), "{told:?}");
    assert_alarmed(&world, "shop", &good);
    // New letters hide nothing.
    server.sql(
        "INSERT INTO app.letters (id, body) SELECT id + 1000, REPEAT('An ordinary new letter. ', 40) FROM app.letters",
    );
    is(&world, "critical");
    restores_both(&server, &world, &good);
}

/// The page's first example: look, restore from before, accept; and what is accepted restores and says so.
fn restores_both(server: &Server, world: &World, good: &str) {
    let status = world.run(&["status", "shop"]);
    let commands = [format!("--recovery-point {good}"), "backup-sla accept-change shop".to_owned()];
    assert!(commands.iter().all(|command| status.stdout.contains(command)), "{status:?}");
    let product = server.product;
    let restore = |point: &str| {
        let target = Server::start(product);
        let to = target.destination();
        let ran = world.run(&["restore", "shop", "--to", &to, "--recovery-point", point, "--no-accounts"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let readable = target.sql("SELECT COUNT(*), SUM(body LIKE 'Dear customer%order%') FROM app.letters");
        (ran, readable.replace('\t', " "))
    };
    let (ran, readable) = restore(good);
    assert_eq!(readable, "1000 1000");
    assert!(!ran.stdout.contains("DESTROYED") && ran.stdout.contains("ends the alert on its data"), "{ran:?}");
    let suspect = newest(world);
    let accepted = world.json(&["accept-change", "shop"], 0);
    let points: Vec<&Value> = accepted["recovery_points"].as_array().unwrap().iter().collect();
    assert_eq!(points.last().unwrap().as_str(), Some(suspect.as_str()), "{accepted:#}");
    assert_calm(world, "shop");
    let (ran, readable) = restore(&suspect);
    assert_eq!(readable, "2000 0");
    let wanted = format!("restore it with --recovery-point {good}");
    for said in [&ran.stdout, &ran.stderr] {
        assert!(said.contains("it was accepted as meant on 20") && said.contains(&wanted), "{ran:?}");
    }
    is(world, "quiet");
}

#[test]
fn a_mariadb_that_is_encrypted_little_by_little_is_told_and_restored_from_before() {
    letters(Product::MariaDb);
}

#[test]
fn a_mysql_that_is_encrypted_little_by_little_is_told_and_restored_from_before() {
    letters(Product::MySql);
}

#[test]
fn git_repositories_that_are_packed_are_quiet_and_the_files_beside_them_are_judged() {
    let world = crate::files::world("", "");
    let tree = world.path("tree");
    let (bare, work) = (tree.join("bare.git"), tree.join("work"));
    let beside = tree.join("beside");
    texts(&beside, 40, 0);
    texts(&work, 150, 0);
    crate::files::git(&work, &["init", "--quiet"]);
    // Objects of their own, whatever git thinks of their number.
    for commit in 0..3 {
        texts(&work, 150, commit);
        crate::files::git(&work, &["add", "."]);
        crate::files::git(&work, &["-c", "gc.auto=0", "commit", "--quiet", "--message", "work"]);
    }
    crate::files::git(&tree, &["clone", "--quiet", "--bare", "work", "bare.git"]);
    let pack = || {
        for repository in [&bare, &work] {
            crate::files::git(repository, &["gc", "--quiet", "--prune=now"]);
        }
    };
    for state in ["pending", "pending", "pending", "quiet"] {
        is(&world, state);
    }
    pack();
    is(&world, "quiet");
    crate::files::git(&work, &["-c", "gc.auto=0", "repack", "--quiet", "-a", "-d", "-f"]);
    is(&world, "quiet");
    assert_calm(&world, "ansible");
    std::fs::remove_dir_all(&beside).unwrap();
    std::fs::remove_dir_all(work.join("d1")).unwrap();
    std::fs::remove_dir_all(work.join("d2")).unwrap();
    std::fs::remove_dir_all(work.join("d3")).unwrap();
    std::fs::remove_dir_all(work.join("d4")).unwrap();
    assert!(is(&world, "critical").contains("of the entries are gone"));
}
