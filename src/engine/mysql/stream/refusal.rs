//! What is said of a dump that is not stored.

use crate::error::Error;

/// An error about text that must not be stored.
pub fn refuse(what: &str, place: &str, shown: &str) -> Error {
    Error::failed(format!("cannot store the dump: it contains {what}, near {place}: {shown:?}"))
        .hint("look at the definitions in that place: one of them makes the client program read the dump differently from the \
             server; drop it, or create it again")
}
