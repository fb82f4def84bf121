//! How the pods of a Deployment fare.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::Pod,
};
use kube::{Api, ResourceExt};
use plexica_crds::plugin_installation::conditions::{Outcome, Reason};

use super::super::{Context, report};
use crate::runtime::{
    age::{Age, labelled},
    apply::Applied,
    client::within,
};

/// Pods that are being rolled out.
pub struct Rollout<'a> {
    /// Where they are.
    pub namespace: &'a str,
    /// What selects them, as a label selector.
    pub selector: String,
    /// How many are wanted.
    pub desired: i32,
    status: DeploymentStatus,
    complete: bool,
    /// All wanted pods are ready, though some are still to be replaced.
    serves: bool,
}

impl<'a> Rollout<'a> {
    /// The rollout of a Deployment, as it was before it was applied.
    pub fn of(
        namespace: &'a str,
        selector: String,
        declared: &Deployment,
        (applied, live): (Applied, Option<Deployment>),
    ) -> Self {
        let desired = declared.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let seen = |live: &Deployment| {
            let status = live.status.clone().unwrap_or_default();
            let current = status.observed_generation == live.metadata.generation;
            (status, current)
        };
        let (status, current) = live.as_ref().map(seen).unwrap_or_default();
        Self {
            namespace,
            selector,
            desired,
            complete: applied == Applied::Unchanged && current && is_complete(&status, desired),
            serves: false,
            status,
        }
    }

    /// The rollout of a Deployment that was read after it was written. Of one that is live already, pods that are replaced
    /// one by one do not make it less ready.
    pub fn seen(
        namespace: &'a str,
        selector: String,
        desired: i32,
        (deployment, is_live): (Option<&Deployment>, bool),
    ) -> Self {
        let status = deployment.and_then(|live| live.status.clone()).unwrap_or_default();
        let is_sized =
            deployment.is_some_and(|live| live.spec.as_ref().and_then(|spec| spec.replicas) == Some(desired));
        let is_seen = deployment.is_some_and(|live| status.observed_generation == live.metadata.generation);
        let ready = status.ready_replicas.unwrap_or_default();
        Self {
            namespace,
            selector,
            desired,
            complete: is_sized && is_seen && is_complete(&status, desired),
            serves: is_live && is_sized && desired > 0 && ready >= desired,
            status,
        }
    }

    /// Whether all wanted pods are of the present template, and ready, and no other is left.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Pods that are ready.
    pub fn ready(&self) -> i32 {
        self.status.ready_replicas.unwrap_or_default()
    }

    /// That all pods are ready, or why not.
    pub async fn outcome(&self, ctx: &Context) -> Result<Outcome, Outcome> {
        let (ready, desired) = (self.ready(), self.desired);
        let mut message = format!("{ready} of {desired} pods ready");
        if self.complete {
            return Ok(Outcome::Done(Reason::PodsReady, message));
        }
        let condition = |type_: &str| {
            let mut conditions = self.status.conditions.iter().flatten();
            conditions.find(|condition| condition.type_ == type_)
        };
        if let Some(failure) = condition("ReplicaFailure").filter(|failure| failure.status == "True") {
            let said = failure.message.clone().unwrap_or_default();
            let reason = if said.contains("exceeded quota") {
                Reason::QuotaExceeded
            } else {
                Reason::PodsFailing
            };
            return Ok(Outcome::Blocked(reason, format!("{message}: {said}")));
        }
        let trouble = self.trouble(ctx).await?;
        if let Some(said) = &trouble {
            message = format!("{message}: {said}");
        }
        let overdue = condition("Progressing")
            .is_some_and(|progressing| progressing.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        Ok(match (overdue, trouble) {
            (true, _) => Outcome::Blocked(
                Reason::PodsFailing,
                format!(
                    "{message}; look at the pods: kubectl logs -n {} -l {}",
                    self.namespace, self.selector
                ),
            ),
            (false, Some(_)) => Outcome::Waiting(Reason::PodsFailing, message),
            (false, None) if self.serves => Outcome::Done(Reason::PodsReady, message),
            (false, None) => Outcome::Waiting(Reason::PodsStarting, message),
        })
    }

    /// What Kubernetes says of the first pod that is in trouble.
    async fn trouble(&self, ctx: &Context) -> Result<Option<String>, Outcome> {
        let api: Api<Pod> = Api::namespaced(ctx.objects.client.clone(), self.namespace);
        let pods = within(api.list(&labelled(&self.selector, Age::Any)))
            .await
            .map_err(|error| report::api_outcome(&error))?;
        Ok(pods.iter().find_map(trouble_of))
    }
}

fn is_complete(status: &DeploymentStatus, desired: i32) -> bool {
    status.updated_replicas.unwrap_or_default() == desired
        && status.ready_replicas.unwrap_or_default() == desired
        && status.replicas.unwrap_or_default() == desired
}

/// What Kubernetes says of a pod that is in trouble.
pub fn trouble_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        // A container is always created first; the rest tells of trouble.
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let said = waiting.message.as_deref().unwrap_or_default();
        Some(format!("pod {} {reason} {said}", pod.name_any()).trim_end().to_owned())
    });
    waiting.or_else(|| {
        let mut conditions = status.conditions.iter().flatten();
        let scheduled = conditions.find(|condition| condition.type_ == "PodScheduled")?;
        let said = scheduled.message.as_deref().filter(|_| scheduled.status == "False")?;
        Some(format!("pod {} cannot be scheduled: {said}", pod.name_any()))
    })
}
