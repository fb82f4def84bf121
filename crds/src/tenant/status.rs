//! What is known of a Tenant. The doc comments here are the texts of `kubectl explain tenant.status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::AsRefStr;
use uuid::Uuid;

/// What the operator observed of the tenant.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
// Written whole, by one writer: `managedFields` names it once, and not each field of each condition, all of which the API server
// would read and write with every change of the object.
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub observed_generation: Option<i64>,
    /// Summary for people; nothing decides from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Id of the tenant in all backends: the uid of the Tenant that first provisioned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant_id: Option<Uuid>,
    /// Namespace of the tenant's Secrets and plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The PostgreSQL schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// The Keycloak realm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityStatus>,
    /// The S3 bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,
    /// The tenant's plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<PluginCounts>,
    /// Statements about the tenant, each with a reason. Ready, Reconciling and Stalled follow kstatus.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Summary of a tenant for people.
#[derive(
    JsonSchema,
    AsRefStr,
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum Phase {
    /// Something is still being made, or cannot be made.
    Provisioning,
    /// Everything works.
    Active,
    /// Shut on request.
    Suspended,
    /// Being deleted.
    PendingDeletion,
    /// Nothing goes on without a person.
    Failed,
}

/// The PostgreSQL schema.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// Pool of the platform file where the schema is placed.
    pub pool: String,
    /// Name of the schema.
    pub schema: String,
    /// Secret in the tenant's namespace: host, port, database, schema, username, password, uri.
    pub secret_name: String,
}

/// The Keycloak realm.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityStatus {
    /// Pool of the platform file where the realm is placed.
    pub pool: String,
    /// Name of the realm.
    pub realm: String,
    /// Issuer of the tenant's tokens.
    pub issuer: String,
    /// Secret in the tenant's namespace: issuer, jwksUri, realm, webClientId, apiClientId.
    pub secret_name: String,
}

/// The S3 bucket.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// Pool of the platform file where the bucket is placed.
    pub pool: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Secret in the tenant's namespace: endpoint, region, bucket, accessKeyId, secretAccessKey.
    pub secret_name: String,
}

/// How many plugins the tenant has.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginCounts {
    /// Plugins installed.
    pub installed: i32,
    /// Plugins that are ready.
    pub ready: i32,
    /// Both, as `ready/installed`.
    pub summary: String,
}
