//! What a resolution is told: the releases that exist, and what one tenant has and wants.

use std::{collections::BTreeMap, sync::LazyLock};

use plexica_crds::{names::PluginId, version_range::VersionRange};
pub use plexica_crds::{
    plugin::DependencyKind,
    plugin_installation::{DependencyPolicy, UpdatePolicy},
};
use semver::Version;

/// Everything that is released.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    plugins: BTreeMap<PluginId, BTreeMap<Version, Release>>,
}

impl Registry {
    /// Adds a release, or replaces it.
    pub fn insert(&mut self, plugin: PluginId, version: Version, release: Release) {
        self.plugins.entry(plugin).or_default().insert(version, release);
    }

    /// Removes a release, if it is there.
    pub fn remove(&mut self, plugin: &PluginId, version: &Version) {
        if let Some(releases) = self.plugins.get_mut(plugin) {
            releases.remove(version);
            if releases.is_empty() {
                self.plugins.remove(plugin);
            }
        }
    }

    /// The plugins that have a release, by id.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginId> {
        self.plugins.keys()
    }

    /// The releases of a plugin, oldest first; none if there is no such plugin.
    pub fn releases(&self, plugin: &PluginId) -> &BTreeMap<Version, Release> {
        static NONE: LazyLock<BTreeMap<Version, Release>> = LazyLock::new(BTreeMap::new);
        self.plugins.get(plugin).unwrap_or(&NONE)
    }

    /// One release.
    pub fn release(&self, plugin: &PluginId, version: &Version) -> Option<&Release> {
        self.plugins.get(plugin)?.get(version)
    }
}

/// What the manifest of a release says about other plugins.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// What it needs or goes with.
    pub dependencies: Vec<Dependency>,
    /// What it cannot be beside, whichever of the two says so.
    pub conflicts: Vec<Conflict>,
    /// It is chosen only where nothing else fits, or where it runs already.
    pub deprecated: bool,
}

/// A release needs another plugin, or goes with it.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The other plugin.
    pub plugin: PluginId,
    /// Its versions that will do.
    pub range: VersionRange,
    /// What it means that the other is not installed.
    pub kind: DependencyKind,
}

/// A release cannot be beside these versions of another plugin.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The other plugin.
    pub plugin: PluginId,
    /// Its versions that are in the way; also their pre-releases ([`VersionRange::covers`]).
    pub range: VersionRange,
}

/// What one tenant has and wants: its installations, by plugin. One that is to be tried is among them, with nothing
/// running yet or with its new range: what is wanted is declared, there is no other kind of change.
pub type Tenant = BTreeMap<PluginId, Installation>;

/// One installation.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The versions that its author wants.
    pub range: VersionRange,
    /// Whether it follows new releases.
    pub update_policy: UpdatePolicy,
    /// What to do about a required plugin that is not installed.
    pub dependency_policy: DependencyPolicy,
    /// The version that serves now.
    pub running: Option<Version>,
}

impl Installation {
    /// The version that stays because nobody asks for another one by hand.
    pub(super) fn held(&self) -> Option<&Version> {
        let running = self.running.as_ref()?;
        (self.update_policy == UpdatePolicy::Manual && self.range.matches(running)).then_some(running)
    }

    /// The version below which it does not go. A range that names one exact version names it even if it is older.
    pub(super) fn floor(&self) -> Option<&Version> {
        match self.range.exact() {
            Some(_) => None,
            None => self.running.as_ref(),
        }
    }
}
