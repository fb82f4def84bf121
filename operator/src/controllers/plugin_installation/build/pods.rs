//! The Deployment of a slot, and what its containers find.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
            PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
            SecretKeySelector, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use plexica_crds::{PluginInstallation, names::Slot, plugin};

use super::{ANNOTATION_CREDENTIAL, Config, PORT, labels, meta, slot_labels};
use crate::{backends::Credential, controllers::plugin_installation::validate::Wanted};

/// Label of a pod: the version that it runs. No selector names it.
const LABEL_VERSION: &str = "app.kubernetes.io/version";
/// User and group of all plugins' containers: nobody's.
const USER: i64 = 65532;
/// Where a plugin finds its configuration (design.md section 4).
const CONFIG_FOLDER: &str = "/etc/plexica";
/// Name of the container.
const CONTAINER: &str = "plugin";
/// How long a pod may take to finish its requests.
const GRACE_SECONDS: i64 = 30;
/// Secrets of the tenant that its plugins use.
const STORAGE_SECRET: &str = "plexica-storage";
const IDENTITY_SECRET: &str = "plexica-identity";

/// The Deployment of a slot.
pub fn deployment(
    installation: &PluginInstallation,
    wanted: &Wanted,
    config: &Config,
    access: &Credential,
    slot: Slot,
) -> Deployment {
    let runtime = &wanted.plugin.spec.runtime;
    let selected = slot_labels(wanted, slot);
    let mut pod_labels = labels(wanted);
    pod_labels.extend(selected.clone());
    pod_labels.insert(LABEL_VERSION.to_owned(), wanted.plugin.spec.version.clone());
    Deployment {
        metadata: meta(wanted, &wanted.id.deployment(slot)),
        spec: Some(DeploymentSpec {
            replicas: Some(installation.spec.replicas.unwrap_or(runtime.replicas)),
            selector: LabelSelector {
                match_labels: Some(selected.clone()),
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
            progress_deadline_seconds: Some(seconds(installation.spec.promotion.progress_deadline.value())),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod_labels),
                    // New pods when what they were started with changes: the configuration is in its name.
                    annotations: Some([(ANNOTATION_CREDENTIAL.to_owned(), access.id.clone())].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(installation, wanted, config, slot, selected)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn pod(
    installation: &PluginInstallation,
    wanted: &Wanted,
    config: &Config,
    slot: Slot,
    selected: BTreeMap<String, String>,
) -> PodSpec {
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
                match_labels: Some(selected),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        volumes: Some(vec![
            config.volume(),
            Volume {
                name: "tmp".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    size_limit: Some(Quantity("64Mi".to_owned())),
                    ..EmptyDirVolumeSource::default()
                }),
                ..Volume::default()
            },
        ]),
        containers: vec![container(installation, wanted, slot)],
        ..PodSpec::default()
    }
}

fn container(installation: &PluginInstallation, wanted: &Wanted, slot: Slot) -> Container {
    let runtime = &wanted.plugin.spec.runtime;
    let api = &wanted.plugin.spec.api;
    let resources = installation.spec.resources.as_ref().unwrap_or(&runtime.resources);
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
        env: Some(environment(wanted, slot)),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: runtime.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(ResourceRequirements {
            requests: Some(resources.requests.clone()),
            limits: Some(resources.limits.clone()),
            ..ResourceRequirements::default()
        }),
        liveness_probe: Some(probe(&api.health_check, &runtime.probes.liveness)),
        readiness_probe: Some(probe(&api.readiness, &runtime.probes.readiness)),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            failure_threshold: Some(i32::try_from(startup).unwrap_or(i32::MAX)),
            ..probe(&api.health_check, &runtime.probes.liveness)
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![mount("config", CONFIG_FOLDER, true), mount("tmp", "/tmp", false)]),
        ..Container::default()
    }
}

fn probe(path: &str, spec: &plugin::ProbeSpec) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(seconds(spec.interval.value())),
        timeout_seconds: Some(seconds(spec.timeout.value())),
        failure_threshold: Some(spec.failures),
        ..Probe::default()
    }
}

fn seconds(length: std::time::Duration) -> i32 {
    i32::try_from(length.as_secs()).unwrap_or(i32::MAX).max(1)
}

/// What a plugin's container finds (design.md section 4): the platform's variables, and the manifest's own.
fn environment(wanted: &Wanted, slot: Slot) -> Vec<EnvVar> {
    let value = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        // The API server leaves an empty one out.
        value: Some(value).filter(|value| !value.is_empty()),
        value_from: None,
    };
    let secret = |name: &str, secret: &str, key: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    };
    let mut all = vec![
        value("PLEXICA_TENANT", wanted.slug.to_string()),
        value("PLEXICA_TENANT_ID", wanted.owner.tenant_id.to_string()),
        value("PLEXICA_PLUGIN", wanted.id.to_string()),
        value("PLEXICA_VERSION", wanted.plugin.spec.version.clone()),
        value("PLEXICA_SLOT", slot.as_ref().to_owned()),
        secret("DATABASE_URL", wanted.id.database_secret().as_str(), "uri"),
        secret("S3_ENDPOINT", STORAGE_SECRET, "endpoint"),
        secret("S3_REGION", STORAGE_SECRET, "region"),
        secret("S3_BUCKET", STORAGE_SECRET, "bucket"),
        secret("S3_ACCESS_KEY_ID", STORAGE_SECRET, "accessKeyId"),
        secret("S3_SECRET_ACCESS_KEY", STORAGE_SECRET, "secretAccessKey"),
    ];
    if wanted.has_realm {
        all.push(secret("OIDC_ISSUER", IDENTITY_SECRET, "issuer"));
        all.push(secret("OIDC_JWKS_URI", IDENTITY_SECRET, "jwksUri"));
    }
    for provider in &wanted.providers {
        let id = provider.as_str().to_uppercase().replace('-', "_");
        let address = format!("http://{}.{}.svc", provider.service(), wanted.slug.namespace());
        all.push(value(&format!("PLEXICA_PLUGIN_{id}_URL"), address));
    }
    let own = wanted.plugin.spec.runtime.env.iter();
    all.extend(own.map(|variable| value(&variable.name, variable.value.clone())));
    all
}
