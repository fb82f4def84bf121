//! What is known of a Plugin. The doc comments here are the texts of `kubectl explain plugin.status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::AsRefStr;

/// What the operator observed of the release.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
// Written whole, by one writer: `managedFields` names it once, and not each field of each condition, all of which the API server
// would read and write with every change of the object.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct PluginStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub observed_generation: Option<i64>,
    /// Summary for people; nothing decides from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// SHA-256 of what was accepted, without spec.deprecated: a release that is not that any more is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_digest: Option<String>,
    /// Statements that were in ConfigMaps when the release was accepted. The operator keeps a copy of each, so the ConfigMaps
    /// are not needed any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["migration".into()]))]
    pub accepted_scripts: Vec<AcceptedScript>,
    /// Who uses this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installations: Option<InstallationCounts>,
    /// Advice that stops nothing, for example an image that is named without digest.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Statements about the release, each with a reason. Ready, Reconciling and Stalled follow kstatus.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Statements of a migration as they were accepted.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedScript {
    /// Name of the migration.
    pub migration: String,
    /// SHA-256 of its statements. ConfigMap plexica-script-<plugin>-<this> of the operator's namespace has them.
    pub sha256: String,
}

/// Summary of a release for people.
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
pub enum State {
    /// It can be installed.
    Available,
    /// It is installed somewhere.
    Installed,
    /// It is not to be installed any more.
    Deprecated,
    /// Its manifest is not accepted, or not taken any more; see its conditions. It is not installed anywhere.
    Invalid,
}

/// Who uses a version.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstallationCounts {
    /// Installations that run this version or are on their way to it.
    pub total: i32,
    /// Those of them that are ready.
    pub ready: i32,
}
