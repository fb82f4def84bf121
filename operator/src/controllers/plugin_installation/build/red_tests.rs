use plexica_crds::{PluginInstallationSpec, names::Slot};
use serde_json::{Value, json};

use super::{
    super::{
        config::volume_of,
        meter::Image,
        network::live_service,
        route::tests::{ledger, release},
        slot_labels,
    },
    *,
};

fn image() -> Image {
    Image {
        name: "plexica.io/operator:9".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
    }
}

fn built(asleep_since: Option<Timestamp>) -> Deployment {
    let plugin = release();
    let spec: PluginInstallationSpec = serde_json::from_value(json!({ "replicas": 7 })).unwrap();
    let installation = PluginInstallation::new("ledger", spec);
    let shape = Shape {
        revision: Revision {
            version: "2.0.0".to_owned(),
            config_hash: "abc".to_owned(),
        },
        asleep_since,
    };
    let image = image();
    let inside = InRed {
        shape: &shape,
        plugin: &plugin,
        providers: &[],
        config: volume_of("ledger-config-abc".to_owned(), false),
        credential: "c1",
        meter: Meter {
            image: &image,
            plugin: 4_000,
        },
    };
    deployment(&installation, &ledger(), inside)
}

fn containers(deployment: &Deployment) -> Vec<Value> {
    let pod = deployment.spec.clone().unwrap().template.spec.unwrap();
    let containers = pod.containers.iter();
    containers
        .map(|container| serde_json::to_value(container).unwrap())
        .collect()
}

#[test]
fn no_slot_that_may_be_live_selects_red() {
    let wanted = ledger();
    let template = built(None).spec.unwrap().template.metadata.unwrap().labels.unwrap();
    let has =
        |selected: &BTreeMap<String, String>| selected.iter().all(|(key, value)| template.get(key) == Some(value));
    assert!(has(&red_service(&wanted).spec.unwrap().selector.unwrap()));
    for slot in [Slot::A, Slot::B] {
        assert!(!has(&slot_labels(&wanted, slot)));
        assert!(!has(&live_service(&wanted, slot, true).spec.unwrap().selector.unwrap()));
    }
}

#[test]
fn the_service_leads_to_the_meter_the_meter_to_the_plugin_and_the_kubelet_asks_the_plugin() {
    let [plugin, meter] = containers(&built(None)).try_into().unwrap();
    let target = red_service(&ledger()).spec.unwrap().ports.unwrap()[0]
        .target_port
        .clone();
    assert_eq!(target, Some(IntOrString::String("http".to_owned())));
    assert_eq!(meter["ports"][0]["name"], "http");
    assert_eq!(meter["args"][3], "--plugin=127.0.0.1:4000");
    assert_eq!(
        plugin["ports"],
        json!([{ "name": "plugin", "containerPort": 4000, "protocol": "TCP" }])
    );
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        assert_eq!(plugin[probe]["httpGet"]["port"], "plugin", "{probe}");
    }
    let environment = plugin["env"].as_array().unwrap();
    assert!(environment.contains(&json!({ "name": "PLEXICA_SLOT", "value": "red" })));
    for container in [plugin, meter] {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    }
}

#[test]
fn it_has_one_pod_or_none_and_the_mark_says_since_when() {
    let since = Timestamp::from_second(1_000).unwrap();
    for (asleep_since, pods) in [(None, 1), (Some(since), 0)] {
        let deployment = built(asleep_since);
        assert_eq!(deployment.spec.as_ref().unwrap().replicas, Some(pods));
        assert_eq!(super::asleep_since(&deployment), asleep_since);
        assert_eq!(revision(&deployment).version, "2.0.0");
        assert_eq!(revision(&deployment).config_hash, "abc");
    }
}
