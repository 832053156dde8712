//! Strict reading of what people write: tables of which every key is known, values with what to write instead, secrets.
//!
//! Every problem is reported with its place, and all of them at once. `config` reads the tables that every configuration
//! has with it, each engine reads its own.

mod nearest;
mod problems;
mod reading;
pub mod secret;
mod section;
pub mod trust;
pub mod value;

pub use self::nearest::{nearest, quoted_list};
pub use self::problems::{Problems, unknown_key};
pub use self::reading::{NotBuilt, Reading, Subject};
pub use self::secret::{read_private_file, read_secret_file};
pub use self::section::{Fault, Section, Value};
