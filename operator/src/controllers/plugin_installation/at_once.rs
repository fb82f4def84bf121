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

/// Installations whose request is being carried out, by uid. Only a matter of order: nothing is lost with it.
#[derive(Default)]
pub struct InHand(Mutex<HashMap<String, Instant>>);

impl InHand {
    /// How long the pass over an installation is put off; `None` if it is not.
    pub fn wait(&self, uid: &str) -> Option<Duration> {
        let mut all = self.lock();
        let until = *all.get(uid)?;
        let wait = until.checked_duration_since(Instant::now());
        if wait.is_none() {
            all.remove(uid);
        }
        wait
    }

    fn begins(&self, uid: String) {
        self.lock().insert(uid, Instant::now() + FOLLOWED_IN);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
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
    ctx.in_hand.begins(installation.uid().unwrap_or_default());
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
    fn a_pass_is_put_off_once_and_not_for_long() {
        let all = InHand::default();
        assert_eq!(all.wait("one"), None);
        all.begins("one".to_owned());
        assert!(all.wait("one").is_some_and(|wait| wait <= FOLLOWED_IN));
        assert_eq!(all.wait("other"), None);
        all.lock().insert("one".to_owned(), Instant::now());
        assert_eq!(all.wait("one"), None);
        assert!(all.lock().is_empty());
    }
}
