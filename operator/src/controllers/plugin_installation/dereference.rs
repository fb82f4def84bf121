//! What the caches know that concerns an installation: its tenant, the other installations there, all releases.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef, runtime::reflector::Store};
use plexica_crds::{
    Plugin, PluginInstallation, Tenant, condition,
    names::{PluginId, TenantSlug},
    plugin::{Sharing, conditions::Type as PluginCondition, validation},
    plugin_installation::conditions::{Outcome, Reason},
    version_range::VersionRange,
};
use semver::Version;

use super::member::member;
use crate::{
    promotion,
    resolution::{self, Conflict, Dependency, Registry, Release, Resolution},
    runtime::controller::Root,
    together::Together,
};

/// Caches of all our kinds, filled by their controllers.
#[derive(Clone)]
pub struct Caches {
    /// Tenants.
    pub tenants: Store<Root<Tenant>>,
    /// Releases.
    pub plugins: Store<Root<Plugin>>,
    /// Installations.
    pub installations: Store<Root<PluginInstallation>>,
}

/// What concerns one installation.
pub struct World {
    /// The tenant whose namespace it is in.
    pub tenant: Tenant,
    /// Its slug.
    pub slug: TenantSlug,
    /// All installations of the tenant that decode.
    pub installations: Vec<Arc<Root<PluginInstallation>>>,
    /// All releases that were accepted.
    pub releases: Vec<Arc<Root<Plugin>>>,
    /// All others, those included that do not decode: who looks for them is told why they are not found.
    pub others: Vec<Arc<Root<Plugin>>>,
    /// What the releases say of each other, once somebody asked.
    registry: OnceLock<Arc<Registry>>,
    /// The versions that its installations are to run, once somebody asked.
    resolution: OnceLock<Resolution>,
}

impl Caches {
    /// The slug that a namespace is named after, if it is named like a tenant's.
    pub fn slug_of(namespace: &str) -> Option<TenantSlug> {
        let slug = TenantSlug::parse(namespace.strip_prefix("tenant-")?).ok()?;
        (slug.namespace().as_str() == namespace).then_some(slug)
    }

    /// The tenant of that name; `None` if there is none.
    ///
    /// # Errors
    /// It is there and does not decode: nobody knows what it wants, so nothing of it is touched.
    pub fn tenant(&self, slug: &TenantSlug) -> Result<Option<Tenant>, Outcome> {
        let Some(found) = self.tenants.get(&ObjectRef::new(slug.as_str())) else {
            return Ok(None);
        };
        match &found.0 {
            Ok(tenant) => Ok(Some(tenant.clone())),
            Err(_) => Err(Outcome::Waiting(
                Reason::TenantNotReady,
                format!("tenant {slug} does not decode: see kubectl describe tenant {slug}; what runs goes on"),
            )),
        }
    }

    /// All installations of a namespace that decode.
    pub fn installations_in(&self, namespace: &str) -> Vec<Arc<Root<PluginInstallation>>> {
        let mut found = self.installations.state();
        found.retain(|guard| guard.0.is_ok() && guard.meta().namespace.as_deref() == Some(namespace));
        found
    }

    /// All releases that decode.
    pub fn releases(&self) -> Vec<Arc<Root<Plugin>>> {
        let mut found = self.plugins.state();
        found.retain(|guard| guard.0.is_ok());
        found
    }
}

fn is_accepted(plugin: &Plugin) -> bool {
    let conditions = plugin
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    // Of whatever generation: a deletion and `deprecated` make a new one, and a release is the same all the while.
    condition::find(conditions, PluginCondition::Accepted.into()).is_some_and(|accepted| accepted.status == "True")
}

/// What concerns this installation.
///
/// # Errors
/// Its namespace is no tenant's, or its tenant does not decode.
pub fn world(installation: &PluginInstallation, caches: &Caches) -> Result<World, Outcome> {
    let namespace = installation.namespace().unwrap_or_default();
    let unknown = || {
        Outcome::Blocked(
            Reason::TenantUnknown,
            format!(
                "namespace {namespace} belongs to no tenant: install the plugin in a tenant's namespace, tenant-<name>"
            ),
        )
    };
    let slug = Caches::slug_of(&namespace).ok_or_else(unknown)?;
    let tenant = caches.tenant(&slug)?.ok_or_else(unknown)?;
    let installations = caches.installations_in(&namespace);
    Ok(World::new(tenant, slug, installations, caches.plugins.state()))
}

impl World {
    /// What concerns an installation of this tenant, from its installations and all releases.
    pub fn new(
        tenant: Tenant,
        slug: TenantSlug,
        installations: Vec<Arc<Root<PluginInstallation>>>,
        releases: Vec<Arc<Root<Plugin>>>,
    ) -> Self {
        let accepted = |guard: &Arc<Root<Plugin>>| guard.0.as_ref().is_ok_and(is_accepted);
        let (releases, others) = releases.into_iter().partition(accepted);
        Self {
            tenant,
            slug,
            installations,
            releases,
            others,
            registry: OnceLock::new(),
            resolution: OnceLock::new(),
        }
    }

    /// The same tenant, if these were all the releases that were accepted.
    #[must_use]
    pub fn with(&self, releases: Vec<Arc<Root<Plugin>>>) -> Self {
        Self {
            tenant: self.tenant.clone(),
            slug: self.slug.clone(),
            installations: self.installations.clone(),
            releases,
            others: vec![],
            registry: OnceLock::new(),
            resolution: OnceLock::new(),
        }
    }

    /// The versions that the tenant's installations are to run.
    pub fn resolution(&self) -> &Resolution {
        let resolve = || resolution::resolve(&self.tenant_plugins(), self.registry());
        self.resolution.get_or_init(resolve)
    }

    /// The other plugins of the tenant, as they matter for where this one goes.
    pub fn together(&self, id: &PluginId) -> Together {
        let plan = &self.resolution().plan;
        let others = self.installations.iter().filter_map(|guard| guard.0.as_ref().ok());
        let others = others
            .filter(|other| other.name_any() != id.as_str())
            .filter_map(member);
        let others = others.map(|other| {
            let to = plan.step(&other.plugin).map(|step| &step.to);
            let is_in_place = [Some(&other.live), to]
                .into_iter()
                .flatten()
                .any(|version| self.is_shared(&other.plugin, version));
            other.planned(to, is_in_place)
        });
        Together {
            others: others.collect(),
            registry: Arc::clone(self.registry()),
            order: plan.steps.iter().map(|step| step.plugin.clone()).collect(),
        }
    }

    /// Whether a release runs once for all tenants, which is rolled out in place.
    pub fn is_shared(&self, id: &PluginId, version: &Version) -> bool {
        let mut releases = self.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
        let release = releases.find(|plugin| plugin.spec.id == *id && plugin.spec.version == version.to_string());
        release.is_some_and(|plugin| plugin.spec.runtime.sharing == Sharing::Shared)
    }

    /// The tenant's installations, as resolution sees them. One in deletion counts while it runs.
    pub fn tenant_plugins(&self) -> resolution::Tenant {
        tenant_plugins(&self.installations)
    }

    /// All releases that were accepted, as resolution sees them.
    pub fn registry(&self) -> &Arc<Registry> {
        self.registry.get_or_init(|| Arc::new(registry(&self.releases)))
    }

    /// A release of the plugin that is not accepted, or not yet, and whose version would do.
    pub fn not_accepted(&self, id: &PluginId, does: impl Fn(&Version) -> bool) -> Option<&Plugin> {
        let mut others = self.others.iter().filter_map(|guard| guard.0.as_ref().ok());
        others.find(|plugin| {
            plugin.spec.id == *id && Version::parse(&plugin.spec.version).is_ok_and(|version| does(&version))
        })
    }

    /// Whether the Plugin of this release is there and does not decode: of such a one its name is known.
    pub fn is_undecodable(&self, id: &PluginId, version: &Version) -> bool {
        let name = format!("{id}-{version}");
        let mut others = self.others.iter();
        others.any(|guard| guard.0.is_err() && guard.name_any() == name)
    }

    /// The releases of a plugin that were accepted.
    pub fn releases_of(&self, id: &PluginId) -> Vec<Arc<Root<Plugin>>> {
        let of_plugin = |guard: &&Arc<Root<Plugin>>| guard.0.as_ref().is_ok_and(|plugin| plugin.spec.id == *id);
        self.releases.iter().filter(of_plugin).cloned().collect()
    }

    /// The plugins that the tenant has and that are not on their way out.
    pub fn installed(&self) -> Vec<PluginId> {
        let stays = |guard: &&Arc<Root<PluginInstallation>>| guard.meta().deletion_timestamp.is_none();
        let names = self.installations.iter().filter(stays).map(|guard| guard.name_any());
        names.filter_map(|name| PluginId::parse(&name).ok()).collect()
    }

    /// The other plugins of the tenant that are on their way to another version. Not those that wait for a person, or for others
    /// that go live with them: that has no end that can be waited for.
    pub fn on_their_way(&self, id: &PluginId) -> Vec<PluginId> {
        let others = self.installations.iter().filter_map(|guard| guard.0.as_ref().ok());
        let others = others.filter(|other| other.name_any() != id.as_str() && is_on_its_way(other));
        others
            .filter_map(|other| PluginId::parse(&other.name_any()).ok())
            .collect()
    }

    /// The other installation of this name.
    pub fn installation(&self, id: &PluginId) -> Option<&PluginInstallation> {
        let mut live = self.installations.iter().filter_map(|guard| guard.0.as_ref().ok());
        live.find(|installation| installation.name_any() == id.as_str())
    }
}

/// Whether a candidate is being brought to production.
pub fn is_on_its_way(installation: &PluginInstallation) -> bool {
    let status = installation.status.as_ref();
    let transition = status.and_then(|status| status.transition.as_ref());
    let is_led = installation.meta().deletion_timestamp.is_none();
    // One that should have arrived long ago is not led any more: its own status says why.
    let is_overdue = |deadline: &Time| deadline.0 < Timestamp::now();
    let moving = transition.filter(|moving| is_led && !moving.deadline.as_ref().is_some_and(is_overdue));
    moving.is_some_and(|moving| promotion::is_on_its_way(moving.step))
}

fn tenant_plugins(installations: &[Arc<Root<PluginInstallation>>]) -> resolution::Tenant {
    let live = installations.iter().filter_map(|guard| guard.0.as_ref().ok());
    live.filter_map(|installation| {
        let id = PluginId::parse(&installation.name_any()).ok()?;
        let running = running_version(installation);
        if installation.meta().deletion_timestamp.is_some() && running.is_none() {
            return None;
        }
        let spec = &installation.spec;
        // What is wanted cannot be read: what runs is what others have to go with.
        let range = VersionRange::parse(&spec.version).ok();
        let range = range.or_else(|| VersionRange::parse(&format!("={}", running.as_ref()?)).ok());
        let wanted = resolution::Installation {
            range: range?,
            update_policy: spec.update_policy,
            dependency_policy: spec.dependency_policy,
            running,
        };
        Some((id, wanted))
    })
    .collect()
}

fn registry(releases: &[Arc<Root<Plugin>>]) -> Registry {
    let mut registry = Registry::default();
    for plugin in releases.iter().filter_map(|guard| guard.0.as_ref().ok()) {
        if let Ok(version) = Version::parse(&plugin.spec.version) {
            registry.insert(plugin.spec.id.clone(), version, release(plugin));
        }
    }
    registry
}

/// The installations that a release concerns which came, went, or is judged otherwise: all of each tenant that has the
/// plugin, or whose plan the release can change.
pub fn concerned(plugin: &Plugin, caches: &Caches) -> Vec<Arc<Root<PluginInstallation>>> {
    let id = &plugin.spec.id;
    let Ok(version) = Version::parse(&plugin.spec.version) else {
        return vec![];
    };
    let mut releases = caches.releases();
    releases.retain(|guard| guard.0.as_ref().is_ok_and(is_accepted));
    let registry = registry(&releases);
    let mut namespaces: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for installation in caches.installations.state() {
        namespaces
            .entry(installation.namespace())
            .or_default()
            .push(installation);
    }
    let has = |installations: &[Arc<Root<PluginInstallation>>]| {
        let mut names = installations.iter().map(|installation| installation.name_any());
        names.any(|name| name == id.as_str())
    };
    namespaces
        .into_values()
        .filter(|installations| {
            has(installations)
                || !resolution::affected(&tenant_plugins(installations), &registry, id, &version).is_empty()
        })
        .flatten()
        .collect()
}

/// The version that serves now.
pub fn running_version(installation: &PluginInstallation) -> Option<Version> {
    let status = installation.status.as_ref()?;
    let slot = status.slots.get(status.live_slot?)?;
    Version::parse(&slot.version).ok()
}

/// What a manifest says about other plugins. It was accepted, so all of it parses.
fn release(plugin: &Plugin) -> Release {
    let dependencies = plugin.spec.dependencies.iter().filter_map(|dependency| {
        Some(Dependency {
            plugin: dependency.plugin.clone(),
            range: VersionRange::parse(&dependency.version).ok()?,
            kind: dependency.kind,
        })
    });
    let conflicts = plugin.spec.conflicts.iter().filter_map(|conflict| {
        Some(Conflict {
            plugin: conflict.plugin.clone(),
            range: VersionRange::parse(&conflict.version).ok()?,
        })
    });
    Release {
        dependencies: dependencies.collect(),
        conflicts: conflicts.collect(),
        // One in deletion waits for its users: it is not to get more.
        deprecated: plugin.spec.deprecated.is_some() || plugin.meta().deletion_timestamp.is_some(),
    }
}

/// The manifest of a release, parsed.
///
/// # Errors
/// It breaks rules after all: the operator's version knows more of them than the one that accepted it.
pub fn manifest(plugin: &Plugin) -> Result<validation::ValidatedManifest, Outcome> {
    validation::check_plugin(plugin).map_err(|violations| {
        let told: Vec<_> = violations.iter().map(ToString::to_string).collect();
        Outcome::Blocked(
            Reason::PluginInvalid,
            format!("Plugin {} breaks rules: {}", plugin.name_any(), told.join("; ")),
        )
    })
}
