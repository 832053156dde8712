//! Chains: a full backup and the increments that continue it without a hole.

mod broken;
mod until;

pub use self::broken::{Break, BreakKind};
pub use self::until::Until;
