//! A keyring for a sandbox's MySQL, whose keys nobody knows and nobody keeps. MySQL looks for the list of its components
//! beside the program that it is called by, and for a component's settings beside the component: both are the sandbox's own.

use crate::domain::manifest::ServerIdentity;
use crate::domain::needs::Needs;
use crate::sandbox::{Extra, Place, Text};

/// The component. It comes with the server (Debian: mysql-server-core).
pub const COMPONENT: &str = "component_keyring_file";

/// What the sandbox's server needs for it, if it needs a keyring.
pub fn extra(needs: &Needs, server: &ServerIdentity) -> Option<Extra> {
    if server.product != "MySQL" || needs.encryption_keys.is_empty() {
        return None;
    }
    let list = format!("{{\"components\": \"file://{COMPONENT}\"}}\n");
    let settings = Text::from("{\"path\": \"").then(Place::Own).then("/keyring\", \"read_only\": false}\n");
    Some(Extra {
        library: format!("{COMPONENT}.so"),
        beside_library: vec![(format!("{COMPONENT}.cnf"), settings)],
        beside_program: vec![("mysqld.my".to_owned(), list.into())],
        recorded: recorded(),
    })
}

/// What a drill records where the sandbox's server has keys.
pub fn recorded() -> (String, String) {
    ("encryption_keys".to_owned(), "throwaway keys of the sandbox".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_is_asked_for_where_it_is_needed() {
        let server = |product: &str| ServerIdentity {
            product: product.to_owned(),
            ..crate::engine::mysql::connection::identity("9.7.1")
        };
        let encrypted = Needs { encryption_keys: [1].into(), ..Needs::default() };
        let keyring = extra(&encrypted, &server("MySQL")).unwrap();
        assert_eq!(keyring.library, "component_keyring_file.so");
        let (name, settings) = &keyring.beside_library[0];
        let settings = settings.written(|_| "/run/x".to_owned());
        assert_eq!(
            (name.as_str(), settings.as_str()),
            ("component_keyring_file.cnf", "{\"path\": \"/run/x/keyring\", \"read_only\": false}\n")
        );
        assert!(extra(&encrypted, &server("MariaDB")).is_none());
        assert!(extra(&Needs::default(), &server("MySQL")).is_none());
    }
}
