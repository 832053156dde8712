//! The whole file: top-level keys, `[web]`, `[repository.NAME]`, `[sla.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use toml::de::DeTable;

use super::source::{self, Names};
use super::{Config, RepositoryConfig, RepositoryKind, SchedulerConfig, Web, maintenance};
use crate::domain::sla::Objectives;
use crate::engine::kind::Kinds;
use crate::strict::{Fault, Reading, Section, Subject, Value, nearest, quoted_list, secret, value};

const DEFAULT_ADDRESS: &str = "[::]:10909";
const DEFAULT_STATE_DIR: &str = "/var/lib/backup-sla";

/// Read everything. The result is meaningful only if the reading found no problem.
pub(super) fn config(reading: &Reading<'_>, table: &DeTable<'_>, kinds: Kinds) -> Config {
    let file = Section::root(reading, table);
    let state_dir = file.optional("state_dir", |v| value::path(v, reading));
    let host = file.optional("host", value::host_name);
    let timezone = file.optional("timezone", value::timezone);
    let web = web(&file);
    let scheduler = scheduler(&file);
    let maintenance = maintenance::maintenance(&file);

    let mut repositories = BTreeMap::new();
    let mut repository_names = Vec::new();
    for (name, section) in file.named_tables("repository") {
        repository_names.push(name);
        if let Some(repository) = repository(name, &section) {
            refuse_second_name(&section, &repository, &repositories);
            repositories.insert(name.to_owned(), repository);
        }
    }

    let mut slas = BTreeMap::new();
    let mut sla_names = Vec::new();
    for (name, section) in file.named_tables("sla") {
        sla_names.push(name);
        slas.extend(sla(&section).map(|objectives| (name, objectives)));
    }

    let mut sources = BTreeMap::new();
    let names = Names { repositories: &repository_names, slas: &sla_names, kinds };
    let sections = file.named_tables("source");
    if sections.is_empty() {
        file.incomplete("has no source: write [source.NAME] with kind, repository and sla");
    }
    for (name, section) in sections {
        if let Some(source) = source::source(name, &section, &names, &slas) {
            sources.insert(name.to_owned(), source);
        }
    }

    Config {
        file: reading.file().to_owned(),
        kinds,
        state_dir: state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR)),
        host,
        timezone: timezone.unwrap_or(chrono_tz::Tz::UTC),
        web,
        scheduler,
        maintenance,
        repositories,
        sources,
        password_files: reading.password_files(),
        not_built: Vec::new(),
    }
}

fn web(file: &Section<'_>) -> Web {
    let mut web = Web { listen_addresses: vec![DEFAULT_ADDRESS.to_owned()], config_file: None };
    let Some(section) = file.table("web", "[web]") else { return web };
    if let Some(addresses) = section.list("listen_addresses", "[\"[::]:10909\"]", value::address) {
        web.listen_addresses = addresses;
    }
    web.config_file = section.optional("config_file", |v| value::path(v, section.reading()));
    web
}

fn scheduler(file: &Section<'_>) -> SchedulerConfig {
    let mut scheduler = SchedulerConfig::default();
    let Some(section) = file.table("scheduler", "[scheduler]") else { return scheduler };
    let at_once = |v| value::integer(v, 1, 64);
    scheduler.backups = section.optional("backups", at_once).unwrap_or(scheduler.backups);
    scheduler.drills = section.optional("drills", at_once).unwrap_or(scheduler.drills);
    let listing = section.optional("listing_interval", value::duration);
    scheduler.listing_interval = listing.unwrap_or(scheduler.listing_interval);
    let timeout = section.optional("listing_timeout", value::duration);
    scheduler.listing_timeout = timeout.unwrap_or(scheduler.listing_timeout);
    scheduler.drain = section.optional("drain", value::duration).unwrap_or(scheduler.drain);
    scheduler
}

fn repository(name: &str, section: &Section<'_>) -> Option<RepositoryConfig> {
    let reading = section.reading();
    let kind = section.required("kind", "kind = \"restic\"", |v| {
        Ok(match value::one_of(v, &["restic", "duplicity"])? {
            "restic" => RepositoryKind::Restic,
            _ => RepositoryKind::Duplicity,
        })
    });
    let url = section.required("url", "url = \"/srv/backup\"", |v| match kind {
        Some(RepositoryKind::Duplicity) => duplicity_url(v),
        _ => restic_url(v, reading),
    });
    let encryption = section.optional("encryption", |v| value::one_of(v, &["gpg", "none"]));
    let password = secret::password(section);
    let password_file = password.as_ref().and_then(|_| secret::file(section));

    let plain = encryption == Some("none") && kind == Some(RepositoryKind::Duplicity);
    if kind == Some(RepositoryKind::Restic) {
        section.refuse("encryption", "a restic repository is always encrypted: remove `encryption`");
    }
    if plain && secret::is_given(section) {
        section.problem("encryption", "`encryption = \"none\"` needs no password: remove one of the two");
    }
    if !plain && !secret::is_given(section) {
        section.incomplete("has no password: write `password_file = \"FILE\"` or `password_env = \"VARIABLE\"`");
    }
    // The restic program strips white space around the content of a password file; it must find the same key.
    if password.as_ref().is_some_and(|password| password.expose_secret().trim() != password.expose_secret()) {
        section.incomplete("has a password that begins or ends with white space, which restic strips: change it");
    }
    match (kind, &url) {
        (Some(RepositoryKind::Duplicity), _) => {
            section.not_built("kind", Subject::Repository(name), "repository kind `duplicity`");
        }
        (_, Some(url)) if !url.starts_with('/') => {
            let scheme = url.split("://").next().unwrap_or(url);
            let feature = format!("a restic repository at a `{scheme}://` url");
            section.not_built("url", Subject::Repository(name), &feature);
        }
        _ => {}
    }
    Some(RepositoryConfig { name: name.to_owned(), kind: kind?, url: url?, password, password_file })
}

/// Two names for one place would each believe to hold its lock.
fn refuse_second_name(
    section: &Section<'_>,
    repository: &RepositoryConfig,
    others: &BTreeMap<String, RepositoryConfig>,
) {
    if let Some(other) = others.values().find(|other| other.url == repository.url) {
        let message = format!("`url` is the same as in [repository.{}]: use that repository", other.name);
        section.problem("url", message);
    }
}

/// A local path (also as `file:///a/path`), made absolute, or a URL as written.
fn restic_url(value: &Value<'_>, reading: &Reading<'_>) -> Result<String, Fault> {
    const REMOTE: [&str; 2] = ["sftp", "s3"];
    let url = value::text(value)?;
    let Some((scheme, rest)) = split_url(value, url)? else {
        let path = reading.resolve(url).into_os_string().into_string();
        return path.map_err(|_| Fault::new(value, "is not below a UTF-8 path"));
    };
    match scheme {
        "file" if rest.starts_with('/') => Ok(rest.to_owned()),
        "file" => Err(Fault::new(value, "must be file:///a/path, with three slashes, or the path alone")),
        scheme if REMOTE.contains(&scheme) => Ok(url.to_owned()),
        scheme => {
            let advice = nearest(scheme, REMOTE).map_or_else(
                || format!("write a local path, {}", quoted_list(["sftp://", "s3://"])),
                |meant| format!("did you mean `{meant}://`?"),
            );
            Err(Fault::new(
                value,
                format!("has the scheme `{scheme}://`, which restic repositories do not have here: {advice}"),
            ))
        }
    }
}

/// Any URL duplicity knows, as written.
fn duplicity_url(value: &Value<'_>) -> Result<String, Fault> {
    let url = value::text(value)?;
    match split_url(value, url)? {
        Some(_) => Ok(url.to_owned()),
        None => {
            Err(Fault::new(value, "must be a URL for duplicity, such as file:///a/path or rsync://user@host//a/path"))
        }
    }
}

/// Scheme and rest of a URL, `None` for a path. A password in the URL is refused: URLs are shown in logs.
fn split_url<'u>(value: &Value<'_>, url: &'u str) -> Result<Option<(&'u str, &'u str)>, Fault> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let first = url.split('/').next().unwrap_or(url);
        if first.contains(':') {
            return Err(Fault::new(value, "must be a URL such as sftp://user@host/path (a path with a colon: ./a:b)"));
        }
        return Ok(None);
    };
    value::refuse_password(value, rest)?;
    Ok(Some((scheme, rest)))
}

fn sla(section: &Section<'_>) -> Option<Objectives> {
    let rpo = section.required("rpo", "rpo = \"24h\"", value::duration);
    let rto = section.required("rto", "rto = \"5h\"", value::duration);
    let retention = section.required("retention", "retention = \"30d\"", value::duration);
    let drill_interval = section.required("drill_interval", "drill_interval = \"24h\"", value::duration);
    let max_chain_length = section.optional("max_chain_length", |v| value::integer(v, 0, 100_000));
    let objective_ratio = section.optional("objective_ratio", value::ratio);
    Some(Objectives {
        rpo: rpo?,
        rto: rto?,
        retention: retention?,
        drill_interval: drill_interval?,
        max_chain_length: max_chain_length.unwrap_or(100),
        objective_ratio: objective_ratio.unwrap_or(0.99),
    })
}
