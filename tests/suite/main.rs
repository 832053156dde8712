//! Flows against real servers: MariaDB, MySQL, the restic program, and the `backup-sla` binary itself.
//!
//! Every test starts what it needs on unix sockets or loopback in a directory of its own and stops it. A missing
//! component fails the test that needs it.
// Tests may look at the clock: they measure the program from outside.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, clippy::duration_suboptimal_units)]
#![allow(clippy::needless_pass_by_value)]
// Values of metrics that are whole numbers are compared as such.
#![allow(clippy::float_cmp)]

mod accounts;
mod accounts_names;
mod alerts;
mod bad_input;
mod by_hand;
mod campaign;
mod canary;
mod chains;
mod charsets;
mod damage;
mod dashboards;
mod demo;
mod documentation;
mod earlier;
mod elsewhere;
mod engines;
mod events;
mod files;
mod follow;
mod fresh;
mod habits;
mod hostile_names;
mod hosts;
mod http;
mod imports;
mod increments;
mod increments_hard;
mod influx_support;
mod influxdb;
mod influxdb_moving;
mod influxdb_odd;
mod interop;
mod inventory;
mod joined;
mod kills;
mod lacks;
mod ledger_truth;
mod left_out;
mod leftovers;
mod load_order;
mod logs;
mod memory;
mod mixed;
mod moments;
mod mysql;
mod names_as_sql;
mod network;
mod odd_definitions;
mod outside;
mod overlap;
mod packaging;
mod paged;
mod pages;
mod privileges;
mod prometheus;
mod proofs;
mod ransom;
mod report;
mod restoring;
mod retention;
mod round_trip;
mod rules;
mod service;
mod serving;
mod settings;
mod settings_walk;
mod state_full;
mod stock;
mod stock_servers;
mod stored_code;
mod support;
mod systemd;
mod terminals;
mod test_page;
mod trusting;
mod truth;
mod umask;
mod uncarried;
mod unready;
mod waits;
mod waits_git;
mod waits_others;
mod xa;
