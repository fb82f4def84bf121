//! A release does not change: how the API server holds it, and how the operator notices if it did not.
//!
//! Every field of the spec but `deprecated` has the rule `self == oldSelf`. An optional field without a default needs
//! one more at the root: a rule of the field is not asked when the field comes or goes. The API server compares lists of
//! types `map` and `set` without their order (k8s.io/apiserver/pkg/cel/common/values.go, `unstructuredMapList.Equal` and
//! `unstructuredSetList.Equal`), which is right for those here that mean the same in any order; for `env` and
//! `migrations`, which do not, a rule compares the order of the keys. It compares free JSON by value, but overlooks a key
//! at its top that is renamed (`unstructuredMap.Equal`); so the operator keeps the digest of what it accepted in the
//! status, and compares.

use super::PluginSpec;

/// What the user reads who edits a release.
pub const UNCHANGED: &str =
    "a released version does not change: publish another version (only spec.deprecated may be edited)";

/// Rule for the optional field `frontend`.
pub const FRONTEND: &str = "has(self.spec.frontend) == has(oldSelf.spec.frontend) && (!has(self.spec.frontend) || self.spec.frontend == oldSelf.spec.frontend)";

/// Rule for a list of type `map` with key `name` whose order means something.
pub const SAME_ORDER: &str = "self.map(each, each.name) == oldSelf.map(each, each.name)";

/// What must not change, as text: equal for equal releases, whatever `deprecated` says, and whatever the order of what
/// has none. To be hashed, not shown.
///
/// # Errors
/// When the spec cannot be written as JSON, which no spec read from JSON does.
pub fn released(spec: &PluginSpec) -> Result<String, serde_json::Error> {
    let mut spec = spec.clone();
    spec.dependencies.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    spec.conflicts.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    spec.permissions.sort_by(|a, b| a.key.cmp(&b.key));
    for permission in &mut spec.permissions {
        permission.roles.sort_unstable();
    }
    spec.database.tenant_tables.sort_by_key(|grant| grant.table);
    for grant in &mut spec.database.tenant_tables {
        grant.privileges.sort_unstable();
    }
    as_written(&spec)
}

/// The same with every list in the order of the manifest: operators before 2026-11-30 accepted releases so.
///
/// # Errors
/// See [`released`].
pub fn as_written(spec: &PluginSpec) -> Result<String, serde_json::Error> {
    let spec = PluginSpec {
        deprecated: None,
        ..spec.clone()
    };
    // Through Value: its maps are sorted.
    serde_json::to_value(spec).map(|value| value.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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

    fn with(field: &str, list: &Value) -> PluginSpec {
        let mut spec = json!({"id": "crm", "version": "1.0.0", "displayName": "CRM", "runtime": {"image": "crm"}});
        jsonptr::Pointer::parse(field)
            .unwrap()
            .assign(&mut spec, list.clone())
            .unwrap();
        serde_json::from_value(spec).unwrap()
    }

    /// A list of two, both ways.
    fn both(field: &str, [a, b]: [Value; 2]) -> [String; 2] {
        [json!([a, b]), json!([b, a])].map(|list| released(&with(field, &list)).unwrap())
    }

    #[test]
    fn lists_without_an_order_are_the_same_in_any() {
        let permission = |key: &str, roles: &[&str]| json!({"key": key, "name": key, "roles": roles});
        for (field, two) in [
            ("/dependencies", ["a1", "b1"].map(|plugin| json!({"plugin": plugin}))),
            ("/conflicts", ["a1", "b1"].map(|plugin| json!({"plugin": plugin}))),
            (
                "/permissions",
                ["crm:a:read", "crm:b:read"].map(|key| permission(key, &[])),
            ),
            (
                "/database/tenantTables",
                ["users", "teams"].map(|table| json!({"table": table, "privileges": ["Select"]})),
            ),
        ] {
            let [one, other] = both(field, two);
            assert_eq!(one, other, "{field}");
        }
        let roles = |roles: &[&str]| released(&with("/permissions", &json!([permission("crm:*", roles)]))).unwrap();
        assert_eq!(roles(&["user", "guest"]), roles(&["guest", "user"]));
        assert_ne!(roles(&["user", "guest"]), roles(&["user"]));
        let privileges = |list: [&str; 2]| {
            let tables = json!([{"table": "users", "privileges": list}]);
            released(&with("/database/tenantTables", &tables)).unwrap()
        };
        assert_eq!(privileges(["Select", "Insert"]), privileges(["Insert", "Select"]));
    }

    #[test]
    fn lists_with_an_order_are_others_in_another() {
        let migration = |name: &str| json!({"name": name, "sql": "SELECT 1"});
        for (field, two) in [
            ("/runtime/env", ["A", "B"].map(|name| json!({"name": name}))),
            ("/runtime/args", ["-a", "-b"].map(|arg| json!(arg))),
            ("/migrations", ["0001_a", "0002_b"].map(migration)),
        ] {
            let [one, other] = both(field, two);
            assert_ne!(one, other, "{field}");
        }
    }
}
