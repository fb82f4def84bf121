//! A revision: everything that was rendered of a release for one installation, frozen.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{PodTemplateSpec, Volume};
use plexica_crds::names::PluginId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::backends::postgres::plugin::{PluginPermission, TenantTables};

/// Hexadecimal digits of a revision's hash. Whoever may write objects in the tenant's namespace must not find another revision
/// with the same: it says what the plugin may do in the database.
pub const HASH_LEN: usize = 16;

/// What a slot runs, and what it needs of what slots share. It never changes: another release, configuration, provider or size
/// of a pod is another revision. What may change in place, the number of pods and the credential, is not in it; nor is the slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// Version of the release.
    pub version: String,
    /// Path of its API below the tenant's host.
    pub base_path: String,
    /// Pods, if the installation does not say how many.
    pub replicas: i32,
    /// Port of its container.
    pub port: u16,
    /// Sessions that each pod may have in the database.
    pub connections: i32,
    /// The plugins that it speaks to, sorted.
    pub providers: Vec<PluginId>,
    /// What it may do with the tenant's own tables.
    pub tenant_tables: TenantTables,
    /// The permissions that it brings, sorted by key.
    pub permissions: Vec<PluginPermission>,
    /// Its pods, but for slot and credential.
    pub template: PodTemplateSpec,
}

impl Frozen {
    /// As it is kept.
    pub fn to_json(&self) -> Value {
        // A type of ours with text keys can be written.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// From what is kept under this hash; `None` if it is anything else.
    pub fn from_json(kept: &Value, hash: &str) -> Option<Self> {
        (hash_of(kept) == hash).then(|| serde_json::from_value(kept.clone()).ok())?
    }

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        let volumes = self.template.spec.as_ref()?.volumes.as_ref()?;
        volumes.iter().find(|volume| volume.name == name)
    }
}

/// The hash that names a revision: of all of it, as it is kept.
pub fn hash_of(kept: &Value) -> String {
    let digest = Sha256::digest(canonical(kept).to_string());
    let mut hash = digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    hash.truncate(HASH_LEN);
    hash
}

/// The same with the keys of objects in order, and without those that say nothing: an API server may leave them out.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(
                keys.into_iter()
                    .map(|(key, value)| (key.clone(), canonical(value)))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frozen() -> Frozen {
        serde_json::from_value(json!({
            "version": "1.0.0", "basePath": "/books", "replicas": 1, "port": 3000, "connections": 5,
            "providers": ["contacts"], "tenantTables": { "users": ["Select"] }, "permissions": [],
            "template": { "spec": { "containers": [{ "name": "plugin", "resources": { "limits": { "cpu": "500m" } } }] } },
        }))
        .unwrap()
    }

    #[test]
    fn a_revision_is_read_as_it_was_kept_and_by_its_own_hash_alone() {
        let kept = frozen().to_json();
        let hash = hash_of(&kept);
        assert_eq!(hash.len(), HASH_LEN);
        assert_eq!(Frozen::from_json(&kept, &hash), Some(frozen()));
        let mut changed = kept.clone();
        changed["tenantTables"]["roles"] = json!(["Update"]);
        assert_eq!(Frozen::from_json(&changed, &hash), None, "a forged one");
    }

    #[test]
    fn what_an_operator_of_another_version_adds_to_a_revision_does_not_change_the_hash_of_a_kept_one() {
        let mut kept = frozen().to_json();
        kept["later"] = json!("a field that this version does not know");
        let hash = hash_of(&kept);
        assert_eq!(Frozen::from_json(&kept, &hash), Some(frozen()));
    }

    #[test]
    fn the_order_of_keys_is_no_change() {
        let kept = frozen().to_json();
        let text = kept.to_string();
        assert_eq!(hash_of(&serde_json::from_str(&text).unwrap()), hash_of(&kept));
    }
}
