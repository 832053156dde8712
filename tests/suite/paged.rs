//! The page arrives: the real service, a real Prometheus with the rules as they are, a real Alertmanager with the sample's
//! routes, and a receiver. Everything is broken for real and mended again; what is short is the objectives, what Alertmanager
//! and the rules wait for, and how often is scraped.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::alerts::routing::Alertmanager;
use crate::network::free_port;
use crate::prometheus::{Prometheus, of_debian_12};
use crate::support::{Product, Running, Server, World, entries, wait_for};

/// Longest time for a page to arrive or to resolve.
const PATIENCE: Duration = Duration::from_secs(90);

/// Everything between a broken backup and a telephone.
struct Watch {
    world: World,
    server: Server,
    port: u16,
    service: Option<Running>,
    alertmanager: Alertmanager,
    _prometheus: Prometheus,
    /// Pages that were expected, resolved or not.
    expected: BTreeSet<String>,
}

/// The rules as they are, only evaluated every second and without their patience.
fn rules(world: &World) -> Vec<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let copy = |name: &str| {
        let text = fs::read_to_string(from.join(name)).unwrap();
        let hurried: Vec<String> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("interval: "))
            .map(|line| match line.trim_start() {
                "rules:" => format!("    interval: 1s\n{line}"),
                wait if wait.starts_with("for: ") => format!("{}for: 2s", &line[..line.len() - wait.len()]),
                _ => line.to_owned(),
            })
            .collect();
        let to = world.path(name);
        fs::write(&to, hurried.join("\n") + "\n").unwrap();
        to
    };
    ["backup-sla.rules.yml", "backup-sla.recording.yml"].map(copy).to_vec()
}

/// Programs of which the client, while the file `change` is there, changes a cell after what it loads into a sandbox.
fn meddling_programs(world: &World) -> PathBuf {
    let directory = world.path("programs");
    fs::create_dir(&directory).unwrap();
    let change = "SET @s = IF((SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'app' AND table_name = \
                  't') > 0, 'UPDATE app.t SET v = 99 WHERE id = 2', 'DO 0'); PREPARE p FROM @s; EXECUTE p;";
    let script = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then {{ cat; printf '%s\\n' \"{change}\"; }} | /usr/bin/mariadb \"$@\"; \
         else exec /usr/bin/mariadb \"$@\"; fi\n",
        world.path("change").display()
    );
    fs::write(directory.join("mariadb"), script).unwrap();
    fs::set_permissions(directory.join("mariadb"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/usr/bin/mariadb-dump", directory.join("mariadb-dump")).unwrap();
    directory
}

/// Objectives: `rpo` of `shop` and `quiet`, `rto` of `ansible`.
fn configure(world: &World, server: &Server, quiet: &str, rto: &str) {
    let sla = |name: &str, rpo: &str, rto: &str| {
        format!(
            "[sla.{name}]\nrpo = \"{rpo}\"\nrto = \"{rto}\"\nretention = \"30d\"\ndrill_interval = \"1h\"\nobjective_ratio = 0.001\n"
        )
    };
    let repository =
        |name: &str| format!("[repository.{name}]\nkind = \"restic\"\nurl = \"{name}\"\npassword_file = \"key\"\n");
    let text = format!(
        "state_dir = \"state\"\n{}{}{}{}{}\
         [source.shop]\nkind = \"mysql\"\nrepository = \"main\"\nsla = \"hasty\"\nschedule = {{ full = \"@every 3s\", drill = \"@every 3s\" }}\n\
         [source.shop.mysql]\nsocket = \"{}\"\nuser = \"root\"\ndatabases = [\"app\"]\nprograms = \"{}\"\n\
         [source.shop.sandbox]\nmemory = \"1GiB\"\n\
         [source.ansible]\nkind = \"files\"\nrepository = \"vault\"\nsla = \"tree\"\nschedule = {{ full = \"@every 5s\", drill = \"@every 3s\" }}\n\
         [source.ansible.files]\npaths = [\"tree\"]\n\
         [source.quiet]\nkind = \"files\"\nrepository = \"main\"\nsla = \"{quiet}\"\nschedule = {{ drill = \"@every 10m\" }}\n\
         [source.quiet.files]\npaths = [\"quiet\"]\n",
        repository("main"),
        repository("vault"),
        sla("hasty", "40s", "5m"),
        sla("patient", "1h", "5m"),
        sla("tree", "1h", rto),
        server.socket.display(),
        world.path("programs").display(),
    );
    fs::write(world.path("config.toml"), text).unwrap();
}

impl Watch {
    fn start() -> Self {
        let server = Server::start(Product::MariaDb);
        server.sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, v INT); INSERT INTO app.t VALUES (1, 1), (2, 2)");
        server.sql("CREATE TABLE app.many (v INT); INSERT INTO app.many VALUES (1), (2), (3), (4), (5), (6), (7), (8)");
        server.sql("INSERT INTO app.many SELECT a.v FROM app.many a, app.many b");
        let world = World { directory: tempfile::Builder::new().prefix("bsla-").tempdir().unwrap() };
        world.secret("key", "correct horse");
        meddling_programs(&world);
        for tree in ["tree", "quiet"] {
            fs::create_dir(world.path(tree)).unwrap();
            let noise = (0..20_000_u64).flat_map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            fs::write(world.path(tree).join("data"), noise.collect::<Vec<u8>>()).unwrap();
        }
        configure(&world, &server, "patient", "5m");
        for name in ["shop", "ansible", "quiet"] {
            world.json(&["backup", name], 0);
            world.json(&["drill", name], 0);
        }
        let (alertmanager, port) = (Alertmanager::start(), free_port());
        let files: Vec<String> = rules(&world).iter().map(|file| format!("'{}'", file.display())).collect();
        let prometheus = Prometheus::start(
            &of_debian_12(),
            &format!(
                "- job_name: backup-sla\n  static_configs: [ {{ targets: ['127.0.0.1:{port}'] }} ]\n\
                 rule_files: [{}]\nalerting:\n  alertmanagers:\n  - static_configs: [ {{ targets: ['{}'] }} ]\n",
                files.join(", "),
                alertmanager.address
            ),
        );
        let mut watch = Self {
            world,
            server,
            port,
            service: None,
            alertmanager,
            _prometheus: prometheus,
            expected: BTreeSet::new(),
        };
        watch.serve();
        watch
    }

    fn serve(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let mut command = self.world.command(&["serve", "--web.listen-address", &address]);
        let log = fs::File::options().create(true).append(true).open(self.world.path("log")).unwrap();
        self.service = Some(Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()));
    }

    fn reload(&self, quiet: &str, rto: &str) {
        configure(&self.world, &self.server, quiet, rto);
        let pid = rustix::process::Pid::from_child(&self.service.as_ref().unwrap().0);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    /// What receivers of `to` were told, newest state of each alert: `firing RpoBreached shop`.
    fn told(&self, to: &str) -> BTreeSet<String> {
        self.alertmanager.inbox.last_told(to)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: pages {:?}, tickets {:?}, log {:.3000}",
                self.told("pager"),
                self.told("tickets"),
                fs::read_to_string(self.world.path("log"))
                    .unwrap()
                    .lines()
                    .rev()
                    .take(10)
                    .collect::<Vec<_>>()
                    .join("\n")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Wait for these pages, and that nothing else is paged.
    fn is_paged(&mut self, alerts: &[&str]) {
        for alert in alerts {
            self.expected.insert((*alert).to_owned());
            self.wait(&format!("{alert} is paged"), |it| it.told("pager").contains(&format!("firing {alert}")));
            let (name, source) = alert.split_once(' ').unwrap();
            let text = self.alertmanager.inbox.text(name, source);
            // On what, what to type next, and where there is more to read.
            let wanted = ["`", &format!("docs/runbooks/BackupSla{name}.md"), source];
            assert!(wanted.iter().all(|it| *it == "-" || text.contains(it)), "{alert}: {text}");
        }
        self.nothing_else_was_paged();
    }

    /// Wait until everything that was paged has resolved.
    fn is_mended(&self) {
        self.wait("it resolves", |it| it.told("pager").iter().all(|told| told.starts_with("resolved ")));
        self.nothing_else_was_paged();
    }

    fn nothing_else_was_paged(&self) {
        let told = self.told("pager");
        let others: Vec<&String> =
            told.iter().filter(|told| !self.expected.contains(told.split_once(' ').unwrap().1)).collect();
        assert!(others.is_empty(), "nobody expected {others:?}");
    }
}

/// The biggest pack of a repository.
fn biggest_pack(repository: &Path) -> PathBuf {
    let packs = entries(&repository.join("data")).iter().flat_map(|dir| entries(dir)).collect::<Vec<_>>();
    packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap()
}

#[test]
fn what_breaks_is_paged_with_the_right_text_and_nothing_else_is_and_it_resolves_when_mended() {
    let mut watch = Watch::start();
    watch.wait("the dead man's switch is fed", |it| it.told("dead-mans-switch").contains("firing Watchdog -"));
    assert_eq!(watch.told("pager"), BTreeSet::new(), "all is well");

    // The database is down: a ticket, and a page once what was promised is broken.
    watch.server.stop();
    watch.wait("a ticket", |it| it.told("tickets").contains("firing BackupFailed shop"));
    watch.is_paged(&["RpoBreached shop"]);
    let text = watch.alertmanager.inbox.text("RpoBreached", "shop");
    assert!(text.contains("shop") && text.contains("40s"), "what was promised is in it: {text}");
    watch.server.start_again();
    // Not the ticket: Alertmanager does not tell that an alert resolved while another inhibited it.
    watch.is_mended();

    // A byte in the repository.
    let pack = biggest_pack(&watch.world.path("vault"));
    let whole = fs::read(&pack).unwrap();
    let mut broken = whole.clone();
    broken[whole.len() / 2] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, &broken).unwrap();
    watch.expected.insert("VerificationMismatch ansible".to_owned());
    watch.is_paged(&["DrillFailed ansible"]);
    let name = pack.file_name().unwrap().to_string_lossy().into_owned();
    let status = watch.world.run(&["status", "ansible"]).stdout;
    assert!(status.contains(&name[..8]), "the next command names what is broken: {status}");
    fs::write(&pack, &whole).unwrap();
    watch.is_mended();

    // A cell in the sandbox.
    fs::write(watch.world.path("change"), "").unwrap();
    watch.is_paged(&["DrillFailed shop", "VerificationMismatch shop"]);
    fs::remove_file(watch.world.path("change")).unwrap();
    watch.is_mended();

    // A promise that the measured recovery time does not keep.
    watch.reload("patient", "1ms");
    watch.is_paged(&["RtoBreached ansible"]);
    assert!(watch.alertmanager.inbox.text("RtoBreached", "ansible").contains("ansible"));
    watch.reload("patient", "5m");
    watch.is_mended();

    // A recovery point that grows too old, because nobody makes another.
    watch.reload("hasty", "5m");
    watch.is_paged(&["RpoBreached quiet"]);
    watch.world.json(&["backup", "quiet"], 0);
    watch.reload("patient", "5m");
    watch.is_mended();

    // Data that is gone: backups and drills are as good as ever.
    watch.server.sql("DELETE FROM app.many");
    watch.is_paged(&["DataSuspect shop"]);
    let text = watch.alertmanager.inbox.text("DataSuspect", "shop");
    assert!(text.contains("The last recovery point before that is of 20"), "{text}");
    assert_eq!(watch.world.run(&["accept-change", "shop"]).status, 0);
    watch.is_mended();

    // The test page: its code comes with the page and proves that it arrived.
    assert_eq!(watch.world.run(&["test-page"]).status, 0);
    watch.is_paged(&["TestPage -"]);
    let text = watch.alertmanager.inbox.text("TestPage", "-");
    let code = text.split("--confirm ").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    assert_eq!(watch.world.run(&["test-page", "--confirm", &code]).status, 0, "{text}");
    watch.is_mended();

    // Nobody looks any more.
    watch.service = None;
    watch.is_paged(&["ExporterAbsent -"]);
    watch.serve();
    watch.is_mended();
    wait_for("the service to look again", || {
        watch.told("pager").iter().all(|it| !it.starts_with("firing")).then_some(())
    });
}
