//! The Kubernetes objects of an installation. Pure.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
            EnvVarSource, HTTPGetAction, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
            SeccompProfile, Secret, SecretKeySelector, SecretVolumeSource, SecurityContext, Service, ServicePort,
            ServiceSpec, TopologySpreadConstraint, Volume, VolumeMount,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
            NetworkPolicySpec,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use plexica_crds::{
    LABEL_TENANT, LABEL_TENANT_ID, PluginInstallation,
    names::{PluginId, Slot},
    plugin,
    plugin_installation::configuration::Configuration,
};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::validate::Wanted;
use crate::{
    backends::{Credential, postgres::DatabaseEndpoint},
    platform::Platform,
};

/// Label: the plugin that an object belongs to.
pub const LABEL_PLUGIN: &str = "plexica.io/plugin";
/// Label of a pod: its slot, which never changes.
const LABEL_SLOT: &str = "plexica.io/slot";
/// Label of a configuration: its hash.
pub const LABEL_CONFIG: &str = "plexica.io/config";
/// Label of a pod: the version that it runs. No selector names it.
const LABEL_VERSION: &str = "app.kubernetes.io/version";
/// Annotation on a Secret: the id under which the backend knows the credential.
pub const ANNOTATION_CREDENTIAL: &str = "plexica.io/credential-id";
/// Annotation on an installation that the operator made: the plugin that needs it.
pub const ANNOTATION_NEEDED_BY: &str = "plexica.io/needed-by";
/// User and group of all plugins' containers: nobody's.
const USER: i64 = 65532;
/// Where a plugin finds its configuration (design.md section 4).
const CONFIG_FOLDER: &str = "/etc/plexica";
const CONFIG_FILE: &str = "config.json";
/// Name of the container and of its port.
const CONTAINER: &str = "plugin";
const PORT: &str = "http";
/// How long a pod may take to finish its requests.
const GRACE_SECONDS: i64 = 30;
/// Hexadecimal digits of a configuration's hash.
const HASH_LEN: usize = 10;

fn labels(wanted: &Wanted) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_TENANT.to_owned(), wanted.slug.to_string()),
        (LABEL_TENANT_ID.to_owned(), wanted.owner.tenant_id.to_string()),
        (LABEL_PLUGIN.to_owned(), wanted.id.to_string()),
        ("app.kubernetes.io/name".to_owned(), wanted.id.to_string()),
        ("app.kubernetes.io/managed-by".to_owned(), "plexica-operator".to_owned()),
    ])
}

fn meta(wanted: &Wanted, name: &(impl ToString + ?Sized)) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_string()),
        namespace: Some(wanted.slug.namespace().to_string()),
        labels: Some(labels(wanted)),
        ..ObjectMeta::default()
    }
}

/// What selects the pods of a slot. It never changes: a Deployment's selector is immutable.
fn slot_labels(wanted: &Wanted, slot: Slot) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_PLUGIN.to_owned(), wanted.id.to_string()),
        (LABEL_SLOT.to_owned(), slot.as_ref().to_owned()),
    ])
}

/// Secret `<plugin>-database`. Its keys are stable API: design.md, "Names".
pub fn database_secret(wanted: &Wanted, endpoint: &DatabaseEndpoint, credential: &Credential) -> Secret {
    let [username, _] = wanted.slug.plugin_login_roles(&wanted.id);
    let schema = wanted.slug.plugin_schema(&wanted.id);
    let DatabaseEndpoint { host, port, database } = endpoint;
    let password = credential.secret.expose_secret();
    let data = [
        ("host", host.clone()),
        ("port", port.to_string()),
        ("database", database.clone()),
        ("schema", schema.to_string()),
        ("username", username.to_string()),
        ("password", password.to_owned()),
        (
            "uri",
            format!("postgresql://{username}:{password}@{host}:{port}/{database}"),
        ),
    ];
    let mut metadata = meta(wanted, &wanted.id.database_secret());
    metadata.annotations = Some([(ANNOTATION_CREDENTIAL.to_owned(), credential.id.clone())].into());
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(
            data.into_iter()
                .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// The configuration as the object that delivers it: immutable and named by its hash, so that pods keep the one that they
/// were started with.
pub enum Config {
    /// Some of it is secret.
    Secret(Secret),
    /// None of it is.
    ConfigMap(ConfigMap),
}

impl Config {
    /// The object of a configuration. The hash is keyed with the plugin's own password: it tells nobody what is in it.
    pub fn new(wanted: &Wanted, configuration: &Configuration, access: &Credential) -> Self {
        let text = configuration.to_json();
        let hash = hash(access.secret.expose_secret().as_bytes(), text.as_bytes());
        let mut metadata = meta(wanted, &format!("{}-config-{hash}", wanted.id));
        metadata
            .labels
            .get_or_insert_default()
            .insert(LABEL_CONFIG.to_owned(), hash);
        if configuration.has_secrets() {
            Self::Secret(Secret {
                metadata,
                immutable: Some(true),
                data: Some([(CONFIG_FILE.to_owned(), ByteString(text.into_bytes()))].into()),
                ..Secret::default()
            })
        } else {
            Self::ConfigMap(ConfigMap {
                metadata,
                immutable: Some(true),
                data: Some([(CONFIG_FILE.to_owned(), text)].into()),
                ..ConfigMap::default()
            })
        }
    }

    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Secret(secret) => &secret.metadata,
            Self::ConfigMap(map) => &map.metadata,
        }
    }

    /// Name of the object.
    pub fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }

    /// Hash of the configuration.
    pub fn hash(&self) -> &str {
        let hash = self
            .metadata()
            .labels
            .as_ref()
            .and_then(|labels| labels.get(LABEL_CONFIG));
        hash.map_or("", String::as_str)
    }

    fn volume(&self) -> Volume {
        let mut volume = Volume {
            name: "config".to_owned(),
            ..Volume::default()
        };
        match self {
            Self::Secret(_) => {
                volume.secret = Some(SecretVolumeSource {
                    secret_name: Some(self.name().to_owned()),
                    default_mode: Some(0o440),
                    ..SecretVolumeSource::default()
                });
            }
            Self::ConfigMap(_) => {
                volume.config_map = Some(ConfigMapVolumeSource {
                    name: self.name().to_owned(),
                    default_mode: Some(0o440),
                    ..ConfigMapVolumeSource::default()
                });
            }
        }
        volume
    }
}

fn hash(key: &[u8], text: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text);
    let digest = mac.finalize().into_bytes();
    let number = u64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
    let mut hash = format!("{number:016x}");
    hash.truncate(HASH_LEN);
    hash
}

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
        value: Some(value),
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

/// Secrets of the tenant that its plugins use.
const STORAGE_SECRET: &str = "plexica-storage";
const IDENTITY_SECRET: &str = "plexica-identity";

/// The Service that reaches GREEN.
pub fn service(wanted: &Wanted, live: Slot) -> Service {
    Service {
        metadata: meta(wanted, &wanted.id.service()),
        spec: Some(ServiceSpec {
            selector: Some(slot_labels(wanted, live)),
            ports: Some(vec![ServicePort {
                name: Some(PORT.to_owned()),
                port: 80,
                target_port: Some(IntOrString::String(PORT.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// What the plugin's pods may reach and who may reach them, beside what the tenant's own policy opens (DNS): the
/// tenant's backends by their ports, the plugins that it depends on, and plugins of the same tenant.
pub fn network_policy(wanted: &Wanted, platform: &Platform) -> NetworkPolicy {
    let of_plugin = |id: &PluginId| NetworkPolicyPeer {
        pod_selector: Some(LabelSelector {
            match_labels: Some([(LABEL_PLUGIN.to_owned(), id.to_string())].into()),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    };
    let tcp = |port: IntOrString| NetworkPolicyPort {
        port: Some(port),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    };
    let mut egress = vec![NetworkPolicyEgressRule {
        ports: Some(
            platform
                .backend_ports()
                .into_iter()
                .map(|port| tcp(IntOrString::Int(port.into())))
                .collect(),
        ),
        to: None,
    }];
    if !wanted.providers.is_empty() {
        egress.push(NetworkPolicyEgressRule {
            ports: Some(vec![tcp(IntOrString::String(PORT.to_owned()))]),
            to: Some(wanted.providers.iter().map(of_plugin).collect()),
        });
    }
    NetworkPolicy {
        metadata: meta(wanted, &format!("{}-plugin", wanted.id)),
        spec: Some(NetworkPolicySpec {
            pod_selector: of_plugin(&wanted.id).pod_selector,
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            egress: Some(egress),
            ingress: Some(vec![NetworkPolicyIngressRule {
                ports: Some(vec![tcp(IntOrString::String(PORT.to_owned()))]),
                from: Some(vec![NetworkPolicyPeer {
                    pod_selector: Some(LabelSelector {
                        match_labels: Some([(LABEL_TENANT.to_owned(), wanted.slug.to_string())].into()),
                        ..LabelSelector::default()
                    }),
                    ..NetworkPolicyPeer::default()
                }]),
            }]),
        }),
    }
}
