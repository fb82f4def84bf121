//! What a plugin keeps and is told: migrations, grants and configuration.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use strum::{AsRefStr, EnumIter};

use crate::schema;

/// What can be configured.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationSpec {
    /// JSON Schema 2020-12 of the configuration, without references to other documents. `writeOnly: true` marks a secret: its
    /// value comes from a Secret only. An object that lists `properties` and says nothing of others admits no others.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    pub schema: Map<String, Value>,
    /// Values where nobody says otherwise. At most 64 KiB, no secrets.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    pub defaults: Map<String, Value>,
}

/// When a migration is applied.
#[derive(JsonSchema, AsRefStr, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MigrationPhase {
    /// Before the new version starts: adds what it needs, and leaves what the former version uses.
    #[default]
    Expand,
    /// After the rollback window: removes what no version uses any more. From then on there is no way back.
    Contract,
}

/// A step that makes or changes the plugin's schema.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.sql) != has(self.configMapRef)").message("a migration has either sql or configMapRef"))]
pub struct Migration {
    /// Four digits, an underscore and what it does, for example 0001_contacts. The digits give the order.
    #[schemars(length(min = 6, max = 100))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9]{4}_[a-z0-9]+(_[a-z0-9]+)*$')").message("a migration is named by four digits and what it does, for example 0001_contacts"))]
    pub name: String,
    /// Its statements. {{schema}} stands for the plugin's schema, {{tenant_schema}} for the tenant's. They run as the plugin's
    /// own role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub sql: Option<String>,
    /// Where its statements are, if they are too long for here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
    /// Expand (default): before the version starts. Contract: after the rollback window, when there is no way back any more.
    #[serde(default)]
    pub phase: MigrationPhase,
    /// Whether it runs in one transaction. False only for what PostgreSQL refuses there (CREATE INDEX CONCURRENTLY); then
    /// it is one statement.
    #[serde(default = "transactional")]
    pub transactional: bool,
}

/// A key of a ConfigMap in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap; it should be immutable.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A privilege on a table.
#[derive(JsonSchema, AsRefStr, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Privilege {
    /// Reads rows.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// Names rows in foreign keys.
    References,
}

/// What the plugin uses of the database, beside its own schema.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// Tables of the tenant's schema that it is granted.
    #[serde(default)]
    #[schemars(length(max = 20))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["table".into()]))]
    pub tenant_tables: Vec<TenantTable>,
    /// Sessions that each of its pods may have at once; pods are told by PLEXICA_DATABASE_CONNECTIONS. All pods of the plugin
    /// together, those of a candidate and a standby among them, are given as many as their number needs.
    #[serde(default = "connections", skip_serializing_if = "is_usual")]
    #[schemars(range(min = 1, max = MAX_CONNECTIONS))]
    pub connections: i32,
}

impl Default for DatabaseSpec {
    fn default() -> Self {
        Self {
            tenant_tables: vec![],
            connections: connections(),
        }
    }
}

/// Most sessions of one pod.
pub const MAX_CONNECTIONS: i32 = 100;

fn connections() -> i32 {
    5
}

/// What a release of an earlier API version did not say is not written either: a release is recognised by what it says.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_usual(number: &i32) -> bool {
    *number == connections()
}

/// A table of the tenant's schema.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantTable {
    /// Name of the table.
    pub table: TenantTableName,
    /// What may be done with its rows.
    #[schemars(length(min = 1, max = 5))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub privileges: Vec<Privilege>,
}

/// A table of the tenant's schema that may be granted to plugins (data-model.md, "The template").
#[derive(
    JsonSchema, AsRefStr, EnumIter, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TenantTableName {
    /// Users.
    Users,
    /// Teams.
    Teams,
    /// Members of teams.
    TeamMembers,
    /// Roles: read only.
    Roles,
    /// Permissions: read only.
    Permissions,
    /// Permissions of roles: read only.
    RolePermissions,
    /// Roles of users: read only.
    UserRoles,
    /// Policies: read only.
    Policies,
    /// The audit log: rows may be added.
    AuditLogs,
}

impl TenantTableName {
    /// The privileges that a plugin may be granted. Whoever writes roles, permissions or policies gives himself
    /// rights; whoever changes the audit log leaves no trace.
    pub fn grantable(self) -> &'static [Privilege] {
        use Privilege as P;
        match self {
            Self::Users | Self::Teams | Self::TeamMembers => {
                &[P::Select, P::Insert, P::Update, P::Delete, P::References]
            }
            Self::Roles | Self::Permissions | Self::RolePermissions | Self::UserRoles | Self::Policies => {
                &[P::Select, P::References]
            }
            Self::AuditLogs => &[P::Insert],
        }
    }
}

fn transactional() -> bool {
    true
}
