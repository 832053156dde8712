//! Whose a recovery point is: several hosts may keep sources of the same name in one repository. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The host that made a backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostIdentity {
    /// Tells two hosts apart that have one name; kept in the state directory.
    pub id: String,
    /// For people: the host name, or `host` of the configuration.
    pub name: String,
}

impl HostIdentity {
    /// Whether this is the host that `asked` means, by name or by id.
    pub fn is_called(&self, asked: &str) -> bool {
        self.name == asked || self.id == asked
    }
}

impl fmt::Display for HostIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The host that this program works for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisHost {
    /// What new recovery points say.
    pub identity: HostIdentity,
    /// The name was configured: every point of that name is this host's, whichever id it has.
    pub takes_over: bool,
}

impl ThisHost {
    /// Whether a recovery point is this host's. One of before hosts were recorded is.
    pub fn owns(&self, made_by: Option<&HostIdentity>) -> bool {
        made_by.is_none_or(|host| host.id == self.identity.id || (self.takes_over && host.name == self.identity.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(id: &str, name: &str) -> HostIdentity {
        HostIdentity { id: id.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_point_belongs_to_the_id_and_to_the_name_only_where_that_was_configured() {
        let plain = ThisHost { identity: host("1", "db1"), takes_over: false };
        let named = ThisHost { takes_over: true, ..plain.clone() };
        for us in [&plain, &named] {
            assert!(us.owns(None), "made before hosts were recorded");
            assert!(us.owns(Some(&host("1", "renamed since"))));
            assert!(!us.owns(Some(&host("2", "db2"))));
        }
        assert!(!plain.owns(Some(&host("2", "db1"))), "two hosts may have one name");
        assert!(named.owns(Some(&host("2", "db1"))));
    }

    #[test]
    fn a_host_is_called_by_its_name_or_its_id() {
        let host = host("1", "db1");
        assert!(host.is_called("db1") && host.is_called("1"));
        assert!(!host.is_called("db2") && !host.is_called(""));
    }
}
