//! Which of a tenant's plugins a change of one may concern. Pure.
//!
//! Fifty plugins that know nothing of each other are none of each other's business: if all were looked at whenever one
//! changes, fifty installations would cost 2,500 passes.

use std::{collections::BTreeSet, sync::Arc};

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin, PluginInstallation, condition,
    names::PluginId,
    plugin_installation::conditions::{Reason, Type},
};

use super::dereference::is_on_its_way;
use crate::runtime::controller::Root;

/// Those of the tenant's installations that have to be looked at when this one came, went, or changed what it serves.
pub fn concerned(
    changed: &Root<PluginInstallation>,
    installations: &[Arc<Root<PluginInstallation>>],
    releases: &[Arc<Root<Plugin>>],
) -> Vec<Arc<Root<PluginInstallation>>> {
    let Ok(id) = PluginId::parse(&changed.name_any()) else {
        return vec![];
    };
    let releases: Vec<_> = releases.iter().filter_map(|guard| guard.0.as_ref().ok()).collect();
    let tied = tied_to(&id, &releases);
    let is_tied = |name: &str| tied.iter().any(|tied| tied.as_str() == name);
    // Of promotions, a tenant has a few at a time: one that ended makes room.
    let makes_room = !changed.0.as_ref().is_ok_and(is_on_its_way);
    let others = installations.iter().filter(|other| other.name_any() != id.as_str());
    others
        .filter(|other| is_tied(&other.name_any()) || makes_room && waits_for_its_turn(other))
        .cloned()
        .collect()
}

/// Whether something newer than what is live waits for its turn: it says so, or has not said anything yet of what is wanted
/// now. Of a first installation nothing is live, and it waits for nobody.
fn waits_for_its_turn(installation: &Root<PluginInstallation>) -> bool {
    let live = installation.0.as_ref().ok().and_then(|live| live.status.as_ref());
    let Some(status) = live.filter(|status| status.live_slot.is_some()) else {
        return false;
    };
    let promoted = condition::find(&status.conditions, Type::Promoted.into());
    status.observed_generation != installation.meta().generation
        || promoted.is_some_and(|promoted| promoted.reason == Reason::AwaitingOthers.as_ref())
}

/// The plugins whose versions depend on what becomes of this one, and itself: whatever dependencies and conflicts of any
/// release tie together, directly or by way of others. A plugin of a thousand that nobody names is alone.
fn tied_to(id: &PluginId, releases: &[&Plugin]) -> BTreeSet<PluginId> {
    let mut tied = BTreeSet::from([id.clone()]);
    loop {
        let before = tied.len();
        for release in releases {
            let spec = &release.spec;
            let dependencies = spec.dependencies.iter().map(|dependency| &dependency.plugin);
            let named = dependencies.chain(spec.conflicts.iter().map(|conflict| &conflict.plugin));
            let is_tied = tied.contains(&spec.id) || named.clone().any(|other| tied.contains(other));
            let names_others = named.clone().next().is_some();
            if is_tied && names_others {
                tied.insert(spec.id.clone());
                tied.extend(named.cloned());
            }
        }
        if tied.len() == before {
            return tied;
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    fn release(id: &str, version: &str, spec: &Value) -> Plugin {
        let mut whole = json!({ "id": id, "version": version, "displayName": id, "runtime": { "image": "x" } });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let object = json!({ "metadata": { "name": format!("{id}-{version}") }, "spec": whole });
        serde_json::from_value(object).unwrap()
    }

    fn tied(id: &str, releases: &[Plugin]) -> Vec<String> {
        let releases: Vec<_> = releases.iter().collect();
        let found = tied_to(&PluginId::parse(id).unwrap(), &releases);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn dependencies_and_conflicts_of_any_release_tie_plugins_in_both_directions() {
        let needs = |plugin: &str| json!({ "dependencies": [{ "plugin": plugin, "version": "*" }] });
        let releases = [
            release("contacts", "1.0.0", &json!({})),
            release("crm", "1.0.0", &json!({})),
            release("crm", "2.0.0", &needs("contacts")),
            release("billing", "1.0.0", &needs("crm")),
            release(
                "ledger",
                "1.0.0",
                &json!({ "conflicts": [{ "plugin": "billing", "version": "*" }] }),
            ),
            release("notes", "1.0.0", &json!({})),
        ];
        let all = ["billing", "contacts", "crm", "ledger"];
        for id in all {
            assert_eq!(tied(id, &releases), all, "{id}");
        }
        assert_eq!(tied("notes", &releases), ["notes"]);
    }

    #[test]
    fn a_plugin_that_is_not_there_is_tied_to_who_names_it() {
        let releases = [release(
            "crm",
            "1.0.0",
            &json!({ "dependencies": [{ "plugin": "contacts", "version": "*" }] }),
        )];
        assert_eq!(tied("contacts", &releases), ["contacts", "crm"]);
    }

    fn installation(id: &str, promoted: &str, step: Option<&str>) -> Arc<Root<PluginInstallation>> {
        let transition = step.map(|step| {
            json!({ "id": "1", "from": "a", "to": "b", "version": "2.0.0", "configHash": "h", "reason": "NewVersion",
                    "step": step, "startedAt": "2026-11-21T00:00:00Z" })
        });
        let object = json!({
            "metadata": { "name": id, "namespace": "tenant-acme", "generation": 1 }, "spec": {},
            "status": {
                "observedGeneration": 1, "liveSlot": "a", "transition": transition,
                "conditions": [{ "type": "Promoted", "status": "False", "reason": promoted, "message": "",
                                 "lastTransitionTime": "2026-11-21T00:00:00Z" }],
            },
        });
        Arc::new(DeserializeGuard(Ok(serde_json::from_value(object).unwrap())))
    }

    fn looked_at(changed: &Arc<Root<PluginInstallation>>, others: &[Arc<Root<PluginInstallation>>]) -> Vec<String> {
        let releases = [release(
            "crm",
            "1.0.0",
            &json!({ "dependencies": [{ "plugin": "contacts", "version": "*" }] }),
        )];
        let releases = releases.map(|release| Arc::new(DeserializeGuard(Ok(release))));
        concerned(changed, others, &releases)
            .iter()
            .map(|other| other.name_any())
            .collect()
    }

    #[test]
    fn a_plugin_that_nobody_is_tied_to_is_nobodys_business() {
        let all = ["contacts", "crm", "notes"].map(|id| installation(id, "Promoted", None));
        let [contacts, crm, notes] = &all;
        assert_eq!(looked_at(contacts, &all), ["crm"]);
        assert_eq!(looked_at(crm, &all), ["contacts"]);
        assert_eq!(looked_at(notes, &all), [""; 0]);
    }

    #[test]
    fn whoever_waits_for_its_turn_is_looked_at_when_another_promotion_has_ended() {
        let waiting = [installation("news", "AwaitingOthers", None)];
        assert_eq!(
            looked_at(&installation("notes", "Switching", Some("Switching")), &waiting),
            [""; 0]
        );
        assert_eq!(
            looked_at(&installation("notes", "Promoted", Some("StandingBy")), &waiting),
            ["news"]
        );
    }
}
