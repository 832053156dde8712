//! Triggers whose text the server itself cannot parse. MariaDB lists one if it can still read its name, as if nothing was
//! wrong, and the dump client prints it: no client could load that. It shows in one place only: what is listed as the body
//! is the whole statement. One whose name cannot be read is listed nowhere (docs/what-is-backed-up.md).

use std::collections::BTreeSet;

use super::connection::{Refusal, Session};
use super::names;
use crate::error::Result;

/// Names of the triggers of `database` that cannot be parsed.
pub fn unparsable(session: &mut Session, database: &str) -> Result<BTreeSet<String>> {
    let schema = names::quote_text(database);
    let listed = format!(
        "SELECT TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} AND DEFINER = ''"
    );
    let mut found = BTreeSet::new();
    for row in session.rows(&listed)? {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        let (name, body) = (row.next().unwrap_or_default(), row.next().unwrap_or_default());
        // Triggers of long ago have no definer either.
        let show = format!("SHOW CREATE TRIGGER {}.{}", names::quote(database), names::quote(&name));
        let shown = session.ask(&show)?.ok().and_then(|rows| rows.into_iter().next()?.into_iter().nth(2)?);
        if shown.is_some_and(|statement| statement == body) {
            found.insert(name);
        }
    }
    Ok(found)
}

/// What is said of such a trigger.
pub fn refusal() -> Refusal {
    let message = "the server cannot parse it, and refuses changes to its table: drop the trigger and create it again";
    Refusal { number: 1064, message: message.to_owned() }
}
