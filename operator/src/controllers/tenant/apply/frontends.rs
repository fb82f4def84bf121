//! The ConfigMap by which a tenant's shell knows the front ends of its plugins.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use plexica_crds::{
    LABEL_TENANT_ID,
    tenant::conditions::{Outcome, Reason},
};

use super::{Job, NamespacePart};
use crate::{
    controllers::tenant::{build, frontends, report},
    runtime::{apply::apply_to, client::within},
};

/// Writes the list, unless it is so. A tenant that never had a front end has no list; one that has none any more has an
/// empty one: whoever has mounted it is told.
pub async fn apply(job: &Job<'_>, namespace: NamespacePart<'_>) -> Outcome {
    if !matches!(namespace.await.outcome, Outcome::Done(..)) {
        // It says so itself.
        return Outcome::done();
    }
    write(job).await.err().unwrap_or_else(Outcome::done)
}

async fn write(job: &Job<'_>) -> Result<(), Outcome> {
    let slug = &job.tenant.slug;
    let remotes = if job.tenant.suspended {
        vec![]
    } else {
        let installations = job.ctx.installations.state();
        frontends::all(&installations, &job.ctx.plugins)
            .remove(slug.as_str())
            .unwrap_or_default()
    };
    let api: Api<ConfigMap> = Api::namespaced(job.ctx.objects.client.clone(), slug.namespace().as_str());
    let live = within(api.get_opt(build::FRONTENDS))
        .await
        .map_err(|error| report::api_outcome(&error))?;
    match &live {
        None if remotes.is_empty() => return Ok(()),
        Some(live) if !is_ours(live, job) => {
            let message = format!(
                "ConfigMap {} exists and is not the tenant's; it stays untouched: remove or rename it",
                build::FRONTENDS
            );
            return Err(Outcome::Blocked(Reason::NotOwned, message));
        }
        None | Some(_) => {}
    }
    let declared = build::frontends(job.tenant, &remotes);
    apply_to(&api, build::FRONTENDS, live.as_ref(), &declared)
        .await
        .map(drop)
        .map_err(|error| report::api_outcome(&error))
}

fn is_ours(live: &ConfigMap, job: &Job<'_>) -> bool {
    let id = job.tenant.owner.tenant_id.to_string();
    live.labels().get(LABEL_TENANT_ID) == Some(&id)
}
