//! MinIO's admin API, as far as users, policies and quotas go.
//!
//! Requests are signed like those of S3 (Signature Version 4); bodies that hold a secret travel in madmin's
//! [envelope](super::madmin_envelope). Removing what is not there is success, asking for it gives `None`.
//! Source: github.com/minio/minio `cmd/admin-router.go`, `cmd/admin-handlers-users.go`, `cmd/admin-bucket-handlers.go`.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::madmin_envelope;
use crate::backends::{BackendError, http};

/// Envelopes sealed at once by this process: each takes 64 MiB and a core.
static ENVELOPES: Semaphore = Semaphore::const_new(2);

/// A user as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// Names of the policies attached to the user.
    pub policies: Vec<String>,
    /// Whether its key is accepted.
    pub enabled: bool,
}

/// A client of the admin API of one server, acting as one of its users.
#[derive(Clone)]
pub struct MinioAdmin {
    http: Client,
    endpoint: Url,
    region: String,
    access_key_id: String,
    secret_key: SecretString,
}

/// An answer with a status that is no success.
struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

/// The JSON in which the admin API puts errors.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

impl MinioAdmin {
    /// A client that acts as the user `access_key_id`. Connects to nothing yet.
    pub fn new(
        endpoint: Url,
        region: &str,
        access_key_id: &str,
        secret_key: SecretString,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            http: http::client()?,
            endpoint,
            region: region.to_owned(),
            access_key_id: access_key_id.to_owned(),
            secret_key,
        })
    }

    /// Makes a user, enabled, or gives an existing one this secret key and enables it.
    pub async fn add_user(&self, user: &str, secret_key: &SecretString) -> Result<(), BackendError> {
        let body = self
            .seal(json!({ "secretKey": secret_key.expose_secret(), "status": "enabled" }))
            .await?;
        self.expect(Method::PUT, "add-user", &[("accessKey", user)], body)
            .await?;
        Ok(())
    }

    /// Enables or disables a user. Gives `false` if there is no such user.
    pub async fn set_user_status(&self, user: &str, enabled: bool) -> Result<bool, BackendError> {
        let status = if enabled { "enabled" } else { "disabled" };
        let query = [("accessKey", user), ("status", status)];
        Ok(self
            .unless_absent(Method::PUT, "set-user-status", &query, Vec::new())
            .await?
            .is_some())
    }

    /// What the server knows of a user; `None` if there is no such user.
    pub async fn user_info(&self, user: &str) -> Result<Option<UserInfo>, BackendError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            #[serde(default)]
            policy_name: String,
            status: String,
        }
        let Some(bytes) = self
            .unless_absent(Method::GET, "user-info", &[("accessKey", user)], Vec::new())
            .await?
        else {
            return Ok(None);
        };
        let Body { policy_name, status } = self.parse(&bytes)?;
        let policies = policy_name
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        Ok(Some(UserInfo {
            policies: policies.collect(),
            enabled: status == "enabled",
        }))
    }

    /// Removes a user and its attachments.
    pub async fn remove_user(&self, user: &str) -> Result<(), BackendError> {
        self.unless_absent(Method::DELETE, "remove-user", &[("accessKey", user)], Vec::new())
            .await?;
        Ok(())
    }

    /// Makes or replaces a policy.
    pub async fn add_canned_policy(&self, name: &str, policy: &Value) -> Result<(), BackendError> {
        self.expect(
            Method::PUT,
            "add-canned-policy",
            &[("name", name)],
            policy.to_string().into_bytes(),
        )
        .await?;
        Ok(())
    }

    /// A policy's document; `None` if there is no such policy.
    pub async fn info_canned_policy(&self, name: &str) -> Result<Option<Value>, BackendError> {
        let query = [("name", name), ("v", "2")];
        let Some(bytes) = self
            .unless_absent(Method::GET, "info-canned-policy", &query, Vec::new())
            .await?
        else {
            return Ok(None);
        };
        let info: Value = self.parse(&bytes)?;
        Ok(info.get("Policy").cloned())
    }

    /// Removes a policy; refused by the server while a user has it.
    pub async fn remove_canned_policy(&self, name: &str) -> Result<(), BackendError> {
        self.unless_absent(Method::DELETE, "remove-canned-policy", &[("name", name)], Vec::new())
            .await?;
        Ok(())
    }

    /// Makes this policy the one that a user has.
    pub async fn set_user_policy(&self, user: &str, policy: &str) -> Result<(), BackendError> {
        let query = [("isGroup", "false"), ("policyName", policy), ("userOrGroup", user)];
        self.expect(Method::PUT, "set-user-or-group-policy", &query, Vec::new())
            .await?;
        Ok(())
    }

    /// Limits a bucket's size in bytes, or lifts the limit.
    pub async fn set_bucket_quota(&self, bucket: &str, bytes: Option<u64>) -> Result<(), BackendError> {
        let size = bytes.unwrap_or(0);
        // A type beside a size of 0 is refused; both names of the size are read, by versions.
        let body = match bytes {
            Some(_) => json!({ "quota": size, "size": size, "quotatype": "hard" }),
            None => json!({ "quota": 0, "size": 0 }),
        };
        self.expect(
            Method::PUT,
            "set-bucket-quota",
            &[("bucket", bucket)],
            body.to_string().into_bytes(),
        )
        .await?;
        Ok(())
    }

    /// A bucket's limit in bytes; `None` if it has none, or if there is no such bucket.
    pub async fn get_bucket_quota(&self, bucket: &str) -> Result<Option<u64>, BackendError> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            quota: u64,
            #[serde(default)]
            size: u64,
        }
        let Some(bytes) = self
            .unless_absent(Method::GET, "get-bucket-quota", &[("bucket", bucket)], Vec::new())
            .await?
        else {
            return Ok(None);
        };
        let Body { quota, size } = self.parse(&bytes)?;
        Ok(Some(quota.max(size)).filter(|bytes| *bytes > 0))
    }

    /// Seals a body in the envelope, off the async threads.
    async fn seal(&self, body: Value) -> Result<Vec<u8>, BackendError> {
        let unexpected = |text: String| BackendError::Unexpected(format!("{}: {text}", self.system()));
        let _permit = ENVELOPES
            .acquire()
            .await
            .map_err(|error| unexpected(error.to_string()))?;
        let key = self.secret_key.clone();
        let plaintext = SecretString::from(body.to_string());
        let seal =
            move || madmin_envelope::encrypt(key.expose_secret().as_bytes(), plaintext.expose_secret().as_bytes());
        let sealed = tokio::task::spawn_blocking(seal)
            .await
            .map_err(|error| unexpected(error.to_string()))?;
        sealed.map_err(|error| unexpected(error.to_string()))
    }

    async fn unless_absent(
        &self,
        method: Method,
        call: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        match self.send(method, call, query, body).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Refusal {
                status: StatusCode::NOT_FOUND,
                code,
                ..
            }) if code.starts_with("XMinioAdminNoSuch") || code == "NoSuchBucket" => Ok(None),
            Err(refusal) => Err(self.refused(call, refusal)),
        }
    }

    async fn expect(
        &self,
        method: Method,
        call: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, BackendError> {
        self.send(method, call, query, body)
            .await?
            .map_err(|refusal| self.refused(call, refusal))
    }

    async fn send(
        &self,
        method: Method,
        call: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Result<Vec<u8>, Refusal>, BackendError> {
        let mut url = self.endpoint.clone();
        url.set_path(&format!("/minio/admin/v3/{call}"));
        url.query_pairs_mut().clear().extend_pairs(query);
        let headers = self.sign(&method, &url, &body)?;
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let no_answer = |error| http::no_answer(&self.system(), error);
        let response = request.body(body).send().await.map_err(no_answer)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(no_answer)?.to_vec();
        if status.is_success() {
            return Ok(Ok(bytes));
        }
        let ErrorBody { code, message } = serde_json::from_slice(&bytes).unwrap_or_else(|_| ErrorBody {
            code: String::new(),
            message: String::from_utf8_lossy(&bytes).into_owned(),
        });
        Ok(Err(Refusal { status, code, message }))
    }

    /// The headers that sign a request.
    fn sign(&self, method: &Method, url: &Url, body: &[u8]) -> Result<Vec<(String, String)>, BackendError> {
        let unexpected = |error: &dyn std::error::Error| {
            BackendError::Unexpected(format!(
                "{}: cannot sign a request: {}",
                self.system(),
                http::chain(error)
            ))
        };
        let secret = self.secret_key.expose_secret();
        let identity = Credentials::new(&self.access_key_id, secret, None, None, "plexica").into();
        // What S3 asks for and other services of AWS do not.
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| unexpected(&error))?
            .into();
        let request = SignableRequest::new(
            method.as_str(),
            url.as_str(),
            std::iter::empty(),
            SignableBody::Bytes(body),
        )
        .map_err(|error| unexpected(&error))?;
        let (instructions, _) = sign(request, &params).map_err(|error| unexpected(&error))?.into_parts();
        Ok(instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, BackendError> {
        // The text is not quoted: it may hold what must not be shown.
        serde_json::from_slice(bytes).map_err(|error| {
            BackendError::Unexpected(format!(
                "{}: answer not understood at column {}",
                self.system(),
                error.column()
            ))
        })
    }

    fn refused(&self, call: &str, refusal: Refusal) -> BackendError {
        let Refusal { status, code, message } = refusal;
        let system = self.system();
        let said = http::excerpt(&format!("{code} {message}"));
        if http::is_transient(status) {
            BackendError::Unavailable(format!("{system} answered {status} to {call} ({said})"))
        } else if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            BackendError::Refused(format!(
                "{system} refuses {call} to user {} ({said}); check that user's key, status and policy",
                self.access_key_id
            ))
        } else {
            BackendError::Unexpected(format!("{system} answered {status} to {call}: {said}"))
        }
    }

    /// The server, as messages name it.
    fn system(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or("?");
        match self.endpoint.port_or_known_default() {
            Some(port) => format!("MinIO at {host}:{port}"),
            None => format!("MinIO at {host}"),
        }
    }
}
