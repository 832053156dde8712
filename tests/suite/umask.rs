//! Whatever umask the program is started with (the packaged unit has 0077), drills run and nothing is open to others.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Product, Server, World, entries, finish};

/// A command under another umask than ours.
fn under(umask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask $0; exec \"$@\"", umask]).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null());
    shell
}

/// Everything below `directory` that somebody else may write.
fn open_to_others(directory: &Path, found: &mut Vec<String>) {
    for path in entries(directory) {
        let meta = path.symlink_metadata().unwrap();
        if !meta.is_symlink() && meta.mode() & 0o022 != 0 {
            found.push(format!("{:o} {}", meta.mode() & 0o7777, path.display()));
        }
        if meta.is_dir() {
            open_to_others(&path, found);
        }
    }
}

#[test]
fn every_kind_is_drilled_under_any_umask_and_nothing_is_open_to_others() {
    for umask in ["0077", "0000", "0777"] {
        let directory = tempfile::Builder::new().prefix("bsla-").tempdir_in("/tmp").unwrap();
        let world = directory.path().join("world");
        let mut demo = Command::new(crate::support::PROGRAM);
        demo.args(["demo", "--once", "--dir"]).arg(&world);
        let ran = finish(under(umask, &demo));
        assert_eq!(ran.status, 0, "umask {umask}: {ran:?}");
        for source in ["ansible", "shop", "telegraf"] {
            assert!(ran.stdout.contains(&format!("{source}: PASSED")), "umask {umask}: {ran:?}");
        }
        let mut open = Vec::new();
        for ours in entries(&world).iter().filter(|path| path.ends_with("state") || path.ends_with("repository")) {
            assert_eq!(ours.metadata().unwrap().mode() & 0o022, 0, "umask {umask}: {}", ours.display());
            open_to_others(ours, &mut open);
        }
        open.truncate(5);
        assert_eq!(open, Vec::<String>::new(), "umask {umask}");
        assert!(entries(&world).iter().any(|path| path.ends_with("state")), "{:?}", entries(&world));
    }
}

#[test]
fn mysql_is_drilled_under_any_umask() {
    let server = Server::start(Product::MySql);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)");
    for umask in ["0077", "0000", "0777"] {
        let world = World::new(&server, &["shop"], "");
        // Empty data directories are made under this umask too.
        fs::remove_file(world.path("state/templates")).unwrap();
        for arguments in [["backup", "shop"], ["drill", "shop"]] {
            let ran = finish(under(umask, &world.command(&arguments)));
            assert_eq!(ran.status, 0, "umask {umask}: {ran:?}");
        }
        let mut open = Vec::new();
        for ours in ["state", "repo"] {
            open_to_others(&world.path(ours), &mut open);
        }
        open.truncate(5);
        assert_eq!(open, Vec::<String>::new(), "umask {umask}");
        world.assert_no_sandbox_left();
    }
}
