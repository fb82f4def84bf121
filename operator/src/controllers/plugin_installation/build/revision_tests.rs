use plexica_crds::{PluginInstallationSpec, names::Slot};
use serde_json::json;

use super::{
    super::{
        config::volume_of,
        route::tests::{ledger, release},
        slot::{InSlot, deployment},
    },
    *,
};
use crate::promotion::Shape;

fn frozen(spec: serde_json::Value) -> Frozen {
    let spec: PluginInstallationSpec = serde_json::from_value(spec).unwrap();
    let installation = PluginInstallation::new("ledger", spec);
    let rendered = Rendered {
        plugin: &release(),
        providers: &[],
        tenant_tables: TenantTables::default(),
        config: volume_of("ledger-config-abc".to_owned(), false),
    };
    freeze(&installation, &ledger(), rendered)
}

fn in_slot(slot: Slot, size: i32, frozen: &Frozen, credential: &str) -> Deployment {
    let shape = Shape {
        revision: object(&ledger(), frozen).0,
        size,
        recycled: None,
        rejected: false,
    };
    let inside = InSlot {
        slot,
        shape: &shape,
        frozen,
        credential: Some(credential),
        progress_deadline: std::time::Duration::from_mins(10),
    };
    deployment(&ledger(), &inside)
}

#[test]
fn another_size_of_pods_is_another_revision_and_another_number_is_not() {
    let hash = |spec| object(&ledger(), &frozen(spec)).0.config_hash;
    let resources = |cpu: &str| json!({ "requests": { "cpu": cpu, "memory": "16Mi" }, "limits": { "memory": "64Mi" } });
    let plain = hash(json!({}));
    assert_eq!(hash(json!({ "replicas": 7 })), plain);
    assert_ne!(hash(json!({ "resources": resources("20m") })), plain);
    assert_ne!(
        hash(json!({ "resources": resources("20m") })),
        hash(json!({ "resources": resources("30m") }))
    );
}

#[test]
fn both_slots_run_the_same_but_for_their_name_and_each_selects_its_own_pods() {
    let frozen = frozen(json!({}));
    let [a, b] = [Slot::A, Slot::B].map(|slot| in_slot(slot, 2, &frozen, "c1").spec.unwrap());
    for (spec, slot) in [(&a, "a"), (&b, "b")] {
        let labels = spec.template.metadata.clone().unwrap().labels.unwrap();
        assert_eq!(labels["plexica.io/slot"], slot);
        let selected = spec.selector.match_labels.clone().unwrap();
        assert!(
            selected.iter().all(|(key, value)| labels.get(key) == Some(value)),
            "{selected:?}"
        );
        let pod = spec.template.spec.clone().unwrap();
        let spread = pod.topology_spread_constraints.unwrap()[0]
            .label_selector
            .clone()
            .unwrap();
        assert_eq!(spread.match_labels, Some(selected));
        let first = pod.containers[0].env.clone().unwrap()[0].clone();
        assert_eq!(
            (first.name.as_str(), first.value.as_deref()),
            ("PLEXICA_SLOT", Some(slot))
        );
    }
}

#[test]
fn what_a_deployment_runs_is_adopted_as_what_it_was_made_from() {
    let frozen = frozen(json!({}));
    let running = in_slot(Slot::B, 3, &frozen, "c1");
    let adopted = adopted(&running, &release(), &[]).unwrap();
    let strip = |mut frozen: Frozen| {
        // The selector is the slot's, and is set anew.
        let spec = frozen.template.spec.as_mut().unwrap();
        spec.topology_spread_constraints = None;
        frozen
    };
    let mut adopted = strip(adopted);
    let annotations = &mut adopted.template.metadata.as_mut().unwrap().annotations;
    assert_eq!(annotations.take(), Some(BTreeMap::new()));
    assert!(adopted == strip(frozen));
}

#[test]
fn a_kept_revision_is_read_again_under_its_own_hash() {
    let frozen = frozen(json!({}));
    let (revision, object) = object(&ledger(), &frozen);
    assert_eq!(object.metadata.name, Some(format!("ledger-{}", revision.config_hash)));
    assert!(kept(&object, &revision.config_hash) == Some(frozen));
    assert_eq!(kept(&object, "0123456789abcdef"), None);
}

#[test]
fn what_a_revision_needs_is_what_its_release_says_whatever_is_kept_of_it() {
    let mut forged = frozen(json!({ "replicas": 3 }));
    forged.tenant_tables = serde_json::from_value(json!({ "user_roles": ["Insert"] })).unwrap();
    forged.connections = i32::MAX;
    forged.providers = vec![PluginId::parse("contacts").unwrap()];
    forged.base_path = "/others".to_owned();
    let trusted = as_released(&forged, &release());
    let expected = frozen(json!({ "replicas": 3 }));
    assert!(trusted == expected);
}
