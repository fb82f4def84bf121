//! A serving certificate with the authority that signed it and nothing else.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// How far the clock of an API server may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// What Go's TLS clients and ours are offered (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate in use, or about to be.
#[derive(Clone)]
pub struct Pair {
    /// Certificate of the authority, PEM.
    pub authority: String,
    /// The serving certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: SecretString,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends; its authority ends with it.
    pub expires: Timestamp,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// It cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A time cannot be written in a certificate.
    #[error("the clock or the validity is out of range")]
    Time,
    /// What is there is no certificate, or not in PEM.
    #[error("the certificate or its key cannot be read")]
    Unreadable,
    /// It is made out to another name.
    #[error("the certificate is not made out to {0}")]
    OtherName(String),
    /// TLS does not take it.
    #[error("TLS does not take the certificate: {0}")]
    Tls(#[from] rustls::Error),
}

impl Pair {
    /// A new one for a name of DNS. The authority's key is gone when this returns.
    ///
    /// # Errors
    /// If the times are out of range.
    pub fn make(name: &str, now: Timestamp, validity: Duration) -> Result<Self, PairError> {
        // Certificates have whole seconds.
        let issued = Timestamp::from_second(now.as_second()).map_err(|_| PairError::Time)?;
        let expires = issued.checked_add(validity).map_err(|_| PairError::Time)?;
        let begins = issued.checked_sub(SKEW).map_err(|_| PairError::Time)?;
        let (begins, ends) = (moment(begins)?, moment(expires)?);
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![])?;
        (params.not_before, params.not_after) = (begins, ends);
        params.distinguished_name = named(&format!("plexica-webhooks {issued}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key)?;
        let signer = Issuer::new(params, authority_key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        (params.not_before, params.not_after) = (begins, ends);
        params.distinguished_name = named("plexica-webhooks");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &signer)?;
        Ok(Self {
            authority: authority.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem().into(),
            issued,
            expires,
        })
    }

    /// What was kept, if it can be served under this name.
    ///
    /// # Errors
    /// It cannot.
    pub fn read(name: &str, authority: &str, certificate: &str, key: &str) -> Result<Self, PairError> {
        let authority_der = der(authority)?;
        let (_, parent) = X509Certificate::from_der(&authority_der).map_err(|_| PairError::Unreadable)?;
        let chain = der(certificate)?;
        let (_, leaf) = X509Certificate::from_der(&chain).map_err(|_| PairError::Unreadable)?;
        let names = leaf.subject_alternative_name().map_err(|_| PairError::Unreadable)?;
        let names = names.iter().flat_map(|extension| &extension.value.general_names);
        let bears = names
            .into_iter()
            .any(|general| matches!(general, GeneralName::DNSName(other) if *other == name));
        if !bears {
            return Err(PairError::OtherName(name.to_owned()));
        }
        if leaf.issuer() != parent.subject() {
            return Err(PairError::Unreadable);
        }
        let time = |at: i64| Timestamp::from_second(at).map_err(|_| PairError::Time);
        let validity = leaf.validity();
        let pair = Self {
            authority: authority.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned().into(),
            issued: time(validity.not_before.timestamp())?
                .checked_add(SKEW)
                .map_err(|_| PairError::Time)?,
            expires: time(validity.not_after.timestamp())?,
        };
        pair.tls()?;
        Ok(pair)
    }

    /// How to serve with it.
    ///
    /// # Errors
    /// The key is not the certificate's.
    pub fn tls(&self) -> Result<Arc<ServerConfig>, PairError> {
        let key =
            PrivateKeyDer::from_pem_slice(self.key.expose_secret().as_bytes()).map_err(|_| PairError::Unreadable)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = served_by(provider)?
            .with_no_client_auth()
            .with_single_cert(vec![der(&self.certificate)?], key)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}

fn served_by(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, rustls::Error> {
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

fn der(pem: &str) -> Result<CertificateDer<'static>, PairError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PairError::Unreadable)
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, PairError> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| PairError::Time)
}

fn named(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "hooks.initech.svc";

    fn made() -> Pair {
        Pair::make(
            NAME,
            Timestamp::from_second(1_800_000_000).unwrap(),
            Duration::from_hours(720),
        )
        .unwrap()
    }

    fn read(name: &str, authority: &str, certificate: &str, key: &str) -> Result<Pair, PairError> {
        Pair::read(name, authority, certificate, key)
    }

    #[test]
    fn what_was_made_is_read_again_with_its_times() {
        let made = made();
        let found = read(NAME, &made.authority, &made.certificate, made.key.expose_secret()).unwrap();
        assert_eq!((found.issued, found.expires), (made.issued, made.expires));
        assert_eq!(found.expires.duration_since(found.issued).as_hours(), 720);
    }

    #[test]
    fn what_cannot_be_served_is_not_taken() {
        let (one, other) = (made(), made());
        let key = one.key.expose_secret();
        assert!(matches!(
            read("hooks.hooli.svc", &one.authority, &one.certificate, key),
            Err(PairError::OtherName(_))
        ));
        for (authority, certificate, key) in [
            (
                one.authority.as_str(),
                one.certificate.as_str(),
                other.key.expose_secret(),
            ),
            (&one.authority, &one.certificate, "no key"),
            (&one.authority, "no certificate", key),
            ("", &one.certificate, key),
        ] {
            assert!(read(NAME, authority, certificate, key).is_err());
        }
    }

    #[test]
    fn the_authority_signs_the_certificate_and_can_sign_no_authority() {
        let made = made();
        let authority = der(&made.authority).unwrap();
        let (_, parent) = X509Certificate::from_der(&authority).unwrap();
        let constraints = parent.basic_constraints().unwrap().unwrap().value;
        assert!(constraints.ca && constraints.path_len_constraint == Some(0));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let at = Duration::from_secs(u64::try_from(made.issued.as_second()).unwrap());
        for (name, trusted) in [(NAME, true), ("hooks.hooli.svc", false)] {
            use rustls::client::danger::ServerCertVerifier as _;
            let outcome = verifier.verify_server_cert(
                &der(&made.certificate).unwrap(),
                &[],
                &name.try_into().unwrap(),
                &[],
                rustls::pki_types::UnixTime::since_unix_epoch(at),
            );
            assert_eq!(outcome.is_ok(), trusted, "{outcome:?}");
        }
    }
}
