//! Between the status and what the machine remembers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use plexica_crds::{
    PluginInstallation,
    names::Slot,
    plugin_installation::{
        Light, PluginInstallationStatus, RejectedVersion, RequestsStatus, SlotStatus, Step, TransitionRecord,
        TransitionStatus,
    },
};

use crate::promotion::{
    CarriedOut, Deployed, Ended, Explanation, Memory, Observed, PerSlot, Rejection, Requests, Revision, Transition,
};

/// What was prepared to be live next: an earlier pass has kept its revision.
pub fn prepared(installation: &PluginInstallation) -> Option<Revision> {
    let status = installation.status.as_ref()?;
    Some(Revision {
        version: status.resolved.as_ref()?.version.clone(),
        config_hash: status.config_hash.clone()?,
    })
}

/// What the status remembers.
pub fn memory(status: &PluginInstallationStatus) -> Memory {
    let revision = |slot: &SlotStatus| revision(&slot.version, &slot.config_hash);
    let RequestsStatus {
        promote,
        rollback,
        retry,
        wake: _,
    } = status.requests.clone();
    Memory {
        live: status.live_slot,
        revisions: PerSlot {
            a: status.slots.a.as_ref().map(revision),
            b: status.slots.b.as_ref().map(revision),
        },
        transition: status.transition.as_ref().map(transition),
        rejected: status.rejected.iter().map(rejection).collect(),
        history: status.history.iter().map(ended).collect(),
        carried_out: CarriedOut {
            promote,
            rollback,
            retry,
        },
    }
}

fn revision(version: &str, config_hash: &str) -> Revision {
    Revision {
        version: version.to_owned(),
        config_hash: config_hash.to_owned(),
    }
}

fn transition(status: &TransitionStatus) -> Transition {
    Transition {
        id: status.id.clone(),
        from: status.from,
        to: status.to,
        revision: revision(&status.version, &status.config_hash),
        cause: status.reason,
        step: status.step,
        started_at: status.started_at.0,
        deadline: status.deadline.as_ref().map(|deadline| deadline.0),
    }
}

fn rejection(status: &RejectedVersion) -> Rejection {
    Rejection {
        revision: revision(&status.version, &status.config_hash),
        why: status.reason,
        at: status.at.0,
    }
}

fn ended(status: &TransitionRecord) -> Ended {
    Ended {
        id: status.id.clone(),
        from: status.from.clone(),
        to: status.to.clone(),
        cause: status.reason,
        result: status.result,
        started_at: status.started_at.0,
        finished_at: status.finished_at.0,
    }
}

/// Writes into a status what is remembered.
pub fn write(status: &mut PluginInstallationStatus, memory: &Memory) {
    let Memory {
        live,
        revisions: _,
        transition,
        rejected,
        history,
        carried_out,
    } = memory;
    status.live_slot = *live;
    let message = status.transition.take().and_then(|before| before.message);
    status.transition = transition.as_ref().map(|now| TransitionStatus {
        id: now.id.clone(),
        from: now.from,
        to: now.to,
        version: now.revision.version.clone(),
        config_hash: now.revision.config_hash.clone(),
        reason: now.cause,
        step: now.step,
        started_at: Time(now.started_at),
        deadline: now.deadline.map(Time),
        message,
    });
    let rejected = rejected.iter().map(|rejection| RejectedVersion {
        version: rejection.revision.version.clone(),
        config_hash: rejection.revision.config_hash.clone(),
        reason: rejection.why,
        at: Time(rejection.at),
    });
    status.rejected = rejected.collect();
    let history = history.iter().map(|ended| TransitionRecord {
        id: ended.id.clone(),
        from: ended.from.clone(),
        to: ended.to.clone(),
        reason: ended.cause,
        result: ended.result,
        started_at: Time(ended.started_at),
        finished_at: Time(ended.finished_at),
        message: None,
    });
    status.history = history.collect();
    let CarriedOut {
        promote,
        rollback,
        retry,
    } = carried_out.clone();
    status.requests = RequestsStatus {
        promote,
        rollback,
        retry,
        wake: status.requests.wake.take(),
    };
}

/// Writes into a status what is seen of the slots, and what explains it.
pub fn describe(
    status: &mut PluginInstallationStatus,
    memory: &Memory,
    observed: &Observed,
    size: i32,
    explanation: &Explanation,
) {
    for slot in [Slot::A, Slot::B] {
        *status.slots.get_mut(slot) = slot_status(memory, observed.slots.of(slot).as_ref(), slot, size);
    }
    let shown = |slot: Option<Slot>| {
        let shown = status.slots.get(slot?)?;
        shown.light?;
        Some(format!("{} {}/{}", shown.version, shown.ready, shown.desired))
    };
    let green = shown(memory.live);
    let yellow = shown(memory.live.map(Slot::other));
    (status.lights.green, status.lights.yellow) = (green, yellow);
    if let Some(transition) = &mut status.transition {
        transition.message.clone_from(&explanation.message);
    }
    status.rollback = memory.live.is_some().then(|| explanation.rollback.clone());
}

/// What is said of a slot; nothing of one that holds nothing.
fn slot_status(memory: &Memory, deployed: Option<&Deployed>, slot: Slot, size: i32) -> Option<SlotStatus> {
    let is_live = memory.live == Some(slot);
    let is_draining = memory
        .transition
        .as_ref()
        .is_some_and(|transition| transition.step == Step::Draining && transition.from == Some(slot));
    let present = deployed.filter(|deployed| is_live || deployed.size > 0 || deployed.pods > 0);
    // What stands by is made again from what is remembered of it.
    let stands_by = memory
        .transition
        .as_ref()
        .is_some_and(|moving| (Step::Switching..Step::Draining).contains(&moving.step));
    let remembered = memory.revisions.of(slot).as_ref().filter(|_| is_live || stands_by);
    let revision = present.map(|deployed| &deployed.revision).or(remembered)?;
    let light = match (is_live, is_draining) {
        (true, _) => Some(Light::Green),
        // Nothing is live yet.
        (false, _) if memory.live.is_none() => return None,
        (false, true) => None,
        (false, false) => Some(Light::Yellow),
    };
    Some(SlotStatus {
        light,
        version: revision.version.clone(),
        config_hash: revision.config_hash.clone(),
        ready: present.map_or(0, |deployed| deployed.ready),
        desired: present.map_or(size, |deployed| deployed.size),
        ready_since: present.and_then(|deployed| deployed.ready_since).map(Time),
        message: None,
    })
}

/// The requests that were not carried out yet.
pub fn requests(installation: &PluginInstallation, carried_out: &CarriedOut) -> Requests {
    let asked = |name: &str, before: &Option<String>| {
        let asked = installation.annotations().get(&format!("plexica.io/{name}"));
        asked.filter(|asked| Some(*asked) != before.as_ref()).cloned()
    };
    Requests {
        promote: asked("promote", &carried_out.promote),
        rollback: asked("rollback", &carried_out.rollback),
        retry: asked("retry", &carried_out.retry),
    }
}
