//! Who depends on a plugin, and whom a new release concerns.

use std::{collections::BTreeSet, fmt};

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

use super::input::{Dependency, DependencyKind, DependencyPolicy, Registry, Release, Tenant};

/// A plugin that needs another one. Displays as `crm 1.0.0 needs contacts ^1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependant {
    /// Who needs it.
    pub plugin: PluginId,
    /// The version that runs.
    pub version: Version,
    /// What is needed.
    pub on: PluginId,
    /// Its versions that will do.
    pub range: VersionRange,
}

impl fmt::Display for Dependant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plugin,
            version,
            on,
            range,
        } = self;
        write!(f, "{plugin} {version} needs {on} {range}")
    }
}

/// The plugins of the tenant that run and require this one, by id. While there is one it cannot be uninstalled.
pub fn dependants(tenant: &Tenant, registry: &Registry, plugin: &PluginId) -> Vec<Dependant> {
    let running = tenant.iter().filter(|(other, _)| *other != plugin);
    let running = running.filter_map(|(other, installation)| Some((other, installation.running.as_ref()?)));
    let dependants = running.filter_map(|(other, version)| {
        let dependency = requires(registry.release(other, version)?, plugin)?;
        Some(Dependant {
            plugin: other.clone(),
            version: version.clone(),
            on: plugin.clone(),
            range: dependency.range.clone(),
        })
    });
    dependants.collect()
}

/// The installations of the tenant that a release of this plugin can concern: its own, if it can want that version, and
/// if it has none, those that may add the plugin. If there is none, the release changes no plan of the tenant.
pub fn affected(tenant: &Tenant, registry: &Registry, plugin: &PluginId, version: &Version) -> BTreeSet<PluginId> {
    if let Some(installation) = tenant.get(plugin) {
        let wants = installation.range.matches(version)
            && installation.held().is_none_or(|held| held == version)
            && installation.floor().is_none_or(|floor| version >= floor);
        // What runs without a release (somebody removed it) has a manifest again.
        let runs = installation.running.as_ref() == Some(version);
        return (wants || runs).then(|| plugin.clone()).into_iter().collect();
    }
    let adding = tenant.iter().filter(|(other, installation)| {
        installation.dependency_policy == DependencyPolicy::AutoInstall && reaches(tenant, registry, other, plugin)
    });
    adding.map(|(other, _)| other.clone()).collect()
}

/// Whether releases of a plugin require another one, directly or through plugins that are not installed either.
fn reaches(tenant: &Tenant, registry: &Registry, from: &PluginId, to: &PluginId) -> bool {
    let (mut seen, mut to_visit) = (BTreeSet::from([from]), vec![from]);
    while let Some(plugin) = to_visit.pop() {
        for release in registry.releases(plugin).values() {
            if requires(release, to).is_some() {
                return true;
            }
            for Dependency { plugin, kind, .. } in &release.dependencies {
                if *kind == DependencyKind::Required && !tenant.contains_key(plugin) && seen.insert(plugin) {
                    to_visit.push(plugin);
                }
            }
        }
    }
    false
}

fn requires<'a>(release: &'a Release, plugin: &PluginId) -> Option<&'a Dependency> {
    let mut dependencies = release.dependencies.iter();
    dependencies.find(|dependency| dependency.plugin == *plugin && dependency.kind == DependencyKind::Required)
}
