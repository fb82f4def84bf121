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
    let world = umbrella(vec![], plugin.into_iter().collect());
    release(&world, &id("notes"), &Version::new(1, 0, 0)).unwrap_err()
}

fn id(id: &str) -> PluginId {
    PluginId::parse(id).unwrap()
}

fn umbrella(installations: Vec<Arc<Root<PluginInstallation>>>, releases: Vec<Arc<Root<Plugin>>>) -> World {
    let tenant = json!({ "metadata": { "name": "umbrella" }, "spec": { "displayName": "Umbrella" } });
    let tenant = serde_json::from_value(tenant).unwrap();
    World::new(tenant, TenantSlug::parse("umbrella").unwrap(), installations, releases)
}

#[test]
fn a_release_that_does_not_decode_is_not_called_gone() {
    let plugin = json!({ "metadata": { "name": "notes-1.0.0" }, "spec": { "id": 7 } });
    let plugin = Arc::new(serde_json::from_value::<Root<Plugin>>(plugin).unwrap());
    let said = release(&umbrella(vec![], vec![plugin]), &id("notes"), &Version::new(1, 0, 0));
    let expected = "notes 1.0.0 runs, and Plugin notes-1.0.0 does not decode: see kubectl describe plugin notes-1.0.0";
    assert_eq!(said, Err(Outcome::Blocked(Reason::PluginInvalid, expected.into())));
}

/// An accepted release 1.0.0.
fn accepted(id: &str, dependencies: &Value) -> Arc<Root<Plugin>> {
    let condition = json!({ "type": "Accepted", "status": "True", "reason": "ManifestValid", "message": "",
        "lastTransitionTime": "2026-12-01T00:00:00Z" });
    let plugin = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": format!("{id}-1.0.0") },
        "spec": { "id": id, "version": "1.0.0", "displayName": id, "dependencies": dependencies,
            "runtime": { "image": format!("registry.example.com/{id}:1.0.0") } },
        "status": { "conditions": [condition] },
    });
    Arc::new(DeserializeGuard(Ok(serde_json::from_value(plugin).unwrap())))
}

/// An installation in which 1.0.0 is live.
fn live(id: &str, enabled: bool) -> PluginInstallation {
    let slot = json!({ "version": "1.0.0", "configHash": "h", "ready": 1, "desired": 1 });
    serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": id, "namespace": "tenant-umbrella" }, "spec": { "enabled": enabled },
        "status": { "liveSlot": "a", "slots": { "a": slot } },
    }))
    .unwrap()
}

fn world_with(crm: bool, contacts: bool, kind: &str) -> World {
    let needs = json!([{ "plugin": "contacts", "version": "^1", "kind": kind }]);
    let installations = [live("crm", crm), live("contacts", contacts)];
    let installations = installations.map(|one| Arc::new(DeserializeGuard(Ok(one))));
    let releases = vec![accepted("crm", &needs), accepted("contacts", &json!([]))];
    umbrella(installations.into(), releases)
}

#[test]
fn a_live_plugin_says_that_one_which_it_needs_is_switched_off() {
    let unfit = |contacts, kind| {
        let world = world_with(true, contacts, kind);
        let chosen = choose(&live("crm", true), &world);
        chosen.map(|wanted| wanted.switched_off).unwrap()
    };
    let expected = "crm needs contacts ^1, which is switched off";
    assert_eq!(
        unfit(false, "Required"),
        Some(Outcome::Waiting(Reason::DependencyUnfit, expected.into()))
    );
    assert_eq!(unfit(true, "Required"), None);
    assert_eq!(unfit(false, "Optional"), None);
}

#[test]
fn who_is_switched_off_knows_who_runs_and_needs_it() {
    let needed = |crm, kind| needed_by(&id("contacts"), &world_with(crm, false, kind));
    assert_eq!(needed(true, "Required"), [id("crm")]);
    assert_eq!(needed(false, "Required"), []);
    assert_eq!(needed(true, "Optional"), []);
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
    let installations = [contacts, crm].map(|one| Arc::new(DeserializeGuard(Ok(one.clone()))));
    let world = umbrella(
        installations.to_vec(),
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
