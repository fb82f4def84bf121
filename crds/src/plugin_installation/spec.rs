//! What a PluginInstallation declares. The doc comments here are the texts of `kubectl explain plugininstallation.spec`.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{PluginInstallationStatus, PromotionSpec, RedSpec};
use crate::{names::PLUGIN_ID_RULES, plugin::ResourcesSpec, schema, version_range::VersionRange};

/// Path of the object's name, for the rules of a plugin's id.
const NAME: &str = "self.metadata.name";

/// What is wanted. The installation's name is the plugin's id, its namespace is the tenant's: nothing here names another
/// tenant's things.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plexica.io",
    version = "v1alpha1",
    kind = "PluginInstallation",
    plural = "plugininstallations",
    shortname = "pi",
    category = "plexica",
    namespaced,
    status = "PluginInstallationStatus",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    doc = "A plugin in a tenant: the object's name is the plugin's id, its namespace is the tenant's. New releases travel to production by traffic light: YELLOW is the candidate or the standby, GREEN is live.",
    validation = Rule::new(PLUGIN_ID_RULES[0].cel(NAME)).message(PLUGIN_ID_RULES[0].message),
    validation = Rule::new(PLUGIN_ID_RULES[1].cel(NAME)).message(PLUGIN_ID_RULES[1].message),
    validation = Rule::new(PLUGIN_ID_RULES[2].cel(NAME)).message(PLUGIN_ID_RULES[2].message),
    validation = Rule::new(PLUGIN_ID_RULES[3].cel(NAME)).message(PLUGIN_ID_RULES[3].message),
    validation = Rule::new(PLUGIN_ID_RULES[4].cel(NAME)).message(PLUGIN_ID_RULES[4].message),
    validation = Rule::new(PLUGIN_ID_RULES[5].cel(NAME)).message(PLUGIN_ID_RULES[5].message),
    validation = Rule::new(PLUGIN_ID_RULES[6].cel(NAME)).message(PLUGIN_ID_RULES[6].message),
    printcolumn(name = "Plugin", type_ = "string", json_path = ".metadata.name", description = "Id of the plugin"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Summary for people"),
    printcolumn(name = "Green", type_ = "string", json_path = ".status.lights.green", description = "The live version and its pods"),
    printcolumn(name = "Yellow", type_ = "string", json_path = ".status.lights.yellow", description = "The candidate or standby and its pods"),
    printcolumn(name = "Red", type_ = "string", json_path = ".status.lights.red", description = "The development slot: its version, and its pods or that it is asleep", priority = "1"),
    printcolumn(name = "Rollback", type_ = "string", json_path = ".status.rollback.summary", description = "Where a rollback would lead, and until when"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the plugin works for the tenant"),
    printcolumn(name = "Wanted", type_ = "string", json_path = ".spec.version", description = "Range of versions that are wanted", priority = "1"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where the plugin's API is found", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "What to know or do", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PluginInstallationSpec {
    /// Versions that are wanted, for example ^1.2, ~1.4.0 or =1.4.0. Default *: the newest stable one. Pre-releases only
    /// if the range names one.
    #[serde(default = "any_version")]
    #[schemars(with = "VersionRange")]
    pub version: String,

    /// Automatic (default): a newer version in the range is taken as soon as it is released. Manual: what is installed stays
    /// until the range does not admit it any more.
    #[serde(default)]
    pub update_policy: UpdatePolicy,

    /// False: no pods and no route; data and configuration are kept.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Configuration, over the plugin's defaults and the platform's own values: objects are merged, null takes a key away,
    /// anything else replaces (RFC 7396). No secrets: name those in configFrom.
    #[serde(default)]
    #[schemars(schema_with = "schema::free_object")]
    pub config: Map<String, Value>,

    /// Values of the configuration that are in Secrets or ConfigMaps of this namespace. They are put in last.
    #[serde(default)]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["pointer".into()]))]
    pub config_from: Vec<ConfigSource>,

    /// Pods of what is live, and of its candidate or standby. Default: what the plugin says. Written here, it may be left to a
    /// HorizontalPodAutoscaler or to `kubectl scale pi`: they scale the installation, whichever slot is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub replicas: Option<i32>,

    /// Requests and limits of a pod. Default: what the plugin says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,

    /// Require (default): plugins that this one needs have to be installed by somebody. AutoInstall: the operator installs
    /// them.
    #[serde(default)]
    pub dependency_policy: DependencyPolicy,

    /// What deleting the installation does to the plugin's data. Keep (default): it stays, and is found again. Drop: its
    /// schema is dropped.
    #[serde(default)]
    pub data_policy: DataPolicy,

    /// How a release goes live.
    #[serde(default)]
    pub promotion: PromotionSpec,

    /// A development slot beside production.
    #[serde(default)]
    pub red: RedSpec,
}

/// Whether newer versions are taken.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UpdatePolicy {
    /// As soon as they are released.
    #[default]
    Automatic,
    /// Only when the range says so.
    Manual,
}

/// Who installs what a plugin needs.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DependencyPolicy {
    /// Somebody else.
    #[default]
    Require,
    /// The operator.
    AutoInstall,
}

/// What deleting an installation does to its data.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataPolicy {
    /// It stays.
    #[default]
    Keep,
    /// The plugin's schema is dropped.
    Drop,
}

/// A value of the configuration that is kept elsewhere.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)").message("a value comes from either secretKeyRef or configMapKeyRef"))]
pub struct ConfigSource {
    /// Where in the configuration the value is put: a JSON pointer such as /smtp/password (RFC 6901: `~1` is a slash, `~0` a
    /// tilde in a key). Objects on the way are made.
    #[schemars(length(min = 2, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^(/([^~/]|~[01])*)+$')").message("pointer is a JSON pointer, such as /smtp/password"))]
    pub pointer: String,
    /// A key of a Secret in this namespace. Whatever comes from a Secret is treated as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a ConfigMap in this namespace; not for what the plugin's schema marks as a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// Text (default): the value is the text as it stands. Json: the text is JSON, for numbers, booleans, lists and objects.
    #[serde(default)]
    pub format: ConfigFormat,
}

/// How a text becomes a value.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConfigFormat {
    /// As it stands.
    #[default]
    Text,
    /// As JSON.
    Json,
}

/// A key of a Secret or ConfigMap.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn any_version() -> String {
    VersionRange::any().to_string()
}

fn yes() -> bool {
    true
}
