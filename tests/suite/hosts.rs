//! Two hosts, one repository, one name for their sources: whose is what.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::serving::Service;
use crate::support::World;

/// Another machine than this one: with an identity of its own.
fn host(name: &str, repository: &Path) -> World {
    let world = this_machine(name, repository);
    fs::create_dir(world.path("state")).unwrap();
    let unique =
        world.directory.path().file_name().unwrap().to_str().unwrap().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    fs::write(world.path("state/host-id"), unique).unwrap();
    world
}

/// A world with a tree that says whose it is; its repository is `repository`.
fn this_machine(name: &str, repository: &Path) -> World {
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
    let (one, two) = (host("one", &repository), this_machine("two", &repository));
    one.json(&["backup"], 0);
    // Nothing of its own: no drill of the other's data, no restore of the other's files.
    let drill = two.run(&["drill"]);
    assert_eq!(drill.status, 2, "{drill:?}");
    assert!(drill.stderr.contains("this host made none") && drill.stderr.contains("--host"), "{drill:?}");
    let (status, files, said) = restored(&two, &[]);
    assert_eq!((status, files.as_str()), (2, ""), "{said}");
    assert!(two.run(&["metrics"]).stdout.contains("backup_sla_recovery_point_timestamp_seconds{source=\"etc\"} 0\n"));

    let report = two.json(&["backup"], 0);
    assert!(report["warnings"].to_string().contains("1 from host"), "{report:#}");
    one.json(&["backup"], 0);
    assert_eq!(two.json(&["drill"], 0)["verdict"], "passed");
    // Newer than the other's and with an older one of its own: the own one comes, and the other's are told.
    let (status, files, said) = restored(&one, &["--recovery-point", &listed(&one, false)[1].0]);
    assert_eq!((status, files.as_str()), (0, "one"), "{said}");
    let to = tempfile::tempdir().unwrap();
    let report = one.json(&["restore", "etc", "--to", to.path().to_str().unwrap()], 0);
    assert!(report["warnings"].to_string().contains("1 from host"), "{report:#}");
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
    let table = two.run(&["list"]).stdout;
    assert!(table.contains(&format!("id {other} (other)")), "one name, two hosts: {table}");
    // Both have the name of this machine: it does not say which is meant.
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (status, _, said) = restored(&two, &["--host", name.trim()]);
    assert!(status == 2 && said.contains("several hosts") && said.contains(&other), "{said}");
    let (status, _, said) = restored(&two, &["--host", "nobody"]);
    assert!(status == 2 && said.contains("host nobody made none") && said.contains(name.trim()), "{said}");
    let tree = two.path("tree").display().to_string();
    let verify = two.run(&["verify", "etc", "--against", &tree, "--host", &other]);
    assert_eq!(verify.status, 3, "{verify:?}");
}

/// A new machine backs up its nearly empty disk before anybody restores: that must not pass for the lost one's data.
#[test]
fn a_restore_that_could_mean_another_hosts_recovery_point_is_refused_and_names_both() {
    let shared = tempfile::tempdir().unwrap();
    let repository = shared.path().join("repository");
    let (lost, new) = (host("lost", &repository), this_machine("new", &repository));
    lost.json(&["backup"], 0);
    new.json(&["backup"], 0);
    let (own, other) = (listed(&new, false).remove(0), listed(&new, true).remove(0));
    let tree = new.path("tree").display().to_string();
    let refused = |why: &str| {
        let (status, files, said) = restored(&new, &[]);
        assert_eq!((status, files.as_str()), (2, ""), "{said}");
        let both = [format!("--host {}", other.1), format!("--recovery-point {}", own.0), why.to_owned()];
        assert!(both.iter().all(|word| said.contains(word)), "{said}");
        let verify = new.run(&["verify", "etc", "--against", &tree]);
        assert!(verify.status == 2 && verify.stderr.contains(why), "{verify:?}");
    };
    refused("before it was restored");
    lost.json(&["backup"], 0);
    refused("is newer");
    assert_eq!(restored(&new, &["--recovery-point", &own.0]).1, "new");
    assert_eq!(restored(&new, &["--host", &other.1]).1, "lost");
    // Drills prove what this host made.
    assert_eq!(new.json(&["drill"], 0)["verdict"], "passed");
}

/// The service of a new machine protects what is there at once: it cannot know whether the other host lives. That backup takes
/// nothing from the lost host's recovery points, and every view says whose they are.
#[test]
fn the_first_backup_of_a_new_hosts_service_does_not_pass_for_the_lost_hosts_data() {
    let shared = tempfile::tempdir().unwrap();
    let repository = shared.path().join("repository");
    let (lost, new) = (host("lost", &repository), this_machine("new", &repository));
    lost.json(&["backup"], 0);
    lost.json(&["drill"], 0);
    let config = fs::read_to_string(new.path("config.toml")).unwrap();
    let never = "sla = \"standard\"\nschedule = { full = \"0 0 29 2 *\", drill = \"0 0 29 2 *\" }";
    fs::write(new.path("config.toml"), config.replace("sla = \"standard\"", never)).unwrap();
    let before = new.json(&["status"], 0);
    assert!(before["other_hosts"].as_str().unwrap().contains("1 from host"), "{before:#}");
    assert!(before["pending"]["rpo"].is_string(), "nothing of this host is kept by another's: {before:#}");

    let service = Service::start(&new);
    service.wait("drill_last_outcome{source=\"etc\",outcome=\"passed\"}", |value| value == 1.0);
    assert_eq!(service.value("recovery_points{source=\"etc\",kind=\"full\"}"), 1.0);
    let status: serde_json::Value =
        serde_json::from_str(service.get("/api/v1/status").split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(status["sources"][0]["other_hosts"], before["other_hosts"], "{status:#}");
    let page = service.get("/sources/etc");
    assert!(page.contains("The repository also has recovery points of etc: 1 from host"), "{page}");
    service.stop();
    let (own, other) = (listed(&new, false), listed(&new, true));
    assert_eq!((own.len(), other.len()), (1, 1), "nothing was pushed out");
    let (status, files, said) = restored(&new, &[]);
    assert_eq!((status, files.as_str()), (2, ""), "{said}");
    assert!(said.contains("before it was restored") && said.contains(&other[0].1), "{said}");
    assert_eq!(restored(&new, &["--host", &other[0].1]).1, "lost");
    let shown = new.run(&["status"]).stdout;
    assert!(shown.contains("the repository also has recovery points of etc: 1 from host"), "{shown}");
    assert!(new.run(&["list"]).stdout.contains("(other)"));
    // Neither has the lost host anything to fear: its own are as they were.
    assert_eq!(lost.json(&["drill"], 0)["verdict"], "passed");
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
    let one = this_machine("one", &shared.path().join("repository"));
    one.json(&["backup"], 0);
    fs::remove_dir_all(one.path("state")).unwrap();
    assert_eq!(one.json(&["drill"], 0)["verdict"], "passed");
    assert_eq!(listed(&one, true), []);
    // So does a second configuration of this machine, such as one that drills from a copy.
    let second = this_machine("one", &shared.path().join("repository"));
    assert_eq!(second.json(&["drill"], 0)["verdict"], "passed");
}
