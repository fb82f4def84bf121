//! A realm in one call, with the content that a tenant's has, by the account that environment.md names.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plexica_crds::names::TenantSlug;
use reqwest::{Client, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};

use crate::stack::{Account, Stack};

/// Keycloak's tokens last for 60 s; a fresh one is fetched before, outside of what is measured.
const FRESH: Duration = Duration::from_secs(40);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Realms, made and removed by the operator's client of realm `master`.
pub struct Realms {
    http: Client,
    url: String,
    account: Account,
    token: Mutex<Option<(Instant, String)>>,
}

impl Realms {
    pub fn new(stack: &Stack) -> Result<Self> {
        Ok(Self {
            http: Client::builder().no_proxy().timeout(PATIENCE).build()?,
            url: stack.keycloak_url(),
            account: stack.keycloak_operator(),
            token: Mutex::default(),
        })
    }

    /// Makes sure that there is a fresh token.
    pub async fn log_in(&self) -> Result<String> {
        let mut slot = self.token.lock().await;
        if let Some((since, token)) = &*slot
            && since.elapsed() < FRESH
        {
            return Ok(token.clone());
        }
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.account.name),
            ("client_secret", self.account.secret.expose_secret()),
        ];
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let answer = self.http.post(url).form(&form).send().await?.error_for_status()?;
        let answer: Value = answer.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        *slot = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    /// Makes the realm.
    pub async fn create(&self, slug: &TenantSlug) -> Result<()> {
        let token = self.log_in().await?;
        let request = self.http.post(format!("{}/admin/realms", self.url));
        let answer = request.bearer_auth(token).json(&representation(slug)).send().await?;
        let status = answer.status();
        ensure!(
            status == StatusCode::CREATED,
            "Keycloak answers {status} to a new realm"
        );
        Ok(())
    }

    /// Removes the realm, if there is one.
    pub async fn remove(&self, slug: &TenantSlug) -> Result<()> {
        let token = self.log_in().await?;
        let url = format!("{}/admin/realms/{}", self.url, slug.realm());
        let status = self.http.delete(url).bearer_auth(token).send().await?.status();
        ensure!(
            status.is_success() || status == StatusCode::NOT_FOUND,
            "Keycloak answers {status} to the removal of realm {}",
            slug.realm()
        );
        Ok(())
    }
}

/// The same content as operator/src/backends/keycloak/representation.rs gives to a tenant without administrators.
fn representation(slug: &TenantSlug) -> Value {
    let client = |id: &str, public: bool, bearer: bool| {
        json!({ "clientId": id, "enabled": true, "protocol": "openid-connect", "publicClient": public,
            "bearerOnly": bearer, "implicitFlowEnabled": false, "directAccessGrantsEnabled": false })
    };
    let mut web = client("plexica-web", true, false);
    web["standardFlowEnabled"] = json!(true);
    web["redirectUris"] = json!([format!("https://{slug}.plexica.test/*")]);
    web["webOrigins"] = json!(["+"]);
    let api = client("plexica-api", false, true);
    let mut automation = client("plexica-automation", false, false);
    automation["standardFlowEnabled"] = json!(false);
    automation["serviceAccountsEnabled"] = json!(true);
    automation["secret"] = json!(crate::layout::hex(&rand::random::<[u8; 20]>()));
    automation["attributes"] = json!({ "client.use.lightweight.access.token.enabled": "true" });
    json!({
        "realm": slug.realm(),
        "enabled": true,
        "displayName": format!("Raw {slug}"),
        "sslRequired": "none",
        "accessTokenLifespan": 300,
        "ssoSessionIdleTimeout": 1800,
        "ssoSessionMaxLifespan": 36000,
        "attributes": { "plexica.io/tenant-id": uuid::Uuid::new_v4(), "plexica.io/installation": "bench" },
        "roles": { "realm": [
            { "name": "tenant_admin", "description": "Administers this tenant" },
            { "name": "user", "description": "Uses this tenant" },
        ] },
        "clients": [web, api, automation],
        "users": [{
            "username": "service-account-plexica-automation",
            "enabled": true,
            "serviceAccountClientId": "plexica-automation",
            "clientRoles": { "realm-management": ["realm-admin"] },
        }],
    })
}
