//! The Deployments of an installation's slots: what each runs, it runs again whenever it has to be made.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Volume},
};
use kube::Api;
use plexica_crds::{
    Plugin, PluginInstallation,
    names::{PluginId, Slot},
    plugin::DependencyKind,
    plugin_installation::conditions::{Outcome, Reason},
};

use crate::{
    backends::Credential,
    controllers::plugin_installation::{
        Context,
        build::{self, InSlot},
        report,
        validate::Wanted,
    },
    promotion::Shape,
    runtime::client::within,
};

/// What pods are made from, once it is known: the configuration, and the credential of the schema.
pub struct Means<'a> {
    /// The wanted configuration.
    pub config: &'a build::Config,
    /// What pods log in with.
    pub credential: &'a Credential,
}

/// Makes what slots run.
pub struct Slots<'a> {
    /// Whose they are.
    pub installation: &'a PluginInstallation,
    /// What is wanted of it.
    pub wanted: &'a Wanted,
    /// What pods are made from.
    pub means: Means<'a>,
    /// The cluster.
    pub ctx: &'a Context,
}

impl Slots<'_> {
    /// The Deployment of a slot. What it ran before it runs again from the release that it is of.
    pub async fn deployment(
        &self,
        slot: Slot,
        shape: &Shape,
        live: Option<&Deployment>,
    ) -> Result<Deployment, Outcome> {
        let (wanted, means) = (self.wanted, &self.means);
        let version = &shape.revision.version;
        let plugin = [&wanted.plugin]
            .into_iter()
            .chain(wanted.releases.iter().filter_map(|guard| guard.0.as_ref().ok()))
            .find(|plugin| plugin.spec.version == *version);
        let Some(plugin) = plugin else {
            let id = &wanted.id;
            return Err(Outcome::Blocked(
                Reason::PluginUnknown,
                format!(
                    "slot {} runs {id} {version}, and its Plugin is not there any more: apply Plugin {id}-{version} again",
                    slot.as_ref()
                ),
            ));
        };
        let config = if shape.revision.config_hash == means.config.hash() {
            means.config.volume()
        } else {
            self.former_config(shape, live).await?
        };
        let needed = providers(plugin, &wanted.installed);
        Ok(build::deployment(
            self.installation,
            wanted,
            InSlot {
                slot,
                shape,
                plugin,
                providers: if *version == wanted.plugin.spec.version {
                    &wanted.providers
                } else {
                    &needed
                },
                config,
                credential: &means.credential.id,
            },
        ))
    }

    /// The configuration that a slot was started with: it is kept while a slot names it.
    async fn former_config(&self, shape: &Shape, live: Option<&Deployment>) -> Result<Volume, Outcome> {
        let name = build::config_name(&self.wanted.id, &shape.revision.config_hash);
        let volumes = live.and_then(|live| live.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref());
        let present = volumes
            .into_iter()
            .flatten()
            .find(|volume| volume.name == build::CONFIG_VOLUME);
        let is_secret = if let Some(volume) = present {
            volume.secret.is_some()
        } else {
            let namespace = self.wanted.slug.namespace();
            let api: Api<ConfigMap> = Api::namespaced(self.ctx.objects.client.clone(), namespace.as_str());
            let found = within(api.get_opt(&name)).await;
            found.map_err(|error| report::api_outcome(&error))?.is_none()
        };
        Ok(build::volume_of(name, is_secret))
    }
}

/// The plugins that a release is told the addresses of.
pub fn providers(plugin: &Plugin, installed: &[PluginId]) -> Vec<PluginId> {
    let named = plugin
        .spec
        .dependencies
        .iter()
        .filter(|dependency| match dependency.kind {
            DependencyKind::Required => true,
            DependencyKind::Optional => installed.contains(&dependency.plugin),
        });
    named.map(|dependency| dependency.plugin.clone()).collect()
}
