//! The Deployments of an installation's slots: what each runs, it runs again whenever it has to be made.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use plexica_crds::{
    names::Slot,
    plugin_installation::conditions::{Outcome, Reason},
};

use crate::{
    controllers::plugin_installation::{
        build::{self, InSlot},
        model::{Place, RunningSet},
    },
    promotion::Shape,
};

/// Makes what slots run from what was frozen of it.
pub struct Slots<'a> {
    /// Whose they are.
    pub place: &'a Place,
    /// What may run in them.
    pub set: &'a RunningSet,
    /// Id of the credential that pods log in with; `None` if that is not known now: then they keep theirs.
    pub credential: Option<&'a str>,
    /// How long a rollout may make no progress.
    pub progress_deadline: Duration,
}

impl Slots<'_> {
    /// The Deployment of a slot.
    ///
    /// # Errors
    /// Nothing is known any more of what it is to run.
    pub fn deployment(&self, slot: Slot, shape: &Shape, live: Option<&Deployment>) -> Result<Deployment, Outcome> {
        let Some(frozen) = self.set.get(&shape.revision) else {
            let (id, version) = (&self.place.id, &shape.revision.version);
            return Err(Outcome::Blocked(
                Reason::PluginUnknown,
                format!(
                    "slot {} runs {id} {version}, and neither its ControllerRevision {} nor its Deployment is there any more: choose \
                     another version or configuration, which makes a new one",
                    slot.as_ref(),
                    build::revision_name(id, &shape.revision.config_hash)
                ),
            ));
        };
        Ok(build::deployment(
            self.place,
            &InSlot {
                slot,
                shape,
                frozen,
                credential: self.credential.or(live.and_then(build::credential_of)),
                progress_deadline: self.progress_deadline,
            },
        ))
    }
}
