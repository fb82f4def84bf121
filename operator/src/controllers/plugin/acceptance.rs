//! Whether a release is accepted: judged once, and from then on compared with what was accepted. What becomes of a ConfigMap
//! with its migrations, or of the API server's answers, takes nothing back.

use plexica_crds::{Plugin, plugin::conditions::Outcome};
use tracing::debug;

use super::{
    Context,
    dereference::{Script, Sources},
    scripts, validate,
    validate::Accepted,
};

/// A release that may be accepted, and the statements that are to be copied before it is.
pub type Acceptable = (Accepted, Vec<Script>);

/// Judges a release.
///
/// # Errors
/// Why it is not accepted, or not yet. One that was accepted is not what it was.
pub async fn judge(plugin: &Plugin, ctx: &Context) -> Result<Acceptable, Outcome> {
    match validate::accepted_digest(plugin) {
        Some(digest) => again(plugin, digest, ctx).await,
        None => first(plugin, ctx).await,
    }
}

async fn first(plugin: &Plugin, ctx: &Context) -> Result<Acceptable, Outcome> {
    let scripts = sources(ctx).all(plugin).await?;
    let accepted = validate::accept(plugin, &scripts)?;
    ctx.base_paths.claim(plugin, &ctx.plugins.state())?;
    Ok((accepted, scripts))
}

async fn again(plugin: &Plugin, digest: &str, ctx: &Context) -> Result<Acceptable, Outcome> {
    if let Some(recorded) = validate::recorded(plugin) {
        let mut accepted = validate::confirm(plugin, digest, recorded)?;
        let notices = scripts::care(
            plugin,
            &accepted.scripts,
            &ctx.copies,
            &ctx.objects.client,
            &ctx.namespace,
        );
        // Nobody could look: that is no news of the release.
        accepted.notices = notices.await.unwrap_or_else(|error| {
            debug!(%error, "the copies of its migrations could not be looked at");
            vec![]
        });
        return Ok((accepted, vec![]));
    }
    // An operator that made no copies accepted it: they are made now.
    let why = match sources(ctx).all(plugin).await {
        Ok(scripts) => {
            let hashed = validate::hashed(plugin, &scripts);
            match validate::confirm(plugin, digest, hashed) {
                Ok(accepted) => return Ok((accepted, scripts)),
                Err(_) => "a ConfigMap with them is not what was accepted: apply it as it was".to_owned(),
            }
        }
        Err(Outcome::Done(_, why) | Outcome::Waiting(_, why) | Outcome::Blocked(_, why)) => why,
    };
    let mut accepted = validate::unconfirmed(plugin, digest);
    accepted.is_uncopied(&why);
    Ok((accepted, vec![]))
}

fn sources(ctx: &Context) -> Sources<'_> {
    Sources::of(&ctx.objects.client, &ctx.namespace)
}
