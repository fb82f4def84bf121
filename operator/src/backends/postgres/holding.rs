//! What a tenant, or one plugin of a tenant, calls its own in a database: names derived from its own, and a mark.

use plexica_crds::{
    names::{RoleName, SchemaName, TenantSlug},
    ownership::{INSTALLATION_KEY, Owner, PLUGIN_KEY, PluginOwner, TENANT_ID_KEY},
};
use serde_json::{Value, json};

use super::plugin_key::PluginKey;

/// Key of the credential's id in the comment of the login role that has it.
const CREDENTIAL_KEY: &str = "plexica.io/credential";

/// Names and mark of one schema and its roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) schema: SchemaName,
    /// Owns the tables.
    pub(super) owner_role: RoleName,
    /// Take turns at rotation.
    pub(super) login_roles: [RoleName; 2],
    /// Of a plugin: the schema of its tenant, on whose tables it may have privileges. Whoever changes those takes the
    /// plugin's lock first, then the tenant's.
    pub(super) tenant_schema: Option<SchemaName>,
    mark: Mark,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Tenant(Owner),
    Plugin(PluginOwner),
}

impl Holding {
    /// What a tenant has.
    pub(super) fn of_tenant(owner: &Owner, slug: &TenantSlug) -> Self {
        Self {
            schema: slug.schema(),
            owner_role: slug.owner_role(),
            login_roles: slug.login_roles(),
            tenant_schema: None,
            mark: Mark::Tenant(owner.clone()),
        }
    }

    /// What a plugin of a tenant has.
    pub(super) fn of_plugin(owner: &Owner, PluginKey { slug, plugin }: &PluginKey) -> Self {
        Self {
            schema: slug.plugin_schema(plugin),
            owner_role: slug.plugin_owner_role(plugin),
            login_roles: slug.plugin_login_roles(plugin),
            tenant_schema: Some(slug.schema()),
            mark: Mark::Plugin(PluginOwner {
                tenant: owner.clone(),
                plugin: plugin.clone(),
            }),
        }
    }

    /// All roles.
    pub(super) fn roles(&self) -> [&RoleName; 3] {
        let [a, b] = &self.login_roles;
        [&self.owner_role, a, b]
    }

    /// The login role that has the credential: the first, as long as nothing rotates.
    pub(super) fn active_role(&self) -> &RoleName {
        let [active, _] = &self.login_roles;
        active
    }

    /// Whether a comment is this mark.
    pub(super) fn bears(&self, comment: Option<&str>) -> bool {
        match &self.mark {
            Mark::Tenant(owner) => comment.and_then(Owner::from_comment).as_ref() == Some(owner),
            Mark::Plugin(owner) => comment.and_then(PluginOwner::from_comment).as_ref() == Some(owner),
        }
    }

    /// The mark as a comment.
    pub(super) fn comment(&self) -> String {
        Value::from(self.mark()).to_string()
    }

    /// The mark as the comment of the role that has this credential.
    pub(super) fn comment_with_credential(&self, id: &str) -> String {
        let mut mark = self.mark();
        mark.insert(CREDENTIAL_KEY.to_owned(), id.into());
        Value::from(mark).to_string()
    }

    fn mark(&self) -> serde_json::Map<String, Value> {
        let (owner, plugin) = match &self.mark {
            Mark::Tenant(owner) => (owner, None),
            Mark::Plugin(PluginOwner { tenant, plugin }) => (tenant, Some(plugin)),
        };
        let plugin = plugin.map(|plugin| (PLUGIN_KEY.to_owned(), json!(plugin)));
        [
            (TENANT_ID_KEY.to_owned(), json!(owner.tenant_id)),
            (INSTALLATION_KEY.to_owned(), json!(owner.installation)),
        ]
        .into_iter()
        .chain(plugin)
        .collect()
    }
}

/// Id of the credential that a comment names.
pub(super) fn credential_id(comment: Option<&str>) -> Option<String> {
    let comment: Value = serde_json::from_str(comment?).ok()?;
    Some(comment.get(CREDENTIAL_KEY)?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use plexica_crds::names::PluginId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_mark_survives_the_credential_beside_it() {
        let owner = Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod-eu".into(),
        };
        let slug = TenantSlug::parse("acme-corp").unwrap();
        let plugin = PluginId::parse("crm").unwrap();
        let tenant = Holding::of_tenant(&owner, &slug);
        let plugin = Holding::of_plugin(&owner, &PluginKey { slug, plugin });
        for holding in [&tenant, &plugin] {
            let comment = holding.comment_with_credential("cred1");
            assert!(holding.bears(Some(&comment)));
            assert_eq!(credential_id(Some(&comment)), Some("cred1".into()));
            assert!(holding.bears(Some(&holding.comment())));
            assert_eq!(credential_id(Some(&holding.comment())), None);
            assert!(!holding.bears(None));
        }
        assert!(!plugin.bears(Some(&tenant.comment())));
        assert_eq!(credential_id(None), None);
    }
}
