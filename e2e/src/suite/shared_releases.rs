//! Releases that run once for all tenants that install them (`runtime.sharing: Shared`).

use anyhow::{Context as _, Result, ensure};
use http::Request;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, Deployment},
    core::v1::{Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, ResourceExt, api::ListParams};
use plexica_crds::plugin_installation::conditions::Type;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Case,
    clients::gateway::{Entrance, answer},
    env::{Env, eventually},
    tenant_plugins::{PATIENCE, TenantPlugins},
};

/// The platform's namespace for them (`e2e/stack-values.yaml`).
const NAMESPACE: &str = "plexica-shared";
const ID: &str = "sample-analytics";
/// A pre-release: chosen by nobody who does not name it.
const VERSION: &str = "1.0.1-shared";

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false; one_deployment_serves_all_tenants_of_a_shared_release_and_each_its_own]
}

async fn one_deployment_serves_all_tenants_of_a_shared_release_and_each_its_own(env: &Env) -> Result<()> {
    live(env).await?;
    moved_to(env).await
}

/// A plugin that moves to a shared release is served by it, and nothing of its own is left.
async fn moved_to(env: &Env) -> Result<()> {
    let example = env.plugins().get(&format!("{ID}-1.0.0")).await?;
    let version = "1.0.2-shared";
    let mut spec = serde_json::to_value(&example.spec)?;
    spec["version"] = json!(version);
    spec["runtime"]["sharing"] = json!("Shared");
    let tenant = TenantPlugins::of_new_tenant(env).await?;
    tenant.install(ID, json!({ "version": "1.0.0" })).await?;
    tenant.ready(ID).await?;
    let entrance = Entrance::of(&tenant.slug)?;
    eventually("its own pods at the Gateway", PATIENCE, async || {
        answer(entrance.request(Method::GET, ID, "/version"), StatusCode::OK).await
    })
    .await?;
    let release = env.publish(ID, version, spec).await?;
    env.registered(&release).await?;
    tenant.patch(ID, json!({ "spec": { "version": version } })).await?;
    eventually("the shared release at the Gateway", PATIENCE, async || {
        let said = answer(entrance.request(Method::GET, ID, "/version"), StatusCode::OK).await?;
        ensure!(said["version"] == version, "it says {said}");
        Ok(())
    })
    .await?;
    eventually("nothing of its own is left", PATIENCE, async || {
        let status = tenant.ready(ID).await?.status.unwrap_or_default();
        let live = status.slots.a.map(|slot| slot.version);
        ensure!(live.as_deref() == Some(version), "the status says {live:?}");
        let selector = ListParams::default().labels(&format!("plexica.io/plugin={ID}"));
        let deployments = tenant
            .objects::<Deployment>()
            .list_metadata(&selector)
            .await?
            .items
            .len();
        let budgets = tenant
            .objects::<PodDisruptionBudget>()
            .list_metadata(&selector)
            .await?
            .items
            .len();
        let revisions = tenant
            .objects::<ControllerRevision>()
            .list_metadata(&selector)
            .await?
            .items
            .len();
        let left = [deployments, budgets, revisions];
        ensure!(left == [0; 3], "{left:?} Deployments, budgets, revisions");
        Ok(())
    })
    .await?;
    tenant.ready(ID).await?;
    tenant.remove(ID).await
}

/// All that happens to a release of two tenants.
pub async fn live(env: &Env) -> Result<()> {
    let example = env.plugins().get(&format!("{ID}-1.0.0")).await?;
    let mut spec = serde_json::to_value(&example.spec)?;
    spec["version"] = json!(VERSION);
    spec["runtime"]["sharing"] = json!("Shared");
    let name = env.publish(ID, VERSION, spec).await?;
    env.registered(&name).await?;
    let (one, other) = tokio::try_join!(TenantPlugins::of_new_tenant(env), TenantPlugins::of_new_tenant(env))?;
    let both = [&one, &other];
    for tenant in both {
        tenant.install(ID, json!({ "version": VERSION })).await?;
    }
    for tenant in both {
        tenant.ready(ID).await?;
    }

    // One Deployment, which knows both; in the tenants' namespaces there is no pod.
    let deployments: Api<Deployment> = Api::namespaced(env.client.clone(), NAMESPACE);
    let selector = ListParams::default().labels(&format!("plexica.io/plugin={ID}"));
    let found = deployments.list(&selector).await?;
    ensure!(found.items.len() == 1, "{} Deployments", found.items.len());
    let service = found.items[0].name_any().trim_end_matches("-a").to_owned();
    for tenant in both {
        let own = tenant.objects::<Deployment>().list(&selector).await?;
        ensure!(own.items.is_empty(), "a Deployment of its own");
        let alias = tenant.objects::<Service>().get(ID).await?;
        let target = alias.spec.and_then(|spec| spec.external_name).context("no alias")?;
        ensure!(
            target == format!("{service}.{NAMESPACE}.svc.cluster.local"),
            "the alias is {target}"
        );
        let version = ask(env, &service, tenant.slug.as_str()).await?;
        ensure!(
            version["tenant"] == tenant.slug.as_str() && version["version"] == VERSION,
            "asked for {} it says {version}",
            tenant.slug
        );
        // From outside, the Gateway leads to it across namespaces and says which tenant's host was asked.
        let entrance = Entrance::of(&tenant.slug)?;
        eventually("the release at the Gateway", PATIENCE, async || {
            let version = answer(entrance.request(Method::GET, ID, "/version"), StatusCode::OK).await?;
            ensure!(version["tenant"] == tenant.slug.as_str(), "it says {version}");
            Ok(())
        })
        .await?;
    }

    // One leaves: the other goes on.
    other.patch(ID, json!({ "spec": { "enabled": false } })).await?;
    other.says(ID, Type::Ready, "False", "Disabled").await?;
    one.ready(ID).await?;
    let entrance = Entrance::of(&other.slug)?;
    eventually("no way to the release", PATIENCE, async || {
        let led = entrance.version(ID).await?;
        ensure!(led == StatusCode::NOT_FOUND, "the Gateway answers {led}");
        Ok(())
    })
    .await?;
    let parts: Api<Secret> = Api::namespaced(env.client.clone(), NAMESPACE);
    let slugs: Vec<_> = parts
        .list_metadata(&selector)
        .await?
        .iter()
        .filter_map(|part| part.labels().get("plexica.io/tenant").cloned())
        .collect();
    ensure!(slugs == [one.slug.as_str()], "the release knows {slugs:?}");
    eventually("the release forgets the tenant", PATIENCE, async || {
        let answer = ask(env, &service, other.slug.as_str()).await;
        ensure!(answer.is_err(), "it still answers for {}", other.slug);
        Ok(())
    })
    .await?;
    ensure!(
        ask(env, &service, one.slug.as_str()).await.is_ok(),
        "the other is gone too"
    );

    // The last one ends it.
    one.remove(ID).await?;
    other.remove(ID).await?;
    let services: Api<Service> = Api::namespaced(env.client.clone(), NAMESPACE);
    let policies: Api<NetworkPolicy> = Api::namespaced(env.client.clone(), NAMESPACE);
    ensure!(
        deployments.list_metadata(&selector).await?.items.is_empty()
            && services.list_metadata(&selector).await?.items.is_empty()
            && policies.list_metadata(&selector).await?.items.is_empty()
            && parts.list_metadata(&selector).await?.items.is_empty(),
        "something is left"
    );
    Ok(())
}

/// What the release answers when the Gateway asks for a tenant.
async fn ask(env: &Env, service: &str, tenant: &str) -> Result<Value> {
    let url = format!("/api/v1/namespaces/{NAMESPACE}/services/http:{service}:80/proxy/version");
    let request = Request::get(url).header("x-tenant-slug", tenant).body(vec![])?;
    Ok(env.client.request(request).await?)
}
