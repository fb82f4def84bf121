//! The operator's user: users, policies and quotas of the admin API, and the buckets of tenants.
//!
//! MinIO cannot bound which policies a user may write and attach: whoever may attach policies may in the end do anything.
//! The policy names what the operator uses; it is no wall around a stolen key.

use std::time::Duration;

use anyhow::{Context as _, Result};
use plexica_operator::backends::s3::minio_admin::MinioAdmin;
use secrecy::ExposeSecret;

use crate::credentials::{Credentials, OPERATOR, S3_ROOT};
use crate::layout::{self, Layout, key};
use crate::parts::minio::{REGION, url};
use crate::wait;

/// How long its users may take to be loaded after it is healthy. Seen: up to a second.
const USERS_PATIENCE: Duration = Duration::from_secs(30);
const POLICY: &str = include_str!("operator-policy.json");

/// Makes the operator's user with its policy, unless this policy and key are what it has.
pub async fn set_up(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let marker = layout.state.join("minio-complete");
    let wanted = key(&[POLICY.as_bytes(), credentials.s3_operator.expose_secret().as_bytes()]);
    if std::fs::read_to_string(&marker).ok().as_ref() == Some(&wanted) {
        return Ok(());
    }
    let admin = MinioAdmin::new(url().parse()?, REGION, S3_ROOT, credentials.s3_root.clone())?;
    let policy = serde_json::from_str(POLICY).context("operator-policy.json is no JSON")?;
    // Healthy is not yet initialized: until its users are loaded, the admin API answers 503. Each call may be repeated.
    wait::until("MinIO's users", USERS_PATIENCE, async || {
        admin.add_canned_policy(OPERATOR, &policy).await?;
        admin.add_user(OPERATOR, &credentials.s3_operator).await?;
        Ok(admin.set_user_policy(OPERATOR, OPERATOR).await?)
    })
    .await?;
    layout::write(&marker, wanted.as_bytes())
}
