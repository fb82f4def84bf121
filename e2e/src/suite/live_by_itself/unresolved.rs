//! Why no version is chosen: whoever switches the plugin off, or shuts its tenant, is obeyed nevertheless.

use anyhow::{Context as _, Result};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use plexica_crds::{PluginInstallation, plugin_installation::conditions::Type};
use serde_json::json;

use super::{
    PROMPT,
    actions::{Action, try_all},
    live::{Live, Told, names},
};
use crate::suite::{
    env::{Env, eventually, unique},
    promotions::Installed,
    undecodable::{Field, loosen},
};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No release fits `^99`.
    NothingInRange,
    /// `latest` is no range.
    NoRange,
    /// The only version that is wanted excludes another plugin that is installed.
    Conflict,
    /// Only older versions are in the range.
    Downgrade,
    /// The installation is to go, and another plugin needs it.
    DeletionWaits,
    /// A field holds what the operator does not read.
    Undecodable,
}

/// A field that has nothing to do with what runs.
const DATA_POLICY: Field = Field {
    crd: "plugininstallations.plexica.io",
    name: "dataPolicy",
};

/// Something is live, and no version can be chosen: what is switched off goes, and is live again when it is switched on.
pub async fn are_carried_out(env: &Env, refusal: Refusal) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s" });
    let installed = Installed::with(env, json!({ "migrations": [names()] }), promotion, 1).await?;
    refusal.comes(&installed).await?;
    let live = Live::of(&installed, true)?;
    live.says(refusal.told()).await?;
    try_all(&Action::OFF, &live, refusal.told()).await.end()
}

impl Refusal {
    /// How the installation says so.
    fn told(self) -> Told {
        match self {
            Self::NothingInRange => Told(Type::DependenciesSatisfied, &["NoVersionFits"]),
            Self::NoRange => Told(Type::DependenciesSatisfied, &["InvalidSpec"]),
            Self::Conflict => Told(Type::DependenciesSatisfied, &["Conflict"]),
            Self::Downgrade => Told(Type::DependenciesSatisfied, &["DowngradeRefused"]),
            Self::DeletionWaits => Told(Type::Ready, &["NeededByOthers"]),
            Self::Undecodable => Told(Type::Ready, &["Undecodable"]),
        }
    }

    /// Makes it so.
    async fn comes(self, installed: &Installed<'_>) -> Result<()> {
        let (plugins, id) = (&installed.plugins, installed.id.as_str());
        match self {
            Self::NothingInRange => wants(installed, "^99").await,
            Self::NoRange => wants(installed, "latest").await,
            Self::Conflict => {
                let neighbour = neighbour(installed, json!({})).await?;
                let excludes = json!({
                    "migrations": [names()], "conflicts": [{ "plugin": neighbour, "version": "*" }],
                });
                installed.publish_with("1.1.0", excludes).await?;
                wants(installed, "=1.1.0").await
            }
            Self::Downgrade => {
                installed
                    .publish_with("1.1.0", json!({ "migrations": [names()] }))
                    .await?;
                installed.live("1.1.0").await?;
                wants(installed, "<1.1").await
            }
            Self::DeletionWaits => {
                let needs = json!({ "dependencies": [{ "plugin": id, "version": "*" }] });
                neighbour(installed, needs).await?;
                plugins.api.delete(id, &DeleteParams::default()).await?;
                Ok(())
            }
            Self::Undecodable => spoil(installed).await,
        }
    }
}

async fn wants(installed: &Installed<'_>, range: &str) -> Result<()> {
    let range = json!({ "spec": { "version": range } });
    installed.plugins.patch(&installed.id, range).await
}

/// Installs another plugin of the tenant; answers its id.
async fn neighbour(installed: &Installed<'_>, release: serde_json::Value) -> Result<String> {
    let neighbour = Installed {
        id: unique("tl"),
        ..installed.clone()
    };
    neighbour.publish_with("1.0.0", release).await?;
    let plugins = &installed.plugins;
    plugins.install(&neighbour.id, json!({ "replicas": 1 })).await?;
    plugins.ready(&neighbour.id).await?;
    Ok(neighbour.id)
}

/// Writes what does not decode, until the test has ended.
async fn spoil(installed: &Installed<'_>) -> Result<()> {
    let (env, id) = (installed.env, installed.id.clone());
    loosen(env, DATA_POLICY).await?;
    let kind = ApiResource::erase::<PluginInstallation>(&());
    let namespace = installed.plugins.slug.namespace();
    let api: Api<DynamicObject> = Api::namespaced_with(env.client.clone(), namespace.as_str(), &kind);
    let data_policy = |value: serde_json::Value| Patch::Merge(json!({ "spec": { "dataPolicy": value } }));
    let (corrector, owned) = (api.clone(), id.clone());
    env.afterwards(async move {
        let right = data_policy(json!("Keep"));
        corrector.patch(&owned, &PatchParams::default(), &right).await?;
        Ok(())
    });
    eventually("an installation that does not decode", PROMPT, async || {
        let odd = data_policy(json!(7));
        let patched = api.patch(&id, &PatchParams::default(), &odd).await;
        patched
            .map(drop)
            .context("until the loosened definition is served, it is refused")
    })
    .await
}
