//! When installations are looked at, and what of them is counted.

use std::sync::Arc;

use futures::{
    Stream, StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};
use k8s_openapi::{api::discovery::v1::EndpointSlice, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, reflector::ObjectRef, watcher},
};
use plexica_crds::{
    Plugin, PluginInstallation, Tenant, condition,
    names::PluginId,
    plugin::conditions::Type as PluginCondition,
    plugin_installation::{Phase, conditions::Type},
    tenant::conditions::Type as TenantCondition,
};
use strum::IntoEnumIterator;

use super::{
    Caches, Context, KIND, at_once,
    build::{LABEL_PLUGIN, LABEL_SERVICE, shared::LABEL_SHARED},
    dereference::{concerned, is_on_its_way},
    member, neighbours, pass,
    watched::{Kept, Made},
};
use crate::runtime::{
    cache::Cache,
    changes::fingerprint,
    controller::{Passed, Reconciler, Root, Triggers, only_touched_by_others, watched},
    objects::{Error, Objects},
};

/// Tells of what changes in the caches that a pass reads. What it tells of is in them.
pub struct News {
    /// Of tenants.
    pub tenants: Cache<Tenant>,
    /// Of releases.
    pub plugins: Cache<Plugin>,
    /// Of installations.
    pub installations: Cache<PluginInstallation>,
}

impl Reconciler for Context {
    type Kind = PluginInstallation;
    const KIND: &'static str = KIND;
    // As many as requests to Kubernetes: more would only hold what they have computed.
    const AT_ONCE: usize = 32;
    const READS: &'static [&'static str] = &["Tenant", "Plugin"];

    fn phases() -> Vec<&'static str> {
        Phase::iter().map(Into::into).collect()
    }

    fn phase(installation: &PluginInstallation) -> Option<&'static str> {
        installation.status.as_ref()?.phase.map(Into::into)
    }

    fn tenant(meta: &ObjectMeta) -> Option<&str> {
        meta.namespace.as_deref()?.strip_prefix("tenant-")
    }

    fn objects(&self) -> &Objects<PluginInstallation> {
        &self.objects
    }

    fn triggers(&self) -> Vec<Triggers<PluginInstallation>> {
        let mut triggers = vec![
            self.touched_by_others(&self.watched.services),
            self.touched_by_others(&self.watched.policies),
            self.touched_by_others(&self.watched.budgets),
            self.deployments(),
            self.endpoints(),
            self.news.of_tenants(self.caches.clone()),
            self.news.of_releases(self.caches.clone()),
            self.news.of_siblings(self.caches.clone()),
            self.migrating.ended(),
            self.probes.answered(),
        ];
        if self.platform.gateway.is_some() {
            // Without a Gateway the cluster need not know the kind.
            triggers.push(self.routes());
        }
        triggers
    }

    fn told(this: &Arc<Self>, installation: &PluginInstallation) {
        at_once::told(this, installation);
    }

    async fn pass(&self, installation: &Root<PluginInstallation>) -> Result<Passed, Error> {
        pass(installation, self).await
    }
}

fn owner(meta: &ObjectMeta) -> Option<ObjectRef<Root<PluginInstallation>>> {
    let id = meta.labels.as_ref()?.get(LABEL_PLUGIN)?;
    Some(ObjectRef::new(id).within(meta.namespace.as_deref()?))
}

/// Whose pods, or way to them, an object is: of a release that runs for all tenants, everybody's who has it.
fn owners(caches: &Caches, meta: &ObjectMeta) -> Vec<ObjectRef<Root<PluginInstallation>>> {
    match meta.labels.as_ref() {
        Some(labels) if labels.contains_key(LABEL_SHARED) => all_of(caches, labels.get(LABEL_PLUGIN)),
        _ => owner(meta).into_iter().collect(),
    }
}

/// Whether EndpointSlices are of the Service that reaches YELLOW.
fn is_of_yellow(slice: &ObjectMeta) -> bool {
    let label = |key: &str| slice.labels.as_ref()?.get(key);
    let plugin = label(LABEL_PLUGIN).and_then(|id| PluginId::parse(id).ok());
    let yellow = plugin.map(|id| id.yellow_service());
    yellow.is_some_and(|yellow| label(LABEL_SERVICE).is_some_and(|service| service == yellow.as_str()))
}

impl Context {
    /// Where requests go. Who reaches YELLOW decides nothing.
    fn endpoints(&self) -> Triggers<PluginInstallation> {
        let api: Api<PartialObjectMeta<EndpointSlice>> = Api::all(self.objects.client.clone());
        let events = watcher(api, watched().labels(LABEL_PLUGIN)).default_backoff();
        self.whatever_happens(events, |slice| !is_of_yellow(slice))
    }

    /// What the Gateway says of routes is in their status.
    fn routes(&self) -> Triggers<PluginInstallation> {
        self.whatever_happens(self.kept(&self.watched.routes), |_| true)
    }

    /// How pods fare is in the status of Deployments.
    fn deployments(&self) -> Triggers<PluginInstallation> {
        self.whatever_happens(self.kept(&self.watched.deployments), |_| true)
    }

    /// What is told of plugins' objects of a kind, and kept.
    fn kept<K: Made + Sync>(&self, kept: &Kept<K>) -> BoxStream<'static, Result<watcher::Event<K>, watcher::Error>> {
        let api: Api<K> = Api::all(self.objects.client.clone());
        kept.keep(watcher(api, watched().labels(LABEL_PLUGIN)).default_backoff())
    }

    /// Objects that somebody else changed or deleted.
    fn touched_by_others<K: Made + Sync>(&self, kept: &Kept<K>) -> Triggers<PluginInstallation> {
        only_touched_by_others(self.kept(kept), owner)
    }

    /// Everything that happens to those objects that matter, changes of their status included.
    fn whatever_happens<K>(
        &self,
        events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
        matters: fn(&ObjectMeta) -> bool,
    ) -> Triggers<PluginInstallation>
    where
        K: Resource<DynamicType = ()> + Send + 'static,
    {
        let caches = self.caches.clone();
        events
            .touched_objects()
            .try_filter(move |object| future::ready(matters(object.meta())))
            .flat_map(move |event| stream::iter(requests(event.map(|object| owners(&caches, object.meta())))))
            .boxed()
    }
}

impl News {
    /// All installations of a tenant whose readiness, suspension, deletion, or place for data changes.
    fn of_tenants(&self, caches: Caches) -> Triggers<PluginInstallation> {
        let changed = self.tenants.subscribe(of_tenant);
        changed
            .map(move |tenant| all_in(&caches, &format!("tenant-{}", tenant.name_any())))
            .flat_map(|found| stream::iter(requests(Ok(found))))
            .boxed()
    }

    /// Installations that a release concerns when it comes, goes or is judged otherwise.
    fn of_releases(&self, caches: Caches) -> Triggers<PluginInstallation> {
        let changed = self.plugins.subscribe(of_release);
        changed
            .map(move |plugin| {
                let plugin = plugin.0.as_ref().ok();
                refs(&plugin.map_or_else(Vec::new, |plugin| concerned(plugin, &caches)))
            })
            .flat_map(|found| stream::iter(requests(Ok(found))))
            .boxed()
    }

    /// The other installations of a tenant that are concerned when one comes, goes, or changes what it serves.
    fn of_siblings(&self, caches: Caches) -> Triggers<PluginInstallation> {
        let changed = self.installations.subscribe(of_installation);
        changed
            .map(move |installation| {
                let all = caches.installations_in(&installation.namespace().unwrap_or_default());
                refs(&neighbours::concerned(&installation, &all, &caches.releases()))
            })
            .flat_map(|found| stream::iter(requests(Ok(found))))
            .boxed()
    }
}

fn requests(
    found: Result<Vec<ObjectRef<Root<PluginInstallation>>>, watcher::Error>,
) -> Vec<Result<ObjectRef<Root<PluginInstallation>>, watcher::Error>> {
    match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

fn all_in(caches: &Caches, namespace: &str) -> Vec<ObjectRef<Root<PluginInstallation>>> {
    refs(&caches.installations_in(namespace))
}

fn refs(found: &[Arc<Root<PluginInstallation>>]) -> Vec<ObjectRef<Root<PluginInstallation>>> {
    found.iter().map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// All installations of a plugin, whose pods may be the ones of a shared release.
fn all_of(caches: &Caches, id: Option<&String>) -> Vec<ObjectRef<Root<PluginInstallation>>> {
    let found = caches.installations.state();
    let of_plugin = found.iter().filter(|object| Some(&object.name_any()) == id);
    of_plugin.map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// All that passes over installations read of a tenant.
fn of_tenant(tenant: &Root<Tenant>) -> u64 {
    let status = tenant.0.as_ref().ok().and_then(|tenant| tenant.status.as_ref());
    let ready = status.and_then(|status| condition::find(&status.conditions, TenantCondition::Ready.into()));
    let ready = ready.map(|ready| (&ready.status, ready.observed_generation));
    let place = status.map(|status| {
        let pool = status.database.as_ref().map(|database| &database.pool);
        (status.tenant_id, pool, status.identity.is_some())
    });
    let meta = tenant.meta();
    fingerprint((
        tenant.0.is_ok(),
        meta.generation,
        meta.deletion_timestamp.is_some(),
        ready,
        place,
    ))
}

/// All that passes over installations read of a release, which is frozen.
fn of_release(plugin: &Root<Plugin>) -> u64 {
    let status = plugin.0.as_ref().ok().and_then(|plugin| plugin.status.as_ref());
    let accepted = status.and_then(|status| condition::find(&status.conditions, PluginCondition::Accepted.into()));
    let accepted = accepted.map(|accepted| (&accepted.status, accepted.observed_generation));
    let meta = plugin.meta();
    fingerprint((
        plugin.0.is_ok(),
        meta.generation,
        meta.deletion_timestamp.is_some(),
        status.is_some(),
        accepted,
    ))
}

fn of_installation(installation: &Root<PluginInstallation>) -> u64 {
    let live = installation.0.as_ref().ok();
    // What serves now, what goes live or back with others, and how far that is.
    let running = live
        .and_then(super::dereference::running_version)
        .map(|version| version.to_string());
    let member = live.and_then(member::member);
    let status = live.and_then(|installation| installation.status.as_ref());
    let deployed = status.and_then(|status| condition::find(&status.conditions, Type::Deployed.into()));
    let deployed = deployed.map(|deployed| deployed.status.clone());
    let meta = installation.meta();
    let on_its_way = live.is_some_and(is_on_its_way);
    fingerprint((
        meta.generation,
        meta.deletion_timestamp.is_some(),
        running,
        deployed,
        on_its_way,
        member,
    ))
}

#[cfg(test)]
#[path = "controller_tests.rs"]
mod tests;
