//! The source as it is now: reach, databases, retention policies, shards, schema, users, settings.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::answer::{Series, literal, quoted};
use super::client::Client;
use super::count::{END_OF_TIME, FIRST_TIME};
use crate::domain::manifest::ServerIdentity;
use crate::error::{Error, Result};

/// The server's own database.
const INTERNAL: &str = "_internal";
/// Settings recorded with a backup, with the section of `SHOW DIAGNOSTICS` that has them; an unknown one is left out.
const SETTINGS: [(&str, &str); 6] = [
    ("config-data", "index-version"),
    ("config-data", "cache-max-memory-size"),
    ("config-data", "compact-full-write-cold-duration"),
    ("config-data", "max-series-per-database"),
    ("config-data", "max-values-per-tag"),
    ("config-retention", "enabled"),
];

/// What a look at the source tells.
#[derive(Debug)]
pub struct Survey {
    /// Product, version, series.
    pub server: ServerIdentity,
    /// Databases to back up, by name.
    pub databases: BTreeMap<String, Database>,
    /// Every user.
    pub users: Vec<User>,
    /// Server settings by name.
    pub settings: BTreeMap<String, String>,
}

/// One database.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// Retention policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// Continuous queries by name: the statement that makes them.
    pub queries: BTreeMap<String, String>,
    /// Subscriptions, as people read them.
    pub subscriptions: Vec<String>,
    /// Shards in order of their ids.
    pub shards: Vec<Shard>,
    /// Measurements by name.
    pub schema: Schema,
}

/// Measurements by name.
pub type Schema = BTreeMap<String, Measurement>;

/// What is known of one measurement without its points.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Tag keys.
    pub tags: BTreeSet<String>,
    /// Field keys with their types: `idle float`.
    pub fields: BTreeSet<String>,
    /// Series, counted in every shard; none where they were not.
    pub series: Option<u64>,
}

/// A shard: the points of one retention policy in one span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its id, unique on the server.
    pub id: u64,
    /// Retention policy.
    pub policy: String,
    /// First nanosecond.
    pub start: i64,
    /// First nanosecond after it.
    pub end: i64,
}

impl Shard {
    /// Whether it begins before the first time that a point can have. The server loses it from questions about a span of time
    /// when it is restarted, and a restored one never finds it.
    pub fn begins_too_early(&self) -> bool {
        self.start <= FIRST_TIME
    }
}

/// A retention policy. Durations are as the server writes them; `0s` is for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How long points are kept.
    pub keeps: String,
    /// How much time one shard covers.
    pub shards: String,
    /// Replication factor.
    pub replicas: String,
    /// Whether writers get it who name none.
    pub default: bool,
}

impl Policy {
    /// As people read it.
    pub fn shown(&self) -> String {
        let keeps = if self.keeps == "0s" { "for ever" } else { &self.keeps };
        let default = if self.default { ", default" } else { "" };
        format!("keeps {keeps}, shards of {}, replication {}{default}", self.shards, self.replicas)
    }

    /// How long points are kept, in nanoseconds; none for ever.
    pub fn kept_nanoseconds(&self) -> Option<i64> {
        let keeps = humantime::parse_duration(&self.keeps).ok().filter(|keeps| !keeps.is_zero());
        keeps.and_then(|keeps| i64::try_from(keeps.as_nanos()).ok())
    }

    /// The statement that makes it, or makes an existing one like it.
    pub fn statement(&self, exists: bool, database: &str, name: &str) -> String {
        let verb = if exists { "ALTER" } else { "CREATE" };
        let keeps = if self.keeps == "0s" { "INF" } else { &self.keeps };
        let default = if self.default { " DEFAULT" } else { "" };
        let (name, database) = (quoted(name), quoted(database));
        let (replicas, shards) = (&self.replicas, &self.shards);
        format!(
            "{verb} RETENTION POLICY {name} ON {database} DURATION {keeps} REPLICATION {replicas} SHARD DURATION {shards}{default}"
        )
    }
}

/// A user and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name.
    pub name: String,
    /// Whether it may do everything.
    pub admin: bool,
    /// Privilege (`READ`, `WRITE`, `ALL PRIVILEGES`) by database.
    pub grants: BTreeMap<String, String>,
}

impl User {
    /// As people read it.
    pub fn shown(&self) -> String {
        let grants = self.grants.iter().map(|(database, privilege)| format!("{privilege} on {database}"));
        let all: Vec<String> = self.admin.then(|| "administrator".to_owned()).into_iter().chain(grants).collect();
        if all.is_empty() { "no privileges".to_owned() } else { all.join(", ") }
    }
}

/// Look at the source. What the account may not see is an error that says so.
pub fn survey(client: &mut Client, wanted: &[String], cardinalities: bool) -> Result<Survey> {
    let databases = choose(wanted, &names(&client.query("", "SHOW DATABASES")?))?;
    let mut found = BTreeMap::new();
    for name in databases {
        let database = database(client, &name, cardinalities)?;
        found.insert(name, database);
    }
    let mut users = users(client)?;
    // What a user may do elsewhere is no part of this backup.
    for user in &mut users {
        user.grants.retain(|database, _| found.contains_key(database));
    }
    Ok(Survey { server: identity(&client.version), databases: found, users, settings: settings(client) })
}

/// Product, version and series of a server that says `version`.
pub fn identity(version: &str) -> ServerIdentity {
    let series = version.split('.').take(2).collect::<Vec<_>>().join(".");
    ServerIdentity { product: "InfluxDB".to_owned(), version: version.to_owned(), series }
}

/// First column of all rows.
pub fn names(series: &[Series]) -> Vec<String> {
    series
        .iter()
        .flat_map(|series| series.values.iter().filter_map(|row| row.first()))
        .map(super::answer::text)
        .collect()
}

/// Everything about one database but its points.
fn database(client: &mut Client, name: &str, cardinalities: bool) -> Result<Database> {
    Ok(Database {
        policies: policies(client, name)?,
        queries: queries(client, name)?,
        subscriptions: subscriptions(client, name)?,
        shards: shards(client, name)?,
        schema: schema(client, name, cardinalities)?,
    })
}

/// Measurements of a database; with `cardinalities`, which a giant database takes long to tell, with their series.
pub fn schema(client: &mut Client, database: &str, cardinalities: bool) -> Result<Schema> {
    let on = quoted(database);
    let mut schema = Schema::new();
    for name in names(&client.query("", &format!("SHOW MEASUREMENTS ON {on}"))?) {
        schema.insert(name, Measurement::default());
    }
    for series in client.query("", &format!("SHOW TAG KEYS ON {on}"))? {
        let keys = series.texts(["tagKey"]).into_iter().map(|[key]| key);
        schema.entry(series.name.clone()).or_default().tags.extend(keys);
    }
    for series in field_keys(client, database)? {
        let fields = series.texts(["fieldKey", "fieldType"]).into_iter().map(|[key, kind]| format!("{key} {kind}"));
        schema.entry(series.name.clone()).or_default().fields.extend(fields);
    }
    if cardinalities {
        for known in schema.values_mut() {
            known.series = Some(0);
        }
        for (name, count) in cardinalities_of(client, database, &schema)? {
            schema.entry(name).or_default().series = Some(count);
        }
    }
    Ok(schema)
}

/// Where the points of a database are asked for: all that have none in front of them mean the default policy, which may have
/// been dropped. Then each policy is named.
fn sources(client: &mut Client, database: &str) -> Result<Vec<String>> {
    let policies = policies(client, database)?;
    if policies.values().any(|policy| policy.default) {
        return Ok(vec![String::new()]);
    }
    Ok(policies.keys().map(|policy| format!("{}.", quoted(policy))).collect())
}

fn field_keys(client: &mut Client, database: &str) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for source in sources(client, database)? {
        let from = if source.is_empty() { source } else { format!(" FROM {source}/.*/") };
        all.extend(client.query("", &format!("SHOW FIELD KEYS ON {}{from}", quoted(database)))?);
    }
    Ok(all)
}

/// Series by measurement.
fn cardinalities_of(client: &mut Client, database: &str, schema: &Schema) -> Result<BTreeMap<String, u64>> {
    let (on, is_limited) = (quoted(database), client.limits().series.is_some());
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for source in sources(client, database)? {
        // A limit is for all measurements of one question together.
        let from: Vec<String> = match (is_limited, source.is_empty()) {
            (true, _) => schema.keys().map(|name| format!(" FROM {source}{}", quoted(name))).collect(),
            (false, true) => vec![String::new()],
            (false, false) => vec![format!(" FROM {source}/.*/")],
        };
        for from in from {
            for series in client.query("", &format!("SHOW SERIES EXACT CARDINALITY ON {on}{from}"))? {
                let count = series.texts(["count"]).first().and_then(|[count]| count.parse().ok()).unwrap_or(0);
                *counts.entry(series.name).or_default() += count;
            }
        }
    }
    Ok(counts)
}

/// Retention policies of a database.
pub fn policies(client: &mut Client, database: &str) -> Result<BTreeMap<String, Policy>> {
    let mut policies = BTreeMap::new();
    for series in client.query("", &format!("SHOW RETENTION POLICIES ON {}", quoted(database)))? {
        for [name, keeps, shards, replicas, default] in
            series.texts(["name", "duration", "shardGroupDuration", "replicaN", "default"])
        {
            policies.insert(name, Policy { keeps, shards, replicas, default: default == "true" });
        }
    }
    Ok(policies)
}

/// Continuous queries of a database: the statements that make them.
pub fn queries(client: &mut Client, database: &str) -> Result<BTreeMap<String, String>> {
    let all = client.query("", "SHOW CONTINUOUS QUERIES")?;
    let own = all.iter().filter(|series| series.name == database);
    Ok(own.flat_map(|series| series.texts(["name", "query"])).map(|[name, query]| (name, query)).collect())
}

/// Subscriptions of a database, as people read them.
pub fn subscriptions(client: &mut Client, database: &str) -> Result<Vec<String>> {
    let all = client.query("", "SHOW SUBSCRIPTIONS")?;
    let own = all.iter().filter(|series| series.name == database);
    let rows = own.flat_map(|series| series.texts(["retention_policy", "name", "mode", "destinations"]));
    Ok(rows.map(|[policy, name, mode, to]| format!("{name} on {policy} ({mode} {to})")).collect())
}

/// Shards of a database in order of their ids.
pub fn shards(client: &mut Client, database: &str) -> Result<Vec<Shard>> {
    let mut shards = Vec::new();
    for series in client.query("", "SHOW SHARDS")?.iter().filter(|series| series.name == database) {
        for [id, policy, start, end] in series.texts(["id", "retention_policy", "start_time", "end_time"]) {
            let bad =
                |what: &str| Error::failed(format!("cannot read shards of {database}: `{what}` is not understood"));
            let end = nanoseconds(&end).ok_or_else(|| bad(&end))?;
            // One that begins before the range begins after it as soon as the server was restarted: an overflow of its own.
            let start = nanoseconds(&start)
                .ok_or_else(|| bad(&start))
                .map(|start| if start > end { FIRST_TIME } else { start });
            shards.push(Shard { id: id.parse().map_err(|_| bad(&id))?, policy, start: start?, end });
        }
    }
    shards.sort_by_key(|shard| shard.id);
    Ok(shards)
}

/// Every user with its grants. Only an administrator is told; without authentication everybody is one.
pub fn users(client: &mut Client) -> Result<Vec<User>> {
    let listed: Vec<[String; 2]> =
        client.query("", "SHOW USERS")?.iter().flat_map(|series| series.texts(["user", "admin"])).collect();
    let mut users = Vec::new();
    for [name, admin] in listed {
        let rows = client.query("", &format!("SHOW GRANTS FOR {}", quoted(&name)))?;
        let grants = rows.iter().flat_map(|series| series.texts(["database", "privilege"]));
        let grants = grants.filter(|[_, privilege]| privilege != "NO PRIVILEGES");
        users.push(User {
            admin: admin == "true",
            grants: grants.map(|[database, privilege]| (database, privilege)).collect(),
            name,
        });
    }
    Ok(users)
}

/// Values of [`SETTINGS`]; none where the account may not ask.
fn settings(client: &mut Client) -> BTreeMap<String, String> {
    let diagnostics = client.query("", "SHOW DIAGNOSTICS").unwrap_or_default();
    let value = |(section, name): &(&str, &str)| {
        let series = diagnostics.iter().find(|series| series.name == *section)?;
        let [value] = series.texts([name]).pop()?;
        (!value.is_empty()).then(|| (format!("{section}.{name}").replace("config-", ""), value))
    };
    SETTINGS.iter().filter_map(value).collect()
}

fn choose(wanted: &[String], present: &[String]) -> Result<Vec<String>> {
    if wanted.is_empty() {
        let all: Vec<String> = present.iter().filter(|name| *name != INTERNAL).cloned().collect();
        if all.is_empty() {
            return Err(Error::failed("cannot find a database to back up: the server has only `_internal`")
                .hint("name what should be there in `databases`, so that its absence is noticed"));
        }
        return Ok(all);
    }
    let missing: Vec<_> = wanted.iter().filter(|name| !present.contains(name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(wanted.to_vec());
    }
    Err(Error::failed(format!("cannot find database {} on the server", missing.join(", ")))
        .hint("it was dropped or renamed, or this account may not see it"))
}

/// Nanoseconds of a time as the server writes it.
pub fn nanoseconds(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    // What lies beyond the range of the type is beyond the range of the server too. The server writes whole seconds.
    let last_second = END_OF_TIME / 1_000_000_000;
    if time.timestamp() >= last_second {
        return Some(END_OF_TIME);
    }
    Some(time.timestamp_nanos_opt().map_or(FIRST_TIME, |time| time.max(FIRST_TIME)))
}

/// Time of nanoseconds, for people.
pub fn shown_time(nanoseconds: i64) -> String {
    DateTime::<Utc>::from_timestamp_nanos(nanoseconds).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Statements that make `user` with `password`.
pub fn creation(user: &User, password: &str) -> Vec<String> {
    let name = quoted(&user.name);
    let all = if user.admin { " WITH ALL PRIVILEGES" } else { "" };
    let mut statements = vec![format!("CREATE USER {name} WITH PASSWORD {}{all}", literal(password))];
    statements.extend(grants(user));
    statements
}

/// Statements that give `user` its grants.
pub fn grants(user: &User) -> Vec<String> {
    let name = quoted(&user.name);
    let grant = |(database, privilege): (&String, &String)| {
        let privilege = if privilege == "ALL PRIVILEGES" { "ALL" } else { privilege.as_str() };
        format!("GRANT {privilege} ON {} TO {name}", quoted(database))
    };
    user.grants.iter().map(grant).collect()
}
