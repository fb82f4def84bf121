//! What is known of an installation, and which version it is to run. Pure: what comes out is the sole input of what follows.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin, PluginInstallation, condition,
    names::PluginId,
    ownership::Owner,
    plugin::{Sharing, validation::ValidatedManifest},
    plugin_installation::{
        Step as Light,
        conditions::{Outcome, Reason, Type},
        validation::violations,
    },
    tenant::conditions::Type as TenantCondition,
    version_range::VersionRange,
};
use semver::Version;

use super::{
    dereference::{World, manifest, running_version},
    id_of,
    model::Place,
};
use crate::{
    backends::postgres::plugin::TenantTables,
    platform::Platform,
    resolution::{self, Action, DependencyKind, Explanation, Resolution, Step},
    runtime::controller::Root,
    together::Together,
};

/// What is known of an installation whatever version is chosen, and if none can be.
pub struct Facts {
    /// Whose it is.
    pub place: Place,
    /// Why nothing of it is to run, if that is so.
    pub stop: Option<Stop>,
    /// The tenant's other plugins that are live.
    pub together: Together,
    /// The tenant's plugins that are on, run, and cannot do without this one.
    pub needed_by: Vec<PluginId>,
    /// The tenant's other plugins that are on their way to another version.
    pub on_their_way: Vec<PluginId>,
    /// All releases of the plugin that were accepted: a slot may run any of them.
    pub releases: Vec<Arc<Root<Plugin>>>,
    /// All plugins that the tenant has.
    pub installed: Vec<PluginId>,
}

/// Why nothing is to run. It is said by spec and tenant alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `spec.enabled` is false.
    Disabled,
    /// The tenant is shut.
    Suspended,
}

/// The version that is to run, with what goes with its choice.
pub struct Wanted {
    /// The release.
    pub plugin: Plugin,
    /// The release, parsed.
    pub manifest: ValidatedManifest,
    /// Why this version.
    pub reason: String,
    /// The plugins that it is told the addresses of.
    pub providers: Vec<PluginId>,
    /// Why not all that it needs serves, though it is live and left so.
    pub switched_off: Option<Outcome>,
    /// Plugins that the tenant lacks and that are to be installed for this one, in order.
    pub added: Vec<PluginId>,
    /// What it may do with the tenant's own tables.
    pub tenant_tables: TenantTables,
}

impl Wanted {
    /// Whether it runs for this tenant alone.
    pub fn is_dedicated(&self) -> bool {
        self.plugin.spec.runtime.sharing == Sharing::Dedicated
    }
}

impl Facts {
    /// What is known of the installation.
    ///
    /// A tenant that was never Ready has nothing to install into yet. One that is not Ready just now, for example because its
    /// Keycloak is down, is no reason to touch a plugin that runs.
    ///
    /// # Errors
    /// Its tenant has no place for it yet, or any more.
    pub fn of(installation: &PluginInstallation, world: &World, platform: &Platform) -> Result<Self, Outcome> {
        let id = id_of(&installation.name_any())?;
        let runs = running_version(installation).is_some();
        let (tenant, slug) = (&world.tenant, &world.slug);
        if tenant.meta().deletion_timestamp.is_some() {
            return Err(Outcome::Waiting(
                Reason::TenantDeleting,
                format!("tenant {slug} is being deleted: nothing is installed any more"),
            ));
        }
        let waiting = || {
            Outcome::Waiting(
                Reason::TenantNotReady,
                format!("tenant {slug} is not Ready: see kubectl describe tenant {slug}"),
            )
        };
        let status = tenant.status.as_ref().ok_or_else(waiting)?;
        let generation = tenant.metadata.generation.unwrap_or_default();
        let ready = condition::is_true(&status.conditions, TenantCondition::Ready.into(), generation);
        if tenant.spec.suspended && !runs {
            return Err(Outcome::Waiting(
                Reason::TenantSuspended,
                format!("tenant {slug} is shut (spec.suspended): the plugin is installed when it opens again"),
            ));
        }
        if !ready && !runs {
            return Err(waiting());
        }
        Ok(Self {
            place: Place {
                slug: slug.clone(),
                owner: Owner {
                    tenant_id: status.tenant_id.ok_or_else(waiting)?,
                    installation: platform.installation_id.clone(),
                },
                postgres_pool: status.database.as_ref().ok_or_else(waiting)?.pool.clone(),
                has_realm: status.identity.is_some(),
                id: id.clone(),
            },
            stop: match (tenant.spec.suspended, installation.spec.enabled) {
                (true, _) => Some(Stop::Suspended),
                (false, false) => Some(Stop::Disabled),
                (false, true) => None,
            },
            together: world.together(&id),
            needed_by: needed_by(&id, world),
            on_their_way: world.on_their_way(&id),
            releases: world.releases_of(&id),
            installed: world.installed(),
        })
    }

    /// The accepted release of this version.
    pub fn release(&self, version: &str) -> Option<&Plugin> {
        let mut releases = self.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
        releases.find(|plugin| plugin.spec.version == version)
    }
}

/// Chooses the version.
///
/// # Errors
/// Why nothing can be chosen, or has to wait; what runs goes on.
pub fn choose(installation: &PluginInstallation, world: &World) -> Result<Wanted, Outcome> {
    let id = id_of(&installation.name_any())?;
    let broken: Vec<_> = violations(installation).iter().map(ToString::to_string).collect();
    if !broken.is_empty() {
        return Err(Outcome::Blocked(Reason::InvalidSpec, broken.join("; ")));
    }
    let resolution = world.resolution();
    let registry = world.registry();
    let step = step(resolution, &id, world)?;
    let plugin = release(world, &id, &step.to)?;
    let manifest = manifest(&plugin)?;
    // A provider that fails later is no reason to touch what runs.
    let starts = running_version(installation).as_ref() != Some(&step.to);
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
    // What is live is prepared beside a provider that is to move with it, and goes live after it.
    let is_prepared = is_prepared_beside_others(installation, step, world);
    let is_prepared_beside = |provider: &PluginInstallation| is_prepared && moves(provider, resolution);
    let is_under_way = is_under_way(installation, &step.to);
    let (mut providers, mut switched_off) = (vec![], None);
    for dependency in needed {
        let provider = world.installation(&dependency.plugin);
        match (dependency.kind, provider) {
            (DependencyKind::Required, Some(provider)) => {
                if starts && !comes_after(&dependency.plugin) && !is_prepared_beside(provider) {
                    serves(provider, &dependency.range, &id, is_under_way)?;
                }
                if !starts && !provider.spec.enabled {
                    switched_off = switched_off.or(Some(unfit(provider, &dependency.range, &id, "is switched off")));
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
    Ok(Wanted {
        reason: format!("{}: {}", step.to, step.reason),
        plugin,
        manifest,
        providers,
        switched_off,
        added,
        tenant_tables,
    })
}

/// Whether a candidate of this version is there already.
fn is_under_way(installation: &PluginInstallation, to: &Version) -> bool {
    let status = installation.status.as_ref();
    let transition = status.and_then(|status| status.transition.as_ref());
    transition.is_some_and(|moving| {
        moving.step <= Light::Switching && Version::parse(&moving.version).is_ok_and(|version| version == *to)
    })
}

/// Whether another version of it can be prepared beside what is live.
fn is_prepared_beside_others(installation: &PluginInstallation, step: &Step, world: &World) -> bool {
    let live = running_version(installation);
    live.is_some_and(|live| {
        [&live, &step.to]
            .iter()
            .all(|version| !world.is_shared(&step.plugin, version))
    })
}

/// Whether a provider is live, and on its way to another version by the plan, which then is one that fits.
fn moves(provider: &PluginInstallation, resolution: &Resolution) -> bool {
    let live = running_version(provider).filter(|_| provider.spec.enabled);
    let id = PluginId::parse(&provider.name_any()).ok();
    let step = id.and_then(|id| resolution.plan.step(&id));
    provider.meta().deletion_timestamp.is_none() && live.zip(step).is_some_and(|(live, step)| live != step.to)
}

/// Who of the tenant's plugins is on, runs, and cannot do without this one.
fn needed_by(id: &PluginId, world: &World) -> Vec<PluginId> {
    let registry = world.registry();
    let needs = |(plugin, installation): &(PluginId, resolution::Installation)| {
        let release = installation
            .running
            .as_ref()
            .and_then(|version| registry.release(plugin, version));
        let mut dependencies = release.into_iter().flat_map(|release| &release.dependencies);
        let is_on = world
            .installation(plugin)
            .is_some_and(|dependant| dependant.spec.enabled);
        is_on && dependencies.any(|one| one.plugin == *id && one.kind == DependencyKind::Required)
    };
    let all = world.tenant_plugins().into_iter();
    all.filter(needs).map(|(plugin, _)| plugin).collect()
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
            None if world.is_undecodable(id, version) => Outcome::Blocked(
                Reason::PluginInvalid,
                format!(
                    "{id} {version} runs, and Plugin {id}-{version} does not decode: see kubectl describe plugin {id}-{version}"
                ),
            ),
            None => Outcome::Blocked(
                Reason::PluginUnknown,
                format!("{id} {version} runs, and its Plugin is not there any more: apply Plugin {id}-{version} again"),
            ),
        })
}

/// A provider has to serve in a version that fits before its dependant starts. That it fails later is no reason to give a
/// dependant up that `is_under_way`.
fn serves(
    provider: &PluginInstallation,
    range: &VersionRange,
    dependant: &PluginId,
    is_under_way: bool,
) -> Result<(), Outcome> {
    let waiting = |why: &str| Err(unfit(provider, range, dependant, why));
    match running_version(provider) {
        None => return waiting("is not installed yet"),
        Some(version) if !range.matches(&version) => return waiting(&format!("runs in {version} still")),
        Some(_) => {}
    }
    let conditions = provider
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    match condition::find(conditions, Type::Deployed.into()) {
        Some(deployed) if deployed.status == "True" => Ok(()),
        Some(deployed) if deployed.reason == Reason::Disabled.as_ref() => waiting("is switched off"),
        _ if is_under_way => Ok(()),
        _ => waiting("is not ready"),
    }
}

fn unfit(provider: &PluginInstallation, range: &VersionRange, dependant: &PluginId, why: &str) -> Outcome {
    let name = provider.name_any();
    Outcome::Waiting(
        Reason::DependencyUnfit,
        format!("{dependant} needs {name} {range}, which {why}"),
    )
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

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
