//! What the others of the tenant see of an installation, from its status. Pure.

use kube::{Resource, ResourceExt};
use plexica_crds::{
    PluginInstallation,
    names::PluginId,
    plugin_installation::{PluginInstallationStatus, conditions::Reason},
};

use super::remember;
use crate::{
    promotion::PerSlot,
    together::{Member, Told},
};

/// What the others see of it; `None` if nothing of it is live, or is to run.
pub fn member(installation: &PluginInstallation) -> Option<Member> {
    let id = PluginId::parse(&installation.name_any()).ok()?;
    let status = installation.status.as_ref().filter(|_| installation.spec.enabled)?;
    Member::of(&id, &remember::memory(status), &told(installation, status))
}

/// What is known of it beside what its traffic light remembers.
fn told(installation: &PluginInstallation, status: &PluginInstallationStatus) -> Told {
    let asked = remember::requests(installation, &remember::memory(status).carried_out);
    let is_blocked_by = |reason: &Reason| {
        let rollback = status.rollback.as_ref();
        rollback.and_then(|rollback| rollback.blocked_by.as_deref()) == Some(reason.as_ref())
    };
    let meta = installation.meta();
    Told {
        is_current: status.observed_generation == meta.generation && meta.deletion_timestamp.is_none(),
        is_asked_back: asked.rollback.is_some(),
        is_released: installation.spec.promotion.auto || asked.promote.is_some(),
        ready: PerSlot {
            a: status.slots.a.as_ref().is_some_and(|slot| slot.ready > 0),
            b: status.slots.b.as_ref().is_some_and(|slot| slot.ready > 0),
        },
        prepared: remember::prepared(installation),
        blocked_by: [Reason::AwaitingOthers, Reason::Contracted]
            .into_iter()
            .find(is_blocked_by),
    }
}
