//! A keyring for a sandbox's MySQL, whose keys nobody knows and nobody keeps. MySQL looks for the list of its components
//! beside the program that it is called by, and for a component's settings beside the component: both are the sandbox's own.

use super::plugins::{DIRECTORY, Usual};
use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::sandbox::Fixed;

/// The component. It comes with the server (Debian: mysql-server-core).
pub const COMPONENT: &str = "component_keyring_file";
/// The program's place in the sandbox.
const PROGRAM: &str = "bin/mysqld";

/// The library that the sandbox's server must find among its plugins, if it needs a keyring and this host has one to give.
pub fn library(needs: &Needs, server: &ServerIdentity, usual: &Usual) -> Option<String> {
    let library = format!("{COMPONENT}.so");
    let is_needed = server.product == "MySQL" && !needs.encryption_keys.is_empty();
    let is_there = || usual.plugins().is_some_and(|directory| directory.join(&library).is_file());
    (is_needed && is_there()).then_some(library)
}

/// Have the server start with the keyring.
pub fn provide(args: &mut Vec<String>, fixed: &mut Fixed, usual: &Usual) {
    // It would look for its own files beside the sandbox's link.
    for place in ["basedir", "lc-messages-dir", "character-sets-dir"] {
        args.extend(usual.place(place).map(|path| format!("--{place}={}", path.display())));
    }
    fixed.links.push((PROGRAM.to_owned(), usual.program().to_owned()));
    fixed.called_by = Some(PROGRAM.to_owned());
    fixed.files.push((format!("{PROGRAM}.my"), format!("{{\"components\": \"file://{COMPONENT}\"}}\n")));
    let settings = "{\"path\": \"{dir}/keyring\", \"read_only\": false}\n".to_owned();
    fixed.files.push((format!("{DIRECTORY}/{COMPONENT}.cnf"), settings));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_keyring_is_given_where_it_is_needed_and_there() {
        let plugins = tempfile::tempdir().unwrap();
        let usual = Usual::said(
            Path::new("/opt/bin/mysqld"),
            &format!("plugin-dir  {}/\nbasedir  /opt/\n", plugins.path().display()),
        );
        let server = |product: &str| ServerIdentity {
            product: product.to_owned(),
            ..crate::engine::mysql::connection::identity("9.7.1")
        };
        let encrypted = Needs { encryption_keys: [1].into(), ..Needs::default() };
        assert_eq!(library(&encrypted, &server("MySQL"), &usual), None, "this host has none");
        std::fs::write(plugins.path().join("component_keyring_file.so"), "").unwrap();
        assert_eq!(library(&encrypted, &server("MySQL"), &usual).as_deref(), Some("component_keyring_file.so"));
        assert_eq!(library(&encrypted, &server("MariaDB"), &usual), None);
        assert_eq!(library(&Needs::default(), &server("MySQL"), &usual), None);
        let (mut args, mut fixed) = (Vec::new(), Fixed::default());
        provide(&mut args, &mut fixed, &usual);
        assert_eq!(args, ["--basedir=/opt/"]);
        assert_eq!(fixed.links, [("bin/mysqld".to_owned(), "/opt/bin/mysqld".into())]);
        let names: Vec<&str> = fixed.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bin/mysqld.my", "plugins/component_keyring_file.cnf"]);
    }
}
