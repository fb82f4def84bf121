//! Verifiers of passwords, computed here so that no password travels in SQL.

use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};

use super::steps::NewCredential;
use crate::backends::{BackendError, Credential};

/// A credential as a role gets it.
pub(super) async fn of(credential: &Credential) -> Result<NewCredential, BackendError> {
    let Credential { id, secret } = credential;
    Ok(NewCredential {
        id: id.clone(),
        verifier: of_secret(secret).await?,
    })
}

/// The verifier of a password. Some 4,096 rounds of HMAC: off the async threads.
pub(super) async fn of_secret(secret: &SecretString) -> Result<String, BackendError> {
    let secret = secret.clone();
    tokio::task::spawn_blocking(move || scram_sha_256(secret.expose_secret().as_bytes()))
        .await
        .map_err(|error| BackendError::Unexpected(format!("no verifier could be computed: {error}")))
}
