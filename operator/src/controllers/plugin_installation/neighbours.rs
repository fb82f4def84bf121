//! Which of a tenant's plugins a change of one may concern. Pure.

use std::collections::BTreeSet;

use plexica_crds::{Plugin, names::PluginId};

/// The plugins whose versions depend on what becomes of this one, and itself: whatever dependencies and conflicts of any
/// release tie together, directly or by way of others. A plugin of a thousand that nobody names is alone.
pub fn tied_to<'a>(id: &PluginId, releases: impl Iterator<Item = &'a Plugin> + Clone) -> BTreeSet<PluginId> {
    let mut tied = BTreeSet::from([id.clone()]);
    loop {
        let before = tied.len();
        for release in releases.clone() {
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
        let found = tied_to(&PluginId::parse(id).unwrap(), releases.iter());
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
            release("ledger", "1.0.0", &json!({ "conflicts": [{ "plugin": "billing", "version": "*" }] })),
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
}
