//! What is there under a tenant's names, and whose it is. Pure.

use std::collections::BTreeMap;

use plexica_crds::{
    names::TenantSlug,
    ownership::{INSTALLATION_KEY, Owner, TENANT_ID_KEY},
};
use serde_json::Value;

use super::{StorageSpec, minio_admin::UserInfo, policy};

/// Tag that holds the id of the credential that the active user has.
pub(super) const CREDENTIAL_KEY: &str = "plexica.io/credential";

/// Tags of a bucket.
pub(super) type Tags = BTreeMap<String, String>;

/// Bucket, policy and active user as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    /// Tags of the bucket; `None` if there is no bucket.
    pub(super) tags: Option<Tags>,
    /// The policy's document; `None` if there is no policy.
    pub(super) policy: Option<Value>,
    /// `None` if there is no user.
    pub(super) user: Option<UserInfo>,
    /// Whether the bucket keeps old versions.
    pub(super) versioning: bool,
    /// The bucket's limit.
    pub(super) quota_bytes: Option<u64>,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// Nobody's: nothing is there.
    Nobodys,
    /// Something is not ours; the text names it.
    Foreign(String),
    /// The tenant's.
    Own,
}

impl Found {
    /// Whose these things are.
    ///
    /// The policy is made first and removed last, and bears the mark in itself; so a bucket without any tag and a user
    /// without any policy beside it are our own, made halfway when the operator was killed. (That such a bucket is
    /// empty is checked before it is touched.)
    pub(super) fn whose(&self, owner: &Owner, slug: &TenantSlug) -> Whose {
        let policy_is_ours = self.policy_is_ours(owner);
        let [active, _] = slug.storage_users();
        if self.policy.is_some() && !policy_is_ours {
            return Whose::Foreign(format!("policy {}", policy::name(slug)));
        }
        if self.tags.is_some() && !self.bucket_is_ours(owner) && !self.bucket_is_half_made(owner) {
            return Whose::Foreign(format!("bucket {}", slug.bucket()));
        }
        if self
            .user
            .as_ref()
            .is_some_and(|user| !self.user_is_ours(user, owner, slug))
        {
            return Whose::Foreign(format!("user {active}"));
        }
        match self {
            Self {
                tags: None,
                policy: None,
                user: None,
                ..
            } => Whose::Nobodys,
            _ => Whose::Own,
        }
    }

    /// Whether the policy is there and bears the mark.
    pub(super) fn policy_is_ours(&self, owner: &Owner) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy::bears(policy, owner))
    }

    /// Whether the bucket is there and bears the mark.
    pub(super) fn bucket_is_ours(&self, owner: &Owner) -> bool {
        self.tags
            .as_ref()
            .is_some_and(|tags| mark(owner).iter().all(|(key, value)| tags.get(key) == Some(value)))
    }

    /// Whether the bucket is there without any tag, beside a policy of ours.
    pub(super) fn bucket_is_half_made(&self, owner: &Owner) -> bool {
        self.tags.as_ref().is_some_and(BTreeMap::is_empty) && self.policy_is_ours(owner)
    }

    /// Whether a user of the tenant's names is ours: it has our policy alone, or none yet.
    pub(super) fn user_is_ours(&self, user: &UserInfo, owner: &Owner, slug: &TenantSlug) -> bool {
        match user.policies.as_slice() {
            [] => self.policy_is_ours(owner) || self.bucket_is_ours(owner),
            [only] => *only == policy::name(slug).as_str() && self.policy_is_ours(owner),
            _ => false,
        }
    }

    /// Id of the credential that the active user accepts; `None` if there is no such user.
    pub(super) fn credential_id(&self) -> Option<String> {
        self.user.as_ref()?;
        self.tags.as_ref()?.get(CREDENTIAL_KEY).cloned()
    }

    /// What differs from the spec, for people. A missing user is no difference: without a new credential it cannot be
    /// made, and its credential's id, which is missing too, asks for one.
    pub(super) fn differences(&self, spec: &StorageSpec) -> Vec<String> {
        let bucket = spec.slug.bucket();
        let mut differences = Vec::new();
        match &self.policy {
            None => differences.push(format!("policy {} is missing", policy::name(&spec.slug))),
            Some(policy) if !policy::same(policy, &policy::document(&spec.owner, &bucket)) => {
                differences.push(format!("policy {} was changed", policy::name(&spec.slug)));
            }
            Some(_) => {}
        }
        if self.tags.is_none() {
            differences.push(format!("bucket {bucket} is missing"));
        } else if !self.bucket_is_ours(&spec.owner) {
            differences.push(format!("bucket {bucket} lacks its tags"));
        }
        if self.versioning != spec.versioning {
            let says = if spec.versioning { "does not keep" } else { "keeps" };
            differences.push(format!("bucket {bucket} {says} old versions"));
        }
        if self.quota_bytes != spec.quota_bytes {
            let text = |quota: Option<u64>| quota.map_or("no limit".to_owned(), |bytes| format!("{bytes} bytes"));
            let (found, wanted) = (text(self.quota_bytes), text(spec.quota_bytes));
            differences.push(format!("bucket {bucket} has quota {found}, not {wanted}"));
        }
        if let Some(user) = &self.user {
            let [active, _] = spec.slug.storage_users();
            if user.policies.is_empty() {
                differences.push(format!("user {active} lacks its policy"));
            }
            if !user.enabled {
                differences.push(format!("user {active} is disabled"));
            }
        }
        differences
    }
}

/// The mark as bucket tags.
pub(super) fn mark(owner: &Owner) -> Tags {
    Tags::from([
        (TENANT_ID_KEY.to_owned(), owner.tenant_id.to_string()),
        (INSTALLATION_KEY.to_owned(), owner.installation.clone()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn spec() -> StorageSpec {
        StorageSpec {
            owner: Owner {
                tenant_id: Uuid::from_u128(7),
                installation: "prod-eu".into(),
            },
            slug: TenantSlug::parse("acme").unwrap(),
            quota_bytes: Some(1 << 30),
            versioning: true,
        }
    }

    fn complete() -> Found {
        let spec = spec();
        Found {
            tags: Some(mark(&spec.owner)),
            policy: Some(policy::document(&spec.owner, &spec.slug.bucket())),
            user: Some(UserInfo {
                policies: vec!["tenant-acme".into()],
                enabled: true,
            }),
            versioning: true,
            quota_bytes: Some(1 << 30),
        }
    }

    fn whose(found: &Found) -> Whose {
        found.whose(&spec().owner, &spec().slug)
    }

    #[test]
    fn what_is_complete_is_ours_and_does_not_differ() {
        assert_eq!(whose(&complete()), Whose::Own);
        assert_eq!(complete().differences(&spec()), Vec::<String>::new());
        assert_eq!(whose(&Found::default()), Whose::Nobodys);
    }

    #[test]
    fn every_halfway_of_a_create_is_ours() {
        let policy = Found {
            policy: complete().policy,
            ..Found::default()
        };
        let bucket = Found {
            tags: Some(Tags::new()),
            ..policy.clone()
        };
        let tagged = Found {
            tags: complete().tags,
            ..policy.clone()
        };
        let user = Found {
            user: Some(UserInfo {
                policies: vec![],
                enabled: true,
            }),
            ..tagged.clone()
        };
        for found in [policy, bucket, tagged, user] {
            assert_eq!(whose(&found), Whose::Own, "{found:?}");
            assert!(!found.differences(&spec()).is_empty(), "{found:?}");
        }
    }

    #[test]
    fn what_others_made_is_foreign() {
        let untagged = Found {
            tags: Some(Tags::new()),
            ..Found::default()
        };
        assert_eq!(whose(&untagged), Whose::Foreign("bucket tenant-acme".into()));
        let others_tags = Tags::from([("team".to_owned(), "x".to_owned())]);
        assert_eq!(
            whose(&Found {
                tags: Some(others_tags),
                ..complete()
            }),
            Whose::Foreign("bucket tenant-acme".into())
        );
        let others_policy = Some(json!({ "Statement": [] }));
        assert_eq!(
            whose(&Found {
                policy: others_policy,
                ..complete()
            }),
            Whose::Foreign("policy tenant-acme".into())
        );
        let user = |policies: &[&str]| {
            Some(UserInfo {
                policies: policies.iter().map(ToString::to_string).collect(),
                enabled: true,
            })
        };
        for found in [
            Found {
                user: user(&["readwrite"]),
                ..complete()
            },
            Found {
                user: user(&["tenant-acme", "readwrite"]),
                ..complete()
            },
            Found {
                user: user(&[]),
                ..Found::default()
            },
        ] {
            assert_eq!(whose(&found), Whose::Foreign("user tenant-acme-a".into()), "{found:?}");
        }
    }
}
