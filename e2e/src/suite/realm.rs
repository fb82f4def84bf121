//! Realm `tenant-<slug>` is as other services expect it: data-model.md, "Realm".

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    Case,
    clients::identity::{Admin, SECRET, discovery},
    env::{Env, unique},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        the_issuer_of_the_secret_answers_and_is_the_issuer,
        a_realm_has_the_settings_of_the_spec_and_follows_its_changes,
        a_realm_has_the_two_clients_and_the_two_roles_of_the_platform,
        an_admin_is_made_with_the_role_and_the_actions_of_the_platform,
        a_person_who_is_no_longer_listed_stays,
        a_tenant_that_wants_no_realm_gets_none,
    ]
}

/// A tenant that is Ready; gives its name and its realm's path.
async fn tenant(env: &Env, spec: Value) -> Result<(String, String)> {
    let name = unique("realm");
    env.create(&name, spec).await?;
    env.ready(&name).await?;
    let realm = format!("/tenant-{name}");
    Ok((name, realm))
}

fn equals(found: &Value, wanted: &Value, what: &str) -> Result<()> {
    ensure!(found == wanted, "{what} is {found}, not {wanted}");
    Ok(())
}

async fn the_issuer_of_the_secret_answers_and_is_the_issuer(env: &Env) -> Result<()> {
    let (name, _) = tenant(env, json!({})).await?;
    let secret = env.secret(&name, SECRET).await?;
    let document = discovery(env, &secret["issuer"]).await?;
    equals(&document["issuer"], &json!(secret["issuer"]), "the issuer")?;
    equals(
        &document["jwks_uri"],
        &json!(secret["jwksUri"]),
        "the address of the keys",
    )?;
    ensure!(
        secret["issuer"].ends_with(&format!("/realms/tenant-{name}")),
        "services read the tenant from the issuer, which is {}",
        secret["issuer"]
    );
    let keys: Value = env.http.get(&secret["jwksUri"]).send().await?.json().await?;
    ensure!(
        keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()),
        "no keys: {keys}"
    );
    Ok(())
}

async fn a_realm_has_the_settings_of_the_spec_and_follows_its_changes(env: &Env) -> Result<()> {
    let (name, realm) = tenant(env, json!({ "displayName": "Before" })).await?;
    let found = Admin::login(env).await?.get(&realm).await?;
    for (key, wanted) in [
        ("enabled", json!(true)),
        ("displayName", json!("Before")),
        ("accessTokenLifespan", json!(300)),
        ("ssoSessionIdleTimeout", json!(1800)),
        ("ssoSessionMaxLifespan", json!(36000)),
    ] {
        equals(&found[key], &wanted, key)?;
    }

    let change = json!({ "displayName": "After", "identity": { "accessTokenLifespan": "10m", "ssoSessionMax": "8h" } });
    env.patch(&name, json!({ "spec": change })).await?;
    env.ready(&name).await?;
    let found = Admin::login(env).await?.get(&realm).await?;
    for (key, wanted) in [
        ("displayName", json!("After")),
        ("accessTokenLifespan", json!(600)),
        ("ssoSessionIdleTimeout", json!(1800)),
        ("ssoSessionMaxLifespan", json!(28800)),
    ] {
        equals(&found[key], &wanted, key)?;
    }
    Ok(())
}

async fn a_realm_has_the_two_clients_and_the_two_roles_of_the_platform(env: &Env) -> Result<()> {
    let spec = json!({ "identity": { "redirectUris": ["https://app.example.com/*"] } });
    let (name, realm) = tenant(env, spec).await?;
    let admin = Admin::login(env).await?;
    let web = admin.get(&format!("{realm}/clients?clientId=plexica-web")).await?;
    for (key, wanted) in [
        ("enabled", true),
        ("publicClient", true),
        ("standardFlowEnabled", true),
        ("implicitFlowEnabled", false),
        ("directAccessGrantsEnabled", false),
        ("serviceAccountsEnabled", false),
        ("bearerOnly", false),
    ] {
        equals(&web[0][key], &json!(wanted), &format!("plexica-web: {key}"))?;
    }
    let uris: BTreeSet<_> = web[0]["redirectUris"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let own = format!("https://{name}.plexica.test/*");
    ensure!(
        uris == BTreeSet::from([own.as_str(), "https://app.example.com/*"]),
        "redirect URIs: {uris:?}"
    );
    equals(&web[0]["webOrigins"], &json!(["+"]), "web origins")?;

    let api = admin.get(&format!("{realm}/clients?clientId=plexica-api")).await?;
    for (key, wanted) in [("enabled", true), ("bearerOnly", true), ("publicClient", false)] {
        equals(&api[0][key], &json!(wanted), &format!("plexica-api: {key}"))?;
    }
    for role in ["tenant_admin", "user"] {
        admin.get(&format!("{realm}/roles/{role}")).await?;
    }
    Ok(())
}

async fn an_admin_is_made_with_the_role_and_the_actions_of_the_platform(env: &Env) -> Result<()> {
    let spec = json!({ "admins": [{ "email": "Ada@Example.com", "firstName": "Ada", "lastName": "Lovelace" }] });
    let (name, realm) = tenant(env, spec).await?;
    let ada = person(env, &realm, "ada@example.com").await?.context("no user")?;
    for (key, wanted) in [
        ("username", json!("ada@example.com")),
        ("email", json!("ada@example.com")),
        ("emailVerified", json!(false)),
        ("enabled", json!(true)),
        ("firstName", json!("Ada")),
        ("lastName", json!("Lovelace")),
    ] {
        equals(&ada[key], &wanted, key)?;
    }
    let actions: BTreeSet<_> = ada["requiredActions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    ensure!(
        actions == BTreeSet::from(["UPDATE_PASSWORD", "VERIFY_EMAIL"]),
        "required actions: {actions:?}"
    );
    is_admin(env, &realm, &ada).await?;

    // One who is added later is as good.
    let change = json!({ "spec": { "admins": [{ "email": "ada@example.com" }, { "email": "bob@example.com" }] } });
    env.patch(&name, change).await?;
    env.ready(&name).await?;
    let bob = person(env, &realm, "bob@example.com")
        .await?
        .context("no second user")?;
    is_admin(env, &realm, &bob).await
}

/// The operator makes administrators; it never deletes a person (`kubectl explain tenant.spec.admins`).
async fn a_person_who_is_no_longer_listed_stays(env: &Env) -> Result<()> {
    let (name, realm) = tenant(env, json!({ "admins": [{ "email": "eve@example.com" }] })).await?;
    env.patch(&name, json!({ "spec": { "admins": [] } })).await?;
    env.ready(&name).await?;
    person(env, &realm, "eve@example.com")
        .await?
        .context("the user is gone")
        .map(drop)
}

async fn a_tenant_that_wants_no_realm_gets_none(env: &Env) -> Result<()> {
    let (name, realm) = tenant(env, json!({ "identity": { "isolation": "None" } })).await?;
    ensure!(
        Admin::login(env).await?.find(&realm).await?.is_none(),
        "a realm was made"
    );
    ensure!(
        env.secret(&name, SECRET).await.is_err(),
        "there is a Secret of a realm that does not exist"
    );
    Ok(())
}

/// A user of the realm, complete.
async fn person(env: &Env, realm: &str, username: &str) -> Result<Option<Value>> {
    let admin = Admin::login(env).await?;
    let found = admin
        .get(&format!("{realm}/users?exact=true&username={username}"))
        .await?;
    match found[0]["id"].as_str() {
        None => Ok(None),
        Some(id) => admin.find(&format!("{realm}/users/{id}")).await,
    }
}

async fn is_admin(env: &Env, realm: &str, user: &Value) -> Result<()> {
    let id = user["id"].as_str().context("a user without id")?;
    let roles = Admin::login(env)
        .await?
        .get(&format!("{realm}/users/{id}/role-mappings/realm"))
        .await?;
    let mut names = roles.as_array().into_iter().flatten().map(|role| &role["name"]);
    ensure!(
        names.any(|name| name == "tenant_admin"),
        "the admin lacks the role tenant_admin: {roles}"
    );
    Ok(())
}
