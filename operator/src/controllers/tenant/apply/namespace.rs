//! The tenant's namespace with what limits it.

use std::{fmt::Debug, future::Future, str::FromStr, time::Duration};

use k8s_openapi::api::{core::v1::Namespace, rbac::v1::RoleBinding};
use kube::{Api, Resource, ResourceExt, api::DeleteParams, core::NamespaceResourceScope};
use plexica_crds::{
    LABEL_TENANT, LABEL_TENANT_ID,
    tenant::conditions::{Outcome, Reason},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use super::{Job, Part};
use crate::{
    controllers::tenant::{
        build::{self, ANNOTATION_ORIGIN, Origin},
        report,
    },
    runtime::{
        apply::{self as objects, Applied},
        client::{ApiError, within},
    },
};

/// How long the authorizer may take to see a new RoleBinding. Seen: tens of milliseconds.
const PERMISSION_DEADLINE: Duration = Duration::from_secs(5);
const PERMISSION_POLL: Duration = Duration::from_millis(20);

/// Makes or adopts the namespace, and its binding, quota, limits and policy.
pub async fn apply(job: &Job<'_>) -> Part {
    provision(job).await.unwrap_or_else(Part::from)
}

async fn provision(job: &Job<'_>) -> Result<Part, Outcome> {
    let client = &job.ctx.objects.client;
    let api: Api<Namespace> = Api::all(client.clone());
    let name = job.tenant.slug.namespace().to_string();
    let live = within(api.get_opt(&name))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    let origin = match &live {
        None => Origin::Made,
        Some(live) => origin(live, job)?,
    };
    let mut corrected = vec![];
    let declared = build::namespace(job.tenant, origin);
    let done = objects::apply_to(&api, &name, live.as_ref(), &declared).await;
    note(
        &mut corrected,
        "Namespace",
        done.map_err(|error| report::api_outcome(&error))?,
    );

    let binding = build::role_binding(job.tenant, &job.ctx.account);
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &name);
    let done = objects::apply(&bindings, &binding.name_any(), &binding).await;
    note(
        &mut corrected,
        "RoleBinding",
        done.map_err(|error| report::api_outcome(&error))?,
    );

    let (quota, limits, policy) = tokio::join!(
        optional(job, build::resource_quota(job.tenant)),
        optional(job, build::limit_range(job.tenant)),
        optional(job, build::network_policy(job.tenant)),
    );
    for (kind, done) in [
        ("ResourceQuota", quota),
        ("LimitRange", limits),
        ("NetworkPolicy", policy),
    ] {
        note(&mut corrected, kind, done.map_err(|error| report::api_outcome(&error))?);
    }
    let made = match origin {
        Origin::Made => "made by the operator",
        Origin::Adopted => "adopted: it is never deleted",
    };
    Ok(Part {
        corrected,
        ..Part::done(format!("{name}, {made}"))
    })
}

/// Whether the namespace that is there may be the tenant's, and where it comes from.
fn origin(live: &Namespace, job: &Job<'_>) -> Result<Origin, Outcome> {
    let name = live.name_any();
    if live.meta().deletion_timestamp.is_some() {
        return Err(Outcome::Waiting(
            Reason::NamespaceTerminating,
            format!("namespace {name} is being deleted; it is made again when it is gone"),
        ));
    }
    let label = |key: &str| live.labels().get(key).map(String::as_str);
    if label(LABEL_TENANT) != Some(job.tenant.slug.as_str()) {
        return Err(Outcome::Blocked(
            Reason::NotOwned,
            format!(
                "namespace {name} exists without the label {LABEL_TENANT}: {}; to give it to this tenant: kubectl label namespace {name} {LABEL_TENANT}={}",
                job.tenant.slug, job.tenant.slug
            ),
        ));
    }
    let id = job.tenant.owner.tenant_id.to_string();
    if let Some(other) = label(LABEL_TENANT_ID).filter(|found| *found != id) {
        return Err(Outcome::Blocked(
            Reason::NotOwned,
            format!("namespace {name} belongs to an earlier tenant with id {other}: delete it or choose another name"),
        ));
    }
    let noted = live
        .annotations()
        .get(ANNOTATION_ORIGIN)
        .and_then(|text| Origin::from_str(text).ok());
    Ok(noted.unwrap_or(Origin::Adopted))
}

/// Makes an object of the namespace as declared, or removes it if none is declared.
async fn optional<K>(job: &Job<'_>, declared: Option<K>) -> Result<Applied, ApiError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = build::owned_name::<K>();
    let api: Api<K> = Api::namespaced(job.ctx.objects.client.clone(), job.tenant.slug.namespace().as_str());
    once_permitted(|| async {
        match &declared {
            Some(declared) => objects::apply(&api, name, declared).await,
            None if within(api.get_opt(name)).await?.is_some() => within(api.delete(name, &DeleteParams::default()))
                .await
                .map(|_| Applied::Updated),
            None => Ok(Applied::Unchanged),
        }
    })
    .await
}

/// Repeats what is forbidden for as long as a new RoleBinding may take to be seen.
async fn once_permitted<T, F: Future<Output = Result<T, ApiError>>>(attempt: impl Fn() -> F) -> Result<T, ApiError> {
    let deadline = Instant::now() + PERMISSION_DEADLINE;
    loop {
        match attempt().await {
            Err(error) if error.status().is_some_and(kube::core::Status::is_forbidden) && Instant::now() < deadline => {
                sleep(PERMISSION_POLL).await;
            }
            result => return result,
        }
    }
}

fn note(corrected: &mut Vec<String>, kind: &str, applied: Applied) {
    match applied {
        Applied::Unchanged => {}
        Applied::Created => corrected.push(format!("{kind} was missing")),
        Applied::Updated => corrected.push(format!("{kind} had been changed")),
    }
}
