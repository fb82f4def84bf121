//! Whose an installation is, and where what it has lies.

use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::Owner,
};

use crate::backends::postgres::plugin::PluginKey;

/// Whose an installation is, and where what it has lies: known from the tenant and the installation's name, whatever version is
/// chosen.
#[derive(Clone, Debug)]
pub struct Place {
    /// The tenant.
    pub slug: TenantSlug,
    /// The mark of everything that is the tenant's.
    pub owner: Owner,
    /// Pool of the tenant's schema.
    pub postgres_pool: String,
    /// Whether the tenant has a realm.
    pub has_realm: bool,
    /// The plugin.
    pub id: PluginId,
}

impl Place {
    /// The plugin of the tenant, as its database knows it.
    pub fn key(&self) -> PluginKey {
        PluginKey {
            slug: self.slug.clone(),
            plugin: self.id.clone(),
        }
    }
}
