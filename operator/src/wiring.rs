//! From the platform file to adapters.

use std::sync::Arc;

use crate::{
    backends::{
        BackendError,
        keycloak::{IdentityBackend, KeycloakBackend, KeycloakConfig},
        postgres::{
            DatabaseBackend, PostgresBackend, PostgresConfig, TlsMode,
            plugin::PluginDatabase,
            registry::{PostgresRegistry, Registry},
        },
        s3::{MinioBackend, MinioConfig, StorageBackend},
    },
    platform::{KeycloakPool, Platform, PoolCommon, PostgresPool, S3Driver, S3Pool, Tls},
    pools::{Backends, Pool, Pools},
    runtime::metrics::Metrics,
};

/// One adapter for each pool. None is connected yet: a backend that is down at start stops nobody.
///
/// # Errors
/// If no HTTP client can be made: TLS roots that do not load.
pub fn backends(platform: &Platform, metrics: &Metrics) -> Result<Backends, BackendError> {
    let registry = platform
        .postgres
        .iter()
        .find(|pool| pool.common.name == platform.registry);
    // The platform file was checked: its registry is one of its pools.
    let registry = registry.unwrap_or(&platform.postgres[0]);
    let adapter: Arc<dyn Registry> = Arc::new(PostgresRegistry::connect(postgres(registry)));
    let mut databases: Pools<dyn DatabaseBackend> = Pools::new();
    let mut plugins: Pools<dyn PluginDatabase> = Pools::new();
    for pool in &platform.postgres {
        let PoolCommon { name, .. } = &pool.common;
        let adapter = Arc::new(PostgresBackend::connect(postgres(pool)));
        let plugin: Arc<dyn PluginDatabase> = adapter.clone();
        let guarded = Pool::new("postgres", pool.common.clone(), plugin, metrics.clone());
        plugins.insert(name.clone(), Arc::new(guarded));
        let tenant: Arc<dyn DatabaseBackend> = adapter;
        let guarded = Pool::new("postgres", pool.common.clone(), tenant, metrics.clone());
        databases.insert(name.clone(), Arc::new(guarded));
    }
    Ok(Backends {
        registry: Pool::new("registry", registry.common.clone(), adapter, metrics.clone()),
        postgres: databases,
        plugins,
        keycloak: platform
            .keycloak
            .iter()
            .map(|pool| {
                let adapter: Arc<dyn IdentityBackend> = Arc::new(KeycloakBackend::connect(keycloak(pool))?);
                let pool = Pool::new("keycloak", pool.common.clone(), adapter, metrics.clone());
                Ok((pool.common.name.clone(), Arc::new(pool)))
            })
            .collect::<Result<_, BackendError>>()?,
        s3: platform
            .s3
            .iter()
            .map(|pool| {
                let adapter: Arc<dyn StorageBackend> = match pool.driver {
                    S3Driver::Minio => Arc::new(MinioBackend::connect(minio(pool))?),
                };
                let pool = Pool::new("s3", pool.common.clone(), adapter, metrics.clone());
                Ok((pool.common.name.clone(), Arc::new(pool)))
            })
            .collect::<Result<_, BackendError>>()?,
    })
}

fn postgres(pool: &PostgresPool) -> PostgresConfig {
    PostgresConfig {
        host: pool.host.clone(),
        port: pool.port,
        database: pool.database.clone(),
        username: pool.username.clone(),
        password: pool.password.clone(),
        tls: match pool.tls {
            Tls::Disable => TlsMode::Disable,
            Tls::Require => TlsMode::Require,
            Tls::VerifyFull => TlsMode::VerifyFull,
        },
    }
}

fn keycloak(pool: &KeycloakPool) -> KeycloakConfig {
    KeycloakConfig {
        url: pool.url.clone(),
        issuer_url: pool.issuer_url.clone(),
        client_id: pool.client_id.clone(),
        client_secret: pool.client_secret.clone(),
    }
}

fn minio(pool: &S3Pool) -> MinioConfig {
    MinioConfig {
        endpoint: pool.endpoint.clone(),
        region: pool.region.clone(),
        access_key_id: pool.access_key_id.clone(),
        secret_access_key: pool.secret_access_key.clone(),
    }
}
