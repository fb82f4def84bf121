//! The Kubernetes objects of a tenant. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{
            ConfigMap, LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec, Secret,
        },
        networking::v1::{
            NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
        },
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::Resource;
use plexica_crds::{LABEL_RETAINED, LABEL_TENANT, LABEL_TENANT_ID, tenant::NetworkPolicy as NetworkPolicyChoice};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{frontends::Frontend, validate::ValidatedTenant};
use crate::backends::{postgres::DatabaseEndpoint, s3::StorageEndpoint};

/// Secret with the database's credentials.
pub const DATABASE_SECRET: &str = "plexica-database";
/// Secret with the bucket's credentials.
pub const STORAGE_SECRET: &str = "plexica-storage";
/// Secret with the realm's addresses.
pub const IDENTITY_SECRET: &str = "plexica-identity";
/// ConfigMap with the front ends of the tenant's plugins.
pub const FRONTENDS: &str = "plexica-frontends";
/// Its key.
const FRONTENDS_KEY: &str = "frontends.json";
/// Annotation on a Secret: the id under which the backend knows the credential.
pub const ANNOTATION_CREDENTIAL: &str = "plexica.io/credential-id";
/// Annotation on a namespace: whether the operator made it.
pub const ANNOTATION_ORIGIN: &str = "plexica.io/namespace-origin";
/// Recommended label: the tool that manages an object.
const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Name of quota, limit range and network policy.
const OBJECT_NAME: &str = "plexica-tenant";
/// Name of the binding that lets the operator work in the namespace.
const BINDING_NAME: &str = "plexica-operator";
/// `ClusterRole` of the chart that it binds.
const BOUND_ROLE: &str = "plexica-operator-tenant-namespace";

/// Where a tenant's namespace comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::AsRefStr, strum::EnumString)]
pub enum Origin {
    /// The operator made it: it goes with the data.
    Made,
    /// It was there, labelled for this tenant: it is never deleted.
    Adopted,
}

/// Who the operator is in Kubernetes.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceAccount {
    /// From the environment of the pod (`POD_NAMESPACE`, `SERVICE_ACCOUNT`), as the chart sets it.
    pub fn from_env() -> Self {
        let var = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            namespace: var("POD_NAMESPACE", "plexica-system"),
            name: var("SERVICE_ACCOUNT", "plexica-operator"),
        }
    }
}

fn labels(tenant: &ValidatedTenant) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_TENANT.to_owned(), tenant.slug.to_string()),
        (LABEL_TENANT_ID.to_owned(), tenant.owner.tenant_id.to_string()),
        (LABEL_MANAGED_BY.to_owned(), "plexica-operator".to_owned()),
    ])
}

fn meta(tenant: &ValidatedTenant, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(tenant.slug.namespace().to_string()),
        labels: Some(labels(tenant)),
        ..ObjectMeta::default()
    }
}

/// The namespace, with Pod Security `restricted`.
pub fn namespace(tenant: &ValidatedTenant, origin: Origin) -> Namespace {
    let mut ours = labels(tenant);
    if origin == Origin::Adopted {
        // Whoever made it may manage it by that label.
        ours.remove(LABEL_MANAGED_BY);
    }
    let mut all = tenant.namespace.labels.clone();
    all.extend(ours);
    for mode in ["enforce", "warn", "audit"] {
        all.insert(format!("pod-security.kubernetes.io/{mode}"), "restricted".to_owned());
    }
    all.insert(LABEL_RETAINED.to_owned(), "false".to_owned());
    let mut annotations = tenant.namespace.annotations.clone();
    annotations.insert(ANNOTATION_ORIGIN.to_owned(), origin.as_ref().to_owned());
    Namespace {
        metadata: ObjectMeta {
            name: Some(tenant.slug.namespace().to_string()),
            labels: Some(all),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// The binding by which the operator may read and write Secrets in this namespace, and in no other.
pub fn role_binding(tenant: &ValidatedTenant, account: &ServiceAccount) -> RoleBinding {
    RoleBinding {
        metadata: meta(tenant, BINDING_NAME),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: BOUND_ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: account.name.clone(),
            namespace: Some(account.namespace.clone()),
            api_group: None,
        }]),
    }
}

/// The quota; `None` if the spec names no limits.
pub fn resource_quota(tenant: &ValidatedTenant) -> Option<ResourceQuota> {
    let hard = tenant.namespace.resource_quota.clone();
    (!hard.is_empty()).then(|| ResourceQuota {
        metadata: meta(tenant, OBJECT_NAME),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    })
}

/// The limit range; `None` if the spec names nothing.
pub fn limit_range(tenant: &ValidatedTenant) -> Option<LimitRange> {
    let plexica_crds::tenant::LimitRangeSpec {
        default,
        default_request,
        max,
    } = tenant.namespace.limit_range.clone();
    if default.is_empty() && default_request.is_empty() && max.is_empty() {
        return None;
    }
    let some = |map: BTreeMap<_, _>| (!map.is_empty()).then_some(map);
    Some(LimitRange {
        metadata: meta(tenant, OBJECT_NAME),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: some(default),
                default_request: some(default_request),
                max: some(max),
                ..LimitRangeItem::default()
            }],
        }),
    })
}

/// Default deny in both directions, DNS opened; `None` if the spec wants no policy.
pub fn network_policy(tenant: &ValidatedTenant) -> Option<NetworkPolicy> {
    match tenant.namespace.network_policy {
        NetworkPolicyChoice::None => None,
        NetworkPolicyChoice::Isolated => Some(NetworkPolicy {
            metadata: meta(tenant, OBJECT_NAME),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector::default()),
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                egress: Some(vec![NetworkPolicyEgressRule {
                    ports: Some(["UDP", "TCP"].map(dns_port).to_vec()),
                    to: None::<Vec<NetworkPolicyPeer>>,
                }]),
                ingress: None,
            }),
        }),
    }
}

fn dns_port(protocol: &str) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(53)),
        protocol: Some(protocol.to_owned()),
        end_port: None,
    }
}

/// A Secret of the tenant. Its keys are stable API: design.md, "Names".
fn secret(tenant: &ValidatedTenant, name: &str, credential_id: Option<&str>, data: &[(&str, &str)]) -> Secret {
    let mut metadata = meta(tenant, name);
    metadata.annotations = credential_id.map(|id| BTreeMap::from([(ANNOTATION_CREDENTIAL.to_owned(), id.to_owned())]));
    Secret {
        metadata,
        type_: Some("Opaque".to_owned()),
        data: Some(
            data.iter()
                .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// Secret `plexica-database`.
pub fn database_secret(
    tenant: &ValidatedTenant,
    endpoint: &DatabaseEndpoint,
    credential_id: &str,
    password: &SecretString,
) -> Secret {
    let [username, _] = tenant.slug.login_roles();
    let DatabaseEndpoint { host, port, database } = endpoint;
    let password = password.expose_secret();
    secret(
        tenant,
        DATABASE_SECRET,
        Some(credential_id),
        &[
            ("host", host),
            ("port", &port.to_string()),
            ("database", database),
            ("schema", tenant.slug.schema().as_str()),
            ("username", username.as_str()),
            ("password", password),
            (
                "uri",
                &format!("postgresql://{username}:{password}@{host}:{port}/{database}"),
            ),
        ],
    )
}

/// Secret `plexica-storage`.
pub fn storage_secret(
    tenant: &ValidatedTenant,
    endpoint: &StorageEndpoint,
    credential_id: &str,
    secret_access_key: &SecretString,
) -> Secret {
    let [user, _] = tenant.slug.storage_users();
    secret(
        tenant,
        STORAGE_SECRET,
        Some(credential_id),
        &[
            ("endpoint", endpoint.endpoint.as_str().trim_end_matches('/')),
            ("region", &endpoint.region),
            ("bucket", tenant.slug.bucket().as_str()),
            ("accessKeyId", user.as_str()),
            ("secretAccessKey", secret_access_key.expose_secret()),
        ],
    )
}

/// Secret `plexica-identity`: nothing secret, but beside the others.
pub fn identity_secret(tenant: &ValidatedTenant, issuer: &Url) -> Secret {
    secret(
        tenant,
        IDENTITY_SECRET,
        None,
        &[
            ("issuer", issuer.as_str()),
            ("jwksUri", &format!("{issuer}/protocol/openid-connect/certs")),
            ("realm", tenant.slug.realm().as_str()),
            ("webClientId", "plexica-web"),
            ("apiClientId", "plexica-api"),
        ],
    )
}

/// ConfigMap `plexica-frontends`. Its key and the list's fields are stable API: docs/routes.md.
pub fn frontends(tenant: &ValidatedTenant, remotes: &[Frontend]) -> ConfigMap {
    // A list of texts always becomes JSON.
    let list = serde_json::to_string_pretty(remotes).unwrap_or_default();
    ConfigMap {
        metadata: meta(tenant, FRONTENDS),
        data: Some([(FRONTENDS_KEY.to_owned(), list)].into()),
        ..ConfigMap::default()
    }
}

/// Kinds that the operator makes in a tenant's namespace with a fixed name, for their removal.
pub fn owned_name<K: Resource<DynamicType = ()>>() -> &'static str {
    if K::kind(&()) == "RoleBinding" {
        BINDING_NAME
    } else {
        OBJECT_NAME
    }
}
