//! Keys that the tables of servers have in common: `tls` and `databases`.

use std::path::PathBuf;

use crate::strict::{Fault, Section, value};

/// `tls = { ca = "ca.pem" }`: the certificate of the authority that the server is verified against.
pub fn tls_ca(section: &Section<'_>) -> Option<PathBuf> {
    let tls = section.table("tls", "{ ca = \"ca.pem\" }")?;
    let reading = tls.reading();
    tls.required("ca", "ca = \"ca.pem\"", |v| {
        let path = value::path(v, reading)?;
        if path.is_file() {
            return Ok(path);
        }
        Err(Fault::new(
            v,
            format!("{} is not a file: give the certificate of the authority in PEM form", path.display()),
        ))
    })
}

/// Databases to back up, each once; empty without the key.
pub fn databases(section: &Section<'_>) -> Vec<String> {
    let names = section.list("databases", "[\"shop\"]", |v| value::text(v).map(str::to_owned)).unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            section.problem("databases", format!("`databases` has {name:?} twice: remove one"));
        }
    }
    names
}
