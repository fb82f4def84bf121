//! What a Tenant declares. The doc comments here are the texts of `kubectl explain tenant.spec`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TenantStatus;
use crate::{
    names::{SLUG_ALPHABET, SLUG_FIRST, SLUG_HYPHENS, SLUG_LENGTH, SLUG_PLUGIN, SLUG_RESERVED},
    period::Period,
    schema::{self, quantities_of},
};

/// What is wanted for the tenant. The tenant's name is metadata.name: 2 to 24 lower-case letters, digits and
/// single hyphens. Schema, realm, bucket and namespace are named after it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plexica.io",
    version = "v1alpha1",
    kind = "Tenant",
    plural = "tenants",
    shortname = "ten",
    category = "plexica",
    status = "TenantStatus",
    derive = "PartialEq",
    doc = "A tenant of the platform: a PostgreSQL schema, a Keycloak realm, an S3 bucket and a namespace, with credentials that work for it and for nothing else. The object's name is the tenant's name.",
    validation = Rule::new(SLUG_LENGTH.cel).message(SLUG_LENGTH.message),
    validation = Rule::new(SLUG_FIRST.cel).message(SLUG_FIRST.message),
    validation = Rule::new(SLUG_ALPHABET.cel).message(SLUG_ALPHABET.message),
    validation = Rule::new(SLUG_HYPHENS.cel).message(SLUG_HYPHENS.message),
    validation = Rule::new(SLUG_PLUGIN.cel).message(SLUG_PLUGIN.message),
    validation = Rule::new(SLUG_RESERVED.cel).message(SLUG_RESERVED.message),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Summary for people"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything is provisioned and works"),
    printcolumn(name = "Plugins", type_ = "string", json_path = ".status.plugins.summary", description = "Plugins ready / installed"),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.conditions[?(@.type==\"DatabaseReady\")].reason", description = "How the PostgreSQL schema fares"),
    printcolumn(name = "Identity", type_ = "string", json_path = ".status.conditions[?(@.type==\"IdentityReady\")].reason", description = "How the Keycloak realm fares"),
    printcolumn(name = "Storage", type_ = "string", json_path = ".status.conditions[?(@.type==\"StorageReady\")].reason", description = "How the S3 bucket fares"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".status.namespace", description = "Where the tenant's Secrets and plugins are", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "What to know or do", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// Name of the tenant for people, shown on login pages. 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    pub display_name: String,

    /// Free JSON object for services of the platform, mirrored to its registry (core.tenants.settings). At most 64 KiB.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    pub settings: Map<String, Value>,

    /// Free JSON object for front ends (colours, logo), mirrored to the registry. At most 64 KiB.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    pub theme: Map<String, Value>,

    /// True shuts everything of the tenant and keeps its data.
    #[serde(default)]
    pub suspended: bool,

    /// People who administer the tenant: made in its realm with the role tenant_admin; they verify their e-mail and choose a
    /// password at first login. An e-mail appears once. Removing somebody here does not delete the user.
    #[serde(default)]
    #[schemars(length(max = 20))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["email".into()]),
        validation = Rule::new("self.all(a, self.exists_one(b, b.email.lowerAscii() == a.email.lowerAscii()))").message("an e-mail appears only once among the admins (upper and lower case are the same)")
    )]
    pub admins: Vec<Admin>,

    /// The tenant's PostgreSQL schema.
    #[serde(default)]
    pub database: DatabaseSpec,

    /// The tenant's Keycloak realm.
    #[serde(default)]
    pub identity: IdentitySpec,

    /// The tenant's S3 bucket.
    #[serde(default)]
    pub storage: StorageSpec,

    /// The tenant's namespace, which holds its Secrets and plugins.
    #[serde(default)]
    pub namespace: NamespaceSpec,

    /// What deleting the Tenant does to its data. Retain (default): access is revoked, data is kept and can be restored until it
    /// is purged. Delete: data is dropped, if the annotation plexica.io/confirm-delete holds the tenant's name; otherwise it
    /// is retained.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// How long retained data is kept after the deletion before it may be purged (for example 720h).
    #[serde(default = "retention")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')").message("retention must be longer than zero: it is how long data outlives the tenant"))]
    pub retention: Period,
}

/// A person who administers the tenant.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// E-mail address; also the user's name in the realm.
    #[schemars(length(min = 3, max = 254), regex(pattern = "^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$"))]
    pub email: String,
    /// First name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub last_name: Option<String>,
}

/// The tenant's PostgreSQL schema.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(oldSelf.pool) || (has(self.pool) && self.pool == oldSelf.pool)").message("a tenant does not move between pools: database.pool cannot change once set"))]
pub struct DatabaseSpec {
    /// Pool of the platform file to place the schema in. Default: the least loaded pool with room. Cannot change once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub pool: Option<String>,
    /// Most connections that the tenant's login role may hold.
    #[serde(default = "connection_limit")]
    #[schemars(range(min = 1, max = 1000))]
    pub connection_limit: i32,
    /// A statement of the tenant that runs longer is cancelled (for example 30s).
    #[serde(default = "statement_timeout")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('100ms')").message("statementTimeout must be at least 100ms"))]
    pub statement_timeout: Period,
}

/// How tenants are kept apart in Keycloak.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityIsolation {
    /// A realm of its own.
    #[default]
    Realm,
    /// No identity at all: the tenant logs in elsewhere.
    None,
}

/// The tenant's Keycloak realm.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.isolation == oldSelf.isolation").message("identity.isolation cannot change: users would lose their accounts"))]
#[x_kube(validation = Rule::new("!has(oldSelf.pool) || (has(self.pool) && self.pool == oldSelf.pool)").message("a tenant does not move between pools: identity.pool cannot change once set"))]
pub struct IdentitySpec {
    /// Pool of the platform file. Default: the least loaded pool with room. Cannot change once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub pool: Option<String>,
    /// Realm (default): a realm of its own. None: no realm is made. Cannot change.
    #[serde(default)]
    pub isolation: IdentityIsolation,
    /// Login theme; must be installed in Keycloak. Default: Keycloak's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub login_theme: Option<String>,
    /// How long an access token is valid.
    #[serde(default = "access_token_lifespan")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('30s') && duration(self) <= duration('24h')").message("accessTokenLifespan must be between 30s and 24h"))]
    pub access_token_lifespan: Period,
    /// A session without activity ends after this time.
    #[serde(default = "sso_session_idle")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("ssoSessionIdle must be at least 1m"))]
    pub sso_session_idle: Period,
    /// A session ends after this time in any case.
    #[serde(default = "sso_session_max")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1m')").message("ssoSessionMax must be at least 1m"))]
    pub sso_session_max: Period,
    /// Redirect URIs of the client plexica-web beside https://<tenant>.<base domain>/*. Absolute http(s) URIs; one `*` is allowed, at
    /// the end of the path.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(max = 512)))]
    #[x_kube(validation = Rule::new("self.all(u, u.matches('^https?://[A-Za-z0-9.:-]+(/[^*\\\\s#]*[*]?)?$'))").message("a redirect URI is an absolute http or https URI with a host, such as https://app.example.com/*; `*` only at its end"))]
    pub redirect_uris: Vec<String>,
    /// Origins from which browsers may call Keycloak, beside those of the redirect URIs: scheme and host, no path.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(max = 256)))]
    #[x_kube(validation = Rule::new("self.all(u, u.matches('^https?://[^/*\\\\s]+$'))").message("a web origin is scheme and host without a path, such as https://app.example.com"))]
    pub web_origins: Vec<String>,
}

/// The tenant's S3 bucket.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(oldSelf.pool) || (has(self.pool) && self.pool == oldSelf.pool)").message("a tenant does not move between pools: storage.pool cannot change once set"))]
pub struct StorageSpec {
    /// Pool of the platform file. Default: the least loaded pool with room. Cannot change once set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub pool: Option<String>,
    /// Most bytes that the bucket may hold, as a Kubernetes quantity (for example 10Gi).
    #[serde(default = "quota")]
    #[schemars(schema_with = "schema::quantity")]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))").message("a storage quota is a positive quantity of bytes, such as 10Gi"))]
    pub quota: Quantity,
    /// Whether the bucket keeps former versions of its objects.
    #[serde(default)]
    pub versioning: bool,
}

/// Whether traffic to the tenant's pods is restricted.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPolicy {
    /// All traffic is denied; DNS and what plugins declare is opened.
    #[default]
    Isolated,
    /// No policy is made.
    None,
}

/// Defaults and limits of a container in the tenant's namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitRangeSpec {
    /// Limits of a container that names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub default: BTreeMap<String, Quantity>,
    /// Requests of a container that names none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub default_request: BTreeMap<String, Quantity>,
    /// Most that a container may ask for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::quantities")]
    pub max: BTreeMap<String, Quantity>,
}

/// The tenant's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSpec {
    /// Labels to add to the namespace. Keys of kubernetes.io, k8s.io and plexica.io are the platform's.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, !k.matches('(^|\\\\.)(kubernetes\\\\.io|k8s\\\\.io|plexica\\\\.io)/'))").message("labels of kubernetes.io, k8s.io and plexica.io are set by the platform"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations to add to the namespace.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, !k.matches('(^|\\\\.)(kubernetes\\\\.io|k8s\\\\.io|plexica\\\\.io)/'))").message("annotations of kubernetes.io, k8s.io and plexica.io are set by the platform"))]
    pub annotations: BTreeMap<String, String>,
    /// Hard limits of the namespace's ResourceQuota, for example requests.cpu or pods.
    #[serde(default = "resource_quota")]
    #[schemars(schema_with = "schema::quantities")]
    pub resource_quota: BTreeMap<String, Quantity>,
    /// Defaults and limits of containers.
    #[serde(default = "limit_range")]
    pub limit_range: LimitRangeSpec,
    /// Isolated (default): all traffic is denied but DNS and what plugins declare. None: no policy is made.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
}

/// What deleting a Tenant does to its data.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Access is revoked, data is kept.
    #[default]
    Retain,
    /// Data is dropped, if confirmed by annotation.
    Delete,
}

impl Default for DatabaseSpec {
    fn default() -> Self {
        Self {
            pool: None,
            connection_limit: connection_limit(),
            statement_timeout: statement_timeout(),
        }
    }
}

impl Default for IdentitySpec {
    fn default() -> Self {
        Self {
            pool: None,
            isolation: IdentityIsolation::default(),
            login_theme: None,
            access_token_lifespan: access_token_lifespan(),
            sso_session_idle: sso_session_idle(),
            sso_session_max: sso_session_max(),
            redirect_uris: vec![],
            web_origins: vec![],
        }
    }
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self {
            pool: None,
            quota: quota(),
            versioning: false,
        }
    }
}

impl Default for NamespaceSpec {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            resource_quota: resource_quota(),
            limit_range: limit_range(),
            network_policy: NetworkPolicy::default(),
        }
    }
}

fn retention() -> Period {
    Period::constant("720h")
}

fn connection_limit() -> i32 {
    20
}

fn statement_timeout() -> Period {
    Period::constant("30s")
}

/// 300, 1800 and 36000 s: data-model.md, "Realm".
fn access_token_lifespan() -> Period {
    Period::constant("5m")
}

fn sso_session_idle() -> Period {
    Period::constant("30m")
}

fn sso_session_max() -> Period {
    Period::constant("10h")
}

fn quota() -> Quantity {
    Quantity("10Gi".into())
}

fn resource_quota() -> BTreeMap<String, Quantity> {
    quantities_of([
        ("requests.cpu", "4"),
        ("requests.memory", "8Gi"),
        ("limits.cpu", "8"),
        ("limits.memory", "16Gi"),
        ("pods", "50"),
        ("services.nodeports", "0"),
        ("services.loadbalancers", "0"),
    ])
}

fn limit_range() -> LimitRangeSpec {
    LimitRangeSpec {
        default: quantities_of([("cpu", "500m"), ("memory", "256Mi")]),
        default_request: quantities_of([("cpu", "50m"), ("memory", "64Mi")]),
        max: BTreeMap::new(),
    }
}
