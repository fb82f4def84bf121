//! Slots in the status where traffic does not write them: of a release for all tenants, where nothing runs, and for autoscalers.

use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, SlotStatus},
};

use crate::{
    controllers::plugin_installation::{apply::Steps, build},
    promotion::outlasts_a_stop,
};

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

/// Nothing runs: there is no candidate, and nothing to go back to. What is past its switch goes on when it runs again: a rollback
/// window is open until its deadline, and until then no Contract migration runs.
pub fn stopped(status: &mut PluginInstallationStatus) {
    status.rollback = None;
    status.transition = status.transition.take().filter(|moving| outlasts_a_stop(moving.step));
    if let Some(moving) = &mut status.transition {
        moving.message = Some("nothing runs; it goes on when the installation runs again".to_owned());
        // Others do not wait for what may be off for ever.
        moving.deadline.get_or_insert_with(|| moving.started_at.clone());
    }
    let (live, goes_on) = (status.live_slot, status.transition.is_some());
    for slot in [Slot::A, Slot::B] {
        let held = status.slots.get_mut(slot);
        if live == Some(slot) || goes_on {
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

#[cfg(test)]
mod tests {
    use plexica_crds::plugin_installation::Step;
    use serde_json::json;
    use strum::IntoEnumIterator;

    use super::*;

    /// 2.0.0 on its way to slot `b`, or live there.
    fn stopped_at(step: Step) -> PluginInstallationStatus {
        let slot = |version: &str| json!({ "light": "Green", "version": version, "configHash": "c", "ready": 2, "desired": 2 });
        let is_live = step > Step::Switching;
        let mut status = serde_json::from_value(json!({
            "liveSlot": if is_live { "b" } else { "a" },
            "slots": { "a": slot("1.0.0"), "b": slot("2.0.0") },
            "transition": {
                "id": "1-b", "from": "a", "to": "b", "version": "2.0.0", "configHash": "c", "reason": "NewVersion",
                "step": step, "startedAt": "2026-11-30T12:00:00Z", "deadline": "2026-11-30T12:15:00Z",
            },
        }))
        .unwrap();
        stopped(&mut status);
        status
    }

    #[test]
    fn a_candidate_is_given_up_and_what_is_past_its_switch_keeps_its_deadline_and_what_both_slots_ran() {
        for step in Step::iter() {
            let status = stopped_at(step);
            let (a, b) = (status.slots.a, status.slots.b);
            if step < Step::Switching {
                assert_eq!((status.transition, b), (None, None), "{step:?}");
                assert_eq!(a.map(|live| (live.version, live.desired)), Some(("1.0.0".into(), 0)));
                continue;
            }
            let deadline = status.transition.and_then(|moving| moving.deadline);
            assert_eq!(deadline.unwrap().0.to_string(), "2026-11-30T12:15:00Z", "{step:?}");
            let versions = [a, b].map(|slot| slot.map(|slot| (slot.version, slot.ready, slot.desired)));
            assert_eq!(versions, [Some(("1.0.0".into(), 0, 0)), Some(("2.0.0".into(), 0, 0))]);
            assert_eq!((status.rollback, status.lights.yellow), (None, None));
        }
    }
}
