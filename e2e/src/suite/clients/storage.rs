//! Object storage, as a tenant and as root.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use aws_sdk_s3::{
    Client,
    config::{Credentials, Region},
    error::{ProvideErrorMetadata, SdkError},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use plexica_operator::backends::s3::minio_admin::MinioAdmin;
use secrecy::ExposeSecret;

use crate::{stack::Account, suite::env::Env};

/// Secret with a tenant's storage credentials.
pub const SECRET: &str = "plexica-storage";
/// Region of the stack's server.
const REGION: &str = "us-east-1";

/// A client with a user's key.
pub fn client(env: &Env, access_key_id: &str, secret_access_key: &str) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version_latest()
        .endpoint_url(env.stack.s3_url())
        .region(Region::new(REGION))
        .force_path_style(true)
        .credentials_provider(Credentials::new(
            access_key_id,
            secret_access_key,
            None,
            None,
            "plexica-e2e",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// A client with the key of a tenant's Secret.
pub fn login(env: &Env, secret: &BTreeMap<String, String>) -> Client {
    let value = |key: &str| secret.get(key).map_or("", String::as_str);
    client(env, value("accessKeyId"), value("secretAccessKey"))
}

/// A client with the key that a tenant's Secret holds now.
pub async fn of_tenant(env: &Env, tenant: &str) -> Result<Client> {
    Ok(login(env, &env.secret(tenant, SECRET).await?))
}

/// A client of root.
pub fn root(env: &Env) -> Client {
    let Account { name, secret } = env.stack.s3_root();
    client(env, name, secret.expose_secret())
}

/// The admin API, as root.
pub fn admin(env: &Env) -> Result<MinioAdmin> {
    let Account { name, secret } = env.stack.s3_root();
    Ok(MinioAdmin::new(env.stack.s3_url().parse()?, REGION, name, secret)?)
}

/// Writes an object.
pub async fn put(client: &Client, bucket: &str, key: &str, text: &str) -> Result<()> {
    let body = text.as_bytes().to_vec().into();
    client.put_object().bucket(bucket).key(key).body(body).send().await?;
    Ok(())
}

/// An object's content.
pub async fn get(client: &Client, bucket: &str, key: &str) -> Result<String> {
    let object = client.get_object().bucket(bucket).key(key).send().await?;
    Ok(String::from_utf8(object.body.collect().await?.to_vec())?)
}

/// Names of the buckets that the key shows.
pub async fn buckets(client: &Client) -> Result<Vec<String>> {
    let list = client.list_buckets().send().await?;
    Ok(list
        .buckets()
        .iter()
        .filter_map(|bucket| bucket.name())
        .map(str::to_owned)
        .collect())
}

/// Whether there is such a bucket, as root sees it.
pub async fn exists(env: &Env, bucket: &str) -> Result<bool> {
    Ok(buckets(&root(env)).await?.iter().any(|found| found == bucket))
}

/// Fails unless the answer is an error with one of these codes.
pub fn refused<T, E>(what: &str, result: Result<T, SdkError<E>>, codes: &[&str]) -> Result<()>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => bail!("{what} was not refused"),
        Err(error) => {
            let code = error.code().unwrap_or("none");
            ensure!(
                codes.contains(&code),
                "{what} was refused with {code}, not {codes:?}: {error:?}"
            );
            Ok(())
        }
    }
}

/// Makes a bucket keep former versions.
pub async fn keep_versions(client: &Client, bucket: &str) -> Result<()> {
    let enabled = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    let request = client.put_bucket_versioning().bucket(bucket);
    request.versioning_configuration(enabled).send().await?;
    Ok(())
}

/// Removes a bucket with everything in it, versions included; that there is none is success.
pub async fn remove_bucket(env: &Env, bucket: &str) -> Result<()> {
    if !exists(env, bucket).await? {
        return Ok(());
    }
    let root = root(env);
    // Tests put no thousand objects anywhere: one page.
    let list = root.list_object_versions().bucket(bucket).send().await?;
    let versions = list.versions().iter().map(|found| (found.key(), found.version_id()));
    let markers = list
        .delete_markers()
        .iter()
        .map(|found| (found.key(), found.version_id()));
    for (key, version) in versions.chain(markers) {
        root.delete_object()
            .bucket(bucket)
            .set_key(key.map(str::to_owned))
            .set_version_id(version.map(str::to_owned))
            .send()
            .await?;
    }
    root.delete_bucket().bucket(bucket).send().await?;
    Ok(())
}
