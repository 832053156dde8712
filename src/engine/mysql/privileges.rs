//! What the backup account must be allowed to do. Several omissions do not make a dump fail, they make it silently
//! smaller (no triggers, no events, empty routine bodies); so they are looked for before.

use super::names;

/// What the account may do, read from `SHOW GRANTS`.
#[derive(Debug, Default)]
pub struct Grants(Vec<Grant>);

#[derive(Debug)]
struct Grant {
    privileges: Vec<String>,
    database: String,
    table: String,
    may_give: bool,
    /// `partial_revokes` (MySQL): taken away again from what is granted on everything.
    taken: bool,
}

impl Grants {
    /// Read the lines of `SHOW GRANTS`.
    pub fn read(lines: &[String]) -> Self {
        Self(lines.iter().filter_map(|line| grant(line)).collect())
    }

    pub fn has(&self, privilege: &str, database: Option<&str>, table: Option<&str>) -> bool {
        let names_it = |grant: &Grant| {
            let all = grant.privileges.iter().any(|p| p.starts_with("ALL PRIVILEGES") || p == "ALL");
            all || grant.privileges.iter().any(|p| p == privilege)
        };
        let taken = |grant: &&Grant| grant.taken && Some(grant.database.as_str()) == database && names_it(grant);
        let is_taken = self.0.iter().any(|grant| taken(&grant));
        self.0.iter().filter(|grant| !grant.taken).any(|grant| {
            let here = match (grant.database.as_str(), database) {
                ("*", _) => !is_taken,
                (pattern, Some(database)) => matches(pattern, database),
                (_, None) => false,
            };
            let there = grant.table == "*" || table.is_some_and(|table| grant.table == table);
            here && there && names_it(grant)
        })
    }

    /// Whether the account has this privilege on everything.
    pub fn may(&self, privilege: &str) -> bool {
        self.has(privilege, None, None)
    }

    /// Whether the account has this privilege on the whole of `database`.
    pub fn allows(&self, privilege: &str, database: &str) -> bool {
        self.has(privilege, Some(database), None)
    }

    /// Whether the account may give others what it has on everything.
    pub fn may_give(&self) -> bool {
        self.0.iter().any(|grant| grant.database == "*" && grant.may_give)
    }

    /// Whether no database can be hidden from this account.
    pub fn sees_all_databases(&self) -> bool {
        self.has("SELECT", None, None) || self.has("SHOW DATABASES", None, None)
    }

    /// Every privilege that a backup of `databases` needs and that is not there, as `PRIVILEGE on PLACE (what for)`.
    pub fn missing(&self, product: &str, databases: &[String], binlog: bool) -> Vec<String> {
        let mut missing = Vec::new();
        let mut want = |any: &[&str], database: Option<&str>, table: Option<&str>, what: &str| {
            if any.iter().any(|privilege| self.has(privilege, database, table)) {
                return;
            }
            let place = match (database, table) {
                (None, _) => "*.*".to_owned(),
                (Some(database), None) => format!("{}.*", names::quote(database)),
                (Some(database), Some(table)) => format!("{database}.{table}"),
            };
            missing.push(format!("{} on {place} ({what})", any[0]));
        };
        for database in databases {
            for (privilege, what) in
                [("SELECT", "rows"), ("SHOW VIEW", "views"), ("TRIGGER", "triggers"), ("EVENT", "events")]
            {
                want(&[privilege], Some(database), None, what);
            }
        }
        if product == "MySQL" {
            want(&["SHOW_ROUTINE", "SELECT"], None, None, "routines");
            if binlog {
                want(&["REPLICATION CLIENT"], None, None, "binary log position");
                want(&["RELOAD", "FLUSH_TABLES"], None, None, "binary log position");
            }
        } else {
            if !self.has("SHOW CREATE ROUTINE", None, None) {
                want(&["SELECT"], Some("mysql"), Some("proc"), "routines");
            }
            if binlog {
                want(&["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"], None, None, "binary log position");
            }
        }
        want(&["SELECT"], Some("mysql"), Some("user"), "accounts and grants");
        missing
    }
}

/// `GRANT a, b (columns) ON db.table TO …`; grants of roles and proxies say nothing about tables.
fn grant(line: &str) -> Option<Grant> {
    let taken = line.starts_with("REVOKE ");
    let rest = line.strip_prefix("GRANT ").or_else(|| line.strip_prefix("REVOKE "))?;
    let (privileges, rest) = rest.split_once(" ON ")?;
    let (place, grantee) = rest.split_once(if taken { " FROM " } else { " TO " })?;
    let place = place.trim_start_matches("TABLE ");
    let (database, table) = names::split_qualified(place)?;
    let privileges = privileges.split(", ").map(|p| p.trim().to_ascii_uppercase()).collect();
    let may_give = grantee.contains(" WITH GRANT OPTION");
    Some(Grant { privileges, database, table, may_give, taken })
}

/// SQL pattern match as in grants: `%` any text, `_` any character, backslash escapes.
fn matches(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|skip| go(rest, &text[skip..])),
            ['_', rest @ ..] => !text.is_empty() && go(rest, &text[1..]),
            ['\\', literal, rest @ ..] | [literal, rest @ ..] => text.first() == Some(literal) && go(rest, &text[1..]),
        }
    }
    go(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(lines: &[&str], product: &str, binlog: bool) -> Vec<String> {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        Grants::read(&lines).missing(product, &["my_shop".to_owned()], binlog)
    }

    #[test]
    fn a_least_privilege_account_lacks_nothing() {
        let maria = [
            "GRANT BINLOG MONITOR ON *.* TO `backup`@`localhost` IDENTIFIED BY PASSWORD '*X'",
            "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `my\\_shop`.* TO `backup`@`localhost`",
            "GRANT SELECT ON `mysql`.* TO `backup`@`localhost`",
        ];
        assert_eq!(missing(&maria, "MariaDB", true), Vec::<String>::new());
        assert_eq!(
            missing(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"], "MariaDB", true).len(),
            0
        );
        let mysql = ["GRANT SELECT, RELOAD, REPLICATION CLIENT, SHOW VIEW, EVENT, TRIGGER ON *.* TO `b`@`%`"];
        assert_eq!(missing(&mysql, "MySQL", true), Vec::<String>::new());
    }

    #[test]
    fn what_was_revoked_from_a_single_database_is_missing_there() {
        let lines = [
            "GRANT SELECT, RELOAD, REPLICATION CLIENT, SHOW VIEW, EVENT, TRIGGER ON *.* TO `b`@`%`",
            "REVOKE SELECT, TRIGGER ON `my_shop`.* FROM `b`@`%`",
        ];
        let found = missing(&lines, "MySQL", true);
        assert_eq!(found, ["SELECT on `my_shop`.* (rows)", "TRIGGER on `my_shop`.* (triggers)"]);
        let other = lines[1].replace("my_shop", "myXshop");
        assert_eq!(missing(&[lines[0], &other], "MySQL", true), Vec::<String>::new());
    }

    #[test]
    fn every_missing_privilege_is_named_with_what_it_is_for() {
        let lines = [
            "GRANT USAGE ON *.* TO `b`@`%`",
            "GRANT SELECT, SHOW VIEW ON `myXshop`.* TO `b`@`%`",
            "GRANT SELECT ON `my\\_s%`.* TO `b`@`%`",
        ];
        let found = missing(&lines, "MariaDB", true).join("\n");
        for part in [
            "SHOW VIEW on `my_shop`.* (views)",
            "TRIGGER on",
            "EVENT on",
            "BINLOG MONITOR on *.*",
            "mysql.proc",
            "mysql.user",
        ] {
            assert!(found.contains(part), "{part} in {found}");
        }
        assert!(!found.contains("SELECT on `my_shop`"), "{found}");
    }
}
