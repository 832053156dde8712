//! `[source.NAME]` with its schedule, sandbox and assertions.

use std::collections::{BTreeMap, BTreeSet};

use bytesize::ByteSize;

use super::reading::Subject;
use super::section::Section;
use super::{Assertion, Question, SandboxConfig, Schedule, SourceConfig, SourceKind, engines, labels, value, watch};
use crate::domain::sla::Objectives;

const KINDS: [&str; 3] = ["mysql", "influxdb", "files"];
const DEFAULT_MEMORY: ByteSize = ByteSize::gib(1);

/// Names that a source may refer to, whether or not their tables are good.
pub(super) struct Names<'n> {
    pub(super) repositories: &'n [&'n str],
    pub(super) slas: &'n [&'n str],
}

/// Read the source `name`; `None` after a problem.
pub(super) fn source(
    name: &str,
    section: &Section<'_>,
    names: &Names<'_>,
    slas: &BTreeMap<&str, Objectives>,
) -> Option<SourceConfig> {
    let kind = section.required("kind", "kind = \"mysql\"", |v| value::one_of(v, &KINDS));
    let repository = section
        .required("repository", "repository = \"offsite\"", |v| value::reference(v, "repository", names.repositories));
    let sla = section.required("sla", "sla = \"standard\"", |v| value::reference(v, "sla", names.slas));
    let schedule = schedule(section);
    let labels = labels::labels(section);
    let watch = watch::watch(section);
    let sandbox = sandbox(name, section);
    let assertions = assertions(section, kind);

    let mysql = section.table("mysql", "[source.NAME.mysql]").map(|table| engines::mysql(name, &table));
    let influxdb = section.table("influxdb", "[source.NAME.influxdb]").map(|table| engines::influxdb(name, &table));
    let files = section.table("files", "[source.NAME.files]").map(|table| engines::files(&table));
    refuse_other_kinds(name, section, kind);
    let watched =
        mysql.as_ref().is_some_and(|mysql| mysql.watched) || influxdb.as_ref().is_some_and(|influxdb| influxdb.watched);
    if watched && (schedule.full.is_some() || schedule.incremental.is_some()) {
        section.problem("schedule", "the backups of this source are made elsewhere: keep only `drill` in `schedule`");
    }
    if schedule.incremental.is_some() {
        section.not_built("schedule", Subject::Service, "`schedule.incremental`");
    }
    let objectives = sla.as_deref().and_then(|sla| slas.get(sla));
    let kind = match kind? {
        "mysql" => mysql.map(|mysql| SourceKind::Mysql(mysql.config)),
        "influxdb" => influxdb.map(|influxdb| SourceKind::Influxdb(influxdb.config)),
        _ => files.map(SourceKind::Files),
    };
    Some(SourceConfig {
        name: name.to_owned(),
        repository: repository?,
        sla: sla?,
        objectives: objectives?.clone(),
        labels,
        schedule,
        kind: kind?,
        sandbox,
        assertions,
        watch,
    })
}

/// The table of the source's kind must be there, and no table of another kind.
fn refuse_other_kinds(name: &str, section: &Section<'_>, kind: Option<&str>) {
    let Some(kind) = kind else { return };
    if !section.has(kind) {
        section.incomplete(format!("has no table for its kind: write [source.{name}.{kind}]"));
    }
    for other in KINDS.into_iter().filter(|other| *other != kind && section.has(other)) {
        section
            .problem(other, format!("a source of kind `{kind}` has no table `{other}`: remove it, or change `kind`"));
    }
}

fn schedule(source: &Section<'_>) -> Schedule {
    let example = "{ full = \"0 2 * * *\", drill = \"30 4 * * *\" }";
    let Some(section) = source.table("schedule", example) else { return Schedule::default() };
    let full = section.optional("full", value::schedule);
    let incremental = section.optional("incremental", value::schedule);
    let drill = section.optional("drill", value::schedule);
    let jitter = section.optional("jitter", value::duration);
    let backup_timeout = section.optional("backup_timeout", value::duration);
    let drill_timeout = section.optional("drill_timeout", value::duration);
    if section.has("incremental") && !section.has("full") {
        section.problem("incremental", "`incremental` needs a full backup to build on: write `full` too");
    }
    for timing in [&full, &incremental, &drill].into_iter().flatten() {
        if jitter.is_some_and(|jitter| timing.shortest_gap().is_some_and(|gap| jitter >= gap)) {
            section.problem("jitter", format!("`jitter` must be shorter than the time between two runs of `{timing}`"));
        }
    }
    let usual = Schedule::default();
    Schedule {
        full,
        incremental,
        drill,
        jitter: jitter.unwrap_or(usual.jitter),
        backup_timeout: backup_timeout.unwrap_or(usual.backup_timeout),
        drill_timeout,
    }
}

fn sandbox(name: &str, source: &Section<'_>) -> SandboxConfig {
    let section = source.table("sandbox", "[source.NAME.sandbox]");
    let mut sandbox =
        SandboxConfig { kind: "local".to_owned(), image: None, memory: DEFAULT_MEMORY.as_u64(), programs: None };
    let Some(section) = section else { return sandbox };
    if let Some(kind) = section.optional("kind", |v| value::one_of(v, &["local", "docker"])) {
        kind.clone_into(&mut sandbox.kind);
    }
    sandbox.image = section.optional("image", value::text).map(str::to_owned);
    if let Some(memory) = section.optional("memory", value::size) {
        sandbox.memory = memory;
    }
    sandbox.programs = section.optional("programs", |v| value::path(v, section.reading()));
    if sandbox.kind == "docker" {
        section.not_built("kind", Subject::Source(name), "sandbox kind `docker`");
    } else if section.has("image") {
        section.problem("image", "`image` belongs to `kind = \"docker\"`: remove it, or change `kind`");
    }
    sandbox
}

fn assertions(source: &Section<'_>, kind: Option<&str>) -> Vec<Assertion> {
    let Some(verify) = source.table("verify", "[[source.NAME.verify.assertions]]") else { return Vec::new() };
    let mut names = BTreeSet::new();
    let mut assertions = Vec::new();
    for section in verify.tables("assertions", "[[source.NAME.verify.assertions]]") {
        let name = section.required("name", "name = \"orders are fresh\"", value::text);
        if let Some(name) = name.filter(|name| !names.insert(*name)) {
            section.problem("name", format!("a second assertion is named {name:?}: names must differ within a source"));
        }
        let question = question(&section, kind);
        if let (Some(name), Some(question)) = (name, question) {
            assertions.push(Assertion { name: name.to_owned(), question });
        }
    }
    assertions
}

/// The one question of an assertion, of the sort that its source's kind can answer.
fn question(section: &Section<'_>, kind: Option<&str>) -> Option<Question> {
    const SORTS: [(&str, &str, &str); 3] = [
        ("sql", "mysql", "sql = \"SELECT COUNT(*) > 0 FROM shop.orders\""),
        ("influxql", "influxdb", "influxql = \"SELECT COUNT(usage_idle) FROM cpu\""),
        ("command", "files", "command = [\"test\", \"-s\", \"site.yml\"]"),
    ];
    let sql = section.optional("sql", value::text).map(|query| Question::Sql(query.to_owned()));
    let influxql = section.optional("influxql", value::text).map(|query| Question::InfluxQl(query.to_owned()));
    let command = section.list("command", "[\"test\", \"-s\", \"site.yml\"]", |v| value::text(v).map(str::to_owned));

    let expected = SORTS.iter().find(|(_, of, _)| Some(*of) == kind);
    for (key, of, _) in SORTS.iter().filter(|(key, _, _)| section.has(key)) {
        if let Some((right, kind, _)) = expected.filter(|(right, _, _)| right != key) {
            section
                .problem(key, format!("`{key}` is for sources of kind `{of}`; this one is `{kind}`: write `{right}`"));
        }
    }
    if !SORTS.iter().any(|(key, _, _)| section.has(key)) {
        let example = expected.map_or("`sql`, `influxql` or `command`", |(_, _, example)| example);
        section.incomplete(format!("has no question: write {example}"));
    }
    sql.or(influxql).or(command.map(Question::Command))
}
