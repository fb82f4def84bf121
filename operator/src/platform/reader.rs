//! From the text of the platform file to what is checked.

use std::{
    collections::HashSet,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use plexica_crds::period::Period;
use serde::Deserialize;
use serde_saphyr::Spanned;
use url::Url;

use super::{
    Gateway, KeycloakPool, Overrides, PlacementPolicy, Platform, PlatformError, PoolCommon, PostgresPool, S3Driver,
    S3Pool, Scheme, Tls,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    installation_id: Spanned<String>,
    base_domain: Spanned<String>,
    registry: Spanned<String>,
    #[serde(default)]
    resync_interval: Option<Period>,
    #[serde(default = "promotions_at_once")]
    promotions_at_once: NonZeroUsize,
    postgres: Spanned<Vec<PostgresEntry>>,
    keycloak: Vec<KeycloakEntry>,
    s3: Spanned<Vec<S3Entry>>,
    #[serde(default)]
    gateway: Option<GatewayEntry>,
    shared_namespace: Option<String>,
    #[serde(default = "cluster_domain")]
    cluster_domain: String,
    #[serde(default)]
    plugins: Overrides,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GatewayEntry {
    namespace: Spanned<String>,
    name: Spanned<String>,
    #[serde(default)]
    section_name: Option<String>,
    #[serde(default)]
    scheme: Scheme,
    #[serde(default)]
    pods_in: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PostgresEntry {
    name: Spanned<String>,
    capacity: u32,
    #[serde(default)]
    placement: PlacementPolicy,
    credentials: Spanned<PathBuf>,
    host: String,
    #[serde(default = "postgres_port")]
    port: u16,
    database: String,
    tls: Tls,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeycloakEntry {
    name: Spanned<String>,
    capacity: u32,
    #[serde(default)]
    placement: PlacementPolicy,
    credentials: Spanned<PathBuf>,
    url: Spanned<String>,
    #[serde(default)]
    issuer_url: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct S3Entry {
    name: Spanned<String>,
    capacity: u32,
    #[serde(default)]
    placement: PlacementPolicy,
    credentials: Spanned<PathBuf>,
    driver: S3Driver,
    endpoint: Spanned<String>,
    #[serde(default = "region")]
    region: String,
}

fn postgres_port() -> u16 {
    5432
}

fn cluster_domain() -> String {
    "cluster.local".to_owned()
}

fn region() -> String {
    "us-east-1".to_owned()
}

/// Ten minutes: a person's edit in a backend is set right soon, and 1,000 tenants cost two looks a second.
const RESYNC_INTERVAL: Duration = Duration::from_mins(10);

fn promotions_at_once() -> NonZeroUsize {
    const { NonZeroUsize::new(5).unwrap() }
}

/// Reads one file; knows its path for errors.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
}

impl Reader<'_> {
    pub(super) fn parse(&self, text: &str) -> Result<Platform, PlatformError> {
        let File {
            installation_id,
            base_domain,
            registry,
            resync_interval,
            promotions_at_once,
            postgres,
            keycloak,
            s3,
            gateway,
            shared_namespace,
            cluster_domain,
            plugins,
        } = self.file(text)?;
        self.check(
            &installation_id,
            !installation_id.value.is_empty()
                && installation_id.value.len() <= 32
                && installation_id
                    .value
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "installationId has 1 to 32 lower-case letters, digits and hyphens",
        )?;
        self.check(
            &base_domain,
            base_domain.value.contains('.') && !base_domain.value.contains(['/', ':', ' ']),
            "baseDomain is a domain such as plexica.example.com, without scheme or port",
        )?;
        self.check(
            &postgres,
            !postgres.value.is_empty(),
            "at least one postgres pool is needed",
        )?;
        self.check(&s3, !s3.value.is_empty(), "at least one s3 pool is needed")?;
        self.check(
            &registry,
            postgres.value.iter().any(|pool| pool.name.value == registry.value),
            "registry names a postgres pool of this file",
        )?;
        self.unique("postgres", postgres.value.iter().map(|pool| &pool.name))?;
        self.unique("keycloak", keycloak.iter().map(|pool| &pool.name))?;
        self.unique("s3", s3.value.iter().map(|pool| &pool.name))?;
        Ok(Platform {
            installation_id: installation_id.value,
            base_domain: base_domain.value,
            registry: registry.value,
            resync_interval: resync_interval.map_or(RESYNC_INTERVAL, |period| period.value()),
            promotions_at_once,
            postgres: postgres
                .value
                .into_iter()
                .map(|pool| self.postgres(pool))
                .collect::<Result<_, _>>()?,
            keycloak: keycloak
                .into_iter()
                .map(|pool| self.keycloak(pool))
                .collect::<Result<_, _>>()?,
            s3: s3
                .value
                .into_iter()
                .map(|pool| self.s3(pool))
                .collect::<Result<_, _>>()?,
            gateway: gateway.map(|entry| self.gateway(entry)).transpose()?,
            shared_namespace,
            cluster_domain,
            plugins,
        })
    }

    fn gateway(&self, entry: GatewayEntry) -> Result<Gateway, PlatformError> {
        let GatewayEntry {
            namespace,
            name,
            section_name,
            scheme,
            pods_in,
        } = entry;
        self.check(&namespace, !namespace.value.is_empty(), "a Gateway is in a namespace")?;
        self.check(&name, !name.value.is_empty(), "a Gateway has a name")?;
        Ok(Gateway {
            pods_in: pods_in.unwrap_or_else(|| namespace.value.clone()),
            namespace: namespace.value,
            name: name.value,
            section_name,
            scheme,
        })
    }

    pub(super) fn overrides(&self, text: &str) -> Result<Overrides, PlatformError> {
        Ok(self.file(text)?.plugins)
    }

    fn file(&self, text: &str) -> Result<File, PlatformError> {
        serde_saphyr::from_str(text).map_err(|error| PlatformError::Syntax {
            path: self.path.to_owned(),
            reason: error.to_string(),
        })
    }

    fn postgres(&self, entry: PostgresEntry) -> Result<PostgresPool, PlatformError> {
        let PostgresEntry {
            name,
            capacity,
            placement,
            credentials,
            host,
            port,
            database,
            tls,
        } = entry;
        Ok(PostgresPool {
            common: PoolCommon {
                name: name.value,
                capacity,
                placement,
            },
            host,
            port,
            database,
            tls,
            username: self.credential(&credentials, "username")?,
            password: self.credential(&credentials, "password")?.into(),
        })
    }

    fn keycloak(&self, entry: KeycloakEntry) -> Result<KeycloakPool, PlatformError> {
        let KeycloakEntry {
            name,
            capacity,
            placement,
            credentials,
            url,
            issuer_url,
        } = entry;
        let internal = self.url(&url)?;
        Ok(KeycloakPool {
            common: PoolCommon {
                name: name.value,
                capacity,
                placement,
            },
            issuer_url: issuer_url.map_or_else(|| Ok(internal.clone()), |url| self.url(&url))?,
            url: internal,
            client_id: self.credential(&credentials, "clientId")?,
            client_secret: self.credential(&credentials, "clientSecret")?.into(),
        })
    }

    fn s3(&self, entry: S3Entry) -> Result<S3Pool, PlatformError> {
        let S3Entry {
            name,
            capacity,
            placement,
            credentials,
            driver,
            endpoint,
            region,
        } = entry;
        Ok(S3Pool {
            common: PoolCommon {
                name: name.value,
                capacity,
                placement,
            },
            driver,
            endpoint: self.url(&endpoint)?,
            region,
            access_key_id: self.credential(&credentials, "accessKeyId")?,
            secret_access_key: self.credential(&credentials, "secretAccessKey")?.into(),
        })
    }

    fn check<T>(&self, at: &Spanned<T>, holds: bool, reason: &str) -> Result<(), PlatformError> {
        if holds { Ok(()) } else { Err(self.value(at, reason)) }
    }

    fn value<T>(&self, at: &Spanned<T>, reason: impl Into<String>) -> PlatformError {
        PlatformError::Value {
            path: self.path.to_owned(),
            line: at.referenced.line(),
            reason: reason.into(),
        }
    }

    fn unique<'a>(&self, kind: &str, names: impl Iterator<Item = &'a Spanned<String>>) -> Result<(), PlatformError> {
        let mut seen = HashSet::new();
        for name in names {
            self.check(name, !name.value.is_empty(), &format!("a {kind} pool needs a name"))?;
            if !seen.insert(&name.value) {
                return Err(self.value(name, format!("{kind} pool `{}` is named twice", name.value)));
            }
        }
        Ok(())
    }

    fn url(&self, text: &Spanned<String>) -> Result<Url, PlatformError> {
        match Url::parse(&text.value) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => Ok(url),
            _ => Err(self.value(text, format!("`{}` is no http or https URL", text.value))),
        }
    }

    fn credential(&self, folder: &Spanned<PathBuf>, key: &str) -> Result<String, PlatformError> {
        let path = folder.value.join(key);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Ok(_) => Err(self.value(folder, format!("{} is empty", path.display()))),
            Err(error) => Err(self.value(
                folder,
                format!(
                    "cannot read {}: {error}; mount the Secret that holds `{key}` there",
                    path.display()
                ),
            )),
        }
    }
}
