//! The operator's account: a confidential client of the master realm whose service account may create realms, and
//! nothing else.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use reqwest::{Client, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::credentials::{Credentials, KEYCLOAK_ADMIN, OPERATOR};
use crate::host::network;
use crate::layout::{self, Layout};

/// Where Keycloak is told that requests come from. It listens on the node's address alone.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Kept with the database, since it speaks of the database.
const MARKER: &str = "postgres/data/keycloak-complete";

/// Whether the database that runs was set up.
pub fn is_complete(layout: &Layout) -> bool {
    layout.state.join(MARKER).exists()
}

/// Makes the client and gives its service account the role `create-realm`.
///
/// A realm refuses plain HTTP from addresses that are not private, and 198.18.0.0/15 is not. Loopback is: so this speaks
/// from inside the network namespace, and opens realm `master` for the operator. (The operator must do the same for the
/// realms that it makes where its pool's URL is plain HTTP.)
pub async fn set_up(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let secrets = credentials.clone();
    network::inside(move || async move { make_client(&secrets).await }).await?;
    layout::write(&layout.state.join(MARKER), b"")
}

async fn make_client(credentials: &Credentials) -> Result<()> {
    let http = Client::builder().local_address(LOOPBACK).build()?;
    let admin = Admin {
        token: token(&http, credentials).await?,
        http,
    };
    admin
        .send(admin.http.put(master("")).json(&json!({ "sslRequired": "none" })))
        .await?;
    let client = match admin.client().await? {
        Some(id) => id,
        None => admin.create_client(credentials).await?,
    };
    let account = admin.get(&format!("/clients/{client}/service-account-user")).await?;
    let roles = format!("/users/{}/role-mappings/realm", text(&account, "id")?);
    // A new account is given the realm's default roles: this one needs none of them.
    let given = admin.get(&roles).await?;
    admin.send(admin.http.delete(master(&roles)).json(&given)).await?;
    let create_realm = admin.get("/roles/create-realm").await?;
    admin
        .send(admin.http.post(master(&roles)).json(&json!([create_realm])))
        .await?;
    Ok(())
}

struct Admin {
    http: Client,
    token: String,
}

impl Admin {
    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let path = response.url().path().to_owned();
        anyhow::bail!(
            "Keycloak answers {status} to {path}: {}",
            response.text().await.unwrap_or_default()
        )
    }

    async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.send(self.http.get(master(path))).await?.json().await?)
    }

    async fn client(&self) -> Result<Option<String>> {
        let found = self.get(&format!("/clients?clientId={OPERATOR}")).await?;
        found.get(0).map(|client| text(client, "id")).transpose()
    }

    async fn create_client(&self, credentials: &Credentials) -> Result<String> {
        let client = json!({
            "clientId": OPERATOR,
            "enabled": true,
            "protocol": "openid-connect",
            "publicClient": false,
            "serviceAccountsEnabled": true,
            "standardFlowEnabled": false,
            "directAccessGrantsEnabled": false,
            "secret": credentials.keycloak_operator.expose_secret(),
            // Else the token names every realm that the account ever made, and outgrows a request's header.
            "attributes": { "client.use.lightweight.access.token.enabled": "true" },
        });
        self.send(self.http.post(master("/clients")).json(&client)).await?;
        self.client()
            .await?
            .context("Keycloak does not list the client that it made")
    }
}

fn master(path: &str) -> String {
    format!("{}/admin/realms/master{path}", super::url())
}

async fn token(http: &Client, credentials: &Credentials) -> Result<String> {
    let form = [
        ("grant_type", "password"),
        ("client_id", "admin-cli"),
        ("username", KEYCLOAK_ADMIN),
        ("password", credentials.keycloak_admin.expose_secret()),
    ];
    let url = format!("{}/realms/master/protocol/openid-connect/token", super::url());
    let answer: Value = http
        .post(url)
        .form(&form)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    text(&answer, "access_token")
}

fn text(value: &Value, field: &str) -> Result<String> {
    let text = value[field].as_str().map(ToOwned::to_owned);
    text.with_context(|| format!("Keycloak's answer has no field {field}"))
}
