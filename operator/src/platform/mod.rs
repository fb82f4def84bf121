//! The platform file: which backends there are and how this installation is called.
//!
//! A wrong file stops the start with the line and the reason. Credentials are not in it: each pool names a
//! folder (a mounted Secret) whose files hold them.

mod reader;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use plexica_crds::names::PluginId;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use strum::AsRefStr;
use url::Url;

use reader::Reader;

/// What is wrong with the platform file.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The file cannot be read.
    #[error("platform file {}: {source}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML of the expected shape; the text holds line and column.
    #[error("platform file {}: {reason}", path.display())]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// Line, column and reason.
        reason: String,
    },
    /// A value breaks a rule.
    #[error("platform file {}, line {line}: {reason}", path.display())]
    Value {
        /// Its path.
        path: PathBuf,
        /// Line of the value.
        line: u64,
        /// The rule and what to do.
        reason: String,
    },
}

/// Whether tenants that name no pool may be placed here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum PlacementPolicy {
    /// They may.
    #[default]
    Open,
    /// Only tenants that name this pool are placed here.
    NamedOnly,
}

/// How `PostgreSQL` is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Tls {
    /// Without TLS: for development only.
    Disable,
    /// Encrypted, the server's certificate is not checked.
    Require,
    /// Encrypted, certificate and host name are checked.
    VerifyFull,
}

/// S3 drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum S3Driver {
    /// `MinIO`'s admin API.
    Minio,
}

/// The platform file, checked.
#[derive(Debug)]
pub struct Platform {
    /// Name of this installation: the mark on everything it owns. Never change it.
    pub installation_id: String,
    /// Hosts of tenants are `<slug>.<base domain>`.
    pub base_domain: String,
    /// Name of the `PostgreSQL` pool whose database holds schema `core`.
    pub registry: String,
    /// How often a converged tenant is looked at again (jittered).
    pub resync_interval: Duration,
    /// Plugins of one tenant that may be on their way to another version at a time: each doubles its pods meanwhile.
    pub promotions_at_once: NonZeroUsize,
    /// Databases.
    pub postgres: Vec<PostgresPool>,
    /// Keycloaks.
    pub keycloak: Vec<KeycloakPool>,
    /// Object stores.
    pub s3: Vec<S3Pool>,
    /// The Gateway that leads to plugins; without one they are reached by their Services.
    pub gateway: Option<Gateway>,
    /// Namespace for plugins that run once for all tenants; `None` refuses them.
    pub shared_namespace: Option<String>,
    /// Domain of the cluster's Services.
    pub cluster_domain: String,
    /// What the platform says over the defaults of plugins' configurations.
    pub plugins: Overrides,
}

/// A Gateway of the Gateway API, which somebody else makes and serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// One of its listeners; all that fit if it is left out.
    pub section_name: Option<String>,
    /// What users' URLs begin with. Its listener does not tell: TLS may end in front of it.
    pub scheme: Scheme,
    /// Namespace of the pods that serve it: plugins let them in.
    pub pods_in: String,
}

/// What users' URLs begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, AsRefStr, Deserialize)]
pub enum Scheme {
    /// With TLS.
    #[default]
    #[strum(serialize = "https")]
    Https,
    /// Without: for development only.
    #[strum(serialize = "http")]
    Http,
}

/// What the platform says of plugins, by their ids.
pub type Overrides = BTreeMap<PluginId, PluginOverrides>;

/// What the platform says of one plugin, for all tenants.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PluginOverrides {
    /// Merged over the defaults of every version, under the installation's own values. No secrets.
    #[serde(default)]
    pub configuration: Map<String, Value>,
}

/// What all pools have in common.
#[derive(Debug, Clone)]
pub struct PoolCommon {
    /// Its name.
    pub name: String,
    /// Tenants it may hold.
    pub capacity: u32,
    /// Who may be placed here.
    pub placement: PlacementPolicy,
}

/// A database.
#[derive(Debug)]
pub struct PostgresPool {
    /// Name, capacity, placement.
    pub common: PoolCommon,
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// TLS.
    pub tls: Tls,
    /// The operator's role.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

/// A Keycloak.
#[derive(Debug)]
pub struct KeycloakPool {
    /// Name, capacity, placement.
    pub common: PoolCommon,
    /// Where the operator reaches it.
    pub url: Url,
    /// What its issuers begin with, if that differs.
    pub issuer_url: Url,
    /// The operator's client in the master realm.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

/// An object store.
#[derive(Debug)]
pub struct S3Pool {
    /// Name, capacity, placement.
    pub common: PoolCommon,
    /// Driver.
    pub driver: S3Driver,
    /// Base URL.
    pub endpoint: Url,
    /// Region to sign for.
    pub region: String,
    /// The operator's key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
}

impl Platform {
    /// Reads and checks the file and the credentials that it names.
    pub fn load(path: &Path) -> Result<Self, PlatformError> {
        Reader { path }.parse(&text(path)?)
    }

    /// TCP ports of all backends as pods reach them, sorted: what a plugin's network policy opens.
    pub fn backend_ports(&self) -> BTreeSet<u16> {
        let postgres = self.postgres.iter().map(|pool| pool.port);
        let keycloak = self
            .keycloak
            .iter()
            .filter_map(|pool| pool.issuer_url.port_or_known_default());
        let s3 = self.s3.iter().filter_map(|pool| pool.endpoint.port_or_known_default());
        postgres.chain(keycloak).chain(s3).collect()
    }
}

/// What the file says of plugins. Reads no credentials: for the webhook, which has none.
///
/// # Errors
/// The file cannot be read, or is of another shape.
pub fn load_overrides(path: &Path) -> Result<Overrides, PlatformError> {
    Reader { path }.overrides(&text(path)?)
}

fn text(path: &Path) -> Result<String, PlatformError> {
    fs::read_to_string(path).map_err(|source| PlatformError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
