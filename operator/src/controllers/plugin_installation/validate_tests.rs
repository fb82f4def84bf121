use kube::core::DeserializeGuard;
use plexica_crds::names::TenantSlug;
use serde_json::{Value, json};

use super::*;

fn told(status: Option<Value>) -> Outcome {
    let plugin = status.map(|status| {
        let plugin = json!({
            "metadata": { "name": "notes-1.0.0" },
            "spec": { "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "x" } },
            "status": status,
        });
        Arc::new(DeserializeGuard(Ok(serde_json::from_value(plugin).unwrap())))
    });
    let tenant = json!({ "metadata": { "name": "umbrella" }, "spec": { "displayName": "Umbrella" } });
    let world = World::new(
        serde_json::from_value(tenant).unwrap(),
        TenantSlug::parse("umbrella").unwrap(),
        vec![],
        plugin.into_iter().collect(),
    );
    let id = PluginId::parse("notes").unwrap();
    release(&world, &id, &Version::new(1, 0, 0)).unwrap_err()
}

#[test]
fn a_release_that_is_there_and_not_accepted_is_not_called_gone() {
    let condition = json!({
        "type": "Accepted", "status": "False", "reason": "ManifestInvalid", "message": "",
        "lastTransitionTime": "2026-11-30T00:00:00Z",
    });
    for (status, expected) in [
        (
            Some(json!({ "conditions": [condition] })),
            Outcome::Blocked(
                Reason::PluginInvalid,
                "notes 1.0.0 runs, and its Plugin is not accepted: see kubectl describe plugin notes-1.0.0".into(),
            ),
        ),
        (
            Some(Value::Null),
            Outcome::Waiting(Reason::Installing, "Plugin notes-1.0.0 is being checked".into()),
        ),
        (
            None,
            Outcome::Blocked(
                Reason::PluginUnknown,
                "notes 1.0.0 runs, and its Plugin is not there any more: apply Plugin notes-1.0.0 again".into(),
            ),
        ),
    ] {
        assert_eq!(told(status), expected);
    }
}

/// A release whose requirements are `needs`.
fn released(id: &str, version: &str, needs: &Value) -> Arc<Root<Plugin>> {
    let plugin = json!({
        "metadata": { "name": format!("{id}-{version}") },
        "spec": { "id": id, "version": version, "displayName": id, "runtime": { "image": "x" }, "dependencies": needs },
        "status": { "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-11-30T00:00:00Z",
        }] },
    });
    Arc::new(DeserializeGuard(Ok(serde_json::from_value(plugin).unwrap())))
}

/// An installation; `live` runs in slot `a`.
fn installed(id: &str, spec: &Value, live: Option<&str>) -> PluginInstallation {
    let slot = live.map(|version| json!({ "version": version, "configHash": "c", "ready": 1, "desired": 1 }));
    serde_json::from_value(json!({
        "metadata": { "name": id, "namespace": "tenant-umbrella", "generation": 1 },
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "liveSlot": live.map(|_| "a"),
            "slots": { "a": slot },
            "conditions": [{
                "type": "Deployed", "status": "True", "reason": "PodsReady", "message": "",
                "lastTransitionTime": "2026-11-30T00:00:00Z",
            }],
        },
    }))
    .unwrap()
}

/// What is chosen for crm, which needs contacts of the same major version.
fn chosen_for_crm(contacts: &PluginInstallation, crm: &PluginInstallation) -> Result<Wanted, Outcome> {
    let needs = |range: &str| json!([{ "plugin": "contacts", "version": range }]);
    let tenant = json!({ "metadata": { "name": "umbrella" }, "spec": { "displayName": "Umbrella" } });
    let world = World::new(
        serde_json::from_value(tenant).unwrap(),
        TenantSlug::parse("umbrella").unwrap(),
        [contacts, crm]
            .map(|one| Arc::new(DeserializeGuard(Ok(one.clone()))))
            .to_vec(),
        vec![
            released("contacts", "1.0.0", &json!([])),
            released("contacts", "2.0.0", &json!([])),
            released("crm", "1.0.0", &needs("^1")),
            released("crm", "2.0.0", &needs("^2")),
        ],
    );
    choose(crm, &world)
}

fn waits(chosen: Result<Wanted, Outcome>) -> String {
    match chosen {
        Err(Outcome::Waiting(Reason::DependencyUnfit, why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(wanted) => panic!("{} is chosen", wanted.plugin.spec.version),
    }
}

#[test]
fn what_is_live_is_prepared_beside_a_provider_that_is_to_move_with_it() {
    let contacts = installed("contacts", &json!({}), Some("1.0.0"));
    let crm = installed("crm", &json!({}), Some("1.0.0"));
    let wanted = chosen_for_crm(&contacts, &crm).unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(wanted.plugin.spec.version, "2.0.0");
}

#[test]
fn what_is_to_be_installed_waits_for_its_provider() {
    let contacts = installed("contacts", &json!({}), Some("1.0.0"));
    let why = waits(chosen_for_crm(&contacts, &installed("crm", &json!({}), None)));
    assert_eq!(why, "crm needs contacts ^2, which runs in 1.0.0 still");
}

#[test]
fn nothing_is_prepared_beside_a_provider_that_is_switched_off() {
    let contacts = installed("contacts", &json!({ "enabled": false }), Some("1.0.0"));
    let why = waits(chosen_for_crm(&contacts, &installed("crm", &json!({}), Some("1.0.0"))));
    assert_eq!(why, "crm needs contacts ^2, which runs in 1.0.0 still");
}
