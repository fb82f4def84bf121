//! Passwords and keys of the stack: random, made once, kept with the data that they open.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::layout::{self, Layout, hex};

/// PostgreSQL's superuser.
pub const POSTGRES_SUPERUSER: &str = "postgres";
/// Role, client id and user name of the operator at every backend.
pub const OPERATOR: &str = "plexica-operator";
/// The operator's role in PostgreSQL, where a name with `-` would need quotes everywhere.
pub const OPERATOR_ROLE: &str = "plexica_operator";
/// Keycloak's own role and database.
pub const KEYCLOAK_ROLE: &str = "keycloak";
/// Keycloak's administrator, for the stack alone.
pub const KEYCLOAK_ADMIN: &str = "stack-admin";
/// MinIO's root user, for the stack alone.
pub const S3_ROOT: &str = "stack-root";

/// Every secret of the stack.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// Of PostgreSQL's superuser.
    #[serde(serialize_with = "exposed")]
    pub postgres_superuser: SecretString,
    /// Of the operator's role in PostgreSQL.
    #[serde(serialize_with = "exposed")]
    pub postgres_operator: SecretString,
    /// Of Keycloak's role in PostgreSQL.
    #[serde(serialize_with = "exposed")]
    pub postgres_keycloak: SecretString,
    /// Of Keycloak's administrator.
    #[serde(serialize_with = "exposed")]
    pub keycloak_admin: SecretString,
    /// Of the operator's client in Keycloak's master realm.
    #[serde(serialize_with = "exposed")]
    pub keycloak_operator: SecretString,
    /// Of MinIO's root user.
    #[serde(serialize_with = "exposed")]
    pub s3_root: SecretString,
    /// Of the operator's user in MinIO.
    #[serde(serialize_with = "exposed")]
    pub s3_operator: SecretString,
}

/// The one place where a secret becomes text: the file that only root reads.
fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Credentials {
    /// Fresh random secrets.
    pub fn random() -> Self {
        let secret = || SecretString::from(hex(&rand::random::<[u8; 20]>()));
        Self {
            postgres_superuser: secret(),
            postgres_operator: secret(),
            postgres_keycloak: secret(),
            keycloak_admin: secret(),
            keycloak_operator: secret(),
            s3_root: secret(),
            s3_operator: secret(),
        }
    }

    /// Those of the running stack.
    pub fn of(layout: &Layout) -> Result<Self> {
        Self::read(&Self::file(&layout.state))
    }

    /// The file with the secrets in a folder.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("credentials.json")
    }

    /// Reads them from a file.
    pub fn read(file: &Path) -> Result<Self> {
        let content = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&content).with_context(|| format!("{} is no file of ours", file.display()))
    }

    /// Writes them to a file that only root reads.
    pub fn write(&self, file: &Path) -> Result<()> {
        layout::write_private(file, &serde_json::to_vec_pretty(self)?)
    }
}
