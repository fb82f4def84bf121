//! What a person asks for is done at once: a switch does not wait for its turn among the passes of all installations.
//!
//! It is one write, by what the watches told, and only if nobody wrote to the Service since. All else is the pass's, which finds
//! the Service turned as after a kill, and is put off until then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt};
use plexica_crds::PluginInstallation;
use tracing::{Instrument, debug, info_span};

use super::{
    Context, apply, dereference,
    validate::{self, Running},
};
use crate::runtime::objects::holds;

/// How long the pass is put off: so long the API server's time belongs to those who follow a switch, EndpointSlices and other
/// switches.
const FOLLOWED_IN: Duration = Duration::from_millis(100);

/// Whose turn it is at an installation, by uid: a request that is carried out, or a pass. A pass that began before the request came
/// does not know of it, and would take the turned Service for somebody's doing; so no request is carried out beside it.
#[derive(Default)]
pub struct InHand(Mutex<HashMap<String, Turn>>);

enum Turn {
    /// A request: passes are put off until then.
    Request(Instant),
    /// A pass.
    Pass,
}

/// The turn of a pass; it ends with this.
pub struct PassTurn<'a> {
    all: &'a InHand,
    uid: String,
}

impl Drop for PassTurn<'_> {
    fn drop(&mut self) {
        self.all.lock().remove(&self.uid);
    }
}

impl InHand {
    /// The turn of a pass over an installation.
    ///
    /// # Errors
    /// A request is being carried out: how long the pass is put off.
    pub fn pass(&self, uid: &str) -> Result<PassTurn<'_>, Duration> {
        let mut all = self.lock();
        if let Some(Turn::Request(until)) = all.get(uid)
            && let Some(wait) = until.checked_duration_since(Instant::now())
        {
            return Err(wait);
        }
        all.insert(uid.to_owned(), Turn::Pass);
        Ok(PassTurn {
            all: self,
            uid: uid.to_owned(),
        })
    }

    /// Whether a request may be carried out: no pass is under way.
    fn request(&self, uid: &str) -> bool {
        let mut all = self.lock();
        let is_free = !matches!(all.get(uid), Some(Turn::Pass));
        if is_free {
            all.insert(uid.to_owned(), Turn::Request(Instant::now() + FOLLOWED_IN));
        }
        is_free
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An installation has changed: if a person asks for a switch, that begins.
pub fn told(ctx: &Arc<Context>, installation: &PluginInstallation) {
    if installation.meta().deletion_timestamp.is_some()
        || !holds(installation.meta())
        || !apply::is_asked_to_switch(installation)
    {
        return;
    }
    if !ctx.in_hand.request(&installation.uid().unwrap_or_default()) {
        return;
    }
    let (ctx, installation) = (Arc::clone(ctx), installation.clone());
    let span = info_span!(
        "request",
        tenant = installation.namespace(),
        object = installation.name_any(),
    );
    tokio::spawn(async move { carry_out(&installation, &ctx).await }.instrument(span));
}

/// Whatever stands in the way is found, and told, by the pass.
async fn carry_out(installation: &PluginInstallation, ctx: &Context) {
    let world = dereference::world(installation, &ctx.caches);
    let wanted = world.and_then(|world| validate::validate(installation, &world, &ctx.platform));
    let done = match wanted {
        Ok(wanted) if wanted.runs == Running::Yes => apply::switch_at_once(installation, &wanted, ctx).await,
        Ok(_) => Ok(()),
        Err(outcome) => Err(outcome),
    };
    if let Err(outcome) = done {
        debug!(?outcome, "the request waits for the pass");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_puts_passes_off_and_a_pass_keeps_requests_out() {
        let all = InHand::default();
        let pass = all.pass("one").ok();
        assert!(pass.is_some());
        assert!(!all.request("one"));
        assert!(all.request("other"));
        assert!(all.pass("other").is_err_and(|wait| wait <= FOLLOWED_IN));
        drop(pass);
        assert!(all.request("one"));
        // Its time is over.
        all.lock().insert("one".to_owned(), Turn::Request(Instant::now()));
        drop(all.pass("one").ok());
        assert!(!all.lock().contains_key("one"));
    }
}
