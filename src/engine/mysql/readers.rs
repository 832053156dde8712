//! Accounts of a sandbox that can only read. What a backup holds includes code of its users: views, functions, what a
//! definition calls. Asking the restored server a question may run it, and with security INVOKER it runs with the rights
//! of whoever asks. So nobody who asks has any to give away.

use super::account::Account;
use super::accounts::DRILL_ACCOUNT;
use super::connection::Session;
use crate::error::Result;

/// Asks the operator's assertions.
pub const ASKING: &str = "backup_sla_drill_reader";
/// Dumps what was restored.
pub const INSPECTING: &str = "backup_sla_drill_inspector";
/// Every account that a sandbox has for itself.
pub const OWN: [&str; 3] = [DRILL_ACCOUNT, ASKING, INSPECTING];

/// Statements that make both.
pub fn made(maria: bool) -> String {
    // As docs/mysql-privileges.md has it for the account that made the backup; and EXECUTE, without which a view over a
    // function cannot be described.
    let routines = if maria { "" } else { ", SHOW_ROUTINE" };
    format!(
        "CREATE USER '{ASKING}'@'localhost';\n\
         GRANT SELECT, SHOW VIEW, SHOW DATABASES, PROCESS, EXECUTE ON *.* TO '{ASKING}'@'localhost';\n\
         CREATE USER '{INSPECTING}'@'localhost';\n\
         GRANT SELECT, SHOW VIEW, SHOW DATABASES, EXECUTE, TRIGGER, EVENT{routines} ON *.* TO '{INSPECTING}'@'localhost';\n"
    )
}

/// The same place as whoever may only ask there. What is no sandbox is asked as the account that was given for it.
pub fn asking(at: Account) -> Account {
    as_user(at, ASKING)
}

/// The same place as whoever may only dump there.
pub fn inspecting(at: Account) -> Account {
    as_user(at, INSPECTING)
}

fn as_user(at: Account, reader: &str) -> Account {
    if at.socket().is_some() && at.user() == DRILL_ACCOUNT { at.with_user(reader) } else { at }
}

/// From here on the session changes no row, not even through code with the rights of its definer, which cannot leave the
/// transaction.
pub fn only_read(session: &mut Session) -> Result<()> {
    session.rows("START TRANSACTION READ ONLY").map(drop)
}
