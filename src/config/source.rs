//! `[source.NAME]` with its schedule, sandbox and assertions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytesize::ByteSize;

use super::{Schedule, SourceConfig, labels, watch};
use crate::domain::drill_choice::Policy;
use crate::domain::schedule::Continuous;
use crate::domain::sla::Objectives;
use crate::engine::assertion::{Assertion, Form, Question, Sort};
use crate::engine::kind::{Kind, Kinds, Table};
use crate::sandbox::settings::SandboxConfig;
use crate::strict::{Section, Subject, value};

const DEFAULT_MEMORY: ByteSize = ByteSize::gib(1);
/// How following a log is written where the usual will not do.
const CONTINUOUSLY: &str = "{ interval = \"10s\", size = \"16MiB\" }";
/// What is published more often would be mostly overhead; what is published less often has a schedule.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// Names that a source may refer to, whether or not their tables are good.
pub(super) struct Names<'n> {
    pub(super) repositories: &'n [&'n str],
    pub(super) slas: &'n [&'n str],
    pub(super) kinds: Kinds,
}

/// Read the source `name`; `None` after a problem.
pub(super) fn source(
    name: &str,
    section: &Section<'_>,
    names: &Names<'_>,
    slas: &BTreeMap<&str, Objectives>,
) -> Option<SourceConfig> {
    let kind = kind(section, names.kinds);
    let repository = section
        .required("repository", "repository = \"offsite\"", |v| value::reference(v, "repository", names.repositories));
    let sla = section.required("sla", "sla = \"standard\"", |v| value::reference(v, "sla", names.slas));
    let schedule = schedule(section, kind);
    let drills = drills(section);
    let max_replay = section.optional("max_replay", value::duration);
    if let Some(kind) = kind.filter(|kind| max_replay.is_some() && !kind.has_increments()) {
        section.problem(
            "max_replay",
            format!("a source of kind `{}` has no increments to replay: remove it", kind.name()),
        );
    }
    let labels = labels::labels(section);
    let watch = watch::watch(section);
    let sandbox = sandbox(name, section);
    let assertions = assertions(section, kind, names.kinds);
    let (table, made_elsewhere) = table(name, section, kind, names.kinds);
    if made_elsewhere && (schedule.full.is_some() || schedule.has_increments()) {
        section.problem("schedule", "the backups of this source are made elsewhere: keep only `drill` in `schedule`");
    }
    let objectives = sla.as_deref().and_then(|sla| slas.get(sla));
    Some(SourceConfig {
        name: name.to_owned(),
        repository: repository?,
        sla: sla?,
        objectives: objectives?.clone(),
        labels,
        schedule,
        kind: kind?,
        settings: table?.settings,
        sandbox,
        assertions,
        watch,
        drills,
        max_replay,
    })
}

fn kind(section: &Section<'_>, kinds: Kinds) -> Option<&'static dyn Kind> {
    let names: Vec<&'static str> = kinds.iter().map(|kind| kind.name()).collect();
    let example = format!("kind = {:?}", names.first().unwrap_or(&"KIND"));
    let name = section.required("kind", &example, |v| value::one_of(v, &names))?;
    kinds.iter().copied().find(|kind| kind.name() == name)
}

/// The table of the source's kind, and whether any table says that the backups are made elsewhere. There must be one of its
/// kind and none of another; those are read too, so that every problem is found at once.
fn table(name: &str, section: &Section<'_>, kind: Option<&dyn Kind>, kinds: Kinds) -> (Option<Table>, bool) {
    let (mut of_its_kind, mut made_elsewhere) = (None, false);
    for of in kinds {
        let example = format!("[source.NAME.{}]", of.name());
        let table = section.table(of.name(), &example).map(|table| of.read(name, &table));
        made_elsewhere |= table.as_ref().is_some_and(|table| table.made_elsewhere);
        if kind.is_some_and(|kind| kind.name() == of.name()) {
            of_its_kind = table;
        }
    }
    if let Some(kind) = kind {
        refuse_other_kinds(name, section, kind.name(), kinds);
    }
    (of_its_kind, made_elsewhere)
}

fn refuse_other_kinds(name: &str, section: &Section<'_>, kind: &str, kinds: Kinds) {
    if !section.has(kind) {
        section.incomplete(format!("has no table for its kind: write [source.{name}.{kind}]"));
    }
    for other in kinds.iter().map(|other| other.name()).filter(|other| *other != kind && section.has(other)) {
        section
            .problem(other, format!("a source of kind `{kind}` has no table `{other}`: remove it, or change `kind`"));
    }
}

fn schedule(source: &Section<'_>, kind: Option<&dyn Kind>) -> Schedule {
    let example = "{ full = \"0 2 * * *\", drill = \"30 4 * * *\" }";
    let Some(section) = source.table("schedule", example) else { return Schedule::default() };
    let full = section.optional("full", value::schedule);
    let (mut incremental, mut continuous) = match section.optional("incremental", value::pace) {
        Some(value::Pace::Timed(timing)) => (Some(timing), None),
        Some(value::Pace::Continuous) => (None, Some(Continuous::default())),
        Some(value::Pace::Table) => {
            (None, section.table("incremental", CONTINUOUSLY).map(|table| continuously(&table)))
        }
        None => (None, None),
    };
    let is_asked = incremental.is_some() || continuous.is_some();
    if let Some(kind) = kind.filter(|kind| is_asked && !kind.has_increments()) {
        source.not_built("schedule", Subject::Service, &format!("`schedule.incremental` of kind `{}`", kind.name()));
        (incremental, continuous) = (None, None);
    }
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
        continuous,
        drill,
        jitter: jitter.unwrap_or(usual.jitter),
        backup_timeout: backup_timeout.unwrap_or(usual.backup_timeout),
        drill_timeout,
    }
}

/// `drills = { … }`: what a scheduled drill tries beside the newest recovery point.
fn drills(source: &Section<'_>) -> Policy {
    let usual = Policy::default();
    let example = "{ closed_chain = \"every\", random = \"7d\", oldest = \"30d\" }";
    let Some(section) = source.table("drills", example) else { return usual };
    let newest = section.optional("newest", value::text);
    if newest.is_some_and(|newest| newest != "every") {
        section.problem(
            "newest",
            "`newest` is always \"every\", because the promises rest on it: for no drills at all, take `drill` out of `schedule`",
        );
    }
    let closed_chain = section.optional("closed_chain", |v| value::one_of(v, &["every", "never"]));
    let often = |key| section.optional(key, value::how_often);
    Policy {
        closed_chains: closed_chain.map_or(usual.closed_chains, |often| often == "every"),
        random: often("random").unwrap_or(usual.random),
        oldest: often("oldest").unwrap_or(usual.oldest),
    }
}

/// `incremental = { interval = …, size = … }`.
fn continuously(table: &Section<'_>) -> Continuous {
    let usual = Continuous::default();
    let interval = table.optional("interval", value::duration).unwrap_or(usual.interval);
    if interval < LEAST_INTERVAL || interval > LONGEST_INTERVAL {
        table.problem("interval", "`interval` must be between \"1s\" and \"1h\"");
    }
    Continuous { interval, size: table.optional("size", value::size).unwrap_or(usual.size) }
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

fn assertions(source: &Section<'_>, kind: Option<&dyn Kind>, kinds: Kinds) -> Vec<Assertion> {
    let Some(verify) = source.table("verify", "[[source.NAME.verify.assertions]]") else { return Vec::new() };
    let mut names = BTreeSet::new();
    let mut assertions = Vec::new();
    for section in verify.tables("assertions", "[[source.NAME.verify.assertions]]") {
        let name = section.required("name", "name = \"orders are fresh\"", value::text);
        if let Some(name) = name.filter(|name| !names.insert(*name)) {
            section.problem("name", format!("a second assertion is named {name:?}: names must differ within a source"));
        }
        let question = question(&section, kind, kinds);
        if let (Some(name), Some(question)) = (name, question) {
            assertions.push(Assertion { name: name.to_owned(), question });
        }
    }
    assertions
}

/// The one question of an assertion, of the form that its source's kind can answer.
fn question(section: &Section<'_>, kind: Option<&dyn Kind>, kinds: Kinds) -> Option<Question> {
    let mut asked = None;
    for of in kinds {
        let form = of.form();
        let question = ask(section, &form);
        if let Some((kind, right)) = kind.map(|kind| (kind.name(), kind.form().key))
            && right != form.key
            && section.has(form.key)
        {
            let (key, of) = (form.key, of.name());
            section
                .problem(key, format!("`{key}` is for sources of kind `{of}`; this one is `{kind}`: write `{right}`"));
        }
        asked = asked.or(question);
    }
    if !kinds.iter().any(|of| section.has(of.form().key)) {
        let example =
            kind.map(Kind::form).map_or_else(|| keys(kinds), |form| format!("{} = {}", form.key, form.example));
        section.incomplete(format!("has no question: write {example}"));
    }
    asked
}

fn ask(section: &Section<'_>, form: &Form) -> Option<Question> {
    match form.sort {
        Sort::Query => section.optional(form.key, value::text).map(|query| Question::Query(query.to_owned())),
        Sort::Command => {
            section.list(form.key, form.example, |v| value::text(v).map(str::to_owned)).map(Question::Command)
        }
    }
}

/// "`sql`, `influxql` or `command`".
fn keys(kinds: Kinds) -> String {
    let mut keys: Vec<String> = kinds.iter().map(|kind| format!("`{}`", kind.form().key)).collect();
    let last = keys.pop().unwrap_or_default();
    if keys.is_empty() { last } else { format!("{} or {last}", keys.join(", ")) }
}
