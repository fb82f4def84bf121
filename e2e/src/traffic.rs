//! The plugin that tests of traffic install: its image, and a manifest for each version that a test wants. Its code is in
//! `e2e/traffic-plugin`; what talks to it is [`crate::load`].

use serde_json::{Value, json};

/// Package that makes the binary.
pub const PACKAGE: &str = "plexica-traffic-plugin";
/// The image, which `cargo dev up` gives to the node. One is enough: a version's name comes from its manifest.
pub const IMAGE: &str = "plexica.io/traffic:1.0.0";

/// What a Plugin of this id and version declares, with a small footprint and without anything that must be waited for.
/// Its configuration says how it breaks (`e2e/traffic-plugin/src/configuration.rs`).
pub fn spec(id: &str, version: &str, image: &str) -> Value {
    let seconds = |description: &str| json!({ "description": description, "type": "integer", "minimum": 0 });
    json!({
        "id": id,
        "version": version,
        "displayName": format!("Traffic {id}"),
        "runtime": {
            "image": image,
            "resources": {
                "requests": { "cpu": "10m", "memory": "16Mi" },
                "limits": { "cpu": "500m", "memory": "128Mi" },
            },
            "probes": {
                "liveness": { "interval": "10s", "timeout": "2s", "failures": 3 },
                "readiness": { "interval": "1s", "timeout": "1s", "failures": 1 },
                "startup": "30s",
            },
        },
        "api": { "basePath": format!("/api/plugins/{id}"), "healthCheck": "/health", "readiness": "/ready" },
        "configuration": {
            "schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "fault": {
                        "description": "What is wrong with a process.",
                        "enum": ["none", "never-ready", "crash-loop", "not-ready-after-seconds"],
                    },
                    "notReadyAfterSeconds": seconds("When fault not-ready-after-seconds begins, after the start."),
                    "crashAfterSeconds": seconds("When a process ends with an error, after its start."),
                },
            },
            "defaults": { "fault": "none" },
        },
    })
}

#[cfg(test)]
mod tests {
    use plexica_crds::plugin::PluginSpec;
    use plexica_traffic_plugin::configuration::Configuration;

    use super::*;

    #[test]
    fn the_manifest_is_one_and_its_configuration_is_the_plugins() {
        let spec = spec("traffic", "1.2.3", IMAGE);
        let defaults = spec["configuration"]["defaults"].clone();
        assert_eq!(
            serde_json::from_value::<Configuration>(defaults).unwrap(),
            Configuration::default()
        );
        let faults = spec["configuration"]["schema"]["properties"]["fault"]["enum"]
            .as_array()
            .unwrap();
        for fault in faults {
            let broken = json!({ "fault": fault, "notReadyAfterSeconds": 5, "crashAfterSeconds": 5 });
            serde_json::from_value::<Configuration>(broken).unwrap();
        }
        let spec: PluginSpec = serde_json::from_value(spec).unwrap();
        assert!(spec.dependencies.is_empty() && spec.migrations.is_empty());
    }
}
