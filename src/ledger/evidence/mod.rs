//! What a report can rely on: the seals of all records, what was found in backups, pages that were raised for a test, and
//! what a report asks for.

mod changes;
mod reports;
mod seals;
mod test_pages;

pub use changes::{ChangeFigures, Compared};
pub(in crate::ledger) use changes::{read_changes, read_suspect};
pub use reports::{ReportedRun, TableTotals};
pub use seals::{ChainHead, SealFault, SealWatch, Sealed};
pub(in crate::ledger) use seals::{
    Sealable, forget_gaps, forget_points, seal_break, seal_configured, seal_gaps, seal_missed, seal_points,
    seal_promise, seal_repository, seal_runs, seal_source, sealed_repository,
};
pub(in crate::ledger) use test_pages::read_test_pages;
pub use test_pages::{TestPage, TestPages};
