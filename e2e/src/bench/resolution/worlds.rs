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

fn plugin(index: usize) -> Option<PluginId> {
    PluginId::parse(&format!("p{index:03}")).ok()
}

fn range(text: &str) -> VersionRange {
    text.parse().unwrap_or_default()
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

/// Each release needs up to three plugins in the same major version, one in ten goes with another one, and one in ten
/// excludes an old version of another one.
fn registry(random: &mut StdRng, size: Size) -> Registry {
    let mut registry = Registry::default();
    for index in 0..size.plugins {
        for version in versions(size) {
            let major = version.major;
            let mut release = Release::default();
            if index > 0 {
                let needed = (0..random.random_range(0..=NEEDS)).filter_map(|_| plugin(random.random_range(0..index)));
                release.dependencies.extend(needed.map(|plugin| Dependency {
                    plugin,
                    range: range(&format!("^{major}")),
                    kind: DependencyKind::Required,
                }));
                if random.random_bool(0.1) {
                    release
                        .dependencies
                        .extend(plugin(random.random_range(0..index)).map(|plugin| Dependency {
                            plugin,
                            range: range(&format!("^{major}")),
                            kind: DependencyKind::Optional,
                        }));
                }
                if random.random_bool(0.1) {
                    release
                        .conflicts
                        .extend(plugin(random.random_range(0..index)).map(|plugin| Conflict {
                            plugin,
                            range: range(&format!("<{major}")),
                        }));
                }
            }
            registry.insert_some(plugin(index), version, release);
        }
    }
    registry
}

/// Registries here have ids that parse.
trait InsertSome {
    fn insert_some(&mut self, plugin: Option<PluginId>, version: Version, release: Release);
}

impl InsertSome for Registry {
    fn insert_some(&mut self, plugin: Option<PluginId>, version: Version, release: Release) {
        if let Some(plugin) = plugin {
            self.insert(plugin, version, release);
        }
    }
}
