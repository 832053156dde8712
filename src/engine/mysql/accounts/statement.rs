//! What a statement about an account does, read from its pieces: when it may run, and what it needs.

use crate::engine::mysql::sql::{Kind, Piece, Quoting, pieces};

/// When a statement runs. All accounts are made before any is given something: roles and definers may come in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Makes an account.
    Create,
    /// Makes an account a member of a role.
    Member,
    /// Privileges on everything or on a database.
    Privileges,
    /// Signing in as somebody else.
    Proxy,
    /// The role that is active after signing in.
    DefaultRole,
    /// Privileges on a table, its columns, or a routine, which must exist: after the data.
    Object,
}

/// All of them, in order.
pub const PHASES: [Phase; 6] =
    [Phase::Create, Phase::Member, Phase::Privileges, Phase::Proxy, Phase::DefaultRole, Phase::Object];

/// A table or routine that a grant is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Database, as the server names it.
    pub database: String,
    /// Its name; servers write those of routines in small letters here.
    pub name: String,
    /// Whether it is no table.
    pub is_routine: bool,
    /// Whether it is a package: `GRANT` knows the word only under `sql_mode=ORACLE`.
    pub is_package: bool,
}

/// The phase of a statement, and the object it is about; none if it is no statement about an account.
pub fn read(sql: &str, quoting: Quoting) -> Option<(Phase, Option<Object>)> {
    let all = pieces(sql, quoting);
    let is = |at: usize, word: &str| all.get(at).is_some_and(|piece| piece.is_word(word));
    // One statement and nothing behind it.
    if all.iter().any(|piece| piece.is_mark(";") || matches!(piece.kind, Kind::Open | Kind::Comment)) {
        return None;
    }
    if is(0, "CREATE") && (is(1, "USER") || is(1, "ROLE")) {
        return Some((Phase::Create, None));
    }
    if is(0, "ALTER") && is(1, "USER") {
        let only_default = default_role(&all).is_some() && !all.iter().any(|piece| piece.is_word("IDENTIFIED"));
        return Some((if only_default { Phase::DefaultRole } else { Phase::Create }, None));
    }
    if is(0, "SET") && is(1, "DEFAULT") && is(2, "ROLE") {
        return Some((Phase::DefaultRole, None));
    }
    if !is(0, "GRANT") && !is(0, "REVOKE") {
        return None;
    }
    if is(1, "PROXY") {
        return Some((Phase::Proxy, None));
    }
    let Some(on) = at_top(&all, |piece| piece.is_word("ON")) else { return Some((Phase::Member, None)) };
    let object = object(&all[on + 1..]);
    Some((if object.is_some() { Phase::Object } else { Phase::Privileges }, object))
}

/// What stands after `ON`; none for everything or a whole database.
fn object(place: &[Piece<'_>]) -> Option<Object> {
    const ROUTINES: [&str; 4] = ["PROCEDURE", "FUNCTION", "PACKAGE", "LIBRARY"];
    let first = place.first()?;
    let kind = ROUTINES.iter().any(|word| first.is_word(word)) && !place.get(1)?.is_mark(".");
    let mut rest = &place[usize::from(kind || first.is_word("TABLE") && !place.get(1)?.is_mark("."))..];
    let is_package = kind && first.is_word("PACKAGE");
    if is_package && rest.first()?.is_word("BODY") && !rest.get(1)?.is_mark(".") {
        rest = &rest[1..];
    }
    let [database, dot, name, ..] = rest else { return None };
    if !dot.is_mark(".") || name.is_mark("*") || database.is_mark("*") {
        return None;
    }
    Some(Object { database: database.value(), name: name.value(), is_routine: kind, is_package })
}

/// Index of the first piece outside of parentheses that is as wanted.
pub(super) fn at_top(all: &[Piece<'_>], wanted: impl Fn(&Piece<'_>) -> bool) -> Option<usize> {
    let mut depth = 0;
    all.iter().position(|piece| {
        depth += i32::from(piece.is_mark("(")) - i32::from(piece.is_mark(")"));
        depth == 0 && wanted(piece)
    })
}

/// MariaDB repeats the password in the first grant; it is already in `CREATE USER`.
pub fn without_password(grant: &str) -> String {
    let all = pieces(grant, Quoting::default());
    let Some(at) = all.iter().position(|piece| piece.is_word("IDENTIFIED")) else { return grant.to_owned() };
    let tail = all[at..].iter().find(|piece| piece.is_word("REQUIRE") || piece.is_word("WITH"));
    let end = tail.map_or(grant.len(), |piece| piece.start);
    format!("{}{}", &grant[..all[at].start], &grant[end..]).trim_end().to_owned()
}

/// First and last piece of `DEFAULT ROLE a, b`.
pub(super) fn default_role(all: &[Piece<'_>]) -> Option<(usize, usize)> {
    let first = all.windows(2).position(|pair| pair[0].is_word("DEFAULT") && pair[1].is_word("ROLE"))?;
    let after = all[first + 2..].iter().position(|piece| piece.kind == Kind::Word && !piece.is_word("ALL"));
    Some((first, after.map_or(all.len(), |after| first + 2 + after) - 1))
}

/// The definition without its default role, and the statement that sets it: the role may be made later, and `ALTER
/// USER` of MySQL does not take `DEFAULT ROLE` together with the rest. `definition` is what follows `CREATE USER`.
pub fn without_default_role(definition: &str) -> (String, Option<String>) {
    let all = pieces(definition, Quoting::default());
    let Some((first, last)) = default_role(&all) else { return (definition.to_owned(), None) };
    let clause = &definition[all[first].start..all[last].end()];
    let user = all.iter().take_while(|piece| piece.kind != Kind::Word).last().map_or(0, Piece::end);
    let rest = definition[all[last].end()..].trim_start();
    let without = format!("{}{rest}", &definition[..all[first].start]).trim_end().to_owned();
    (without, Some(format!("ALTER USER {} {clause}", &definition[..user])))
}

/// MySQL says nothing of an empty password; created from that, the account would be locked as expired.
pub fn with_empty_password(definition: &str) -> String {
    const PLUGINS: [&str; 3] = ["'caching_sha2_password'", "'mysql_native_password'", "'sha256_password'"];
    let all = pieces(definition, Quoting::default());
    let method = all.windows(3).position(|three| {
        three[0].is_word("IDENTIFIED") && three[1].is_word("WITH") && PLUGINS.contains(&three[2].text)
    });
    match method {
        Some(at) if !all.get(at + 3).is_some_and(|next| next.is_word("AS") || next.is_word("BY")) => {
            let end = all[at + 2].end();
            format!("{} BY ''{}", &definition[..end], &definition[end..])
        }
        _ => definition.to_owned(),
    }
}

/// Whether a grant is given to the role that is written `quoted`: a role's listing contains the grants of the roles it
/// holds, too.
pub fn is_granted_to(grant: &str, quoted: &str) -> bool {
    let all = pieces(grant, Quoting::default());
    let to = at_top(&all, |piece| piece.is_word("TO") || piece.is_word("FROM"));
    to.and_then(|to| all.get(to + 1)).is_some_and(|piece| piece.text == quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(sql: &str) -> Option<Phase> {
        read(sql, Quoting::default()).map(|(phase, _)| phase)
    }

    #[test]
    fn a_statement_is_known_by_its_words_and_not_by_words_in_names() {
        for (sql, expected) in [
            ("CREATE USER IF NOT EXISTS `u`@`%`", Some(Phase::Create)),
            ("ALTER USER `u`@`%` IDENTIFIED WITH 'x' AS 'DEFAULT ROLE'", Some(Phase::Create)),
            ("ALTER USER `u`@`%` DEFAULT ROLE `r`@`%`", Some(Phase::DefaultRole)),
            ("SET DEFAULT ROLE `r` FOR `u`@`%`", Some(Phase::DefaultRole)),
            ("GRANT `a ON b` TO `u`@`%` WITH ADMIN OPTION", Some(Phase::Member)),
            ("GRANT PROXY ON ``@`%` TO `u`@`%` WITH GRANT OPTION", Some(Phase::Proxy)),
            ("GRANT SELECT, INSERT ON *.* TO `u`@`%`", Some(Phase::Privileges)),
            ("GRANT SELECT ON `a\\_b`.* TO `u`@`%`", Some(Phase::Privileges)),
            ("REVOKE SELECT ON `a`.* FROM `u`@`%`", Some(Phase::Privileges)),
            ("GRANT SELECT (`x ON y`, `) TO `) ON `d`.`t` TO `u`@`%`", Some(Phase::Object)),
            ("GRANT SELECT (`x ON y`) ON `d`.`t` TO `u`@`%`", Some(Phase::Object)),
            ("CALL app.x", None),
            ("GRANT SELECT ON *.* TO `u`@`%`; CALL app.x", None),
            ("DROP USER `u`@`%`", None),
        ] {
            assert_eq!(phase(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_object_of_a_grant_is_read_whatever_it_is_called() {
        let object = |sql| read(sql, Quoting::default()).and_then(|(_, object)| object).unwrap();
        let found = object("GRANT EXECUTE ON PROCEDURE `app`.`a;\ncall TO x;\n#` TO `u`@`%`");
        assert_eq!((found.database.as_str(), found.name.as_str()), ("app", "a;\ncall TO x;\n#"));
        assert!(found.is_routine && !found.is_package);
        assert!(object("GRANT EXECUTE ON PACKAGE BODY `app`.`p` TO `u`@`%`").is_package);
        let found = object("GRANT SELECT ON TABLE `d`.`t` TO `u`@`%`");
        assert_eq!((found.database.as_str(), found.name.as_str(), found.is_routine), ("d", "t", false));
        let found = object("GRANT SELECT ON `procedure`.`t` TO `u`@`%`");
        assert_eq!((found.database.as_str(), found.is_routine), ("procedure", false));
    }

    #[test]
    fn grants_lose_only_the_password_they_repeat() {
        let grant = "GRANT RELOAD ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*0' REQUIRE SSL WITH GRANT OPTION";
        assert_eq!(without_password(grant), "GRANT RELOAD ON *.* TO `b`@`%` REQUIRE SSL WITH GRANT OPTION");
        assert_eq!(without_password("GRANT `role` TO `b`@`%`"), "GRANT `role` TO `b`@`%`");
        let named = "GRANT USAGE ON *.* TO `x IDENTIFIED y`@`%`";
        assert_eq!(without_password(named), named);
    }

    #[test]
    fn a_default_role_is_set_by_a_statement_of_its_own() {
        let definition = "`u`@`%` IDENTIFIED WITH 'p' AS 'x DEFAULT ROLE y' DEFAULT ROLE `a`@`%`,`b`@`h` REQUIRE NONE ACCOUNT UNLOCK";
        let (without, role) = without_default_role(definition);
        assert_eq!(without, "`u`@`%` IDENTIFIED WITH 'p' AS 'x DEFAULT ROLE y' REQUIRE NONE ACCOUNT UNLOCK");
        assert_eq!(role.as_deref(), Some("ALTER USER `u`@`%` DEFAULT ROLE `a`@`%`,`b`@`h`"));
        assert_eq!(without_default_role("`u`@`%`"), ("`u`@`%`".to_owned(), None));
        let (without, role) = without_default_role("`u`@`%` DEFAULT ROLE ALL REQUIRE NONE");
        assert_eq!(
            (without.as_str(), role.as_deref()),
            ("`u`@`%` REQUIRE NONE", Some("ALTER USER `u`@`%` DEFAULT ROLE ALL"))
        );
    }

    #[test]
    fn an_empty_password_is_said() {
        let said = with_empty_password("`u`@`%` IDENTIFIED WITH 'caching_sha2_password' REQUIRE NONE");
        assert_eq!(said, "`u`@`%` IDENTIFIED WITH 'caching_sha2_password' BY '' REQUIRE NONE");
        let set = "`u`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 REQUIRE NONE";
        assert_eq!(with_empty_password(set), set);
        let given = "`u`@`%` IDENTIFIED WITH 'sha256_password' BY 'x'";
        assert_eq!(with_empty_password(given), given);
    }

    #[test]
    fn a_role_s_grants_are_told_from_those_of_the_roles_it_holds() {
        assert!(is_granted_to("GRANT `b` TO `a`", "`a`"));
        assert!(!is_granted_to("GRANT SELECT (`x TO ``a``) ON ``) ON `d`.`t` TO `b`", "`a`"));
        assert!(is_granted_to("GRANT SELECT ON *.* TO PUBLIC", "PUBLIC"));
        assert!(is_granted_to("REVOKE SELECT ON `d`.* FROM `a`", "`a`"));
    }
}
