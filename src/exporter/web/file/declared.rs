//! The meaning of the file's text: what is asked for, before any other file is read.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use saphyr::{MarkedYaml, Scalar, YamlData};
use secrecy::SecretString;

use super::names;
use super::tls::TlsDeclared;
use super::yaml::{self, Mistakes, Section};
use crate::error::{Error, Result};
use crate::exporter::web::rate::Rate;
use crate::exporter::web::users;

/// Everything that the file says.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) tls: Option<TlsDeclared>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) users: BTreeMap<String, SecretString>,
    pub(super) rate: Option<Rate>,
}

/// Read `text`, the content of `path`. Errors: all mistakes of it.
pub(super) fn parse(path: &Path, text: &str) -> Result<Declared> {
    let mut mistakes = Mistakes::in_file(path.display().to_string());
    let document = yaml::document(text, &mut mistakes);
    let keys = ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"];
    let file = Section::read(document.as_ref(), "the file", &keys, &mut mistakes);

    let http = Section::read(file.node(keys[1]), "http_server_config", &["http2", "headers"], &mut mistakes);
    let http2 = http.boolean("http2", &mut mistakes).unwrap_or(true);
    let headers = headers(http.node("headers"), &mut mistakes);
    let directory = path.parent().unwrap_or(Path::new(""));
    let tls = TlsDeclared::read(file.node(keys[0]), directory, http2, &mut mistakes);
    let users = users(file.node(keys[2]), &mut mistakes);
    let rate = rate(file.node(keys[3]), &mut mistakes);
    match mistakes.into_text() {
        None => Ok(Declared { tls, headers, users, rate }),
        Some(text) => {
            Err(Error::configuration(text).hint("/usr/share/doc/backup-sla/docs/web.md has every key of this file"))
        }
    }
}

fn headers(node: Option<&MarkedYaml<'_>>, mistakes: &mut Mistakes) -> Vec<(HeaderName, HeaderValue)> {
    let known: Vec<&str> = names::HEADERS.iter().map(|(name, _)| *name).collect();
    let section = Section::read(node, "headers", &known, mistakes);
    let mut headers = Vec::new();
    for (name, allowed) in names::HEADERS {
        let (Some(text), Some(node)) = (section.string(name, mistakes), section.node(name)) else { continue };
        if !allowed.is_empty() && !allowed.contains(&text) {
            mistakes.at(node, &format!("`{name}` must be {}", names::one_of(allowed)));
        }
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(text)) {
            (Ok(name), Ok(value)) => headers.push((name, value)),
            _ => mistakes.at(node, &format!("`{name}` must be text of one line")),
        }
    }
    headers
}

fn users(node: Option<&MarkedYaml<'_>>, mistakes: &mut Mistakes) -> BTreeMap<String, SecretString> {
    let mut users = BTreeMap::new();
    let pairs = node.map(|node| yaml::pairs(node, "basic_auth_users", mistakes)).unwrap_or_default();
    for (user, place, node) in pairs {
        if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
            mistakes.at(place, "a user's name must not be empty and cannot have colons or control characters");
        }
        let Some(hash) = yaml::string(node, user, mistakes) else { continue };
        match users::cost(hash) {
            Ok(_) => {
                users.insert(user.to_owned(), SecretString::from(hash));
            }
            Err(wrong) => mistakes.at(node, &format!("the password of `{user}` {wrong}")),
        }
    }
    users
}

fn rate(node: Option<&MarkedYaml<'_>>, mistakes: &mut Mistakes) -> Option<Rate> {
    let section = Section::read(node, "rate_limit", &["burst", "interval"], mistakes);
    let interval = section.node("interval").map(|node| (interval(node), node));
    if let Some((None, node)) = interval {
        mistakes.at(node, "`interval` must be a duration such as \"100ms\" or \"2s\"; 0 is no limit");
    }
    let burst = section.node("burst").map(|node| (yaml::count(node), node));
    if let Some((None, node)) = burst {
        mistakes.at(node, "`burst` must be a whole number of requests");
    }
    let interval = interval.and_then(|(interval, _)| interval).filter(|interval| !interval.is_zero())?;
    let burst = burst.and_then(|(burst, _)| burst).unwrap_or(0);
    if burst == 0 {
        section.mistake("with an `interval` needs a `burst` of at least 1: no request would be answered", mistakes);
    }
    Some(Rate { burst, interval })
}

fn interval(node: &MarkedYaml<'_>) -> Option<Duration> {
    match &node.data {
        YamlData::Value(Scalar::Integer(0)) => Some(Duration::ZERO),
        YamlData::Value(Scalar::String(text)) => humantime::parse_duration(text).ok(),
        _ => None,
    }
}
