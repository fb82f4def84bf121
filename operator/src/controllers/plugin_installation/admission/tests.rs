use kube::core::DeserializeGuard;
use plexica_crds::names::TenantSlug;
use serde_json::{Value, json};

use super::*;

fn guarded<K: serde::de::DeserializeOwned>(object: Value) -> Arc<Root<K>> {
    Arc::new(DeserializeGuard(Ok(serde_json::from_value(object).unwrap())))
}

/// A release of `notes`, which has a number `depth` and, from 2.0.0 on, a colour.
fn notes(version: &str, accepted: Option<&str>) -> Arc<Root<Plugin>> {
    let mut properties = json!({ "depth": { "type": "integer" }, "token": { "type": "string", "writeOnly": true } });
    if version.starts_with('2') {
        properties["colour"] = json!({ "type": "string" });
    }
    let conditions: Vec<_> = accepted
        .map(|status| {
            json!({ "type": "Accepted", "status": status, "reason": "x", "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z" })
        })
        .into_iter()
        .collect();
    guarded(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": format!("notes-{version}") },
        "spec": { "id": "notes", "version": version, "displayName": "Notes",
            "runtime": { "image": format!("registry.example.com/notes:{version}") },
            "configuration": { "schema": { "type": "object", "properties": properties } } },
        "status": { "conditions": conditions },
    }))
}

fn installation(spec: &Value) -> PluginInstallation {
    serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": "notes", "namespace": "tenant-umbrella" }, "spec": spec,
    }))
    .unwrap()
}

fn judged(spec: &Value, releases: &[Arc<Root<Plugin>>]) -> Judgement {
    judged_over(spec, releases, &Overrides::new())
}

fn judged_over(spec: &Value, releases: &[Arc<Root<Plugin>>], platform: &Overrides) -> Judgement {
    let installation = installation(spec);
    let tenant = json!({ "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant", "metadata": { "name": "umbrella" },
        "spec": { "displayName": "Umbrella" } });
    let world = World::new(
        serde_json::from_value(tenant).unwrap(),
        TenantSlug::parse("umbrella").unwrap(),
        vec![Arc::new(DeserializeGuard(Ok(installation.clone())))],
        releases.to_vec(),
    );
    judge(&installation, &world, &unchecked(releases.to_vec()), platform)
}

fn refusal(judgement: Judgement) -> (Reason, String) {
    match judgement {
        Judgement::Refused(Outcome::Blocked(reason, message)) => (reason, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_configuration_that_the_chosen_release_does_not_take_is_refused_with_its_places() {
    let known = [notes("1.0.0", Some("True"))];
    let spec = json!({ "config": { "depth": "deep", "colour": "red" } });
    let (reason, message) = refusal(judged(&spec, &known));
    assert_eq!(reason, Reason::ConfigurationInvalid);
    assert!(
        message.starts_with("notes 1.0.0 does not admit the configuration: "),
        "{message}"
    );
    for place in ["/depth: ", "/colour: "] {
        assert!(message.contains(place), "{message}");
    }
    assert_eq!(judged(&json!({ "config": { "depth": 3 } }), &known), Judgement::Taken);
}

#[test]
fn a_secret_in_the_clear_is_refused_and_a_reference_to_one_is_not() {
    let known = [notes("1.0.0", Some("True"))];
    let (reason, message) = refusal(judged(&json!({ "config": { "token": "hunter2" } }), &known));
    assert_eq!(reason, Reason::SecretInClear);
    assert!(
        message.contains("/token: ") && !message.contains("hunter2"),
        "{message}"
    );
    let source = json!([{ "pointer": "/token", "secretKeyRef": { "name": "s", "key": "k" } }]);
    assert_eq!(judged(&json!({ "configFrom": source }), &known), Judgement::Taken);
}

#[test]
fn what_the_platform_says_of_the_plugin_is_judged_along() {
    let known = [notes("1.0.0", Some("True"))];
    let platform: Overrides =
        serde_json::from_value(json!({ "notes": { "configuration": { "depth": "deep" } } })).unwrap();
    assert_eq!(
        refusal(judged_over(&json!({}), &known, &platform)).0,
        Reason::ConfigurationInvalid
    );
    let own = json!({ "config": { "depth": 3 } });
    assert_eq!(judged_over(&own, &known, &platform), Judgement::Taken);
}

#[test]
fn nothing_is_refused_while_no_release_is_chosen() {
    let spec = json!({ "config": { "colour": "red" } });
    for known in [vec![], vec![notes("1.0.0", None)], vec![notes("1.0.0", Some("False"))]] {
        assert!(matches!(judged(&spec, &known), Judgement::Open(_)), "{known:?}");
    }
}

#[test]
fn nothing_is_refused_while_a_release_that_may_take_it_is_not_checked_yet() {
    let spec = json!({ "config": { "colour": "red" } });
    let (old, new) = (notes("1.0.0", Some("True")), notes("2.0.0", None));
    let both = [old.clone(), new];
    assert_eq!(
        judged(&spec, &both),
        Judgement::Open("Plugin notes-2.0.0 is not checked yet, and may be chosen".into())
    );
    // Of what the range does not admit, nothing is to be awaited.
    let pinned = json!({ "version": "^1", "config": { "colour": "red" } });
    assert_eq!(refusal(judged(&pinned, &both)).0, Reason::ConfigurationInvalid);
    let accepted = [old, notes("2.0.0", Some("True"))];
    assert_eq!(judged(&spec, &accepted), Judgement::Taken);
}

#[test]
fn a_rule_that_is_broken_is_refused_with_its_field_unless_it_was_broken_before() {
    let told = |before: Option<Value>, wanted: Value| {
        let before = before.map(|spec| installation(&spec));
        match newly_broken(before.as_ref(), &installation(&wanted)) {
            Some(Outcome::Blocked(Reason::InvalidSpec, message)) => Some(message),
            None => None,
            other => panic!("{other:?}"),
        }
    };
    let nul = || json!({ "config": { "smtp": { "host": "a\0" } } });
    let of_nul = "spec.config.smtp.host: must not contain U+0000, which PostgreSQL cannot store";
    assert_eq!(told(None, nul()).as_deref(), Some(of_nul));
    assert_eq!(told(Some(json!({})), nul()).as_deref(), Some(of_nul));
    assert_eq!(told(None, json!({})), None);

    // What was stored so already takes other changes, and its repair.
    let mut also = nul();
    also["enabled"] = json!(false);
    assert_eq!(told(Some(nul()), also.clone()), None);
    assert_eq!(told(Some(nul()), json!({})), None);
    also["replicas"] = json!(51);
    let of_replicas = told(Some(nul()), also).unwrap();
    assert!(of_replicas.starts_with("spec.replicas: 51 "), "{of_replicas}");
}
