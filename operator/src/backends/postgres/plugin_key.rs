//! Which plugin of which tenant.

use std::fmt;

use plexica_crds::names::{PluginId, TenantSlug};

/// One plugin of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginKey {
    /// The tenant.
    pub slug: TenantSlug,
    /// The plugin.
    pub plugin: PluginId,
}

impl fmt::Display for PluginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slug, self.plugin)
    }
}
