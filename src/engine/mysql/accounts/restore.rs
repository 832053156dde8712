//! Bringing accounts to a destination: all of them are made before the data, for definers; grants on single tables and
//! routines follow when these exist. What is refused is tried again at the end, and named if it is still missing.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{Step, Stored, one_line, parse};
use super::statement::Phase;
use super::{EVERYBODY, prepare, read_promised};
use crate::domain::manifest::{Manifest, ObjectFacts, ObjectKind};
use crate::engine::mysql::account::Account;
use crate::engine::mysql::connection::{Session, code};
use crate::engine::mysql::names;
use crate::engine::mysql::sql::{Kind, Piece, Quoting, pieces};
use crate::engine::{AccountsLoaded, LoadOptions};
use crate::error::{Error, OrFailed, Result};
use crate::repository::StoredFile;

/// `ALTER USER` cannot say everything that `CREATE USER` can: a second factor.
const SYNTAX: u16 = 1064;

/// What becomes of an account that the destination has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is as promised.
    Same,
    /// Its way to sign in stays; what the backup grants is added.
    Kept,
    /// It is made anew.
    Replaced,
    /// It would be made anew, but the destination refuses what takes its place: it stays as it is.
    Spared,
}

/// Accounts on their way to a destination.
pub struct Restoring<'a> {
    to: &'a Account,
    manifest: &'a Manifest,
    own: String,
    steps: Vec<Step>,
    quoting: Quoting,
    fates: BTreeMap<String, Fate>,
    /// Statements of what a real destination had before; none of a sandbox, where nothing can be lost.
    before: BTreeMap<String, Vec<String>>,
    odd: BTreeSet<String>,
    /// Steps that were refused so far, and why.
    refused: Vec<(Step, Error)>,
}

/// What came of it.
pub struct Outcome {
    /// For people and scripts.
    pub loaded: AccountsLoaded,
    /// One sentence for each account that is not as in the backup.
    pub warnings: Vec<String>,
    /// Those of them that only say what the destination does not have: a plugin.
    pub lacking: Vec<String>,
    /// What the destination said, by the name of the check that will miss it.
    pub refusals: BTreeMap<String, String>,
}

impl<'a> Restoring<'a> {
    /// Make the accounts and give them what needs no table or routine.
    pub fn begin(
        to: &'a Account,
        file: &dyn StoredFile,
        manifest: &'a Manifest,
        options: &LoadOptions,
    ) -> Result<Self> {
        let length = usize::try_from(file.len()).or_failed("cannot read accounts")?;
        let text = file.read_at(0, length)?;
        let mode = manifest.settings.get("sql_mode").map_or("", String::as_str);
        let stored = parse(&String::from_utf8_lossy(&text), mode);
        let mut session = Session::open(to)?;
        let own = session.value("SELECT CURRENT_USER()")?.unwrap_or_default();
        let (there, as_promised) = read_promised(&mut session, manifest)?;
        let fate = |name: &String| match promised(manifest, name) {
            Some(promise) if as_promised.get(name) == Some(promise) => Fate::Same,
            _ if *name == own => Fate::Kept,
            _ if options.throwaway || options.overwrite => Fate::Replaced,
            _ => Fate::Kept,
        };
        let fates = there.iter().map(|account| (one_line(&account.name), fate(&account.name))).collect();
        let before = if options.throwaway {
            BTreeMap::new()
        } else {
            there.into_iter().map(|account| (one_line(&account.name), account.statements)).collect()
        };
        let Stored { steps, odd, quoting } = stored;
        let mut restoring = Self { to, manifest, own, steps, quoting, fates, before, odd, refused: Vec::new() };
        restoring.run(&mut session, |phase| phase != Phase::Object)?;
        restoring.give_back_roles(&mut session)?;
        Ok(restoring)
    }

    /// Give what needs tables and routines, as far as they exist.
    pub fn grant_objects(&mut self) -> Result<()> {
        let mut session = Session::open(self.to)?;
        self.run(&mut session, |phase| phase == Phase::Object)
    }

    /// The data is there: everything that was refused once more, then look at what came of it.
    pub fn finish(mut self) -> Result<Outcome> {
        let mut session = Session::open(self.to)?;
        let refused = std::mem::take(&mut self.refused);
        self.run_steps(&mut session, refused.into_iter().map(|(step, _)| step).collect())?;
        self.run(&mut session, |phase| phase == Phase::Object)?;
        let mut there = self.there(&mut session)?;
        // What was as promised before may have lost the membership of a role that was made anew since.
        let is_lost = |name: &String| promised(self.manifest, name) != there.get(name);
        let same = self.fates.iter().filter(|(_, fate)| **fate == Fate::Same);
        let lost: Vec<String> = same.map(|(name, _)| name.clone()).filter(is_lost).collect();
        if !lost.is_empty() {
            self.fates.retain(|name, _| !lost.contains(name));
            self.run(&mut session, |phase| phase != Phase::Create)?;
            there = self.there(&mut session)?;
        }
        let is_kept = |name: &String| self.fates.get(&one_line(name)) == Some(&Fate::Kept);
        let mut out = Outcome {
            loaded: AccountsLoaded { asked: true, ..AccountsLoaded::default() },
            warnings: Vec::new(),
            lacking: Vec::new(),
            refusals: BTreeMap::new(),
        };
        for promise in self.manifest.inventory().objects.iter().filter(|object| object.kind == ObjectKind::Account) {
            let name = &promise.name;
            if there.get(name) == Some(promise) {
                out.loaded.restored += 1;
            } else if is_kept(name) {
                out.loaded.kept.push(name.clone());
                out.warnings.push(self.why_kept(name));
            } else {
                self.refusal(name, &mut out);
            }
        }
        Ok(out)
    }

    fn there(&self, session: &mut Session) -> Result<BTreeMap<String, ObjectFacts>> {
        Ok(read_promised(session, self.manifest)?.1)
    }

    fn why_kept(&self, name: &String) -> String {
        if *name == self.own {
            format!(
                "account {name} keeps the password of the destination and was given the backup's grants: the restore itself \
                 signs in with this account"
            )
        } else {
            format!(
                "account {name} keeps the password that it has at the destination and was given the backup's grants; \
                 --overwrite replaces it"
            )
        }
    }

    fn refusal(&self, name: &String, out: &mut Outcome) {
        let line = one_line(name);
        let mine: Vec<&(Step, Error)> = self.refused.iter().filter(|(step, _)| step.account == line).collect();
        let why = match mine.first() {
            Some((step, error)) => {
                let said = told(step, error);
                out.refusals.insert(format!("{} {name}", ObjectKind::Account), said.clone());
                said
            }
            None if self.odd.contains(&line) => {
                "the backup has a statement for it that is not about accounts".to_owned()
            }
            None => "the destination has it differently".to_owned(),
        };
        let stays = self.fates.get(&line) == Some(&Fate::Spared);
        let stays = if stays { "; it stays as the destination had it" } else { "" };
        let sentence = format!("account {name} is not as backed up: {why}{stays}");
        // 1524: the plugin is not loaded; 3929: the component that knows the privilege is not.
        if mine.iter().any(|(_, error)| matches!(code(error), Some(1524 | 3929))) {
            out.lacking.push(sentence.clone());
            out.loaded.lacking.push(name.clone());
        }
        out.loaded.refused.push(name.clone());
        out.warnings.push(sentence);
    }

    fn run(&mut self, session: &mut Session, when: impl Fn(Phase) -> bool) -> Result<()> {
        let steps = self.steps.iter().filter(|step| when(step.phase)).cloned().collect();
        self.run_steps(session, steps)
    }

    fn run_steps(&mut self, session: &mut Session, steps: Vec<Step>) -> Result<()> {
        prepare(session, &self.manifest.server.product, self.quoting.sql_mode())?;
        steps.into_iter().try_for_each(|step| self.step(session, step))
    }

    /// Run one step; a refusal is kept for later, a server that is gone is an error.
    fn step(&mut self, session: &mut Session, step: Step) -> Result<()> {
        let fate = self.fates.get(&step.account).copied();
        let is_account = matches!(step.phase, Phase::Create | Phase::DefaultRole);
        // What exists was looked at, so `ALTER USER`, which is for people who load the file, says nothing new.
        let is_alter = step.phase == Phase::Create && step.sql.starts_with("ALTER ");
        let is_there = match fate {
            Some(Fate::Same) => step.phase != Phase::Object,
            Some(Fate::Kept) => is_account,
            Some(Fate::Spared) => step.phase != Phase::Create,
            _ => false,
        };
        if is_alter || is_there {
            return Ok(());
        }
        self.refused.retain(|(other, _)| *other != step);
        let replaces = matches!(fate, Some(Fate::Replaced | Fate::Spared));
        if replaces && !self.make_room(session, &step)? {
            return Ok(());
        }
        let done = if step.oracle { self.under_oracle(session, &step.sql) } else { session.rows(&step.sql).map(drop) };
        let Err(error) = done else { return Ok(()) };
        let lost = replaces && step.phase == Phase::Create;
        let account = step.account.clone();
        self.refuse(step, error)?;
        if let (true, Some(before)) = (lost, self.before.get(&account)) {
            for sql in before {
                session.ask(sql)?.ok();
            }
            self.fates.insert(account, Fate::Spared);
        }
        Ok(())
    }

    /// Take away what `step` makes anew, unless the destination would refuse the new one: then it keeps what it has.
    fn make_room(&mut self, session: &mut Session, step: &Step) -> Result<bool> {
        // The same definition, with the same checks of it, in one statement that changes nothing if it is refused.
        if let (true, Some(trial)) = (self.before.contains_key(&step.account), trial(step))
            && let Err(error) = session.rows(&trial)
            && code(&error) != Some(SYNTAX)
        {
            self.fates.insert(step.account.clone(), Fate::Spared);
            self.refuse(step.clone(), error)?;
            return Ok(false);
        }
        self.fates.remove(&step.account);
        if let Err(error) = session.rows(&removal(step)) {
            self.refuse(step.clone(), error)?;
        }
        Ok(true)
    }

    fn under_oracle(&self, session: &mut Session, sql: &str) -> Result<()> {
        session.rows("SET SESSION sql_mode = 'ORACLE'")?;
        let done = session.rows(sql);
        prepare(session, &self.manifest.server.product, self.quoting.sql_mode())?;
        done.map(drop)
    }

    fn refuse(&mut self, step: Step, error: Error) -> Result<()> {
        if code(&error).is_none() {
            return Err(error);
        }
        self.refused.push((step, error));
        Ok(())
    }

    /// MariaDB makes whoever creates a role its administrator. If the backup promises something else of the account that
    /// restores, that is taken back.
    fn give_back_roles(&mut self, session: &mut Session) -> Result<()> {
        if promised(self.manifest, &self.own).is_none() {
            return Ok(());
        }
        let made = |step: &&Step| step.sql.starts_with("CREATE ROLE ") && !self.fates.contains_key(&step.account);
        let mine = |role: &str| {
            let grant = format!("GRANT {} TO ", names::quote(role));
            self.steps.iter().any(|step| step.account == self.own && step.sql.starts_with(&grant))
        };
        let roles: Vec<String> = self.steps.iter().filter(made).map(|step| step.account.clone()).collect();
        for role in roles.iter().filter(|role| !mine(role)) {
            if let Err(error) = session.rows(&format!("REVOKE {} FROM CURRENT_USER", names::quote(role)))
                && code(&error).is_none()
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// What was refused and why. A statement that makes an account has its password in it.
fn told(step: &Step, error: &Error) -> String {
    const LONGEST: usize = 200;
    match step.phase {
        Phase::Create => error.to_string(),
        _ if step.sql.chars().count() > LONGEST => {
            format!("{}…: {error}", step.sql.chars().take(LONGEST).collect::<String>())
        }
        _ => format!("{}: {error}", step.sql),
    }
}

fn promised<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a ObjectFacts> {
    manifest.inventory().objects.iter().find(|object| object.kind == ObjectKind::Account && object.name == name)
}

/// Changes an account to what a step is about to make anew; none for roles, which have nothing that could be refused.
fn trial(step: &Step) -> Option<String> {
    let definition = step.sql.strip_prefix("CREATE USER IF NOT EXISTS ")?;
    Some(format!("ALTER USER {definition}"))
}

/// Takes away what a step is about to make anew.
fn removal(step: &Step) -> String {
    let definition =
        step.sql.trim_start_matches("CREATE USER IF NOT EXISTS ").trim_start_matches("CREATE ROLE IF NOT EXISTS ");
    if step.account == EVERYBODY || step.phase != Phase::Create {
        return format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {EVERYBODY}");
    }
    let pieces = pieces(definition, Quoting::default());
    let end = pieces.iter().take_while(|piece| piece.kind != Kind::Word).last().map_or(0, Piece::end);
    let kind = if step.sql.starts_with("CREATE ROLE ") { "ROLE" } else { "USER" };
    format!("DROP {kind} IF EXISTS {}", &definition[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(account: &str, phase: Phase, sql: &str) -> Step {
        Step { account: account.to_owned(), phase, sql: sql.to_owned(), oracle: false }
    }

    #[test]
    fn what_is_made_anew_is_taken_away_first_and_nothing_else() {
        for (account, phase, sql, expected) in [
            (
                "a;@%",
                Phase::Create,
                "CREATE USER IF NOT EXISTS `a;`@`%` IDENTIFIED BY 'x'",
                "DROP USER IF EXISTS `a;`@`%`",
            ),
            ("USER", Phase::Create, "CREATE ROLE IF NOT EXISTS `USER`", "DROP ROLE IF EXISTS `USER`"),
            (
                "PUBLIC",
                Phase::Privileges,
                "GRANT SELECT ON *.* TO PUBLIC",
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC",
            ),
        ] {
            assert_eq!(removal(&step(account, phase, sql)), expected);
        }
    }

    #[test]
    fn a_new_definition_is_tried_on_the_old_account_before_that_goes() {
        let user = step("a@%", Phase::Create, "CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED BY 'x'");
        assert_eq!(trial(&user).as_deref(), Some("ALTER USER `a`@`%` IDENTIFIED BY 'x'"));
        assert_eq!(trial(&step("r", Phase::Create, "CREATE ROLE IF NOT EXISTS `r`")), None);
        assert_eq!(trial(&step("a@%", Phase::Privileges, "GRANT SELECT ON *.* TO `a`@`%`")), None);
    }

    #[test]
    fn a_refused_statement_is_told_with_the_reason_and_never_with_a_password() {
        let error = Error::failed("no such table (1146)");
        let grant = step("a@%", Phase::Object, "GRANT SELECT ON `d`.`t` TO `a`@`%`");
        assert_eq!(told(&grant, &error), "GRANT SELECT ON `d`.`t` TO `a`@`%`: no such table (1146)");
        let create = step("a@%", Phase::Create, "CREATE USER IF NOT EXISTS `a`@`%` IDENTIFIED BY 'secret'");
        assert_eq!(told(&create, &error), "no such table (1146)");
        let long = step("a@%", Phase::Object, &"ü".repeat(300));
        assert_eq!(told(&long, &error), format!("{}…: no such table (1146)", "ü".repeat(200)));
    }
}
