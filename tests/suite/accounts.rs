//! Accounts and grants: each comes back, whatever it is called and whatever it has, or is named.

use crate::support::{Product, Server, World, wrong};

const BOTH: [Product; 2] = [Product::MariaDb, Product::MySql];

#[test]
fn an_untouched_stock_server_passes_its_first_drill() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY); INSERT INTO app.t VALUES (1)");
        let world = World::new(&server, &[], "");
        world.backup();
        let drill = world.json(&["drill"], 0);
        assert_eq!(wrong(&drill), Vec::<String>::new(), "{product:?}");
        assert!(drill["checks"].to_string().contains("account root@localhost"), "{product:?}: {drill:#}");
        assert_eq!(drill["warnings"].to_string(), "[]", "{product:?}");
    }
}

/// Back up and drill: everything holds, and only `expected` is warned about.
fn drilled(server: &Server, world: &World, expected: &[&str]) {
    let backup = world.backup();
    let warnings = backup["warnings"].to_string();
    for words in expected {
        assert!(warnings.contains(words), "{words} in {:?}: {warnings}", server.product);
    }
    let drill = world.json(&["drill"], 0);
    assert_eq!(wrong(&drill), Vec::<String>::new(), "{:?}", server.product);
    assert_eq!(drill["warnings"].to_string(), "[]", "{:?}", server.product);
}

fn checked(world: &World, name: &str) -> bool {
    world.json(&["drill"], 0)["checks"].to_string().contains(&format!("\"account {name}\""))
}

const ROLES: [&str; 2] = [
    // Roles are listed by name: each of them is given one that comes later.
    "CREATE ROLE a_first; CREATE ROLE z_last; GRANT z_last TO a_first; GRANT SELECT ON app.* TO z_last; \
     CREATE USER bob@'%'; GRANT a_first TO bob@'%' WITH ADMIN OPTION; SET DEFAULT ROLE a_first FOR bob@'%'; \
     CREATE USER pat@'%'; GRANT PROXY ON bob@'%' TO pat@'%' WITH GRANT OPTION",
    "CREATE ROLE a_first, z_last; GRANT z_last TO a_first; GRANT SELECT ON app.* TO z_last; \
     CREATE USER aa@'%'; GRANT a_first, z_last TO aa@'%' WITH ADMIN OPTION; SET DEFAULT ROLE ALL TO aa@'%'; \
     CREATE USER ab@'%' DEFAULT ROLE z_last REQUIRE SSL ACCOUNT LOCK COMMENT 'DEFAULT ROLE x REQUIRE y'; \
     CREATE USER pat@'%' PASSWORD HISTORY 4; GRANT PROXY ON aa@'%' TO pat@'%' WITH GRANT OPTION",
];

#[test]
fn roles_proxies_and_grants_come_back_in_whatever_order_they_depend_on_each_other() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, name INT)");
        server.sql(ROLES[product as usize]);
        server.sql(
            "CREATE PROCEDURE app.Proc1() SELECT 1; CREATE USER `we;\\nird`@'%'; GRANT SELECT (name) ON app.t TO `we;\\nird`@'%'; \
             GRANT EXECUTE ON PROCEDURE app.Proc1 TO pat@'%'; GRANT SELECT ON app.t TO pat@'%'",
        );
        let world = World::new(&server, &[], "");
        drilled(&server, &world, &[]);
        assert!(checked(&world, "pat@%"));

        let target = Server::stock(product);
        let restored = restore(&world, &target, &[]);
        assert_eq!(restored["verified"], true, "{restored:#}");
        let who = if product == Product::MariaDb { "bob@'%'" } else { "aa@'%'" };
        for sql in
            [format!("SHOW GRANTS FOR {who}"), "SHOW GRANTS FOR pat@'%'".to_owned(), format!("SHOW CREATE USER {who}")]
        {
            assert_eq!(target.sql(&sql), server.sql(&sql), "{product:?}");
        }
    }
}

/// Restore into `target` as its administrator.
fn restore(world: &World, target: &Server, more: &[&str]) -> serde_json::Value {
    let to = target.destination();
    let mut arguments = vec!["restore", "shop", "--to", &to, "--user", &target.user];
    let file = world.path("target.pw");
    let file = file.to_string_lossy();
    if let Some(password) = &target.password {
        world.secret("target.pw", password);
        arguments.extend(["--password-file", &file]);
    }
    arguments.extend(more);
    world.json(&arguments, 0)
}
