//! From inside, nothing outside can be read, written or reached.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::*;
use crate::engine::influxdb::server::INSTALLATION;

/// What a program in the sandbox tries before it becomes the server. Each success is a line of `{dir}/reached`.
const PROBE: &str = r#"
reached() { echo "$1" >>"$dir/reached"; }
for path in "$secret" "$neighbour" /etc/shadow /etc/ssh /root /home /var/log /proc/1 /proc/meminfo /sys/kernel; do
    [ -e "$path" ] && reached "sees $path"
done
for path in /usr/local/*; do
    case ${path#/usr/local/} in bin | sbin | lib | lib32 | lib64 | libexec) continue ;; esac
    [ "$(ls -A "$path/" 2>/dev/null)" ] && reached "sees into $path"
done
cat "$secret" && reached "reads $secret"
(echo hostile >"$target/written") && reached "writes $target"
for path in / /etc /usr /usr/lib /tmp /dev; do
    (: >"$path/hostile") && reached "writes $path"
done
(exec 9<>"/dev/tcp/127.0.0.1/$port") && reached "connects to port $port"
[ -S "$socket" ] && reached "sees $socket"
mount -t tmpfs none /mnt && reached "mounts"
for process in "$owner" "$other"; do
    kill -0 "$process" && reached "signals $process"
done
kill -0 -1 && reached "signals others"
perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); exit !connect(S, pack("S a*", AF_UNIX, "\0$ARGV[0]"))' "$abstract" &&
    reached "connects to abstract socket $abstract"
perl -e 'exit !shmread($ARGV[0], $bytes, 0, 1)' "$shared" && reached "reads shared memory $shared"
for device in /dev/*; do
    case ${device#/dev/} in full | null | random | urandom | zero) ;; *) reached "sees $device" ;; esac
done
mknod "$dir/disk" b 8 0 && reached "makes a device"
for path in "${dir%/*}"/*; do
    [ "$path" = "$dir" ] || reached "sees $path"
done
[ "$root" ] && [ "$(id -u)" = 0 ] && reached "is root"
echo done >>"$dir/reached"
exec "$server" "$@"
"#;

/// The programs of `spec`, of which the server tries out what it can reach before it becomes the real one.
struct Probe(tempfile::TempDir);

impl Probe {
    fn new(spec: &ServerSpec, settings: &[(&str, String)]) -> Self {
        let open = fs::Permissions::from_mode(0o755);
        let place = tempfile::Builder::new().prefix("probe-").permissions(open.clone()).tempdir_in("/var/tmp").unwrap();
        let name = spec.installation.server[0];
        let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
        let server = program(name).display().to_string();
        // Outside it is asked what it is, and answers.
        let head =
            format!("#!/bin/bash\nserver={server}\ndir=$BACKUP_SLA_SANDBOX\n[ \"$dir\" ] || exec \"$server\" \"$@\"\n");
        let probe = place.path().join("bin").join(name);
        fs::create_dir(place.path().join("bin")).unwrap();
        fs::write(&probe, format!("{head}{}{PROBE}", settings.concat())).unwrap();
        for path in [&place.path().join("bin"), &probe] {
            fs::set_permissions(path, open.clone()).unwrap();
        }
        for name in spec.installation.initial.iter().filter_map(|initial| initial.programs.first()) {
            std::os::unix::fs::symlink(program(name), place.path().join("bin").join(name)).unwrap();
        }
        Self(place)
    }

    fn of(&self, spec: ServerSpec) -> ServerSpec {
        ServerSpec { programs: Some(self.0.path().join("bin")), ..spec }
    }
}

/// Shared memory of this host that anybody may read.
struct SharedMemory(String);

impl SharedMemory {
    fn new() -> Self {
        let made = Command::new("ipcmk").args(["--shmem", "4096", "--mode", "0666"]).output().unwrap();
        let text = String::from_utf8(made.stdout).unwrap();
        Self(text.rsplit(' ').next().unwrap().trim().to_owned())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let _ = Command::new("ipcrm").args(["--shmem-id", &self.0]).output();
    }
}

#[test]
fn a_program_inside_reads_writes_and_reaches_nothing_outside() {
    reaches_nothing(mariadb(), |instance| assert_eq!(query(instance, "SELECT 1"), "1"));
}

#[test]
fn a_program_with_ports_of_its_own_reaches_nothing_outside_either() {
    let configuration = Text::from("reporting-disabled = true\nbind-address = \"127.0.0.1:")
        .then(Place::Port("rpc"))
        .then("\"\nmeta = { dir = \"")
        .then(Place::Data)
        .then("/meta\" }\ndata = { dir = \"")
        .then(Place::Data)
        .then("/data\", wal-dir = \"")
        .then(Place::Data)
        .then("/wal\" }\nhttp = { bind-address = \"127.0.0.1:")
        .then(Place::Port("http"))
        .then("\", unix-socket-enabled = true, bind-socket = \"")
        .then(Place::Socket)
        .then("\" }\n");
    let influxdb = ServerSpec {
        options: vec![("config".to_owned(), Text::from(Place::Own).then("/influxd.toml"))],
        files: vec![("influxd.toml".to_owned(), configuration)],
        network: Network::Loopback(&["http", "rpc"]),
        greeting: Some("GET /ping HTTP/1.0\r\n\r\n"),
        ..server("InfluxDB", "1.6", &INSTALLATION)
    };
    reaches_nothing(influxdb, |instance| assert_eq!(instance.access().ports.len(), 2));
}

fn reaches_nothing(spec: ServerSpec, works: impl Fn(&dyn Instance)) {
    let state = State::new();
    let neighbour = provision(state.path(), "neighbour", &mariadb()).unwrap();
    let outside = tempfile::Builder::new().prefix("outside-").tempdir_in("/var/tmp").unwrap();
    for open in [outside.path(), state.path()] {
        // Only what the sandbox shows can be in the way, not the modes of files.
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    fs::write(outside.path().join("secret"), "rows of production").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let _socket = UnixListener::bind(outside.path().join("socket")).unwrap();
    let abstract_name = outside.path().file_name().unwrap().to_str().unwrap().to_owned();
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    let shared = SharedMemory::new();
    let at = |name: &str| outside.path().join(name).display().to_string();
    let settings = [
        ("abstract", abstract_name),
        ("shared", shared.0.clone()),
        // Where tools must get in, another user's server is root in a namespace in which that means nothing.
        ("root", if geteuid().is_root() { "yes" } else { "" }.to_owned()),
        ("other", neighbour.pid().unwrap().to_string()),
        ("secret", at("secret")),
        ("socket", at("socket")),
        ("target", outside.path().display().to_string()),
        ("neighbour", neighbour.directory().display().to_string()),
        ("port", listener.local_addr().unwrap().port().to_string()),
        ("owner", std::process::id().to_string()),
    ];
    let probe = Probe::new(&spec, &settings);
    let instance = provision(state.path(), "run1", &probe.of(spec)).unwrap();
    assert_eq!(instance.access().isolation, Isolation::View.describe());
    assert_eq!(fs::read_to_string(instance.directory().join("reached")).unwrap(), "done\n");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!outside.path().join("written").exists());
    let status = fs::read_to_string(format!("/proc/{}/status", instance.pid().unwrap())).unwrap();
    // A user namespace's bounding set is as it comes; nothing of it can be gained.
    let bound = geteuid().is_root().then_some("CapBnd:\t0000000000000000");
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"].into_iter().chain(bound) {
        assert!(status.contains(line), "{line} in {status}");
    }
    works(&*instance);
    let owner = |instance: &dyn Instance| instance.directory().metadata().unwrap().uid();
    assert_eq!(owner(&*instance) == owner(&*neighbour), !geteuid().is_root(), "each has an account of its own");
    let namespaces = |process: &str| {
        ["ipc", "mnt", "net", "pid"].map(|kind| fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap())
    };
    let (ours, theirs) = (namespaces("self"), namespaces(&instance.pid().unwrap().to_string()));
    assert!(ours.iter().zip(&theirs).all(|(ours, theirs)| ours != theirs), "{ours:?} {theirs:?}");
    instance.destroy().unwrap();
    neighbour.destroy().unwrap();
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}

/// What a dump can tell a server to do. The server takes it or refuses it; the host is the same afterwards.
fn hostile(directory: &str, port: u16) -> Vec<String> {
    [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (a INT PRIMARY KEY) ENGINE=InnoDB DATA DIRECTORY='@DIR'",
        "INSERT INTO d.t VALUES (1)",
        "CREATE TABLE d.m (a INT, KEY (a)) ENGINE=MyISAM DATA DIRECTORY='@DIR' INDEX DIRECTORY='@DIR'",
        "CREATE TABLE d.a (a INT, KEY (a)) ENGINE=Aria DATA DIRECTORY='@DIR' INDEX DIRECTORY='@DIR'",
        "CREATE TABLE d.p (a INT PRIMARY KEY) PARTITION BY RANGE (a) \
         (PARTITION x VALUES LESS THAN (9) DATA DIRECTORY='@DIR', PARTITION y VALUES LESS THAN MAXVALUE)",
        "CREATE TABLESPACE ts ADD DATAFILE '@DIR/ts.ibd' ENGINE=InnoDB",
        "CREATE TABLE d.csv (a INT) ENGINE=CONNECT TABLE_TYPE=CSV FILE_NAME='@DIR/rows.csv'",
        "CREATE TABLE d.f (a INT) ENGINE=FEDERATED CONNECTION='mysql://u:p@127.0.0.1:@PORT/d/t'",
        "SELECT * FROM d.f",
        "SELECT 1 INTO OUTFILE '@DIR/outfile'",
        "SELECT 1 INTO DUMPFILE '@DIR/dumpfile'",
        "LOAD DATA INFILE '@DIR/secret' INTO TABLE d.m",
        "CREATE FUNCTION sys_exec RETURNS INT SONAME 'lib_mysqludf_sys.so'",
        "CREATE FUNCTION hostile RETURNS INT SONAME '@DIR/hostile.so'",
        "INSTALL PLUGIN hostile SONAME 'hostile.so'",
        "SET GLOBAL general_log_file='@DIR/general.log'",
        "SET GLOBAL general_log=ON",
        "SET GLOBAL slow_query_log_file='@DIR/slow.log'",
        "SET GLOBAL secure_file_priv='@DIR'",
        "SET GLOBAL event_scheduler=ON",
        "CREATE DEFINER=root@localhost EVENT d.e ON SCHEDULE EVERY 1 SECOND DO SELECT 1 INTO OUTFILE '@DIR/event'",
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=@PORT, MASTER_USER='u', MASTER_PASSWORD='p'",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=@PORT, SOURCE_USER='u', SOURCE_PASSWORD='p'",
        "START SLAVE",
        "START REPLICA",
    ]
    .map(|sql| sql.replace("@DIR", directory).replace("@PORT", &port.to_string()))
    .to_vec()
}

/// Run the hostile statements in `spec` and hold the host against what it was.
fn is_contained(spec: &ServerSpec, client: &Path) {
    let state = State::new();
    let outside = tempfile::Builder::new().prefix("outside-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("secret"), "rows of production").unwrap();
    fs::set_permissions(outside.path().join("secret"), fs::Permissions::from_mode(0o666)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut spec = spec.clone();
    spec.outside = vec![outside.path().to_owned()];
    let instance = provision(state.path(), "run1", &spec).unwrap();
    let socket = format!("--socket={}", instance.access().socket.display());
    let mut answers = Vec::new();
    for sql in hostile(&outside.path().display().to_string(), listener.local_addr().unwrap().port()) {
        let mut client = Command::new(client);
        client.args(["--no-defaults", "--user=root", "--batch", "-e", &sql]).arg(&socket).stdin(Stdio::null());
        answers.push((client.output().unwrap().status.success(), sql));
    }
    let done = |start: &str| answers.iter().any(|(good, sql)| *good && sql.starts_with(start));
    // The definitions work, in a directory of the instance.
    assert!(done("CREATE TABLE d.t ") && done("INSERT INTO d.t") && done("CREATE TABLE d.p "), "{answers:?}");
    assert!(
        !done("LOAD DATA") && !done("SELECT 1 INTO OUTFILE") && !done("CREATE FUNCTION") && !done("INSTALL"),
        "{answers:?}"
    );
    let private = instance.directory().join("outside/0");
    assert!(private.join("d").is_dir(), "{:?}", fs::read_dir(&private).unwrap().collect::<Vec<_>>());
    let read = format!(
        "SELECT COALESCE(LOAD_FILE('{}'), LOAD_FILE('/etc/passwd'), 'nothing')",
        outside.path().join("secret").display()
    );
    assert_eq!(query_with(client, &*instance, &read), "nothing");
    // The event was due several times by now; the tables were flushed.
    query_with(client, &*instance, "SELECT SLEEP(2); FLUSH TABLES");
    let names: Vec<_> = fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "rows of production");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    instance.destroy().unwrap();
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn whatever_a_dump_says_mariadb_touches_nothing_outside() {
    let mut spec = mariadb();
    spec.options.push(("secure-file-priv".to_owned(), Place::Nowhere.into()));
    add(&mut spec, &[("plugin-load-add", "ha_federatedx")]);
    spec.libraries = vec!["ha_federatedx.so".to_owned()];
    is_contained(&spec, &program("mariadb"));
}

/// The view shows what is mounted below the programs too, and nothing of it can be written.
#[test]
fn what_is_mounted_below_a_tree_of_programs_is_seen_and_read_only() {
    let prefix = tempfile::Builder::new().prefix("a prefix-").tempdir_in("/var/tmp").unwrap();
    fs::create_dir_all(prefix.path().join("lib/below")).unwrap();
    let view = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();
    // A mount of its own below the prefix, as hosts have them below `/usr`.
    let before =
        "mount -t tmpfs -o noatime,noexec some \"$0/lib/below\" && echo there >\"$0/lib/below/file\" && exec \"$@\"";
    let inside = "cat \"$1/lib/below/file\" && for place in lib lib/below; do (: >\"$1/$place/written\") 2>/dev/null && echo written; done; \
                  : >\"$2/mine\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--ipc", "--mount", "--propagation", "private"]);
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", before]).arg(prefix.path()).args(["sh", "-c", view::SCRIPT, "sh"]).arg(view.path());
    let part = |command: &mut Command, kind: &str, place: &Path| {
        command.arg(kind).arg(place).arg(place);
    };
    for place in ["/usr", "/etc/ld.so.cache", "/dev/null"] {
        part(&mut command, "tree", Path::new(place));
    }
    for (link, place) in
        ["/bin", "/lib", "/lib64"].map(Path::new).iter().filter_map(|it| Some((it.read_link().ok()?, it)))
    {
        command.arg("link").arg(link).arg(place);
    }
    part(&mut command, "tree", prefix.path());
    part(&mut command, "own", own.path());
    command.arg("--").arg(own.path()).args(["sh", "-c", inside, "sh"]).arg(prefix.path()).arg(own.path());
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "there\n", "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && own.path().join("mine").exists(), "{ran:?}");
}

#[test]
fn whatever_a_dump_says_mysql_touches_nothing_outside() {
    let mut spec = mysql();
    // The last is what the engine says of the directories that a backup needs.
    add(&mut spec, &[("secure-file-priv", "NULL"), ("federated", "ON"), ("innodb-directories", "/var/tmp")]);
    is_contained(&spec, &mysql_program("mysql"));
}

#[test]
fn where_the_kernel_allows_less_the_instance_says_so_and_takes_no_definition_that_leads_outside() {
    let state = State::new();
    for (most, network) in [(Isolation::Account, false), (Isolation::Network, true)] {
        let sandbox = sandbox(state.path()).at_most(most);
        let provide = |spec: ServerSpec| provision_in(&sandbox, "run1", &spec);
        let instance = provide(mariadb()).unwrap();
        assert_eq!(instance.access().isolation, most.describe());
        let exposed = instance.access().exposure.clone().unwrap();
        assert_eq!(exposed.contains("this host's network"), !network, "{exposed}");
        assert_eq!(namespace::is_apart(instance.pid().unwrap()), network);
        assert_eq!(query(&*instance, "SELECT 1"), "1");
        instance.destroy().unwrap();
        let error = provide(ServerSpec { outside: vec![PathBuf::from("/x/ssd")], ..mariadb() }).err().unwrap();
        assert_eq!(error.kind(), Kind::Inconclusive);
        assert!(error.to_string().contains("cannot provide directory /x/ssd"), "{error}");
        let connected = provide(ServerSpec { connections: vec!["d.f".to_owned()], ..mariadb() });
        assert_eq!(connected.is_ok(), network, "a connection is made only where it leads nowhere");
        if let Some(error) = connected.err() {
            assert_eq!(error.kind(), Kind::Inconclusive);
            assert!(error.to_string().contains("cannot restore table d.f"), "{error}");
        }
    }
    let error = provision(state.path(), "run1", &ServerSpec { outside: vec!["/usr/share".into()], ..mariadb() });
    assert!(error.err().unwrap().to_string().contains("it is not free there"));
    assert_eq!(leftovers(state.path()), Vec::<PathBuf>::new());
}
