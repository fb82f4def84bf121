//! Read your own writes: a pass must not decide from a cached object that is older than what the operator itself
//! has written to it. Otherwise it would begin anew what is done, and say so in the status.
//!
//! Resource versions are compared as numbers, which Kubernetes guarantees since 1.35 (KEP-5504) and etcd always
//! gave. A version that is no number never counts as stale: the pass goes on, as it would without this.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Versions that the operator's last writes gave to objects, by uid; only of those not seen in the cache yet.
#[derive(Debug, Default)]
pub struct Freshness(Mutex<HashMap<String, u64>>);

impl Freshness {
    /// Records the version that a write has given to an object.
    pub fn wrote(&self, uid: Option<&str>, version: Option<&str>) {
        if let (Some(uid), Some(version)) = (uid, version.and_then(|version| version.parse().ok())) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(uid.to_owned(), version);
        }
    }

    /// Whether the cached object is older than our last write to it.
    pub fn is_stale(&self, cached: &ObjectMeta) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = cached.uid.as_deref().unwrap_or_default();
        let Some(last) = written.get(uid) else { return false };
        let version: Option<u64> = cached
            .resource_version
            .as_deref()
            .and_then(|version| version.parse().ok());
        if version.is_some_and(|version| version < *last) {
            return true;
        }
        written.remove(uid);
        false
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(version: &str) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u1".into()),
            resource_version: Some(version.into()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_object_older_than_our_last_write_is_stale_until_the_cache_catches_up() {
        let freshness = Freshness::default();
        assert!(!freshness.is_stale(&cached("9")));
        freshness.wrote(Some("u1"), Some("10"));
        assert!(freshness.is_stale(&cached("9")));
        assert!(!freshness.is_stale(&cached("10")));
        assert!(!freshness.is_stale(&cached("9")));
    }
}
