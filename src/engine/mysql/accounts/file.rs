//! The stored file: plain SQL that the client program reads, in the order in which it works.

use std::collections::BTreeSet;

use super::AccountSql;
use super::statement::{PHASES, Phase, read, without_default_role};
use crate::engine::mysql::sql::{self, Quoting};

/// First line of a file in which every statement stands in its phase and names are in backticks.
const HEAD: &str = "-- Accounts and grants, form 2.";
/// In front of the account that the following statements are about.
const ACCOUNT: &str = "account ";

/// One statement, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The account it is about, as [`one_line`] writes it.
    pub account: String,
    /// When it runs.
    pub phase: Phase,
    /// The statement.
    pub sql: String,
    /// `GRANT` knows the word PACKAGE only under `sql_mode=ORACLE`.
    pub oracle: bool,
}

/// A name in a comment ends with its line.
pub fn one_line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

/// The steps of a statement as a server or an earlier version's file says it.
fn steps(account: &str, statement: &str, quoting: Quoting) -> Vec<Step> {
    let Some((phase, object)) = read(statement, quoting) else { return Vec::new() };
    let oracle = object.is_some_and(|object| object.is_package);
    let step = |phase, sql| Step { account: account.to_owned(), phase, sql, oracle };
    match statement.strip_prefix("CREATE USER IF NOT EXISTS ").map(without_default_role) {
        Some((definition, default)) => {
            let mut out = vec![step(phase, format!("CREATE USER IF NOT EXISTS {definition}"))];
            out.extend(default.map(|sql| step(Phase::DefaultRole, sql)));
            out
        }
        None => vec![step(phase, statement.to_owned())],
    }
}

/// The file.
pub fn write(accounts: &[AccountSql]) -> String {
    let mut out = format!(
        "{HEAD}\n-- Load as an administrator with --force --binary-mode: before the data (definers), and once more after it\n\
         -- (grants on single tables and routines, which must exist).\nSET NAMES utf8mb4;\nSET SESSION sql_mode = '';\n"
    );
    let all: Vec<Step> = accounts
        .iter()
        .flat_map(|one| one.statements.iter().flat_map(|sql| steps(&one_line(&one.name), sql, Quoting::default())))
        .collect();
    for phase in PHASES {
        let mut account = None;
        for step in all.iter().filter(|step| step.phase == phase) {
            if account.replace(&step.account) != Some(&step.account) {
                out.extend(["\n-- ", ACCOUNT, &step.account, "\n"]);
            }
            let (before, after) = if step.oracle {
                ("SET SESSION sql_mode = 'ORACLE';\n", "SET SESSION sql_mode = '';\n")
            } else {
                ("", "")
            };
            out.extend([before, &step.sql, ";\n", after]);
        }
    }
    out.push_str("\n-- Accounts completed\n");
    out
}

/// What a stored file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Statements about accounts, in the order in which they must run.
    pub steps: Vec<Step>,
    /// Accounts with a statement that is not about an account: it is never run.
    pub odd: BTreeSet<String>,
    /// How a session must read them.
    pub quoting: Quoting,
}

/// Read a file of this or an earlier version; `sql_mode` is that of the server that an earlier one was read from.
pub fn parse(text: &str, sql_mode: &str) -> Stored {
    let quoting = if text.starts_with(HEAD) { Quoting::default() } else { Quoting::of_mode(sql_mode) };
    let mut out = Stored { quoting, ..Stored::default() };
    let mut account = String::new();
    for statement in sql::statements(text, quoting) {
        if let Some(name) = statement.comments.last() {
            name.strip_prefix(ACCOUNT).unwrap_or(name).clone_into(&mut account);
        }
        let first_two: Vec<&str> = statement.sql.split_whitespace().take(2).collect();
        if statement.sql.is_empty() || matches!(first_two[..], ["SET", "NAMES" | "SESSION"]) {
            continue;
        }
        let steps = steps(&account, &statement.sql, quoting);
        if steps.is_empty() {
            out.odd.insert(account.clone());
        }
        out.steps.extend(steps);
    }
    out.steps.sort_by_key(|step| step.phase);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, statements: &[&str]) -> AccountSql {
        AccountSql { name: name.to_owned(), statements: statements.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn every_account_is_made_before_any_is_given_something() {
        let accounts = [
            account(
                "a@%",
                &[
                    "CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED WITH 'p' DEFAULT ROLE `z`@`%` REQUIRE NONE",
                    "GRANT EXECUTE ON PACKAGE `d`.`p` TO `a`@`%`",
                    "GRANT `z`@`%` TO `a`@`%`",
                ],
            ),
            account("z@%", &["CREATE USER IF NOT EXISTS `z`@`%`", "GRANT SELECT ON `d`.* TO `z`@`%`"]),
        ];
        let stored = parse(&write(&accounts), "");
        let found: Vec<(&str, &str)> =
            stored.steps.iter().map(|step| (step.account.as_str(), step.sql.as_str())).collect();
        assert_eq!(
            found,
            [
                ("a@%", "CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED WITH 'p' REQUIRE NONE"),
                ("z@%", "CREATE USER IF NOT EXISTS `z`@`%`"),
                ("a@%", "GRANT `z`@`%` TO `a`@`%`"),
                ("z@%", "GRANT SELECT ON `d`.* TO `z`@`%`"),
                ("a@%", "ALTER USER `a`@`%` DEFAULT ROLE `z`@`%`"),
                ("a@%", "GRANT EXECUTE ON PACKAGE `d`.`p` TO `a`@`%`"),
            ]
        );
        assert!(stored.steps[5].oracle && stored.odd.is_empty());
    }

    #[test]
    fn a_name_in_a_comment_ends_with_its_line_and_packages_are_granted_under_oracle() {
        let name = "a;\r\nDROP DATABASE d;@%";
        let grant = "GRANT EXECUTE ON PACKAGE `d`.`p` TO `a`@`%`";
        let text = write(&[account(name, &["CREATE USER IF NOT EXISTS `a`@`%`", grant])]);
        assert!(text.contains("\n-- account a;  DROP DATABASE d;@%\nCREATE USER"), "{text}");
        let packed = format!("SET SESSION sql_mode = 'ORACLE';\n{grant};\nSET SESSION sql_mode = '';\n");
        assert!(text.contains(&packed), "{text}");
        let stored = parse(&text, "");
        assert_eq!(stored.steps.iter().map(|step| step.oracle).collect::<Vec<_>>(), [false, true]);
        assert!(stored.steps.iter().all(|step| step.account == one_line(name)) && stored.odd.is_empty());
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read_and_runs_nothing_that_is_no_account_s() {
        let text = "-- Accounts and grants. Load as an administrator, after the data.\n\n-- u@%\n\
                    CREATE USER IF NOT EXISTS `u`@`%` DEFAULT ROLE `r`@`%` REQUIRE NONE;\n\
                    GRANT EXECUTE ON PROCEDURE `app`.`A;\ncall app.x;\n#` TO `u`@`%`;\n\n-- r@%\ncall app.x;\n\
                    GRANT USAGE ON *.* TO `r`@`%`;\n\n-- Accounts completed\n";
        let stored = parse(text, "");
        let found: Vec<&str> = stored.steps.iter().map(|step| step.sql.as_str()).collect();
        assert_eq!(
            found,
            [
                "CREATE USER IF NOT EXISTS `u`@`%` REQUIRE NONE",
                "GRANT USAGE ON *.* TO `r`@`%`",
                "ALTER USER `u`@`%` DEFAULT ROLE `r`@`%`",
                "GRANT EXECUTE ON PROCEDURE `app`.`A;\ncall app.x;\n#` TO `u`@`%`",
            ]
        );
        assert_eq!(stored.odd.iter().collect::<Vec<_>>(), ["r@%"]);
    }
}
