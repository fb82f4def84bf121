//! What a person asks for is done at once: a switch does not wait for its turn among the passes of all installations.
//!
//! It is one write, by what the watches told, and only if nobody wrote to the Service since. All else is the pass's, which finds
//! the Service turned as after a kill, and is put off until then (`turns.rs`). What is asked for during a pass is done when that is
//! over; one that waits for a backend is given up.

use std::sync::Arc;

use kube::{Resource, ResourceExt};
use plexica_crds::{PluginInstallation, plugin_installation::conditions::Outcome};
use tracing::{Instrument, debug, info_span};

use super::{
    Context, apply, dereference,
    turns::Request,
    validate::{self, Facts},
};
use crate::runtime::objects::holds;

/// An installation has changed: if a person asks for a switch, that begins.
pub fn told(ctx: &Arc<Context>, installation: &PluginInstallation) {
    let Some(request) = asks(installation).then(|| take_up(installation, ctx)).flatten() else {
        return;
    };
    let (ctx, installation) = (Arc::clone(ctx), installation.clone());
    let span = info_span!(
        "request",
        tenant = installation.namespace(),
        object = installation.name_any(),
    );
    tokio::spawn(async move { carry_out(request, &installation, &ctx).await }.instrument(span));
}

/// A pass is to begin: what a person asked for during the last one comes first, by what is known of the installation now.
pub async fn catch_up(installation: &PluginInstallation, ctx: &Context) {
    let uid = installation.uid().unwrap_or_default();
    if ctx.in_hand.missed(&uid)
        && asks(installation)
        && let Some(request) = take_up(installation, ctx)
    {
        carry_out(request, installation, ctx).await;
    }
}

/// What a person asks for, if no pass is under way.
fn take_up(installation: &PluginInstallation, ctx: &Context) -> Option<Request> {
    let (uid, tenant) = (installation.uid(), installation.namespace());
    ctx.in_hand
        .request(&uid.unwrap_or_default(), &tenant.unwrap_or_default())
}

/// Whether a person asks for a switch of what is there to stay.
fn asks(installation: &PluginInstallation) -> bool {
    let meta = installation.meta();
    meta.deletion_timestamp.is_none() && holds(meta) && apply::is_asked_to_switch(installation)
}

/// Whatever stands in the way is found, and told, by the pass.
async fn carry_out(request: Request, installation: &PluginInstallation, ctx: &Context) {
    let mut turn = ctx.in_hand.carrying_out(request);
    let done = async {
        let world = dereference::world(installation, &ctx.caches)?;
        let facts = Facts::of(installation, &world, &ctx.platform)?;
        if facts.stop.is_some() {
            return Ok(false);
        }
        // What comes next may be unknown: one can go back nevertheless.
        let wanted = validate::choose(installation, &world).ok();
        apply::switch_at_once(installation, &facts, wanted.as_ref(), ctx).await
    };
    let done: Result<bool, Outcome> = done.await;
    if !matches!(done, Ok(true)) {
        turn.came_to_nothing();
    }
    if let Err(outcome) = done {
        debug!(?outcome, "the request waits for the pass");
    }
}
