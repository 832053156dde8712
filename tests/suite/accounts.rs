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

#[test]
fn grants_on_packages_and_to_everybody_come_back() {
    let server = Server::stock(Product::MariaDb);
    server.sql(
        "CREATE DATABASE app; CREATE USER u@'%'; SET sql_mode = ORACLE;\nDELIMITER //\n\
         CREATE PACKAGE app.Pack AS PROCEDURE p1(); END//\n\
         CREATE PACKAGE BODY app.Pack AS PROCEDURE p1() AS BEGIN NULL; END; END//\nDELIMITER ;\n\
         GRANT EXECUTE ON PACKAGE app.Pack TO u@'%'; GRANT EXECUTE ON PACKAGE BODY app.Pack TO u@'%'; \
         GRANT SELECT ON app.* TO PUBLIC; CREATE ROLE zr; GRANT zr TO PUBLIC",
    );
    let world = World::new(&server, &[], "");
    drilled(&server, &world, &[]);
    assert!(checked(&world, "PUBLIC"));
    let target = Server::stock(Product::MariaDb);
    assert_eq!(restore(&world, &target, &[])["verified"], true);
    for sql in ["SHOW GRANTS FOR u@'%'", "SHOW GRANTS FOR PUBLIC"] {
        assert_eq!(target.sql(sql), server.sql(sql));
    }
    assert!(target.sql("SHOW GRANTS FOR u@'%'").contains("PACKAGE BODY"));
    // The file is for people, too.
    let person = Server::stock(Product::MariaDb);
    let file = world.restic(&["dump", "latest", "--tag", "source=shop", "/shop/accounts.sql"]).stdout;
    person.sql("CREATE DATABASE app");
    let output = with_input(person.client().args(["--force", "--binary-mode"]), &file);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("syntax"), "{output:?}");
    assert_eq!(person.sql("SHOW GRANTS FOR PUBLIC"), server.sql("SHOW GRANTS FOR PUBLIC"));
}

fn with_input(command: &mut std::process::Command, input: &[u8]) -> std::process::Output {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn names_never_become_statements() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql(
            "CREATE DATABASE app; CREATE TABLE app.log (id INT); CREATE PROCEDURE app.x() INSERT INTO app.log VALUES (1); \
             CREATE PROCEDURE app.`A;\ncall app.x;\n#`() SELECT 1; CREATE USER `u;\ncall app.x;\n#`@'%'; \
             CREATE USER `ON *.* TO x`@'%'; GRANT EXECUTE ON PROCEDURE app.`A;\ncall app.x;\n#` TO `u;\ncall app.x;\n#`@'%'; \
             CREATE TABLE app.`t TO ``x``` (`a) ON b.c TO d` INT); \
             GRANT SELECT (`a) ON b.c TO d`) ON app.`t TO ``x``` TO `ON *.* TO x`@'%'",
        );
        let world = World::new(&server, &[], "");
        drilled(&server, &world, &[]);
        let target = Server::stock(product);
        assert_eq!(restore(&world, &target, &[])["verified"], true);
        assert_eq!(target.sql("SELECT COUNT(*) FROM app.log"), "0", "{product:?}");
    }
}

#[test]
fn odd_session_defaults_and_a_missing_system_account_do_not_stop_a_backup() {
    for mode in ["PAD_CHAR_TO_FULL_LENGTH,STRICT_TRANS_TABLES", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ORACLE"] {
        let server = Server::stock_with(Product::MariaDb, &[&format!("--sql-mode={mode}")]);
        server
            .sql("CREATE DATABASE app; CREATE ROLE r; CREATE USER u@'%'; GRANT r TO u@'%'; GRANT SELECT ON app.* TO r");
        // Without it `mysql.user`, which is a view in its name, cannot be read.
        server.sql("DROP USER 'mariadb.sys'@localhost");
        let world = World::new(&server, &[], "");
        drilled(&server, &world, &[]);
        assert!(checked(&world, "u@%"), "{mode}");
        let target = Server::stock(Product::MariaDb);
        assert_eq!(restore(&world, &target, &[])["verified"], true, "{mode}");
        assert!(target.sql("SHOW GRANTS FOR u@'%'").contains("GRANT `r` TO"), "{mode}");
    }
}

#[test]
fn an_account_that_the_server_ignores_is_named_and_the_others_are_safe() {
    let mut server = Server::stock_with(Product::MariaDb, &["--skip-name-resolve"]);
    server.sql(
        "CREATE DATABASE app; CREATE USER u@'host.example', v@'10.0.0.1'; CREATE USER backup_sla_drill@'10.0.0.1'",
    );
    // A crash must not take the accounts with it.
    server.sql("FLUSH ENGINE LOGS");
    server.stop();
    server.start_again();
    let world = World::new(&server, &[], "");
    drilled(
        &server,
        &world,
        &["account u@host.example is left out: the server ignores it", "account backup_sla_drill@10.0.0.1 is left out"],
    );
    assert!(checked(&world, "v@10.0.0.1"));
}

#[test]
fn views_and_routines_of_definers_with_few_rights_come_back() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql(
            "CREATE DATABASE app; USE app; CREATE USER few@'%'; CREATE TABLE t (a INT); CREATE DEFINER=few@'%' FUNCTION f() \
             RETURNS INT DETERMINISTIC RETURN 1; GRANT SELECT ON app.t TO few@'%'; GRANT EXECUTE ON FUNCTION app.f TO few@'%'; \
             CREATE DEFINER=few@'%' VIEW z AS SELECT a, f() x FROM t; GRANT SELECT ON app.z TO few@'%'; \
             CREATE DEFINER=few@'%' VIEW b AS SELECT * FROM z",
        );
        let world = World::new(&server, &[], "");
        drilled(&server, &world, &[]);
        let target = Server::stock(product);
        assert_eq!(restore(&world, &target, &[])["verified"], true);
        assert_eq!(target.sql("SELECT COUNT(*) FROM app.b"), "0");
    }
}

/// What a column was granted before it was dropped stays in the server's tables and cannot be granted again.
#[test]
fn a_grant_on_a_column_that_is_gone_is_named_and_the_rest_of_it_comes_back() {
    for product in BOTH {
        let server = Server::stock(product);
        server.sql(
            "CREATE DATABASE app; CREATE TABLE app.t (a INT, b INT, c INT); CREATE USER u@'%', w@'%'; \
             GRANT SELECT (b), INSERT (b, c) ON app.t TO u@'%'; GRANT SELECT (b) ON app.t TO w@'%'; ALTER TABLE app.t DROP b",
        );
        let world = World::new(&server, &[], "");
        drilled(
            &server,
            &world,
            &[
                "account u@% has SELECT (`b`) on app.t, which has no such column any more: this grant is NOT in the backup",
                "account u@% has INSERT (`b`) on app.t",
                "account w@% has SELECT (`b`) on app.t",
            ],
        );
        let target = Server::stock(product);
        let restored = restore(&world, &target, &[]);
        assert_eq!((&restored["verified"], &restored["accounts"]["refused"]), (&true.into(), &serde_json::json!([])));
        assert!(target.sql("SHOW GRANTS FOR u@'%'").contains("GRANT INSERT (`c`) ON `app`.`t`"));
        assert_eq!(target.sql("SHOW GRANTS FOR w@'%'"), "GRANT USAGE ON *.* TO `w`@`%`");
        // The server that still has it is as promised.
        let against = server.destination();
        let mut arguments = vec!["verify", "shop", "--against", &against, "--accounts", "--user", &server.user];
        let file = world.path("source.pw");
        let file = file.to_string_lossy();
        if server.password.is_some() {
            arguments.extend(["--password-file", &file]);
        }
        assert_eq!(wrong(&world.json(&arguments, 0)), [""; 0], "{product:?}");
    }
}

#[test]
fn roles_that_everybody_has_by_a_setting_are_default_roles_in_the_drill_too() {
    let server = Server::stock(Product::MySql);
    server.sql(
        "CREATE DATABASE app; CREATE ROLE r, own; SET PERSIST mandatory_roles = 'r,own'; SET PERSIST activate_all_roles_on_login = ON; \
         CREATE USER u@'%', v@'%'; GRANT own TO v@'%'; SET DEFAULT ROLE ALL TO u@'%', v@'%'",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 0);
    assert_eq!(wrong(&drill), [""; 0]);
    assert_eq!(drill["sandbox"]["mandatory_roles"], "r,own");
    let target = Server::stock(Product::MySql);
    let refused = refused(&world, &target, &[]);
    assert!(refused.contains("account u@% has a default role that only mandatory_roles gives it"), "{refused}");
    assert!(refused.contains("SET PERSIST mandatory_roles = 'r,own'"), "{refused}");
    assert_eq!(target.sql("SHOW DATABASES LIKE 'app'"), "", "nothing was begun");
    target.sql("SET PERSIST mandatory_roles = 'r,own'");
    let restored = restore(&world, &target, &[]);
    assert_eq!(restored["verified"], true);
    assert!(restored["warnings"].to_string().contains("SET PERSIST activate_all_roles_on_login = ON"), "{restored:#}");
    assert_eq!(target.sql("SHOW CREATE USER u@'%'"), server.sql("SHOW CREATE USER u@'%'"));
}

#[test]
fn what_was_revoked_on_one_database_is_never_given_back() {
    let server = Server::stock_with(Product::MySql, &["--partial-revokes=ON"]);
    server.sql(
        "CREATE DATABASE app; CREATE DATABASE secret; CREATE TABLE secret.t (a INT); CREATE USER u@'%', v@'%'; \
         GRANT SELECT, INSERT ON *.* TO u@'%'; REVOKE SELECT ON secret.* FROM u@'%'; GRANT SELECT ON `my_app`.* TO v@'%'",
    );
    let world = World::new(&server, &[], "");
    drilled(&server, &world, &[]);
    let target = Server::stock(Product::MySql);
    let said = refused(&world, &target, &[]);
    assert!(
        said.contains("account u@% would have again what was revoked from it on one database (partial_revokes)"),
        "{said}"
    );
    assert_eq!(target.sql("SHOW DATABASES LIKE 'secret'"), "", "nothing was begun");
    // Without accounts it is only data.
    assert_eq!(restore(&world, &target, &["--no-accounts"])["verified"], true);
    target.sql("SET PERSIST partial_revokes = ON");
    assert_eq!(restore(&world, &target, &["--overwrite"])["verified"], true);
    assert_eq!(target.sql("SHOW GRANTS FOR u@'%'"), server.sql("SHOW GRANTS FOR u@'%'"));
    // The other way round `_` would stand for itself only.
    let plain = Server::stock(Product::MySql);
    plain.sql("CREATE DATABASE app; CREATE USER v@'%'; GRANT SELECT ON `my_app`.* TO v@'%'");
    let world = World::new(&plain, &[], "");
    world.backup();
    let strict = Server::stock_with(Product::MySql, &["--partial-revokes=ON"]);
    let said = refused(&world, &strict, &[]);
    assert!(said.contains("account v@% would have rights on other databases"), "{said}");
}

/// What a backup account sees is not everything where a privilege was taken from it on one database.
#[test]
fn a_backup_account_that_may_not_read_one_database_is_refused() {
    let server = Server::start_with(Product::MySql, &["--partial-revokes=ON"]);
    server.sql(
        "CREATE DATABASE app; CREATE DATABASE secret; CREATE TABLE secret.t (a INT); CREATE USER b@localhost; \
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, REPLICATION CLIENT, RELOAD ON *.* TO b@localhost; \
         REVOKE TRIGGER ON secret.* FROM b@localhost",
    );
    let world = World::new(&server, &[], "");
    let config = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), config.replace("user = \"root\"", "user = \"b\"")).unwrap();
    let ran = world.run(&["backup"]);
    assert!(ran.status == 1 && ran.stderr.contains("the account lacks TRIGGER on `secret`.*"), "{ran:?}");
}

/// What a refused restore says.
fn refused(world: &World, target: &Server, more: &[&str]) -> String {
    let to = target.destination();
    let mut arguments = vec!["restore", "shop", "--to", &to, "--user", &target.user];
    let file = world.path("target.pw");
    let file = file.to_string_lossy();
    if let Some(password) = &target.password {
        world.secret("target.pw", password);
        arguments.extend(["--password-file", &file]);
    }
    arguments.extend(more);
    let ran = world.run(&arguments);
    assert_eq!(ran.status, 1, "{ran:?}");
    ran.stderr
}

#[test]
fn a_comparison_without_accounts_says_so() {
    let server = Server::stock(Product::MariaDb);
    server.sql("CREATE DATABASE app; CREATE USER u@'%'");
    let world = World::new(&server, &[], "");
    world.backup();
    server.sql("DROP USER u@'%'");
    let against = server.destination();
    let without = world.json(&["verify", "shop", "--against", &against], 0);
    assert!(without["warnings"].to_string().contains("accounts and grants were not compared"), "{without:#}");
    let with = world.json(&["verify", "shop", "--against", &against, "--accounts"], 3);
    assert_eq!(wrong(&with), ["account u@%"]);
    assert!(!with["warnings"].to_string().contains("were not compared"), "{with:#}");
}

#[test]
fn programs_of_a_role_come_back_in_whatever_order_they_depend_on_each_other() {
    for product in BOTH {
        let server = Server::stock(product);
        let role = if product == Product::MariaDb { "r" } else { "r@'%'" };
        server.sql(&format!(
            "CREATE DATABASE app; USE app; CREATE ROLE r; CREATE TABLE t (a INT); GRANT SELECT, INSERT, UPDATE, TRIGGER ON app.t TO r; \
             CREATE DEFINER={role} FUNCTION zG() RETURNS INT DETERMINISTIC RETURN 2; GRANT EXECUTE ON FUNCTION app.zG TO r; \
             CREATE DEFINER={role} VIEW z AS SELECT a, zG() AS x FROM t; GRANT SELECT, SHOW VIEW ON app.z TO r; \
             CREATE DEFINER={role} VIEW b AS SELECT x, zG() AS y FROM z; GRANT SELECT, SHOW VIEW ON app.b TO r; \
             CREATE DEFINER={role} VIEW a AS SELECT y FROM b; GRANT SELECT, SHOW VIEW ON app.a TO r; \
             CREATE DEFINER={role} TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = zG(); \
             CREATE DEFINER={role} EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' DO INSERT INTO t VALUES (3); GRANT EVENT ON app.* TO r; \
             CREATE DEFINER={role} PROCEDURE Pr() INSERT INTO t VALUES (4); GRANT EXECUTE ON PROCEDURE app.Pr TO r",
        ));
        let world = World::new(&server, &[], "");
        drilled(&server, &world, &[]);
        let target = Server::stock(product);
        assert_eq!(restore(&world, &target, &[])["verified"], true, "{product:?}");
        assert_eq!(target.sql("CALL app.Pr(); SELECT a FROM app.t; SELECT y FROM app.a"), "2\n2", "{product:?}");
        // A grant on a routine that is taken away afterwards is missed, whatever the case of its name.
        target.sql("REVOKE EXECUTE ON PROCEDURE app.Pr FROM r; DELETE FROM app.t");
        let to = target.destination();
        let mut arguments = vec!["verify", "shop", "--against", &to, "--accounts", "--user", &target.user];
        let file = world.path("target.pw");
        let file = file.to_string_lossy();
        if target.password.is_some() {
            arguments.extend(["--password-file", &file]);
        }
        let missed = if product == Product::MariaDb { "account r" } else { "account r@%" };
        let mut found = wrong(&world.json(&arguments, 3));
        // Each stock server has a password of its own.
        found.retain(|name| name != "account root@localhost");
        assert_eq!(found, [missed], "{product:?}");
    }
}

#[test]
fn the_definition_that_a_server_refuses_is_named_with_the_server_s_words() {
    let server = Server::start(Product::MariaDb);
    server.sql(
        "CREATE DATABASE d; CREATE EVENT d.good ON SCHEDULE EVERY 1 DAY DO SELECT 1; CREATE EVENT d.Odd ON SCHEDULE EVERY 1 DAY DO SELECT 1; \
         UPDATE mysql.event SET body = 'SELEC T' WHERE name = 'Odd'",
    );
    let world = World::new(&server, &[], "");
    world.backup();
    let drill = world.json(&["drill"], 3);
    let reason = drill["reason"].as_str().unwrap();
    assert!(reason.starts_with("cannot load event Odd (definitions of database d): ERROR 1064 "), "{reason}");
    assert!(reason.contains("You have an error in your SQL syntax"), "{reason}");
}
