//! How the pods of a Deployment fare.

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::Pod,
};
use kube::{Api, ResourceExt};
use plexica_crds::plugin_installation::conditions::{Outcome, Reason};

use super::super::{Context, failure};
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
    /// It is live, and some pod is ready, though others are still to be started or replaced.
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

    /// The rollout of a Deployment that was read after it was written. One that is live and was complete once serves as long as any
    /// pod is ready: pods that are added, lost or replaced do not make it less ready, unless they do not come.
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
        let was_complete = deployment.is_some_and(was_complete);
        Self {
            namespace,
            selector,
            desired,
            complete: is_sized && is_seen && is_complete(&status, desired),
            serves: is_live && was_complete && ready > 0,
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
        let trouble = if self.complete { None } else { self.trouble(ctx).await? };
        Ok(self.told(trouble))
    }

    /// The same, once it is known what is wrong with a pod.
    fn told(&self, trouble: Option<String>) -> Outcome {
        let (ready, desired) = (self.ready(), self.desired);
        let mut message = format!("{ready} of {desired} pods ready");
        if self.complete {
            return Outcome::Done(Reason::PodsReady, message);
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
            return Outcome::Blocked(reason, format!("{message}: {said}"));
        }
        if let Some(said) = &trouble {
            message = format!("{message}: {said}");
        }
        let overdue = condition("Progressing")
            .is_some_and(|progressing| progressing.reason.as_deref() == Some("ProgressDeadlineExceeded"));
        match (overdue, trouble) {
            (true, _) => Outcome::Blocked(
                Reason::PodsFailing,
                format!(
                    "{message}; look at the pods: kubectl logs -n {} -l {}",
                    self.namespace, self.selector
                ),
            ),
            (false, _) if self.serves => Outcome::Done(Reason::PodsReady, message),
            (false, Some(_)) => Outcome::Waiting(Reason::PodsFailing, message),
            (false, None) => Outcome::Waiting(Reason::PodsStarting, message),
        }
    }

    /// What Kubernetes says of the first pod that is in trouble.
    async fn trouble(&self, ctx: &Context) -> Result<Option<String>, Outcome> {
        let api: Api<Pod> = Api::namespaced(ctx.objects.client.clone(), self.namespace);
        let pods = within(api.list(&labelled(&self.selector, Age::Any)))
            .await
            .map_err(|error| failure::of_api(&error))?;
        Ok(pods.iter().find_map(trouble_of))
    }
}

/// Whether all pods of a Deployment have once been ready at the same time. Kubernetes says so of the present template, and counts the
/// templates that there were.
fn was_complete(deployment: &Deployment) -> bool {
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut reasons = conditions
        .into_iter()
        .flatten()
        .filter_map(|said| said.reason.as_deref());
    let templates = deployment.annotations().get("deployment.kubernetes.io/revision");
    reasons.any(|reason| reason == "NewReplicaSetAvailable") || templates.is_some_and(|number| number != "1")
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is told of a live Deployment of three pods.
    fn told(ready: i32, conditions: &Value, trouble: Option<&str>, templates: &str) -> String {
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": { "generation": 1, "annotations": { "deployment.kubernetes.io/revision": templates } },
            "spec": { "replicas": 3, "selector": {}, "template": {} },
            "status": {
                "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": ready, "conditions": conditions,
            },
        }))
        .unwrap();
        let rollout = Rollout::seen("tenant-acme", "app=crm".to_owned(), 3, (Some(&deployment), true));
        match rollout.told(trouble.map(str::to_owned)) {
            Outcome::Done(reason, said) => format!("done {reason:?}: {said}"),
            Outcome::Waiting(reason, said) => format!("waits {reason:?}: {said}"),
            Outcome::Blocked(reason, said) => format!("blocked {reason:?}: {said}"),
        }
    }

    fn once_complete() -> Value {
        json!([{ "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" }])
    }

    #[test]
    fn what_is_live_serves_while_pods_are_added_lost_or_replaced() {
        assert_eq!(
            told(3, &once_complete(), None, "1"),
            "done PodsReady: 3 of 3 pods ready"
        );
        assert_eq!(
            told(2, &once_complete(), None, "1"),
            "done PodsReady: 2 of 3 pods ready"
        );
        let lost = "pod crm-a-1 cannot be scheduled: no node";
        assert_eq!(
            told(1, &once_complete(), Some(lost), "1"),
            "done PodsReady: 1 of 3 pods ready: pod crm-a-1 cannot be scheduled: no node"
        );
        let replaced = json!([{ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated" }]);
        assert_eq!(told(2, &replaced, None, "2"), "done PodsReady: 2 of 3 pods ready");
    }

    #[test]
    fn it_does_not_if_pods_do_not_come_or_none_is_ready() {
        assert_eq!(
            told(0, &once_complete(), None, "1"),
            "waits PodsStarting: 0 of 3 pods ready"
        );
        let late = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
        assert!(told(2, &late, None, "2").starts_with("blocked PodsFailing: 2 of 3 pods ready; look at the pods"));
        let quota = json!([
            { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" },
            { "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: tenant" },
        ]);
        assert!(told(2, &quota, None, "1").starts_with("blocked QuotaExceeded: 2 of 3 pods ready"));
    }

    #[test]
    fn a_first_installation_waits_for_all_its_pods() {
        let first = json!([{ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated" }]);
        assert_eq!(told(2, &first, None, "1"), "waits PodsStarting: 2 of 3 pods ready");
    }
}
