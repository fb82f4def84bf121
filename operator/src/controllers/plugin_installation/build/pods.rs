//! The Deployment of a slot.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
            Lifecycle, LifecycleHandler, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
            SeccompProfile, SecretKeySelector, SecurityContext, SleepAction, TopologySpreadConstraint, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use plexica_crds::{
    Plugin,
    plugin::{ProbeSpec, ResourcesSpec},
};

use super::{
    LABEL_VERSION, PORT,
    meter::{METERED_PORT, Meter},
    variables::{Source, Variable},
};

/// User and group of all plugins' containers: nobody's.
const USER: i64 = 65532;
/// Name of the container.
const CONTAINER: &str = "plugin";
/// How long a pod that is to end is not told so yet: proxies need up to a second to lead nobody there any more, and a
/// server that does not know better closes its socket as soon as it is told.
const UNTOLD_SECONDS: i64 = 3;
/// How long a pod may take to finish its requests, that time included.
const GRACE_SECONDS: i64 = 30;

/// The pods of a slot: what a Deployment for one tenant and one for all have in common, and where they differ.
pub struct Pods<'a> {
    /// Name, namespace and labels of the Deployment; its pods bear the labels too.
    pub metadata: ObjectMeta,
    /// What selects its pods. It never changes.
    pub selected: BTreeMap<String, String>,
    /// The release.
    pub plugin: &'a Plugin,
    /// Requests and limits of each.
    pub resources: &'a ResourcesSpec,
    /// Annotations of the pods: when they change, so do the pods.
    pub annotations: BTreeMap<String, String>,
    /// Their variables.
    pub variables: Vec<Variable>,
    /// What they are configured by.
    pub files: Volume,
    /// Where that is found.
    pub folder: &'static str,
    /// What stands in front of the plugin, if something does: then Services lead to that.
    pub meter: Option<Meter<'a>>,
}

impl Pods<'_> {
    /// Name of the plugin's own port, by which the kubelet asks it.
    fn port(&self) -> &'static str {
        if self.meter.is_some() { METERED_PORT } else { PORT }
    }
}

/// What the pods are made from.
pub fn template(pods: &Pods<'_>) -> PodTemplateSpec {
    let mut labels = pods.metadata.labels.clone().unwrap_or_default();
    labels.extend(pods.selected.clone());
    labels.insert(LABEL_VERSION.to_owned(), pods.plugin.spec.version.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(pods.annotations.clone()).filter(|annotations| !annotations.is_empty()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(pods)),
    }
}

/// A Deployment of pods that are replaced one by one: there is one more meanwhile, never one less.
pub fn deployment(
    metadata: ObjectMeta,
    selected: BTreeMap<String, String>,
    replicas: i32,
    progress_deadline: Duration,
    template: PodTemplateSpec,
) -> Deployment {
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(selected),
                ..LabelSelector::default()
            },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(2),
            progress_deadline_seconds: Some(seconds(progress_deadline)),
            template,
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn pod(pods: &Pods<'_>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(pods.selected.clone()),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        volumes: Some(vec![
            pods.files.clone(),
            Volume {
                name: "tmp".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity("64Mi".to_owned())),
                    ..EmptyDirVolumeSource::default()
                }),
                ..Volume::default()
            },
        ]),
        containers: [container(pods)]
            .into_iter()
            .chain(pods.meter.as_ref().map(Meter::container))
            .collect(),
        ..PodSpec::default()
    }
}

fn container(pods: &Pods<'_>) -> Container {
    let runtime = &pods.plugin.spec.runtime;
    let api = &pods.plugin.spec.api;
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let startup = runtime.probes.startup.value().as_secs().max(1);
    Container {
        name: CONTAINER.to_owned(),
        image: Some(runtime.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(runtime.args.clone()).filter(|args| !args.is_empty()),
        env: Some(pods.variables.iter().map(env).collect()),
        ports: Some(vec![ContainerPort {
            name: Some(pods.port().to_owned()),
            container_port: runtime.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(ResourceRequirements {
            requests: Some(pods.resources.requests.clone()),
            limits: Some(pods.resources.limits.clone()),
            ..ResourceRequirements::default()
        }),
        liveness_probe: Some(probe(pods.port(), &api.health_check, &runtime.probes.liveness)),
        readiness_probe: Some(probe(pods.port(), &api.readiness, &runtime.probes.readiness)),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            failure_threshold: Some(i32::try_from(startup).unwrap_or(i32::MAX)),
            ..probe(pods.port(), &api.health_check, &runtime.probes.liveness)
        }),
        lifecycle: Some(lifecycle()),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![
            mount(&pods.files.name, pods.folder, true),
            mount("tmp", "/tmp", false),
        ]),
        ..Container::default()
    }
}

/// It serves on for a moment before it is told to end.
pub(super) fn lifecycle() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction {
                seconds: UNTOLD_SECONDS,
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// What Pod Security `restricted` wants of a container, and that it writes nowhere but where it is told.
pub(super) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

fn probe(port: &str, path: &str, spec: &ProbeSpec) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(seconds(spec.interval.value())),
        timeout_seconds: Some(seconds(spec.timeout.value())),
        failure_threshold: Some(spec.failures),
        ..Probe::default()
    }
}

fn seconds(length: Duration) -> i32 {
    i32::try_from(length.as_secs()).unwrap_or(i32::MAX).max(1)
}

/// A variable as a container's specification has it.
pub fn env(variable: &Variable) -> EnvVar {
    let (value, value_from) = match &variable.value {
        // The API server leaves an empty one out.
        Source::Text(text) => (Some(text.clone()).filter(|text| !text.is_empty()), None),
        Source::Secret { secret, key } => {
            let source = EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: secret.clone(),
                    key: (*key).to_owned(),
                    optional: None,
                }),
                ..EnvVarSource::default()
            };
            (None, Some(source))
        }
    };
    EnvVar {
        name: variable.name.clone(),
        value,
        value_from,
    }
}
