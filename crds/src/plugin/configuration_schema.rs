//! The schema of a plugin's configuration: compiled without looking anything up, with its secrets listed.
//!
//! A secret is marked by `writeOnly: true`, the annotation that JSON Schema itself has for passwords (JSON Schema
//! Validation 2020-12, 9.4); `format: password` is OpenAPI's alone and says nothing of objects or numbers.

mod closing;
mod secrets;

use jsonptr::{Pointer, PointerBuf};
use jsonschema::{Validator, error::ValidationErrorKind as Kind};
use serde_json::{Map, Value};

pub use secrets::SecretPath;

/// The only dialect that is read.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that can judge configurations.
#[derive(Debug, Clone)]
pub struct ConfigurationSchema {
    validator: Validator,
    secrets: Vec<SecretPath>,
}

/// What is wrong with a schema: where in it, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("at {pointer}: ") })]
pub struct InvalidSchema {
    /// JSON pointer into the schema.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// What is wrong with a configuration: where in it, and what. Never shows a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if pointer.is_empty() { "configuration" } else { pointer.as_str() })]
pub struct ConfigurationProblem {
    /// JSON pointer into the configuration; empty means the whole.
    pub pointer: String,
    /// What the schema says.
    pub message: String,
}

/// Values that a configuration does not hold yet, though it is judged already.
#[derive(Debug, Clone, Copy)]
pub enum Awaited<'a> {
    /// The configuration is complete.
    Nothing,
    /// These values come later, from Secrets and ConfigMaps.
    At(&'a [PointerBuf]),
    /// Anything may come later: these are defaults.
    Anything,
}

impl ConfigurationSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// It is of another dialect, breaks the rules of JSON Schema, refers to another document, or hides a secret where it
    /// cannot be listed.
    pub fn compile(schema: &Map<String, Value>) -> Result<Self, InvalidSchema> {
        if let Some(dialect) = schema.get("$schema")
            && dialect.as_str().map(|text| text.trim_end_matches('#')) != Some(DIALECT)
        {
            return Err(InvalidSchema {
                pointer: "/$schema".into(),
                message: format!("{dialect} is not read: leave it out or write {DIALECT}"),
            });
        }
        let mut schema = Value::Object(schema.clone());
        let secrets = secrets::list(&schema)?;
        closing::close(&mut schema);
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .offline()
            .build(&schema)
            .map_err(|error| InvalidSchema {
                pointer: error.instance_path().to_string(),
                message: error.to_string(),
            })?;
        Ok(Self { validator, secrets })
    }

    /// Where the configuration holds secrets.
    pub fn secrets(&self) -> &[SecretPath] {
        &self.secrets
    }

    /// Whether the value at this pointer is a secret, or part of one.
    pub fn is_secret(&self, pointer: &Pointer) -> bool {
        self.secrets.iter().any(|secret| secret.covers(pointer))
    }

    /// All that the schema has against a configuration. Of what is at a secret's place or at one of the `hidden`
    /// pointers, not even the names of its keys are told.
    pub fn problems(&self, value: &Value, awaited: Awaited<'_>, hidden: &[PointerBuf]) -> Vec<ConfigurationProblem> {
        let mut found: Vec<_> = self
            .validator
            .iter_errors(value)
            .flat_map(|error| {
                let at = PointerBuf::parse(error.instance_path().as_str()).unwrap_or_default();
                if is_awaited(error.kind(), &at, awaited) {
                    return vec![];
                }
                if let Some(secret) = self.hides(&at, hidden) {
                    return vec![ConfigurationProblem {
                        pointer: secret,
                        message: format!(
                            "the secret value does not fit the schema (`{}`)",
                            error.kind().keyword()
                        ),
                    }];
                }
                match error.kind() {
                    Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                        unexpected
                            .iter()
                            .map(|key| ConfigurationProblem {
                                pointer: at.with_trailing_token(key.as_str()).to_string(),
                                message: "the plugin's schema knows no such key".into(),
                            })
                            .collect()
                    }
                    _ => vec![ConfigurationProblem {
                        pointer: at.to_string(),
                        message: error.masked_with("the value").to_string(),
                    }],
                }
            })
            .collect();
        found.dedup();
        found
    }

    /// The pointer to name instead of one that is inside of a secret: how far the path may be told.
    fn hides(&self, at: &Pointer, hidden: &[PointerBuf]) -> Option<String> {
        let mut told = PointerBuf::new();
        for token in at.tokens() {
            told.push_back(token);
            if self.is_secret(&told) || hidden.iter().any(|pointer| told.starts_with(pointer)) {
                return Some(told.to_string());
            }
        }
        None
    }
}

/// Whether the error may go away when the awaited values come.
fn is_awaited(kind: &Kind, at: &Pointer, awaited: Awaited<'_>) -> bool {
    let composed = matches!(
        kind,
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } | Kind::OneOfMultipleValid { .. } | Kind::Not { .. }
    );
    match awaited {
        Awaited::Nothing => false,
        Awaited::Anything => composed || matches!(kind, Kind::Required { .. } | Kind::MinProperties { .. }),
        Awaited::At(pointers) => pointers.iter().any(|pointer| match kind {
            Kind::Required { property } => property
                .as_str()
                .is_some_and(|name| pointer.starts_with(&at.with_trailing_token(name))),
            Kind::MinProperties { .. } => pointer.starts_with(at),
            _ if composed => pointer.starts_with(at),
            _ => at.starts_with(pointer),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(schema: &Value) -> Result<ConfigurationSchema, InvalidSchema> {
        ConfigurationSchema::compile(schema.as_object().unwrap())
    }

    fn messages(schema: &Value, value: &Value, awaited: Awaited<'_>) -> Vec<String> {
        compile(schema)
            .unwrap()
            .problems(value, awaited, &[])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn mail() -> Value {
        json!({
            "type": "object",
            "required": ["from", "smtp"],
            "properties": {
                "from": {"type": "string", "format": "email"},
                "retries": {"type": "integer", "maximum": 10},
                "smtp": {
                    "type": "object",
                    "required": ["password"],
                    "properties": {"host": {"type": "string"}, "password": {"type": "string", "minLength": 8, "writeOnly": true}}
                }
            }
        })
    }

    #[test]
    fn an_empty_schema_admits_everything() {
        assert_eq!(messages(&json!({}), &json!({"a": [1, {}]}), Awaited::Nothing), [""; 0]);
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        for (schema, part) in [
            (json!({"type": "strin"}), "/type"),
            (
                json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
                "leave it out",
            ),
            (json!({"$ref": "https://example.com/schema.json"}), "example.com"),
            (json!({"properties": {"a": {"pattern": "("}}}), "/properties/a/pattern"),
            (json!({"$ref": "#/$defs/missing"}), "missing"),
        ] {
            let message = compile(&schema).unwrap_err().to_string();
            assert!(message.contains(part), "{schema}: {message}");
        }
    }

    #[test]
    fn every_problem_has_its_pointer_and_the_words_of_the_schema() {
        let value =
            json!({"from": "nobody", "retries": 11, "colour": "red", "smtp": {"hots": "x", "password": "12345678"}});
        let found = messages(&mail(), &value, Awaited::Nothing);
        for part in [
            "/from: the value is not a \"email\"",
            "/retries: the value is greater than the maximum of 10",
            "/colour: the plugin's schema knows no such key",
            "/smtp/hots: the plugin's schema knows no such key",
        ] {
            assert!(
                found.iter().any(|message| message == part),
                "{part} is missing in {found:?}"
            );
        }
        assert_eq!(found.len(), 4, "{found:?}");
    }

    #[test]
    fn no_problem_shows_a_value() {
        let value = json!({"from": "hunter2", "retries": "hunter2", "smtp": {"password": "hunter2"}});
        let found = messages(&mail(), &value, Awaited::Nothing).join("\n");
        assert!(!found.contains("hunter2"), "{found}");
        assert!(
            found.contains("/smtp/password: the secret value does not fit the schema (`minLength`)"),
            "{found}"
        );
    }

    #[test]
    fn what_comes_from_elsewhere_is_not_missed() {
        let value = json!({"from": "a@example.com", "smtp": {}});
        assert_eq!(messages(&mail(), &value, Awaited::Nothing).len(), 1);
        let password = [PointerBuf::parse("/smtp/password").unwrap()];
        assert_eq!(messages(&mail(), &value, Awaited::At(&password)), [""; 0]);
        assert_eq!(messages(&mail(), &json!({}), Awaited::At(&password)).len(), 1);
        assert_eq!(messages(&mail(), &json!({}), Awaited::Anything), [""; 0]);
        assert_eq!(messages(&mail(), &json!({"retries": 11}), Awaited::Anything).len(), 1);
    }

    #[test]
    fn an_object_that_speaks_of_others_or_lists_no_properties_stays_open() {
        for schema in [
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"properties": {"a": {}}, "patternProperties": {"^b": {}}}),
            json!({"type": "object"}),
            json!({"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]}),
        ] {
            assert_eq!(
                messages(&schema, &json!({"b": 1}), Awaited::Nothing),
                [""; 0],
                "{schema}"
            );
        }
        let nested = json!({"properties": {"list": {"items": {"properties": {"a": {}}}}}});
        assert_eq!(
            messages(&nested, &json!({"list": [{"a": 1}, {"b": 1}]}), Awaited::Nothing),
            ["/list/1/b: the plugin's schema knows no such key"]
        );
    }
}
