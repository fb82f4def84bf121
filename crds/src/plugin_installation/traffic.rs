//! What an installation's status says of slots, lights and transitions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumIter, EnumMessage};

use crate::names::Slot;

/// Which light shines on a slot.
#[derive(JsonSchema, AsRefStr, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Light {
    /// Live: it takes the tenant's requests.
    Green,
    /// The candidate for production, or the standby after a promotion.
    Yellow,
    /// Development.
    Red,
}

/// What runs in each slot.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotsStatus {
    /// The first of the two that take turns at being live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<SlotStatus>,
    /// The second of the two that take turns at being live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<SlotStatus>,
    /// The development slot, which is never live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<SlotStatus>,
}

impl SlotsStatus {
    /// What runs in a slot.
    pub fn get(&self, slot: Slot) -> Option<&SlotStatus> {
        match slot {
            Slot::A => self.a.as_ref(),
            Slot::B => self.b.as_ref(),
        }
    }

    /// The place of a slot, to be filled or emptied.
    pub fn get_mut(&mut self, slot: Slot) -> &mut Option<SlotStatus> {
        match slot {
            Slot::A => &mut self.a,
            Slot::B => &mut self.b,
        }
    }
}

/// What runs in a slot.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotStatus {
    /// The light that shines on it; absent while it is drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub light: Option<Light>,
    /// Version of the plugin.
    pub version: String,
    /// Hash of the configuration that it runs with; empty where it was not started yet.
    pub config_hash: String,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are wanted.
    pub desired: i32,
    /// Since when all wanted pods are ready without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Time>,
    /// Of RED: how it fares, since when it is asleep, and how to wake it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What shines, for people: version and pods, such as `1.4.0 2/2`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LightsStatus {
    /// What is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub green: Option<String>,
    /// The candidate or standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yellow: Option<String>,
    /// What is being developed: version and pods, or that it is asleep or not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub red: Option<String>,
}

/// Why a transition was begun.
#[derive(JsonSchema, AsRefStr, EnumIter, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing was live.
    FirstInstallation,
    /// Another version was chosen.
    NewVersion,
    /// The configuration or what the pods are made of changed.
    NewConfiguration,
    /// The annotation plexica.io/rollback asked for it.
    RollbackRequested,
    /// What was promoted failed within the rollback window.
    AutomaticRollback,
    /// Another plugin of the tenant went back, and what was live does not go with what it is now.
    OthersWentBack,
}

/// How far a transition is.
#[derive(
    JsonSchema,
    AsRefStr,
    EnumIter,
    EnumMessage,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
)]
pub enum Step {
    /// The candidate is being deployed.
    Deploying,
    /// The candidate has to stay ready for promotionDelay.
    Soaking,
    /// The candidate has soaked, and waits for the annotation plexica.io/promote, or for plugins that go live with it.
    AwaitingPromotion,
    /// The live Service is being turned to the new slot. From here on there is only forward.
    Switching,
    /// It is being proven that requests reach the new slot only.
    Proving,
    /// Pods that served are recycled, so that kept connections move.
    MovingConnections,
    /// The standby is kept until the rollback window closes.
    StandingBy,
    /// The former slot is being emptied.
    Draining,
}

/// A transition that is under way.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionStatus {
    /// Id of the transition.
    pub id: String,
    /// The slot that was live; absent at the first installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Slot>,
    /// The slot that is to be live.
    pub to: Slot,
    /// The version that is to be live there.
    pub version: String,
    /// Hash of its configuration.
    pub config_hash: String,
    /// Why.
    pub reason: Cause,
    /// How far.
    pub step: Step,
    /// When it was begun.
    pub started_at: Time,
    /// When the present step ends by itself or fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// What it waits for, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether there is a way back.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackStatus {
    /// Whether a rollback is instant now.
    pub available: bool,
    /// The version that it leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why there is none, as the reason of condition RollbackAvailable; absent when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// All of it for people, such as `1.3.0 until 14:30`.
    pub summary: String,
}

/// A candidate that was rejected.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedVersion {
    /// Its version.
    pub version: String,
    /// Hash of its configuration: the same version with another configuration is another candidate.
    pub config_hash: String,
    /// Why.
    pub reason: Fault,
    /// When.
    pub at: Time,
}

/// Why a candidate was rejected.
#[derive(JsonSchema, AsRefStr, EnumIter, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fault {
    /// It was not ready for long enough before its deadline.
    ProgressDeadlineExceeded,
    /// It was ready, and did not answer its probe for long enough before its deadline.
    ProbeFailed,
    /// It failed after it had gone live, and the former version is live again.
    FailedAfterPromotion,
    /// A person went back from it.
    RolledBackByRequest,
    /// Another plugin of the tenant went back, and it went back with that.
    RolledBackWithOthers,
}

/// How a transition ended.
#[derive(JsonSchema, AsRefStr, EnumIter, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TransitionResult {
    /// The candidate went live.
    Promoted,
    /// The former version went live again.
    RolledBack,
    /// The candidate was rejected; nothing moved.
    Rejected,
    /// Another candidate took its place before the switch; nothing moved.
    Superseded,
}

/// A transition that has ended.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionRecord {
    /// Id of the transition.
    pub id: String,
    /// The version that was live before; absent at the first installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that was to be live.
    pub to: String,
    /// Why it was begun.
    pub reason: Cause,
    /// How it ended.
    pub result: TransitionResult,
    /// When it was begun.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Time,
    /// What else to know, for example why a candidate was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
