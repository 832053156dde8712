//! The imports of the code form no circle: whoever reads a file can read what it stands on first, and that is never the file itself.
//!
//! Read from the text, by the rules of `use`: a path is held against the files that there are, a name that a module only hands on
//! (`pub use`) counts as that of the file it comes from, and whether the module uses it, too, is not seen. Tests may use what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's place in the crate: `["ledger", "seals"]`.
type Place = Vec<String>;

/// What one file is and says.
struct Source {
    file: PathBuf,
    /// Without comments and without its tests.
    code: String,
}

struct House {
    sources: BTreeMap<Place, Source>,
    /// Names that a module hands on, and where they come from.
    handed_on: BTreeMap<(Place, String), Place>,
}

impl House {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = BTreeMap::new();
        let mut open = vec![root.clone()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let file = path.strip_prefix(&root).unwrap().to_owned();
                let place = place_of(&file);
                if !is_for_tests(&place) && file != Path::new("main.rs") {
                    sources.insert(place, Source { file, code: code_of(&fs::read_to_string(&path).unwrap()) });
                }
            }
        }
        let mut house = Self { sources, handed_on: BTreeMap::new() };
        let mut handed_on = BTreeMap::new();
        for (place, source) in &house.sources {
            for (is_public, tree) in uses(&source.code) {
                for path in leaves(&tree).iter().filter(|_| is_public) {
                    if let Some(path) = house.absolute(path, place) {
                        handed_on.insert((place.clone(), path.last().unwrap().clone()), path);
                    }
                }
            }
        }
        house.handed_on = handed_on;
        house
    }

    /// A path as `use` or an expression names it, from the root of the crate; none where it leads out of it.
    fn absolute(&self, path: &str, place: &Place) -> Option<Place> {
        let mut segments: Vec<String> = path.split("::").map(|segment| segment.trim().to_owned()).collect();
        let mut from = place.clone();
        match segments[0].as_str() {
            "crate" => from.clear(),
            "self" | "super" => {
                while segments[0] == "super" {
                    from.pop();
                    segments.remove(0);
                    if segments.is_empty() {
                        return None;
                    }
                }
                if segments[0] != "self" {
                    segments.insert(0, "self".to_owned());
                }
            }
            child => {
                let child: Place = from.iter().cloned().chain([child.to_owned()]).collect();
                self.sources.get(&child)?;
                segments.insert(0, "self".to_owned());
            }
        }
        segments.remove(0);
        from.extend(segments);
        Some(from)
    }

    /// The file in which what `path` names is written.
    fn home(&self, path: &[String]) -> Option<&Place> {
        let mut path = path.to_vec();
        // Handed on from one to the next, never in a circle.
        for _ in 0..8 {
            let length = (0..=path.len()).rev().find(|length| self.sources.contains_key(&path[..*length]))?;
            let (module, rest) = (path[..length].to_vec(), path[length..].to_vec());
            let Some(name) = rest.first() else { return self.sources.get_key_value(&module).map(|(place, _)| place) };
            match self.handed_on.get(&(module.clone(), name.clone())) {
                Some(origin) => path = origin.iter().cloned().chain(rest[1..].iter().cloned()).collect(),
                None => return self.sources.get_key_value(&module).map(|(place, _)| place),
            }
        }
        None
    }

    /// What each file takes from which others.
    fn arrows(&self) -> BTreeMap<&Place, BTreeSet<&Place>> {
        let of = |(place, source)| -> (&Place, BTreeSet<&Place>) {
            let (place, source): (&Place, &Source) = (place, source);
            let private = uses(&source.code).into_iter().filter(|(is_public, _)| !is_public);
            let mut named: Vec<String> = private.flat_map(|(_, tree)| leaves(&tree)).collect();
            named.extend(paths(&without_uses(&source.code)));
            let targets = named.iter().filter_map(|path| self.home(&self.absolute(path, place)?));
            (place, targets.filter(|target| *target != place).collect())
        };
        self.sources.iter().map(of).collect()
    }
}

fn place_of(file: &Path) -> Place {
    let mut place: Place =
        file.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if place.last().is_some_and(|last| last == "mod" || last == "lib") {
        place.pop();
    }
    place
}

/// Whether it is compiled for tests and fuzzers only.
fn is_for_tests(place: &Place) -> bool {
    place.iter().any(|part| part == "tests" || part.ends_with("_tests") || part == "soak" || part == "fuzzing")
}

fn code_of(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    // Whom something is open to is no import.
    let lines =
        lines.map(|line| match line.trim_start().strip_prefix("pub(in ").and_then(|rest| rest.split_once(')')) {
            Some((_, what)) => format!("pub{what}\n"),
            None => format!("{line}\n"),
        });
    let code: String = lines.collect();
    code.split_once("#[cfg(test)]\nmod tests {").map_or(code.clone(), |(before, _)| before.to_owned())
}

/// The `use` of a file: whether it hands the names on, and its tree.
fn uses(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let line = statement.rsplit_once("use ").map(|(before, tree)| {
            let begin = before.rsplit('\n').next().unwrap_or_default().trim();
            (begin.to_owned(), tree.to_owned())
        });
        if let Some((begin, tree)) = line
            && (begin.is_empty() || begin.starts_with("pub"))
        {
            found.push((begin.starts_with("pub"), tree));
        }
    }
    found
}

fn without_uses(code: &str) -> String {
    let is_use = |statement: &&str| {
        statement.rsplit_once("use ").is_some_and(|(before, _)| {
            let begin = before.rsplit('\n').next().unwrap_or_default().trim();
            begin.is_empty() || begin.starts_with("pub")
        })
    };
    let keep = |statement: &str| match statement.rfind("use ") {
        Some(at) if is_use(&statement) => statement[..at].to_owned(),
        _ => statement.to_owned(),
    };
    code.split(';').map(keep).collect::<Vec<_>>().join(";")
}

/// The paths of a tree of `use`: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inside)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut depth, mut part, mut out) = (0, String::new(), Vec::new());
    for c in inside.chars().chain([',']) {
        match c {
            ',' if depth == 0 => {
                let whole = std::mem::take(&mut part);
                if !whole.trim().is_empty() {
                    out.extend(leaves(&whole).into_iter().map(|leaf| format!("{before}{leaf}")));
                }
                continue;
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        part.push(c);
    }
    out
}

/// Paths in expressions and types, with at least one `::`.
fn paths(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_part(c)).map(|word| word.trim_matches(':'));
    words
        .filter(|word| word.contains("::") && word.starts_with(|c: char| c.is_lowercase()))
        .map(str::to_owned)
        .collect()
}

/// A way from `from` back to itself, if there is one.
fn circle<'h>(arrows: &BTreeMap<&'h Place, BTreeSet<&'h Place>>, from: &'h Place) -> Option<Vec<&'h Place>> {
    let mut came: BTreeMap<&Place, &Place> = BTreeMap::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in &arrows[at] {
            if *next == from {
                let mut way = vec![from, at];
                while *way.last().unwrap() != from {
                    way.push(came[way.last().unwrap()]);
                }
                way.reverse();
                return Some(way);
            }
            if !came.contains_key(next) {
                came.insert(next, at);
                open.push(next);
            }
        }
    }
    None
}

#[test]
fn a_circle_is_found_however_it_is_closed() {
    let house = |b: &str| {
        let source = |name: &str, code: &str| {
            (vec![name.to_owned()], Source { file: format!("{name}.rs").into(), code: code_of(code) })
        };
        let sources = [source("a", "use crate::b::B;\npub struct A(B);\n"), source("b", b)];
        House { sources: sources.into_iter().collect(), handed_on: BTreeMap::new() }
    };
    for (code, is_circle) in [
        ("use crate::a::A;\npub struct B(A);\n", true),
        ("use crate::{a::{self, A}, c};\npub struct B(A);\n", true),
        ("pub struct B(crate::a::A);\n", true),
        ("pub struct B(super::a::A);\n", true),
        ("pub use crate::a::A;\npub struct B;\n", false),
        ("// use crate::a::A;\npub(in crate::a) struct B;\n", false),
        ("pub(in crate::b) use crate::a::A;\npub struct B;\n", false),
        ("pub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n", false),
    ] {
        let house = house(code);
        let arrows = house.arrows();
        assert_eq!(circle(&arrows, house.sources.keys().next().unwrap()).is_some(), is_circle, "{code}");
    }
}

#[test]
fn imports_form_no_circle() {
    let house = House::read();
    let arrows = house.arrows();
    // If it read nothing it would find nothing.
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 1000, "{} files", arrows.len());
    let mut told: BTreeSet<Vec<&Place>> = BTreeSet::new();
    let mut found = Vec::new();
    for place in house.sources.keys() {
        if let Some(way) = circle(&arrows, place) {
            let mut members = way.clone();
            members.sort();
            members.dedup();
            if told.insert(members) {
                let names = way.iter().map(|place| house.sources[*place].file.display().to_string());
                found.push(names.collect::<Vec<_>>().join(" -> "));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_is_known_is_below_those_who_show_it() {
    let house = House::read();
    for (place, targets) in house.arrows() {
        let above = place.is_empty() || matches!(place[0].as_str(), "exporter" | "service" | "cli");
        for target in targets.iter().filter(|target| target.first().is_some_and(|name| name == "exporter")) {
            assert!(above, "{} imports {}", place.join("::"), target.join("::"));
        }
    }
}
