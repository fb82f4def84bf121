//! S3 through the AWS SDK: how clients are made, and what their failures mean.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::backends::{BackendError, http};

/// Longest wait for one operation, its connection included. There are no retries: the reconciler has its own.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a store is, and the connections to it, shared by clients of different accounts.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) endpoint: Url,
    pub(super) region: String,
    http: SharedHttpClient,
}

impl Connector {
    /// # Errors
    /// If no TLS client can be made.
    pub(super) fn new(endpoint: Url, region: String) -> Result<Self, BackendError> {
        let http = if endpoint.scheme() == "https" {
            // Its own search for roots panics where there are none.
            let roots = TrustStore::empty().with_pem_certificate(http::roots_pem());
            let tls = TlsContext::builder().with_trust_store(roots).build().map_err(|error| {
                BackendError::Unexpected(format!("no TLS client can be made: {}", http::chain(&error)))
            })?;
            Builder::new()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(tls)
                .build_https()
        } else {
            Builder::new().build_http()
        };
        Ok(Self { endpoint, region, http })
    }

    /// A client that acts with this key. Path style: a bucket needs no host name of its own.
    pub(super) fn client(&self, access_key_id: &str, secret: &SecretString) -> Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(http::CONNECT_TIMEOUT)
            .read_timeout(http::REQUEST_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let credentials = Credentials::new(access_key_id, secret.expose_secret(), None, None, "plexica");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(self.endpoint.as_str())
            .region(Region::new(self.region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            .http_client(self.http.clone())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }

    /// The store, as messages name it.
    pub(super) fn system(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or("?");
        match self.endpoint.port_or_known_default() {
            Some(port) => format!("S3 at {host}:{port}"),
            None => format!("S3 at {host}"),
        }
    }

    /// What a failure means. `what` was asked for: `the tags of bucket tenant-acme`.
    pub(super) fn error<E>(&self, error: &SdkError<E>, what: &str) -> BackendError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let system = self.system();
        let Some(status) = error.raw_response().map(|response| response.status().as_u16()) else {
            return match error {
                SdkError::ConstructionFailure(_) => {
                    BackendError::Unexpected(format!("{system}: no request could be made for {what}"))
                }
                _ => BackendError::Unavailable(format!(
                    "{system} cannot be reached ({})",
                    http::excerpt(&http::chain(error))
                )),
            };
        };
        let code = code(error).unwrap_or_default();
        let said = http::excerpt(&format!("{status} {code} {}", error.message().unwrap_or_default()));
        match status {
            408 | 429 | 500.. => BackendError::Unavailable(format!("{system} did not give {what} ({said})")),
            401 | 403 => BackendError::Refused(format!(
                "{system} refuses {what} to the operator ({said}); check its key and its policy"
            )),
            _ => BackendError::Unexpected(format!("{system} did not give {what} ({said})")),
        }
    }
}

/// The code of an error that the store sent: `NoSuchBucket`.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_make_a_client() {
        for endpoint in ["http://s3.example.com:9000", "https://s3.example.com"] {
            let connector = Connector::new(endpoint.parse().unwrap(), "us-east-1".into()).unwrap();
            drop(connector.client("user", &"secret".into()));
        }
    }
}
