//! The end of a Tenant: its access is revoked, and its data kept or dropped.
//!
//! Nothing is read from the tenant's namespace, so that it may be deleted first. Every step tolerates that
//! there is nothing to do, and touches only what bears the tenant's mark.

use std::{collections::BTreeMap, fmt::Debug, str::FromStr};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota, Secret},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::events::{Event, EventType},
};
use plexica_crds::{
    ANNOTATION_CONFIRM_DELETE, LABEL_RETAINED, LABEL_TENANT_ID, Tenant,
    names::TenantSlug,
    ownership::Owner,
    tenant::{
        DeletionPolicy,
        conditions::{Outcome, Reason},
    },
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::info;
use uuid::Uuid;

use super::{
    Context, Pass,
    build::{ANNOTATION_ORIGIN, DATABASE_SECRET, IDENTITY_SECRET, Origin, STORAGE_SECRET, owned_name},
    closing::{self, Closing},
    report,
};
use crate::{
    pools::Verb,
    runtime::{
        apply::FieldManager,
        client::within,
        objects::{Error, holds},
    },
};

/// How long data of an object that does not decode is kept: the default of `spec.retention`.
const FALLBACK_RETENTION: std::time::Duration = std::time::Duration::from_hours(720);

/// What is to become of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Kept until then at least.
    Keep(Timestamp),
    /// Dropped.
    Drop,
}

/// Brings a Tenant in deletion to its end.
pub async fn finalize(tenant: &Tenant, ctx: &Context) -> Result<Pass, Error> {
    let meta = tenant.meta();
    let fate = match (
        tenant.spec.deletion_policy,
        is_confirmed(tenant.annotations(), &tenant.name_any()),
    ) {
        (DeletionPolicy::Delete, true) => Fate::Drop,
        (DeletionPolicy::Delete, false) => {
            unconfirmed(tenant, ctx);
            Fate::Keep(Timestamp::now() + tenant.spec.retention.value())
        }
        (DeletionPolicy::Retain, _) => Fate::Keep(Timestamp::now() + tenant.spec.retention.value()),
    };
    let known_id = tenant.status.as_ref().and_then(|status| status.tenant_id);
    end(meta, known_id, fate, ctx).await
}

/// Ends an object of which only metadata is known: its data is kept.
pub async fn retain(meta: &ObjectMeta, ctx: &Context) -> Result<Pass, Error> {
    end(meta, None, Fate::Keep(Timestamp::now() + FALLBACK_RETENTION), ctx).await
}

/// Deleting data needs the tenant's name, written once more by a person.
fn is_confirmed(annotations: &BTreeMap<String, String>, name: &str) -> bool {
    annotations
        .get(ANNOTATION_CONFIRM_DELETE)
        .is_some_and(|value| value == name)
}

fn unconfirmed(tenant: &Tenant, ctx: &Context) {
    let event = Event {
        type_: EventType::Warning,
        reason: "DeleteNotConfirmed".to_owned(),
        action: "Retain".to_owned(),
        note: Some(format!(
            "deletionPolicy is Delete, but annotation {ANNOTATION_CONFIRM_DELETE} does not hold `{}`: access is revoked, data is kept",
            tenant.name_any()
        )),
        secondary: None,
    };
    ctx.objects.publish(tenant, vec![event]);
}

async fn end(meta: &ObjectMeta, known_id: Option<Uuid>, fate: Fate, ctx: &Context) -> Result<Pass, Error> {
    let name = meta.name.as_deref().unwrap_or_default();
    if holds(meta)
        && let Ok(slug) = TenantSlug::parse(name)
    {
        let own_id = || {
            meta.uid
                .as_deref()
                .and_then(|uid| Uuid::parse_str(uid).ok())
                .unwrap_or_default()
        };
        let owner = Owner {
            tenant_id: known_id.unwrap_or_else(own_id),
            installation: ctx.platform.installation_id.clone(),
        };
        if let Err(outcome) = close(&slug, &owner, fate, ctx).await {
            return Ok(Pass::Deleting(outcome));
        }
        info!(fate = ?fate, "the tenant's end is reached");
    }
    ctx.objects.release(meta).await?;
    Ok(Pass::Gone)
}

async fn close(slug: &TenantSlug, owner: &Owner, fate: Fate, ctx: &Context) -> Result<(), Outcome> {
    let registry = &ctx.backends.registry;
    let failed = |error| report::outcome(&error, registry);
    let row = registry
        .call(Verb::Observe, |registry| async move { registry.get(slug).await })
        .await
        .map_err(failed)?;
    // No row of ours: nothing was ever written outside of Kubernetes.
    let Some(row) = row.filter(|row| row.id == owner.tenant_id) else {
        return Ok(());
    };
    let how = match fate {
        Fate::Keep(_) => Closing::Revoke,
        Fate::Drop => Closing::Drop,
    };
    closing::close(slug, owner, &row.pools, how, ctx).await.all()?;
    close_namespace(slug, owner, fate, ctx).await?;
    let verb = if fate == Fate::Drop { Verb::Delete } else { Verb::Revoke };
    registry
        .call(verb, |registry| async move {
            match fate {
                Fate::Keep(until) => registry.retire(owner, slug, until).await,
                Fate::Drop => registry.forget(owner, slug).await,
            }
        })
        .await
        .map_err(failed)
}

/// A namespace that the operator made goes with the data or is kept with it; an adopted one only loses what is ours.
async fn close_namespace(slug: &TenantSlug, owner: &Owner, fate: Fate, ctx: &Context) -> Result<(), Outcome> {
    let api: Api<Namespace> = Api::all(ctx.objects.client.clone());
    let name = slug.namespace().to_string();
    let failed = |error| report::api_outcome(&error);
    let Some(live) = within(api.get_opt(&name)).await.map_err(failed)? else {
        return Ok(());
    };
    let ours = live
        .labels()
        .get(LABEL_TENANT_ID)
        .is_some_and(|id| *id == owner.tenant_id.to_string());
    if !ours || live.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let origin = live
        .annotations()
        .get(ANNOTATION_ORIGIN)
        .and_then(|text| Origin::from_str(text).ok());
    match (fate, origin) {
        (Fate::Drop, Some(Origin::Made)) => {
            let uid = DeleteParams::default().preconditions(kube::api::Preconditions {
                uid: live.uid(),
                resource_version: None,
            });
            within(api.delete(&name, &uid)).await.map(drop).map_err(failed)
        }
        (Fate::Drop, Some(Origin::Adopted) | None) => leave_adopted(&name, ctx).await,
        (Fate::Keep(_), _) => {
            let patch = json!({ "metadata": { "uid": live.uid(), "labels": { LABEL_RETAINED: "true" } } });
            let params = PatchParams {
                field_manager: Some(FieldManager::Objects.as_ref().to_owned()),
                ..PatchParams::default()
            };
            within(api.patch_metadata(&name, &params, &Patch::Merge(patch)))
                .await
                .map(drop)
                .map_err(failed)
        }
    }
}

async fn leave_adopted(namespace: &str, ctx: &Context) -> Result<(), Outcome> {
    for secret in [DATABASE_SECRET, STORAGE_SECRET, IDENTITY_SECRET] {
        remove::<Secret>(namespace, secret, ctx).await?;
    }
    remove::<ResourceQuota>(namespace, owned_name::<ResourceQuota>(), ctx).await?;
    remove::<LimitRange>(namespace, owned_name::<LimitRange>(), ctx).await?;
    remove::<NetworkPolicy>(namespace, owned_name::<NetworkPolicy>(), ctx).await?;
    // Last: it is what permits the rest.
    remove::<RoleBinding>(namespace, owned_name::<RoleBinding>(), ctx).await?;
    let api: Api<Namespace> = Api::all(ctx.objects.client.clone());
    let patch = json!({ "metadata": {
        "labels": { LABEL_TENANT_ID: null, LABEL_RETAINED: null },
        "annotations": { ANNOTATION_ORIGIN: null },
    }});
    let params = PatchParams {
        field_manager: Some(FieldManager::Objects.as_ref().to_owned()),
        ..PatchParams::default()
    };
    within(api.patch_metadata(namespace, &params, &Patch::Merge(patch)))
        .await
        .map(drop)
        .map_err(|error| report::api_outcome(&error))
}

async fn remove<K>(namespace: &str, name: &str, ctx: &Context) -> Result<(), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), namespace);
    match within(api.delete(name, &DeleteParams::default())).await {
        Ok(_) => Ok(()),
        Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
        // The binding that permitted it is gone already: so is the rest.
        Err(error) if error.status().is_some_and(kube::core::Status::is_forbidden) => {
            Err(Outcome::Waiting(Reason::ApiRefused, format!("Kubernetes: {error}")))
        }
        Err(error) => Err(report::api_outcome(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_dropped_only_when_the_name_is_written_once_more() {
        let annotations = |value: &str| BTreeMap::from([(ANNOTATION_CONFIRM_DELETE.to_owned(), value.to_owned())]);
        assert!(is_confirmed(&annotations("acme"), "acme"));
        assert!(!is_confirmed(&annotations("true"), "acme"));
        assert!(!is_confirmed(&BTreeMap::new(), "acme"));
    }
}
