//! The Kubernetes client, with kube's defaults examined.
//!
//! kube 5 retries every verb, POST included, up to 15 times on 429, 503 and 504 (minutes in all): off, since
//! the reconciler retries by itself and an old write must not land late. Ordinary requests have no read
//! timeout, and a global one would end watches: each request is wrapped in [`within`] instead. kube's connections are
//! HTTP/1, one for each request under way, and are kept: so no more than some are made at once.

use std::{future::Future, time::Duration};

use kube::{Client, Config};
use tokio::sync::Semaphore;

/// How long the API server may take for one request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once, watches aside. Without a limit a hundred passes had 366 connections open, and the API server of a small,
/// busy machine did not answer some within [`REQUEST_TIMEOUT`].
const REQUESTS_AT_ONCE: usize = 32;
static REQUESTS: Semaphore = Semaphore::const_new(REQUESTS_AT_ONCE);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a request to the API server failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer in time.
    #[error("the Kubernetes API did not answer within {}s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    /// It answered with an error, or not at all.
    #[error(transparent)]
    Kube(#[from] Box<kube::Error>),
}

impl ApiError {
    /// The status that the API server answered with, if it did.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Kube(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout => None,
        }
    }

    /// Whether the API server understood the request and refuses it for good: forbidden or invalid.
    pub fn is_refusal(&self) -> bool {
        self.status()
            .is_some_and(|status| status.is_forbidden() || status.is_invalid())
    }
}

/// A client from the environment (service account in a pod, kubeconfig otherwise).
pub async fn connect() -> Result<Client, kube::Error> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(REQUEST_TIMEOUT);
    Client::try_from(config)
}

/// Makes a request when its turn has come, and ends it when it takes too long.
pub async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    // Nobody closes it.
    let _turn = REQUESTS.acquire().await;
    ahead(request).await
}

/// The same, ahead of all that wait for their turn: for the one write by which requests are led elsewhere.
pub async fn ahead<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    tokio::time::timeout(REQUEST_TIMEOUT, request)
        .await
        .map_err(|_| ApiError::Timeout)?
        .map_err(|error| ApiError::Kube(Box::new(error)))
}
