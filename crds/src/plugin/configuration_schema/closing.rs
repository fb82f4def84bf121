//! Objects that list their keys admit no others: a mistyped key is the commonest mistake in a configuration.

use serde_json::{Value, json};

/// Keywords by which an object says itself which other keys it admits.
const OPEN: [&str; 3] = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
/// Keywords whose value is a schema of a part of the value, and those whose value lists such schemas by name.
const PARTS: [&str; 2] = ["items", "additionalProperties"];
const NAMED_PARTS: [&str; 2] = ["properties", "patternProperties"];

/// Adds `unevaluatedProperties: false` to every object that lists `properties` and says nothing of others. Only parts of
/// the value are followed, not branches (`allOf`, `$defs`): what those list is counted where they are used.
pub(super) fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if map.contains_key("properties") && !OPEN.iter().any(|keyword| map.contains_key(*keyword)) {
        map.insert("unevaluatedProperties".into(), json!(false));
    }
    for keyword in NAMED_PARTS {
        if let Some(Value::Object(parts)) = map.get_mut(keyword) {
            parts.values_mut().for_each(close);
        }
    }
    for keyword in PARTS {
        if let Some(part) = map.get_mut(keyword) {
            close(part);
        }
    }
    if let Some(Value::Array(parts)) = map.get_mut("prefixItems") {
        parts.iter_mut().for_each(close);
    }
}
