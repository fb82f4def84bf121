//! Shutting or dropping what a tenant has in its backends: for a suspension, and at its end.

use plexica_crds::{names::TenantSlug, ownership::Owner, tenant::conditions::Outcome};

use super::{Context, report};
use crate::{
    backends::postgres::{plugin::PluginKey, registry::Placement},
    pools::Verb,
};

/// How far closing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Nobody gets in any more; data is kept. Writes nothing if that is so already.
    Revoke,
    /// Everything is dropped.
    Drop,
}

/// How closing ended for each backend: schema, realm, bucket.
pub struct Closed {
    /// The schema and its roles.
    pub database: Result<(), Outcome>,
    /// The realm; fine if the tenant has none.
    pub identity: Result<(), Outcome>,
    /// The bucket and its user.
    pub storage: Result<(), Outcome>,
}

impl Closed {
    /// The first that failed.
    pub fn all(self) -> Result<(), Outcome> {
        self.database.and(self.identity).and(self.storage)
    }
}

/// Closes schema, realm and bucket at once; each is tried even if another fails. What bears no mark of the tenant's is
/// left alone.
pub async fn close(slug: &TenantSlug, owner: &Owner, placement: &Placement, how: Closing, ctx: &Context) -> Closed {
    // A macro, since the three ports are three traits whose verbs have the same names.
    macro_rules! close {
        ($kind:literal, $pools:expr, $name:expr) => {
            async {
                let pool = $pools.get($name).ok_or_else(|| report::no_pool($kind, $name))?;
                let closed = match how {
                    Closing::Revoke => {
                        pool.call(Verb::Revoke, |backend| async move {
                            backend.revoke(owner, slug).await
                        })
                        .await
                    }
                    Closing::Drop => {
                        pool.call(Verb::Delete, |backend| async move {
                            backend.delete(owner, slug).await
                        })
                        .await
                    }
                };
                closed.map_err(|error| report::outcome(&error, pool))
            }
        };
    }
    let database = async {
        close_plugins(slug, owner, placement, how, ctx).await?;
        close!("postgres", ctx.backends.postgres, &placement.postgres).await
    };
    let identity = async {
        match &placement.keycloak {
            Some(name) => close!("keycloak", ctx.backends.keycloak, name).await,
            None => Ok(()),
        }
    };
    let (database, identity, storage) = tokio::join!(database, identity, close!("s3", ctx.backends.s3, &placement.s3),);
    Closed {
        database,
        identity,
        storage,
    }
}

/// Closes what plugins have in the tenant's database, also of installations that are gone and whose data was kept.
async fn close_plugins(
    slug: &TenantSlug,
    owner: &Owner,
    placement: &Placement,
    how: Closing,
    ctx: &Context,
) -> Result<(), Outcome> {
    let name = &placement.postgres;
    let pool = ctx
        .backends
        .plugins
        .get(name)
        .ok_or_else(|| report::no_pool("postgres", name))?;
    let failed = |error| report::outcome(&error, pool);
    let plugins = pool
        .call(
            Verb::Observe,
            |backend| async move { backend.plugins_of(owner, slug).await },
        )
        .await
        .map_err(failed)?;
    for plugin in plugins {
        let key = PluginKey {
            slug: slug.clone(),
            plugin,
        };
        let key = &key;
        match how {
            Closing::Revoke => {
                pool.call(Verb::Revoke, |backend| async move { backend.revoke(owner, key).await })
                    .await
            }
            Closing::Drop => {
                pool.call(Verb::Delete, |backend| async move { backend.delete(owner, key).await })
                    .await
            }
        }
        .map_err(failed)?;
    }
    Ok(())
}
