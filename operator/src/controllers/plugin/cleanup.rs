//! The end of a Plugin that nobody uses: its row goes, and the copies that it alone needs, then the object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Context, Pass, failure, report, uses::parse_release};
use crate::{
    pools::Verb,
    runtime::objects::{Error, holds},
};

/// Ends a release. Only metadata is needed: the name says which release it is. `refers` says whether it may have copies.
pub async fn finalize(meta: &ObjectMeta, refers: bool, ctx: &Context) -> Result<Pass, Error> {
    let registry = &ctx.backends.registry;
    if holds(meta)
        && let Some((id, version)) = parse_release(meta.name.as_deref().unwrap_or_default())
    {
        let version = version.to_owned();
        let forgotten = registry
            .call(Verb::Record, |registry| async move {
                registry.forget_release(&id, &version).await
            })
            .await;
        if let Err(error) = forgotten {
            return Ok(Pass::Deleting(report::outcome(&error, registry)));
        }
        if refers {
            let (client, namespace) = (&ctx.objects.client, &ctx.namespace);
            let removed = ctx.copies.remove(meta, &ctx.plugins, client, namespace).await;
            if let Err(error) = removed {
                return Ok(Pass::Deleting(failure::of_api(&error)));
            }
        }
    }
    ctx.objects.release(meta).await?;
    Ok(Pass::Gone)
}
