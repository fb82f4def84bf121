//! Which values of a configuration its schema marks as secrets.

use std::fmt;

use jsonptr::{Pointer, PointerBuf, Token};
use serde_json::{Map, Value};

use super::InvalidSchema;

/// The place of a secret: a JSON pointer in which a step may stand for all keys or elements. Displays as
/// `/servers/*/password`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SecretPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A key of an object or the number of an element.
    Named(String),
    /// Any key or element.
    Any,
}

impl SecretPath {
    /// Whether the pointer names the secret or something inside of it.
    pub fn covers(&self, pointer: &Pointer) -> bool {
        let mut tokens = pointer.tokens();
        self.0.iter().all(|step| {
            tokens.next().is_some_and(|token| match step {
                Step::Any => true,
                Step::Named(name) => token.decoded() == *name,
            })
        })
    }

    /// The pointers of all values in this configuration that stand at the secret's place. Null is no value.
    pub fn find(&self, value: &Value) -> Vec<PointerBuf> {
        let mut found = vec![];
        find(&self.0, value, &PointerBuf::new(), &mut found);
        found
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Any => f.write_str("/*"),
            Step::Named(name) => write!(f, "/{}", Token::new(name).encoded()),
        })
    }
}

fn find(steps: &[Step], value: &Value, at: &PointerBuf, found: &mut Vec<PointerBuf>) {
    let Some((step, rest)) = steps.split_first() else {
        if !value.is_null() {
            found.push(at.clone());
        }
        return;
    };
    let admits = |key: &str| match step {
        Step::Any => true,
        Step::Named(name) => name == key,
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter().filter(|(key, _)| admits(key)) {
                find(rest, value, &at.with_trailing_token(key.as_str()), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate().filter(|(index, _)| admits(&index.to_string())) {
                find(rest, value, &at.with_trailing_token(index), found);
            }
        }
        _ => {}
    }
}

/// Lists the secrets of a schema: what is marked `writeOnly: true`, wherever a value can be described.
pub(super) fn list(schema: &Value) -> Result<Vec<SecretPath>, InvalidSchema> {
    let mut search = Search {
        root: schema,
        visits: 0,
        references: vec![],
        found: vec![],
    };
    // Without a mark anywhere, no reference can hide one.
    if schema.to_string().contains("\"writeOnly\":true") {
        search.visit(schema, &SecretPath::default())?;
    }
    search.found.sort();
    search.found.dedup();
    Ok(search.found)
}

/// Most parts of a schema that are looked at. References multiply: a short schema could keep the operator busy for
/// years.
const VISITS_MAX: usize = 100_000;

struct Search<'a> {
    root: &'a Value,
    visits: usize,
    /// References that are being followed.
    references: Vec<&'a str>,
    found: Vec<SecretPath>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, schema: &'a Value, path: &SecretPath) -> Result<(), InvalidSchema> {
        let Value::Object(map) = schema else { return Ok(()) };
        self.visits += 1;
        if self.visits > VISITS_MAX {
            return refuse("its references multiply beyond measure: write them out");
        }
        if map.get("writeOnly") == Some(&Value::Bool(true)) {
            self.found.push(path.clone());
            return Ok(());
        }
        self.visit_parts(map, path)?;
        // Branches describe the same value.
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for branch in map.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                self.visit(branch, path)?;
            }
        }
        for keyword in ["if", "then", "else", "not"] {
            if let Some(branch) = map.get(keyword) {
                self.visit(branch, path)?;
            }
        }
        for branch in map
            .get("dependentSchemas")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::values)
        {
            self.visit(branch, path)?;
        }
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(Value::String(reference)) = map.get(keyword) {
                self.follow(reference, path)?;
            }
        }
        Ok(())
    }

    fn visit_parts(&mut self, map: &'a Map<String, Value>, path: &SecretPath) -> Result<(), InvalidSchema> {
        let named = |keyword| map.get(keyword).and_then(Value::as_object).into_iter().flatten();
        for (key, part) in named("properties") {
            self.visit(part, &path.then(Step::Named(key.clone())))?;
        }
        for (index, part) in map
            .get("prefixItems")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            self.visit(part, &path.then(Step::Named(index.to_string())))?;
        }
        let any = [
            "items",
            "contains",
            "additionalProperties",
            "unevaluatedProperties",
            "unevaluatedItems",
        ];
        for part in any
            .into_iter()
            .filter_map(|keyword| map.get(keyword))
            .chain(named("patternProperties").map(|(_, part)| part))
        {
            self.visit(part, &path.then(Step::Any))?;
        }
        Ok(())
    }

    /// Follows a reference within the schema. Others, and those that come back to themselves, could hide a secret.
    fn follow(&mut self, reference: &'a str, path: &SecretPath) -> Result<(), InvalidSchema> {
        if self.references.contains(&reference) {
            return refuse(&format!(
                "the reference {reference} comes back to itself: a schema with secrets (`writeOnly`) may not, since they could not be listed"
            ));
        }
        let Some(target) = reference
            .strip_prefix('#')
            .and_then(|pointer| self.root.pointer(pointer))
        else {
            return refuse(&format!(
                "the reference {reference} leads nowhere: a schema with secrets (`writeOnly`) refers by JSON pointer, such as #/$defs/name"
            ));
        };
        self.references.push(reference);
        self.visit(target, path)?;
        self.references.pop();
        Ok(())
    }
}

fn refuse(message: &str) -> Result<(), InvalidSchema> {
    Err(InvalidSchema {
        pointer: String::new(),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secrets(schema: &Value) -> Vec<String> {
        list(schema).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn secrets_are_found_wherever_a_value_is_described() {
        let secret = json!({"type": "string", "writeOnly": true});
        for (schema, expected) in [
            (json!({"properties": {"a/b": secret}}), "/a~1b"),
            (
                json!({"properties": {"list": {"items": {"properties": {"key": secret}}}}}),
                "/list/*/key",
            ),
            (json!({"additionalProperties": secret}), "/*"),
            (
                json!({"properties": {"pair": {"prefixItems": [{}, secret]}}}),
                "/pair/1",
            ),
            (
                json!({"allOf": [{"if": {}, "then": {"properties": {"a": secret}}}]}),
                "/a",
            ),
            (
                json!({"properties": {"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": secret}}),
                "/a",
            ),
        ] {
            assert_eq!(secrets(&schema), [expected], "{schema}");
        }
        assert_eq!(secrets(&json!({"properties": {"a": {"writeOnly": false}}})), [""; 0]);
    }

    #[test]
    fn a_reference_that_could_hide_a_secret_is_refused() {
        let node = json!({"properties": {"key": {"writeOnly": true}, "children": {"items": {"$ref": "#/$defs/node"}}}});
        let recursive = json!({"$ref": "#/$defs/node", "$defs": {"node": node}});
        assert!(
            list(&recursive)
                .unwrap_err()
                .to_string()
                .contains("comes back to itself")
        );
        let anchor = json!({"properties": {"a": {"$ref": "#here"}, "b": {"writeOnly": true}}});
        assert!(list(&anchor).unwrap_err().to_string().contains("leads nowhere"));
    }

    #[test]
    fn references_that_multiply_are_refused_in_time() {
        let twice =
            |next: usize| json!({"allOf": [{"$ref": format!("#/$defs/{next}")}, {"$ref": format!("#/$defs/{next}")}]});
        let mut defs: Map<String, Value> = (0..40).map(|n| (n.to_string(), twice(n + 1))).collect();
        defs.insert("40".into(), json!({"writeOnly": true}));
        let schema = json!({"$ref": "#/$defs/0", "$defs": defs});
        assert!(list(&schema).unwrap_err().to_string().contains("multiply"));
    }

    #[test]
    fn a_secret_covers_what_is_inside_of_it_and_nothing_beside_it() {
        let path = &list(&json!({"properties": {"list": {"items": {"properties": {"key": {"writeOnly": true}}}}}}))
            .unwrap()[0];
        for (pointer, covered) in [
            ("/list/0/key", true),
            ("/list/9/key/a", true),
            ("/list/0", false),
            ("/list/0/keys", false),
        ] {
            assert_eq!(path.covers(&PointerBuf::parse(pointer).unwrap()), covered, "{pointer}");
        }
        let value = json!({"list": [{"key": "x"}, {"key": null}, {"other": 1}, {"key": {"a": 1}}]});
        let found: Vec<_> = path.find(&value).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["/list/0/key", "/list/3/key"]);
    }
}
