//! What RED is to run, and what it is made from; or why it does not.

use kube::Resource;
use plexica_crds::{
    Plugin, PluginInstallation,
    names::PluginId,
    plugin::{MigrationPhase, Sharing},
    plugin_installation::conditions::{Outcome, Reason},
    version_range::VersionRange,
};
use semver::Version;

use super::super::{
    super::{
        Context,
        build::{Config, meter::Meter},
        dereference::manifest,
        model::RunningSet,
        providers::providers,
        validate::{Facts, Wanted},
    },
    configuration,
    database::{self, Access},
    schema::outgrown,
};
use crate::{
    backends::Credential,
    promotion::Revision,
    red::{Goal, Why, choose},
};

/// What RED's objects are made from.
pub struct Means<'a> {
    /// The release.
    pub plugin: &'a Plugin,
    /// Its configuration.
    pub config: Config,
    /// What its pod logs in with: the plugin's own.
    pub credential: Credential,
    /// The plugins that it is told the addresses of.
    pub providers: Vec<PluginId>,
    /// What stands in front of it.
    pub meter: Meter<'a>,
}

/// What it runs.
///
/// # Errors
/// Why it does not.
pub async fn goal<'a>(
    installation: &PluginInstallation,
    facts: &'a Facts,
    wanted: Option<&Wanted>,
    access: Option<&Access>,
    ctx: &'a Context,
) -> Result<(Goal, Means<'a>), Goal> {
    let plugin = release(installation, facts, wanted)?;
    let version = &plugin.spec.version;
    let of_version = |reason, message| Why {
        version: Some(version.clone()),
        reason,
        message,
    };
    let said = |outcome: Outcome| {
        let (Outcome::Done(reason, message) | Outcome::Waiting(reason, message) | Outcome::Blocked(reason, message)) =
            outcome;
        of_version(reason, message)
    };
    let held = |outcome: Outcome| Goal::Held(said(outcome));
    let refused = |outcome: Outcome| Goal::Refused(said(outcome));
    let manifest = manifest(plugin).map_err(refused)?;
    let own;
    let access = if let Some(access) = access {
        access
    } else {
        let needs = RunningSet::default().needs();
        let spec = database::spec(&facts.place, &needs, installation, 1);
        own = database::look(&facts.place, &spec, ctx).await.map_err(held)?;
        own.as_ref().ok_or_else(|| {
            let message = format!("{version} waits until the plugin's schema is made");
            Goal::Held(of_version(Reason::Provisioning, message))
        })?
    };
    if let Some(outcome) = outgrown(plugin, &facts.releases, access) {
        return Err(refused(outcome));
    }
    let missing = database::pending(plugin, access, MigrationPhase::Expand);
    if !missing.is_empty() {
        let message = format!(
            "{version} needs migrations that are not applied: {}. RED applies none, since the data belongs to what is live: let \
             spec.version admit {version}, which applies them before its candidate starts, or name another version in spec.red.version",
            missing.join(", ")
        );
        return Err(Goal::Refused(of_version(Reason::MigrationsMissing, message)));
    }
    let configuration = configuration::read(installation, &facts.place.slug, (plugin, &manifest), ctx)
        .await
        .map_err(held)?;
    let config = Config::new(&facts.place, &configuration, &access.credential, []);
    let revision = Revision {
        version: version.clone(),
        config_hash: config.hash().to_owned(),
    };
    let goal = Goal::Run {
        revision,
        idle_after: installation.spec.red.idle_after.clone(),
    };
    let means = Means {
        plugin,
        config,
        credential: access.credential.clone(),
        providers: providers(plugin, &facts.installed),
        meter: Meter {
            image: &ctx.meters.image,
            plugin: u16::try_from(plugin.spec.runtime.port).unwrap_or_default(),
        },
    };
    Ok((goal, means))
}

/// The release that RED runs.
fn release<'a>(
    installation: &PluginInstallation,
    facts: &'a Facts,
    wanted: Option<&Wanted>,
) -> Result<&'a Plugin, Goal> {
    let refused = |version: Option<&Plugin>, reason, message| {
        Goal::Refused(Why {
            version: version.map(|plugin| plugin.spec.version.clone()),
            reason,
            message,
        })
    };
    let text = installation.spec.red.version.as_deref().unwrap_or("*");
    let range = VersionRange::parse(text)
        .map_err(|error| refused(None, Reason::NoVersionFits, format!("spec.red.version: {error}")))?;
    let accepted = facts.releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    // One in deletion waits for its users.
    let stays = accepted.filter(|plugin| plugin.meta().deletion_timestamp.is_none());
    let releases = stays.filter_map(|plugin| Some((Version::parse(&plugin.spec.version).ok()?, plugin)));
    let releases: Vec<_> = releases.collect();
    let Some(plugin) = choose(&range, releases.iter().cloned()) else {
        let mut known: Vec<_> = releases.iter().map(|(version, _)| version).collect();
        known.sort();
        let known: Vec<_> = known.into_iter().map(ToString::to_string).collect();
        let message = format!(
            "no release of {} fits spec.red.version {range}; there are {}",
            facts.place.id,
            known.join(", ")
        );
        return Err(refused(None, Reason::NoVersionFits, message));
    };
    for other in [plugin].into_iter().chain(wanted.map(|wanted| &wanted.plugin)) {
        if other.spec.runtime.sharing == Sharing::Shared {
            let message = format!(
                "{} {} has runtime.sharing Shared and runs for all tenants: RED is a tenant's own, beside a release that is so too; \
                 set spec.red.enabled to false",
                facts.place.id, other.spec.version
            );
            return Err(refused(Some(plugin), Reason::NotDedicated, message));
        }
    }
    Ok(plugin)
}
