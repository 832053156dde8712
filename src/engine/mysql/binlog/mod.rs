//! Binary logs of both products: checked while they stream by, and what they change.
//!
//! [`scanner`] takes a log file in pieces of any size, as the server's client gives it, in bounded memory: values of rows
//! are passed over, never kept. [`group`] knows where transactions begin and end, `tally` what they change. Nothing here
//! reads a file or talks to a server.

mod body;
mod canaries;
pub(super) mod event;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod group;
pub(super) mod gtid;
pub(super) mod logged;
pub(super) mod query;
mod rows;
mod scanner;
pub(super) mod statement;
pub mod stop;
mod table_map;
mod table_rows;
mod tally;

pub use self::group::Group;
pub use self::scanner::{LogScanner, Scanned};

/// What is wrong with a log, without the place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Damage(String);

impl From<&str> for Damage {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
