//! The HTTP client by which a plugin speaks to the issuer, to other plugins and to the store.

use std::time::Duration;

use reqwest::{Certificate, Client};

/// Longest wait for a TCP and TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a whole answer. The gateway gives up after 15 s: a caller is told what is slow before that.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections are closed after this time: before a provider that was told to end (5 s) has to wait for them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// A client with explicit timeouts that follows no redirect and uses no proxy of the environment: a token goes to the
/// address that the platform gave and nowhere else.
///
/// # Errors
/// If no TLS client can be made.
pub fn new() -> reqwest::Result<Client> {
    // reqwest is built without a provider of its own; `Err` means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only(roots())
        .build()
}

/// Mozilla's roots and those of the image (`SSL_CERT_FILE` names others). One that cannot be read is left out.
fn roots() -> Vec<Certificate> {
    let image = rustls_native_certs::load_native_certs().certs;
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().chain(&image);
    all.filter_map(|root| Certificate::from_der(root).ok()).collect()
}
