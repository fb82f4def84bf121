use kube::{core::DeserializeGuard, runtime::reflector, runtime::watcher::Event};
use serde_json::{Value, json};

use super::*;

fn guarded<K>(object: Value) -> Root<K>
where
    K: Resource + serde::de::DeserializeOwned,
{
    serde_json::from_value::<DeserializeGuard<K>>(object).unwrap()
}

/// A release with a front end whose entry is at `entry`.
fn release(id: &str, version: &str, entry: &str) -> Root<Plugin> {
    guarded(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin",
        "metadata": { "name": format!("{id}-{version}") },
        "spec": {
            "id": id, "version": version, "displayName": id,
            "runtime": { "image": format!("example.com/{id}:{version}") },
            "frontend": { "remoteEntry": entry, "routePrefix": format!("/{id}"), "exposes": ["./Routes"] },
        },
    }))
}

/// An installation that is live in this version, if in any.
fn installation(tenant: &str, id: &str, live: Option<&str>, enabled: bool) -> Arc<Root<PluginInstallation>> {
    let status = live.map(|version| {
        let slot = json!({ "version": version, "configHash": "x", "ready": 1, "desired": 1 });
        json!({ "liveSlot": "a", "slots": { "a": slot } })
    });
    Arc::new(guarded(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": id, "namespace": format!("tenant-{tenant}") },
        "spec": { "enabled": enabled },
        "status": status,
    })))
}

fn store(releases: Vec<Root<Plugin>>) -> Store<Root<Plugin>> {
    let (reader, mut writer) = reflector::store();
    for release in releases {
        writer.apply_watcher_event(&Event::Apply(release));
    }
    reader
}

#[test]
fn what_is_live_is_listed_by_tenant_and_sorted_by_plugin() {
    let plugins = store(vec![
        release("maps", "1.0.0", "/remoteEntry.js"),
        release("maps", "2.0.0", "/remoteEntry.js"),
        release("charts", "1.5.0", "https://cdn.example.com/charts.js"),
    ]);
    let found = all(
        &[
            installation("north", "maps", Some("1.0.0"), true),
            installation("north", "charts", Some("1.5.0"), true),
            installation("south", "maps", Some("2.0.0"), true),
        ],
        &plugins,
    );
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        json!({
            "north": [
                { "plugin": "charts", "version": "1.5.0", "remoteEntry": "https://cdn.example.com/charts.js",
                  "routePrefix": "/charts", "exposes": ["./Routes"] },
                { "plugin": "maps", "version": "1.0.0", "remoteEntry": "/api/plugins/maps/remoteEntry.js",
                  "routePrefix": "/maps", "exposes": ["./Routes"] },
            ],
            "south": [
                { "plugin": "maps", "version": "2.0.0", "remoteEntry": "/api/plugins/maps/remoteEntry.js",
                  "routePrefix": "/maps", "exposes": ["./Routes"] },
            ],
        })
    );
}

#[test]
fn what_is_switched_off_or_was_never_live_or_has_no_front_end_is_not_listed() {
    let mut without = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": "mail-1.0.0" },
        "spec": { "id": "mail", "version": "1.0.0", "displayName": "mail", "runtime": { "image": "example.com/mail:1" } },
    });
    without["spec"]["frontend"] = Value::Null;
    let plugins = store(vec![release("maps", "1.0.0", "/remoteEntry.js"), guarded(without)]);
    let installations = [
        installation("north", "maps", Some("1.0.0"), false),
        installation("south", "maps", None, true),
        installation("west", "mail", Some("1.0.0"), true),
    ];
    assert_eq!(all(&installations, &plugins), BTreeMap::new());
}
