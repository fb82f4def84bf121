//! An issuer on loopback for tests: it publishes a key and signs what a test wants signed.
#![allow(clippy::unwrap_used, reason = "test code, though other crates' tests use it")]

use std::net::SocketAddr;

use axum::{Json, Router, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::environment::{Environment, Variables};

/// Tenant of [`Issuer::environment`].
pub const TENANT: &str = "acme-corp";
/// Id of that tenant.
pub const TENANT_ID: &str = "00000000-0000-0000-0000-000000000007";

/// A key pair for ES256.
struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    fn generate() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        Self(pair, random)
    }

    fn public(&self, id: &str) -> Value {
        // 4, x, y: SEC 1 section 2.3.3.
        let point = self.0.public_key().as_ref();
        json!({ "kid": id, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]) })
    }
}

/// A realm that issues tokens.
pub struct Issuer {
    address: SocketAddr,
    signer: Signer,
}

impl Issuer {
    /// Starts publishing the key; it has the id `one`.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    pub async fn start() -> Self {
        let signer = Signer::generate();
        let keys = json!({ "keys": [signer.public("one"), { "kid": "enc", "kty": "RSA", "use": "enc",
            "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" }] });
        let address = serve(Router::new().route("/certs", get(|| async { Json(keys) }))).await;
        Self { address, signer }
    }

    /// The issuer's name, as in claim `iss`.
    pub fn name(&self) -> String {
        format!("http://{}/realms/tenant-{TENANT}", self.address)
    }

    /// Claims of an access token of a user of the tenant.
    pub fn claims(&self) -> Value {
        json!({ "iss": self.name(), "sub": "ada", "azp": "plexica-web", "typ": "Bearer", "aud": "account",
            "exp": jsonwebtoken::get_current_timestamp() + 300, "realm_access": { "roles": ["user"] } })
    }

    /// A token of a user of the tenant, with some claims changed; null takes a claim away.
    ///
    /// # Panics
    /// When `changed` is no object.
    pub fn token(&self, changed: &Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changed.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        self.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": "one" }), &claims)
    }

    /// A token of that header and those claims, signed by the issuer's key whatever the header says.
    ///
    /// # Panics
    /// When there is no randomness.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.signer.0.sign(&self.signer.1, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Variables of a process of the tenant, with a database that does not answer.
    pub fn variables(&self, plugin: &str) -> Variables {
        [
            ("PLEXICA_TENANT", TENANT),
            ("PLEXICA_TENANT_ID", TENANT_ID),
            ("PLEXICA_PLUGIN", plugin),
            ("PLEXICA_VERSION", "1.0.0"),
            ("PLEXICA_SLOT", "a"),
            // Port 1 refuses connections at once.
            ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing"),
            ("OIDC_ISSUER", &self.name()),
            ("OIDC_JWKS_URI", &format!("http://{}/certs", self.address)),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Environment of a plugin of the tenant, with more variables or others.
    ///
    /// # Panics
    /// Never, unless this function and [`Environment::read`] have come apart.
    pub fn environment(&self, plugin: &str, configuration: Value, more: &[(&str, &str)]) -> Environment {
        let mut variables = self.variables(plugin);
        variables.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        Environment::read(&variables, Ok(configuration)).unwrap()
    }
}

/// Serves a router on loopback for as long as the test runs.
///
/// # Panics
/// When loopback cannot be listened on.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
