//! The types of the database under the names that the ledger calls them by. Another product takes its place here; what else is
//! SQLite's own (pragmas, `BEGIN IMMEDIATE`, error codes) is in `open`, `copy`, `schema` and `failure`.

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

/// The product.
pub(super) type Product = Sqlite;
/// Connections that wait to be used.
pub(super) type Pool = SqlitePool;
/// One connection, or a transaction on it.
pub(super) type Connection = SqliteConnection;
/// A transaction that is rolled back unless it is committed.
pub(super) type Transaction = sqlx::Transaction<'static, Sqlite>;
/// One row of an answer.
pub(super) type Row = SqliteRow;
/// A statement with its values.
pub(super) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;
/// A statement whose text depends on how many values there are.
pub(super) type Builder = sqlx::QueryBuilder<Sqlite>;
/// The values of one row that is inserted.
pub(super) type RowValues<'a> = sqlx::query_builder::Separated<'a, Sqlite, &'static str>;
