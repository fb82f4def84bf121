//! What admission and the pass say alike of a configuration.

use std::sync::LazyLock;

use plexica_crds::{
    Plugin, PluginInstallation,
    plugin_installation::{
        conditions::{Outcome, Reason},
        configuration::{InvalidConfiguration, Layers},
    },
};
use serde_json::{Map, Value};

use crate::platform::Overrides;

/// The values that stand in the clear, by where they come from.
pub fn layers<'a>(installation: &'a PluginInstallation, plugin: &'a Plugin, platform: &'a Overrides) -> Layers<'a> {
    static UNSAID: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let overrides = platform.get(&plugin.spec.id);
    Layers {
        defaults: &plugin.spec.configuration.defaults,
        overrides: overrides.map_or(&UNSAID, |overrides| &overrides.configuration),
        own: &installation.spec.config,
    }
}

/// Why the release does not take a configuration: all problems, each with its JSON pointer.
pub fn refused(invalid: &InvalidConfiguration, plugin: &Plugin) -> Outcome {
    let (reason, advice) = match invalid {
        InvalidConfiguration::SecretInClear(_) => (Reason::SecretInClear, ""),
        InvalidConfiguration::Refused(_) => (
            Reason::ConfigurationInvalid,
            "; correct spec.config, or what spec.configFrom names",
        ),
    };
    let told: Vec<_> = invalid.problems().iter().map(ToString::to_string).collect();
    Outcome::Blocked(
        reason,
        format!(
            "{} {} does not admit the configuration: {}{advice}",
            plugin.spec.id,
            plugin.spec.version,
            told.join("; ")
        ),
    )
}
