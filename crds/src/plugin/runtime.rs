//! What a plugin runs: image, environment, size and probes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::immutability::{SAME_ORDER, UNCHANGED};
use crate::{
    period::Period,
    schema::{self, quantities_of},
};

/// Names of environment variables that the platform sets itself (design: what a plugin's container finds).
pub const RESERVED_ENV: [&str; 4] = ["DATABASE_URL", "PLEXICA_", "S3_", "OIDC_"];

/// Who shares a Deployment.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sharing {
    /// Each tenant has its own.
    #[default]
    Dedicated,
    /// One for all tenants that install the version.
    Shared,
}

/// What runs.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeSpec {
    /// Image of the container. Name it by digest (registry.example.com/crm@sha256:...), so that it is the same for ever.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Arguments of the container's entry point.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,
    /// Environment of the container. PLEXICA_*, DATABASE_URL, S3_* and OIDC_* are set by the platform. No secret belongs
    /// here: everybody who may read Plugins reads it.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.all(e, !e.name.matches('^(DATABASE_URL$|PLEXICA_|S3_|OIDC_)'))").message("PLEXICA_*, DATABASE_URL, S3_* and OIDC_* are set by the platform"),
        validation = Rule::new(SAME_ORDER).message(UNCHANGED)
    )]
    pub env: Vec<EnvVar>,
    /// Port of the container that speaks HTTP. It runs without privileges, so it is 1024 or above.
    #[serde(default = "port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Pods, unless an installation says otherwise.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: i32,
    /// Requests and limits of a pod, unless an installation says otherwise.
    #[serde(default)]
    pub resources: ResourcesSpec,
    /// How its health is asked, at the paths of spec.api.
    #[serde(default)]
    pub probes: ProbesSpec,
    /// Dedicated (default): each tenant has pods of its own. Shared: one Deployment for all tenants that install the version.
    #[serde(default)]
    pub sharing: Sharing,
}

/// A variable of the environment.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 100), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Requests and limits of a pod: cpu, memory and ephemeral-storage.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesSpec {
    /// What is set aside for a pod.
    #[serde(default = "requests")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// Most that a pod may use.
    #[serde(default = "limits")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// How the container's health is asked.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbesSpec {
    /// A container that fails this one is restarted.
    #[serde(default)]
    pub liveness: ProbeSpec,
    /// A container that fails this one gets no requests.
    #[serde(default)]
    pub readiness: ProbeSpec,
    /// A container that is not alive this long after its start is restarted.
    #[serde(default = "startup")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('1h')").message("startup is between 1s and 1h"))]
    pub startup: Period,
}

/// How often and how patiently something is asked.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.timeout) <= duration(self.interval)").message("a probe's timeout is at most its interval"))]
pub struct ProbeSpec {
    /// Time between two questions, in whole seconds.
    #[serde(default = "interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('5m')").message("a probe's interval is between 1s and 5m"))]
    pub interval: Period,
    /// Time for an answer, in whole seconds.
    #[serde(default = "timeout")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("a probe's timeout is at least 1s"))]
    pub timeout: Period,
    /// Failures in a row that count.
    #[serde(default = "failures")]
    #[schemars(range(min = 1, max = 60))]
    pub failures: i32,
}

impl Default for ResourcesSpec {
    fn default() -> Self {
        Self {
            requests: requests(),
            limits: limits(),
        }
    }
}

impl Default for ProbesSpec {
    fn default() -> Self {
        Self {
            liveness: ProbeSpec::default(),
            readiness: ProbeSpec::default(),
            startup: startup(),
        }
    }
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self {
            interval: interval(),
            timeout: timeout(),
            failures: failures(),
        }
    }
}

/// Data-model.md, "Plugins at the gateway and in the cluster".
fn port() -> i32 {
    3000
}

fn replicas() -> i32 {
    1
}

/// As the LimitRange of a tenant's namespace says it.
fn requests() -> BTreeMap<String, Quantity> {
    quantities_of([("cpu", "50m"), ("memory", "64Mi")])
}

fn limits() -> BTreeMap<String, Quantity> {
    quantities_of([("cpu", "500m"), ("memory", "256Mi")])
}

fn startup() -> Period {
    Period::constant("60s")
}

fn interval() -> Period {
    Period::constant("5s")
}

fn timeout() -> Period {
    Period::constant("2s")
}

fn failures() -> i32 {
    3
}
