//! Strict reading of YAML: every mistake is reported, with its place, and no value is repeated: it may be a secret.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Marker, Parser};

use crate::strict::{Problems, unknown_key};

/// Deepest nesting that is read: the file's own is 4. What builds the tree calls itself for each level.
const DEEPEST: usize = 32;

/// Mistakes found so far.
#[derive(Debug)]
pub(super) struct Mistakes(Problems);

impl Mistakes {
    /// None yet, in `file`.
    pub(super) fn in_file(file: String) -> Self {
        Self(Problems::in_file(file))
    }

    /// Report `what` at `node`.
    pub(super) fn at(&mut self, node: &MarkedYaml<'_>, what: &str) {
        self.0.at(place(&node.span.start), what);
    }

    /// Report `what` of the whole file.
    pub(super) fn anywhere(&mut self, what: &str) {
        self.0.anywhere(what);
    }

    /// All of them, a line each, if there are any.
    pub(super) fn into_text(self) -> Option<String> {
        self.0.text()
    }
}

fn place(marker: &Marker) -> (usize, usize) {
    (marker.line(), marker.col() + 1)
}

/// The one document of `text`; none if it is empty or not YAML.
pub(super) fn document<'t>(text: &'t str, mistakes: &mut Mistakes) -> Option<MarkedYaml<'t>> {
    if is_too_deep(text, mistakes) {
        return None;
    }
    match MarkedYaml::load_from_str(text) {
        Ok(mut documents) if documents.len() < 2 => documents.pop(),
        Ok(_) => {
            mistakes.anywhere("has more than one document; write one");
            None
        }
        Err(error) => {
            mistakes.0.at(place(error.marker()), format!("not valid YAML: {}", error.info()));
            None
        }
    }
}

/// Whether `text` nests deeper than is read. What is no YAML is told by the one who reads it.
fn is_too_deep(text: &str, mistakes: &mut Mistakes) -> bool {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::SequenceStart(..) | Event::MappingStart(..), span)) => {
                depth += 1;
                if depth > DEEPEST {
                    mistakes.0.at(place(&span.start), format!("nested deeper than {DEEPEST} levels"));
                    return true;
                }
            }
            Ok((Event::SequenceEnd | Event::MappingEnd, _)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

/// Pairs of a mapping. Nothing at all is an empty mapping.
pub(super) fn pairs<'y, 't>(
    node: &'y MarkedYaml<'t>,
    name: &str,
    mistakes: &mut Mistakes,
) -> Vec<(&'y str, &'y MarkedYaml<'t>, &'y MarkedYaml<'t>)> {
    let YamlData::Mapping(mapping) = &node.data else {
        if !is_null(node) {
            mistakes.at(node, &format!("{name} must be a mapping of keys to values"));
        }
        return Vec::new();
    };
    let mut pairs = Vec::new();
    for (key, value) in mapping {
        match &key.data {
            YamlData::Value(Scalar::String(text)) => pairs.push((text.as_ref(), key, value)),
            _ => mistakes.at(key, &format!("a key of {name} must be a string; put it into quotes")),
        }
    }
    pairs
}

/// A mapping of which all keys are known, while it is read.
pub(super) struct Section<'y, 't> {
    name: &'static str,
    node: Option<&'y MarkedYaml<'t>>,
    values: Vec<(&'y str, &'y MarkedYaml<'t>)>,
}

impl<'y, 't> Section<'y, 't> {
    /// `node` as a mapping; keys that are not `known` are mistakes.
    pub(super) fn read(
        node: Option<&'y MarkedYaml<'t>>,
        name: &'static str,
        known: &[&str],
        mistakes: &mut Mistakes,
    ) -> Self {
        let pairs = node.map(|node| pairs(node, name, mistakes)).unwrap_or_default();
        let mut values = Vec::new();
        for (key, place, value) in pairs {
            if known.contains(&key) {
                values.push((key, value));
            } else {
                mistakes.at(place, &unknown_key(key, name, known));
            }
        }
        Self { name, node, values }
    }

    /// The value of `key`, unless it has none.
    pub(super) fn node(&self, key: &str) -> Option<&'y MarkedYaml<'t>> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| *value).filter(|value| !is_null(value))
    }

    /// Has it any value?
    pub(super) fn has_values(&self) -> bool {
        self.values.iter().any(|(_, value)| !is_null(value))
    }

    /// Report `what` of the section.
    pub(super) fn mistake(&self, what: &str, mistakes: &mut Mistakes) {
        match self.node {
            Some(node) => mistakes.at(node, &format!("{} {what}", self.name)),
            None => mistakes.anywhere(&format!("{} {what}", self.name)),
        }
    }

    /// A string that is not empty.
    pub(super) fn string(&self, key: &str, mistakes: &mut Mistakes) -> Option<&'y str> {
        let text = string(self.node(key)?, key, mistakes)?;
        (!text.is_empty()).then_some(text)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
        let node = self.node(key)?;
        if let YamlData::Value(Scalar::Boolean(value)) = &node.data {
            return Some(*value);
        }
        mistakes.at(node, &format!("`{key}` must be `true` or `false`"));
        None
    }

    /// A list of strings with the place of each; none if there is no such key.
    pub(super) fn strings(&self, key: &str, mistakes: &mut Mistakes) -> Option<Vec<(&'y str, &'y MarkedYaml<'t>)>> {
        let node = self.node(key)?;
        let YamlData::Sequence(items) = &node.data else {
            mistakes.at(node, &format!("`{key}` must be a list of strings"));
            return None;
        };
        Some(items.iter().filter_map(|item| Some((string(item, key, mistakes)?, item))).collect())
    }
}

/// `node` as a string.
pub(super) fn string<'y>(node: &'y MarkedYaml<'_>, key: &str, mistakes: &mut Mistakes) -> Option<&'y str> {
    if let YamlData::Value(Scalar::String(text)) = &node.data {
        return Some(text);
    }
    mistakes.at(node, &format!("`{key}` must be a string; put it into quotes"));
    None
}

/// `node` as a whole number that is not negative.
pub(super) fn count(node: &MarkedYaml<'_>) -> Option<u32> {
    let YamlData::Value(Scalar::Integer(value)) = &node.data else { return None };
    u32::try_from(*value).ok()
}

fn is_null(node: &MarkedYaml<'_>) -> bool {
    matches!(node.data, YamlData::Value(Scalar::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_that_would_need_the_whole_stack_is_a_mistake_with_its_place() {
        for level in ["- ", "? ", "[", "{a: ", "[["] {
            let text = format!("basic_auth_users:\n  {}", level.repeat(100_000));
            let mut mistakes = Mistakes::in_file("web.yml".to_owned());
            assert!(document(&text, &mut mistakes).is_none());
            let said = mistakes.into_text().unwrap();
            assert!(said.starts_with("web.yml:2:"), "{level}: {said}");
        }
    }
}
