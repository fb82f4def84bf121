//! Emptying and removing a bucket: every version, delete marker and unfinished upload, a batch at a time.

use aws_sdk_s3::{
    Client,
    error::BuildError,
    types::{Delete, ObjectIdentifier},
};
use plexica_crds::names::BucketName;

use super::client::{Connector, code};
use crate::backends::{BackendError, http};

/// Objects in one deletion (the most that S3 takes).
const BATCH: i32 = 1000;

/// Whether a bucket holds nothing, old versions included.
pub(super) async fn is_empty(s3: &Client, connector: &Connector, bucket: &BucketName) -> Result<bool, BackendError> {
    let request = s3.list_object_versions().bucket(bucket.as_str()).max_keys(1);
    match request.send().await {
        Ok(page) => Ok(page.versions().is_empty() && page.delete_markers().is_empty()),
        Err(error) if code(&error) == Some("NoSuchBucket") => Ok(true),
        Err(error) => Err(connector.error(&error, &format!("the objects of bucket {bucket}"))),
    }
}

/// Removes everything in a bucket. Each batch is gone when the next begins: killed and called again, it goes on.
pub(super) async fn empty(s3: &Client, connector: &Connector, bucket: &BucketName) -> Result<(), BackendError> {
    while remove_objects(s3, connector, bucket).await? {}
    while remove_uploads(s3, connector, bucket).await? {}
    Ok(())
}

/// Removes one batch of versions and says whether there was one.
async fn remove_objects(s3: &Client, connector: &Connector, bucket: &BucketName) -> Result<bool, BackendError> {
    let what = format!("the objects of bucket {bucket}");
    let page = match s3
        .list_object_versions()
        .bucket(bucket.as_str())
        .max_keys(BATCH)
        .send()
        .await
    {
        Ok(page) => page,
        Err(error) if code(&error) == Some("NoSuchBucket") => return Ok(false),
        Err(error) => return Err(connector.error(&error, &what)),
    };
    let versions = page
        .versions()
        .iter()
        .map(|version| (version.key(), version.version_id()));
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.version_id()));
    let objects: Result<Vec<ObjectIdentifier>, BuildError> = versions
        .chain(markers)
        .filter_map(|(key, version)| Some((key?, version)))
        .map(|(key, version)| {
            ObjectIdentifier::builder()
                .key(key)
                .set_version_id(version.map(str::to_owned))
                .build()
        })
        .collect();
    let unexpected = |error: BuildError| BackendError::Unexpected(error.to_string());
    let objects = objects.map_err(unexpected)?;
    if objects.is_empty() {
        return Ok(false);
    }
    let delete = Delete::builder()
        .set_objects(Some(objects))
        .quiet(true)
        .build()
        .map_err(unexpected)?;
    let answer = s3.delete_objects().bucket(bucket.as_str()).delete(delete).send().await;
    let answer = answer.map_err(|error| connector.error(&error, &format!("the removal of {what}")))?;
    match answer.errors().first() {
        None => Ok(true),
        Some(error) => Err(BackendError::Unexpected(format!(
            "{}: {} objects of bucket {bucket} cannot be removed, the first for: {}",
            connector.system(),
            answer.errors().len(),
            http::excerpt(error.code().unwrap_or("no reason given"))
        ))),
    }
}

/// Aborts one page of unfinished uploads and says whether there was one.
async fn remove_uploads(s3: &Client, connector: &Connector, bucket: &BucketName) -> Result<bool, BackendError> {
    let what = format!("the unfinished uploads of bucket {bucket}");
    let page = match s3
        .list_multipart_uploads()
        .bucket(bucket.as_str())
        .max_uploads(BATCH)
        .send()
        .await
    {
        Ok(page) => page,
        Err(error) if code(&error) == Some("NoSuchBucket") => return Ok(false),
        Err(error) => return Err(connector.error(&error, &what)),
    };
    for upload in page.uploads() {
        let request = s3
            .abort_multipart_upload()
            .bucket(bucket.as_str())
            .set_key(upload.key.clone())
            .set_upload_id(upload.upload_id.clone());
        match request.send().await {
            Ok(_) => {}
            Err(error) if code(&error) == Some("NoSuchUpload") => {}
            Err(error) => return Err(connector.error(&error, &format!("the end of {what}"))),
        }
    }
    Ok(!page.uploads().is_empty())
}

/// Removes an empty bucket.
pub(super) async fn remove(s3: &Client, connector: &Connector, bucket: &BucketName) -> Result<(), BackendError> {
    match s3.delete_bucket().bucket(bucket.as_str()).send().await {
        Ok(_) => Ok(()),
        Err(error) => match code(&error) {
            Some("NoSuchBucket") => Ok(()),
            Some("BucketNotEmpty") => Err(BackendError::Unavailable(format!(
                "{}: somebody writes to bucket {bucket} while it is removed",
                connector.system()
            ))),
            _ => Err(connector.error(&error, &format!("the removal of bucket {bucket}"))),
        },
    }
}
