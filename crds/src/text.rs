//! What text may not hold, wherever a person writes it.
//!
//! JSON and the API server admit U+0000; PostgreSQL stores it in no text (22021) and in no jsonb (22P05): see
//! postgresql.org/docs/current/datatype-json.html. What the operator mirrors to its registry is therefore asked before.

use serde::Serialize;
use serde_json::Value;

use crate::violation::Violation;

/// The rule that is broken.
const NO_NUL: &str = "must not contain U+0000, which PostgreSQL cannot store";

/// The first text or key below a field that holds U+0000; `None` if there is none. What cannot be written as JSON is not
/// judged here.
pub fn nul(field: &str, content: &impl Serialize) -> Option<Violation> {
    first(field, &serde_json::to_value(content).ok()?)
}

fn first(field: &str, value: &Value) -> Option<Violation> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => text.contains('\0').then(|| Violation::new(field, NO_NUL)),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| first(&format!("{field}[{index}]"), item))
        }
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            if key.contains('\0') {
                let message = format!("the key `{}` {NO_NUL}", key.escape_debug());
                return Some(Violation::new(field, message));
            }
            first(&format!("{field}.{key}"), value)
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(content: &Value) -> Option<String> {
        nul("spec", content).map(|violation| violation.to_string())
    }

    #[test]
    fn the_first_text_or_key_with_u_0000_is_told_with_its_path() {
        for (content, expected) in [
            (
                json!({ "translations": { "en": { "title": "a\0b" } } }),
                "spec.translations.en.title: must not contain U+0000, which PostgreSQL cannot store",
            ),
            (
                json!({ "list": [1, ["", { "a": "\0" }]] }),
                "spec.list[1][1].a: must not contain U+0000, which PostgreSQL cannot store",
            ),
            (
                json!({ "en": { "a\0": 1 } }),
                "spec.en: the key `a\\0` must not contain U+0000, which PostgreSQL cannot store",
            ),
        ] {
            assert_eq!(told(&content).as_deref(), Some(expected));
        }
        assert_eq!(told(&json!({ "a": [null, true, 1, "\u{1}", "\\u0000"] })), None);
    }
}
