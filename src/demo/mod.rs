//! The demo's world: a shop in a MariaDB, monitoring in an InfluxDB, an Ansible repository, each with somebody who keeps it
//! busy.
//!
//! The shop's generator is pure (same size, same bytes) and also feeds the benchmark; it knows nothing of servers. Nothing
//! here knows how backups are made; `configuration` says what is backed up.

pub mod ansible;
pub mod background;
pub mod configuration;
mod insert;
pub mod monitoring;
pub mod production;
mod random;
pub mod shop;
mod shop_rows;
mod size;
mod values;
mod words;
