//! Secrets of a tenant: written last, after the backend knows the credential.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use plexica_crds::tenant::conditions::Outcome;
use secrecy::SecretString;

use super::Job;
use crate::{
    controllers::tenant::{build::ANNOTATION_CREDENTIAL, report},
    runtime::{apply, apply::Applied, client::within},
};

/// A credential as a Secret holds it.
pub struct Stored {
    /// Id under which the backend knows it.
    pub id: String,
    /// The secret itself.
    pub secret: SecretString,
}

fn api(job: &Job<'_>) -> Api<Secret> {
    Api::namespaced(job.ctx.objects.client.clone(), job.tenant.slug.namespace().as_str())
}

/// What the Secret holds under `key`, if it is there and complete.
pub async fn stored(job: &Job<'_>, name: &str, key: &str) -> Result<Option<Stored>, Outcome> {
    let live = within(api(job).get_opt(name))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    Ok(live.and_then(|live| {
        let id = live.annotations().get(ANNOTATION_CREDENTIAL)?.clone();
        let secret = String::from_utf8(live.data?.remove(key)?.0).ok()?;
        (!secret.is_empty()).then(|| Stored {
            id,
            secret: secret.into(),
        })
    }))
}

/// Makes the Secret as declared, unless it is so; says what was done.
pub async fn write(job: &Job<'_>, declared: &Secret) -> Result<Applied, Outcome> {
    apply::apply(&api(job), &declared.name_any(), declared)
        .await
        .map_err(|error| report::api_outcome(&error))
}
