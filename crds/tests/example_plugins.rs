//! The plugins of `examples/` keep every rule, and their installations fit them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plexica_crds::plugin::{Plugin, validation::ValidatedManifest, validation::check_plugin};
use plexica_crds::plugin_installation::{PluginInstallation, configuration, validation::violations};
use plexica_crds::version_range::VersionRange;
use serde_json::Map;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins")
}

/// The manifests by the plugin's id.
fn manifests() -> Result<BTreeMap<String, (Plugin, ValidatedManifest)>, Box<dyn std::error::Error>> {
    let mut found = BTreeMap::new();
    for folder in std::fs::read_dir(examples())? {
        let file = folder?.path().join("plugin.yaml");
        if !file.exists() {
            continue;
        }
        let plugin: Plugin = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        let checked = check_plugin(&plugin).map_err(|broken| format!("{}: {broken:?}", file.display()))?;
        found.insert(plugin.spec.id.to_string(), (plugin, checked));
    }
    Ok(found)
}

fn installations() -> Result<Vec<PluginInstallation>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(examples().join("acme-corp-plugins.yaml"))?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

#[test]
fn every_manifest_is_accepted() {
    let manifests = manifests().unwrap();
    assert_eq!(
        manifests.keys().collect::<Vec<_>>(),
        ["contacts", "crm", "sample-analytics"]
    );
    for (id, (plugin, _)) in &manifests {
        assert!(plugin.spec.migrations.len() >= 2, "{id}");
    }
}

#[test]
fn what_a_plugin_needs_is_among_the_examples() {
    let manifests = manifests().unwrap();
    for (id, (_, checked)) in &manifests {
        for needed in &checked.dependencies {
            let (_, provider) = &manifests[needed.plugin.as_str()];
            assert!(needed.range.matches(&provider.version), "{id} needs {}", needed.plugin);
        }
    }
}

#[test]
fn only_the_key_of_sample_analytics_is_a_secret() {
    for (id, (_, checked)) in manifests().unwrap() {
        let key = jsonptr::PointerBuf::parse("/ingest/key").unwrap();
        assert_eq!(
            checked.configuration.secrets().len(),
            usize::from(id == "sample-analytics")
        );
        assert_eq!(checked.configuration.is_secret(&key), id == "sample-analytics");
    }
}

#[test]
fn the_installations_for_acme_corp_fit_their_plugins() {
    let manifests = manifests().unwrap();
    let installations = installations().unwrap();
    assert_eq!(installations.len(), manifests.len());
    for installation in installations {
        assert_eq!(violations(&installation), []);
        assert_eq!(installation.metadata.namespace.as_deref(), Some("tenant-acme-corp"));
        let id = installation.metadata.name.clone().unwrap();
        let (plugin, checked) = &manifests[&id];
        assert!(
            VersionRange::parse(&installation.spec.version)
                .unwrap()
                .matches(&checked.version)
        );
        let layers = configuration::Layers {
            defaults: &plugin.spec.configuration.defaults,
            overrides: &Map::new(),
            own: &installation.spec.config,
        };
        configuration::merge(&checked.configuration, layers, &[]).unwrap();
    }
}
