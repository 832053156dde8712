//! A page for whoever is woken up by an alert. What it tells them to type exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::promql::parse;
use super::rule_files::alerts;
use super::structure::{NOT_YET_EXPORTED, assert_known};
use super::{content, path, promtools, text};
use crate::files;
use crate::support::{PROGRAM, World, entries, finish};

const HEADINGS: [&str; 4] = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"];

/// By alert.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for file in entries(&path("docs/runbooks")) {
        let name = file.file_name().unwrap().to_str().unwrap().strip_suffix(".md").unwrap().to_owned();
        pages.insert(name, fs::read_to_string(&file).unwrap());
    }
    pages
}

/// Code blocks of one language.
pub fn blocks(document: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in document.split(&format!("```{language}\n")).skip(1) {
        found.push(part.split("```").next().unwrap().to_owned());
    }
    found
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    assert_eq!(pages().into_keys().collect::<BTreeSet<_>>(), alerts);
}

#[test]
fn runbooks_say_meaning_impact_diagnosis_and_mitigation() {
    for (name, page) in pages() {
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
        for section in page.split("\n## ").skip(1) {
            assert!(section.len() > 60, "{name}: this says nothing: {section}");
        }
        let diagnosis = page.split("## Diagnosis").nth(1).unwrap().split("## Mitigation").next().unwrap();
        assert!(diagnosis.contains("```sh") || diagnosis.contains("```promql"), "{name}: nothing to type or to ask");
    }
}

#[test]
fn no_two_runbooks_share_a_paragraph() {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, page) in pages() {
        let prose = page.split("\n\n").filter(|paragraph| paragraph.len() > 80 && !paragraph.contains("```"));
        for paragraph in prose.map(str::to_owned) {
            if let Some(other) = seen.insert(paragraph.clone(), name.clone()) {
                panic!("{name} repeats {other}: {paragraph}");
            }
        }
    }
}

#[test]
fn links_of_runbooks_lead_somewhere() {
    for (name, page) in pages() {
        for target in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let document = text(&format!("docs/runbooks/{file}"));
            // As the site that shows the pages makes them: punctuation goes.
            let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let slug = |line: &str| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                heading.chars().filter(is_kept).collect::<String>().replace(' ', "-")
            };
            let has_anchor = document.lines().any(|line| line.starts_with('#') && slug(line) == anchor);
            assert!(anchor.is_empty() || has_anchor, "{name}: {target}");
        }
    }
}

#[test]
fn questions_to_prometheus_are_valid_and_name_what_is_exported() {
    let mut rules = String::from("groups:\n- name: runbooks\n  rules:\n");
    for (name, page) in pages() {
        for (at, question) in blocks(&page, "promql").iter().enumerate() {
            assert_known(&parse(question), &name);
            let question = question.replace('\n', " ");
            writeln!(rules, "  - record: runbook:{name}:{at}\n    expr: {}", serde_json::json!(question)).unwrap();
        }
        // In the prose, too.
        let words = page.split(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)));
        for word in words.filter(|word| word.starts_with("backup_sla_") && !word.ends_with('_')) {
            assert_known(&parse(word), &name);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.yml");
    fs::write(&file, rules).unwrap();
    for promtool in promtools() {
        content(&promtool, &["check", "rules"], std::slice::from_ref(&file));
    }
    let all: String = pages().into_values().chain(alerts().into_iter().map(|alert| alert.expression)).collect();
    for name in NOT_YET_EXPORTED {
        assert!(all.contains(name), "{name} is named nowhere: take it off the list NOT_YET_EXPORTED");
    }
}

/// Commands of ours that a text tells somebody to type: in code, at the beginning or behind another command.
fn commands(text: &str) -> Vec<String> {
    let spans = text.split('`').skip(1).step_by(2).map(str::to_owned);
    let lines = blocks(text, "sh").into_iter().flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>());
    let pieces = spans
        .chain(lines)
        .flat_map(|code| code.split(['|', ';', '&', '\n']).map(|piece| piece.trim().to_owned()).collect::<Vec<_>>());
    pieces.filter_map(|piece| piece.strip_prefix("backup-sla ").map(str::to_owned)).collect()
}

#[test]
fn commands_of_runbooks_and_alerts_exist() {
    let mut texts = pages();
    for alert in alerts() {
        texts.insert(format!("description of {}", alert.name), alert.annotation("description").to_owned());
    }
    texts.insert("README".to_owned(), text("alerts/README.md"));
    let mut wanted: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (place, text) in texts {
        for command in commands(&text) {
            let mut words = command.split_whitespace();
            let verb = words.next().unwrap().to_owned();
            let options = wanted.entry(verb).or_default();
            options.insert((place.clone(), String::new()));
            options.extend(words.filter(|word| word.starts_with("--")).map(|word| (place.clone(), word.to_owned())));
        }
    }
    for verb in ["status", "list", "backup", "drill", "check-config"] {
        assert!(wanted.contains_key(verb), "the commands were not found: {wanted:?}");
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["--config", "/nonexistent"]).args(arguments);
        finish(command)
    };
    for (verb, options) in wanted {
        let help = run(&[&verb, "--help"]);
        assert_eq!(help.status, 0, "there is no `backup-sla {verb}`: {options:?}");
        // Without a configuration none of them does anything.
        assert!(!run(&[&verb]).stderr.contains("not built"), "`backup-sla {verb}` is not built: {options:?}");
        for (place, option) in options.into_iter().filter(|(_, option)| !option.is_empty()) {
            assert!(
                help.stdout.contains(&format!("{option} ")) || help.stdout.contains(&format!("{option}\n")),
                "{place}: `backup-sla {verb}` has no {option}"
            );
        }
    }
}

/// What a text tells somebody to search the journal for.
fn searched(text: &str) -> Vec<String> {
    let after = |option: &'static str| text.split(option).skip(1).map(str::trim_start);
    let found = [" -g ", " --grep ", " -g\n", " --grep\n"].into_iter().flat_map(after);
    let word = |rest: &str| match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].split(quote).next().unwrap().to_owned(),
        _ => rest.split([' ', '`', '\n']).next().unwrap().to_owned(),
    };
    found.map(word).map(|pattern| pattern.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_runbooks_and_alerts_search_the_journal_for_is_what_the_program_says() {
    let mut said = String::new();
    let mut open = vec![path("src")];
    while let Some(place) = open.pop() {
        if place.is_dir() {
            open.extend(entries(&place));
        } else if place.extension().is_some_and(|ending| ending == "rs") {
            let code = fs::read_to_string(&place).unwrap();
            // A text that goes on in the next line is one; a comment says nothing to the journal.
            let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            said.extend(lines.flat_map(|line| {
                [line.strip_suffix('\\').unwrap_or(line), if line.ends_with('\\') { "" } else { "\n" }]
            }));
        }
    }
    let texts = pages()
        .into_iter()
        .chain(alerts().into_iter().map(|it| (it.name.clone(), it.annotation("description").to_owned())));
    let mut count = 0;
    for (place, text) in texts {
        let wanted = searched(&text).into_iter().filter(|pattern| pattern != "SOURCE");
        for pattern in wanted.flat_map(|pattern| pattern.split('|').map(str::to_owned).collect::<Vec<_>>()) {
            assert!(said.contains(&pattern), "{place}: nothing in the journal says `{pattern}`");
            count += 1;
        }
    }
    assert!(count > 10, "only {count} searches were found");
}

/// What runbooks and alerts tell somebody to type, once each, about the source `ansible` in the repository `local`; `ID`, `TIME` and so on are filled in.
fn typed(world: &World) -> BTreeSet<String> {
    let point: serde_json::Value =
        serde_json::from_str(world.run(&["--json", "list"]).stdout.lines().next().unwrap()).unwrap();
    let of_alerts = alerts().into_iter().map(|alert| alert.annotation("description").to_owned());
    let texts = pages().into_values().chain(of_alerts);
    let placed = |part: &str| match part {
        "SOURCE" => "ansible".to_owned(),
        "NAME" => "local".to_owned(),
        "ID" => point["id"].as_str().unwrap().to_owned(),
        "TIME" => point["time"].as_str().unwrap().to_owned(),
        "ELSEWHERE" => world.path("elsewhere").display().to_string(),
        "DESTINATION" => world.path("restored").display().to_string(),
        other => other.to_owned(),
    };
    // What a template fills in is a source, but for the code of a test page, which only the page itself tells.
    let filled_in = |text: String| {
        let text = text.replace("{{ $labels.source }}", "SOURCE").replace("{{ . }}", "SOURCE");
        commands(&text).into_iter().filter(|command| !command.contains(['{', '}']) && !command.ends_with("CODE"))
    };
    let is_command = |command: &String| command.starts_with(|first: char| first.is_ascii_lowercase());
    let all = texts.flat_map(filled_in).filter(is_command);
    all.map(|command| command.split_whitespace().map(placed).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_command_of_a_runbook_does_what_it_says_on_a_healthy_source() {
    let world = files::world("", "");
    files::fill(&world.path("tree"));
    fs::create_dir(world.path("restored")).unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    world.json(&["backup"], 0);
    world.json(&["drill"], 0);
    let commands = typed(&world);
    assert!(commands.len() > 15, "the commands were not found: {commands:?}");
    let (first, last): (Vec<&String>, Vec<&String>) =
        commands.iter().partition(|command| !command.starts_with("verify"));
    // What is verified is what was restored before.
    for command in first.into_iter().chain(last) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ran = world.run(&words);
        let expected = match words[0] {
            // Nothing runs that could be ended, and no service that could raise a page (`test_page` has one).
            "cancel" | "test-page" => 1,
            // Of sources that have increments; files have none.
            _ if words.iter().any(|word| ["--incremental", "--closed-chain"].contains(word)) => 2,
            _ => 0,
        };
        assert_eq!(ran.status, expected, "backup-sla {command}: {ran:?}");
    }
}
