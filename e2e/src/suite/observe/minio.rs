//! MinIO as its root user or a tenant sees it: plain requests, signed by hand.
//!
//! The operator's own client is not used for what the tests count: a fault of it must not hide from them.
//! Signature: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use plexica_operator::backends::s3::madmin_envelope;
use reqwest::{Client, Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use url::Url;

use crate::{layout::hex, parts::minio::REGION, stack::Stack};

/// HMAC's block of SHA-256.
const BLOCK: usize = 64;

/// MinIO, as one of its users.
#[derive(Clone)]
pub struct Minio {
    http: Client,
    endpoint: Url,
    user: String,
    secret: SecretString,
}

impl Minio {
    /// As the user with this key.
    pub fn new(stack: &Stack, user: &str, secret: SecretString) -> Result<Self> {
        Ok(Self {
            // No timeout: a trace lasts as long as it is read.
            http: Client::builder().no_proxy().build()?,
            endpoint: stack.s3_url().parse()?,
            user: user.to_owned(),
            secret,
        })
    }

    /// As root.
    pub fn root(stack: &Stack) -> Result<Self> {
        let account = stack.s3_root();
        Self::new(stack, account.name, account.secret)
    }

    /// As the operator.
    pub fn operator(stack: &Stack) -> Result<Self> {
        let account = stack.s3_operator();
        Self::new(stack, account.name, account.secret)
    }

    /// Sends a signed request. Path and query hold only characters that need no escaping.
    pub async fn send(&self, method: Method, path: &str, query: &str, body: &'static [u8]) -> Result<Response> {
        let mut url = self.endpoint.clone();
        url.set_path(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        let time = strtime::format("%Y%m%dT%H%M%SZ", &now)?;
        let hash = hex(&Sha256::digest(body));
        let request = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{hash}\nx-amz-date:{time}\n\n{SIGNED}\n{hash}"
        );
        let authorization = self.authorization(&request, &time);
        self.http
            .request(method, url)
            .header("authorization", authorization)
            .header("x-amz-content-sha256", hash)
            .header("x-amz-date", time)
            .body(body)
            .send()
            .await
            .context("MinIO does not answer")
    }

    fn authorization(&self, canonical_request: &str, time: &str) -> String {
        let scope = format!("{}/{REGION}/s3/aws4_request", &time[..8]);
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex(&Sha256::digest(canonical_request))
        );
        let first = format!("AWS4{}", self.secret.expose_secret());
        let key = scope
            .split('/')
            .fold(first.into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
        let signature = hex(&hmac(&key, text.as_bytes()));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, Signature={signature}",
            self.user
        )
    }

    async fn bytes(&self, method: Method, path: &str, body: &'static [u8]) -> Result<Vec<u8>> {
        let response = self.send(method.clone(), path, "", body).await?;
        let status = response.status();
        let bytes = response.bytes().await?.to_vec();
        ensure!(
            status.is_success(),
            "MinIO answers {status} to {method} {path} of {}: {}",
            self.user,
            String::from_utf8_lossy(&bytes)
        );
        Ok(bytes)
    }

    /// Names of the buckets that the user sees.
    pub async fn buckets(&self) -> Result<BTreeSet<String>> {
        let xml = String::from_utf8(self.bytes(Method::GET, "/", b"").await?)?;
        let names = xml.split("<Name>").skip(1).filter_map(|rest| rest.split('<').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Names of all users, as root.
    pub async fn users(&self) -> Result<BTreeSet<String>> {
        let sealed = self.bytes(Method::GET, "/minio/admin/v3/list-users", b"").await?;
        let plain = madmin_envelope::decrypt(self.secret.expose_secret().as_bytes(), &sealed)?;
        Ok(keys(serde_json::from_slice(&plain)?))
    }

    /// Names of all policies, as root; those that MinIO brings along too.
    pub async fn policies(&self) -> Result<BTreeSet<String>> {
        let all = self
            .bytes(Method::GET, "/minio/admin/v3/list-canned-policies", b"")
            .await?;
        Ok(keys(serde_json::from_slice(&all)?))
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, bucket: &str) -> Result<()> {
        self.bytes(Method::PUT, &format!("/{bucket}"), b"").await.map(drop)
    }

    /// Removes an empty bucket; that it is not there is fine.
    pub async fn remove_bucket(&self, bucket: &str) -> Result<()> {
        let status = self
            .send(Method::DELETE, &format!("/{bucket}"), "", b"")
            .await?
            .status();
        ensure!(
            status.is_success() || status == reqwest::StatusCode::NOT_FOUND,
            "MinIO answers {status} to the removal of bucket {bucket}"
        );
        Ok(())
    }

    /// Begins to record all requests that MinIO answers, as root; complete once this returns.
    pub async fn trace(&self) -> Result<Trace> {
        let path = "/minio/admin/v3/trace";
        let mut response = self.send(Method::GET, path, "internal=true&s3=true", b"").await?;
        ensure!(
            response.status().is_success(),
            "MinIO refuses a trace: {}",
            response.status()
        );
        // The first byte comes after the subscription: a blank, once a second.
        response.chunk().await?.context("MinIO ended the trace")?;
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(async move {
            let mut bytes = vec![];
            loop {
                tokio::select! {
                    chunk = response.chunk() => match chunk? {
                        Some(chunk) => bytes.extend_from_slice(&chunk),
                        None => anyhow::bail!("MinIO ended the trace"),
                    },
                    _ = &mut end => break,
                }
            }
            let entries = serde_json::Deserializer::from_slice(&bytes).into_iter::<Entry>();
            entries
                // The last one may be cut off: it was being written when the recording ended.
                .take_while(|entry| !entry.as_ref().is_err_and(serde_json::Error::is_eof))
                .map(|entry| Ok(entry?.http.request))
                .collect()
        });
        Ok(Trace { ended, reader })
    }
}

/// Headers that the signature covers.
const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

fn keys(object: Map<String, Value>) -> BTreeSet<String> {
    object.into_iter().map(|(key, _)| key).collect()
}

/// HMAC-SHA256: RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner);
    outer.finalize().into()
}

/// A recording of requests.
pub struct Trace {
    ended: tokio::sync::oneshot::Sender<()>,
    reader: JoinHandle<Result<Vec<Request>>>,
}

impl Trace {
    /// Ends the recording.
    pub async fn end(self) -> Result<Vec<Request>> {
        // An error says that the reader has failed already; its error follows.
        let _ = self.ended.send(());
        self.reader.await?
    }
}

/// madmin `TraceInfo`, as far as it is needed here.
#[derive(Deserialize)]
struct Entry {
    http: Http,
}

#[derive(Deserialize)]
struct Http {
    request: Request,
}

/// A request that MinIO answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Query without `?`.
    #[serde(default, rename = "rawquery")]
    pub query: String,
    /// Address that it came from.
    pub client: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let short = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex(&short),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(
            hex(&long),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
