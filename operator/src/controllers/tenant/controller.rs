//! Wires watches to passes.
//!
//! `kube::runtime::Controller` cannot filter its root stream without unstable features, and then every
//! status write of ours would cause another pass. So the same parts are put together here: a reflector whose
//! triggers are filtered, triggers from what the operator made, and `applier`.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, future, stream};
use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        PredicateConfig, WatchStreamExt, applier,
        controller::{Config, ReconcileRequest},
        predicates, reflector,
        reflector::{ObjectRef, Store},
        utils::Predicate,
        watcher,
        watcher::Event,
    },
};
use plexica_crds::{LABEL_TENANT, Tenant};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Context, Error, KIND, error_policy, forget, reconcile};
use crate::runtime::{
    apply::FieldManager,
    client::within,
    metrics::{KindLabels, PhaseLabels},
    server::{Gate, Readiness},
};

/// Passes at once. Tenants wait for backends most of the time; backends limit themselves.
const CONCURRENCY: u16 = 100;
/// How often the CRDs are looked for at start, and the gauges are filled.
const TICK: Duration = Duration::from_secs(1);

type Root = DeserializeGuard<Tenant>;

/// Runs until `shutdown` resolves, then finishes the passes that run.
pub async fn run(ctx: Arc<Context>, readiness: Readiness, shutdown: impl Future<Output = ()> + Send + 'static) {
    let client = ctx.client.clone();
    let shutdown = shutdown.shared();
    tokio::select! {
        () = shutdown.clone() => return,
        () = wait_for_crds(&client) => readiness.open(Gate::Crds),
    }

    let (reader, writer) = reflector::store::<Root>();
    let gauges = tokio::spawn(fill_gauges(Arc::clone(&ctx), reader.clone()));

    let memory = Arc::clone(&ctx);
    let root = watcher(Api::<Root>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|tenant| tenant.managed_fields_mut().clear())
        .reflect(writer)
        // Not `Store::wait_until_ready`: of two tasks that wait for it, kube 5.0 wakes only the last (its oneshot
        // receiver keeps one waker), and the applier is one.
        .inspect(move |event| match event {
            Ok(Event::InitDone) => readiness.open(Gate::TenantCache),
            // Also of those that no pass has let go, since none had held them.
            Ok(Event::Delete(gone)) => forget(&memory, gone.meta().uid.as_deref().unwrap_or_default()),
            Ok(Event::Init | Event::InitApply(_) | Event::Apply(_)) | Err(_) => {}
        })
        .touched_objects()
        // Our own writes of finalizer and status need no further pass: the pass that sets the finalizer goes on. A
        // deletion is a new generation, a confirmation is an annotation.
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            PredicateConfig::default(),
        );
    let root = kube::runtime::controller::trigger_self(root, ());
    let triggers = stream::select_all([
        root.boxed(),
        touched_by_others::<Namespace>(&client).boxed(),
        touched_by_others::<RoleBinding>(&client).boxed(),
        touched_by_others::<ResourceQuota>(&client).boxed(),
        touched_by_others::<LimitRange>(&client).boxed(),
        touched_by_others::<NetworkPolicy>(&client).boxed(),
    ])
    .take_until(shutdown);

    applier(
        |tenant, ctx| Box::pin(reconcile(tenant, ctx)),
        |tenant, error: &Error, ctx| error_policy(&tenant, error, &ctx),
        ctx,
        reader,
        triggers,
        Config::default().concurrency(CONCURRENCY),
    )
    .for_each(|result| async move {
        use kube::runtime::controller::Error as E;
        match result {
            // Failures were logged where they happened; a vanished object needs nothing.
            Ok(_) | Err(E::ReconcilerFailed(..) | E::ObjectNotFound(_)) => {}
            Err(E::QueueError(error)) => warn!(%error, "a watch failed and begins anew"),
            Err(E::RunnerError(error)) => warn!(%error, "the queue failed"),
        }
    })
    .await;
    gauges.abort();
    info!("all passes have ended");
}

/// Requests for the tenants of objects that somebody else changed or deleted.
///
/// What the operator itself wrote needs no further pass, so an object whose fields all belong to us triggers
/// nothing. Only metadata is watched: contents are compared when a pass reads them.
fn touched_by_others<K>(client: &Client) -> impl Stream<Item = Result<ReconcileRequest<Root>, watcher::Error>> + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    watcher(api, watcher::Config::default().labels(LABEL_TENANT))
        .default_backoff()
        .filter_map(|event| {
            future::ready(match event {
                Ok(Event::Delete(object)) => owner(&object).map(Ok),
                Ok(Event::Apply(object) | Event::InitApply(object)) => {
                    if is_touched(object.managed_fields()) {
                        owner(&object).map(Ok)
                    } else {
                        None
                    }
                }
                Ok(Event::Init | Event::InitDone) => None,
                Err(error) => Some(Err(error)),
            })
        })
}

fn owner<K>(object: &PartialObjectMeta<K>) -> Option<ReconcileRequest<Root>>
where
    K: Resource<DynamicType = ()>,
{
    object
        .metadata
        .labels
        .as_ref()?
        .get(LABEL_TENANT)
        .map(|slug| ObjectRef::<Root>::new(slug).into())
}

/// Whether anybody but us owns a field outside of `status`.
fn is_touched(managed: &[ManagedFieldsEntry]) -> bool {
    managed.iter().any(|entry| {
        entry.subresource.as_deref() != Some("status")
            && entry.manager.as_deref() != Some(FieldManager::Objects.as_ref())
    })
}

async fn wait_for_crds(client: &Client) {
    let api: Api<PartialObjectMeta<Tenant>> = Api::all(client.clone());
    let mut said = false;
    while let Err(error) = within(api.list_metadata(&ListParams::default().limit(1))).await {
        if !said {
            warn!(%error, "waiting for the CRDs: install chart plexica-crds");
            said = true;
        }
        sleep(TICK).await;
    }
}

async fn fill_gauges(ctx: Arc<Context>, store: Store<Root>) {
    use strum::IntoEnumIterator;
    loop {
        let tenants = store.state();
        for phase in plexica_crds::tenant::Phase::iter() {
            let count = tenants
                .iter()
                .filter_map(|guard| guard.0.as_ref().ok()?.status.as_ref()?.phase)
                .filter(|found| *found == phase)
                .count();
            let labels = PhaseLabels {
                kind: KIND,
                phase: phase.as_ref().to_owned(),
            };
            ctx.metrics
                .objects
                .get_or_create(&labels)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let waiting = i64::try_from(ctx.backoff.len()).unwrap_or(i64::MAX);
        ctx.metrics
            .in_backoff
            .get_or_create(&KindLabels { kind: KIND })
            .set(waiting);
        sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.into()),
            subresource: subresource.map(Into::into),
            ..ManagedFieldsEntry::default()
        }
    }

    #[test]
    fn only_what_others_wrote_triggers_a_pass() {
        let ours = entry("plexica-operator", None);
        assert!(!is_touched(std::slice::from_ref(&ours)));
        assert!(!is_touched(&[
            ours.clone(),
            entry("kube-controller-manager", Some("status"))
        ]));
        assert!(is_touched(&[ours, entry("kubectl-edit", None)]));
    }
}
