//! The rules and the preference of the module's documentation, by trying everything.

use std::collections::{BTreeMap, BTreeSet};

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

use super::super::{Dependency, DependencyKind, DependencyPolicy, Fact, Installation, Registry, Tenant, UpdatePolicy};

/// A version of each plugin, or none.
pub type Assignment = BTreeMap<PluginId, Option<Version>>;

/// What the rules say.
pub struct Answer {
    pub granted: BTreeSet<PluginId>,
    pub best: Assignment,
}

pub fn answer(tenant: &Tenant, registry: &Registry) -> Answer {
    let all = assignments(tenant, registry);
    let mut wishes: Vec<_> = tenant.iter().collect();
    wishes.sort_by_key(|(_, installation)| installation.running.is_none());
    let mut granted = BTreeSet::new();
    for (plugin, _) in wishes {
        granted.insert(plugin.clone());
        if !all
            .iter()
            .any(|assignment| allowed(tenant, registry, &granted, assignment))
        {
            granted.remove(plugin);
        }
    }
    let possible = all
        .iter()
        .filter(|assignment| allowed(tenant, registry, &granted, assignment));
    let best = possible.min_by_key(|assignment| ranks(tenant, registry, assignment));
    Answer {
        best: best.unwrap().clone(),
        granted,
    }
}

/// Every combination.
pub fn assignments(tenant: &Tenant, registry: &Registry) -> Vec<Assignment> {
    let plugins: BTreeSet<_> = tenant.keys().chain(registry.plugins()).cloned().collect();
    plugins.into_iter().fold(vec![Assignment::new()], |all, plugin| {
        let mut states: BTreeSet<_> = registry.releases(&plugin).keys().cloned().map(Some).collect();
        states.insert(None);
        states.insert(
            tenant
                .get(&plugin)
                .and_then(|installation| installation.running.clone()),
        );
        let extended = |assignment: &Assignment| {
            let with = |state: &Option<Version>| {
                let mut assignment = assignment.clone();
                assignment.insert(plugin.clone(), state.clone());
                assignment
            };
            states.iter().map(with).collect::<Vec<_>>()
        };
        all.iter().flat_map(extended).collect()
    })
}

fn wanted(installation: &Installation, version: &Version) -> bool {
    let fits = |version: &Version| installation.range.matches(version);
    match &installation.running {
        Some(running) if installation.update_policy == UpdatePolicy::Manual && fits(running) => version == running,
        Some(running) if installation.range.exact().is_none() => fits(version) && version >= running,
        _ => fits(version),
    }
}

/// Whether an assignment keeps the rules when these wishes are granted.
pub fn allowed(tenant: &Tenant, registry: &Registry, granted: &BTreeSet<PluginId>, assignment: &Assignment) -> bool {
    let wishes = tenant.iter().all(|(plugin, installation)| {
        let state = &assignment[plugin];
        let fulfilled = state.as_ref().is_some_and(|version| wanted(installation, version));
        fulfilled || !granted.contains(plugin) && *state == installation.running
    });
    let manifests = assignment.iter().all(|(plugin, state)| {
        let Some(version) = state else { return true };
        let Some(release) = registry.release(plugin, version) else {
            return true;
        };
        let installation = tenant.get(plugin);
        // What is wrong already may stay wrong, if it is not what somebody asks to be mended.
        let stays =
            !granted.contains(plugin) && installation.is_some_and(|installation| installation.running == *state);
        let is_installed = |other: &PluginId| tenant.contains_key(other);
        let as_now = |other: &PluginId| {
            let now = tenant.get(other).and_then(|installation| installation.running.clone());
            stays && assignment.get(other).cloned().flatten() == now
        };
        let adds = installation.is_none_or(|one| one.dependency_policy == DependencyPolicy::AutoInstall);
        let met = |dependency: &Dependency| {
            if dependency.plugin == *plugin {
                return true;
            }
            let other = assignment.get(&dependency.plugin).and_then(Option::as_ref);
            let fits = other.is_some_and(|other| dependency.range.matches(other));
            match dependency.kind {
                // For one that adds nothing there is only what is installed.
                DependencyKind::Required if !adds && !is_installed(&dependency.plugin) => stays,
                DependencyKind::Required => fits || as_now(&dependency.plugin),
                DependencyKind::Optional => fits || other.is_none() || as_now(&dependency.plugin),
            }
        };
        let mut others = release.conflicts.iter().filter(|conflict| conflict.plugin != *plugin);
        let apart = others.all(|conflict| {
            let other = assignment.get(&conflict.plugin).and_then(Option::as_ref);
            other.is_none_or(|other| !conflict.range.covers(other)) || as_now(&conflict.plugin)
        });
        apart && release.dependencies.iter().all(met)
    });
    wishes && manifests
}

/// How good an assignment is, the most important first; less is better.
fn ranks(tenant: &Tenant, registry: &Registry, assignment: &Assignment) -> Vec<usize> {
    let others = registry.plugins().filter(|plugin| !tenant.contains_key(plugin));
    let rank = |plugin: &PluginId| {
        let mut versions: Vec<_> = registry.releases(plugin).iter().collect();
        versions.reverse();
        versions.sort_by_key(|(_, release)| release.deprecated);
        let mut states: Vec<_> = versions.into_iter().map(|(version, _)| Some(version.clone())).collect();
        match tenant.get(plugin) {
            None => states.insert(0, None),
            Some(installation) => {
                states.retain(|state| state.as_ref().is_some_and(|version| wanted(installation, version)));
                states.push(installation.running.clone());
            }
        }
        states.iter().position(|state| *state == assignment[plugin])
    };
    let plugins = tenant.keys().chain(others);
    plugins.map(|plugin| rank(plugin).unwrap_or(usize::MAX)).collect()
}

/// Whether a fact is true.
pub fn is_true(fact: &Fact, tenant: &Tenant, registry: &Registry) -> bool {
    let depends = |plugin, versions: &[Version], on: &PluginId, range: &VersionRange, kind| {
        let says = |version| {
            let dependencies = &registry.release(plugin, version).unwrap().dependencies;
            dependencies
                .iter()
                .any(|one| one.plugin == *on && one.range == *range && one.kind == kind)
        };
        !versions.is_empty() && versions.iter().all(says)
    };
    let running = |plugin: &PluginId| tenant.get(plugin).map(|installation| installation.running.clone());
    match fact {
        Fact::Needs {
            plugin,
            versions,
            on,
            range,
        } => depends(plugin, versions, on, range, DependencyKind::Required),
        Fact::GoesWith {
            plugin,
            versions,
            on,
            range,
        } => depends(plugin, versions, on, range, DependencyKind::Optional),
        Fact::Excludes {
            plugin,
            versions,
            other,
            range,
        } => versions.iter().all(|version| {
            let conflicts = &registry.release(plugin, version).unwrap().conflicts;
            conflicts.iter().any(|one| one.plugin == *other && one.range == *range)
        }),
        Fact::Unregistered { plugin } => registry.releases(plugin).is_empty(),
        Fact::Exists { plugin, versions } => registry.releases(plugin).keys().eq(versions),
        Fact::NotInstalled { plugin, newest } => {
            !tenant.contains_key(plugin) && registry.release(plugin, newest).is_some()
        }
        Fact::Present {
            plugin,
            running: version,
        } => running(plugin).as_ref() == Some(version),
        Fact::Wanted {
            plugin,
            range,
            running: version,
            granted: _,
        } => tenant[plugin].range == *range && running(plugin).as_ref() == Some(version),
        Fact::NotBack {
            plugin,
            running: version,
        } => tenant[plugin].range.exact().is_none() && running(plugin) == Some(Some(version.clone())),
        Fact::Held {
            plugin,
            running: version,
        } => {
            tenant[plugin].update_policy == UpdatePolicy::Manual
                && tenant[plugin].range.matches(version)
                && running(plugin) == Some(Some(version.clone()))
        }
    }
}

/// Whether an assignment agrees with a fact.
pub fn agrees(fact: &Fact, assignment: &Assignment) -> bool {
    let state = |plugin: &PluginId| assignment.get(plugin).and_then(Option::as_ref);
    let is_one_of =
        |plugin: &PluginId, versions: &[Version]| state(plugin).is_some_and(|version| versions.contains(version));
    match fact {
        Fact::Needs {
            plugin,
            versions,
            on,
            range,
        } => !is_one_of(plugin, versions) || state(on).is_some_and(|other| range.matches(other)),
        Fact::GoesWith {
            plugin,
            versions,
            on,
            range,
        } => !is_one_of(plugin, versions) || state(on).is_none_or(|other| range.matches(other)),
        Fact::Excludes {
            plugin,
            versions,
            other,
            range,
        } => !is_one_of(plugin, versions) || state(other).is_none_or(|other| !range.covers(other)),
        Fact::Unregistered { plugin } | Fact::NotInstalled { plugin, newest: _ } => state(plugin).is_none(),
        Fact::Exists { plugin, versions } => state(plugin).is_none_or(|version| versions.contains(version)),
        Fact::Present { plugin, running: _ } => state(plugin).is_some(),
        Fact::Wanted {
            plugin,
            range,
            running,
            granted,
        } => {
            let stays = !granted && state(plugin) == running.as_ref();
            stays || state(plugin).is_none_or(|version| range.matches(version))
        }
        Fact::NotBack { plugin, running } => state(plugin).is_none_or(|version| version >= running),
        Fact::Held { plugin, running } => state(plugin).is_none_or(|version| version == running),
    }
}
