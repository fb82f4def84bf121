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
