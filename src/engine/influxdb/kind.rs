//! What the rest of the program has to know of InfluxDB 1.x.

use std::sync::Arc;

use super::InfluxdbEngine;
use super::table::{self, InfluxdbConfig};
use super::target::Target;
use crate::domain::words::Words;
use crate::engine::Engine;
use crate::engine::assertion::{Form, Sort};
use crate::engine::destination::{Credentials, Destination};
use crate::engine::kind::{Kind, RestoreTo, Settings, Table, Wiring};
use crate::error::Result;
use crate::strict::Section;

/// Sources of kind `influxdb`: InfluxDB 1.x.
#[derive(Debug)]
pub struct Influxdb;

impl Kind for Influxdb {
    fn name(&self) -> &'static str {
        "influxdb"
    }

    fn words(&self) -> Words {
        Words { table: "measurement", tables: "measurements", rows: "values" }
    }

    fn read(&self, source: &str, section: &Section<'_>) -> Table {
        table::read(source, section)
    }

    fn form(&self) -> Form {
        Form { key: "influxql", example: "\"SELECT COUNT(usage_idle) FROM cpu\"", sort: Sort::Query }
    }

    fn destinations(&self) -> &'static [&'static str] {
        &["http://USER@HOST:PORT of an InfluxDB"]
    }

    fn destination(&self, address: &str, credentials: &Credentials) -> Result<Destination> {
        Target::named(address, credentials).map(Destination::new)
    }

    fn restore_to(&self) -> RestoreTo {
        RestoreTo {
            arguments: &["http://NEW-HOST:8086"],
            note: "Put a new, empty InfluxDB in place of NEW-HOST; its backup service is expected on port 8088 \
                (--rpc-address HOST:PORT for another, required where the server answers on another port than 8086).",
        }
    }
}

impl Settings for InfluxdbConfig {
    fn engine(&self, wiring: Wiring) -> Arc<dyn Engine> {
        let Wiring { sandbox, clock, memory, staging, .. } = wiring;
        Arc::new(InfluxdbEngine::new(self.clone(), sandbox, clock, memory, staging))
    }
}
