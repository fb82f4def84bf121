//! Which plugins a release is told the addresses of. Pure.

use plexica_crds::{Plugin, names::PluginId, plugin::DependencyKind};

/// The plugins that a release is told the addresses of, if the tenant has these.
pub fn providers(plugin: &Plugin, installed: &[PluginId]) -> Vec<PluginId> {
    let named = plugin
        .spec
        .dependencies
        .iter()
        .filter(|dependency| match dependency.kind {
            DependencyKind::Required => true,
            DependencyKind::Optional => installed.contains(&dependency.plugin),
        });
    named.map(|dependency| dependency.plugin.clone()).collect()
}
