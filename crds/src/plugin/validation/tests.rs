//! The manifest check, rule by rule.

use serde_json::{Value, json};

use super::*;

fn manifest() -> Value {
    json!({
        "id": "crm", "version": "1.4.0", "displayName": "CRM",
        "runtime": {"image": "registry.example.com/crm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        "dependencies": [{"plugin": "contacts", "version": "^1"}],
        "permissions": [{"key": "crm:deals:read", "name": "Read deals", "roles": ["user"]}, {"key": "crm:*", "name": "All"}],
        "events": {"publishes": ["crm.deal.won"], "subscribes": ["contacts.contact.created", "core.plugin.installed"]},
        "configuration": {
            "schema": {"required": ["currency"], "properties": {"currency": {"type": "string"}, "token": {"writeOnly": true}}},
            "defaults": {}
        },
        "migrations": [{"name": "0001_deals", "sql": "CREATE TABLE {{schema}}.deals (id uuid PRIMARY KEY)"}],
        "database": {"tenantTables": [{"table": "users", "privileges": ["Select", "References"]}]}
    })
}

/// The manifest with the value at a JSON pointer replaced or added.
fn with(pointer: &str, value: Value) -> PluginSpec {
    let mut manifest = manifest();
    jsonptr::Pointer::parse(pointer)
        .unwrap()
        .assign(&mut manifest, value)
        .unwrap();
    serde_json::from_value(manifest).unwrap()
}

fn messages(spec: &PluginSpec) -> String {
    let violations = check(spec).err().unwrap_or_default();
    violations
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_good_manifest_is_parsed() {
    let parsed = check(&serde_json::from_value(manifest()).unwrap()).unwrap();
    assert_eq!(
        (parsed.base_path.as_str(), parsed.warnings.len()),
        ("/api/plugins/crm", 0)
    );
    assert!(parsed.dependencies[0].range.matches(&Version::new(1, 9, 0)));
    assert_eq!(parsed.configuration.secrets()[0].to_string(), "/token");
}

/// Each value at its pointer breaks a rule, which is told in these words.
fn assert_told(cases: &[(&str, Value, &str)]) {
    for (pointer, value, expected) in cases {
        let text = messages(&with(pointer, value.clone()));
        assert!(text.contains(expected), "{pointer}: `{expected}` is missing in: {text}");
    }
}

#[test]
fn what_runs_is_checked_field_by_field() {
    assert_told(&[
        ("/version", json!("1.4"), "spec.version: `1.4` is no version"),
        ("/version", json!("1.4.0+7"), "build metadata"),
        ("/version", json!("1.4.0-RC.1"), "lower case: 1.4.0-rc.1"),
        (
            "/runtime/image",
            json!("Crm Image"),
            "spec.runtime.image: `Crm Image` is no image",
        ),
        (
            "/runtime/env",
            json!([{"name": "PLEXICA_SLOT"}]),
            "spec.runtime.env[0].name: `PLEXICA_SLOT` is set by",
        ),
        (
            "/runtime/env",
            json!([{"name": "A"}, {"name": "A"}]),
            "spec.runtime.env[1].name: `A` is there twice",
        ),
        ("/runtime/port", json!(80), "spec.runtime.port: 80 is no port"),
        ("/runtime/replicas", json!(0), "spec.runtime.replicas"),
        (
            "/runtime/resources",
            json!({"requests": {"memory": "1Gi"}}),
            "spec.runtime.resources.requests.memory: `1Gi` is more",
        ),
        (
            "/runtime/resources",
            json!({"limits": {"gpu": "1"}}),
            "no such resource",
        ),
        (
            "/runtime/resources",
            json!({"limits": {"cpu": "0"}}),
            "`0` is no positive quantity",
        ),
        (
            "/runtime/probes",
            json!({"liveness": {"interval": "1500ms"}}),
            "spec.runtime.probes.liveness.interval: `1500ms`",
        ),
        (
            "/runtime/probes",
            json!({"readiness": {"timeout": "9s"}}),
            "spec.runtime.probes.readiness.timeout",
        ),
        (
            "/api",
            json!({"basePath": "/api/plugins/contacts"}),
            "spec.api.basePath: `/api/plugins/contacts` is in the way",
        ),
        (
            "/frontend",
            json!({"remoteEntry": "/remote.js", "routePrefix": "crm"}),
            "spec.frontend.routePrefix",
        ),
    ]);
}

#[test]
fn what_is_shared_with_other_plugins_is_checked_field_by_field() {
    assert_told(&[
        (
            "/dependencies/0/version",
            json!("1 - 2"),
            "spec.dependencies[0].version: `1 - 2` is no version range",
        ),
        (
            "/dependencies/0/plugin",
            json!("crm"),
            "spec.dependencies[0].plugin: crm depends on itself",
        ),
        (
            "/dependencies/1",
            json!({"plugin": "contacts"}),
            "spec.dependencies[1].plugin: contacts is a dependency twice",
        ),
        (
            "/conflicts",
            json!([{"plugin": "crm"}]),
            "spec.conflicts[0].plugin: crm conflicts with itself",
        ),
        (
            "/conflicts",
            json!([{"plugin": "old-crm", "version": "?"}]),
            "spec.conflicts[0].version",
        ),
        (
            "/permissions/0/key",
            json!("contacts:read:all"),
            "spec.permissions[0].key: `contacts:read:all` is not this plugin's",
        ),
        ("/permissions/0/key", json!("crm.deals.read"), "begin with `crm:`"),
        ("/permissions/0/key", json!("crm:Deals:read"), "is no permission"),
        (
            "/permissions/0/key",
            json!("crm:*"),
            "spec.permissions[1].key: `crm:*` is there twice",
        ),
        (
            "/events/publishes/0",
            json!("contacts.contact.created"),
            "spec.events.publishes[0]",
        ),
        (
            "/events/subscribes/0",
            json!("everything"),
            "spec.events.subscribes[0]: `everything` is no event",
        ),
    ]);
}

#[test]
fn what_is_kept_and_configured_is_checked_field_by_field() {
    assert_told(&[
        (
            "/configuration/schema/type",
            json!("objekt"),
            "spec.configuration.schema/type",
        ),
        (
            "/configuration/defaults/currency",
            json!(5),
            "spec.configuration.defaults/currency: the value is not of type",
        ),
        (
            "/configuration/defaults/token",
            json!("x"),
            "spec.configuration.defaults/token: the schema marks this as a secret",
        ),
        (
            "/configuration/defaults/colour",
            json!(1),
            "spec.configuration.defaults/colour: the plugin's schema knows no such key",
        ),
        ("/migrations/0/name", json!("first"), "spec.migrations[0].name"),
        (
            "/migrations/0/sql",
            json!("SELECT 'a"),
            "spec.migrations[0].sql: `0001_deals` cannot be read as SQL: line 1",
        ),
        (
            "/database/tenantTables/0",
            json!({"table": "policies", "privileges": ["Select", "Update"]}),
            "spec.database.tenantTables[0].privileges: UPDATE on policies is granted to no plugin",
        ),
        (
            "/translations",
            json!({"en": "x".repeat(70_000)}),
            "spec.translations: holds",
        ),
    ]);
}

#[test]
fn all_broken_rules_are_told_at_once() {
    let mut spec = with("/version", json!("one"));
    spec.runtime.image = String::new();
    spec.permissions[0].key = "x".into();
    assert_eq!(check(&spec).unwrap_err().len(), 3);
}

#[test]
fn an_image_without_digest_is_advised_against() {
    let parsed = check(&with("/runtime/image", json!("registry.example.com/crm:1.4.0"))).unwrap();
    assert!(
        parsed.warnings[0].contains("registry.example.com/crm@sha256:"),
        "{:?}",
        parsed.warnings
    );
}

#[test]
fn a_plugin_is_named_after_its_id_and_version() {
    let plugin = Plugin::new("crm", serde_json::from_value(manifest()).unwrap());
    assert!(
        check_plugin(&plugin).unwrap_err()[0]
            .to_string()
            .contains("call it crm-1.4.0")
    );
    let plugin = Plugin::new("crm-1.4.0", serde_json::from_value(manifest()).unwrap());
    assert!(check_plugin(&plugin).is_ok());
}

#[test]
fn base_paths_are_in_the_way_of_other_plugins_only() {
    let [crm, contacts] = ["crm", "contacts"].map(|id| PluginId::parse(id).unwrap());
    let others = [(&crm, "/crm"), (&contacts, "/crm/contacts")];
    assert_eq!(
        base_path_taken(&crm, "/crm", others),
        Some((&contacts, "/crm/contacts"))
    );
    assert_eq!(base_path_taken(&crm, "/crm", [(&crm, "/crm")]), None);
}

#[test]
fn what_postgresql_cannot_store_is_told_with_its_path() {
    let nul = "must not contain U+0000, which PostgreSQL cannot store";
    for (pointer, value, field) in [
        ("/displayName", json!("a\0"), "spec.displayName"),
        (
            "/translations",
            json!({"en": {"title": "Contacts\0"}}),
            "spec.translations.en.title",
        ),
        (
            "/configuration/defaults",
            json!({"note": "\0"}),
            "spec.configuration.defaults.note",
        ),
        (
            "/permissions/0/description",
            json!("\0"),
            "spec.permissions[0].description",
        ),
        ("/runtime/args", json!(["a", "\0"]), "spec.runtime.args[1]"),
    ] {
        let text = messages(&with(pointer, value));
        assert!(text.contains(&format!("{field}: {nul}")), "{pointer}: {text}");
    }
}
