//! What scripts and people rely on at the command line: exit statuses, times, what is said once and what is left out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::service::{Service, world};
use crate::support::{PROGRAM, World, finish, wait_for};

const DAILY: &str = "{ full = \"0 2 * * *\", drill = \"30 4 * * *\" }";

fn change(world: &World, from: &str, to: &str) {
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(world.path("config.toml"), text.replace(from, to)).unwrap();
}

/// A world with a backup and a drill, in this time zone.
fn kept(zone: &str) -> World {
    let world = world(DAILY);
    change(&world, "state_dir", &format!("timezone = \"{zone}\"\nstate_dir"));
    world.json(&["backup"], 0);
    world.json(&["drill"], 0);
    world
}

#[test]
fn status_ends_with_what_a_script_wants_to_know() {
    let world = kept("UTC");
    let ran = world.run(&["status"]);
    assert_eq!(ran.status, 0, "every promise is kept: {ran:?}");
    let quiet = world.run(&["status", "--quiet"]);
    assert_eq!((quiet.status, quiet.stdout.as_str()), (0, ""), "{quiet:?}");

    // A promise that nobody keeps: a recovery point that is never older than a second.
    change(&world, "rpo = \"24h\"", "rpo = \"1s\"");
    let ran = wait_for("the recovery point to be too old", || {
        let ran = world.run(&["status", "--quiet"]);
        (ran.status == 1).then_some(ran)
    });
    assert!(ran.stdout.contains("NOT MET"), "{ran:?}");
    assert_eq!(world.run(&["status", "tree"]).status, 1);

    assert_eq!(world.run(&["status", "nobody"]).status, 2);
    change(&world, "rpo = \"1s\"", "rpo = \"soon\"");
    assert_eq!(world.run(&["status"]).status, 2);
}

#[test]
fn a_repository_that_is_gone_is_a_broken_promise_to_status() {
    let world = kept("UTC");
    fs::rename(world.path("repo"), world.path("elsewhere")).unwrap();
    let ran = world.run(&["status", "--quiet"]);
    assert!(ran.status == 1 && ran.stdout.contains("tree"), "{ran:?}");
}

#[test]
fn status_says_what_begins_next_and_that_nothing_does_without_a_service() {
    let world = kept("Europe/Berlin");
    let alone = world.run(&["status"]).stdout;
    for wanted in ["tree: next full backup 20", "tree: next drill 20", "no service runs on "] {
        assert!(alone.contains(wanted), "no {wanted:?}: {alone}");
    }
    let next = alone.lines().find(|line| line.contains("next full backup")).unwrap();
    assert!(next.contains(" 02:00:00 CE"), "by the clock of the configured zone: {next}");
    let service = Service::start(&world);
    let served = world.run(&["status"]).stdout;
    assert!(!served.contains("no service runs"), "{served}");
    // The same moment as the service itself says.
    let said = service.value("backup_next_run_timestamp_seconds{source=\"tree\",kind=\"full\"}");
    let shown = next.split_whitespace().find(|word| word.starts_with("20")).unwrap();
    let shown = chrono::DateTime::parse_from_rfc3339(shown).unwrap().timestamp();
    assert_eq!(said, f64::from(u32::try_from(shown).unwrap()), "{next}");
    service.stop();
}

#[test]
fn a_point_in_time_is_one_of_the_configured_zone_or_says_its_own() {
    let world = kept("Europe/Berlin");
    let point = world.json(&["list"], 0);
    let time = chrono::DateTime::parse_from_rfc3339(point["time"].as_str().unwrap()).unwrap();
    // As a person reads it off the list, a minute later.
    let local = (time + chrono::TimeDelta::minutes(1)).with_timezone(&chrono_tz::Tz::Europe__Berlin);
    let wall = local.format("%Y-%m-%d %H:%M").to_string();
    assert_eq!(world.json(&["drill", "--at", &wall], 0)["recovery_point"], point["id"]);
    let utc = (time + chrono::TimeDelta::minutes(1)).to_rfc3339();
    assert_eq!(world.json(&["drill", "--at", &utc], 0)["recovery_point"], point["id"]);
    // Taken for UTC it would be hours later, and hours before the backup there was none.
    let before = (local - chrono::TimeDelta::minutes(30)).format("%Y-%m-%d %H:%M").to_string();
    assert_eq!(world.run(&["drill", "--at", &before]).status, 2);

    for (typed, both) in [
        ("2026-10-25 02:30", ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]),
        ("2026-03-29 02:30", ["2026-03-29T02:30:00+01:00", "2026-03-29T02:30:00+02:00"]),
    ] {
        let ran = world.run(&["drill", "--at", typed]);
        assert!(ran.status == 2 && both.iter().all(|reading| ran.stderr.contains(reading)), "{ran:?}");
    }
    assert_eq!(world.run(&["drill", "--at", "yesterday"]).status, 2);
}

#[test]
fn lists_show_the_configured_zone_beside_utc() {
    let world = kept("Asia/Kolkata");
    let point = world.json(&["list"], 0);
    let time = chrono::DateTime::parse_from_rfc3339(point["time"].as_str().unwrap()).unwrap();
    let local = time.with_timezone(&chrono_tz::Tz::Asia__Kolkata).format("%Y-%m-%d %H:%M:%S IST").to_string();
    let list = world.run(&["list"]).stdout;
    assert!(list.contains("TIME (UTC)") && list.contains("TIME (Asia/Kolkata)") && list.contains(&local), "{list}");
    let drill = world.run(&["drill"]).stdout;
    assert!(drill.contains(&format!("Z ({local})")), "{drill}");
    change(&world, "Asia/Kolkata", "UTC");
    let list = world.run(&["list"]).stdout;
    assert!(!list.contains("IST") && list.matches("TIME").count() == 1, "{list}");
}

#[test]
fn a_source_that_is_no_longer_configured_is_still_listed() {
    let world = kept("UTC");
    let id = world.json(&["list"], 0)["id"].as_str().unwrap().to_owned();
    fs::create_dir(world.path("other")).unwrap();
    fs::write(world.path("other/a"), "one").unwrap();
    change(&world, "[source.tree]", "[source.young]");
    change(&world, "[source.tree.files]\npaths = [\"tree\"]", "[source.young.files]\npaths = [\"other\"]");
    for arguments in [["list"].as_slice(), &["list", "tree"]] {
        let ran = world.run(arguments);
        assert!(ran.status == 0 && ran.stdout.contains("tree (retired)") && ran.stdout.contains(&id), "{ran:?}");
    }
    let line = world.json(&["list", "tree"], 0);
    assert_eq!((&line["retired"], &line["id"]), (&Value::Bool(true), &Value::from(id)));
    let status = world.run(&["status", "tree"]);
    assert!(status.status == 0 && status.stdout.contains("tree: retired; 1 recovery points"), "{status:?}");
    assert_eq!(world.json(&["status", "tree"], 0)["retired"], true);
    // Programs that ask for everything get what is configured.
    assert!(!world.run(&["--json", "status"]).stdout.contains("tree\""));
    assert_eq!(world.run(&["list", "nobody"]).status, 2);

    // Its repository is gone from the configuration, too: only whoever asks for it hears of that.
    change(&world, "[repository.local]", "[repository.new]");
    change(&world, "repository = \"local\"", "repository = \"new\"");
    change(&world, "url = \"repo\"", "url = \"new\"");
    world.json(&["backup"], 0);
    assert_eq!(world.run(&["list"]).status, 0);
    let asked = world.run(&["list", "tree"]);
    assert!(asked.status == 2 && asked.stderr.contains("its repository local is not configured"), "{asked:?}");
}

#[test]
fn a_note_that_the_run_before_had_too_is_counted_and_not_repeated() {
    let world = world(DAILY);
    let _socket = UnixListener::bind(world.path("tree/socket")).unwrap();
    let said = |arguments: &[&str]| world.run(arguments).stdout;
    let notes = |said: &str| said.lines().filter(|line| line.contains("note: ")).map(str::to_owned).collect::<Vec<_>>();
    let first = notes(&said(&["backup"]));
    assert!(first.len() == 1 && first[0].contains("left out"), "{first:?}");
    assert_eq!(notes(&said(&["backup"])), ["  note: 1 note unchanged since the last run (--notes lists it)"]);
    assert_eq!(notes(&said(&["backup", "--notes"])), first);
    let _another = UnixListener::bind(world.path("tree/another")).unwrap();
    let changed = notes(&said(&["backup"]));
    assert!(changed.len() == 2 && changed[0].contains("another"), "{changed:?}");
    assert_eq!(changed[1], "  note: 1 note unchanged since the last run (--notes lists it)");
    // Whoever reads by program always has them.
    assert_eq!(world.json(&["backup"], 0)["warnings"].as_array().unwrap().len(), 2);
}

#[test]
fn quiet_says_nothing_of_what_went_well_and_everything_of_what_did_not() {
    let world = world(DAILY);
    for command in ["check-config", "backup", "drill"] {
        let ran = world.run(&[command, "--quiet"]);
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""), "{command}");
    }
    let listed = world.run(&["-q", "list"]);
    assert!(listed.stdout.contains("tree"), "what was asked for is shown: {listed:?}");
    let restored = world.path("restored");
    fs::create_dir(&restored).unwrap();
    let ran = world.run(&["restore", "tree", "--quiet", "--to", restored.to_str().unwrap()]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""), "{ran:?}");
    let copy = restored.join(world.path("tree").strip_prefix("/").unwrap());
    let copy = if copy.exists() { copy } else { restored.join("tree") };
    fs::write(copy.join("a"), "another").unwrap();
    let ran = world.run(&["verify", "tree", "--quiet", "--against", restored.to_str().unwrap()]);
    assert!(ran.status == 3 && ran.stdout.contains("FAILED"), "{ran:?}");
    fs::rename(world.path("tree"), world.path("elsewhere")).unwrap();
    let ran = world.run(&["backup", "--quiet"]);
    assert!(ran.status == 1 && ran.stderr.contains("error: "), "{ran:?}");
}

#[test]
fn check_config_has_json_for_programs() {
    let world = world(DAILY);
    let config = world.json(&["check-config"], 0);
    assert_eq!(config["file"], world.path("config.toml").to_str().unwrap());
    assert_eq!((&config["sources"][0], &config["repositories"][0]), (&"tree".into(), &"local".into()), "{config}");
    let connected = |status| -> Value {
        let ran = world.run(&["--json", "check-config", "--connect"]);
        assert_eq!((ran.status, ran.stdout.lines().count()), (status, 2), "{ran:?}");
        serde_json::from_str(ran.stdout.lines().nth(1).unwrap()).unwrap()
    };
    let fresh = connected(0);
    assert_eq!((&fresh["source"], &fresh["kind"], &fresh["ok"]), (&"tree".into(), &"files".into(), &true.into()));
    assert_eq!(fresh["recovery_points"], Value::Null, "{fresh}");
    world.json(&["backup"], 0);
    assert_eq!(connected(0)["recovery_points"], 1);
    fs::rename(world.path("tree"), world.path("elsewhere")).unwrap();
    let gone = connected(1);
    assert!(gone["ok"] == false && gone["error"].as_str().unwrap().contains("tree"), "{gone}");
}

#[test]
fn the_first_line_of_the_log_says_what_runs_with_which_configuration_for_which_sources() {
    let world = world(DAILY);
    let service = Service::start(&world);
    let said = service.said();
    let first = said.lines().next().unwrap();
    for wanted in [env!("CARGO_PKG_VERSION"), world.path("config.toml").to_str().unwrap(), "tree", "starts"] {
        assert!(first.contains(wanted), "no {wanted} in {first}");
    }
    service.stop();
}

fn help(of: &[&str]) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(of).arg("--help");
    let ran = finish(command);
    assert_eq!(ran.status, 0, "{of:?}");
    ran.stdout
}

/// Commands that the help offers.
fn offered() -> BTreeSet<String> {
    let help = help(&[]);
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_offers_nothing_that_is_not_built() {
    let offered = offered();
    assert!(offered.len() > 10 && offered.contains("status"), "{offered:?}");
    // The demo needs no configuration, and would begin.
    for name in offered.iter().filter(|name| *name != "demo") {
        let mut command = Command::new(PROGRAM);
        command.args(["--config", "/nonexistent", name]);
        let ran = finish(command);
        assert!(!ran.stderr.contains("not built"), "{name}: {ran:?}");
        assert!(!help(&[name]).contains("not built"), "{name}");
    }
    assert!(help(&["serve"]).starts_with("Run the service"), "{}", help(&["serve"]));
}

#[test]
fn every_command_has_its_exit_statuses_in_the_documentation() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md")).unwrap();
    let table = page.split("| command | 0 |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), offered());
}
