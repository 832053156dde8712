//! How data was read: what a later comparison has to do in the same way.

use serde::{Deserialize, Serialize};

/// Which columns a table's content digest covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestRule {
    /// Every column that the dump prints: manifests of versions before the other rule.
    #[default]
    AllColumns,
    /// Without virtual generated columns: they are computed when they are read, so they are no data.
    StoredColumns,
}

/// What counts as an object, and as a difference between two definitions of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionRule {
    /// Definitions are compared as they are printed; libraries are not looked at: manifests of versions before the other
    /// rule.
    #[default]
    AsPrinted,
    /// Libraries are objects; whether a server prints names with quotes is no difference.
    Unquoted,
    /// Nor is whether it prints a collation that a character set has anyway.
    DefaultCollation,
}

/// How data was read, where that is not what the first version did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capture {
    /// Rule of the content digests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub digest_rule: DigestRule,
    /// Rule of the definitions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub definition_rule: DefinitionRule,
    /// Events could not be read, so there are none in the backup.
    #[serde(default, skip_serializing_if = "is_default")]
    pub without_events: bool,
    /// Versioned tables have only their current rows in the backup.
    #[serde(default, skip_serializing_if = "is_default")]
    pub without_history: bool,
    /// Events were not printed by the dump client, which cannot print one of them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub events_apart: bool,
}

/// Whether a field says nothing new.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_first_version_did_is_not_written_and_everything_else_is() {
        assert_eq!(serde_json::to_string(&Capture::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Capture>("{}").unwrap(), Capture::default());
        let new = Capture {
            digest_rule: DigestRule::StoredColumns,
            definition_rule: DefinitionRule::Unquoted,
            without_events: true,
            without_history: true,
            events_apart: true,
        };
        let text = r#"{"digest_rule":"stored_columns","definition_rule":"unquoted","without_events":true,"without_history":true,"events_apart":true}"#;
        assert_eq!(serde_json::to_string(&new).unwrap(), text);
        assert_eq!(serde_json::from_str::<Capture>(text).unwrap(), new);
    }
}
