//! The mark that everything outside Kubernetes carries, so that nothing foreign is ever touched.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::names::PluginId;

/// Key of the tenant's id in tags, attributes and comments.
pub const TENANT_ID_KEY: &str = "plexica.io/tenant-id";
/// Key of the installation's id in tags, attributes and comments.
pub const INSTALLATION_KEY: &str = "plexica.io/installation";
/// Key of the plugin's id in comments, beside the tenant's mark.
pub const PLUGIN_KEY: &str = "plexica.io/plugin";

/// Who an external thing belongs to: one tenant of one installation of the platform.
///
/// The tenant's id is the uid of the Tenant object that first provisioned it; it survives a restore.
/// The installation's id tells two clusters apart that share a backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Id of the tenant.
    #[serde(rename = "plexica.io/tenant-id")]
    pub tenant_id: Uuid,
    /// Id of the installation, from the platform file.
    #[serde(rename = "plexica.io/installation")]
    pub installation: String,
}

impl Owner {
    /// The mark as the text of a PostgreSQL comment: a JSON object, so that it can grow.
    pub fn to_comment(&self) -> String {
        serde_json::json!({ TENANT_ID_KEY: self.tenant_id, INSTALLATION_KEY: self.installation }).to_string()
    }

    /// Reads a mark from a comment; `None` if the comment is not one of ours. Unknown keys are ignored.
    pub fn from_comment(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Who a plugin's external thing belongs to: one plugin of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PluginOwner {
    /// The tenant.
    #[serde(flatten)]
    pub tenant: Owner,
    /// The plugin.
    #[serde(rename = "plexica.io/plugin")]
    pub plugin: PluginId,
}

impl PluginOwner {
    /// Reads a mark from a comment; `None` if the comment is not one of a plugin of ours. Unknown keys are ignored.
    pub fn from_comment(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_comment() {
        let owner = Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod-eu".into(),
        };
        assert_eq!(Owner::from_comment(&owner.to_comment()), Some(owner));
        assert_eq!(Owner::from_comment("standard public schema"), None);
    }

    #[test]
    fn the_mark_of_a_plugin_names_tenant_and_plugin() {
        let tenant = Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod-eu".into(),
        };
        assert_eq!(PluginOwner::from_comment(&tenant.to_comment()), None);
        let owner = PluginOwner {
            tenant,
            plugin: PluginId::parse("crm").unwrap(),
        };
        let comment = serde_json::json!({
            TENANT_ID_KEY: owner.tenant.tenant_id, INSTALLATION_KEY: "prod-eu", PLUGIN_KEY: "crm", "more": 1,
        });
        assert_eq!(PluginOwner::from_comment(&comment.to_string()), Some(owner));
    }
}
