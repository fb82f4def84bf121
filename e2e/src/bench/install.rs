//! From the POST of a `PluginInstallation` to Ready, beside the raw steps: the same migrations by hand, and a bare
//! Deployment of the same pod until it is ready. The image is there already.

mod at_once;
mod by_hand;
mod in_turn;
mod report;
mod tenants;

pub use at_once::run as at_once;
pub use in_turn::run as in_turn;
pub use tenants::sweep;

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;

use super::stats::Sample;

/// The plugin that is installed: one of `examples/plugins`, which `cargo dev up` publishes.
const PLUGIN: &str = "contacts";
/// What all names begin with, so that what an interrupted run left is found.
const PREFIX: &str = "bench";

/// How long an installation took, step by step.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Until its Deployment was there.
    objects: Duration,
    /// From then until its pod was ready.
    pod: Duration,
    /// From then until the installation said so.
    told: Duration,
}

impl Times {
    fn whole(&self) -> Duration {
        self.objects + self.pod + self.told
    }
}

/// Installations by the operator.
#[derive(Default)]
struct Samples {
    objects: Sample,
    pod: Sample,
    told: Sample,
    whole: Sample,
}

impl Samples {
    fn of(all: &[Result<Times>]) -> Self {
        let mut measured = Self::default();
        for times in all {
            measured.add(times);
        }
        measured
    }

    fn add(&mut self, times: &Result<Times>) {
        let of = |part: fn(&Times) -> Duration| times.as_ref().map(part);
        self.objects.add(&of(|times| times.objects));
        self.pod.add(&of(|times| times.pod));
        self.told.add(&of(|times| times.told));
        self.whole.add(&of(Times::whole));
    }
}

/// Installations by hand.
#[derive(Default)]
struct HandSamples {
    migrations: Sample,
    pod: Sample,
    whole: Sample,
}

impl HandSamples {
    fn of(all: &[Result<by_hand::Times>]) -> Self {
        let mut measured = Self::default();
        for times in all {
            measured.add(times);
        }
        measured
    }

    fn add(&mut self, times: &Result<by_hand::Times>) {
        let of = |part: fn(&by_hand::Times) -> Duration| times.as_ref().map(part);
        self.migrations.add(&of(|times| times.migrations));
        self.pod.add(&of(|times| times.pod));
        self.whole.add(&of(by_hand::Times::whole));
    }
}

/// Whether all its pods are of the present template and ready: as the operator sees it.
fn is_deployed(deployment: &Deployment) -> bool {
    let desired = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && [status.updated_replicas, status.ready_replicas, status.replicas] == [Some(desired); 3]
    })
}
