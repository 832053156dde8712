//! What is wrong turns the verdict red and is named: in restored data, in the repository, in the key.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Product, Server, World, entries, fixture, wrong};

#[test]
fn every_difference_in_restored_data_is_named() {
    let source = Server::start(Product::MariaDb);
    source.load(&fixture("chinook.sql"));
    source.sql(
        "USE Chinook; CREATE PROCEDURE p() SELECT 1; CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1; \
         CREATE VIEW v AS SELECT Name FROM Genre; CREATE TRIGGER t BEFORE INSERT ON Genre FOR EACH ROW SET NEW.Name = 'x'; \
         CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE SEQUENCE s",
    );
    let world = World::new(&source, &["Chinook"], "");
    world.backup();
    let target = Server::start(Product::MariaDb);
    world.json(&["restore", "shop", "--to", &target.destination()], 0);

    // What to break, and the names that must be told.
    let cases: [(&str, &[&str]); 9] = [
        ("UPDATE Chinook.Genre SET Name = 'Rock!' WHERE GenreId = 1", &["content Chinook.Genre"]),
        (
            "SET foreign_key_checks=0; DELETE FROM Chinook.Artist WHERE ArtistId = 3",
            &["rows Chinook.Artist", "content Chinook.Artist"],
        ),
        (
            "ALTER TABLE Chinook.Genre DROP COLUMN Name, ADD COLUMN Name VARCHAR(121)",
            &["definition Chinook.Genre", "content Chinook.Genre"],
        ),
        ("SET foreign_key_checks=0; DROP TABLE Chinook.PlaylistTrack", &["table Chinook.PlaylistTrack"]),
        ("DROP VIEW Chinook.v", &["view Chinook.v"]),
        ("DROP PROCEDURE Chinook.p", &["procedure Chinook.p"]),
        ("DROP FUNCTION Chinook.f", &["function Chinook.f"]),
        ("DROP TRIGGER Chinook.t", &["trigger Chinook.t"]),
        ("DROP EVENT Chinook.e", &["event Chinook.e"]),
    ];
    for (sql, names) in cases {
        target.sql(sql);
        let report = world.json(&["verify", "shop", "--against", &target.destination()], 3);
        assert_eq!(report["verdict"], "failed");
        let wrong = wrong(&report);
        for name in names {
            assert!(wrong.iter().any(|found| found == name), "{sql}: {name} in {wrong:?}");
        }
        let reason = report["reason"].as_str().unwrap();
        assert!(names.iter().any(|name| reason.contains(name)), "{sql}: {reason}");
        world.json(&["restore", "shop", "--to", &target.destination(), "--overwrite"], 0);
    }
    target.sql("CREATE TABLE Chinook.extra (a INT)");
    let report = world.json(&["verify", "shop", "--against", &target.destination()], 3);
    assert_eq!(wrong(&report), ["table Chinook.extra"]);
}

#[test]
fn a_table_that_a_view_needs_is_named_when_it_is_gone() {
    let source = Server::start(Product::MariaDb);
    source.load(&fixture("chinook.sql"));
    source.sql("USE Chinook; CREATE VIEW v AS SELECT Name FROM Genre");
    let world = World::new(&source, &["Chinook"], "");
    world.backup();
    let target = Server::start(Product::MariaDb);
    world.json(&["restore", "shop", "--to", &target.destination()], 0);
    target.sql("SET foreign_key_checks=0; DROP TABLE Chinook.Genre");
    let report = world.json(&["verify", "shop", "--against", &target.destination()], 3);
    let wrong = wrong(&report);
    assert!(wrong.contains(&"table Chinook.Genre".to_owned()), "{wrong:?}");
    // The tables that are still there are not accused.
    assert!(!wrong.iter().any(|name| name.contains("Track")), "{wrong:?}");
}

#[test]
fn assertions_are_asked_and_a_no_is_red() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let assertion =
        |name: &str, sql: &str| format!("[[source.shop.verify.assertions]]\nname = \"{name}\"\nsql = \"{sql}\"\n");
    let good = assertion("enough tracks", "SELECT COUNT(*) > 3000 FROM Chinook.Track");
    let world = World::new(&server, &["Chinook"], &good);
    world.backup();
    let drill = world.json(&["drill"], 0);
    assert!(drill["checks"].as_array().unwrap().iter().any(|check| check["name"] == "assertion enough tracks"));
    for (name, sql) in [
        ("no", "SELECT 0"),
        ("null", "SELECT NULL"),
        ("empty", "SELECT 1 FROM DUAL WHERE 1=0"),
        ("error", "SELECT * FROM nothing.here"),
    ] {
        let both = format!("{good}{}", assertion(name, sql));
        let world = World { directory: World::new(&server, &["Chinook"], &both).directory };
        world.backup();
        let drill = world.json(&["drill"], 3);
        assert_eq!(wrong(&drill), [format!("assertion {name}")]);
    }
}

/// Numbers that look random, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let inner = |path: PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries(directory).into_iter().flat_map(inner).collect()
}

/// Length of the part of a file whose damage a restore can notice: the list at the end of a pack serves repairs only.
fn read_part(file: &Path, content: &[u8]) -> usize {
    if !file.to_string_lossy().contains("/data/") {
        return content.len();
    }
    let (rest, length) = content.split_at(content.len() - 4);
    rest.len() - usize::try_from(u32::from_le_bytes(length.try_into().unwrap())).unwrap()
}

#[test]
fn a_flipped_byte_anywhere_in_any_file_of_the_repository_is_noticed() {
    let seed = std::env::var("DAMAGE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("DAMAGE_SEED={seed}");
    let mut chance = Chance(seed);
    let world = crate::files::world("", "");
    // Several packs of data: what does not compress.
    for name in ["one", "two"] {
        let noise: Vec<u8> = (0..9_000_000).map(|_| u8::try_from(chance.below(256)).unwrap()).collect();
        fs::create_dir_all(world.path("tree")).unwrap();
        fs::write(world.path("tree").join(name), noise).unwrap();
    }
    world.json(&["backup"], 0);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    let victims = files_below(&world.path("repo"));
    for kind in ["config", "keys", "index", "snapshots", "data"] {
        assert!(victims.iter().any(|victim| victim.to_string_lossy().contains(&format!("/{kind}"))), "{victims:?}");
    }
    let mut unread = BTreeSet::new();
    for victim in &victims {
        let whole = fs::read(victim).unwrap();
        fs::set_permissions(victim, fs::Permissions::from_mode(0o600)).unwrap();
        let length = read_part(victim, &whole);
        // The ends are places of their own: a nonce, an authentication tag.
        for position in [0, chance.below(length), chance.below(length), length - 1] {
            let mut broken = whole.clone();
            broken[position] ^= 1 << chance.below(8);
            fs::write(victim, &broken).unwrap();
            let ran = world.run(&["drill"]);
            let what = format!("byte {position} of {length} in {}: {ran:?}", victim.display());
            if ran.status == 0 {
                assert!(victim.starts_with(world.path("repo/data")), "{what}");
                unread.insert(victim.clone());
                continue;
            }
            assert!(ran.status == 3 || ran.status == 1, "{what}");
            assert!(!unread.contains(victim), "noticed at one place only: {what}");
            let name = victim.file_name().unwrap().to_string_lossy().into_owned();
            let said = format!("{}{}", ran.stdout, ran.stderr);
            let named = said.contains(name.get(..8).unwrap_or(&name)) || (name == "config" && said.contains("Config"));
            assert!(named, "{what}");
            let metrics = world.run(&["metrics"]).stdout;
            let passed = "backup_sla_drill_last_outcome{source=\"ansible\",outcome=\"passed\"} ";
            assert!(metrics.contains(&format!("{passed}0")), "{what}: {metrics}");
        }
        fs::write(victim, &whole).unwrap();
    }
    // The candidate's own directory serves nobody once the point is published.
    let sizes: Vec<u64> = unread.iter().map(|pack| fs::metadata(pack).unwrap().len()).collect();
    assert!(sizes.len() <= 1 && sizes.iter().all(|size| *size < 4096), "{unread:?}: {sizes:?}");
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
    world.assert_no_sandbox_left();
}

#[test]
fn a_wrong_key_is_a_clear_error_and_a_failed_drill() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    world.backup();
    world.secret("key", "wrong");
    for command in ["drill", "backup", "list"] {
        let ran = world.run(&[command]);
        assert_eq!(ran.status, 1, "{command}: {ran:?}");
        assert!(ran.stderr.contains("password"), "{command}: {ran:?}");
        assert!(ran.stderr.contains("hint: "), "{command}: {ran:?}");
    }
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_drill_failures_total{source=\"shop\"} 1"), "{metrics}");
    assert!(metrics.contains("backup_sla_encryption_key_available{repository=\"local\"} 0"), "{metrics}");
}

#[test]
fn one_damaged_recovery_point_hides_no_other_and_is_not_kept_quiet() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    world.backup();
    let victim = entries(&world.path("repo/snapshots")).pop().unwrap();
    let name = victim.file_name().unwrap().to_string_lossy().into_owned();
    world.backup();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&victim, "garbage").unwrap();

    let list = world.run(&["--json", "list"]);
    assert_eq!((list.status, list.stdout.lines().count()), (1, 1), "{list:?}");
    assert!(list.stderr.contains(&name[..8]), "{list:?}");
    let status = world.json(&["status"], 1);
    assert_eq!(status["measured"]["recovery_points"], 1, "{status:#}");
    assert!(status["problem"].as_str().unwrap().contains(&name[..8]), "{status:#}");
    let drill = world.json(&["drill"], 3);
    assert_eq!(wrong(&drill), ["repository listing"]);
    assert!(drill["reason"].as_str().unwrap().contains(&name[..8]), "{drill:#}");
    assert!(drill["tables"][0]["digest_ok"].as_bool().unwrap(), "{drill:#}");
    let target = Server::start(Product::MariaDb);
    let restore = world.json(&["restore", "shop", "--to", &target.destination()], 0);
    assert!(restore["warnings"].to_string().contains(&name[..8]), "{restore:#}");
    let backup = world.backup();
    assert!(backup["warnings"].to_string().contains(&name[..8]), "{backup:#}");

    // The way out that the hint names.
    assert!(list.stderr.contains("moved out of its directory `snapshots`"), "{list:?}");
    fs::rename(&victim, world.path("lost")).unwrap();
    assert_eq!(world.listed(), 2);
    assert_eq!(world.json(&["drill"], 0)["verdict"], "passed");
}

#[test]
fn a_repository_that_vanished_is_not_made_anew() {
    let server = Server::start(Product::MariaDb);
    server.load(&fixture("chinook.sql"));
    let world = World::new(&server, &["Chinook"], "");
    world.backup();
    // As if its file system was not mounted: the mount point is there and empty.
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    fs::create_dir(world.path("repo")).unwrap();
    // Another source that has no backup yet must not make it either.
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let other = text[text.find("[source.shop]").unwrap()..].replace("source.shop", "source.another");
    fs::write(world.path("config.toml"), format!("{text}\n{other}")).unwrap();
    let metrics = world.run(&["metrics"]).stdout;
    assert!(metrics.contains("backup_sla_repository_up{repository=\"local\"} 0"), "{metrics}");
    for command in ["backup", "drill", "list", "status"] {
        let ran = world.run(&[command]);
        assert_eq!(ran.status, 1, "{command}: {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("there is no repository"), "{command}: {ran:?}");
        assert!(entries(&world.path("repo")).is_empty(), "{command} wrote");
    }
    assert!(
        world
            .run(&["backup"])
            .stderr
            .contains("repository local is missing or cannot be opened, but earlier backups were recorded in it")
    );
    fs::remove_dir(world.path("repo")).unwrap();
    fs::rename(world.path("elsewhere"), world.path("repo")).unwrap();
    fs::write(world.path("config.toml"), text).unwrap();
    world.backup();
    assert_eq!(world.listed(), 2);
    // What a killed writer left in it goes with the next backup.
    fs::write(world.path("repo/tmp/write-0123456789abcdef0123456789abcdef"), "half").unwrap();
    world.backup();
    assert!(!world.path("repo/tmp/write-0123456789abcdef0123456789abcdef").exists());
}

#[test]
fn a_listing_tells_of_a_pack_that_is_cut_off() {
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/site.yml"), "- hosts: all\n").unwrap();
    world.json(&["backup"], 0);
    let packs: Vec<PathBuf> = entries(&world.path("repo/data")).iter().flat_map(|below| entries(below)).collect();
    assert!(!packs.is_empty());
    for pack in packs {
        let good = fs::read(&pack).unwrap();
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&pack, &good[..good.len() / 3]).unwrap();
        let list = world.run(&["--json", "list"]);
        assert_eq!(list.status, 1, "{list:?}");
        assert!(list.stderr.contains(&pack.file_name().unwrap().to_string_lossy()[..8]), "{list:?}");
        fs::write(&pack, good).unwrap();
    }
    assert_eq!(world.run(&["--json", "list"]).status, 0);
}
