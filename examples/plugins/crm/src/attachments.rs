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
            prefix: format!("plugins/{}/deals", plugin.environment.release.plugin),
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Request, State};
    use axum::http::{Method, StatusCode};
    use plexica_plugin_kit::serve::drain::Times;
    use plexica_plugin_kit::testing::{Issuer, serve};
    use serde_json::json;

    use super::*;

    /// What the store was asked: method, path with query, length.
    type Asked = Arc<Mutex<Vec<(Method, String, Option<String>)>>>;

    async fn store(State(asked): State<Asked>, request: Request) -> StatusCode {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.map(|length| length.to_str().unwrap().to_owned());
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        let status = if method == Method::GET {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        };
        asked.lock().unwrap().push((method, uri, length));
        status
    }

    async fn attachments() -> (Attachments, Asked) {
        let asked = Asked::default();
        let address = serve(Router::new().fallback(store).with_state(Arc::clone(&asked))).await;
        let variables = [
            ("S3_ENDPOINT", format!("http://{address}")),
            ("S3_REGION", "eu-west-1".into()),
            ("S3_BUCKET", "tenant-acme-corp".into()),
            ("S3_ACCESS_KEY_ID", "tenant-acme-corp-a".into()),
            ("S3_SECRET_ACCESS_KEY", "sesame".into()),
        ];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let environment = Issuer::start().await.environment("crm", json!({}), &variables);
        let plugin = Plugin::new(environment, Times::default()).unwrap();
        (Attachments::new(&plugin).unwrap(), asked)
    }

    #[tokio::test]
    async fn an_attachment_is_an_object_below_the_plugins_prefix() {
        let (attachments, asked) = attachments().await;
        attachments.put(Uuid::nil(), Bytes::new()).await.unwrap();
        assert_eq!(attachments.get(Uuid::nil()).await.unwrap(), None);
        attachments.remove(Uuid::nil()).await.unwrap();
        let asked = asked.lock().unwrap();
        let methods: Vec<_> = asked.iter().map(|(method, ..)| method.as_str()).collect();
        assert_eq!(methods, ["PUT", "GET", "DELETE"]);
        let path = format!("/tenant-acme-corp/plugins/crm/deals/{}/attachment?", Uuid::nil());
        assert!(
            asked
                .iter()
                .all(|(_, uri, _)| uri.starts_with(&path) && uri.contains("X-Amz-Signature="))
        );
        assert_eq!(
            asked[0].2.as_deref(),
            Some("0"),
            "the store wants the length of nothing too"
        );
    }

    #[tokio::test]
    async fn a_store_that_is_gone_is_told_without_its_url() {
        let (attachments, _) = attachments().await;
        let gone = Bucket::new("http://127.0.0.1:1".parse().unwrap(), UrlStyle::Path, "b", "eu-west-1").unwrap();
        let gone = Attachments {
            bucket: gone,
            ..attachments
        };
        let problem = gone.get(Uuid::nil()).await.unwrap_err();
        assert_eq!(problem.status(), 503);
        assert!(!format!("{problem:?}").contains("Signature"));
    }
}
