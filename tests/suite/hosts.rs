//! Two hosts, one repository, one name for their sources: whose is what.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::World;

/// A world with a tree that says whose it is; its repository is `repository`.
fn host(name: &str, repository: &Path) -> World {
    let directory = tempfile::Builder::new().prefix("bsla-").tempdir().unwrap();
    let world = World { directory };
    world.secret("key", "correct horse");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/whose"), name).unwrap();
    configure(&world, repository, "");
    world
}

fn configure(world: &World, repository: &Path, top: &str) {
    let text = format!(
        "{top}\nstate_dir = \"state\"\n[repository.offsite]\nkind = \"restic\"\nurl = \"{}\"\npassword_file = \"key\"\n\
         [sla.standard]\nrpo = \"24h\"\nrto = \"5h\"\nretention = \"30d\"\ndrill_interval = \"24h\"\n\
         [source.etc]\nkind = \"files\"\nrepository = \"offsite\"\nsla = \"standard\"\n\
         [source.etc.files]\npaths = [\"tree\"]\n",
        repository.display()
    );
    fs::write(world.path("config.toml"), text).unwrap();
}

/// `id` and `host_id` of the lines that are another host's, or this one's.
fn listed(world: &World, foreign: bool) -> Vec<(String, String)> {
    let ran = world.run(&["--json", "list"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["foreign"] == foreign);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines.map(|line| (text(&line["id"]), text(&line["host_id"]))).collect()
}

fn restored(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let to = tempfile::tempdir().unwrap();
    let ran = world.run(&[&["restore", "etc", "--to", to.path().to_str().unwrap()], arguments].concat());
    let found = walk(to.path());
    (ran.status, found, ran.stderr)
}

/// Content of the one file `whose` below `path`.
fn walk(path: &Path) -> String {
    if path.is_file() {
        return fs::read_to_string(path).unwrap();
    }
    fs::read_dir(path).unwrap().map(|entry| walk(&entry.unwrap().path())).collect()
}

#[test]
fn another_hosts_recovery_points_are_shown_and_used_only_when_asked_for() {
    let shared = tempfile::tempdir().unwrap();
    let repository = shared.path().join("repository");
    let (one, two) = (host("one", &repository), host("two", &repository));
    one.json(&["backup"], 0);
    // Nothing of its own: no drill of the other's data, no restore of the other's files.
    let drill = two.run(&["drill"]);
    assert_eq!(drill.status, 2, "{drill:?}");
    assert!(drill.stderr.contains("none is this host's") && drill.stderr.contains("--host"), "{drill:?}");
    let (status, files, said) = restored(&two, &[]);
    assert_eq!((status, files.as_str()), (2, ""), "{said}");
    assert!(two.run(&["metrics"]).stdout.contains("backup_sla_recovery_point_timestamp_seconds{source=\"etc\"} 0\n"));

    let report = two.json(&["backup"], 0);
    assert!(report["warnings"].to_string().contains("1 of host"), "{report:#}");
    one.json(&["backup"], 0);
    assert_eq!(two.json(&["drill"], 0)["verdict"], "passed");
    // The newest is the other's; the own one comes.
    assert_eq!(restored(&two, &[]).1, "two");
    assert_eq!((listed(&two, false).len(), listed(&two, true).len()), (1, 2));
    assert_eq!((listed(&one, false).len(), listed(&one, true).len()), (2, 1));
    let points = two.run(&["metrics"]).stdout;
    assert!(points.contains("backup_sla_recovery_points{source=\"etc\",kind=\"full\"} 1\n"), "{points}");

    let (id, other) = listed(&two, true).remove(0);
    for arguments in [["--recovery-point", id.as_str()], ["--recovery-point", &id[..20]]] {
        let (status, files, said) = restored(&two, &arguments);
        assert_eq!((status, files.as_str()), (2, ""), "{said}");
        assert!(said.contains("it was made by host") && said.contains("--host"), "{said}");
    }
    let drill = two.run(&["drill", "--recovery-point", &id]);
    assert_eq!(drill.status, 2, "{drill:?}");
    for arguments in [&["--host", other.as_str()][..], &["--host", &other, "--recovery-point", &id]] {
        let (status, files, said) = restored(&two, arguments);
        assert_eq!((status, files.as_str()), (0, "one"), "{said}");
    }
    // Both have the name of this machine: it does not say which is meant.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (status, _, said) = restored(&two, &["--host", name.trim()]);
    assert!(status == 2 && said.contains("several hosts") && said.contains(&other), "{said}");
    let (status, _, said) = restored(&two, &["--host", "nobody"]);
    assert!(status == 2 && said.contains("was made by host nobody") && said.contains(name.trim()), "{said}");
    let tree = two.path("tree").display().to_string();
    let verify = two.run(&["verify", "etc", "--against", &tree, "--host", &other]);
    assert_eq!(verify.status, 3, "{verify:?}");
}

#[test]
fn a_reinstalled_host_takes_its_recovery_points_over_by_name() {
    let shared = tempfile::tempdir().unwrap();
    let repository = shared.path().join("repository");
    let before = host("data", &repository);
    configure(&before, &repository, "host = \"db1\"");
    before.json(&["backup"], 0);
    let snapshot = fs::read_dir(repository.join("snapshots")).unwrap().count();
    assert_eq!(snapshot, 1);
    drop(before);
    // Another machine, nothing of the state directory left.
    let after = host("data", &repository);
    assert_eq!(restored(&after, &[]).0, 2);
    assert_eq!(restored(&after, &["--host", "db1"]).1, "data");
    configure(&after, &repository, "host = \"db1\"");
    assert_eq!(after.json(&["drill"], 0)["verdict"], "passed");
    assert_eq!(restored(&after, &[]).1, "data");
    after.json(&["backup"], 0);
    assert_eq!((listed(&after, false).len(), listed(&after, true).len()), (2, 0));
}

#[test]
fn a_host_that_lost_its_state_directory_finds_its_recovery_points_again() {
    let shared = tempfile::tempdir().unwrap();
    let one = host("one", &shared.path().join("repository"));
    one.json(&["backup"], 0);
    fs::remove_dir_all(one.path("state")).unwrap();
    assert_eq!(one.json(&["drill"], 0)["verdict"], "passed");
    assert_eq!(listed(&one, true), []);
}
