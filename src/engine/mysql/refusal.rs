//! Why a server could not be reached, told by what the server or the system answered, and what to do about it.

use std::io;

use sqlx::mysql::MySqlDatabaseError;

use super::account::{Account, Side};
use super::waits::Unanswered;
use crate::error::Error;

const RESTORING: &str = "/usr/share/doc/backup-sla/docs/mysql-privileges.md (\"The account at the destination\")";

/// No answer in time.
pub fn timed_out(account: &Account, seconds: u64) -> Error {
    Error::failed(format!("cannot connect to server {}: no answer in {seconds} s", account.describe()))
        .hint("is the address right, and does a firewall let this host through to it?")
}

/// A question without an answer. That says nothing about the data.
pub fn unanswered(account: &Account, question: Unanswered) -> Error {
    let hint = if question.is_alive {
        "see what the server is doing: SHOW FULL PROCESSLIST"
    } else {
        "the server answers nobody: is its process stopped, or its disk gone?"
    };
    Error::inconclusive(format!("cannot query {}", account.describe())).because(question).hint(hint)
}

/// An attempt to connect that failed with `cause`.
pub fn refused(account: &Account, cause: sqlx::Error) -> Error {
    let hint = match &cause {
        sqlx::Error::Io(error) => of_the_system(account, error),
        sqlx::Error::Tls(_) => of_tls(),
        _ => match number(&cause) {
            Some(number) => of_the_server(account, number),
            None => "is this the address of a MySQL or MariaDB server?".to_owned(),
        },
    };
    let error = Error::failed(format!("cannot connect to server {}", account.describe()));
    match cause {
        // Without the library's words around the system's.
        sqlx::Error::Io(system) => error.because(system).hint(hint),
        other => error.because(other).hint(hint),
    }
}

/// A query that failed with `cause`. Some servers let an account in and refuse everything that it asks.
pub fn of_query(account: &Account, cause: sqlx::Error) -> Error {
    let hint =
        number(&cause).filter(|number| matches!(number, 1820 | 1226)).map(|number| of_the_server(account, number));
    let error = Error::failed(format!("cannot query {}", account.describe())).because(cause);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The server's own number of an error; none where it was not the server that said so.
pub fn number(error: &sqlx::Error) -> Option<u16> {
    let answer = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(answer.number())
}

fn of_tls() -> String {
    "the TLS handshake failed: is the CA certificate the one that signed the server's, is that still valid, and does the \
     server offer TLS (SHOW VARIABLES LIKE 'have_ssl' or 'tls_version')?"
        .to_owned()
}

fn of_the_system(account: &Account, error: &io::Error) -> String {
    let text = match (account.socket(), error.kind()) {
        (Some(_), io::ErrorKind::NotFound) => {
            "the socket does not exist: is the server running, and is the path right?"
        }
        (Some(_), io::ErrorKind::ConnectionRefused) => {
            "nothing listens on the socket: a server that ended left it behind; start the server"
        }
        (Some(_), io::ErrorKind::PermissionDenied) => {
            "the user that backup-sla runs as may not open the socket: look at the modes of its directories"
        }
        (None, io::ErrorKind::ConnectionRefused) => {
            "nothing listens there: is the server running, and do its bind_address, port and skip_networking let it be \
             reached?"
        }
        (None, io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            "is the address right, and does a firewall let this host through to it?"
        }
        (_, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "the server closed the connection: its log says why"
        }
        (None, _) => "is the host's name right, and can this host resolve it?",
        (Some(_), _) => "is the server running, and is the path of its socket right?",
    };
    text.to_owned()
}

fn of_the_server(account: &Account, number: u16) -> String {
    let user = account.user();
    match number {
        1045 => of_a_wrong_password(account),
        1698 => of_a_socket_account(account),
        1130 => format!(
            "that server accepts no account from this host: create '{user}' with this host's name or address after the @"
        ),
        1129 => "that server blocked this host after too many failed connections: find out what failed, then run FLUSH HOSTS \
                 there (MySQL 8.4 and later: TRUNCATE performance_schema.host_cache)"
            .to_owned(),
        1040 => "that server has as many connections as max_connections allows: end idle ones (SHOW PROCESSLIST), or raise it"
            .to_owned(),
        1203 | 1226 => format!(
            "a limit of the account is used up: wait an hour, or raise it with ALTER USER … WITH \
             MAX_QUERIES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0 for '{user}'"
        ),
        1820 | 1862 => format!(
            "the password has expired: set a new one there (ALTER USER '{user}'@… IDENTIFIED BY …) and here, and consider \
             PASSWORD EXPIRE NEVER for an account that no person uses"
        ),
        4151 | 3118 => format!("the account is locked: an administrator unlocks it with ALTER USER '{user}'@… ACCOUNT UNLOCK"),
        3955 => format!(
            "too many wrong passwords locked the account for a while: correct the password, then ALTER USER '{user}'@… \
             ACCOUNT UNLOCK"
        ),
        1524 | 1251 | 2059 => {
            "that server cannot check this account's password: the authentication plugin is not loaded there".to_owned()
        }
        3159 | 4242 => "that server wants TLS: give the CA certificate (`tls` in the configuration, --tls-ca for a restore)"
            .to_owned(),
        1053 => "that server is shutting down: start it, or wait until it is back".to_owned(),
        _ => "the server's own message says why; its log may say more".to_owned(),
    }
}

fn of_a_wrong_password(account: &Account) -> String {
    match account.side() {
        Side::Source => {
            "the password is wrong, or there is no such account for this host; /usr/share/doc/backup-sla/docs/mysql-privileges.md says \
                         how to make one"
                .to_owned()
        }
        Side::Destination => format!(
            "the password is wrong or missing (--password-file), or there is no such account for this host; the account \
             needs ALL PRIVILEGES WITH GRANT OPTION: {RESTORING} says how to make one"
        ),
    }
}

fn of_a_socket_account(account: &Account) -> String {
    match (account.side(), account.socket()) {
        (Side::Source, _) => format!(
            "'{}' can only sign in as the operating system's user of that name, through the server's own socket; \
             /usr/share/doc/backup-sla/docs/mysql-privileges.md \
             says how to make an account with a password",
            account.user()
        ),
        (Side::Destination, None) => format!(
            "'{}' of a stock server signs in on its own host only: make an account with ALL PRIVILEGES WITH GRANT OPTION as \
             {RESTORING} says, or run the restore on that host with --to unix:/run/mysqld/mysqld.sock",
            account.user()
        ),
        (Side::Destination, Some(_)) => format!(
            "'{0}' signs in as the operating system's user {0}: run the restore as that user, or use another account with \
             --user and --password-file; {RESTORING} says how to make one",
            account.user()
        ),
    }
}
