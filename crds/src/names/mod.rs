//! Names as parsed types: whoever holds one holds a valid one.
//!
//! Every name in a backend is derived from the tenant's slug (and a plugin's id), and the greatest length of
//! each derived name is proven at compile time against the limit of the system that stores it.

use std::fmt;

use serde::Serialize;

mod plugin;
mod slug;

pub use plugin::{
    InvalidPluginId, PLUGIN_ID_MAX, PLUGIN_ID_MIN, PLUGIN_ID_RESERVED, PLUGIN_ID_RULES, PluginId, PluginIdRule, Slot,
};
pub use slug::{
    InvalidSlug, RESERVED, SLUG_ALPHABET, SLUG_FIRST, SLUG_HYPHENS, SLUG_LENGTH, SLUG_MAX, SLUG_MIN, SLUG_PLUGIN,
    SLUG_RESERVED, SLUG_RULES, SlugRule, TenantSlug,
};

/// PostgreSQL cuts identifiers silently at this many bytes (NAMEDATALEN - 1).
const POSTGRES_IDENTIFIER_MAX: usize = 63;
/// A bucket's name and a DNS label have at most this many bytes.
const DNS_LABEL_MAX: usize = 63;

macro_rules! derived_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

derived_name! {
    /// A PostgreSQL schema of a tenant or of its plugin: lower-case letters, digits and underscores, at most 63 bytes.
    SchemaName
}
derived_name! {
    /// A PostgreSQL role of a tenant or of its plugin.
    RoleName
}
derived_name! {
    /// A Keycloak realm derived from a slug.
    RealmName
}
derived_name! {
    /// An S3 bucket derived from a slug.
    BucketName
}
derived_name! {
    /// An S3 user derived from a slug.
    StorageUser
}
derived_name! {
    /// A Kubernetes namespace derived from a slug.
    NamespaceName
}
derived_name! {
    /// An object in a tenant's namespace that is named after a plugin; a DNS label.
    ObjectName
}
