//! Memory stays bounded whatever the data: a long row, and a stream that grows.

use std::fs;
use std::process::Stdio;

use crate::support::{ALONE, Product, Server, World, wrong};

/// Peak resident memory of a run of the program, in MiB.
fn peak(world: &World, arguments: &[&str]) -> u64 {
    let mut child = world.command(arguments).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:"))
        {
            peak = peak.max(line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments:?}: {status}");
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn one_row_of_300_mb_is_backed_up_and_restored_in_bounded_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start_with(Product::MariaDb, &["--innodb-buffer-pool-size=256M"]);
    server.sql(
        "SET GLOBAL max_allowed_packet = 1073741824; CREATE DATABASE d; USE d; \
         CREATE TABLE d.t (id INT PRIMARY KEY, doc LONGTEXT) CHARACTER SET latin1",
    );
    server.sql("INSERT INTO d.t VALUES (1, 'small'), (2, REPEAT('it''s a long \\\\ line; ', 15000000)), (3, 'small')");
    let world = World::new(&server, &["d"], "");
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace("\"1GiB\"", "\"6GiB\"")).unwrap();
    let used = peak(&world, &["backup"]);
    assert!(used < 400, "backup peaked at {used} MiB");
    let used = peak(&world, &["drill"]);
    assert!(used < 400, "drill peaked at {used} MiB");
    server.sql("UPDATE d.t SET doc = CONCAT(doc, '!') WHERE id = 2");
    let report = world.json(&["verify", "shop", "--against", &server.destination()], 3);
    assert_eq!(wrong(&report), ["content d.t"]);
}

#[test]
fn eight_times_the_rows_take_no_more_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = Server::start_with(Product::MariaDb, &["--innodb-buffer-pool-size=256M"]);
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, a VARCHAR(200), b VARCHAR(200))");
    let world = World::new(&server, &["d"], "");
    let fill = |from: u32, to: u32| {
        server.sql(&format!(
            "USE d; INSERT INTO d.t SELECT seq, SHA2(seq, 512), SHA2(seq + 0.5, 512) FROM seq_{from}_to_{to}"
        ));
    };
    let measure = || [&["backup"][..], &["drill"]].map(|arguments| peak(&world, arguments));
    fill(1, 40_000);
    let small = measure();
    fill(40_001, 320_000);
    let large = measure();
    // 10 MB and 80 MB of dump: whoever kept a quarter of it would be found.
    for (at, command) in ["backup", "drill"].into_iter().enumerate() {
        let (before, after) = (small[at], large[at]);
        assert!(after < before + 18, "{command} peaked at {before} MiB, then at {after} MiB");
    }
}
