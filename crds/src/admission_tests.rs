//! What the API server would refuse, by the CRDs as they are generated: their rules in CEL are evaluated here, and
//! their schemas are held to what it demands of them.

use kube::{CustomResourceExt, core::cel::Validator};
use serde_json::{Value, json};

use crate::{Plugin, PluginInstallation, Tenant, names::PLUGIN_ID_RULES};

fn schema<T: CustomResourceExt>() -> Value {
    let crd = serde_json::to_value(T::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// What the rules say to an object, or to its change.
fn refusals<T: CustomResourceExt>(object: &Value, old: Option<&Value>) -> String {
    Validator::new()
        .validate(&schema::<T>(), object, old)
        .err()
        .map(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        .unwrap_or_default()
}

fn read(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

fn plugin() -> Value {
    read(
        r"
apiVersion: plexica.io/v1alpha1
kind: Plugin
metadata: { name: crm-1.4.0 }
spec:
  id: crm
  version: 1.4.0
  displayName: CRM
  runtime:
    image: registry.example.com/crm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    env: [{ name: LOG_LEVEL, value: info }]
  dependencies: [{ plugin: contacts, version: ^1 }]
  permissions: [{ key: 'crm:deals:read', name: Read deals, roles: [user] }]
  configuration:
    schema: { properties: { currency: { type: string } } }
    defaults: { currency: EUR }
  migrations:
  - name: 0001_deals
    sql: CREATE TABLE {{schema}}.deals (id uuid PRIMARY KEY)
",
    )
}

fn installation() -> Value {
    read(
        r"
apiVersion: plexica.io/v1alpha1
kind: PluginInstallation
metadata: { name: crm, namespace: tenant-acme-corp }
spec:
  version: ^1.2
  config: { currency: USD }
  configFrom:
  - pointer: /smtp/password
    secretKeyRef: { name: crm-smtp, key: password }
  promotion: { rollbackWindow: 1h, probe: { path: /ready } }
  red: { enabled: true, version: '>=2.0.0-rc.1', idleAfter: 10m }
",
    )
}

fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    jsonptr::Pointer::parse(pointer)
        .unwrap()
        .assign(&mut object, value)
        .unwrap();
    object
}

#[test]
fn good_manifests_are_admitted() {
    assert_eq!(refusals::<Plugin>(&plugin(), None), "");
    assert_eq!(refusals::<PluginInstallation>(&installation(), None), "");
    assert_eq!(
        refusals::<PluginInstallation>(&json!({"metadata": {"name": "crm"}, "spec": {}}), None),
        ""
    );
    // And they decode.
    serde_json::from_value::<Plugin>(plugin()).unwrap();
    serde_json::from_value::<PluginInstallation>(installation()).unwrap();
}

#[test]
fn a_plugin_that_breaks_a_rule_is_refused_with_its_sentence() {
    for (pointer, value, part) in [
        ("/metadata/name", json!("crm"), "is named <spec.id>-<spec.version>"),
        ("/spec/id", json!("9lives"), "begins with a lower-case letter"),
        ("/spec/version", json!("1.4"), "SemVer in lower case"),
        ("/spec/version", json!("1.4.0-RC.1"), "SemVer in lower case"),
        ("/spec/version", json!("1.4.0+7"), "SemVer in lower case"),
        (
            "/spec/runtime/env/0/name",
            json!("S3_BUCKET"),
            "are set by the platform",
        ),
        (
            "/spec/runtime/probes",
            json!({"liveness": {"timeout": "9s"}}),
            "at most its interval",
        ),
        ("/spec/dependencies/0/plugin", json!("a--b"), "double hyphen"),
        ("/spec/migrations/0/name", json!("first"), "four digits"),
        (
            "/spec/migrations/0/configMapRef",
            json!({"name": "a", "key": "b"}),
            "either sql or configMapRef",
        ),
    ] {
        let text = refusals::<Plugin>(&with(&plugin(), pointer, value), None);
        assert!(text.contains(part), "{pointer}: {part} is missing in: {text}");
    }
    for version in ["0.0.1", "1.4.0-rc.1", "10.20.30-alpha-1.x"] {
        let renamed = with(&plugin(), "/metadata/name", json!(format!("crm-{version}")));
        assert_eq!(
            refusals::<Plugin>(&with(&renamed, "/spec/version", json!(version)), None),
            "",
            "{version}"
        );
    }
}

#[test]
fn a_release_changes_in_nothing_but_its_deprecation() {
    let (old, unchanged) = (plugin(), "a released version does not change");
    let deprecated = with(
        &old,
        "/spec/deprecated",
        json!({"message": "use 2", "replacement": "crm2"}),
    );
    assert_eq!(refusals::<Plugin>(&deprecated, Some(&old)), "");
    assert_eq!(refusals::<Plugin>(&old, Some(&deprecated)), "");
    let frontend = with(
        &old,
        "/spec/frontend",
        json!({"remoteEntry": "/remote.js", "routePrefix": "/crm"}),
    );
    for (new, old) in [(&frontend, &old), (&old, &frontend)] {
        assert!(refusals::<Plugin>(new, Some(old)).contains(unchanged));
    }
    // Every field of the schema, so that a new one cannot be forgotten.
    let changed = |field: &str| match field {
        "configuration" => json!({"schema": {}, "defaults": {"currency": "USD"}}),
        "runtime" => json!({"image": "other"}),
        "api" => json!({"basePath": "/crm"}),
        "frontend" => json!({"remoteEntry": "/other.js", "routePrefix": "/crm"}),
        "database" => json!({"tenantTables": [{"table": "users", "privileges": ["Select"]}]}),
        "events" => json!({"publishes": ["crm.deal.won"]}),
        "translations" => json!({"en": {}}),
        "dependencies" | "conflicts" => json!([{"plugin": "other"}]),
        "permissions" | "migrations" => json!([]),
        _ => json!("other"),
    };
    let fields = schema::<Plugin>()["properties"]["spec"]["properties"].clone();
    for field in fields
        .as_object()
        .unwrap()
        .keys()
        .filter(|field| *field != "deprecated")
    {
        let new = with(&frontend, &format!("/spec/{field}"), changed(field));
        let text = refusals::<Plugin>(&new, Some(&frontend));
        assert!(text.contains(unchanged), "{field} may be changed: {text}");
    }
}

#[test]
fn an_installation_that_breaks_a_rule_is_refused_with_its_sentence() {
    for (pointer, value, part) in [
        ("/spec/configFrom/0/pointer", json!("smtp"), "is a JSON pointer"),
        ("/spec/configFrom/0/pointer", json!("/a~2"), "is a JSON pointer"),
        (
            "/spec/configFrom/0/configMapKeyRef",
            json!({"name": "a", "key": "b"}),
            "either secretKeyRef or",
        ),
        (
            "/spec/promotion/promotionDelay",
            json!("0s"),
            "promotionDelay must be longer than zero",
        ),
        (
            "/spec/promotion/rollbackWindow",
            json!("0s"),
            "rollbackWindow must be longer than zero",
        ),
        (
            "/spec/promotion/connectionDrain",
            json!("0s"),
            "connectionDrain must be longer than zero",
        ),
        (
            "/spec/promotion/progressDeadline",
            json!("30s"),
            "longer than promotion.promotionDelay",
        ),
        ("/spec/promotion/probe/timeout", json!("9s"), "at most its interval"),
        ("/spec/promotion/probe/timeout", json!("11s"), "at most 10s"),
        ("/spec/promotion/probe/interval", json!("10m"), "between 1s and 5m"),
        ("/spec/red/idleAfter", json!("0s"), "idleAfter must be longer than zero"),
    ] {
        let text = refusals::<PluginInstallation>(&with(&installation(), pointer, value), None);
        assert!(text.contains(part), "{pointer}: {part} is missing in: {text}");
    }
}

#[test]
fn ids_are_judged_alike_by_the_api_server_and_by_the_operator() {
    for id in [
        "crm",
        "sample-analytics",
        "a",
        "abcdefghijklmnopqrstuv",
        "abcdefghijklmnopqrstuvw",
        "9lives",
        "a.b",
        "a--b",
        "a-",
        "my-plugin",
        "plugin",
        "plugins",
        "crm-yellow",
        "crm-red",
        "yellow",
        "plexica",
        "core",
        "core-2",
    ] {
        let named = with(&installation(), "/metadata/name", json!(id));
        let with_id = with(
            &with(&plugin(), "/spec/id", json!(id)),
            "/metadata/name",
            json!(format!("{id}-1.4.0")),
        );
        let (name, spec) = (
            refusals::<PluginInstallation>(&named, None),
            refusals::<Plugin>(&with_id, None),
        );
        for rule in &PLUGIN_ID_RULES {
            let broken = !(rule.holds)(id);
            assert_eq!(name.contains(rule.message), broken, "{id}: {}: {name}", rule.message);
            assert_eq!(spec.contains(rule.message), broken, "{id}: {}: {spec}", rule.message);
        }
    }
}

/// Calls `visit` with each part of a schema and its path.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (key, part) in schema["properties"].as_object().into_iter().flatten() {
        walk(part, &format!("{path}.{key}"), visit);
    }
    for keyword in ["items", "additionalProperties"] {
        if schema[keyword].is_object() {
            walk(&schema[keyword], &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn schemas_are_structural_and_say_what_each_field_is() {
    for (kind, schema) in [
        ("Tenant", schema::<Tenant>()),
        ("Plugin", schema::<Plugin>()),
        ("PluginInstallation", schema::<PluginInstallation>()),
    ] {
        walk(&schema, kind, &mut |path, part| {
            assert!(part["type"].is_string(), "{path} has no type");
            for keyword in ["$ref", "anyOf", "oneOf", "allOf", "not", "uniqueItems"] {
                assert!(part.get(keyword).is_none(), "{path} has {keyword}");
            }
            let described = path.ends_with("[]") || part["description"].is_string();
            assert!(described, "{path} is not described for kubectl explain");
        });
    }
}

#[test]
fn whatever_a_person_writes_is_bounded() {
    // The API server multiplies the cost of a rule by the greatest size of what it is asked of, and refuses the CRD when
    // that is too much: kubernetes.io, "Resource use by validation functions".
    for (kind, schema) in [
        ("Plugin", schema::<Plugin>()),
        ("PluginInstallation", schema::<PluginInstallation>()),
    ] {
        walk(&schema["properties"]["spec"], kind, &mut |path, part| {
            let bound = match part["type"].as_str().unwrap() {
                "string" if part.get("enum").is_none() => "maxLength",
                "array" => "maxItems",
                "object" if part.get("additionalProperties").is_some() => "maxProperties",
                _ => return,
            };
            assert!(part[bound].is_u64(), "{path} has no {bound}");
        });
    }
}
