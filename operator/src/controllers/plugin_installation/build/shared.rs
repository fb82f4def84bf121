//! A release that runs once for all tenants that install it (`runtime.sharing: Shared`). Pure.
//!
//! Its pods are in a namespace of the platform. Each tenant's part is a Secret there, mounted under the tenant's slug; a
//! tenant that comes, goes or changes makes new pods. In the tenant's namespace the plugin's Service is a name for it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{
            KeyToPath, ProjectedVolumeSource, Secret, SecretProjection, Service, ServiceSpec, Volume, VolumeProjection,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
        },
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta},
};
use plexica_crds::{
    LABEL_TENANT, LABEL_TENANT_ID, Plugin,
    names::{PluginId, Slot},
    plugin_installation::configuration::Configuration,
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    LABEL_PLUGIN, LABEL_SLOT, LABEL_VERSION,
    config::{CONFIG_FILE, keyed_hash},
    meta,
    network::{backends, gateway, http, in_namespace, service_ports},
    pods::{self, Pods},
    variables::{self, Source, Variable},
};
use crate::{backends::Credential, controllers::plugin_installation::model::Place, platform::Platform};

/// Label of everything that belongs to a shared release: its key.
pub const LABEL_SHARED: &str = "plexica.io/shared-release";
/// Annotation on a tenant's part: hash of all of it.
pub const ANNOTATION_HASH: &str = "plexica.io/content-hash";
/// Annotation on a tenant's part: names of its variables.
const ANNOTATION_VARIABLES: &str = "plexica.io/variables";
/// Annotation of pods: what they know of which tenant.
const ANNOTATION_TENANTS: &str = "plexica.io/tenants";
/// Where a shared plugin finds its tenants, a folder each.
const TENANTS_FOLDER: &str = "/etc/plexica/tenants";
/// Keys of a tenant's part that hold variables begin so.
const VARIABLE: &str = "env.";
/// How long a rollout may make no progress: no installation speaks for all.
const PROGRESS_DEADLINE: Duration = Duration::from_mins(10);
/// Digits of a release's key: names stay short, whatever the version is.
const KEY_LEN: usize = 8;

/// A release for all tenants that install it.
pub struct Release<'a> {
    /// The platform's namespace for such releases.
    pub namespace: &'a str,
    /// The release.
    pub plugin: &'a Plugin,
    /// Tells the versions of a plugin apart where a version cannot be part of a name.
    pub key: String,
}

/// What a release has of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    pub(super) slug: String,
    secret: String,
    hash: String,
    variables: Vec<String>,
}

impl Member {
    /// The tenant whose part this is, by the metadata of its Secret.
    pub fn of(meta: &ObjectMeta) -> Option<Self> {
        let annotations = meta.annotations.as_ref()?;
        Some(Self {
            slug: meta.labels.as_ref()?.get(LABEL_TENANT)?.clone(),
            secret: meta.name.clone()?,
            hash: annotations.get(ANNOTATION_HASH)?.clone(),
            variables: annotations
                .get(ANNOTATION_VARIABLES)?
                .split(',')
                .map(str::to_owned)
                .collect(),
        })
    }

    fn projection(&self) -> VolumeProjection {
        let item = |key: String, path: String| KeyToPath { key, path, mode: None };
        let slug = &self.slug;
        let config = item(CONFIG_FILE.to_owned(), format!("{slug}/{CONFIG_FILE}"));
        let variables = self
            .variables
            .iter()
            .map(|name| item(format!("{VARIABLE}{name}"), format!("{slug}/env/{name}")));
        VolumeProjection {
            secret: Some(SecretProjection {
                name: self.secret.clone(),
                items: Some([config].into_iter().chain(variables).collect()),
                // A tenant that leaves does not hinder the others' pods.
                optional: Some(true),
            }),
            ..VolumeProjection::default()
        }
    }
}

impl<'a> Release<'a> {
    /// The release of a plugin in the platform's namespace.
    pub fn new(namespace: &'a str, plugin: &'a Plugin) -> Self {
        let digest = Sha256::digest(plugin.spec.version.as_bytes());
        let number = u32::from_be_bytes(digest.first_chunk().copied().unwrap_or_default());
        let mut key = format!("{number:08x}");
        key.truncate(KEY_LEN);
        Self { namespace, plugin, key }
    }

    fn id(&self) -> &PluginId {
        &self.plugin.spec.id
    }

    /// Name of its Service and policy, and the beginning of the others' names.
    pub fn name(&self) -> String {
        format!("{}-{}", self.id(), self.key)
    }

    /// What selects everything of the release, as a label selector.
    pub fn selector(&self) -> String {
        format!("{LABEL_PLUGIN}={},{LABEL_SHARED}={}", self.id(), self.key)
    }

    pub(super) fn meta(&self, name: String) -> ObjectMeta {
        let labels = [
            (LABEL_PLUGIN, self.id().to_string()),
            (LABEL_SHARED, self.key.clone()),
            (LABEL_VERSION, self.plugin.spec.version.clone()),
            ("app.kubernetes.io/name", self.id().to_string()),
            ("app.kubernetes.io/managed-by", "plexica-operator".to_owned()),
        ];
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            ..ObjectMeta::default()
        }
    }

    fn selected(&self, slot: Slot) -> BTreeMap<String, String> {
        let labels = [
            (LABEL_PLUGIN, self.id().to_string()),
            (LABEL_SHARED, self.key.clone()),
            (LABEL_SLOT, slot.as_ref().to_owned()),
        ];
        labels.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// A tenant's part: its configuration, and the variables that a plugin of its own would find.
    pub fn part(
        &self,
        place: &Place,
        configuration: &Configuration,
        variables: &[(String, SecretString)],
        access: &Credential,
    ) -> Secret {
        let mut data: BTreeMap<String, ByteString> = variables
            .iter()
            .map(|(name, value)| {
                let value = value.expose_secret().as_bytes().to_vec();
                (format!("{VARIABLE}{name}"), ByteString(value))
            })
            .collect();
        data.insert(CONFIG_FILE.to_owned(), ByteString(configuration.to_json().into_bytes()));
        let whole = data
            .iter()
            .flat_map(|(key, value)| [key.as_bytes(), &value.0])
            .collect::<Vec<_>>()
            .join(&0);
        let hash = keyed_hash(access.secret.expose_secret().as_bytes(), &whole);
        let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
        let mut metadata = self.meta(format!("{}-{}", self.name(), place.slug));
        metadata.labels.get_or_insert_default().extend([
            (LABEL_TENANT.to_owned(), place.slug.to_string()),
            (LABEL_TENANT_ID.to_owned(), place.owner.tenant_id.to_string()),
        ]);
        metadata.annotations = Some(
            [
                (ANNOTATION_HASH.to_owned(), hash),
                (ANNOTATION_VARIABLES.to_owned(), names.join(",")),
            ]
            .into(),
        );
        Secret {
            metadata,
            type_: Some("Opaque".to_owned()),
            data: Some(data),
            ..Secret::default()
        }
    }

    /// The Deployment, with what it knows of its tenants.
    pub fn deployment(&self, members: &[Member], slot: Slot) -> Deployment {
        let runtime = &self.plugin.spec.runtime;
        let known: Vec<_> = members
            .iter()
            .map(|member| format!("{}={}", member.slug, member.hash))
            .collect();
        let mut variables = variables::of_process(self.plugin, self.id());
        variables.push(variables::slot(slot.as_ref()));
        variables.push(variables::connections(self.plugin.spec.database.connections));
        variables.push(Variable {
            name: "PLEXICA_TENANTS".to_owned(),
            value: Source::Text(TENANTS_FOLDER.to_owned()),
        });
        let metadata = self.meta(format!("{}-{}", self.name(), slot.as_ref()));
        let template = pods::template(&Pods {
            metadata: metadata.clone(),
            selected: self.selected(slot),
            plugin: self.plugin,
            resources: &runtime.resources,
            annotations: [(ANNOTATION_TENANTS.to_owned(), known.join(","))].into(),
            variables,
            files: Volume {
                name: "tenants".to_owned(),
                projected: Some(ProjectedVolumeSource {
                    default_mode: Some(0o440),
                    sources: Some(members.iter().map(Member::projection).collect()),
                }),
                ..Volume::default()
            },
            folder: TENANTS_FOLDER,
            meter: None,
        });
        pods::deployment(
            metadata,
            self.selected(slot),
            runtime.replicas,
            PROGRESS_DEADLINE,
            template,
        )
    }

    /// The Service that reaches GREEN.
    pub fn service(&self, live: Slot) -> Service {
        Service {
            metadata: self.meta(self.name()),
            spec: Some(ServiceSpec {
                selector: Some(self.selected(live)),
                ports: Some(service_ports()),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    /// Who reaches the pods: namespaces of tenants that have the release, and the Gateway. What they reach: the backends, and plugins of
    /// those tenants.
    pub fn network_policy(&self, members: &[Member], platform: &Platform) -> NetworkPolicy {
        let tenants = LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: LABEL_TENANT.to_owned(),
                operator: "In".to_owned(),
                values: Some(members.iter().map(|member| member.slug.clone()).collect()),
            }]),
            ..LabelSelector::default()
        };
        let of_tenants = NetworkPolicyPeer {
            namespace_selector: Some(tenants),
            ..NetworkPolicyPeer::default()
        };
        // Other releases that are shared are of those tenants too.
        let plugins = vec![of_tenants, in_namespace(self.namespace)];
        let port = || Some(vec![http()]);
        NetworkPolicy {
            metadata: self.meta(self.name()),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector {
                    match_labels: Some(
                        self.selected(Slot::A)
                            .into_iter()
                            .filter(|(key, _)| key != LABEL_SLOT)
                            .collect(),
                    ),
                    ..LabelSelector::default()
                }),
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                egress: Some(vec![
                    backends(platform),
                    NetworkPolicyEgressRule {
                        ports: port(),
                        to: Some(plugins.clone()),
                    },
                ]),
                ingress: Some(vec![NetworkPolicyIngressRule {
                    ports: port(),
                    from: Some(plugins.into_iter().chain(gateway(platform)).collect()),
                }]),
            }),
        }
    }

    /// The plugin's Service in the tenant's namespace: another name for the release's.
    pub fn alias(&self, place: &Place, cluster_domain: &str) -> Service {
        Service {
            metadata: meta(place, &place.id.service()),
            spec: Some(ServiceSpec {
                type_: Some("ExternalName".to_owned()),
                external_name: Some(format!("{}.{}.svc.{cluster_domain}", self.name(), self.namespace)),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plugin(version: &str) -> Plugin {
        serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": format!("crm-{version}") },
            "spec": { "id": "crm", "version": version, "displayName": "CRM",
                      "runtime": { "image": "registry.example.com/crm", "sharing": "Shared" } },
        }))
        .unwrap()
    }

    fn member(slug: &str) -> Member {
        let meta = ObjectMeta {
            name: Some(format!("crm-0-{slug}")),
            labels: Some([(LABEL_TENANT.to_owned(), slug.to_owned())].into()),
            annotations: Some(
                [
                    (ANNOTATION_HASH, "12ab"),
                    (ANNOTATION_VARIABLES, "DATABASE_URL,OIDC_ISSUER"),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ),
            ..ObjectMeta::default()
        };
        Member::of(&meta).unwrap()
    }

    #[test]
    fn each_tenant_is_a_folder_and_what_changes_of_one_makes_new_pods() {
        let plugin = plugin("1.0.0");
        let release = Release::new("shared", &plugin);
        let template = |members: &[Member]| {
            serde_json::to_value(release.deployment(members, Slot::A)).unwrap()["spec"]["template"].clone()
        };
        let both = template(&[member("acme"), member("globex")]);
        let sources = &both["spec"]["volumes"][0]["projected"]["sources"];
        let paths: Vec<_> = [0, 1]
            .into_iter()
            .flat_map(|source| sources[source]["secret"]["items"].as_array().unwrap().clone())
            .map(|item| item["path"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            paths,
            [
                "acme/config.json",
                "acme/env/DATABASE_URL",
                "acme/env/OIDC_ISSUER",
                "globex/config.json",
                "globex/env/DATABASE_URL",
                "globex/env/OIDC_ISSUER"
            ]
        );
        let mut changed = member("globex");
        changed.hash = "34cd".to_owned();
        assert_ne!(template(&[member("acme"), changed]), both);
        assert_ne!(template(&[member("acme")]), both);
    }

    #[test]
    fn versions_of_a_plugin_have_names_of_their_own_that_fit_a_label() {
        let (one, two) = (plugin("1.0.0"), plugin("1.0.0-rc.1"));
        let names = [&one, &two].map(|plugin| Release::new("shared", plugin).name());
        assert_ne!(names[0], names[1]);
        assert!(
            names.iter().all(|name| name.len() <= 31 && !name.contains('.')),
            "{names:?}"
        );
    }
}
