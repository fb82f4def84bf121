//! The Secret by which a plugin's pods reach their schema.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use plexica_crds::{
    LABEL_TENANT_ID,
    plugin_installation::conditions::{Outcome, Reason},
};

use super::super::{Context, build, model::Place, report};
use crate::{
    backends::{Credential, postgres::DatabaseEndpoint},
    runtime::{apply::apply_to, client::within},
};

fn api(place: &Place, ctx: &Context) -> Api<Secret> {
    Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str())
}

/// The Secret as it is. One that is not ours is an error.
pub async fn live(place: &Place, ctx: &Context) -> Result<Option<Secret>, Outcome> {
    let name = place.id.database_secret();
    let live = within(api(place, ctx).get_opt(name.as_str()))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    let ours = |secret: &Secret| {
        secret
            .labels()
            .get(LABEL_TENANT_ID)
            .is_some_and(|id| *id == place.owner.tenant_id.to_string())
    };
    if live.as_ref().is_some_and(|secret| !ours(secret)) {
        return Err(report::not_owned(&format!("Secret {name}"), Reason::NotOwned));
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
        .map_err(|error| report::api_outcome(&error))
}
