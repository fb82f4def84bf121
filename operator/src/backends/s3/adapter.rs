//! The port, spoken to a real MinIO.

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    types::{BucketVersioningStatus, Tag, Tagging, VersioningConfiguration},
};
use plexica_crds::{
    names::{BucketName, StorageUser, TenantSlug},
    ownership::Owner,
};
use secrecy::SecretString;
use url::Url;

use super::{
    StorageBackend, StorageEndpoint, StorageSpec, StorageState,
    client::{Connector, code},
    emptying,
    found::{CREDENTIAL_KEY, Found, Tags, Whose, mark},
    isolation,
    minio_admin::MinioAdmin,
    policy,
};
use crate::backends::{BackendError, Breaches, Credential, Observed};

/// One MinIO and the operator's account there.
#[derive(Debug, Clone)]
pub struct MinioConfig {
    /// Base URL, for the operator and for tenants.
    pub endpoint: Url,
    /// Region to sign for.
    pub region: String,
    /// The operator's user.
    pub access_key_id: String,
    /// Its secret key.
    pub secret_access_key: SecretString,
}

/// Buckets, users and policies of one MinIO.
pub struct MinioBackend {
    connector: Connector,
    s3: Client,
    admin: MinioAdmin,
}

impl MinioBackend {
    /// A backend that connects when first used.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn connect(config: MinioConfig) -> Result<Self, BackendError> {
        let MinioConfig {
            endpoint,
            region,
            access_key_id,
            secret_access_key,
        } = config;
        let connector = Connector::new(endpoint.clone(), region.clone())?;
        let s3 = connector.client(&access_key_id, &secret_access_key);
        let admin = MinioAdmin::new(endpoint, &region, &access_key_id, secret_access_key)?;
        Ok(Self { connector, s3, admin })
    }

    /// Bucket, policy and active user, without settings: three requests at once.
    async fn look(&self, slug: &TenantSlug) -> Result<Found, BackendError> {
        let [active, _] = slug.storage_users();
        let policy = policy::name(slug);
        let (tags, policy, user) = futures::try_join!(
            self.tags(slug),
            self.admin.info_canned_policy(policy.as_str()),
            self.admin.user_info(active.as_str()),
        )?;
        Ok(Found {
            tags,
            policy,
            user,
            ..Found::default()
        })
    }

    /// The same with the bucket's settings: five requests at once.
    async fn look_closely(&self, slug: &TenantSlug) -> Result<Found, BackendError> {
        let bucket = slug.bucket();
        let (found, versioning, quota_bytes) = futures::try_join!(
            self.look(slug),
            self.versioning(slug),
            self.admin.get_bucket_quota(bucket.as_str())
        )?;
        Ok(Found {
            versioning,
            quota_bytes,
            ..found
        })
    }

    async fn tags(&self, slug: &TenantSlug) -> Result<Option<Tags>, BackendError> {
        let bucket = slug.bucket();
        match self.s3.get_bucket_tagging().bucket(bucket.as_str()).send().await {
            Ok(answer) => Ok(Some(
                answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            )),
            Err(error) => match code(&error) {
                Some("NoSuchBucket") => Ok(None),
                // MinIO says so of buckets that do not exist, too.
                Some("NoSuchTagSet") => Ok(self.exists(&bucket).await?.then(Tags::new)),
                _ => Err(self.connector.error(&error, &format!("the tags of bucket {bucket}"))),
            },
        }
    }

    async fn exists(&self, bucket: &BucketName) -> Result<bool, BackendError> {
        match self.s3.head_bucket().bucket(bucket.as_str()).send().await {
            Ok(_) => Ok(true),
            // An answer to HEAD has no body, and so no code.
            Err(error)
                if error
                    .raw_response()
                    .is_some_and(|response| response.status().as_u16() == 404) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.connector.error(&error, &format!("bucket {bucket}"))),
        }
    }

    async fn versioning(&self, slug: &TenantSlug) -> Result<bool, BackendError> {
        let bucket = slug.bucket();
        match self.s3.get_bucket_versioning().bucket(bucket.as_str()).send().await {
            Ok(answer) => Ok(answer.status == Some(BucketVersioningStatus::Enabled)),
            Err(error) if code(&error) == Some("NoSuchBucket") => Ok(false),
            Err(error) => Err(self
                .connector
                .error(&error, &format!("the versioning of bucket {bucket}"))),
        }
    }

    async fn converge(&self, spec: &StorageSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        let found = self.look_closely(&spec.slug).await?;
        if let Whose::Foreign(what) = found.whose(&spec.owner, &spec.slug) {
            return Err(BackendError::Foreign(what));
        }
        // The mark first: what is made after it is recognised whenever the operator is killed.
        let wanted = policy::document(&spec.owner, &spec.slug.bucket());
        if !found
            .policy
            .as_ref()
            .is_some_and(|policy| policy::same(policy, &wanted))
        {
            self.admin
                .add_canned_policy(policy::name(&spec.slug).as_str(), &wanted)
                .await?;
        }
        if found.tags.is_none() {
            self.make_bucket(spec, &found).await?;
        }
        self.tag(spec, &found, credential).await?;
        // One write to a bucket at a time: MinIO reads, changes and writes back all of its metadata without a lock, so
        // of two at once (tags, versioning, quota) one is lost (`BucketMetadataSys.updateAndParse`; seen).
        let settings = async {
            self.set_versioning(spec, &found).await?;
            self.set_quota(spec, &found).await
        };
        futures::try_join!(settings, self.converge_user(spec, &found, credential))?;
        Ok(())
    }

    async fn make_bucket(&self, spec: &StorageSpec, found: &Found) -> Result<(), BackendError> {
        let bucket = spec.slug.bucket();
        let Err(error) = self.s3.create_bucket().bucket(bucket.as_str()).send().await else {
            return Ok(());
        };
        if !matches!(code(&error), Some("BucketAlreadyOwnedByYou" | "BucketAlreadyExists")) {
            return Err(self.connector.error(&error, &format!("a new bucket {bucket}")));
        }
        // Somebody was faster. Beside our policy the bucket would look like ours made halfway.
        if found.policy.is_none() && found.user.is_none() {
            self.admin
                .remove_canned_policy(policy::name(&spec.slug).as_str())
                .await?;
        }
        Err(BackendError::Foreign(format!("bucket {bucket}")))
    }

    /// Writes mark and credential id where they are not there, beside the tags of others. The id is written before the
    /// key: killed in between, the operator finds an id that no Secret has, and makes a new credential.
    async fn tag(
        &self,
        spec: &StorageSpec,
        found: &Found,
        credential: Option<&Credential>,
    ) -> Result<(), BackendError> {
        let bucket = spec.slug.bucket();
        let present = found.tags.clone().unwrap_or_default();
        let mut wanted = present.clone();
        wanted.extend(mark(&spec.owner));
        if let Some(credential) = credential {
            wanted.insert(CREDENTIAL_KEY.to_owned(), credential.id.clone());
        }
        if wanted == present {
            return Ok(());
        }
        if found.bucket_is_half_made(&spec.owner) && !emptying::is_empty(&self.s3, &self.connector, &bucket).await? {
            return Err(BackendError::Foreign(format!("bucket {bucket}")));
        }
        let unexpected = |error: aws_sdk_s3::error::BuildError| BackendError::Unexpected(error.to_string());
        let tags: Result<Vec<Tag>, _> = wanted
            .into_iter()
            .map(|(key, value)| Tag::builder().key(key).value(value).build())
            .collect();
        let tagging = Tagging::builder()
            .set_tag_set(Some(tags.map_err(unexpected)?))
            .build()
            .map_err(unexpected)?;
        let request = self.s3.put_bucket_tagging().bucket(bucket.as_str()).tagging(tagging);
        request
            .send()
            .await
            .map_err(|error| self.connector.error(&error, &format!("new tags of bucket {bucket}")))?;
        Ok(())
    }

    async fn set_versioning(&self, spec: &StorageSpec, found: &Found) -> Result<(), BackendError> {
        if found.versioning == spec.versioning {
            return Ok(());
        }
        let bucket = spec.slug.bucket();
        let status = if spec.versioning {
            BucketVersioningStatus::Enabled
        } else {
            BucketVersioningStatus::Suspended
        };
        let configuration = VersioningConfiguration::builder().status(status).build();
        let request = self
            .s3
            .put_bucket_versioning()
            .bucket(bucket.as_str())
            .versioning_configuration(configuration);
        request
            .send()
            .await
            .map_err(|error| self.connector.error(&error, &format!("versioning of bucket {bucket}")))?;
        Ok(())
    }

    async fn set_quota(&self, spec: &StorageSpec, found: &Found) -> Result<(), BackendError> {
        if found.quota_bytes == spec.quota_bytes {
            return Ok(());
        }
        self.admin
            .set_bucket_quota(spec.slug.bucket().as_str(), spec.quota_bytes)
            .await
    }

    async fn converge_user(
        &self,
        spec: &StorageSpec,
        found: &Found,
        credential: Option<&Credential>,
    ) -> Result<(), BackendError> {
        let [active, _] = spec.slug.storage_users();
        match (credential, &found.user) {
            (Some(credential), _) => self.admin.add_user(active.as_str(), &credential.secret).await?,
            (None, Some(user)) if !user.enabled => {
                self.admin.set_user_status(active.as_str(), true).await?;
            }
            (None, Some(_)) => {}
            (None, None) => return Ok(()),
        }
        if found.user.as_ref().is_some_and(|user| !user.policies.is_empty()) {
            return Ok(());
        }
        self.admin
            .set_user_policy(active.as_str(), policy::name(&spec.slug).as_str())
            .await
    }

    /// Those of the tenant's users that exist and are ours, with whether they are enabled.
    async fn own_users(
        &self,
        found: &Found,
        owner: &Owner,
        slug: &TenantSlug,
    ) -> Result<Vec<(StorageUser, bool)>, BackendError> {
        let [active, spare] = slug.storage_users();
        let spare_info = self.admin.user_info(spare.as_str()).await?;
        let users = [(active, found.user.clone()), (spare, spare_info)];
        let own = users.into_iter().filter_map(|(name, info)| {
            let info = info.filter(|info| found.user_is_ours(info, owner, slug))?;
            Some((name, info.enabled))
        });
        Ok(own.collect())
    }
}

#[async_trait]
impl StorageBackend for MinioBackend {
    async fn observe(&self, spec: &StorageSpec) -> Result<Observed<StorageState>, BackendError> {
        let found = self.look_closely(&spec.slug).await?;
        Ok(match found.whose(&spec.owner, &spec.slug) {
            Whose::Nobodys => Observed::Absent,
            Whose::Foreign(what) => Observed::Foreign(what),
            Whose::Own => Observed::Present(StorageState {
                differences: found.differences(spec),
                credential_id: found.credential_id(),
            }),
        })
    }

    async fn create(&self, spec: &StorageSpec, credential: &Credential) -> Result<(), BackendError> {
        self.converge(spec, Some(credential)).await
    }

    async fn update(&self, spec: &StorageSpec, credential: Option<&Credential>) -> Result<(), BackendError> {
        self.converge(spec, credential).await
    }

    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let found = self.look(slug).await?;
        for (user, enabled) in self.own_users(&found, owner, slug).await? {
            if enabled {
                self.admin.set_user_status(user.as_str(), false).await?;
            }
        }
        Ok(())
    }

    /// Users first, so that nothing is written while the bucket is emptied; the policy, which marks what lost its
    /// tags, last.
    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        let found = self.look(slug).await?;
        for (user, _) in self.own_users(&found, owner, slug).await? {
            self.admin.remove_user(user.as_str()).await?;
        }
        let bucket = slug.bucket();
        if found.bucket_is_ours(owner) {
            emptying::empty(&self.s3, &self.connector, &bucket).await?;
            emptying::remove(&self.s3, &self.connector, &bucket).await?;
        } else if found.bucket_is_half_made(owner) && emptying::is_empty(&self.s3, &self.connector, &bucket).await? {
            emptying::remove(&self.s3, &self.connector, &bucket).await?;
        }
        if found.policy_is_ours(owner) {
            self.admin.remove_canned_policy(policy::name(slug).as_str()).await?;
        }
        Ok(())
    }

    async fn accepts(
        &self,
        slug: &TenantSlug,
        access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<bool, BackendError> {
        let tenant = self.connector.client(access_key_id, secret_access_key);
        isolation::accepts(&tenant, &self.connector, slug).await
    }

    async fn verify_isolation(
        &self,
        slug: &TenantSlug,
        access_key_id: &str,
        secret_access_key: &SecretString,
    ) -> Result<Breaches, BackendError> {
        let tenant = self.connector.client(access_key_id, secret_access_key);
        // Five requests at once make a large future.
        Box::pin(isolation::verify(&tenant, &self.s3, &self.connector, slug)).await
    }

    fn endpoint(&self) -> StorageEndpoint {
        StorageEndpoint {
            endpoint: self.connector.endpoint.clone(),
            region: self.connector.region.clone(),
        }
    }
}
