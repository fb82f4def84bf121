//! A release does not change: how the API server holds it, and how the operator notices if it did not.
//!
//! Every field of the spec but `deprecated` has the rule `self == oldSelf`. An optional field without a default needs
//! one more at the root: a rule of the field is not asked when the field comes or goes. The API server compares free
//! JSON by value, but overlooks a key at its top that is renamed, and the order of lists with keys
//! (k8s.io/apiserver/pkg/cel/common/values.go, `unstructuredMap.Equal` and `unstructuredMapList.Equal`); so the
//! operator keeps the digest of what it accepted in the status, and compares.

use super::PluginSpec;

/// What the user reads who edits a release.
pub const UNCHANGED: &str =
    "a released version does not change: publish another version (only spec.deprecated may be edited)";

/// Rule for the optional field `frontend`.
pub const FRONTEND: &str = "has(self.spec.frontend) == has(oldSelf.spec.frontend) && (!has(self.spec.frontend) || self.spec.frontend == oldSelf.spec.frontend)";

/// What must not change, as text: equal for equal releases, whatever `deprecated` says. To be hashed, not shown.
///
/// # Errors
/// When the spec cannot be written as JSON, which no spec read from JSON does.
pub fn released(spec: &PluginSpec) -> Result<String, serde_json::Error> {
    let spec = PluginSpec {
        deprecated: None,
        ..spec.clone()
    };
    // Through Value: its maps are sorted.
    serde_json::to_value(spec).map(|value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::Deprecation;

    #[test]
    fn a_release_is_the_same_whatever_its_deprecation_and_no_other_whatever_its_order() {
        let json = r#"{"id":"crm","version":"1.0.0","displayName":"CRM","runtime":{"image":"crm"},"translations":{"b":1,"a":2}}"#;
        let spec: PluginSpec = serde_json::from_str(json).unwrap();
        let deprecated = PluginSpec {
            deprecated: Some(Deprecation {
                message: "use 2".into(),
                replacement: None,
            }),
            ..spec.clone()
        };
        let renamed = json.replace("\"b\"", "\"c\"");
        assert_eq!(released(&spec).unwrap(), released(&deprecated).unwrap());
        assert_ne!(
            released(&spec).unwrap(),
            released(&serde_json::from_str(&renamed).unwrap()).unwrap()
        );
    }
}
