//! The real restore as people type it: accounts come back, the destination's own are not taken away in silence, refusals
//! say what to do, and every command of docs/restore.md runs.

use std::fs;
use std::path::Path;

use crate::network::free_port;
use crate::support::{Product, Ran, Server, World};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

fn documented(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap()
}

/// Code of one language below a heading, up to the next heading.
fn blocks(page: &str, heading: &str, language: &str) -> Vec<String> {
    let text = documented(page);
    let (_, section) = text.split_once(&format!("{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let opening = format!("```{language}\n");
    section.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn shop(server: &Server) -> World {
    server.sql(
        "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); INSERT INTO app.t VALUES (1); \
         CREATE USER app@'%' IDENTIFIED BY 'of the backup'; GRANT SELECT ON app.* TO app@'%'",
    );
    let world = World::new(server, &[], "");
    world.backup();
    world
}

/// A stock server that is reached over TCP, with the account that the documentation makes.
fn over_tcp(product: Product) -> (Server, String) {
    let port = free_port();
    let server = Server::stock_with(product, &[&format!("--port={port}"), "--bind-address=127.0.0.1"]);
    (server, format!("127.0.0.1:{port}"))
}

fn make_documented_account(server: &Server) {
    let sql = &blocks("mysql-privileges.md", "## The account at the destination", "sql")[server.product as usize];
    server.sql(&sql.replace("BACKUP-HOST", "%").replace('…', "for a while"));
}

fn grants(server: &Server, who: &str) -> String {
    server.sql(&format!("SHOW CREATE USER {who}; SHOW GRANTS FOR {who}"))
}

#[test]
fn the_documented_account_restores_everything_and_says_what_became_of_accounts() {
    for product in BOTH {
        let source = Server::stock(product);
        let world = shop(&source);
        let (target, place) = over_tcp(product);
        make_documented_account(&target);
        world.secret("restore.pw", "for a while");
        let (to, file) = (format!("mysql://restore@{place}"), world.path("restore.pw").display().to_string());
        let arguments = ["restore", "shop", "--to", &to, "--password-file", &file];
        let ran = world.run(&arguments);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.stdout.contains("verified: ") && ran.stdout.contains("accounts: "), "{ran:?}");
        assert_eq!(grants(&target, "app@'%'"), grants(&source, "app@'%'"), "{product:?}");
        // The next backup works at once: the account that backs up came back.
        let root = grants(&target, "root@localhost");
        assert_eq!(root, grants(&target, "root@localhost"));

        let again = world.json(&[&arguments[..], &["--overwrite", "--no-accounts"]].concat(), 0);
        assert_eq!(again["accounts"]["asked"], false, "{again:#}");
        let table = world.run(&[&arguments[..], &["--overwrite", "--table", "app.t"]].concat());
        assert!(table.stdout.contains("accounts: none brought back"), "{table:?}");
    }
}

#[test]
fn accounts_of_the_destination_are_kept_unless_they_may_be_overwritten() {
    for product in BOTH {
        let source = Server::stock(product);
        let world = shop(&source);
        // Here the administrator of the source is not the destination's.
        let (target, place) = over_tcp(product);
        target.sql("CREATE USER app@'%' IDENTIFIED BY 'of the destination'; CREATE DATABASE mine; GRANT INSERT ON mine.* TO app@'%'");
        target.sql("CREATE USER other@'%' IDENTIFIED BY 'x'");
        make_documented_account(&target);
        world.secret("restore.pw", "for a while");
        let before = target.sql("SHOW CREATE USER app@'%'");
        let (to, file) = (format!("mysql://restore@{place}"), world.path("restore.pw").display().to_string());
        let arguments = ["restore", "shop", "--to", &to, "--password-file", &file];
        let kept = world.json(&arguments, 0);
        assert_eq!(kept["verified"], true, "{kept:#}");
        assert!(kept["accounts"]["kept"].to_string().contains("app@%"), "{kept:#}");
        assert!(kept["warnings"].to_string().contains("account app@% keeps the password"), "{kept:#}");
        assert!(kept["warnings"].to_string().contains("and was given the backup's grants"), "{kept:#}");
        assert_eq!(target.sql("SHOW CREATE USER app@'%'"), before, "{product:?}");
        assert!(target.sql("SHOW GRANTS FOR app@'%'").contains("SELECT ON `app`"), "{product:?}");

        let replaced = world.json(&[&arguments[..], &["--overwrite"]].concat(), 0);
        assert_eq!(replaced["verified"], true, "{replaced:#}");
        assert_eq!(grants(&target, "app@'%'"), grants(&source, "app@'%'"), "{product:?}");
        assert!(target.sql("SELECT COUNT(*) FROM mysql.user WHERE User = 'other'") == "1");
    }
}

#[test]
fn an_account_stays_as_it_is_when_the_destination_refuses_its_successor() {
    for product in BOTH {
        // MariaDB cannot hold a hash to the rules for passwords; MySQL lacks the plugin.
        let (source, target, identified) = match product {
            Product::MariaDb => {
                let rules = "--plugin-load-add=simple_password_check";
                (Server::stock(product), Server::stock_with(product, &[rules]), "BY 'of the backup'")
            }
            Product::MySql => {
                let plugin = "--plugin-load-add=auth_socket.so";
                (Server::stock_with(product, &[plugin]), Server::stock(product), "WITH auth_socket")
            }
        };
        source.sql(&format!(
            "CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); CREATE USER app@'%' IDENTIFIED {identified}; \
             GRANT SELECT ON app.* TO app@'%'"
        ));
        let world = World::new(&source, &[], "");
        world.backup();
        target.sql("CREATE USER app@'%' IDENTIFIED BY 'Of the destination 1'; GRANT INSERT ON mine.* TO app@'%'");
        let before = grants(&target, "app@'%'");
        world.secret("target.pw", target.password.as_deref().unwrap_or("none"));
        let (to, file) = (target.destination(), world.path("target.pw").display().to_string());
        let arguments =
            ["restore", "shop", "--to", &to, "--user", &target.user, "--password-file", &file, "--overwrite"];
        let restored = world.json(&arguments, 3);
        assert_eq!(grants(&target, "app@'%'"), before, "{product:?}: {restored:#}");
        assert!(restored["accounts"]["refused"].to_string().contains("app@%"), "{restored:#}");
        assert!(restored["warnings"].to_string().contains("it stays as the destination had it"), "{restored:#}");
    }
}

#[test]
fn the_account_that_restores_keeps_its_password_and_the_output_says_so() {
    for product in BOTH {
        let source = Server::stock(product);
        source.sql("CREATE USER dba@localhost IDENTIFIED BY 'of the source'; GRANT ALL ON *.* TO dba@localhost WITH GRANT OPTION");
        let world = shop(&source);
        let target = Server::stock(product);
        target.sql("CREATE USER dba@localhost IDENTIFIED BY 'of the destination'; GRANT ALL ON *.* TO dba@localhost WITH GRANT OPTION");
        let proxy = if product == Product::MariaDb { "''@'%'" } else { "''@''" };
        target.sql(&format!("GRANT PROXY ON {proxy} TO dba@localhost WITH GRANT OPTION"));
        world.secret("dba.pw", "of the destination");
        let (to, file) = (target.destination(), world.path("dba.pw").display().to_string());
        let arguments = ["restore", "shop", "--to", &to, "--user", "dba", "--password-file", &file, "--overwrite"];
        let restored = world.json(&arguments, 0);
        assert_eq!(restored["verified"], true, "{restored:#}");
        assert!(restored["accounts"]["kept"].to_string().contains("dba@localhost"), "{restored:#}");
        assert!(
            restored["warnings"].to_string().contains("the restore itself signs in with this account"),
            "{restored:#}"
        );
    }
}

#[test]
fn an_account_with_a_password_signs_in_on_the_socket_before_any_other_client_did() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql(
            "CREATE DATABASE d; CREATE USER backup@localhost IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO backup@localhost",
        );
        let world = World::new(&server, &[], "");
        let configuration = fs::read_to_string(world.path("config.toml")).unwrap();
        let configuration = configuration
            .replace(&format!("user = \"{}\"\npassword_file = \"source.pw\"", server.user), "user = \"root\"")
            .replace("user = \"root\"", "user = \"backup\"\npassword_file = \"backup.pw\"");
        fs::write(world.path("config.toml"), configuration).unwrap();
        world.secret("backup.pw", "pw");
        // Nobody has signed in as it, so MySQL's cache of passwords does not know it; so it is after each start, too.
        world.backup();
    }
}

fn hinted(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.status, 1, "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "`{part}` in {}", ran.stderr);
    }
}

#[test]
fn a_refused_destination_says_which_account_it_wants() {
    let world = shop(&Server::stock(Product::MariaDb));
    let (target, place) = over_tcp(Product::MariaDb);
    let to = format!("mysql://root@{place}");
    hinted(
        &world.run(&["restore", "shop", "--to", &to]),
        &["1698", "ALL PRIVILEGES WITH GRANT OPTION", "unix:/run/mysqld"],
    );
    target.sql("CREATE USER few@'%' IDENTIFIED BY 'pw'; GRANT SELECT, INSERT, CREATE ON *.* TO few@'%'");
    world.secret("few.pw", "pw");
    let (to, file) = (format!("mysql://few@{place}"), world.path("few.pw").display().to_string());
    let ran = world.run(&["restore", "shop", "--to", &to, "--password-file", &file]);
    hinted(&ran, &["few@% lacks", "DROP on `app`.*", "CREATE USER on *.*", "ALL PRIVILEGES ON *.* WITH GRANT OPTION"]);
    assert_eq!(target.sql("SHOW DATABASES LIKE 'app'"), "", "nothing was begun");
}

#[test]
fn every_reason_for_a_refused_connection_has_its_own_hint() {
    for product in BOTH {
        let (server, place) = over_tcp(product);
        server.sql("CREATE DATABASE d; CREATE USER backup@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO backup@'127.0.0.1'");
        let world = World::new(&server, &[], "");
        world.secret("pw", "pw");
        world.secret("wrong", "wrong");
        let port = place.rsplit_once(':').unwrap().1;
        let programs = match product {
            Product::MariaDb => String::new(),
            Product::MySql => format!("programs = \"{}\"\n", crate::support::mysql_programs().display()),
        };
        let source = |user: &str, password: &str, port: &str| {
            world.configure(&format!(
                "[source.shop.mysql]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\npassword_file = \"{password}\"\n{programs}"
            ));
            world.run(&["backup"])
        };
        assert_eq!(source("backup", "pw", port).status, 0, "{product:?}");
        hinted(&source("backup", "wrong", port), &["1045", "the password is wrong"]);
        hinted(&source("backup", "pw", &free_port().to_string()), &["nothing listens there"]);
        server.sql("ALTER USER backup@'127.0.0.1' ACCOUNT LOCK");
        hinted(&source("backup", "pw", port), &["ACCOUNT UNLOCK"]);
        server.sql("ALTER USER backup@'127.0.0.1' ACCOUNT UNLOCK; ALTER USER backup@'127.0.0.1' PASSWORD EXPIRE");
        hinted(&source("backup", "pw", port), &["the password has expired"]);
        server.sql("ALTER USER backup@'127.0.0.1' IDENTIFIED BY 'pw' WITH MAX_CONNECTIONS_PER_HOUR 1");
        source("backup", "pw", port);
        hinted(&source("backup", "pw", port), &["1226", "MAX_CONNECTIONS_PER_HOUR 0"]);
        server.sql("RENAME USER backup@'127.0.0.1' TO backup@'192.0.2.1'");
        hinted(&source("backup", "pw", port), &["there is no such account for this host"]);
    }
}

#[test]
fn every_command_of_the_restore_page_runs() {
    let source = Server::stock(Product::MariaDb);
    source
        .sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); INSERT INTO shop.orders VALUES (1)");
    let world = World::new(&source, &[], "");
    world.secret("restore.pw", "for a while");
    let tree = world.path("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("site.yml"), "- hosts: all\n").unwrap();
    let mysql = format!("[source.shop.mysql]\nsocket = \"{}\"\nuser = \"{}\"\n", source.socket.display(), source.user);
    let files = format!(
        "[source.ansible]\nkind = \"files\"\nrepository = \"local\"\nsla = \"standard\"\nschedule = {{ full = \"0 2 * * *\" }}\n\
         [source.ansible.files]\npaths = [\"{}\"]\n",
        tree.display()
    );
    world.configure_source("shop", "mysql", &(mysql + &files));
    assert_eq!(world.run(&["backup"]).status, 0);
    let now = (chrono::Utc::now() + chrono::TimeDelta::seconds(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let listed = world.run(&["--json", "list", "shop"]).stdout;
    let listed: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let point = format!("--recovery-point {}", listed["id"].as_str().unwrap());
    // The same server with an increment, for moments between two backups.
    let chained = World::new(&source, &[], "");
    chained.secret("restore.pw", "for a while");
    chained.backup();
    source.sql("INSERT INTO shop.orders VALUES (2)");
    chained.json(&["backup", "shop", "--incremental"], 0);
    let around = chrono::Utc::now().to_rfc3339();
    let logged = chained.json(&["events", "shop", "--around", &around, "--within", "1h"], 0);
    let of = |field: &str| logged[field].as_str().unwrap().to_owned();
    let page = documented("restore.md");
    let (_, page) = page.split_once('\n').unwrap();
    let mut ran = 0;
    for line in page.split("```sh\n").skip(1).flat_map(|rest| rest.split("```").next().unwrap().lines()) {
        // The place is made below.
        if line.starts_with("mkdir /srv/restored") {
            continue;
        }
        let (target, place) = over_tcp(Product::MariaDb);
        make_documented_account(&target);
        // "The old place" is the source itself; everything else on a socket is the new server.
        let is_source = line.ends_with("sock --overwrite") || line.contains("verify");
        let socket = if is_source { source.destination() } else { target.destination() };
        let restored = world.path("restored");
        fs::create_dir_all(&restored).unwrap();
        let words: Vec<String> = line
            .strip_prefix("backup-sla ")
            .unwrap_or_else(|| panic!("not a command: {line}"))
            .replace("unix:/run/mysqld/mysqld.sock", &socket)
            .replace("NEW-HOST:3306", &place)
            .replace("OLD-NAME", rustix::system::uname().nodename().to_str().unwrap())
            .replace("/root/restore.pw", &world.path("restore.pw").display().to_string())
            .replace("/srv/restored", &restored.display().to_string())
            .replace("2026-11-26T11:29:00Z", &now)
            .replace("binlog.000042:1337", &of("position"))
            .replace("0-1-57", &of("gtid"))
            .replace("--recovery-point ID", &point)
            .split(' ')
            .map(str::to_owned)
            .collect();
        // InfluxDB's command is run by the suite of that engine.
        if !line.contains("telegraf") {
            let world = if line.contains("--before-") { &chained } else { &world };
            let done = world.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(done.status, 0, "{line}: {done:?}");
            ran += 1;
        }
    }
    assert!(ran >= 8, "{ran}");
}
