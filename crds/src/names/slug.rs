//! A tenant's name and what is named after it.

use std::fmt;

use serde::Serialize;

use super::{
    BucketName, DNS_LABEL_MAX, NamespaceName, POSTGRES_IDENTIFIER_MAX, RealmName, RoleName, SchemaName, StorageUser,
};

/// Longest slug. `tenant_<slug>_plugin_<22-byte id>_a` must fit PostgreSQL's 63 bytes.
pub const SLUG_MAX: usize = 24;
/// Shortest slug.
pub const SLUG_MIN: usize = 2;
const DB_PREFIX: &str = "tenant_";
const DNS_PREFIX: &str = "tenant-";
const OWNER_SUFFIX: &str = "_owner";
const LOGIN_SUFFIX_LEN: usize = 2;

const _: () = assert!(DB_PREFIX.len() + SLUG_MAX + OWNER_SUFFIX.len() <= POSTGRES_IDENTIFIER_MAX);
const _: () = assert!(DB_PREFIX.len() + SLUG_MAX + LOGIN_SUFFIX_LEN <= POSTGRES_IDENTIFIER_MAX);
const _: () = assert!(DNS_PREFIX.len() + SLUG_MAX <= DNS_LABEL_MAX);

/// Length of the longest schema of a tenant, for names that continue it.
pub(super) const TENANT_SCHEMA_MAX: usize = DB_PREFIX.len() + SLUG_MAX;

/// Names no tenant may have: they are hosts below the platform's base domain, realms or schemas of the
/// platform itself.
pub const RESERVED: [&str; 26] = [
    "admin", "api", "app", "assets", "auth", "cdn", "console", "core", "default", "docs", "gateway", "internal",
    "keycloak", "mail", "master", "operator", "platform", "plexica", "postgres", "public", "root", "static", "status",
    "support", "system", "www",
];

/// One rule of a slug: how the API server checks it (CEL over the whole object), how the operator checks
/// it, and what the user reads. One table, so that the two checks cannot drift apart unseen.
pub struct SlugRule {
    /// Expression over the Tenant; true means the rule is kept.
    pub cel: &'static str,
    /// The sentence that names the rule.
    pub message: &'static str,
    /// The same rule on the name itself.
    pub holds: fn(&str) -> bool,
}

/// Rule: length.
pub const SLUG_LENGTH: SlugRule = SlugRule {
    cel: "size(self.metadata.name) >= 2 && size(self.metadata.name) <= 24",
    message: "a tenant's name has 2 to 24 characters",
    holds: |s| (SLUG_MIN..=SLUG_MAX).contains(&s.len()),
};
/// Rule: first character.
pub const SLUG_FIRST: SlugRule = SlugRule {
    cel: "self.metadata.name.matches('^[a-z]')",
    message: "a tenant's name begins with a lower-case letter, not with a digit",
    holds: |s| s.starts_with(|c: char| c.is_ascii_lowercase()),
};
/// Rule: alphabet. Kubernetes admits dots in object names; schemas, hosts and buckets do not.
pub const SLUG_ALPHABET: SlugRule = SlugRule {
    cel: "self.metadata.name.matches('^[a-z0-9-]*$')",
    message: "a tenant's name holds only lower-case letters, digits and hyphens, no dot",
    holds: |s| {
        s.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    },
};
/// Rule: hyphens separate segments.
pub const SLUG_HYPHENS: SlugRule = SlugRule {
    cel: "!self.metadata.name.contains('--') && !self.metadata.name.endsWith('-')",
    message: "a tenant's name has single hyphens between its segments: no double hyphen, none at the end",
    holds: |s| !s.contains("--") && !s.ends_with('-'),
};
/// Rule: no segment `plugin`, which separates a tenant from a plugin in schema names.
pub const SLUG_PLUGIN: SlugRule = SlugRule {
    cel: "!self.metadata.name.matches('(^|-)plugin(-|$)')",
    message: "a tenant's name has no segment `plugin`: it separates tenant and plugin in schema names",
    holds: |s| s.split('-').all(|segment| segment != "plugin"),
};
/// Rule: not reserved. The expression repeats [`RESERVED`]; a test compares the two.
pub const SLUG_RESERVED: SlugRule = SlugRule {
    cel: "!(self.metadata.name in ['admin', 'api', 'app', 'assets', 'auth', 'cdn', 'console', 'core', 'default', \
          'docs', 'gateway', 'internal', 'keycloak', 'mail', 'master', 'operator', 'platform', 'plexica', \
          'postgres', 'public', 'root', 'static', 'status', 'support', 'system', 'www'])",
    message: "a tenant's name is not one the platform keeps for itself (admin, api, auth, core, www, ...)",
    holds: |s| !RESERVED.contains(&s),
};

/// All rules of a slug, in the order in which they are reported.
pub const SLUG_RULES: [SlugRule; 6] = [
    SLUG_LENGTH,
    SLUG_FIRST,
    SLUG_ALPHABET,
    SLUG_HYPHENS,
    SLUG_PLUGIN,
    SLUG_RESERVED,
];

/// A tenant's name: the one identifier from which all names in backends are derived.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TenantSlug(String);

impl TenantSlug {
    /// Parses a slug; the error is the sentence of the first broken rule.
    ///
    /// ```
    /// use plexica_crds::names::TenantSlug;
    /// assert!(TenantSlug::parse("acme-corp").is_ok());
    /// assert!(TenantSlug::parse("9lives").unwrap_err().to_string().contains("begins with a lower-case letter"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        match SLUG_RULES.iter().find(|rule| !(rule.holds)(text)) {
            None => Ok(Self(text.to_owned())),
            Some(rule) => Err(InvalidSlug(rule.message)),
        }
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Schema of the tenant. Injective, since slugs hold no underscore.
    pub fn schema(&self) -> SchemaName {
        SchemaName(format!("{DB_PREFIX}{}", self.0.replace('-', "_")))
    }

    /// Role that owns the schema and can never log in.
    pub fn owner_role(&self) -> RoleName {
        RoleName(format!("{}{OWNER_SUFFIX}", self.schema().0))
    }

    /// The two login roles that take turns at rotation.
    pub fn login_roles(&self) -> [RoleName; 2] {
        let schema = self.schema().0;
        [RoleName(format!("{schema}_a")), RoleName(format!("{schema}_b"))]
    }

    /// Realm of the tenant.
    pub fn realm(&self) -> RealmName {
        RealmName(format!("{DNS_PREFIX}{}", self.0))
    }

    /// Bucket of the tenant.
    pub fn bucket(&self) -> BucketName {
        BucketName(format!("{DNS_PREFIX}{}", self.0))
    }

    /// The two S3 users that take turns at rotation; their names are their access key ids.
    pub fn storage_users(&self) -> [StorageUser; 2] {
        let bucket = self.bucket().0;
        [StorageUser(format!("{bucket}-a")), StorageUser(format!("{bucket}-b"))]
    }

    /// Namespace of the tenant.
    pub fn namespace(&self) -> NamespaceName {
        NamespaceName(format!("{DNS_PREFIX}{}", self.0))
    }
}

impl fmt::Display for TenantSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantSlug({})", self.0)
    }
}

/// A text that is no slug; displays the rule it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSlug(&'static str);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_broken_rule_is_named() {
        for (name, part) in [
            ("a", "2 to 24"),
            ("abcdefghijklmnopqrstuvwxy", "2 to 24"),
            ("9lives", "begins with a lower-case letter"),
            ("a.b", "no dot"),
            ("a--b", "double hyphen"),
            ("my-plugin", "segment `plugin`"),
            ("plugin", "segment `plugin`"),
            ("www", "keeps for itself"),
        ] {
            let message = TenantSlug::parse(name).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn the_cel_list_of_reserved_names_is_the_list() {
        for word in RESERVED {
            assert!(SLUG_RESERVED.cel.contains(&format!("'{word}'")), "{word} is missing");
        }
        assert_eq!(SLUG_RESERVED.cel.matches('\'').count(), RESERVED.len() * 2);
    }

    #[test]
    fn roles_of_one_tenant_are_never_those_of_another() {
        let foo = TenantSlug::parse("foo").unwrap();
        for other in ["foo-a", "foo-owner", "foo-a-owner"] {
            let other = TenantSlug::parse(other).unwrap();
            let roles = |s: &TenantSlug| [vec![s.owner_role()], s.login_roles().to_vec()].concat();
            assert!(roles(&foo).iter().all(|role| !roles(&other).contains(role)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn derivation_is_injective(a in "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,6}){0,2}", b in "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,6}){0,2}") {
            let (Ok(a), Ok(b)) = (TenantSlug::parse(&a), TenantSlug::parse(&b)) else { return Ok(()) };
            prop_assert_eq!(a == b, a.schema() == b.schema());
            prop_assert_eq!(a == b, a.bucket() == b.bucket());
            prop_assert!(a.owner_role().as_str().len() <= 63);
        }
    }
}
