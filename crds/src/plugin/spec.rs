//! What a Plugin declares. The doc comments here are the texts of `kubectl explain plugin.spec`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ConfigurationSpec, DatabaseSpec, Migration, PluginStatus, RuntimeSpec,
    immutability::{FRONTEND, SAME_ORDER, UNCHANGED},
};
use crate::{names::PluginId, schema, version_range::VersionRange};

/// SemVer 2.0 in lower case (it is part of an object's name) and without build metadata (which orders nothing).
/// Source: semver.org, the suggested expression.
const VERSION_RULE: &str = "self.matches('^(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[a-z-][0-9a-z-]*)([.](0|[1-9][0-9]*|[0-9]*[a-z-][0-9a-z-]*))*)?$')";

/// One released version of a plugin. A release does not change: to change anything but `deprecated`, publish another
/// version.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plexica.io",
    version = "v1alpha1",
    kind = "Plugin",
    plural = "plugins",
    shortname = "plg",
    category = "plexica",
    status = "PluginStatus",
    derive = "PartialEq",
    doc = "A released version of a plugin: what runs, what it needs and what it brings. The object's name is <id>-<version>. Installing it for a tenant is a PluginInstallation.",
    validation = Rule::new("self.metadata.name == self.spec.id + '-' + self.spec.version").message("a Plugin is named <spec.id>-<spec.version>, for example crm-1.4.0"),
    validation = Rule::new(FRONTEND).message(UNCHANGED),
    printcolumn(name = "Plugin", type_ = "string", json_path = ".spec.id", description = "Id of the plugin"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version", description = "The released version"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Summary for people"),
    printcolumn(name = "Installations", type_ = "integer", json_path = ".status.installations.total", description = "Tenants that run this version"),
    printcolumn(name = "Title", type_ = "string", json_path = ".spec.displayName", description = "Name for people", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "What to know or do", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PluginSpec {
    /// Id of the plugin, the same for all its versions: 2 to 22 lower-case letters, digits and single hyphens. Its
    /// permissions, events and paths begin with it.
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub id: PluginId,

    /// Version of the release: SemVer in lower case without build metadata, such as 1.4.0 or 2.0.0-rc.1.
    #[schemars(length(min = 5, max = 40))]
    #[x_kube(validation = Rule::new(VERSION_RULE).message("a version is SemVer in lower case without build metadata, such as 1.4.0 or 2.0.0-rc.1"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub version: String,

    /// Name of the plugin for people. 1 to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub display_name: String,

    /// What the plugin is for, in a few sentences.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub description: String,

    /// Where catalogues list it, for example `crm` or `analytics`.
    #[serde(default)]
    #[schemars(length(max = 50))]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub category: String,

    /// Set to say that this release is not to be installed any more: new installations do not choose it by themselves, what
    /// runs goes on. The one field that may be edited after the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Deprecation>,

    /// What runs.
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub runtime: RuntimeSpec,

    /// Where its HTTP API is found.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub api: ApiSpec,

    /// What it adds to the platform's front end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendSpec>,

    /// Plugins that it needs or uses in the same tenant.
    #[serde(default)]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["plugin".into()]), validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub dependencies: Vec<Dependency>,

    /// Plugins that cannot be in the same tenant.
    #[serde(default)]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["plugin".into()]), validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub conflicts: Vec<Conflict>,

    /// Permissions that it brings; they are added to the tenant's.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]), validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub permissions: Vec<Permission>,

    /// Events that it sends and receives.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub events: EventsSpec,

    /// What can be configured.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub configuration: ConfigurationSpec,

    /// What makes and changes its database schema, in order. A migration that was released stays in all later versions,
    /// word for word: new ones are added at the end.
    #[serde(default)]
    #[schemars(length(max = 200))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self == oldSelf").message(UNCHANGED),
        validation = Rule::new(SAME_ORDER).message(UNCHANGED)
    )]
    pub migrations: Vec<Migration>,

    /// What it may use of the tenant's own tables.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub database: DatabaseSpec,

    /// Texts by language: a free JSON object, `{"en": {"title": "Contacts"}}`. At most 64 KiB.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    #[x_kube(validation = Rule::new("self == oldSelf").message(UNCHANGED))]
    pub translations: Map<String, Value>,
}

impl PluginSpec {
    /// Path of its API below the tenant's host. The default depends on the id, which a schema cannot say.
    pub fn base_path(&self) -> String {
        self.api
            .base_path
            .clone()
            .unwrap_or_else(|| format!("{}{}", super::paths::PLUGINS, self.id))
    }
}

/// Why a release is not to be installed any more.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deprecation {
    /// What people should know: since when, why, what to do.
    #[schemars(length(min = 1, max = 500))]
    pub message: String,
    /// Id of the plugin to use instead, if it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<PluginId>,
}

/// Where the plugin's HTTP API is found.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiSpec {
    /// Path below the tenant's host that leads to the plugin; the prefix is stripped. Default: /api/plugins/<id>.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 200))]
    pub base_path: Option<String>,
    /// Path of the container that answers 200 while it lives.
    #[serde(default = "health_check")]
    #[schemars(length(min = 1, max = 200), regex(pattern = "^/"))]
    pub health_check: String,
    /// Path of the container that answers 200 while it can take requests.
    #[serde(default = "readiness")]
    #[schemars(length(min = 1, max = 200), regex(pattern = "^/"))]
    pub readiness: String,
    /// Path of the container that gives its OpenAPI document, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), regex(pattern = "^/"))]
    pub openapi: Option<String>,
}

/// What the plugin adds to the platform's front end (module federation).
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendSpec {
    /// Where the remote's entry is: an https URL, or a path of the plugin's own API.
    #[schemars(length(min = 1, max = 500), regex(pattern = "^(https://|/)"))]
    pub remote_entry: String,
    /// Path in the front end below which the plugin's pages are.
    #[schemars(length(min = 2, max = 200))]
    pub route_prefix: String,
    /// Names of the modules that the remote exposes, for example ./Routes.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 200)))]
    pub exposes: Vec<String>,
}

/// How much a dependency matters.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DependencyKind {
    /// Without it the plugin is not installed.
    #[default]
    Required,
    /// It is used if it is there; then its version has to fit.
    Optional,
}

/// A plugin that is needed or used.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Id of the other plugin.
    pub plugin: PluginId,
    /// Versions that fit, for example ^1.2 or >=1.4, <3.
    #[serde(default = "any_version")]
    #[schemars(with = "VersionRange")]
    pub version: String,
    /// Required (default): without it the plugin is not installed. Optional: used if it is there; then its version has to fit.
    #[serde(default)]
    pub kind: DependencyKind,
}

/// A plugin that cannot be in the same tenant.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Id of the other plugin.
    pub plugin: PluginId,
    /// Versions of it that do not go together with this release.
    #[serde(default = "any_version")]
    #[schemars(with = "VersionRange")]
    pub version: String,
}

/// A permission that the plugin brings.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// <plugin id>:<resource>:<action>, for example crm:contacts:read; <plugin id>:* covers all of the plugin.
    #[schemars(length(min = 4, max = 128))]
    pub key: String,
    /// Name for people.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it allows.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub description: String,
    /// Roles of the tenant (admin, user, guest or its own) that are granted it at installation, if they are there.
    #[serde(default)]
    #[schemars(length(max = 20), inner(length(min = 1, max = 100)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub roles: Vec<String>,
}

/// Events by name: <plugin>.<entity>.<event>, for example crm.contact.created.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsSpec {
    /// Events that it sends; they begin with its own id.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub publishes: Vec<String>,
    /// Events that it wants: of other plugins, or of the platform (core.plugin.installed).
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1, max = 128)))]
    pub subscribes: Vec<String>,
}

impl Default for ApiSpec {
    fn default() -> Self {
        Self {
            base_path: None,
            health_check: health_check(),
            readiness: readiness(),
            openapi: None,
        }
    }
}

/// Data-model.md, "Plugins at the gateway and in the cluster".
fn health_check() -> String {
    "/health".into()
}

fn readiness() -> String {
    "/ready".into()
}

fn any_version() -> String {
    VersionRange::any().to_string()
}
