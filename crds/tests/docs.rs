//! The manifests in the documentation are what they say: the API server takes them, and they keep every rule.

use std::error::Error;
use std::path::Path;

use kube::{CustomResourceExt, core::cel};
use plexica_crds::{
    Plugin, PluginInstallation, Tenant,
    condition::ConditionType as _,
    plugin::validation::{ValidatedManifest, check_plugin},
    plugin_installation::{conditions::Type, configuration, validation::violations},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use strum::EnumMessage as _;

const PAGES: [&str; 3] = ["README.md", "docs/writing-a-plugin.md", "docs/installing-a-plugin.md"];

/// All objects of a kind in the pages' blocks of YAML, admitted as if their readers had applied them.
fn objects<T: CustomResourceExt + DeserializeOwned>(kind: &str) -> Result<Vec<(Value, T)>, Box<dyn Error>> {
    let mut found = vec![];
    for page in PAGES {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page))?;
        let blocks = text.split("```yaml\n").skip(1);
        let blocks = blocks.filter_map(|block| block.split("```").next());
        for document in blocks.flat_map(|block| block.split("\n---\n")) {
            let object: Value = serde_saphyr::from_str(document)?;
            if object["kind"] == kind {
                admit::<T>(&object).map_err(|problem| format!("{page}: {problem} in\n{document}"))?;
                found.push((object.clone(), serde_json::from_value(object)?));
            }
        }
    }
    Ok(found)
}

/// What the API server does: the schema, keys that it does not know, and the rules in CEL.
fn admit<T: CustomResourceExt>(object: &Value) -> Result<(), Box<dyn Error>> {
    let crd = serde_json::to_value(T::crd())?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    cel::Validator::new()
        .validate(schema, object, None)
        .map_err(|refusals| format!("{refusals:?}"))?;
    let mut closed = schema.clone();
    for known in ["apiVersion", "kind", "metadata"] {
        closed["properties"][known] = json!({});
    }
    close(&mut closed);
    let schema = jsonschema::validator_for(&closed)?;
    schema.validate(object).map_err(|problem| problem.to_string().into())
}

/// Lets objects have no key that their schema does not list.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object) {
                map.insert("additionalProperties".into(), json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

/// The manifests, each of which keeps every rule.
fn manifests() -> Result<Vec<(Plugin, ValidatedManifest)>, Box<dyn Error>> {
    let plugins = objects::<Plugin>("Plugin")?.into_iter();
    let checked = plugins.map(|(_, plugin)| {
        let manifest = check_plugin(&plugin).map_err(|broken| format!("{broken:?}"))?;
        Ok((plugin, manifest))
    });
    checked.collect()
}

#[test]
fn the_manifests_of_the_guide_keep_every_rule_and_need_no_advice() {
    let found = manifests().unwrap();
    let versions: Vec<_> = found.iter().map(|(_, manifest)| manifest.version.to_string()).collect();
    assert_eq!(versions[..2], ["1.0.0", "1.1.0"]);
    for (_, manifest) in &found {
        assert_eq!(manifest.warnings, Vec::<String>::new());
    }
    let secrets = found[1].1.configuration.secrets();
    assert_eq!(
        secrets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["/smtp/password"]
    );
}

#[test]
fn the_smallest_manifest_says_nothing_that_it_could_leave_out() {
    let (smallest, _) = objects::<Plugin>("Plugin").unwrap().swap_remove(0);
    for key in smallest["spec"].as_object().unwrap().keys() {
        let mut less = smallest.clone();
        less["spec"].as_object_mut().unwrap().remove(key);
        assert!(serde_json::from_value::<Plugin>(less).is_err(), "{key}");
    }
}

#[test]
fn the_installations_of_the_guide_fit_their_plugin() {
    let manifests = manifests().unwrap();
    for (_, installation) in objects::<PluginInstallation>("PluginInstallation").unwrap() {
        assert_eq!(violations(&installation), []);
        let id = installation.metadata.name.clone().unwrap();
        let Some((plugin, manifest)) = manifests.iter().rfind(|(plugin, _)| plugin.spec.id.as_str() == id) else {
            continue;
        };
        let layers = configuration::Layers {
            defaults: &plugin.spec.configuration.defaults,
            overrides: &Map::new(),
            own: &installation.spec.config,
        };
        configuration::check(&manifest.configuration, layers, &installation.spec.config_from).unwrap();
    }
}

#[test]
fn the_tenants_of_the_pages_are_admitted() {
    assert!(!objects::<Tenant>("Tenant").unwrap().is_empty());
}

/// A text on one line.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_runbook_has_a_heading_for_each_reason_and_begins_with_what_it_means() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/runbook.md")).unwrap();
    let told: Vec<_> = page.split("\n## ").skip(1).collect();
    let types = [
        Type::Promoted,
        Type::RollbackAvailable,
        Type::VersionRejected,
        Type::TrafficDrift,
        Type::RedAvailable,
    ];
    assert_eq!(told.len(), types.len());
    for (type_, section) in types.into_iter().zip(told) {
        let mut sections = section.split("\n### ");
        assert_eq!(sections.next().map(str::trim), Some(type_.as_ref()));
        let sections: Vec<_> = sections.collect();
        assert_eq!(sections.len(), type_.reasons().len(), "{type_:?}");
        for (reason, section) in type_.reasons().iter().zip(sections) {
            let (heading, text) = section.split_once('\n').unwrap();
            assert_eq!(heading.trim_end_matches(" †"), reason.as_ref(), "{type_:?}");
            let meaning = words(reason.get_documentation().unwrap());
            assert!(words(text).starts_with(&meaning), "{type_:?} {reason:?}: {meaning}");
            assert!(
                text.contains("\n- Look at: ") && text.contains("\n- Do: "),
                "{type_:?} {reason:?}"
            );
        }
    }
}
