//! Keycloak's REST API over plain JSON, and the tokens to call it with.
//!
//! The crate `keycloak` is not used: its typed representations drop what they do not know, and writing such a
//! realm back would delete other people's attributes. What is read here is kept as [`Value`] and written back whole.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use plexica_crds::{
    names::{RealmName, TenantSlug},
    ownership::Owner,
};
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::Mutex;
use url::Url;

use super::representation::AUTOMATION_CLIENT;
use crate::backends::{BackendError, http};

/// Creating and deleting a realm are long transactions: seconds on a full server (anchors/tenancy.md section 3a).
pub(super) const SLOW: Duration = Duration::from_secs(30);
/// Realm of the operator's own client.
const MASTER: &str = "master";

/// One Keycloak and the operator's account there.
#[derive(Debug, Clone)]
pub struct KeycloakConfig {
    /// Where the operator reaches it.
    pub url: Url,
    /// What issuers begin with: where services and browsers reach it.
    pub issuer_url: Url,
    /// The operator's client in realm `master`: a service account with role `create-realm` alone and the attribute
    /// `client.use.lightweight.access.token.enabled` (else its token outgrows a header with the number of realms).
    pub client_id: String,
    /// Its secret. Secrets of the realms' automation clients are derived from it.
    pub client_secret: SecretString,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `Null` if it is empty or no JSON.
    pub(super) body: Value,
    /// The last segment of `Location`: the id of what was made.
    pub(super) made: Option<String>,
}

/// Why there is no token for a realm's automation client.
#[derive(Debug)]
pub(super) enum NoToken {
    /// There is no such realm.
    NoRealm,
    /// The realm is disabled, or does not accept the client or its secret.
    NotAccepted,
}

#[derive(Clone)]
struct Token {
    value: SecretString,
    fresh_until: Instant,
}

type TokenSlot = Arc<Mutex<Option<Token>>>;

/// A client of one Keycloak.
pub(super) struct Keycloak {
    pub(super) config: KeycloakConfig,
    http: Client,
    creator: TokenSlot,
    automation: SyncMutex<HashMap<(RealmName, uuid::Uuid), TokenSlot>>,
}

impl Keycloak {
    pub(super) fn new(config: KeycloakConfig) -> Result<Self, BackendError> {
        Ok(Self {
            config,
            http: http::client()?,
            creator: TokenSlot::default(),
            automation: SyncMutex::default(),
        })
    }

    /// Calls the admin API. `path` begins after `/admin/realms`.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &SecretString,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answer, BackendError> {
        let mut request = self
            .http
            .request(method, self.at(&format!("admin/realms{path}")))
            .bearer_auth(token.expose_secret())
            .timeout(timeout);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request).await
    }

    /// Reads something that needs no token. `path` begins after `/realms`.
    pub(super) async fn public(&self, path: &str) -> Result<Answer, BackendError> {
        self.answer(self.http.get(self.at(&format!("realms{path}")))).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, BackendError> {
        let no_answer = |error| http::no_answer(&self.system(), error);
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let location = response
            .headers()
            .get(reqwest::header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let made = location.and_then(|url| url.rsplit('/').next()).map(str::to_owned);
        let bytes = response.bytes().await.map_err(no_answer)?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            made,
        })
    }

    /// A token of the operator's own client, the account that creates realms.
    ///
    /// # Errors
    /// [`BackendError::Refused`] if Keycloak does not accept the client.
    pub(super) async fn creator_token(&self) -> Result<SecretString, BackendError> {
        let mut slot = self.creator.lock().await;
        if let Some(token) = fresh(slot.as_ref()) {
            return Ok(token);
        }
        let KeycloakConfig {
            client_id,
            client_secret,
            ..
        } = &self.config;
        let answer = self.request_token(MASTER, client_id, client_secret).await?;
        if answer.status != StatusCode::OK {
            return Err(self.failed(&answer, &format!("a token to its client {client_id} of realm {MASTER}")));
        }
        self.keep(&mut slot, &answer)
    }

    /// Forgets the token: the next call fetches a new one.
    pub(super) async fn renew_creator_token(&self) -> Result<SecretString, BackendError> {
        *self.creator.lock().await = None;
        self.creator_token().await
    }

    /// A token of the realm's automation client.
    pub(super) async fn automation_token(
        &self,
        owner: &Owner,
        slug: &TenantSlug,
    ) -> Result<Result<SecretString, NoToken>, BackendError> {
        let realm = slug.realm();
        let slot = self.automation_slot(&realm, owner);
        let mut slot = slot.lock().await;
        if let Some(token) = fresh(slot.as_ref()) {
            return Ok(Ok(token));
        }
        let secret = self.automation_secret(owner)?;
        let answer = self.request_token(realm.as_str(), AUTOMATION_CLIENT, &secret).await?;
        match answer.status {
            StatusCode::OK => self.keep(&mut slot, &answer).map(Ok),
            StatusCode::NOT_FOUND => Ok(Err(NoToken::NoRealm)),
            status if status.is_client_error() && !http::is_transient(status) => Ok(Err(NoToken::NotAccepted)),
            _ => Err(self.failed(&answer, &format!("a token to {AUTOMATION_CLIENT} of realm {realm}"))),
        }
    }

    /// Forgets a token that was not accepted.
    pub(super) fn forget_automation_token(&self, owner: &Owner, slug: &TenantSlug) {
        let mut slots = self.automation.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&(slug.realm(), owner.tenant_id));
    }

    fn automation_slot(&self, realm: &RealmName, owner: &Owner) -> TokenSlot {
        let mut slots = self.automation.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((realm.clone(), owner.tenant_id)).or_default())
    }

    /// The secret of a realm's automation client: derived, so that nothing has to be kept anywhere.
    pub(super) fn automation_secret(&self, owner: &Owner) -> Result<SecretString, BackendError> {
        let key = self.config.client_secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .map_err(|_| BackendError::Unexpected("the client secret cannot key an HMAC".to_owned()))?;
        mac.update(format!("{AUTOMATION_CLIENT}:{}{}", owner.installation, owner.tenant_id).as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()).into())
    }

    async fn request_token(
        &self,
        realm: &str,
        client_id: &str,
        client_secret: &SecretString,
    ) -> Result<Answer, BackendError> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose_secret()),
        ];
        let url = self.at(&format!("realms/{realm}/protocol/openid-connect/token"));
        self.answer(self.http.post(url).form(&form)).await
    }

    /// Keeps a token until three quarters of its life are over.
    fn keep(&self, slot: &mut Option<Token>, answer: &Answer) -> Result<SecretString, BackendError> {
        let (Some(value), Some(seconds)) = (answer.body["access_token"].as_str(), answer.body["expires_in"].as_u64())
        else {
            return Err(BackendError::Unexpected(format!(
                "{} answered a token request without token",
                self.system()
            )));
        };
        let value = SecretString::from(value);
        let fresh_until = Instant::now() + Duration::from_secs(seconds) * 3 / 4;
        *slot = Some(Token {
            value: value.clone(),
            fresh_until,
        });
        Ok(value)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.config.url.as_str().trim_end_matches('/'))
    }

    /// An answer that refuses `what`, as an error.
    pub(super) fn failed(&self, answer: &Answer, what: &str) -> BackendError {
        let Answer { status, body, .. } = answer;
        let said = ["errorMessage", "error_description", "error"]
            .iter()
            .find_map(|key| body[*key].as_str());
        let said = said
            .map(|text| format!(", \"{}\"", http::excerpt(text)))
            .unwrap_or_default();
        let system = self.system();
        let client = &self.config.client_id;
        if http::is_transient(*status) || *status == StatusCode::CONFLICT {
            BackendError::Unavailable(format!("{system} did not give {what} ({status}{said})"))
        } else if *status == StatusCode::UNAUTHORIZED || *status == StatusCode::FORBIDDEN {
            BackendError::Refused(format!(
                "{system} refuses {what} ({status}{said}); check that client {client} of realm {MASTER} is enabled, has \
                 the secret of the pool's credentials and that its service account has role create-realm"
            ))
        } else if *status == StatusCode::BAD_REQUEST {
            BackendError::Refused(format!("{system} does not accept {what} ({status}{said})"))
        } else {
            BackendError::Unexpected(format!("{system} did not give {what} ({status}{said})"))
        }
    }

    /// The server, as messages name it.
    pub(super) fn system(&self) -> String {
        let host = self.config.url.host_str().unwrap_or("?");
        match self.config.url.port_or_known_default() {
            Some(port) => format!("Keycloak at {host}:{port}"),
            None => format!("Keycloak at {host}"),
        }
    }
}

fn fresh(token: Option<&Token>) -> Option<SecretString> {
    token
        .filter(|token| Instant::now() < token.fresh_until)
        .map(|token| token.value.clone())
}
