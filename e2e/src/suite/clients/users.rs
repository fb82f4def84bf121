//! A user of a tenant's realm, and the token that a browser would have.
//!
//! `plexica-web` takes the way through a login page alone, so the user comes by a client of the test's own, whose tokens
//! are for the platform's services (audience `plexica-api`).

use anyhow::{Context as _, Result};
use plexica_crds::names::TenantSlug;
use serde_json::{Value, json};

use super::identity::Admin;
use crate::suite::env::Env;

/// Role of everybody in a tenant's realm.
pub const USER: &str = "user";
/// Role of those who may do everything in it.
pub const ADMIN: &str = "tenant_admin";

/// An access token of a new user with this role. `name` is the user's and the client's; what was there of that name goes.
pub async fn token(env: &Env, tenant: &TenantSlug, name: &str, role: &str) -> Result<String> {
    let admin = Admin::login(env).await?;
    let realm = format!("/{}", tenant.realm());
    remove(&admin, &realm, name).await?;
    let client = json!({
        "clientId": name, "publicClient": true, "standardFlowEnabled": false, "directAccessGrantsEnabled": true,
        "protocolMappers": [{
            "name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
            "config": { "included.client.audience": "plexica-api", "access.token.claim": "true" },
        }],
    });
    admin.post(&format!("{realm}/clients"), &client).await?;
    let password = uuid::Uuid::new_v4().to_string();
    let email = format!("{name}@{tenant}.example.com");
    let user = json!({
        "username": email, "email": email, "emailVerified": true, "enabled": true,
        "firstName": "Test", "lastName": name, "requiredActions": [],
        "credentials": [{ "type": "password", "value": password, "temporary": false }],
    });
    admin.post(&format!("{realm}/users"), &user).await?;
    let id = user_id(&admin, &realm, name).await?.context("the user is not there")?;
    let role = admin.get(&format!("{realm}/roles/{role}")).await?;
    admin
        .post(&format!("{realm}/users/{id}/role-mappings/realm"), &json!([role]))
        .await?;
    let url = format!("{}/realms/{}", env.stack.keycloak_url(), tenant.realm());
    let form = [
        ("grant_type", "password"),
        ("client_id", name),
        ("username", &email),
        ("password", &password),
    ];
    let asked = env
        .http
        .post(format!("{url}/protocol/openid-connect/token"))
        .form(&form);
    let answer: Value = asked.send().await?.error_for_status()?.json().await?;
    Ok(answer["access_token"].as_str().context("no token")?.to_owned())
}

/// The same for a test, at whose end user and client go.
pub async fn token_for_test(env: &Env, tenant: &TenantSlug, role: &str) -> Result<String> {
    let name = crate::suite::env::unique("visitor");
    let token = token(env, tenant, &name, role).await?;
    let (after, realm) = (env.clone(), format!("/{}", tenant.realm()));
    env.afterwards(async move { remove(&Admin::login(&after).await?, &realm, &name).await });
    Ok(token)
}

async fn remove(admin: &Admin, realm: &str, name: &str) -> Result<()> {
    if let Some(id) = user_id(admin, realm, name).await? {
        admin.delete(&format!("{realm}/users/{id}")).await?;
    }
    let clients = admin.find(&format!("{realm}/clients?clientId={name}")).await?;
    for id in ids(clients) {
        admin.delete(&format!("{realm}/clients/{id}")).await?;
    }
    Ok(())
}

async fn user_id(admin: &Admin, realm: &str, name: &str) -> Result<Option<String>> {
    let users = admin.find(&format!("{realm}/users?lastName={name}&exact=true")).await?;
    Ok(ids(users).pop())
}

fn ids(found: Option<Value>) -> Vec<String> {
    let found = found.unwrap_or_default();
    let found = found.as_array().into_iter().flatten();
    found.filter_map(|one| Some(one["id"].as_str()?.to_owned())).collect()
}
