//! Whoever hangs, is stopped or is killed: nothing waits for it without an end, and it is told as what it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers::server_in;
use crate::service::Service;
use crate::support::{Product, Ran, Running, Server, World, wait_for};

/// What a cancelled command may take to clean up, where nothing that the kernel keeps is in its way.
pub const PROMPT: Duration = Duration::from_secs(20);

pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Programs of `product` in a directory of their own, of which `replaced` is this script instead.
pub fn programs(world: &World, product: Product, replaced: &str, script: &str) -> PathBuf {
    let directory = world.path("programs");
    fs::create_dir(&directory).unwrap();
    for name in ["client", "dump"] {
        let real = product.program(name);
        let known = match (product, name) {
            (Product::MariaDb, "client") => "mariadb",
            (Product::MariaDb, _) => "mariadb-dump",
            (Product::MySql, "client") => "mysql",
            (Product::MySql, _) => "mysqldump",
        };
        let place = directory.join(known);
        let script = if name == replaced { script } else { "exec \"$real\" \"$@\"" };
        fs::write(&place, format!("#!/bin/sh\nreal={}\n{script}\n", real.display())).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

/// Use the client programs in `directory`; those of the sandbox stay.
pub fn use_programs(world: &World, directory: &Path) {
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let (before, sandbox) = text.split_once("[source.shop.sandbox]").unwrap();
    let before: Vec<&str> = before.lines().filter(|line| !line.starts_with("programs")).collect();
    let before = format!("{}\nprograms = \"{}\"\n", before.join("\n"), directory.display());
    fs::write(world.path("config.toml"), format!("{before}[source.shop.sandbox]{sandbox}")).unwrap();
}

/// Tells that it was reached, and does what the test is about.
fn script(world: &World, what: &str) -> String {
    format!(
        "case \"$*\" in *--version*|*--help*) exec \"$real\" \"$@\" ;; esac\necho $$ > {}\n{what}\nexec \"$real\" \"$@\"",
        world.path("reached").display()
    )
}

pub fn reached(world: &World) -> u32 {
    wait_for("the program to begin", || fs::read_to_string(world.path("reached")).ok()?.trim().parse().ok())
}

/// A command that runs.
pub fn begin(world: &World, arguments: &[&str]) -> Running {
    let mut command = world.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}

/// Ask it to end; it has to do so soon, and to leave nothing.
pub fn ends_when_asked(world: &World, mut command: Running, what: &str) -> Ran {
    let asked = Instant::now();
    signal(command.0.id(), Signal::TERM);
    wait_for(&format!("the end of {what}"), || command.0.try_wait().unwrap());
    assert!(asked.elapsed() < PROMPT, "{what} took {:?}", asked.elapsed());
    world.assert_no_sandbox_left();
    ended(command)
}

pub fn ended(mut command: Running) -> Ran {
    use std::io::Read;
    let mut ran =
        Ran { status: command.0.wait().unwrap().code().unwrap(), stdout: String::new(), stderr: String::new() };
    command.0.stdout.take().unwrap().read_to_string(&mut ran.stdout).unwrap();
    command.0.stderr.take().unwrap().read_to_string(&mut ran.stderr).unwrap();
    ran
}

pub fn shop(product: Product) -> Server {
    let server = Server::start(product);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.a (id INT PRIMARY KEY); INSERT INTO shop.a VALUES (1), (2)");
    server
}

fn assertion(sql: &str) -> String {
    format!("[[source.shop.verify.assertions]]\nname = \"asked\"\nsql = \"{sql}\"\n")
}

/// Let one answer to an assertion take as long as this.
fn patient(world: &World, limit: &str) {
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let text = text.replace("[source.shop.mysql]", &format!("[source.shop.mysql]\nassertion_timeout = \"{limit}\""));
    fs::write(world.path("config.toml"), text).unwrap();
}

/// Process of the server in the sandbox, once it is at the assertion: its one session sleeps.
fn server_at_the_assertion(world: &World, product: Product) -> u32 {
    wait_for("the assertion to be asked", || {
        let (pid, sandbox) = server_in(&world.path("state"))?;
        let mut client = std::process::Command::new(product.program("client"));
        client.arg("--no-defaults").arg("-S").arg(sandbox.join("server.sock"));
        let said = client.args(["-ubackup_sla_drill", "-e", "SHOW FULL PROCESSLIST"]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("SLEEP(3600)").then_some(pid)
    })
}

#[test]
fn an_assertion_that_is_not_answered_in_its_time_does_not_hold() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], &assertion("SELECT SLEEP(3600) = 0"));
        patient(&world, "2s");
        world.backup();
        let begun = Instant::now();
        let report = world.json(&["drill"], 3);
        assert!(report["reason"].as_str().unwrap().contains("assertion asked"), "{report:#}");
        let checks = report["checks"].as_array().unwrap();
        let asked = checks.iter().find(|check| check["name"] == "assertion asked").unwrap();
        assert_eq!(asked["actual"], "no answer within 2s", "{product:?}");
        assert!(begun.elapsed() < Duration::from_mins(2));
        world.assert_no_sandbox_left();
    }
}

#[test]
fn an_assertion_against_a_live_server_is_ended_there_too() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], &assertion("SELECT SLEEP(3600) = 0"));
        patient(&world, "2s");
        world.backup();
        world.json(&["verify", "shop", "--against", &server.destination()], 3);
        let busy = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(3600)%' AND info NOT LIKE '%LIKE%'";
        wait_for("the server to end it", || (server.sql(busy) == "0").then_some(()));
    }
}

#[test]
fn a_service_whose_drill_hangs_in_an_assertion_can_cancel_it_end_it_and_stop() {
    let server = shop(Product::MariaDb);
    let world = World::new(&server, &["shop"], &assertion("SELECT SLEEP(3600) = 0"));
    world.backup();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let schedule = |limit: &str| format!("schedule = {{ drill = \"@every 1h\", drill_timeout = \"{limit}\" }}");
    let text = text.replace("schedule = { full = \"0 2 * * *\" }", &schedule("1h"));
    fs::write(world.path("config.toml"), format!("{text}\n[scheduler]\ndrain = \"1s\"\n")).unwrap();
    let service = Service::start(&world);
    server_at_the_assertion(&world, Product::MariaDb);
    let asked = Instant::now();
    assert_eq!(world.run(&["cancel", "shop"]).status, 0);
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    service.stop();
    world.assert_no_sandbox_left();

    // A time limit ends the next one.
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    fs::write(world.path("config.toml"), text.replace(&schedule("1h"), &schedule("8s"))).unwrap();
    fs::remove_dir_all(world.path("state")).unwrap();
    let service = Service::start(&world);
    service.wait("drill_last_outcome{source=\"shop\",outcome=\"inconclusive\"}", |value| value == 1.0);
    assert!(service.said().contains("it took longer than 8s"), "{}", service.said());
    service.stop();

    // And so does the end of the service.
    fs::write(world.path("config.toml"), text).unwrap();
    fs::remove_dir_all(world.path("state")).unwrap();
    let service = Service::start(&world);
    server_at_the_assertion(&world, Product::MariaDb);
    let asked = Instant::now();
    service.stop();
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    world.assert_no_sandbox_left();
}

#[test]
fn a_command_ends_when_asked_though_the_sandbox_server_is_stopped() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], &assertion("SELECT SLEEP(3600) = 0"));
        world.backup();
        let drill = begin(&world, &["drill"]);
        let pid = server_at_the_assertion(&world, product);
        signal(pid, Signal::STOP);
        ends_when_asked(&world, drill, "a drill whose server is stopped");
    }
}

#[test]
fn a_sandbox_server_that_is_killed_says_nothing_about_the_backup() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], &assertion("SELECT SLEEP(3600) = 0"));
        world.backup();
        let drill = begin(&world, &["--json", "drill"]);
        let pid = server_at_the_assertion(&world, product);
        signal(pid, Signal::KILL);
        let ran = ended(drill);
        assert!(ran.status == 4 && ran.stdout.contains("OOM killer"), "{ran:?}");
        world.assert_no_sandbox_left();
    }
}

#[test]
fn a_command_ends_when_asked_though_the_production_server_is_stopped() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], "");
        let directory = programs(&world, product, "dump", &script(&world, "until test -e ../go; do sleep 0.05; done"));
        use_programs(&world, &directory);
        world.backup_of_stopped(&server);
        // In the middle: the client waits for its data.
        let backup = begin(&world, &["backup"]);
        reached(&world);
        signal(server.pid(), Signal::STOP);
        let ran = ends_when_asked(&world, backup, "a backup whose server is stopped");
        signal(server.pid(), Signal::CONT);
        assert!(ran.status == 1 && ran.stderr.contains("cancelled"), "{ran:?}");
    }
}

impl World {
    /// From the very beginning: the first connection gets no answer.
    fn backup_of_stopped(&self, server: &Server) {
        signal(server.pid(), Signal::STOP);
        let backup = begin(self, &["backup"]);
        let lock = self.path("state/locks/shop.backup.lock");
        wait_for("the backup to begin", || lock.exists().then_some(()));
        let ran = ends_when_asked(self, backup, "a backup that is not greeted");
        signal(server.pid(), Signal::CONT);
        assert!(ran.status == 1, "{ran:?}");
    }
}

#[test]
fn a_command_ends_when_asked_though_a_client_program_is_stopped() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        for (program, command) in [("dump", "backup"), ("client", "drill"), ("dump", "drill")] {
            let world = World::new(&server, &["shop"], "");
            if command == "drill" {
                world.backup();
            }
            use_programs(&world, &programs(&world, product, program, &script(&world, "kill -STOP $$")));
            let running = begin(&world, &[command]);
            reached(&world);
            ends_when_asked(&world, running, &format!("{command} whose {program} program is stopped"));
        }
    }
}

#[test]
fn a_client_program_that_is_killed_makes_a_drill_inconclusive_and_a_backup_failed() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        for (program, command, status) in [("dump", "backup", 1), ("client", "drill", 4), ("dump", "drill", 4)] {
            let world = World::new(&server, &["shop"], "");
            if command == "drill" {
                world.backup();
            }
            use_programs(&world, &programs(&world, product, program, &script(&world, "kill -KILL $$")));
            let ran = world.run(&[command]);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert_eq!(ran.status, status, "{command} {program}: {ran:?}");
            assert!(said.contains("SIGKILL") && said.contains("OOM killer"), "{command} {program}: {ran:?}");
            world.assert_no_sandbox_left();
        }
    }
}

#[test]
fn a_dump_client_that_crashes_names_the_last_table_that_it_began() {
    for product in [Product::MariaDb, Product::MySql] {
        let server = shop(product);
        let world = World::new(&server, &["shop"], "");
        let crash = "\"$real\" \"$@\" > /dev/null\nkill -SEGV $$";
        use_programs(&world, &programs(&world, product, "dump", &script(&world, crash)));
        let ran = world.run(&["backup"]);
        assert_eq!(ran.status, 1, "{product:?}: {ran:?}");
        for words in ["(SIGSEGV)", "while it was at table a: ", "hint: the dump client itself crashed at"] {
            assert!(ran.stderr.contains(words), "{product:?}, {words}: {ran:?}");
        }
    }
}

#[test]
fn a_repository_that_hangs_blinds_neither_the_others_nor_itself() {
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/a"), "one").unwrap();
    let text = fs::read_to_string(world.path("config.toml")).unwrap();
    let (head, source) = text.split_once("[source.ansible]").unwrap();
    let other = "[repository.away]\nkind = \"restic\"\nurl = \"away\"\npassword_file = \"key\"\n";
    let head = head.replace("[sla.standard]", &format!("{other}[sla.standard]"));
    let second =
        source.replace("repository = \"local\"", "repository = \"away\"").replace("source.ansible", "source.far");
    let scheduler = "[scheduler]\nlisting_interval = \"1s\"\nlisting_timeout = \"2s\"\n";
    let text = format!("{head}[source.ansible]{source}\n[source.far]{second}\n{scheduler}");
    fs::write(world.path("config.toml"), text).unwrap();
    world.json(&["backup"], 0);
    let service = Service::start(&world);
    for name in ["local", "away"] {
        service.wait(&format!("repository_up{{repository=\"{name}\"}}"), |value| value == 1.0);
        service.wait(&format!("repository_size_bytes{{repository=\"{name}\"}}"), |value| value > 0.0);
    }
    assert_eq!(service.value("repository_look_interval_seconds{repository=\"away\"}"), 3.0);
    // Opening it waits for a writer that never comes.
    let (config, aside) = (world.path("away/config"), world.path("away/aside"));
    fs::rename(&config, &aside).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
    service.wait("repository_up{repository=\"away\"}", |value| value == 0.0);
    let metrics = service.get("/metrics");
    for gone in ["repository_size_bytes", "encryption_key_available"] {
        assert!(
            !metrics.contains(&format!("backup_sla_{gone}{{repository=\"away\"}} 1")),
            "{gone} outlives its evidence"
        );
    }
    let seen = service.value("repository_last_look_timestamp_seconds{repository=\"local\"}");
    service.wait("repository_last_look_timestamp_seconds{repository=\"local\"}", |value| value > seen + 2.0);
    assert_eq!(service.value("repository_up{repository=\"local\"}"), 1.0);
    // It comes back: whoever waits sees an end, and the next look is a good one.
    fs::rename(&aside, world.path("away/new")).unwrap();
    let waiting =
        rustix::fs::open(&config, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK, rustix::fs::Mode::empty());
    drop(waiting);
    fs::rename(world.path("away/new"), &config).unwrap();
    service.wait("repository_up{repository=\"away\"}", |value| value == 1.0);
    service.stop();
}

#[test]
fn a_link_in_place_of_a_lock_is_not_followed() {
    let world = crate::files::world("", "");
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/a"), "one").unwrap();
    world.json(&["backup"], 0);
    for name in ["locks/ansible.backup.lock", "ledger.lock"] {
        let (lock, elsewhere) = (world.path("state").join(name), world.path("elsewhere"));
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
        let ran = world.run(&["backup"]);
        assert!(ran.status == 1 && ran.stderr.contains(name), "{name}: {ran:?}");
        assert!(!elsewhere.exists(), "{name} was followed");
        fs::remove_file(&lock).unwrap();
    }
    world.json(&["backup"], 0);
}
