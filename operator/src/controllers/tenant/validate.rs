//! From a Tenant to what is to be made of it. Pure: what comes out is the sole input of what follows.

use kube::ResourceExt;
use plexica_crds::{
    Tenant,
    names::TenantSlug,
    ownership::Owner,
    quantity,
    tenant::{
        IdentityIsolation, NamespaceSpec,
        conditions::{Outcome, Reason},
        validation,
    },
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    backends::{
        keycloak::{Admin, IdentitySpec},
        postgres::DatabaseSpec,
        s3::StorageSpec,
    },
    platform::Platform,
};

/// A tenant that keeps all rules, with everything derived that its name decides.
#[derive(Debug, Clone)]
pub struct ValidatedTenant {
    /// Its name.
    pub slug: TenantSlug,
    /// The mark of everything that is its own.
    pub owner: Owner,
    /// Uid of the object.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// Name for people.
    pub display_name: String,
    /// Free settings.
    pub settings: Value,
    /// Free theme.
    pub theme: Value,
    /// Whether it is to be shut.
    pub suspended: bool,
    /// Pools it names: database, identity, storage.
    pub pools: WantedPools,
    /// Its schema.
    pub database: DatabaseSpec,
    /// Its realm, if it is to have one.
    pub identity: Option<IdentitySpec>,
    /// Its bucket.
    pub storage: StorageSpec,
    /// Its namespace.
    pub namespace: NamespaceSpec,
}

/// Pools that the spec names.
#[derive(Debug, Clone, Default)]
pub struct WantedPools {
    /// For the database.
    pub postgres: Option<String>,
    /// For the realm.
    pub keycloak: Option<String>,
    /// For the bucket.
    pub s3: Option<String>,
}

/// Checks a Tenant and derives everything from it.
///
/// # Errors
/// The outcome `Blocked` with all broken rules.
pub fn validate(tenant: &Tenant, platform: &Platform) -> Result<ValidatedTenant, Outcome> {
    let violations = validation::violations(tenant);
    let invalid = |text: String| Outcome::Blocked(Reason::InvalidSpec, text);
    if !violations.is_empty() {
        return Err(invalid(
            violations
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        ));
    }
    let slug = TenantSlug::parse(&tenant.name_any()).map_err(|error| invalid(error.to_string()))?;
    let uid = tenant.uid().unwrap_or_default();
    let known_id = tenant.status.as_ref().and_then(|status| status.tenant_id);
    let own_id = || Uuid::parse_str(&uid).map_err(|_| invalid(format!("metadata.uid `{uid}` is no UUID")));
    let owner = Owner {
        tenant_id: known_id.map_or_else(own_id, Ok)?,
        installation: platform.installation_id.clone(),
    };
    let spec = &tenant.spec;
    let identity = match spec.identity.isolation {
        IdentityIsolation::None => None,
        IdentityIsolation::Realm => {
            let mut redirect_uris = vec![format!("https://{slug}.{}/*", platform.base_domain)];
            redirect_uris.extend(spec.identity.redirect_uris.iter().cloned());
            let mut web_origins = vec!["+".to_owned()];
            web_origins.extend(spec.identity.web_origins.iter().cloned());
            Some(IdentitySpec {
                owner: owner.clone(),
                slug: slug.clone(),
                display_name: spec.display_name.clone(),
                login_theme: spec.identity.login_theme.clone(),
                access_token_lifespan: spec.identity.access_token_lifespan.value(),
                sso_session_idle: spec.identity.sso_session_idle.value(),
                sso_session_max: spec.identity.sso_session_max.value(),
                redirect_uris,
                web_origins,
                admins: spec
                    .admins
                    .iter()
                    .map(|admin| Admin {
                        email: admin.email.clone(),
                        first_name: admin.first_name.clone(),
                        last_name: admin.last_name.clone(),
                    })
                    .collect(),
            })
        }
    };
    Ok(ValidatedTenant {
        uid,
        generation: tenant.metadata.generation.unwrap_or_default(),
        display_name: spec.display_name.clone(),
        settings: Value::Object(spec.settings.clone()),
        theme: Value::Object(spec.theme.clone()),
        suspended: spec.suspended,
        pools: WantedPools {
            postgres: spec.database.pool.clone(),
            keycloak: spec.identity.pool.clone(),
            s3: spec.storage.pool.clone(),
        },
        database: DatabaseSpec {
            owner: owner.clone(),
            slug: slug.clone(),
            connection_limit: spec.database.connection_limit,
            statement_timeout: spec.database.statement_timeout.value(),
        },
        identity,
        storage: StorageSpec {
            owner: owner.clone(),
            slug: slug.clone(),
            quota_bytes: quantity::bytes(&spec.storage.quota),
            versioning: spec.storage.versioning,
        },
        namespace: spec.namespace.clone(),
        slug,
        owner,
    })
}
