//! HTTP clients of backends: one way to build them, one way to tell an outage from a refusal.

use std::{error::Error, fmt::Write, sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, Client, StatusCode};
use rustls::{RootCertStore, pki_types::CertificateDer};

use super::BackendError;

/// Longest part of a backend's answer that goes into a message.
const EXCERPT_MAX: usize = 300;

/// Longest wait for a TCP and TLS handshake.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for an answer, unless the request says otherwise.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with explicit timeouts that follows no redirect and uses no proxy of the environment: a backend's
/// credentials go to the endpoint of the platform file and nowhere else.
pub(crate) fn client() -> Result<Client, BackendError> {
    // reqwest is built without a provider of its own; `Err` means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only(roots())
        .build()
        .map_err(|error| BackendError::Unexpected(format!("cannot build an HTTP client: {}", chain(&error))))
}

/// Mozilla's roots and those of the system (`SSL_CERT_FILE` names others): the operator's image holds no files, and
/// the platform's own verifier refuses to start without any. One that cannot be read is left out.
static ROOTS: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
    let system = rustls_native_certs::load_native_certs().certs;
    let all = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned().chain(system);
    all.filter(|root| RootCertStore::empty().add(root.clone()).is_ok())
        .collect()
});

fn roots() -> Vec<Certificate> {
    ROOTS
        .iter()
        .filter_map(|root| Certificate::from_der(root).ok())
        .collect()
}

/// The same roots as text, for clients that bring their own TLS.
pub(crate) fn roots_pem() -> Vec<u8> {
    let mut pem = String::new();
    for root in ROOTS.iter() {
        let text = STANDARD.encode(root);
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .filter_map(|at| text.get(at..text.len().min(at + 64)))
            .collect();
        let _ = write!(
            pem,
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        );
    }
    pem.into_bytes()
}

/// Whether a status says "not now" rather than "no".
pub(crate) fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

/// A request that got no answer, as an error. The URL is left out: `system` names the place.
pub(crate) fn no_answer(system: &str, error: reqwest::Error) -> BackendError {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        BackendError::Unavailable(format!("{system} did not answer in time"))
    } else {
        BackendError::Unavailable(format!("{system} cannot be reached ({})", chain(&error)))
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        source = cause.source();
    }
    text
}

/// The beginning of a backend's own words, in one line and without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT_MAX)
        .collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn there_are_roots_and_their_text_reads_as_the_same() {
        assert!(ROOTS.len() > 50);
        let read: Vec<_> = CertificateDer::pem_slice_iter(&roots_pem())
            .map(Result::unwrap)
            .collect();
        assert_eq!(read, *ROOTS);
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        assert_eq!(excerpt(" a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(excerpt(&"x".repeat(5000)).len(), EXCERPT_MAX);
    }
}
