//! A restore by hand, with the very commands of docs/restore-without-us.md, of a source whose owner tries to make the client
//! run programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Product, Server, World};

/// Names, comments, bodies and rows that would run as commands if they stood where the client looks for some.
const HOSTILE: &str = r"CREATE DATABASE shop; USE shop;
CREATE TABLE `t
\! touch PLACE/1
system touch PLACE/2
z` (a INT PRIMARY KEY COMMENT 'x
\! touch PLACE/3
', b TEXT) COMMENT 'c
\! touch PLACE/4
source PLACE/secret';
INSERT INTO `t
\! touch PLACE/1
system touch PLACE/2
z` VALUES (1, '
\! touch PLACE/5
system touch PLACE/6
tee PLACE/7
');
CREATE VIEW `v
\! touch PLACE/8
z` AS SELECT 'x
\! touch PLACE/9
' AS c;
CREATE PROCEDURE `p
\! touch PLACE/10
z`() COMMENT '
\! touch PLACE/11' SELECT '
\! touch PLACE/12
pager cat > PLACE/13
' /*
\! touch PLACE/14
system touch PLACE/15
delimiter //
*/ ;
CREATE TRIGGER `tr
\! touch PLACE/16
z` BEFORE INSERT ON `t
\! touch PLACE/1
system touch PLACE/2
z` FOR EACH ROW SET @a = '
\! touch PLACE/17
' /* \! touch PLACE/18 */;
CREATE EVENT `e
\! touch PLACE/19
z` ON SCHEDULE EVERY 1 DAY COMMENT '
\! touch PLACE/20' DO SELECT '
\! touch PLACE/21
';
";

/// The commands of the page that load with `client`.
fn documented(client: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore-without-us.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains(&format!("dump.sql     | {client} ")));
    block.unwrap_or_else(|| panic!("no commands for {client}")).replace("agama", "shop")
}

fn comes_back_by_hand(product: Product, client: &str) {
    let server = Server::start(product);
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("secret"), "CREATE DATABASE secret;\n").unwrap();
    let hostile = HOSTILE.replace("PLACE", &place.path().display().to_string());
    let mut written = server.client();
    written.args(["--binary-mode", "--comments"]);
    let script = place.path().join("script");
    fs::write(&script, &hostile).unwrap();
    assert!(written.stdin(fs::File::open(&script).unwrap()).status().unwrap().success());
    let world = World::new(&server, &["shop"], "");
    world.backup();

    let target = Server::start(product);
    let programs = world.path("programs");
    fs::create_dir(&programs).unwrap();
    let shim = format!(
        "#!/bin/sh\nexec {} --no-defaults -uroot -S {} \"$@\"\n",
        product.program("client").display(),
        target.socket.display()
    );
    fs::write(programs.join(client), shim).unwrap();
    fs::set_permissions(programs.join(client), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &documented(client)])
        .env("PATH", path)
        .env("RESTIC_REPOSITORY", world.path("repo"))
        .env("RESTIC_PASSWORD_FILE", world.path("key"))
        .env("RESTIC_CACHE_DIR", world.path("cache"))
        .output()
        .unwrap();
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "a command ran: {names:?}");
    assert_eq!(target.sql("SHOW DATABASES LIKE 'secret'"), "");
    let verified = world.run(&["verify", "shop", "--against", &target.destination()]);
    assert_eq!(verified.status, 0, "{verified:?} {output:?}");
}

#[test]
fn a_hostile_mariadb_source_is_restored_by_the_documented_commands_and_runs_nothing() {
    comes_back_by_hand(Product::MariaDb, "mariadb");
}

#[test]
fn a_hostile_mysql_source_is_restored_by_the_documented_commands_and_runs_nothing() {
    comes_back_by_hand(Product::MySql, "mysql");
}
