//! How releases of an installation go live, and its development slot.

use std::time::Duration;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{period::Period, version_range::VersionRange};

/// How long an answer to a candidate's probe may take at most.
pub const LONGEST_PROBE: Duration = Duration::from_secs(10);

/// How a release goes live.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.progressDeadline) > duration(self.promotionDelay)").message("promotion.progressDeadline must be longer than promotion.promotionDelay: no candidate could be ready that long before it is rejected"))]
pub struct PromotionSpec {
    /// True (default): a candidate that is ready for promotionDelay goes live by itself. False: it waits for the annotation
    /// plexica.io/promote.
    #[serde(default = "yes")]
    pub auto: bool,
    /// How long a candidate has to be ready without a break before it goes live.
    #[serde(default = "promotion_delay")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("promotion.promotionDelay must be longer than zero"))]
    pub promotion_delay: Period,
    /// How long the former version stands by at full size, so that a rollback is instant. The next candidate takes its place,
    /// also one that is the same version with another configuration.
    #[serde(default = "rollback_window")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("promotion.rollbackWindow must be longer than zero: a rollback needs somewhere to go"))]
    pub rollback_window: Period,
    /// A candidate that is not ready by then, or does not stay so until promotionDelay is over, is rejected.
    #[serde(default = "progress_deadline")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("promotion.progressDeadline must be longer than zero"))]
    pub progress_deadline: Period,
    /// After the switch: by then no connection that a client kept reaches the former version any more.
    #[serde(default = "connection_drain")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("promotion.connectionDrain must be longer than zero"))]
    pub connection_drain: Period,
    /// True: if the new version has no ready pod for promotionDelay within the rollback window, the former one goes live again by
    /// itself.
    #[serde(default)]
    pub auto_rollback: bool,
    /// What moves when requests are led to another slot. Service (default): the selector of Service <plugin>, to which the route
    /// leads. Route: that too, for callers in the cluster; and the route of the platform's Gateway leads to a Service of each
    /// slot, whose selectors never change, so that its backend moves: for Gateways and meshes that lose requests when a selector
    /// moves. A release that runs once for all tenants has no slots: there it means nothing.
    #[serde(default)]
    pub switch_by: SwitchBy,
    /// A question that the candidate has to answer all through promotionDelay, beside being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeSpec>,
}

/// What moves when requests are led to another slot.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwitchBy {
    /// The selector of the live Service.
    #[default]
    Service,
    /// That, and the backend of the Gateway's route.
    Route,
}

/// An HTTP GET to the candidate, answered by 2xx.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("duration(self.timeout) <= duration(self.interval)").message("a probe's timeout is at most its interval"))]
pub struct ProbeSpec {
    /// Path of the plugin's container.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^/"))]
    pub path: String,
    /// Time between two questions.
    #[serde(default = "interval")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('5m')").message("a probe's interval is between 1s and 5m"))]
    pub interval: Period,
    /// Time for an answer.
    #[serde(default = "timeout")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s') && duration(self) <= duration('10s')").message("a probe's timeout is longer than zero, and at most 10s"))]
    pub timeout: Period,
}

/// RED, a development slot: one pod beside production, reached by Service <plugin>-red only. It has the installation's
/// configuration and data, applies no migrations, and is never live.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedSpec {
    /// True: the slot is there. False (default): nothing of it is.
    #[serde(default)]
    pub enabled: bool,
    /// Versions that it may run, for example =2.0.0-rc.1 or ^2. Default: any. The newest release runs, and a pre-release fits
    /// where the version that it becomes does: ^2 admits 2.0.0-rc.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<VersionRange>")]
    pub version: Option<String>,
    /// It goes to zero after this time without an open connection, and wakes by the annotation plexica.io/wake, by another
    /// version or by another configuration.
    #[serde(default = "idle_after")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("red.idleAfter must be longer than zero"))]
    pub idle_after: Period,
}

impl Default for PromotionSpec {
    fn default() -> Self {
        Self {
            auto: yes(),
            promotion_delay: promotion_delay(),
            rollback_window: rollback_window(),
            progress_deadline: progress_deadline(),
            connection_drain: connection_drain(),
            auto_rollback: false,
            switch_by: SwitchBy::default(),
            probe: None,
        }
    }
}

impl Default for RedSpec {
    fn default() -> Self {
        Self {
            enabled: false,
            version: None,
            idle_after: idle_after(),
        }
    }
}

fn yes() -> bool {
    true
}

fn promotion_delay() -> Period {
    Period::constant("30s")
}

fn rollback_window() -> Period {
    Period::constant("15m")
}

fn progress_deadline() -> Period {
    Period::constant("10m")
}

fn connection_drain() -> Period {
    Period::constant("30s")
}

fn interval() -> Period {
    Period::constant("5s")
}

fn timeout() -> Period {
    Period::constant("2s")
}

fn idle_after() -> Period {
    Period::constant("15m")
}
