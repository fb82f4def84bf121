//! The port, spoken to a real Keycloak (26.7).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, PoisonError, Weak},
};

use async_trait::async_trait;
use jiff::Timestamp;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use url::Url;

use super::{
    IdentityBackend, IdentitySpec, IdentityState, KeycloakConfig,
    client::{Keycloak, NoToken, SLOW},
    issuer_of,
    realm::Realm,
    representation::{bears, is_full, merged, new_realm},
};
use crate::backends::{BackendError, Breaches, Observed, http::REQUEST_TIMEOUT};

/// Realms made at once: each create contends with the others for one row of realm `master` (keycloak#21293);
/// measured, 4 at once make the most of it (environment.md).
const CREATES_AT_ONCE: usize = 4;

/// How often a create that was answered by 500 is repeated at once. Keycloak loads roles of realm `master` into its cache
/// without a lock (keycloak#40531): of creates at the same time one may read them half loaded, fail and be rolled back. By
/// then they are loaded.
const CREATES_AGAIN: usize = 2;

/// Realms of one Keycloak.
pub struct KeycloakBackend {
    keycloak: Keycloak,
    creates: Semaphore,
    locks: SyncMutex<HashMap<TenantSlug, Weak<Mutex<()>>>>,
}

/// What is seen of a realm.
enum Sight {
    Absent,
    Foreign,
    Own {
        realm: Value,
        token: SecretString,
        /// Whether the token is the automation client's. If not, that client is not as it shall be.
        automation: bool,
    },
}

impl KeycloakBackend {
    /// A backend that connects when first used.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn connect(config: KeycloakConfig) -> Result<Self, BackendError> {
        Ok(Self {
            keycloak: Keycloak::new(config)?,
            creates: Semaphore::new(CREATES_AT_ONCE),
            locks: SyncMutex::default(),
        })
    }

    /// Concurrent writers of one realm make Keycloak answer 500 (keycloak#11588): one at a time.
    async fn alone(&self, slug: &TenantSlug) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(slug).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::new(Mutex::new(()));
                locks.insert(slug.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    /// Looks at a realm with its automation client's token, or, where that gets none, with the creating account's.
    async fn look(&self, owner: &Owner, slug: &TenantSlug) -> Result<Sight, BackendError> {
        let token = match self.keycloak.automation_token(owner, slug).await? {
            Ok(token) => token,
            Err(NoToken::NoRealm) => return Ok(Sight::Absent),
            Err(NoToken::NotAccepted) => return self.look_as_creator(owner, slug).await,
        };
        let answer = self.get_realm(slug, &token).await?;
        match answer.status {
            StatusCode::OK if bears(&answer.body, owner) => Ok(Sight::Own {
                realm: answer.body,
                token,
                automation: true,
            }),
            StatusCode::NOT_FOUND => Ok(Sight::Absent),
            status if status.is_server_error() => {
                Err(self.keycloak.failed(&answer, &format!("realm {}", slug.realm())))
            }
            // A token from before the realm was made again, or an account without its role.
            _ => {
                self.keycloak.forget_automation_token(owner, slug);
                self.look_as_creator(owner, slug).await
            }
        }
    }

    async fn look_as_creator(&self, owner: &Owner, slug: &TenantSlug) -> Result<Sight, BackendError> {
        let mut token = self.keycloak.creator_token().await?;
        let mut answer = self.get_realm(slug, &token).await?;
        let is_blind = |status: StatusCode, body: &Value| match status {
            StatusCode::OK => !is_full(body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => true,
            _ => false,
        };
        if is_blind(answer.status, &answer.body) {
            // Perhaps only the token is older than the realm (keycloak#26301).
            token = self.keycloak.renew_creator_token().await?;
            answer = self.get_realm(slug, &token).await?;
        }
        match answer.status {
            StatusCode::OK if bears(&answer.body, owner) => Ok(Sight::Own {
                realm: answer.body,
                token,
                automation: false,
            }),
            // Not visible to the account that makes our realms, or another's mark.
            StatusCode::OK | StatusCode::FORBIDDEN => Ok(Sight::Foreign),
            StatusCode::NOT_FOUND => Ok(Sight::Absent),
            _ => Err(self.keycloak.failed(&answer, &format!("realm {}", slug.realm()))),
        }
    }

    async fn get_realm(&self, slug: &TenantSlug, token: &SecretString) -> Result<super::client::Answer, BackendError> {
        self.keycloak
            .call(Method::GET, &format!("/{}", slug.realm()), token, None, REQUEST_TIMEOUT)
            .await
    }

    fn foreign(slug: &TenantSlug) -> String {
        format!("realm {}", slug.realm())
    }

    fn plain_http(&self) -> bool {
        self.keycloak.config.url.scheme() == "http"
    }

    fn realm<'a>(&'a self, spec: &'a IdentitySpec, token: SecretString, automation: bool) -> Realm<'a> {
        Realm {
            keycloak: &self.keycloak,
            spec,
            plain_http: self.plain_http(),
            token,
            automation,
        }
    }

    async fn make(&self, spec: &IdentitySpec) -> Result<Made, BackendError> {
        let secret = self.keycloak.automation_secret(&spec.owner)?;
        let body = new_realm(spec, self.plain_http(), &secret);
        let _permit = self
            .creates
            .acquire()
            .await
            .map_err(|error| BackendError::Unexpected(error.to_string()))?;
        let mut token = self.keycloak.creator_token().await?;
        let mut answer = self.keycloak.call(Method::POST, "", &token, Some(&body), SLOW).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            token = self.keycloak.renew_creator_token().await?;
            answer = self.keycloak.call(Method::POST, "", &token, Some(&body), SLOW).await?;
        }
        for _ in 0..CREATES_AGAIN {
            if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
                answer = self.keycloak.call(Method::POST, "", &token, Some(&body), SLOW).await?;
            }
        }
        match answer.status {
            StatusCode::CREATED => Ok(Made::Now),
            StatusCode::CONFLICT => Ok(Made::Before),
            _ => Err(self
                .keycloak
                .failed(&answer, &format!("a new realm {}", spec.slug.realm()))),
        }
    }

    async fn converge(&self, spec: &IdentitySpec) -> Result<(), BackendError> {
        match self.look(&spec.owner, &spec.slug).await? {
            Sight::Foreign => Err(BackendError::Foreign(Self::foreign(&spec.slug))),
            Sight::Own {
                realm,
                token,
                automation,
            } => self.realm(spec, token, automation).converge(&realm).await,
            Sight::Absent => match self.make(spec).await? {
                Made::Now => Ok(()),
                Made::Before => Err(BackendError::Unavailable(format!(
                    "{} appeared while it was being made",
                    Self::foreign(&spec.slug)
                ))),
            },
        }
    }

    /// The realm as the creating account sees it, if it is ours.
    async fn own_as_creator(
        &self,
        owner: &Owner,
        slug: &TenantSlug,
    ) -> Result<Option<(Value, SecretString)>, BackendError> {
        match self.look_as_creator(owner, slug).await? {
            Sight::Own { realm, token, .. } => Ok(Some((realm, token))),
            Sight::Absent | Sight::Foreign => Ok(None),
        }
    }

    /// Disables the realm. Tokens made before this moment stay invalid when it is enabled again.
    async fn disable(&self, slug: &TenantSlug, realm: &Value, token: &SecretString) -> Result<(), BackendError> {
        let body = merged(
            realm,
            &json!({ "enabled": false, "notBefore": Timestamp::now().as_second() }),
        );
        let path = format!("/{}", slug.realm());
        let answer = self
            .keycloak
            .call(Method::PUT, &path, token, Some(&body), REQUEST_TIMEOUT)
            .await?;
        if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
            return Err(self
                .keycloak
                .failed(&answer, &format!("the disabling of realm {}", slug.realm())));
        }
        Ok(())
    }
}

/// What became of a create.
enum Made {
    /// It was made.
    Now,
    /// It was there.
    Before,
}

#[async_trait]
impl IdentityBackend for KeycloakBackend {
    async fn observe(&self, spec: &IdentitySpec) -> Result<Observed<IdentityState>, BackendError> {
        match self.look(&spec.owner, &spec.slug).await? {
            Sight::Absent => Ok(Observed::Absent),
            Sight::Foreign => Ok(Observed::Foreign(Self::foreign(&spec.slug))),
            Sight::Own {
                realm,
                token,
                automation,
            } => {
                let differences = self.realm(spec, token, automation).differences(&realm).await?;
                Ok(Observed::Present(IdentityState { differences }))
            }
        }
    }

    /// Exactly one request, besides a token that is usually there: the caller has seen that the realm is absent.
    async fn create(&self, spec: &IdentitySpec) -> Result<(), BackendError> {
        let _alone = self.alone(&spec.slug).await;
        match self.make(spec).await? {
            Made::Now => Ok(()),
            Made::Before => self.converge(spec).await,
        }
    }

    async fn update(&self, spec: &IdentitySpec) -> Result<(), BackendError> {
        let _alone = self.alone(&spec.slug).await;
        self.converge(spec).await
    }

    /// Through the creating account: the automation client gets no token while its realm is disabled. Writes nothing
    /// if the realm is disabled already, so the sessions end first: being killed between the two repeats both.
    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let _alone = self.alone(slug).await;
        let Some((realm, token)) = self.own_as_creator(owner, slug).await? else {
            return Ok(());
        };
        if realm["enabled"] == false {
            return Ok(());
        }
        let path = format!("/{}/logout-all", slug.realm());
        let answer = self
            .keycloak
            .call(Method::POST, &path, &token, None, REQUEST_TIMEOUT)
            .await?;
        if !answer.status.is_success() {
            return Err(self
                .keycloak
                .failed(&answer, &format!("the end of all sessions of realm {}", slug.realm())));
        }
        self.keycloak.forget_automation_token(owner, slug);
        self.disable(slug, &realm, &token).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let _alone = self.alone(slug).await;
        let Some((realm, token)) = self.own_as_creator(owner, slug).await? else {
            return Ok(());
        };
        if realm["enabled"] != false {
            self.disable(slug, &realm, &token).await?;
        }
        self.keycloak.forget_automation_token(owner, slug);
        let path = format!("/{}", slug.realm());
        let answer = self.keycloak.call(Method::DELETE, &path, &token, None, SLOW).await?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(self
            .keycloak
            .failed(&answer, &format!("the deletion of realm {}", slug.realm())))
    }

    async fn verify_isolation(&self, owner: &Owner, slug: &TenantSlug) -> Result<Breaches, BackendError> {
        let realm = slug.realm();
        let Ok(token) = self.keycloak.automation_token(owner, slug).await? else {
            return Ok(vec![format!("the automation client of realm {realm} gets no token")]);
        };
        let issuer = self.issuer(slug);
        let master = self
            .keycloak
            .call(Method::GET, "/master", &token, None, REQUEST_TIMEOUT);
        let path = format!("/{realm}/.well-known/openid-configuration");
        let (own, master, discovery) =
            futures::try_join!(self.get_realm(slug, &token), master, self.keycloak.public(&path))?;
        for answer in [&own, &master, &discovery] {
            if answer.status.is_server_error() {
                return Err(self.keycloak.failed(answer, &format!("an answer about realm {realm}")));
            }
        }
        let mut breaches = Breaches::new();
        if own.status != StatusCode::OK || !bears(&own.body, owner) {
            breaches.push(format!(
                "the automation client cannot read its own realm {realm} ({})",
                own.status
            ));
        }
        if master.status == StatusCode::OK && is_full(&master.body) {
            breaches.push(format!("the automation client of realm {realm} may read realm master"));
        }
        match discovery.body["issuer"].as_str() {
            Some(found) if found == issuer.as_str() => {}
            Some(found) => breaches.push(format!(
                "tokens of realm {realm} are issued by {found}, not by {issuer}"
            )),
            None => breaches.push(format!(
                "realm {realm} has no discovery document ({})",
                discovery.status
            )),
        }
        Ok(breaches)
    }

    fn issuer(&self, slug: &TenantSlug) -> Url {
        issuer_of(&self.keycloak.config.issuer_url, slug)
    }
}

#[cfg(test)]
#[path = "adapter_tests.rs"]
mod tests;
