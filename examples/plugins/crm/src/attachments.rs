//! The tenant's bucket: one object for each deal, below the plugin's own prefix.
//!
//! URLs are signed by rusty-s3 and asked by the HTTP client at hand; they never leave the process.

use std::time::Duration;

use axum::body::Bytes;
use plexica_plugin_kit::environment::{Incomplete, Storage};
use plexica_plugin_kit::{Plugin, Problem};
use reqwest::{Client, StatusCode, header};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// How long a signed URL counts: it is used at once.
const SIGNED_FOR: Duration = Duration::from_mins(1);

/// Attachments of deals.
#[derive(Clone, Debug)]
pub struct Attachments {
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    client: Client,
}

impl Attachments {
    /// The attachments in the tenant's bucket.
    ///
    /// # Errors
    /// When the environment has none, or its address is none of a store.
    pub fn new(plugin: &Plugin) -> Result<Self, Incomplete> {
        let storage = plugin.environment.storage.clone();
        let Storage {
            endpoint,
            region,
            bucket,
            access_key_id,
            secret_access_key,
        } = storage.ok_or_else(|| Incomplete::because("S3_BUCKET is not set, and attachments need a bucket"))?;
        Ok(Self {
            // Path style, as the platform's stores speak it: a bucket needs no host name of its own.
            bucket: Bucket::new(endpoint, UrlStyle::Path, bucket, region)
                .map_err(|_| Incomplete::because("S3_ENDPOINT is no address of a store"))?,
            credentials: Credentials::new(access_key_id, secret_access_key.expose_secret()),
            prefix: format!("plugins/{}/deals", plugin.environment.plugin),
            client: plugin.http.clone(),
        })
    }

    fn key(&self, deal: Uuid) -> String {
        format!("{}/{deal}/attachment", self.prefix)
    }

    /// Stores the attachment of a deal in place of what was there.
    ///
    /// # Errors
    /// 503 when the store does not take it.
    pub async fn put(&self, deal: Uuid, content: Bytes) -> Result<(), Problem> {
        let key = self.key(deal);
        let url = self.bucket.put_object(Some(&self.credentials), &key).sign(SIGNED_FOR);
        // An empty body would be sent without its length, which the store wants.
        let request = self.client.put(url).header(header::CONTENT_LENGTH, content.len());
        let answer = request.body(content).send().await.map_err(unavailable)?;
        answer.error_for_status().map_err(unavailable)?;
        Ok(())
    }

    /// The attachment of a deal, if there is one.
    ///
    /// # Errors
    /// 503 when the store does not give it.
    pub async fn get(&self, deal: Uuid) -> Result<Option<Bytes>, Problem> {
        let key = self.key(deal);
        let url = self.bucket.get_object(Some(&self.credentials), &key).sign(SIGNED_FOR);
        let answer = self.client.get(url).send().await.map_err(unavailable)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let found = answer.error_for_status().map_err(unavailable)?.bytes().await;
        found.map(Some).map_err(unavailable)
    }

    /// Removes the attachment of a deal; none is as good.
    ///
    /// # Errors
    /// 503 when the store does not do it.
    pub async fn remove(&self, deal: Uuid) -> Result<(), Problem> {
        let key = self.key(deal);
        let url = self
            .bucket
            .delete_object(Some(&self.credentials), &key)
            .sign(SIGNED_FOR);
        let answer = self.client.delete(url).send().await.map_err(unavailable)?;
        answer.error_for_status().map_err(unavailable)?;
        Ok(())
    }
}

/// The URL is left out: its signature is as good as the key for a minute.
fn unavailable(error: reqwest::Error) -> Problem {
    Problem::unavailable("the store", &error.without_url())
}
