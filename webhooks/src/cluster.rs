//! What is read of the cluster for a decision. Releases are many, large and do not change: they are cached. All else is
//! asked for when it is needed, so that nobody is refused for what was true a moment ago.

use std::{fmt::Debug, sync::Arc};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ListParams, ObjectMeta},
    runtime::{
        WatchStreamExt as _,
        reflector::{Store, store::Writer},
        watcher::{self, Event, watcher},
    },
};
use plexica_crds::{
    Plugin, PluginInstallation, Tenant,
    names::{PluginId, TenantSlug},
};
use plexica_operator::{
    platform::Overrides,
    runtime::{
        client::{ApiError, within},
        controller::Root,
        server::{Gate, Readiness},
    },
};
use tracing::warn;

/// Kind of the objects that are cached, as readiness tells it.
pub const CACHED: &str = "Plugin";

/// An object or a list could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what}: {source}")]
pub struct Unread {
    what: &'static str,
    source: ApiError,
}

/// The cluster, as decisions see it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    plugins: Store<Root<Plugin>>,
    overrides: Arc<Overrides>,
}

impl Cluster {
    /// The cluster; `plugins` is kept by [`watch_plugins`], `overrides` are the platform file's.
    pub fn new(client: Client, plugins: Store<Root<Plugin>>, overrides: Overrides) -> Self {
        Self {
            client,
            plugins,
            overrides: Arc::new(overrides),
        }
    }

    /// What the platform says of plugins.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// All releases.
    pub fn releases(&self) -> Vec<Arc<Root<Plugin>>> {
        self.plugins.state()
    }

    /// The tenant of this name, if there is one that decodes.
    pub async fn tenant(&self, slug: &TenantSlug) -> Result<Option<Tenant>, Unread> {
        let api: Api<Root<Tenant>> = Api::all(self.client.clone());
        let found = read("the tenant", api.get_opt(slug.as_str())).await?;
        Ok(found.and_then(|guard| guard.0.ok()))
    }

    /// The installations of a namespace.
    pub async fn installations_in(&self, namespace: &str) -> Result<Vec<Arc<Root<PluginInstallation>>>, Unread> {
        let api = Api::namespaced(self.client.clone(), namespace);
        list(&api, &ListParams::default()).await
    }

    /// The installations of a plugin: their name is its id.
    pub async fn installations_of(&self, id: &PluginId) -> Result<Vec<Arc<Root<PluginInstallation>>>, Unread> {
        let api = Api::all(self.client.clone());
        list(&api, &ListParams::default().fields(&format!("metadata.name={id}"))).await
    }

    /// The metadata of a namespace.
    pub async fn namespace(&self, name: &str) -> Result<Option<ObjectMeta>, Unread> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = read("the namespace", api.get_metadata_opt(name)).await?;
        Ok(found.map(|found| found.metadata))
    }
}

async fn list(
    api: &Api<Root<PluginInstallation>>,
    params: &ListParams,
) -> Result<Vec<Arc<Root<PluginInstallation>>>, Unread> {
    let found = read("the installations", api.list(params)).await?;
    Ok(found.items.into_iter().map(Arc::new).collect())
}

async fn read<T: Debug>(
    what: &'static str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Unread> {
    within(request).await.map_err(|source| Unread { what, source })
}

/// Fills the cache behind `writer` for as long as the process runs.
pub async fn watch_plugins(client: Client, writer: Writer<Root<Plugin>>, readiness: Readiness) {
    watcher(Api::<Root<Plugin>>::all(client), watcher::Config::default())
        .default_backoff()
        .modify(|plugin| kube::ResourceExt::managed_fields_mut(plugin).clear())
        .reflect(writer)
        .for_each(|event| {
            match event {
                Ok(Event::InitDone) => readiness.open(Gate::Cache(CACHED)),
                Ok(Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_)) => {}
                Err(error) => warn!(%error, "the watch of releases failed and begins anew"),
            }
            std::future::ready(())
        })
        .await;
}
