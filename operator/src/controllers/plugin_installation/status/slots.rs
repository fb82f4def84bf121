//! Slots in the status where traffic does not write them: of a release for all tenants, where nothing runs, and for autoscalers.

use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, SlotStatus},
};

use super::Steps;
use crate::controllers::plugin_installation::build;

/// What a release for all tenants holds: it has one slot.
pub fn shared(status: &mut PluginInstallationStatus, slot: &SlotStatus, is_complete: bool) {
    if is_complete || status.live_slot.is_none() && slot.ready > 0 {
        status.config_hash = Some(slot.config_hash.clone());
        status.live_slot = Some(Slot::A);
        status.slots.a = Some(slot.clone());
        (status.slots.b, status.transition, status.rollback) = (None, None, None);
    } else if let Some(live) = &mut status.slots.a {
        live.ready = slot.ready;
        live.desired = slot.desired;
    }
    status.lights.green = status.slots.a.as_ref().map(light);
    status.lights.yellow = None;
}

/// What autoscalers read. Pods of a release for all tenants are elsewhere, and not this installation's to scale.
pub fn scale(status: &mut PluginInstallationStatus, steps: &Steps) {
    let live = status.live_slot;
    status.replicas = live.and_then(|slot| status.slots.get(slot)).map(|slot| slot.ready);
    if steps.slot.is_some() {
        status.selector = None;
    } else if steps.traffic.is_some() {
        status.selector = live.map(|slot| build::slot_selector(&steps.id, slot));
    }
}

/// Nothing runs: there is no candidate, and nothing to go back to.
pub fn stopped(status: &mut PluginInstallationStatus) {
    (status.transition, status.rollback) = (None, None);
    let live = status.live_slot;
    for slot in [Slot::A, Slot::B] {
        let held = status.slots.get_mut(slot);
        if live == Some(slot) {
            if let Some(held) = held {
                (held.ready, held.desired, held.ready_since) = (0, 0, None);
            }
        } else {
            *held = None;
        }
    }
    status.lights.green = live.and_then(|slot| status.slots.get(slot)).map(light);
    status.lights.yellow = None;
}

fn light(slot: &SlotStatus) -> String {
    format!("{} {}/{}", slot.version, slot.ready, slot.desired)
}
