//! A database of our own at a destination, to try there what only the server itself can tell.

use super::connection::{Refusal, Rows, Session};
use super::names;
use crate::error::Result;

/// Gone when dropped. Its name is new every time: a database that was there before is never touched.
pub struct Probe<'s> {
    session: &'s mut Session,
    name: String,
}

impl<'s> Probe<'s> {
    /// Make it.
    pub fn make(session: &'s mut Session) -> Result<Self> {
        let name = names::quote(&format!("backup_sla_probe_{:016x}", rand::random::<u64>()));
        session.rows(&format!("CREATE DATABASE {name}"))?;
        Ok(Self { session, name })
    }

    /// Its name, quoted.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Try a statement.
    pub fn ask(&mut self, sql: &str) -> Result<std::result::Result<Rows, Refusal>> {
        self.session.ask(sql)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        // Whoever may make a database may drop it; an empty one that is left behind harms nobody.
        let _ = self.session.rows(&format!("DROP DATABASE {}", self.name));
    }
}
