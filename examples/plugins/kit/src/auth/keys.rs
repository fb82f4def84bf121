//! The issuer's public keys: kept for a while, fetched again when a token names one that is not known, and never more
//! often than once in [`PAUSE`], whatever callers send.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

/// Least time between two fetches.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// Age at which keys are fetched again, so that a key which the issuer took back does not count for ever.
pub(super) const FRESH: Duration = Duration::from_mins(10);
/// Age until which keys still count while the issuer does not answer.
pub(super) const STALE: Duration = Duration::from_hours(1);

/// A key that checks signatures, and the one algorithm that it is for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a key is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoKey {
    /// The issuer does not know it.
    #[error("the issuer has no such key")]
    Unknown,
    /// The issuer was not reached, and what was known before is too old.
    #[error("the keys of the issuer cannot be fetched")]
    Unavailable,
}

/// Where keys come from.
pub(super) trait Source: Send + Sync + 'static {
    /// The issuer's present keys; an error is for the log.
    fn fetch(&self) -> impl Future<Output = Result<JwkSet, String>> + Send;
}

/// The issuer's endpoint `jwks_uri`.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) uri: Url,
    pub(super) client: reqwest::Client,
}

impl Source for Endpoint {
    async fn fetch(&self) -> Result<JwkSet, String> {
        let answer = self.client.get(self.uri.clone()).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let keys = match answer {
            Ok(answer) => answer.json().await,
            Err(error) => Err(error),
        };
        keys.map_err(|error| error.to_string())
    }
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys<S> {
    source: S,
    known: RwLock<Option<Arc<Known>>>,
    /// When the last fetch began; held while one runs, so that callers wait for one fetch instead of starting more.
    fetched: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    keys: BTreeMap<String, Key>,
}

impl<S: Source> Keys<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            known: RwLock::default(),
            fetched: Mutex::default(),
        }
    }

    /// The key of that id.
    pub(super) async fn find(&self, id: &str) -> Result<Key, NoKey> {
        if let Some(key) = self.known(FRESH).and_then(|known| known.keys.get(id).cloned()) {
            return Ok(key);
        }
        let mut fetched = self.fetched.lock().await;
        // Another caller may have fetched it meanwhile.
        if let Some(key) = self.known(FRESH).and_then(|known| known.keys.get(id).cloned()) {
            return Ok(key);
        }
        if fetched.is_none_or(|at| at.elapsed() >= PAUSE) {
            *fetched = Some(Instant::now());
            self.fetch().await;
        }
        let known = self.known(STALE).ok_or(NoKey::Unavailable)?;
        known.keys.get(id).cloned().ok_or(NoKey::Unknown)
    }

    fn known(&self, oldest: Duration) -> Option<Arc<Known>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|known| known.at.elapsed() < oldest)
    }

    async fn fetch(&self) {
        match self.source.fetch().await {
            Ok(set) => {
                let keys: BTreeMap<_, _> = set.keys.iter().filter_map(usable).collect();
                info!(keys = keys.len(), "the issuer's keys are fetched");
                let known = Known {
                    at: Instant::now(),
                    keys,
                };
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
            }
            Err(reason) => warn!(
                reason,
                "the issuer's keys cannot be fetched; those known count for up to an hour"
            ),
        }
    }
}

/// A key for signatures that has an id, with its algorithm. Others are left out: Keycloak lists a key for encryption
/// beside the one for signatures, and a shared secret is not for publishing.
fn usable(jwk: &Jwk) -> Option<(String, Key)> {
    let id = jwk.common.key_id.clone()?;
    if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = Algorithm::try_from(jwk.common.key_algorithm?).ok()?;
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let shared = matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    (!shared && key.family() == algorithm.family()).then_some((id, Key { algorithm, key }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;
    use tokio::time::advance;

    use super::*;

    /// Publishes the keys that a test sets, and counts how often it is asked.
    #[derive(Default)]
    struct Issuer {
        ids: RwLock<Option<Vec<&'static str>>>,
        asked: AtomicUsize,
    }

    impl Source for Arc<Issuer> {
        async fn fetch(&self) -> Result<JwkSet, String> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            let ids = self.ids.read().unwrap().clone().ok_or("it is down")?;
            let keys: Vec<_> = ids.into_iter().map(jwk).collect();
            serde_json::from_value(json!({ "keys": keys })).map_err(|error| error.to_string())
        }
    }

    fn jwk(id: &str) -> serde_json::Value {
        json!({ "kid": id, "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    }

    fn publishing(ids: &[&'static str]) -> (Arc<Issuer>, Keys<Arc<Issuer>>) {
        let issuer = Arc::new(Issuer::default());
        *issuer.ids.write().unwrap() = Some(ids.to_vec());
        (Arc::clone(&issuer), Keys::new(issuer))
    }

    impl Issuer {
        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_once_for_all_who_ask_at_the_same_time() {
        let (issuer, keys) = publishing(&["one"]);
        let (a, b, c) = tokio::join!(keys.find("one"), keys.find("one"), keys.find("one"));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(issuer.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_known_is_asked_for_and_not_more_often_than_the_pause_allows() {
        let (issuer, keys) = publishing(&["one"]);
        keys.find("one").await.unwrap();
        for _ in 0..1000 {
            assert_eq!(keys.find("forged").await.unwrap_err(), NoKey::Unknown);
        }
        assert_eq!(issuer.asked(), 1);
        *issuer.ids.write().unwrap() = Some(vec!["one", "two"]);
        advance(PAUSE).await;
        assert!(keys.find("two").await.is_ok());
        assert_eq!(issuer.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_taken_back_stops_counting() {
        let (issuer, keys) = publishing(&["one"]);
        keys.find("one").await.unwrap();
        *issuer.ids.write().unwrap() = Some(vec!["two"]);
        advance(FRESH / 2).await;
        assert!(keys.find("one").await.is_ok());
        advance(FRESH / 2).await;
        assert_eq!(keys.find("one").await.unwrap_err(), NoKey::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_issuer_is_down_known_keys_count_for_an_hour() {
        let (issuer, keys) = publishing(&["one"]);
        keys.find("one").await.unwrap();
        *issuer.ids.write().unwrap() = None;
        advance(STALE.checked_sub(PAUSE).unwrap()).await;
        assert!(keys.find("one").await.is_ok());
        advance(PAUSE).await;
        assert_eq!(keys.find("one").await.unwrap_err(), NoKey::Unavailable);
    }

    #[test]
    fn only_keys_for_signatures_by_a_public_key_count() {
        let used = |change: serde_json::Value| {
            let mut key = jwk("one");
            key.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            usable(&serde_json::from_value(key).unwrap()).is_some()
        };
        assert!(used(json!({})));
        assert!(!used(json!({ "use": "enc" })));
        assert!(!used(json!({ "alg": "RS256" })));
        assert!(!used(json!({ "alg": "RSA-OAEP" })));
        assert!(!used(json!({ "kty": "oct", "k": "c2VzYW1l", "alg": "HS256" })));
    }
}
