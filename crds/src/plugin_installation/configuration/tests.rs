//! Merging and judging, layer by layer.

use super::*;
use serde_json::json;

fn schema() -> ConfigurationSchema {
    let schema = json!({
        "required": ["currency", "smtp"],
        "properties": {
            "currency": {"enum": ["EUR", "USD"]},
            "limit": {"type": "integer"},
            "smtp": {
                "required": ["password"],
                "properties": {"host": {"type": "string"}, "password": {"type": "string", "minLength": 4, "writeOnly": true}}
            }
        }
    });
    ConfigurationSchema::compile(schema.as_object().unwrap()).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else {
        panic!("an object is wanted")
    };
    map
}

fn source(pointer: &str, secret: bool, format: ConfigFormat) -> ConfigSource {
    let kind = if secret { "secretKeyRef" } else { "configMapKeyRef" };
    let mut source: ConfigSource =
        serde_json::from_value(json!({"pointer": pointer, kind: {"name": "crm", "key": "k"}})).unwrap();
    source.format = format;
    source
}

fn password(text: &str) -> Reference {
    Reference::read(&source("/smtp/password", true, ConfigFormat::Text), text).unwrap()
}

fn merged(own: Value, references: &[Reference]) -> Result<Configuration, InvalidConfiguration> {
    let (defaults, overrides) = (
        object(json!({"currency": "EUR", "limit": 5, "smtp": {"host": "default"}})),
        object(json!({"smtp": {"host": "mail.internal"}})),
    );
    let own = object(own);
    let layers = Layers {
        defaults: &defaults,
        overrides: &overrides,
        own: &own,
    };
    merge(&schema(), layers, references)
}

fn refusal(own: Value, references: &[Reference]) -> String {
    let error = merged(own, references).unwrap_err();
    error
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn later_layers_say_it_over_earlier_ones_and_null_takes_away() {
    let configuration = merged(json!({"currency": "USD", "limit": null}), &[password("hunter2")]).unwrap();
    assert_eq!(
        configuration.to_json(),
        r#"{"currency":"USD","smtp":{"host":"mail.internal","password":"hunter2"}}"#
    );
}

#[test]
fn what_came_from_a_secret_is_neither_shown_nor_mirrored() {
    let configuration = merged(json!({}), &[password("hunter2")]).unwrap();
    assert!(configuration.has_secrets());
    assert_eq!(
        configuration.without_secrets()["smtp"],
        json!({"host": "mail.internal"})
    );
    assert!(!format!("{configuration:?} {:?}", password("hunter2")).contains("hunter2"));
    let limit = Reference::read(&source("/limit", true, ConfigFormat::Text), "hunter2").unwrap();
    let text = refusal(json!({}), &[password("hunter2"), limit]);
    assert_eq!(text, "/limit: the secret value does not fit the schema (`type`)");
}

#[test]
fn a_secret_in_the_clear_is_refused_wherever_it_stands() {
    let own = refusal(json!({"smtp": {"password": "hunter2"}}), &[]);
    assert!(
        own.starts_with(
            "/smtp/password: the plugin's schema marks this as a secret, and it stands in the clear in spec.config"
        ),
        "{own}"
    );
    assert!(!own.contains("hunter2"));
    for (pointer, text) in [
        ("/smtp/password", "\"hunter2\""),
        ("/smtp", r#"{"password": "hunter2"}"#),
    ] {
        let open = Reference::read(&source(pointer, false, ConfigFormat::Json), text).unwrap();
        assert!(
            refusal(json!({}), &[open]).contains("comes from a ConfigMap"),
            "{pointer}"
        );
    }
}

#[test]
fn problems_have_their_pointer_and_the_words_of_the_schema() {
    let text = refusal(
        json!({"currency": "GBP", "colour": 1, "limit": "x"}),
        &[password("abc")],
    );
    for part in [
        "/currency: the value is not one of",
        "/colour: the plugin's schema knows no such key",
        "/limit: the value is not of type \"integer\"",
        "/smtp/password: the secret value does not fit the schema (`minLength`)",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(refusal(json!({}), &[]).contains("/smtp: \"password\" is a required property"));
}

#[test]
fn values_from_elsewhere_are_put_where_they_fit() {
    let limit = |text| Reference::read(&source("/limit", false, ConfigFormat::Json), text);
    assert!(
        merged(json!({}), &[password("hunter2"), limit("7").unwrap()])
            .unwrap()
            .to_json()
            .contains("\"limit\":7")
    );
    assert!(
        limit("seven")
            .unwrap_err()
            .to_string()
            .contains("/limit: the text of its source is not JSON")
    );
    let inside = Reference::read(&source("/limit/of", true, ConfigFormat::Text), "x").unwrap();
    assert!(refusal(json!({}), &[inside]).contains("/limit/of: nothing can be put there"));
}

#[test]
fn without_reading_secrets_only_what_they_cannot_change_is_judged() {
    let none = Map::new();
    let judge = |own: Value, sources: &[ConfigSource]| {
        let own = object(own);
        let layers = Layers {
            defaults: &none,
            overrides: &none,
            own: &own,
        };
        check(&schema(), layers, sources)
    };
    let sources = [source("/smtp/password", true, ConfigFormat::Text)];
    assert_eq!(judge(json!({"currency": "EUR"}), &sources), Ok(()));
    assert!(judge(json!({"currency": "EUR"}), &[]).is_err());
    assert!(judge(json!({"currency": "GBP"}), &sources).is_err());
    let open = [source("/smtp/password", false, ConfigFormat::Text)];
    assert!(matches!(
        judge(json!({"currency": "EUR"}), &open),
        Err(InvalidConfiguration::SecretInClear(_))
    ));
}
