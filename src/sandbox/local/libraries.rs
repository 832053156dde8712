//! What a server gets of its product's libraries: links to those that it may load, and nothing else. What is restored may ask
//! for any plugin, and a plugin is native code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::fixed::Fixed;
use super::found::{Found, Usual};
use crate::sandbox::{Extra, Libraries, Place, ServerSpec, Text};

/// The instance's own directories of libraries and of the program.
const LIBRARIES: &str = "plugins";
const PROGRAMS: &str = "bin";

/// What the server is told and finds.
#[derive(Debug, Default)]
pub(super) struct Confined {
    pub(super) options: Vec<(String, Text)>,
    pub(super) fixed: Fixed,
    /// What drills record of it.
    pub(super) recorded: BTreeMap<String, String>,
}

/// Let the server that was found have the libraries of `spec`, and no others.
pub(super) fn confine(spec: &ServerSpec, found: &Found) -> Confined {
    let Some(table) = spec.installation.libraries else { return Confined::default() };
    choose(spec, &table, &found.program, &Usual::ask(&found.program, table.ask))
}

fn choose(spec: &ServerSpec, table: &Libraries, program: &Path, usual: &Usual) -> Confined {
    let mut confined = Confined::default();
    let directory = usual.directory(table.option);
    let is_there = |extra: &&Extra| directory.as_ref().is_some_and(|place| place.join(&extra.library).is_file());
    let extras: Vec<&Extra> = spec.extras.iter().filter(is_there).collect();
    let names: BTreeSet<&String> = spec.libraries.iter().chain(extras.iter().map(|extra| &extra.library)).collect();
    if names.is_empty() {
        confined.options.push((table.option.to_owned(), Place::Nowhere.into()));
        return confined;
    }
    // A server that does not say where its libraries are can still start with them; the sandbox itself is cut off.
    let Some(directory) = directory else { return confined };
    confined.options.push((table.option.to_owned(), Text::from(Place::Own).then(format!("/{LIBRARIES}"))));
    let link = |name: &String| (format!("{LIBRARIES}/{name}"), directory.join(name));
    confined.fixed.links.extend(names.into_iter().map(link));
    for extra in extras {
        confined.recorded.extend([extra.recorded.clone()]);
        let beside = |place: &str, files: &[(String, Text)]| {
            let within = |(name, text): &(String, Text)| (format!("{place}/{name}"), text.clone());
            files.iter().map(within).collect::<Vec<_>>()
        };
        confined.fixed.files.extend(beside(LIBRARIES, &extra.beside_library));
        confined.fixed.files.extend(beside(PROGRAMS, &extra.beside_program));
        if !extra.beside_program.is_empty() && confined.fixed.called_by.is_none() {
            call_by_link(&mut confined, table, (spec.installation.server[0], program), usual);
        }
    }
    confined
}

/// Have the server called by a link of its own, beside which its files can be. What it has beside its real program it is told.
fn call_by_link(confined: &mut Confined, table: &Libraries, (name, program): (&str, &Path), usual: &Usual) {
    for option in table.beside {
        let place = usual.place(option).map(|place| place.display().to_string());
        confined.options.extend(place.map(|place| ((*option).to_owned(), place.into())));
    }
    let link = format!("{PROGRAMS}/{name}");
    confined.fixed.links.push((link.clone(), program.to_owned()));
    confined.fixed.called_by = Some(link);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::local::tests::mariadb;

    const TABLE: Libraries = Libraries { option: "plugin-dir", ask: &[], beside: &["basedir", "elsewhere"] };

    fn keyring() -> Extra {
        Extra {
            library: "keyring.so".to_owned(),
            beside_library: vec![("keyring.cnf".to_owned(), "settings".into())],
            beside_program: vec![("server.my".to_owned(), "list".into())],
            recorded: ("keys".to_owned(), "throwaway".to_owned()),
        }
    }

    #[test]
    fn a_server_finds_the_libraries_that_it_may_load_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        let usual = Usual::said(&format!("plugin-dir  {}/\nbasedir  /opt/\n", place.path().display()));
        let program = Path::new("/opt/bin/server");
        let mut spec = ServerSpec { libraries: Vec::new(), extras: vec![keyring()], ..mariadb() };
        let none = choose(&spec, &TABLE, program, &usual);
        assert_eq!(
            none.options,
            [("plugin-dir".to_owned(), Place::Nowhere.into())],
            "the product has no such extra here"
        );
        assert_eq!((none.fixed, none.recorded.len()), (Fixed::default(), 0));
        spec.libraries = vec!["a.so".to_owned()];
        let one = choose(&spec, &TABLE, program, &usual);
        let own = Text::from(Place::Own).then("/plugins");
        assert_eq!(one.options, [("plugin-dir".to_owned(), own)]);
        assert_eq!(one.fixed.links, [("plugins/a.so".to_owned(), place.path().join("a.so"))]);
        assert!(choose(&spec, &TABLE, program, &Usual::said("")).options.is_empty());
    }

    #[test]
    fn an_extra_is_given_where_the_product_has_it() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("keyring.so"), "").unwrap();
        let usual = Usual::said(&format!("plugin-dir  {}/\nbasedir  /opt/\n", place.path().display()));
        let spec = ServerSpec { libraries: Vec::new(), extras: vec![keyring()], ..mariadb() };
        let given = choose(&spec, &TABLE, Path::new("/opt/bin/server"), &usual);
        let names: Vec<&str> = given.options.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["plugin-dir", "basedir"], "what it looks for beside its program it is told");
        let link = format!("bin/{}", spec.installation.server[0]);
        let links: Vec<&str> = given.fixed.links.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(links, ["plugins/keyring.so", &link]);
        let files: Vec<&str> = given.fixed.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(files, ["plugins/keyring.cnf", "bin/server.my"]);
        assert_eq!((given.fixed.called_by, given.recorded["keys"].as_str()), (Some(link), "throwaway"));
    }
}
