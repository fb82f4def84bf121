//! The Secret by which a plugin's pods reach their schema.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use plexica_crds::{
    LABEL_TENANT_ID,
    names::Slot,
    plugin_installation::conditions::{Outcome, Reason},
};

use super::super::{Context, build, failure, model::Place};
use crate::{
    backends::{Credential, postgres::DatabaseEndpoint},
    runtime::{
        age::{Age, get},
        apply::apply_to,
    },
};

fn api(place: &Place, ctx: &Context) -> Api<Secret> {
    Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str())
}

/// The Secret as pods know it: if the API server's cache shows the one that they log in with, that will do.
pub async fn of_pods(place: &Place, ctx: &Context) -> Result<Option<Secret>, Outcome> {
    let known = live(place, Age::Any, ctx).await?;
    let id = known.as_ref().and_then(held).map(|held| held.id);
    let namespace = place.slug.namespace();
    let is_used = [Slot::A, Slot::B].into_iter().any(|slot| {
        let deployment = ctx
            .watched
            .deployments
            .get(namespace.as_str(), place.id.deployment(slot).as_str());
        let used = deployment.as_ref().and_then(build::credential_of).map(str::to_owned);
        id.is_some() && used == id
    });
    if is_used {
        return Ok(known);
    }
    live(place, Age::Newest, ctx).await
}

/// The Secret as it is. One that is not ours is an error.
pub async fn live(place: &Place, age: Age<'_>, ctx: &Context) -> Result<Option<Secret>, Outcome> {
    let name = place.id.database_secret();
    let live = get(&api(place, ctx), name.as_str(), age)
        .await
        .map_err(|error| failure::of_api(&error))?;
    let ours = |secret: &Secret| {
        secret
            .labels()
            .get(LABEL_TENANT_ID)
            .is_some_and(|id| *id == place.owner.tenant_id.to_string())
    };
    if live.as_ref().is_some_and(|secret| !ours(secret)) {
        return Err(failure::not_owned(&format!("Secret {name}"), Reason::NotOwned));
    }
    Ok(live)
}

/// The credential that it holds, if it is complete.
pub fn held(secret: &Secret) -> Option<Credential> {
    let id = secret.annotations().get(build::ANNOTATION_CREDENTIAL)?.clone();
    let password = secret.data.as_ref()?.get("password")?;
    let password = String::from_utf8(password.0.clone()).ok()?;
    (!password.is_empty()).then(|| Credential {
        id,
        secret: password.into(),
    })
}

/// Makes the Secret as it shall be, unless it is so.
pub async fn write(
    place: &Place,
    live: Option<&Secret>,
    endpoint: &DatabaseEndpoint,
    credential: &Credential,
    ctx: &Context,
) -> Result<(), Outcome> {
    let declared = build::database_secret(place, endpoint, credential);
    apply_to(&api(place, ctx), &declared.name_any(), live, &declared)
        .await
        .map(drop)
        .map_err(|error| failure::of_api(&error))
}
