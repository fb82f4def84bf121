//! The tenants of a run, and installations in them by the operator.

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{Api, ResourceExt, api::ListParams};
use plexica_crds::names::TenantSlug;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{PREFIX, Times, by_hand::ByHand, is_deployed};
use crate::{
    bench::{bar::Bar, ready::Watch},
    plugins,
    suite::{
        env::{Env, unique},
        tenant_plugins::install,
    },
    ui::Ui,
};

/// Tenants made or removed at once; it is not measured.
const AT_ONCE: usize = 5;

/// The tenants of a run.
pub struct Tenants<'a> {
    env: &'a Env,
    /// The terminal.
    pub ui: Ui,
    /// Part of all names.
    pub run: String,
    /// All Deployments.
    pub deployments: Watch,
    installations: Watch,
    /// Their names.
    pub names: Vec<String>,
}

impl<'a> Tenants<'a> {
    /// Makes tenants.
    pub async fn make(env: &'a Env, count: usize) -> Result<Self> {
        let run = unique("x")[2..].to_owned();
        let tenants = Self {
            env,
            ui: Ui::new(),
            deployments: Watch::begin(Api::all(env.client.clone()), is_deployed).await?,
            installations: Watch::begin(Api::all(env.client.clone()), plugins::is_ready).await?,
            names: (0..count).map(|index| format!("{PREFIX}-{run}-i{index}")).collect(),
            run,
        };
        let bar = Bar::new(&tenants.ui, "making tenants", count);
        stream::iter(&tenants.names)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |name| async {
                env.create(name, json!({})).await?;
                env.ready(name).await?;
                bar.advance();
                anyhow::Ok(())
            })
            .await?;
        drop(bar);
        Ok(tenants)
    }

    /// Installs a plugin for a tenant, and waits until it is Ready.
    pub async fn install(&self, tenant: &str, plugin: &str, spec: Value) -> Result<Times> {
        let namespace = TenantSlug::parse(tenant)?.namespace().to_string();
        let begun = Instant::now();
        install(self.env, &namespace, plugin, spec).await?;
        let told = self.installations.ready(&format!("{namespace}/{plugin}")).await?.ready;
        let deployed = self.deployments.ready(&format!("{namespace}/{plugin}-a")).await?;
        Ok(Times {
            objects: deployed.first.duration_since(begun),
            pod: deployed.ready.duration_since(deployed.first),
            // One watch may be served a little later than the other.
            told: told.saturating_duration_since(deployed.ready),
        })
    }

    /// A failure is counted and told; the benchmark goes on.
    pub fn told<T>(&self, name: &str, result: &Result<T>) {
        if let Err(error) = result {
            self.ui.line(&format!("  {name}: {error:#}"));
        }
    }

    /// The first, which others are compared with or taken from.
    pub fn first(&self) -> Result<&str> {
        Ok(self.names.first().context("there are no tenants")?)
    }

    /// Removes all tenants, with what is installed in them.
    pub async fn end(self) -> Result<()> {
        remove(self.env, &self.ui, &self.names, "removing tenants").await
    }
}

/// Removes what interrupted runs have left.
pub async fn sweep(env: &Env) -> Result<()> {
    ByHand::sweep(env).await?;
    let prefix = format!("{PREFIX}-");
    let tenants = env.tenants().list(&ListParams::default()).await?;
    let left = tenants.iter().map(ResourceExt::name_any);
    let left: Vec<_> = left.filter(|name| name.starts_with(&prefix)).collect();
    remove(env, &Ui::new(), &left, "left by an earlier run").await?;
    let releases = env.plugins().list_metadata(&ListParams::default()).await?;
    let left = releases.iter().map(ResourceExt::name_any);
    for release in left.filter(|name| name.starts_with(&prefix)) {
        env.withdraw(&release).await?;
    }
    Ok(())
}

async fn remove(env: &Env, ui: &Ui, names: &[String], what: &str) -> Result<()> {
    let bar = Bar::new(ui, what, names.len());
    stream::iter(names)
        .map(Ok)
        .try_for_each_concurrent(AT_ONCE, |name| async {
            env.delete(name).await?;
            bar.advance();
            anyhow::Ok(())
        })
        .await
}
