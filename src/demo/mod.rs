//! The demo's world: a generated shop database, the "production" server that holds it, and a writer that keeps it busy.
//!
//! The generator is pure (same size, same bytes) and also feeds the benchmark; it knows nothing of servers. Nothing here
//! knows how backups are made.

mod insert;
pub mod production;
mod random;
pub mod shop;
mod shop_rows;
mod values;
mod words;
