//! Who depends on a plugin, and whom a new release concerns.

use std::{collections::BTreeSet, fmt};

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

use super::input::{Dependency, DependencyKind, DependencyPolicy, Installation, Registry, Release, Tenant};

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

/// Whether what runs of a plugin requires what runs of another, directly or through others: of two that do so in turn,
/// neither can go before the other.
pub fn requires_in_turn(tenant: &Tenant, registry: &Registry, plugin: &PluginId, other: &PluginId) -> bool {
    let (mut seen, mut to_visit) = (BTreeSet::new(), vec![other.clone()]);
    while let Some(next) = to_visit.pop() {
        for dependant in dependants(tenant, registry, &next) {
            if dependant.plugin == *plugin {
                return true;
            }
            if seen.insert(dependant.plugin.clone()) {
                to_visit.push(dependant.plugin);
            }
        }
    }
    false
}

/// The installations of the tenant that a release of this plugin can concern: those that can want it for themselves, that
/// may add it, or whose refusal may name it. If there is none, the plan stays, and what was said of refusals is true; else
/// all of the tenant is to be resolved again, since others may move along.
pub fn affected(tenant: &Tenant, registry: &Registry, plugin: &PluginId, version: &Version) -> BTreeSet<PluginId> {
    let concerned = tenant.iter().filter(|(other, installation)| {
        if *other == plugin {
            return can_want(installation, version) || !is_settled(tenant, registry, other);
        }
        let adds = installation.dependency_policy == DependencyPolicy::AutoInstall && !tenant.contains_key(plugin);
        // What is in the way of one that waits may be any other, and what that would need.
        adds && reaches(registry, [*other], plugin)
            || !is_settled(tenant, registry, other) && reaches(registry, tenant.keys(), plugin)
    });
    concerned.map(|(other, _)| other.clone()).collect()
}

fn can_want(installation: &Installation, version: &Version) -> bool {
    let wants = installation.range.matches(version)
        && installation.held().is_none_or(|held| held == version)
        && installation.floor().is_none_or(|floor| version >= floor);
    // What runs without a release (somebody removed it) has a manifest again.
    let runs = installation.running.as_ref() == Some(version);
    wants || runs
}

/// Whether an installation runs what it wants, with all that this requires and nothing that is in conflict with it. If
/// not, its refusal may say what there is.
fn is_settled(tenant: &Tenant, registry: &Registry, plugin: &PluginId) -> bool {
    let running = |plugin: &PluginId, range: &VersionRange| {
        let running = tenant.get(plugin)?.running.as_ref()?;
        range.matches(running).then_some(running)
    };
    let Some(version) = tenant
        .get(plugin)
        .and_then(|installation| running(plugin, &installation.range))
    else {
        return false;
    };
    let dependencies = registry.release(plugin, version).map(|release| &release.dependencies);
    dependencies.into_iter().flatten().all(|dependency| {
        dependency.kind == DependencyKind::Optional || running(&dependency.plugin, &dependency.range).is_some()
    }) && !is_in_conflict(tenant, registry, plugin, version)
}

/// Whether something that runs cannot be beside this release, whichever of the two says so.
fn is_in_conflict(tenant: &Tenant, registry: &Registry, plugin: &PluginId, version: &Version) -> bool {
    let excludes = |plugin: &PluginId, version: &Version, other: &PluginId, running: &Version| {
        let conflicts = registry.release(plugin, version).map(|release| &release.conflicts);
        let mut conflicts = conflicts.into_iter().flatten();
        conflicts.any(|conflict| conflict.plugin == *other && conflict.range.covers(running))
    };
    tenant.iter().any(|(other, installation)| {
        installation.running.as_ref().is_some_and(|running| {
            excludes(plugin, version, other, running) || excludes(other, running, plugin, version)
        })
    })
}

/// Whether releases of these plugins speak of another one, directly or through others: what they need, go with or
/// exclude.
fn reaches<'a>(registry: &'a Registry, from: impl IntoIterator<Item = &'a PluginId>, to: &PluginId) -> bool {
    let mut seen: BTreeSet<_> = from.into_iter().collect();
    let mut to_visit: Vec<_> = seen.iter().copied().collect();
    while let Some(plugin) = to_visit.pop() {
        for release in registry.releases(plugin).values() {
            let needed = release.dependencies.iter().map(|dependency| &dependency.plugin);
            let excluded = release.conflicts.iter().map(|conflict| &conflict.plugin);
            for plugin in needed.chain(excluded) {
                if plugin == to {
                    return true;
                }
                if seen.insert(plugin) {
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
