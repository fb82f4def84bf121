//! What is known of a PluginInstallation. The doc comments here are the texts of
//! `kubectl explain plugininstallation.status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::AsRefStr;

use super::{LightsStatus, RejectedVersion, RollbackStatus, SlotsStatus, TransitionRecord, TransitionStatus};
use crate::names::Slot;

/// What the operator observed of the installation.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
// Written whole, by one writer: `managedFields` names it once, and not each field of each condition, all of which the API server
// would read and write with every change of the object.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct PluginInstallationStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub observed_generation: Option<i64>,
    /// Summary for people; nothing decides from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Which version was chosen, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolutionStatus>,
    /// SHA-256 of the wanted configuration with its secrets, shortened; each slot names the one that it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// The plugin's schema in the tenant's database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// How far the plugin's migrations are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<MigrationsStatus>,
    /// What runs in each slot.
    #[serde(default)]
    pub slots: SlotsStatus,
    /// The slot that is live, GREEN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_slot: Option<Slot>,
    /// What shines GREEN, YELLOW and RED, for people.
    #[serde(default)]
    pub lights: LightsStatus,
    /// Pods of the live slot that are ready: what an autoscaler counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Label selector of the live slot's pods: what an autoscaler measures. It moves with the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The transition that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<TransitionStatus>,
    /// Whether there is a way back, and where it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackStatus>,
    /// Candidates that were rejected; they are not tried again until something changes or the annotation plexica.io/retry
    /// asks for it. The last 10.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub rejected: Vec<RejectedVersion>,
    /// Transitions that have ended, the newest first. The last 10.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub history: Vec<TransitionRecord>,
    /// The requests by annotation that were carried out last.
    #[serde(default)]
    pub requests: RequestsStatus,
    /// Where the plugin's API is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Statements about the installation, each with a reason. Ready, Reconciling and Stalled follow kstatus.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Summary of an installation for people.
#[derive(
    JsonSchema,
    AsRefStr,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum Phase {
    /// It waits for what comes without help: its tenant, another plugin, a Secret.
    Pending,
    /// It is being made, and nothing is live yet.
    Installing,
    /// It is live and works.
    Ready,
    /// It is live, and a candidate is on its way.
    Promoting,
    /// It is live, and a candidate waits for the annotation plexica.io/promote.
    AwaitingPromotion,
    /// The former version is on its way back.
    RollingBack,
    /// It is live, but its pods are not ready.
    Degraded,
    /// It is switched off; data is kept.
    Disabled,
    /// It is being removed.
    Uninstalling,
    /// Nothing goes on without a person. What is live stays live.
    Failed,
}

/// Which version was chosen.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolutionStatus {
    /// The version.
    pub version: String,
    /// Why this one and no newer one, in one sentence.
    pub reason: String,
}

/// The plugin's schema in the tenant's database.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Name of the schema.
    pub schema: String,
    /// Secret in the namespace: host, port, database, schema, username, password, uri.
    pub secret_name: String,
}

/// How far the migrations of the chosen version are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationsStatus {
    /// Migrations of the version that are applied.
    pub applied: i32,
    /// Expand migrations that are still to be applied, before the version starts.
    pub pending: i32,
    /// Contract migrations that wait for the rollback window to close.
    pub contract_pending: i32,
    /// The version that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The last that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The last Contract migration that was applied: versions without it do not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contracted: Option<String>,
    /// The one that failed; absent when none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedMigration>,
}

/// A migration that failed. What is live is untouched.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedMigration {
    /// Its name.
    pub name: String,
    /// Which of its statements, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<i32>,
    /// PostgreSQL's code of the error, for example 42P01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// What PostgreSQL says.
    pub message: String,
}

/// The values of the request annotations that were carried out last: the same value is not carried out again.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestsStatus {
    /// Of plexica.io/promote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote: Option<String>,
    /// Of plexica.io/rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// Of plexica.io/retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Of plexica.io/wake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<String>,
}
