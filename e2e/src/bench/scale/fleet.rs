//! The installations of a run: made by the operator, removed with their tenants.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use plexica_crds::{ANNOTATION_CONFIRM_DELETE, PluginInstallation, names::TenantSlug};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, PLUGINS, PREFIX, kube_proxy::Resting};
use crate::{
    bench::{bar::Bar, ready::Watch},
    plugins,
    suite::{
        env::{Env, unique},
        releases::VERSION,
        tenant_plugins::install,
    },
    traffic,
    ui::{Step, Ui},
};

/// Tenants made at once.
const TENANTS_AT_ONCE: usize = 5;
/// Installations that are posted at once: as many as the webhook judges in its three seconds.
const POSTS_AT_ONCE: usize = 10;
/// How often it is looked whether all tenants are gone.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// The installations of a run.
pub struct Fleet {
    /// The tenants.
    pub tenants: Vec<String>,
    /// Namespace and name of each installation.
    pub keys: Vec<String>,
    /// How long it took from the first POST until the last was Ready.
    pub made_in: Duration,
}

impl Fleet {
    /// Makes tenants, releases and so many installations.
    pub async fn make(env: &Env, ui: &Ui, installations: usize) -> Result<Self> {
        let (per_tenant, tenants) = (PLUGINS.min(installations), installations.div_ceil(PLUGINS));
        let ids: Vec<_> = (0..per_tenant).map(|index| format!("{PREFIX}-{index}")).collect();
        publish(env, ui, &ids).await?;
        let run = unique("x")[2..].to_owned();
        let names: Vec<_> = (0..tenants).map(|index| format!("{PREFIX}-{run}-s{index}")).collect();
        make_tenants(env, ui, &names).await?;
        let mut keys = vec![];
        for tenant in &names {
            let namespace = TenantSlug::parse(tenant)?.namespace();
            keys.extend(ids.iter().map(|id| format!("{namespace}/{id}")));
        }
        keys.truncate(installations);
        let made_in = install_all(env, ui, &keys).await?;
        Ok(Self {
            tenants: names,
            keys,
            made_in,
        })
    }
}

/// Publishes a release of each plugin. They are removed together, after the tenants.
async fn publish(env: &Env, ui: &Ui, ids: &[String]) -> Result<()> {
    let releases: Vec<_> = ids.iter().map(|id| format!("{id}-{VERSION}")).collect();
    let (own, all) = (env.clone(), releases.clone());
    env.afterwards_within(PATIENCE, async move { withdraw(&own, &all).await });
    ui.step("releases", async |step| {
        for (id, release) in ids.iter().zip(&releases) {
            let plugin = json!({
                "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": release },
                "spec": traffic::spec(id, VERSION, traffic::IMAGE),
            });
            let plugin = serde_json::from_value(plugin)?;
            env.plugins().create(&PostParams::default(), &plugin).await?;
        }
        try_join_all(releases.iter().map(|release| env.registered(release))).await?;
        step.result(format!("{} plugins", ids.len()));
        Ok(())
    })
    .await
}

/// Deletes releases until none is left: until the last user has gone, the webhook refuses.
async fn withdraw(env: &Env, releases: &[String]) -> Result<()> {
    loop {
        let there = env.plugins().list_metadata(&ListParams::default()).await?;
        let names = there.iter().map(ResourceExt::name_any);
        let left: Vec<_> = names.filter(|name| releases.contains(name)).collect();
        if left.is_empty() {
            return Ok(());
        }
        for name in &left {
            let _ = env.plugins().delete(name, &DeleteParams::default()).await;
        }
        sleep(LOOKED_AT).await;
    }
}

async fn make_tenants(env: &Env, ui: &Ui, names: &[String]) -> Result<()> {
    let (own, all, terminal) = (env.clone(), names.to_vec(), ui.clone());
    env.afterwards_within(PATIENCE, async move { remove(&own, &terminal, &all).await });
    ui.step("tenants", async |step| {
        let bar = Bar::new(ui, "tenants", names.len());
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(TENANTS_AT_ONCE, |name| async {
                create(env, name).await?;
                env.ready(name).await?;
                bar.advance();
                anyhow::Ok(())
            })
            .await?;
        step.result(format!("{} ready", names.len()));
        Ok(())
    })
    .await
}

/// Makes a tenant that is dropped with its data; all are removed together.
async fn create(env: &Env, name: &str) -> Result<()> {
    // Room for two slots of each plugin.
    let quota = json!({ "pods": "200", "requests.cpu": "100", "limits.cpu": "200", "requests.memory": "100Gi", "limits.memory": "200Gi" });
    let tenant = json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant",
        "metadata": { "name": name, "annotations": { ANNOTATION_CONFIRM_DELETE: name } },
        "spec": { "displayName": name, "deletionPolicy": "Delete", "namespace": { "resourceQuota": quota } },
    });
    let tenant = serde_json::from_value(tenant)?;
    env.tenants().create(&PostParams::default(), &tenant).await?;
    Ok(())
}

async fn install_all(env: &Env, ui: &Ui, keys: &[String]) -> Result<Duration> {
    let api: Api<PluginInstallation> = Api::all(env.client.clone());
    let watch = Watch::begin(api, plugins::is_ready).await?;
    ui.step("installations", async |step: &Step| {
        let _resting = Resting::begin(env)?;
        let begun = Instant::now();
        stream::iter(keys)
            .map(Ok)
            .try_for_each_concurrent(POSTS_AT_ONCE, |key| async move {
                let (namespace, id) = key.split_once('/').unwrap_or_default();
                // Whoever asks is to begin the promotion; what is promoted stays for long enough to be looked at.
                let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
                install(env, namespace, id, json!({ "promotion": promotion })).await
            })
            .await?;
        let bar = Bar::new(ui, "installations", keys.len());
        let last = watch.all_ready(keys, PATIENCE, |done| bar.reach(done)).await?;
        step.result(format!("{} ready", keys.len()));
        Ok(last.duration_since(begun))
    })
    .await
}

/// Removes the tenants with everything in them, all at once.
async fn remove(env: &Env, ui: &Ui, names: &[String]) -> Result<()> {
    ui.step("removing", async |step| {
        let _resting = Resting::begin(env)?;
        for name in names {
            let deleted = env.tenants().delete(name, &DeleteParams::default()).await;
            let is_gone = matches!(&deleted, Err(kube::Error::Api(status)) if status.is_not_found());
            if !is_gone {
                deleted?;
            }
        }
        let bar = Bar::new(ui, "removing tenants", names.len());
        loop {
            let there = env.tenants().list_metadata(&ListParams::default()).await?;
            let left = there.iter().filter(|tenant| names.contains(&tenant.name_any())).count();
            bar.reach(names.len() - left);
            if left == 0 {
                break;
            }
            sleep(LOOKED_AT).await;
        }
        step.result(format!("{} tenants and all they had", names.len()));
        Ok(())
    })
    .await
}
