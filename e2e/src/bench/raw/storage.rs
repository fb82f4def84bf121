//! A bucket, a policy for it alone and a user that has it.

use anyhow::Result;
use plexica_crds::names::TenantSlug;
use plexica_operator::backends::s3::minio_admin::MinioAdmin;
use serde_json::json;

use crate::{layout::hex, parts::minio::REGION, stack::Stack, suite::observe::minio::Minio};

/// Buckets, made and removed by the operator's user.
pub struct Storage {
    minio: Minio,
    admin: MinioAdmin,
}

impl Storage {
    pub fn new(stack: &Stack) -> Result<Self> {
        let account = stack.s3_operator();
        Ok(Self {
            minio: Minio::operator(stack)?,
            admin: MinioAdmin::new(stack.s3_url().parse()?, REGION, account.name, account.secret)?,
        })
    }

    /// Makes what a tenant has: four requests.
    pub async fn create(&self, slug: &TenantSlug) -> Result<()> {
        let (bucket, [user, _]) = (slug.bucket(), slug.storage_users());
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": ["s3:*"],
            "Resource": [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")],
        }] });
        let secret = hex(&rand::random::<[u8; 20]>()).into();
        self.minio.make_bucket(bucket.as_str()).await?;
        self.admin.add_canned_policy(bucket.as_str(), &policy).await?;
        self.admin.add_user(user.as_str(), &secret).await?;
        Ok(self.admin.set_user_policy(user.as_str(), bucket.as_str()).await?)
    }

    /// Removes what there is of it.
    pub async fn remove(&self, slug: &TenantSlug) -> Result<()> {
        let (bucket, [user, _]) = (slug.bucket(), slug.storage_users());
        self.admin.remove_user(user.as_str()).await?;
        self.admin.remove_canned_policy(bucket.as_str()).await?;
        self.minio.remove_bucket(bucket.as_str()).await
    }
}
