//! The configuration of an installation: merged from all its sources, and judged by the plugin's schema.
//!
//! The plugin's defaults, then the platform's overrides, then the installation's own values are merged (RFC 7396);
//! then the values of Secrets and ConfigMaps are put in at their pointers. Nothing here shows a value: not in a
//! problem, and not in `Debug`.

use std::fmt;

use jsonptr::{Pointer, PointerBuf};
use serde_json::{Map, Value};

use super::{ConfigFormat, ConfigSource};
use crate::plugin::configuration_schema::{Awaited, ConfigurationProblem, ConfigurationSchema};

/// The values that stand in the clear, by where they come from.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// The plugin's defaults.
    pub defaults: &'a Map<String, Value>,
    /// What the platform says over them.
    pub overrides: &'a Map<String, Value>,
    /// What the installation says over both: `spec.config`.
    pub own: &'a Map<String, Value>,
}

/// A value that came from a Secret or ConfigMap.
#[derive(Clone, PartialEq)]
pub struct Reference {
    pointer: PointerBuf,
    value: Value,
    secret: bool,
}

impl Reference {
    /// Reads the text that a source's key held.
    ///
    /// # Errors
    /// The source's pointer is none, or its text is not of its format.
    pub fn read(source: &ConfigSource, text: &str) -> Result<Self, ConfigurationProblem> {
        let problem = |message: &str| ConfigurationProblem {
            pointer: source.pointer.clone(),
            message: message.to_owned(),
        };
        let value = match source.format {
            ConfigFormat::Text => Value::String(text.to_owned()),
            ConfigFormat::Json => serde_json::from_str(text)
                .map_err(|_| problem("the text of its source is not JSON: correct it, or write `format: Text`"))?,
        };
        Ok(Self {
            pointer: pointer(source).ok_or_else(|| problem("is no JSON pointer, such as /smtp/password"))?,
            value,
            secret: source.secret_key_ref.is_some(),
        })
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({})", self.pointer)
    }
}

/// A configuration that keeps the plugin's schema.
#[derive(Clone, PartialEq)]
pub struct Configuration {
    value: Value,
    secrets: Vec<PointerBuf>,
}

impl Configuration {
    /// The text of `/etc/plexica/config.json`; equal for equal configurations. Holds secrets.
    pub fn to_json(&self) -> String {
        self.value.to_string()
    }

    /// Whether a Secret has to deliver it, since a ConfigMap may be read by more people.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// The configuration without what came from Secrets, for the registry.
    pub fn without_secrets(&self) -> Value {
        let mut value = self.value.clone();
        for pointer in &self.secrets {
            pointer.delete(&mut value);
        }
        value
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Configuration({} secrets)", self.secrets.len())
    }
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidConfiguration {
    /// Values that the schema marks as secrets stand in the clear.
    SecretInClear(Vec<ConfigurationProblem>),
    /// The schema does not admit it.
    Refused(Vec<ConfigurationProblem>),
}

impl InvalidConfiguration {
    /// What is wrong, each with its place.
    pub fn problems(&self) -> &[ConfigurationProblem] {
        match self {
            Self::SecretInClear(problems) | Self::Refused(problems) => problems,
        }
    }
}

/// Merges and judges a configuration whose sources have all been read.
///
/// # Errors
/// Secrets in the clear; else all that the schema has against it.
pub fn merge(
    schema: &ConfigurationSchema,
    layers: Layers<'_>,
    references: &[Reference],
) -> Result<Configuration, InvalidConfiguration> {
    let open = references.iter().filter(|reference| !reference.secret);
    refuse_clear_secrets(
        schema,
        layers,
        open.map(|reference| (reference.pointer.as_ptr(), &reference.value)),
    )?;
    let mut value = merge_layers(layers);
    let misplaced: Vec<_> = references
        .iter()
        .filter_map(|reference| place(&mut value, &reference.pointer, reference.value.clone()))
        .collect();
    let secrets: Vec<_> = references
        .iter()
        .filter(|reference| reference.secret)
        .map(|reference| reference.pointer.clone())
        .collect();
    let problems = if misplaced.is_empty() {
        schema.problems(&value, Awaited::Nothing, &secrets)
    } else {
        misplaced
    };
    if problems.is_empty() {
        Ok(Configuration { value, secrets })
    } else {
        Err(InvalidConfiguration::Refused(problems))
    }
}

/// Judges a configuration whose sources have not been read, as far as that can be: for admission, where nobody may read
/// Secrets.
///
/// # Errors
/// As [`merge`].
pub fn check(
    schema: &ConfigurationSchema,
    layers: Layers<'_>,
    sources: &[ConfigSource],
) -> Result<(), InvalidConfiguration> {
    let pointers: Vec<_> = sources.iter().filter_map(pointer).collect();
    let open: Vec<_> = sources
        .iter()
        .filter(|source| source.config_map_key_ref.is_some())
        .filter_map(pointer)
        .collect();
    let unread = Value::Bool(true);
    refuse_clear_secrets(schema, layers, open.iter().map(|pointer| (pointer.as_ptr(), &unread)))?;
    let problems = schema.problems(&merge_layers(layers), Awaited::At(&pointers), &[]);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(InvalidConfiguration::Refused(problems))
    }
}

fn pointer(source: &ConfigSource) -> Option<PointerBuf> {
    PointerBuf::parse(source.pointer.as_str())
        .ok()
        .filter(|pointer| !pointer.is_root())
}

fn merge_layers(layers: Layers<'_>) -> Value {
    let Layers {
        defaults,
        overrides,
        own,
    } = layers;
    let mut value = Value::Object(Map::new());
    for layer in [defaults, overrides, own] {
        json_patch::merge(&mut value, &Value::Object(layer.clone()));
    }
    value
}

/// Refuses secrets that stand in a layer or come from a ConfigMap.
fn refuse_clear_secrets<'a>(
    schema: &ConfigurationSchema,
    layers: Layers<'_>,
    open: impl Iterator<Item = (&'a Pointer, &'a Value)>,
) -> Result<(), InvalidConfiguration> {
    let mut found = vec![];
    for (layer, values) in [
        ("the platform's overrides", layers.overrides),
        ("spec.config", layers.own),
    ] {
        let values = Value::Object(values.clone());
        for pointer in schema.secrets().iter().flat_map(|secret| secret.find(&values)) {
            found.push(ConfigurationProblem {
                pointer: pointer.to_string(),
                message: format!(
                    "the plugin's schema marks this as a secret, and it stands in the clear in {layer}: put it into a Secret and name that in spec.configFrom"
                ),
            });
        }
    }
    for (pointer, value) in open {
        // A secret may be where the value is put, or inside of it.
        let mut whole = Value::Object(Map::new());
        place(&mut whole, pointer, value.clone());
        let inside = schema.secrets().iter().any(|secret| !secret.find(&whole).is_empty());
        if inside || schema.is_secret(pointer) {
            found.push(ConfigurationProblem {
                pointer: pointer.to_string(),
                message: "the plugin's schema marks this as a secret, and it comes from a ConfigMap: put it into a Secret and write secretKeyRef".into(),
            });
        }
    }
    if found.is_empty() {
        Ok(())
    } else {
        Err(InvalidConfiguration::SecretInClear(found))
    }
}

/// Puts a value at its pointer. Objects on the way are made; elements of lists have to be there.
fn place(whole: &mut Value, pointer: &Pointer, value: Value) -> Option<ConfigurationProblem> {
    let mut target = whole;
    for token in pointer.tokens() {
        let next = match target {
            Value::Object(map) => Some(
                map.entry(token.decoded().into_owned())
                    .or_insert_with(|| Value::Object(Map::new())),
            ),
            Value::Array(list) => token
                .decoded()
                .parse::<usize>()
                .ok()
                .and_then(|index| list.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else {
            return Some(ConfigurationProblem {
                pointer: pointer.to_string(),
                message: "nothing can be put there: on the way is a value that is no object, or an element that is not in its list".into(),
            });
        };
        target = next;
    }
    *target = value;
    None
}

#[cfg(test)]
mod tests;
