//! The realm's automation client, healed by the creating account when it gets no token or may not do its work.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    client::NoToken,
    realm::Realm,
    representation::{self, AUTOMATION_CLIENT, bears, merged},
};
use crate::backends::{BackendError, http::REQUEST_TIMEOUT};

/// A role that the creating account of a realm is not given (keycloak#19424), and which it therefore may not give on;
/// nor may it give `realm-admin`, which contains it.
const NOT_OURS_TO_GIVE: [&str; 2] = ["impersonation", "realm-admin"];
const WHAT: &str = "its automation client";

impl Realm<'_> {
    /// Goes on as the automation client, after making that client what it shall be as far as needed. An enabled realm
    /// is all it needs after a suspension.
    pub(super) async fn become_automation(&mut self) -> Result<(), BackendError> {
        if self.switch().await? {
            return Ok(());
        }
        let id = self.renew_client().await?;
        if self.switch().await? {
            return Ok(());
        }
        self.grant(&id).await?;
        if self.switch().await? {
            return Ok(());
        }
        Err(BackendError::Unexpected(format!(
            "realm {}: client {AUTOMATION_CLIENT} cannot be made to work; look at its service account",
            self.name()
        )))
    }

    /// Whether the automation client gets a token that shows it the realm; if so, it is used from now on.
    async fn switch(&mut self) -> Result<bool, BackendError> {
        let (owner, slug) = (&self.spec.owner, &self.spec.slug);
        let token: SecretString = match self.keycloak.automation_token(owner, slug).await? {
            Ok(token) => token,
            Err(NoToken::NoRealm | NoToken::NotAccepted) => return Ok(false),
        };
        let path = format!("/{}", self.name());
        let answer = self
            .keycloak
            .call(Method::GET, &path, &token, None, REQUEST_TIMEOUT)
            .await?;
        if !bears(&answer.body, owner) {
            self.keycloak.forget_automation_token(owner, slug);
            return Ok(false);
        }
        self.token = token;
        self.automation = true;
        Ok(true)
    }

    /// Makes the client, or gives it its secret and settings again. Answers its id.
    async fn renew_client(&self) -> Result<String, BackendError> {
        let secret = self.keycloak.automation_secret(&self.spec.owner)?;
        let [_, _, wanted] = representation::clients(self.spec, &secret);
        let clients = self
            .must(
                Method::GET,
                &format!("/clients?clientId={AUTOMATION_CLIENT}"),
                None,
                WHAT,
            )
            .await?
            .body;
        let found = &clients[0];
        let id = match found["id"].as_str() {
            None => self.must(Method::POST, "/clients", Some(&wanted), WHAT).await?.made,
            Some(id) => {
                self.must(
                    Method::PUT,
                    &format!("/clients/{id}"),
                    Some(&merged(found, &wanted)),
                    WHAT,
                )
                .await?;
                Some(id.to_owned())
            }
        };
        id.ok_or_else(|| BackendError::Unexpected(format!("realm {}: a new client has no id", self.name())))
    }

    /// Gives the client's service account every role of this realm's management that can be given.
    async fn grant(&self, client_id: &str) -> Result<(), BackendError> {
        let path = format!("/clients/{client_id}/service-account-user");
        let account = self.must(Method::GET, &path, None, WHAT).await?.body;
        let management = self
            .must(Method::GET, "/clients?clientId=realm-management", None, WHAT)
            .await?
            .body;
        let (Some(account), Some(management)) = (account["id"].as_str(), management[0]["id"].as_str()) else {
            return Err(BackendError::Unexpected(format!(
                "realm {} has no client realm-management",
                self.name()
            )));
        };
        let path = format!("/users/{account}/role-mappings/clients/{management}");
        let available = self
            .must(Method::GET, &format!("{path}/available"), None, WHAT)
            .await?
            .body;
        let ours = available.as_array().into_iter().flatten();
        let ours: Vec<&Value> = ours
            .filter(|role| !NOT_OURS_TO_GIVE.iter().any(|name| role["name"] == *name))
            .collect();
        self.must(Method::POST, &path, Some(&json!(ours)), WHAT).await?;
        Ok(())
    }
}
