//! Keycloak, as its administrator.

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::{stack::Account, suite::env::Env};

/// Secret with the addresses of a tenant's realm.
pub const SECRET: &str = "plexica-identity";

/// The administrator, with a token that lasts for a minute.
pub struct Admin {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Admin {
    /// Logs in.
    pub async fn login(env: &Env) -> Result<Self> {
        let Account { name, secret } = env.stack.keycloak_admin();
        let url = env.stack.keycloak_url();
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", name),
            ("password", secret.expose_secret()),
        ];
        let request = env
            .http
            .post(format!("{url}/realms/master/protocol/openid-connect/token"))
            .form(&form);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(Self {
            http: env.http.clone(),
            url,
            token: answer["access_token"].as_str().context("no token")?.to_owned(),
        })
    }

    /// What is at this path below `/admin/realms`; `None` if nothing is.
    pub async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.request(Method::GET, path).send().await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.json().await?)),
            status => bail!("Keycloak answers {status} to GET {path}"),
        }
    }

    /// What is at this path, which must be there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.find(path)
            .await?
            .with_context(|| format!("Keycloak has nothing at {path}"))
    }

    /// Makes something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<()> {
        let answer = self.request(Method::POST, path).json(body).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("Keycloak answers {status} to POST {path}: {}", answer.text().await?);
        }
        Ok(())
    }

    /// Removes something; that it is not there is success.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let answer = self.request(Method::DELETE, path).send().await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => bail!("Keycloak answers {status} to DELETE {path}"),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/admin/realms{path}", self.url);
        self.http.request(method, url).bearer_auth(&self.token)
    }
}

/// The discovery document of an issuer, as a service finds it.
pub async fn discovery(env: &Env, issuer: &str) -> Result<Value> {
    let url = format!("{issuer}/.well-known/openid-configuration");
    Ok(env.http.get(url).send().await?.error_for_status()?.json().await?)
}
