//! Registries and tenants, generated from a seed.

use plexica_crds::{names::PluginId, version_range::VersionRange};
use plexica_operator::resolution::{
    Conflict, Dependency, DependencyKind, DependencyPolicy, Installation, Registry, Release, Tenant, UpdatePolicy,
};
use rand::{RngExt as _, rngs::StdRng};
use semver::Version;

/// A tenant among releases.
#[derive(Default)]
pub struct World {
    pub tenant: Tenant,
    pub registry: Registry,
}

/// How much there is.
#[derive(Clone, Copy)]
pub struct Size {
    pub plugins: usize,
    /// Of each plugin.
    pub releases: u64,
}

/// Minor releases of each major one.
const MINORS: u64 = 5;
/// Most plugins that a release needs.
const NEEDS: usize = 3;
/// Installations for which all others are added.
const ROOTS: usize = 20;
/// Plugins of a chain.
const CHAIN: usize = 5;

/// All are installed in their oldest release, and nothing is in the way of the newest.
pub fn upgradable(random: &mut StdRng, size: Size) -> World {
    let ids = ids(size.plugins);
    let installed = |id: &PluginId| (id.clone(), installation("*", Some(Version::new(1, 0, 0))));
    World {
        tenant: ids.iter().map(installed).collect(),
        registry: registry(random, &ids, size, |_, major| major),
    }
}

/// The same without anything that runs.
pub fn fresh(random: &mut StdRng, size: Size) -> World {
    let mut world = upgradable(random, size);
    for installation in world.tenant.values_mut() {
        installation.running = None;
    }
    world
}

/// Few are installed; they may add the others.
pub fn adding(random: &mut StdRng, size: Size) -> World {
    let mut world = fresh(random, size);
    world.tenant = world.tenant.into_iter().rev().take(ROOTS).collect();
    for installation in world.tenant.values_mut() {
        installation.dependency_policy = DependencyPolicy::AutoInstall;
    }
    world
}

/// As above, but a new plugin needs the fourth major release of another, that of another, and so on to one whose
/// installation wants the third.
pub fn one_refused(random: &mut StdRng, size: Size) -> World {
    let mut world = upgradable(random, size);
    let chain: Vec<_> = ids(size.plugins + 1)
        .into_iter()
        .rev()
        .step_by(size.plugins / CHAIN)
        .take(CHAIN)
        .collect();
    for pair in chain.windows(2) {
        let [dependant, provider] = pair else { continue };
        for version in versions(size) {
            let release = world.registry.release(dependant, &version).cloned();
            let mut release = release.unwrap_or_default();
            release
                .dependencies
                .push(required(provider, &format!("^{}", version.major)));
            world.registry.insert(dependant.clone(), version, release);
        }
    }
    if let [new, .., last] = chain.as_slice() {
        world.tenant.insert(new.clone(), installation("^4", None));
        world
            .tenant
            .insert(last.clone(), installation("^3", Some(Version::new(3, 0, 0))));
    }
    world
}

/// Nothing runs, and releases need any major release of others: few combinations go.
pub fn at_random(random: &mut StdRng, size: Size) -> World {
    let ids = ids(size.plugins);
    let majors = size.releases.div_ceil(MINORS);
    let installed = |id: &PluginId| (id.clone(), installation("*", None));
    World {
        tenant: ids.iter().map(installed).collect(),
        registry: registry(random, &ids, size, |random, _| random.random_range(1..=majors)),
    }
}

/// One plugin more than there are places, and no two in one place. That it does not go is plain to people; searches of
/// this kind (resolution proofs) need exponentially many steps.
pub fn pigeons(places: u64) -> World {
    let ids = ids(usize::try_from(places).unwrap_or(usize::MAX).saturating_add(1));
    let mut world = World::default();
    for (index, id) in ids.iter().enumerate() {
        world.tenant.insert(id.clone(), installation("*", None));
        for place in 1..=places {
            let others = ids.iter().skip(index + 1).map(|other| Conflict {
                plugin: other.clone(),
                range: range(&format!("={place}.0.0")),
            });
            let release = Release {
                conflicts: others.collect(),
                ..Release::default()
            };
            world.registry.insert(id.clone(), Version::new(place, 0, 0), release);
        }
    }
    world
}

/// Each release needs up to three plugins with smaller ids, in the major release that `needed` says; one in ten goes
/// with another one, and one in ten excludes older releases of another one.
fn registry(random: &mut StdRng, ids: &[PluginId], size: Size, needed: impl Fn(&mut StdRng, u64) -> u64) -> Registry {
    let mut registry = Registry::default();
    for (index, id) in ids.iter().enumerate() {
        for version in versions(size) {
            let mut release = Release::default();
            let needs = if index == 0 { 0 } else { random.random_range(0..=NEEDS) };
            for _ in 0..needs {
                let wanted = format!("^{}", needed(random, version.major));
                let other = &ids[random.random_range(0..index)];
                release.dependencies.push(required(other, &wanted));
            }
            if index > 0 && random.random_bool(0.1) {
                let wanted = format!("^{}", needed(random, version.major));
                let other = &ids[random.random_range(0..index)];
                release.dependencies.push(Dependency {
                    kind: DependencyKind::Optional,
                    ..required(other, &wanted)
                });
            }
            if index > 0 && random.random_bool(0.1) {
                release.conflicts.push(Conflict {
                    plugin: ids[random.random_range(0..index)].clone(),
                    range: range(&format!("<{}", version.major)),
                });
            }
            registry.insert(id.clone(), version, release);
        }
    }
    registry
}

fn ids(count: usize) -> Vec<PluginId> {
    (0..count)
        .filter_map(|index| PluginId::parse(&format!("p{index:03}")).ok())
        .collect()
}

fn versions(size: Size) -> impl Iterator<Item = Version> {
    (0..size.releases).map(|index| Version::new(1 + index / MINORS, index % MINORS, 0))
}

fn installation(wanted: &str, running: Option<Version>) -> Installation {
    Installation {
        range: range(wanted),
        update_policy: UpdatePolicy::Automatic,
        dependency_policy: DependencyPolicy::Require,
        running,
    }
}

fn required(plugin: &PluginId, wanted: &str) -> Dependency {
    Dependency {
        plugin: plugin.clone(),
        range: range(wanted),
        kind: DependencyKind::Required,
    }
}

/// The ranges of this file parse.
fn range(text: &str) -> VersionRange {
    text.parse().unwrap_or_default()
}
