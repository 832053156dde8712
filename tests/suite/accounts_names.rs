//! Whatever a server accepts as a name of an account, role, database, table, column or routine comes back with its grants,
//! and none of it is ever read as a statement.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Product, Server, World, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];
/// What a careless reader would trip over.
const PARTS: [&str; 34] = [
    "`",
    "``",
    "'",
    "\"",
    "\\",
    "\\\\",
    ";",
    ";\n",
    "\n",
    "\r",
    "\t",
    " ",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "%",
    "_",
    "\\_",
    "\\%",
    "@",
    "@`%`",
    ".",
    ",",
    "(",
    ") ON ",
    " TO ",
    "ü",
    "日本",
    "é\u{301}",
    "\u{1}",
    ";\ncall app.x;\n#",
    "$$",
];
const WORDS: [&str; 16] = [
    "SELECT",
    "TABLE",
    "procedure",
    "PACKAGE",
    "BODY",
    "role",
    "All",
    "GRANT OPTION",
    "USER",
    "Delimiter",
    "WITH",
    "IDENTIFIED BY",
    "REQUIRE",
    "DEFAULT ROLE",
    "MixedCase",
    "ON *.*",
];

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    /// A name that no other is like, of at most `longest` characters.
    fn name(&mut self, number: usize, longest: usize) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(4) {
            let part = match self.below(5) {
                0 => WORDS[self.below(WORDS.len())],
                1 => "abcXYZ",
                _ => PARTS[self.below(PARTS.len())],
            };
            text.push_str(part);
        }
        if self.below(8) == 0 {
            text.push_str(&"x".repeat(longest));
        }
        let room = longest - 3;
        let text: String = text.chars().take(room).collect();
        // The server forgets white space at the end of an account's name when it is started again.
        let text = text.trim_end_matches(' ');
        if number.is_multiple_of(2) { format!("{text}{number}") } else { format!("{number}{text}") }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Accounts, roles and objects of generated names, each with a grant of each kind. What the server refuses is not there.
fn script(product: Product, seed: u64) -> String {
    let mut random = Seeded(seed);
    let mut out = String::from("DELIMITER \u{2}\u{3}\n");
    let mut line = |sql: String| {
        out.push_str(&sql);
        out.push_str("\u{2}\u{3}\n");
    };
    let longest_user = if product == Product::MySql { 32 } else { 80 };
    for number in 10..55 {
        let mut host = if number % 3 == 0 { "%".to_owned() } else { random.name(number, 40) };
        // MySQL keeps a question mark for any other letter.
        host.retain(|c| c.is_ascii());
        let user = format!("{}@{}", quoted(&random.name(number, longest_user)), quoted(&host));
        let role = quoted(&random.name(number, longest_user));
        let database = quoted(&random.name(number, 64));
        let (table, column) = (quoted(&random.name(number, 64)), quoted(&random.name(number, 64)));
        let routine = quoted(&random.name(number, 64));
        line(format!("CREATE USER {user}"));
        line(format!("CREATE ROLE {role}"));
        line(format!("GRANT {role} TO {user}"));
        line(match product {
            Product::MariaDb => format!("SET DEFAULT ROLE {role} FOR {user}"),
            Product::MySql => format!("SET DEFAULT ROLE {role} TO {user}"),
        });
        line(format!("CREATE DATABASE {database}"));
        line(format!("CREATE TABLE {database}.{table} ({column} INT, other INT)"));
        line(format!("CREATE PROCEDURE {database}.{routine}() SELECT 1"));
        line(format!("GRANT SELECT, INSERT ON {database}.* TO {user} WITH GRANT OPTION"));
        line(format!("GRANT UPDATE ON {database}.{table} TO {role}"));
        line(format!("GRANT SELECT ({column}), REFERENCES (other, {column}) ON {database}.{table} TO {user}"));
        // Both servers write other letters into grants on routines as if they were Latin-1: such a grant is on nothing.
        if [&user, &database, &routine].iter().all(|name| name.is_ascii()) {
            line(format!("GRANT EXECUTE ON PROCEDURE {database}.{routine} TO {user}"));
        }
    }
    out
}

/// Every privilege that the server keeps, as its own tables have it. Routines are the same whatever the case of their names.
fn privileges(server: &Server) -> Vec<(String, String)> {
    let not_ours = "User NOT IN ('backup_sla_drill')";
    let roles = match server.product {
        Product::MariaDb => {
            "SELECT HEX(Host), HEX(User), HEX(Role), Admin_option FROM mysql.roles_mapping ORDER BY 1, 2, 3"
        }
        Product::MySql => {
            "SELECT HEX(FROM_HOST), HEX(FROM_USER), HEX(TO_HOST), HEX(TO_USER) FROM mysql.role_edges ORDER BY 1, 2, 3, 4"
        }
    };
    let accounts = match server.product {
        Product::MariaDb => {
            "SELECT HEX(User), HEX(Host), is_role, HEX(default_role), plugin FROM mysql.user WHERE User <> 'root' ORDER BY 1, 2"
        }
        Product::MySql => {
            "SELECT HEX(u.User), HEX(u.Host), account_locked, plugin, HEX(DEFAULT_ROLE_USER) FROM mysql.user u LEFT JOIN \
             mysql.default_roles d ON d.USER = u.User AND d.HOST = u.Host WHERE u.User <> 'root' ORDER BY 1, 2"
        }
    };
    let of = |sql: &str| (sql.to_owned(), server.sql(sql));
    vec![
        of(accounts),
        of(roles),
        of(&format!(
            "SELECT HEX(Db), HEX(User), HEX(Host), Select_priv, Insert_priv, Grant_priv, Execute_priv FROM mysql.db WHERE {not_ours} ORDER BY 1, 2, 3"
        )),
        of(
            "SELECT HEX(Db), HEX(User), HEX(Host), HEX(Table_name), Table_priv, Column_priv FROM mysql.tables_priv ORDER BY 1, 2, 3, 4",
        ),
        of(
            "SELECT HEX(Db), HEX(User), HEX(Host), HEX(Table_name), HEX(Column_name), Column_priv FROM mysql.columns_priv ORDER BY 1, 2, 3, 4, 5",
        ),
        of(
            "SELECT HEX(Db), HEX(User), HEX(Host), HEX(LOWER(Routine_name)), Routine_type, Proc_priv FROM mysql.procs_priv ORDER BY 1, 2, 3, 4",
        ),
    ]
}

#[test]
fn any_name_that_a_server_accepts_comes_back_with_its_grants_and_runs_nothing() {
    for product in BOTH {
        let server = Server::start(product);
        server.sql(
            "CREATE DATABASE app; CREATE TABLE app.log (a INT); CREATE PROCEDURE app.x() INSERT INTO app.log VALUES (1)",
        );
        let mut client = server.client();
        client.args(["--force", "--binary-mode"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = client.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script(product, 0x5eed_0011).as_bytes()).unwrap();
        child.wait().unwrap();
        let before = privileges(&server);
        let counted: Vec<usize> = before.iter().map(|(_, rows)| rows.lines().count()).collect();
        assert!(counted.iter().all(|rows| *rows >= 20), "most names are accepted by {product:?}: {counted:?}");

        let world = World::new(&server, &[], "");
        let backup = world.backup();
        assert!(!backup["warnings"].to_string().contains("account "), "none is left out: {backup:#}");
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), [""; 0], "{product:?}: {backup:#}");
        let target = Server::start(product);
        let restored = world.json(&["restore", "shop", "--to", &target.destination()], 0);
        assert_eq!(restored["verified"], true, "{product:?}: {restored:#}");
        for ((sql, before), (_, after)) in before.iter().zip(privileges(&target)) {
            assert_eq!(*before, after, "{product:?}: {sql}");
        }
        for there in [&server, &target] {
            assert_eq!(there.sql("SELECT COUNT(*) FROM app.log"), "0", "{product:?}");
        }
    }
}
