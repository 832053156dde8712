//! The file underneath: how it is opened, locked, checked, put aside and copied, and how values are stored.
//!
//! The types of the database have the names here by which the ledger calls them: another product takes its place here. What else
//! is SQLite's own (pragmas, `BEGIN IMMEDIATE`, error codes) is in this folder too.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

mod begin_anew;
mod copy;
mod failure;
mod lock;
mod open;
mod schema;
mod set_aside;
pub(super) mod stored;

pub use copy::{HOW_TO_COPY, LedgerCopy};
pub(super) use failure::ledger_error;
pub use lock::is_in_use;
pub(super) use schema::foreign_objects;
pub use set_aside::{is_damage, set_aside};

/// The product.
pub(in crate::ledger) type Product = Sqlite;
/// Connections that wait to be used.
pub(in crate::ledger) type Pool = SqlitePool;
/// One connection, or a transaction on it.
pub(in crate::ledger) type Connection = SqliteConnection;
/// A transaction that is rolled back unless it is committed.
pub(super) type Transaction = sqlx::Transaction<'static, Sqlite>;
/// One row of an answer.
pub(in crate::ledger) type Row = SqliteRow;
/// A statement with its values.
pub(in crate::ledger) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;
/// A statement whose text depends on how many values there are.
pub(in crate::ledger) type Builder = sqlx::QueryBuilder<Sqlite>;
/// The values of one row that is inserted.
pub(in crate::ledger) type RowValues<'a> = sqlx::query_builder::Separated<'a, Sqlite, &'static str>;
