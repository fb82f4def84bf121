//! Which version an installation is to run, and everything that follows from that. Pure: what comes out is the sole
//! input of what follows.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin, PluginInstallation,
    condition::{self, ConditionType as _},
    names::{PluginId, TenantSlug},
    ownership::Owner,
    plugin::{Sharing, validation::ValidatedManifest},
    plugin_installation::{
        self,
        conditions::{Outcome, Reason, Type},
    },
    tenant::conditions::Type as TenantCondition,
    version_range::VersionRange,
};
use semver::Version;

use super::{
    dereference::{World, manifest, running_version},
    id_of,
};
use crate::{
    backends::postgres::plugin::{PluginDatabaseSpec, PluginKey, PluginPermission, TenantTables},
    platform::Platform,
    resolution::{self, Action, DependencyKind, Explanation, Resolution, Step},
    runtime::controller::Root,
};

/// An installation whose version is chosen, with everything derived that others must not derive again.
pub struct Wanted {
    /// The tenant.
    pub slug: TenantSlug,
    /// The mark of everything that is the tenant's.
    pub owner: Owner,
    /// Pool of the tenant's schema.
    pub postgres_pool: String,
    /// Whether the tenant has a realm.
    pub has_realm: bool,
    /// The plugin.
    pub id: PluginId,
    /// The release.
    pub plugin: Plugin,
    /// The release, parsed.
    pub manifest: ValidatedManifest,
    /// Why this version.
    pub reason: String,
    /// Whether pods are to run.
    pub runs: Running,
    /// The plugins that it is told the addresses of.
    pub providers: Vec<PluginId>,
    /// The tenant's plugins that run and need this one.
    pub dependants: Vec<Dependant>,
    /// The tenant's other plugins that are on their way to another version.
    pub on_their_way: Vec<PluginId>,
    /// All releases of the plugin that were accepted: a slot may run any of them.
    pub releases: Vec<Arc<Root<Plugin>>>,
    /// All plugins that the tenant has.
    pub installed: Vec<PluginId>,
    /// Plugins that the tenant lacks and that are to be installed for this one, in order.
    pub added: Vec<PluginId>,
    /// The plugin's schema.
    pub database: PluginDatabaseSpec,
    /// The permissions that it brings.
    pub permissions: Vec<PluginPermission>,
}

/// A plugin that runs, and needs another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependant {
    /// It.
    pub plugin: PluginId,
    /// The version that serves now.
    pub version: Version,
    /// The versions of the other one that it works with.
    pub needs: VersionRange,
}

/// Whether pods are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Yes.
    Yes,
    /// `spec.enabled` is false.
    Disabled,
    /// The tenant is shut.
    Suspended,
}

/// Chooses the version.
///
/// # Errors
/// Why nothing can be chosen, or has to wait; what runs goes on.
pub fn validate(installation: &PluginInstallation, world: &World, platform: &Platform) -> Result<Wanted, Outcome> {
    let id = id_of(&installation.name_any())?;
    VersionRange::parse(&installation.spec.version)
        .map_err(|error| Outcome::Blocked(Reason::InvalidSpec, format!("spec.version: {error}")))?;
    let tenant = TenantFacts::of(world, platform, running_version(installation).is_some())?;
    let (plugins, registry) = (world.tenant_plugins(), world.registry());
    let resolution = resolution::resolve(&plugins, &registry);
    let step = step(&resolution, &id, world)?;
    let plugin = release(world, &id, &step.to)?;
    let manifest = manifest(&plugin)?;
    let runs = match (tenant.suspended, installation.spec.enabled) {
        (true, _) => Running::Suspended,
        (false, false) => Running::Disabled,
        (false, true) => Running::Yes,
    };
    // A provider that fails later is no reason to touch what runs, and none at all to leave running what is to stop.
    let starts = runs == Running::Yes && running_version(installation).as_ref() != Some(&step.to);
    let added = resolution.plan.steps.iter().filter(|step| match &step.reason {
        // What those need in turn they add themselves.
        resolution::Reason::Needed { by } => step.action() == Action::Add && *by.source() == id,
        _ => false,
    });
    let added: Vec<_> = added.map(|step| step.plugin.clone()).collect();
    let needed = registry
        .release(&id, &step.to)
        .map(|release| release.dependencies.as_slice())
        .unwrap_or_default();
    // Of plugins that need each other one has to begin: the plan says which. It does not wait for those after it.
    let place = |plugin: &PluginId| resolution.plan.steps.iter().position(|step| step.plugin == *plugin);
    let comes_after = |provider: &PluginId| place(provider) > place(&id);
    let mut providers = vec![];
    for dependency in needed {
        let provider = world.installation(&dependency.plugin);
        match (dependency.kind, provider) {
            (DependencyKind::Required, Some(provider)) => {
                if starts && !comes_after(&dependency.plugin) {
                    serves(provider, &dependency.range, &id)?;
                }
                providers.push(dependency.plugin.clone());
            }
            (DependencyKind::Optional, Some(provider)) if provider.meta().deletion_timestamp.is_none() => {
                providers.push(dependency.plugin.clone());
            }
            // One that is missing is installed first, or was a reason for refusal already.
            (DependencyKind::Required | DependencyKind::Optional, _) => {}
        }
    }
    let tenant_tables = TenantTables::of(&plugin.spec.database.tenant_tables)
        .map_err(|refused| Outcome::Blocked(Reason::PluginInvalid, refused.to_string()))?;
    Ok(Chosen {
        reason: format!("{}: {}", step.to, step.reason),
        plugin,
        manifest,
        runs,
        providers,
        added,
    }
    .wanted(id, tenant, tenant_tables, world, &plugins, &registry))
}

/// What is live, to be led on though nothing new can be chosen for this reason. `None` if the reason concerns more than the
/// choice, if nothing runs that is this tenant's own, or if a candidate is on its way: without a choice nobody knows whether it
/// is still wanted, so it waits.
pub fn live(installation: &PluginInstallation, world: &World, why: &Outcome, platform: &Platform) -> Option<Wanted> {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = why;
    if !Type::DependenciesSatisfied.reasons().contains(reason) {
        return None;
    }
    let transition = installation.status.as_ref()?.transition.as_ref();
    if transition.is_some_and(|transition| transition.step < plugin_installation::Step::Switching) {
        return None;
    }
    let id = id_of(&installation.name_any()).ok()?;
    let tenant = TenantFacts::of(world, platform, true).ok()?;
    let plugin = release(world, &id, &running_version(installation)?).ok()?;
    let is_led = plugin.spec.runtime.sharing == Sharing::Dedicated && installation.spec.enabled && !tenant.suspended;
    let manifest = manifest(&plugin).ok().filter(|_| is_led)?;
    let tenant_tables = TenantTables::of(&plugin.spec.database.tenant_tables).ok()?;
    let live = Chosen {
        reason: String::new(),
        plugin,
        manifest,
        runs: Running::Yes,
        providers: vec![],
        added: vec![],
    };
    let (plugins, registry) = (world.tenant_plugins(), world.registry());
    Some(live.wanted(id, tenant, tenant_tables, world, &plugins, &registry))
}

/// A release, and what goes with its choice.
struct Chosen {
    plugin: Plugin,
    manifest: ValidatedManifest,
    reason: String,
    runs: Running,
    providers: Vec<PluginId>,
    added: Vec<PluginId>,
}

impl Chosen {
    fn wanted(
        self,
        id: PluginId,
        tenant: TenantFacts,
        tenant_tables: TenantTables,
        world: &World,
        plugins: &resolution::Tenant,
        registry: &resolution::Registry,
    ) -> Wanted {
        let key = PluginKey {
            slug: world.slug.clone(),
            plugin: id.clone(),
        };
        Wanted {
            database: PluginDatabaseSpec {
                owner: tenant.owner.clone(),
                key,
                connection_limit: CONNECTIONS,
                statement_timeout: STATEMENT_TIMEOUT,
                tenant_tables,
            },
            permissions: permissions(&self.plugin),
            reason: self.reason,
            runs: self.runs,
            slug: world.slug.clone(),
            owner: tenant.owner,
            postgres_pool: tenant.postgres_pool,
            has_realm: tenant.has_realm,
            releases: world.releases_of(&id),
            dependants: dependants(&id, plugins, registry),
            on_their_way: world.on_their_way(&id),
            id,
            plugin: self.plugin,
            manifest: self.manifest,
            providers: self.providers,
            installed: world.installed(),
            added: self.added,
        }
    }
}

/// Who of the tenant's plugins runs and needs this one.
fn dependants(id: &PluginId, plugins: &resolution::Tenant, registry: &resolution::Registry) -> Vec<Dependant> {
    let running = plugins.iter().filter_map(|(plugin, installation)| {
        let version = installation.running.clone()?;
        let release = registry.release(plugin, &version)?;
        let dependency = release
            .dependencies
            .iter()
            .find(|dependency| dependency.plugin == *id)?;
        Some(Dependant {
            plugin: plugin.clone(),
            version,
            needs: dependency.range.clone(),
        })
    });
    running.collect()
}

/// Sessions that a plugin's login role may have at once: a few pods with a small pool each.
const CONNECTIONS: i32 = 20;
/// `statement_timeout` of a plugin's sessions.
const STATEMENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What an installation has to know of its tenant.
struct TenantFacts {
    owner: Owner,
    postgres_pool: String,
    has_realm: bool,
    suspended: bool,
}

impl TenantFacts {
    /// A tenant that was never Ready has nothing to install into yet. One that is not Ready just now, for example because
    /// its Keycloak is down, is no reason to touch a plugin that runs.
    fn of(world: &World, platform: &Platform, runs: bool) -> Result<Self, Outcome> {
        let tenant = &world.tenant;
        if tenant.meta().deletion_timestamp.is_some() {
            return Err(Outcome::Waiting(
                Reason::TenantDeleting,
                format!("tenant {} is being deleted: nothing is installed any more", world.slug),
            ));
        }
        let waiting = || {
            Outcome::Waiting(
                Reason::TenantNotReady,
                format!(
                    "tenant {} is not Ready: see kubectl describe tenant {}",
                    world.slug, world.slug
                ),
            )
        };
        let status = tenant.status.as_ref().ok_or_else(waiting)?;
        let generation = tenant.metadata.generation.unwrap_or_default();
        let ready = condition::is_true(&status.conditions, TenantCondition::Ready.into(), generation);
        if tenant.spec.suspended && !runs {
            return Err(Outcome::Waiting(
                Reason::TenantSuspended,
                format!(
                    "tenant {} is shut (spec.suspended): the plugin is installed when it opens again",
                    world.slug
                ),
            ));
        }
        if !ready && !runs {
            return Err(waiting());
        }
        Ok(Self {
            owner: Owner {
                tenant_id: status.tenant_id.ok_or_else(waiting)?,
                installation: platform.installation_id.clone(),
            },
            postgres_pool: status.database.as_ref().ok_or_else(waiting)?.pool.clone(),
            has_realm: status.identity.is_some(),
            suspended: tenant.spec.suspended,
        })
    }
}

/// What the resolution says of one installation.
pub fn step<'a>(resolution: &'a Resolution, id: &PluginId, world: &World) -> Result<&'a Step, Outcome> {
    match resolution.of(id) {
        Some(Ok(step)) => Ok(step),
        Some(Err(explanation)) => Err(refused(explanation, world)),
        None => Err(Outcome::Waiting(
            Reason::Installing,
            "the caches do not show it yet".to_owned(),
        )),
    }
}

/// The release of this version.
pub fn release(world: &World, id: &PluginId, version: &Version) -> Result<Plugin, Outcome> {
    let mut releases = world.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    releases
        .find(|plugin| plugin.spec.id == *id && plugin.spec.version == version.to_string())
        .cloned()
        .ok_or_else(|| match world.not_accepted(id, |other| other == version) {
            Some(plugin) if plugin.status.is_none() => Outcome::Waiting(
                Reason::Installing,
                format!("Plugin {} is being checked", plugin.name_any()),
            ),
            Some(plugin) => Outcome::Blocked(
                Reason::PluginInvalid,
                format!(
                    "{id} {version} runs, and its Plugin is not accepted: see kubectl describe plugin {}",
                    plugin.name_any()
                ),
            ),
            None => Outcome::Blocked(
                Reason::PluginUnknown,
                format!("{id} {version} runs, and its Plugin is not there any more: apply Plugin {id}-{version} again"),
            ),
        })
}

/// A provider has to serve in a version that fits before its dependant starts.
fn serves(provider: &PluginInstallation, range: &VersionRange, dependant: &PluginId) -> Result<(), Outcome> {
    let name = provider.name_any();
    let waiting = |why: String| {
        Err(Outcome::Waiting(
            Reason::DependencyUnfit,
            format!("{dependant} needs {name} {range}, which {why}"),
        ))
    };
    match running_version(provider) {
        None => return waiting("is not installed yet".to_owned()),
        Some(version) if !range.matches(&version) => return waiting(format!("runs in {version} still")),
        Some(_) => {}
    }
    let conditions = provider
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    match condition::find(conditions, Type::Deployed.into()) {
        Some(deployed) if deployed.status == "True" => Ok(()),
        Some(deployed) if deployed.reason == Reason::Disabled.as_ref() => waiting("is switched off".to_owned()),
        _ => waiting("is not ready".to_owned()),
    }
}

/// Why nothing was chosen, by the kind of obstacle.
fn refused(explanation: &Explanation, world: &World) -> Outcome {
    use crate::resolution::Fact;
    let unfit = match explanation {
        Explanation::Unregistered { plugin, .. } => world.not_accepted(plugin, |_| true),
        Explanation::NothingFits { plugin, range, .. } => world.not_accepted(plugin, |version| range.matches(version)),
        Explanation::OnlyOlder { .. } | Explanation::Conflict { .. } | Explanation::Undecided { .. } => None,
    };
    if let Some(plugin) = unfit {
        let name = plugin.name_any();
        if plugin.status.is_none() {
            return Outcome::Waiting(Reason::Installing, format!("Plugin {name} is being checked"));
        }
        let message = format!("{explanation}; Plugin {name} is not accepted: see kubectl describe plugin {name}");
        return Outcome::Blocked(Reason::PluginInvalid, message);
    }
    let mut advice = "";
    let reason = match explanation {
        Explanation::Unregistered { .. } => Reason::PluginUnknown,
        Explanation::NothingFits { .. } => Reason::NoVersionFits,
        Explanation::OnlyOlder { .. } => Reason::DowngradeRefused,
        Explanation::Conflict { facts, .. } => {
            let missing = |fact: &Fact| matches!(fact, Fact::NotInstalled { .. } | Fact::Unregistered { .. });
            if facts.iter().any(missing) {
                Reason::DependencyMissing
            } else if facts.iter().any(|fact| matches!(fact, Fact::Excludes { .. })) {
                advice = "; remove one of them, or choose versions that go together";
                Reason::Conflict
            } else {
                Reason::DependencyUnfit
            }
        }
        Explanation::Undecided { .. } => Reason::Conflict,
    };
    Outcome::Blocked(reason, format!("{explanation}{advice}"))
}

fn permissions(plugin: &Plugin) -> Vec<PluginPermission> {
    let declared = plugin.spec.permissions.iter();
    declared
        .map(|permission| PluginPermission {
            key: permission.key.clone(),
            name: permission.name.clone(),
            description: Some(permission.description.clone()).filter(|text| !text.is_empty()),
            roles: permission.roles.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;

    fn told(status: Option<Value>) -> Outcome {
        let plugin = status.map(|status| {
            let plugin = json!({
                "metadata": { "name": "notes-1.0.0" },
                "spec": { "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "x" } },
                "status": status,
            });
            Arc::new(DeserializeGuard(Ok(serde_json::from_value(plugin).unwrap())))
        });
        let tenant = json!({ "metadata": { "name": "umbrella" }, "spec": { "displayName": "Umbrella" } });
        let world = World::new(
            serde_json::from_value(tenant).unwrap(),
            TenantSlug::parse("umbrella").unwrap(),
            vec![],
            plugin.into_iter().collect(),
        );
        let id = PluginId::parse("notes").unwrap();
        release(&world, &id, &Version::new(1, 0, 0)).unwrap_err()
    }

    #[test]
    fn a_release_that_is_there_and_not_accepted_is_not_called_gone() {
        let condition = json!({
            "type": "Accepted", "status": "False", "reason": "ManifestInvalid", "message": "",
            "lastTransitionTime": "2026-11-30T00:00:00Z",
        });
        for (status, expected) in [
            (
                Some(json!({ "conditions": [condition] })),
                Outcome::Blocked(
                    Reason::PluginInvalid,
                    "notes 1.0.0 runs, and its Plugin is not accepted: see kubectl describe plugin notes-1.0.0".into(),
                ),
            ),
            (
                Some(Value::Null),
                Outcome::Waiting(Reason::Installing, "Plugin notes-1.0.0 is being checked".into()),
            ),
            (
                None,
                Outcome::Blocked(
                    Reason::PluginUnknown,
                    "notes 1.0.0 runs, and its Plugin is not there any more: apply Plugin notes-1.0.0 again".into(),
                ),
            ),
        ] {
            assert_eq!(told(status), expected);
        }
    }
}
