//! Realms and clients as JSON: what is sent when a realm is made, and what must be found in it afterwards.
//!
//! Pure. Names, lifetimes and users are the platform's contract (data-model.md); traps of the import are listed in
//! anchors/tenancy.md section 3c.

use std::collections::BTreeSet;

use plexica_crds::ownership::{INSTALLATION_KEY, Owner, TENANT_ID_KEY};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{Admin, IdentitySpec};

/// The client by which the operator manages a realm.
pub(super) const AUTOMATION_CLIENT: &str = "plexica-automation";
/// The browser's client.
pub(super) const WEB_CLIENT: &str = "plexica-web";
/// The services' client.
pub(super) const API_CLIENT: &str = "plexica-api";
/// Role of a tenant's administrators.
pub(super) const ADMIN_ROLE: &str = "tenant_admin";
/// Role of everybody.
const USER_ROLE: &str = "user";
/// A client's lists, whose order says nothing.
const LISTS: [&str; 2] = ["redirectUris", "webOrigins"];

/// The whole realm, for the one call that makes it.
pub(super) fn new_realm(spec: &IdentitySpec, plain_http: bool, automation_secret: &SecretString) -> Value {
    let mut realm = settings(spec, plain_http);
    let mut users = vec![automation_user()];
    users.extend(spec.admins.iter().map(|admin| {
        let mut user = new_user(admin);
        user["realmRoles"] = json!([ADMIN_ROLE]);
        user
    }));
    realm.insert("realm".into(), spec.slug.realm().as_str().into());
    realm.insert("attributes".into(), mark(&spec.owner).into());
    realm.insert("roles".into(), json!({ "realm": roles() }));
    realm.insert("clients".into(), clients(spec, automation_secret).into());
    realm.insert("users".into(), users.into());
    realm.into()
}

/// The realm's own settings, by their keys in its representation.
pub(super) fn settings(spec: &IdentitySpec, plain_http: bool) -> Map<String, Value> {
    let mut settings = Map::from_iter([
        ("enabled".to_owned(), json!(true)),
        ("displayName".to_owned(), json!(spec.display_name)),
        (
            "accessTokenLifespan".to_owned(),
            json!(spec.access_token_lifespan.as_secs()),
        ),
        (
            "ssoSessionIdleTimeout".to_owned(),
            json!(spec.sso_session_idle.as_secs()),
        ),
        (
            "ssoSessionMaxLifespan".to_owned(),
            json!(spec.sso_session_max.as_secs()),
        ),
    ]);
    if plain_http {
        // Keycloak refuses plain HTTP from public addresses unless the realm says so.
        settings.insert("sslRequired".into(), json!("none"));
    }
    if let Some(theme) = &spec.login_theme {
        settings.insert("loginTheme".into(), json!(theme));
    }
    settings
}

/// The mark as realm attributes.
pub(super) fn mark(owner: &Owner) -> Map<String, Value> {
    Map::from_iter([
        (TENANT_ID_KEY.to_owned(), json!(owner.tenant_id)),
        (INSTALLATION_KEY.to_owned(), json!(owner.installation)),
    ])
}

/// Whether a realm bears this mark. A stub, which Keycloak gives to who may not see the realm, does not.
pub(super) fn bears(realm: &Value, owner: &Owner) -> bool {
    mark(owner)
        .iter()
        .all(|(key, value)| realm["attributes"].get(key) == Some(value))
}

/// Whether this is the realm itself and not the stub (`{"realm": …}`) that Keycloak gives to who may not see it.
pub(super) fn is_full(realm: &Value) -> bool {
    realm.get("accessTokenLifespan").is_some()
}

/// Realm roles.
pub(super) fn roles() -> [Value; 2] {
    [
        json!({ "name": ADMIN_ROLE, "description": "Administers this tenant" }),
        json!({ "name": USER_ROLE, "description": "Uses this tenant" }),
    ]
}

/// The three clients.
pub(super) fn clients(spec: &IdentitySpec, automation_secret: &SecretString) -> [Value; 3] {
    let web = json!({
        "clientId": WEB_CLIENT,
        "enabled": true,
        "protocol": "openid-connect",
        "publicClient": true,
        "bearerOnly": false,
        "standardFlowEnabled": true,
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "serviceAccountsEnabled": false,
        "redirectUris": spec.redirect_uris,
        "webOrigins": spec.web_origins,
    });
    let api = json!({
        "clientId": API_CLIENT,
        "enabled": true,
        "protocol": "openid-connect",
        "publicClient": false,
        "bearerOnly": true,
    });
    let automation = json!({
        "clientId": AUTOMATION_CLIENT,
        "enabled": true,
        "protocol": "openid-connect",
        "publicClient": false,
        "bearerOnly": false,
        "standardFlowEnabled": false,
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "serviceAccountsEnabled": true,
        "secret": automation_secret.expose_secret(),
        "attributes": { "client.use.lightweight.access.token.enabled": "true" },
    });
    [web, api, automation]
}

/// The automation client's service account. Its name is Keycloak's rule (config-cli#1011).
fn automation_user() -> Value {
    json!({
        "username": format!("service-account-{AUTOMATION_CLIENT}"),
        "enabled": true,
        "serviceAccountClientId": AUTOMATION_CLIENT,
        "clientRoles": { "realm-management": ["realm-admin"] },
    })
}

/// A person, who must prove the address and choose a password. Without `enabled` it would be made disabled.
pub(super) fn new_user(admin: &Admin) -> Value {
    let mut user = json!({
        "username": username(admin),
        "email": username(admin),
        "emailVerified": false,
        "enabled": true,
        "requiredActions": ["VERIFY_EMAIL", "UPDATE_PASSWORD"],
    });
    for (key, name) in [("firstName", &admin.first_name), ("lastName", &admin.last_name)] {
        if let Some(name) = name {
            user[key] = json!(name);
        }
    }
    user
}

/// Name of a person's user: Keycloak folds names to lower case.
pub(super) fn username(admin: &Admin) -> String {
    admin.email.to_lowercase()
}

/// The keys of `wanted` that `found` has otherwise. A secret is not looked at: Keycloak may mask it, and getting a
/// token proves it.
pub(super) fn differing(found: &Value, wanted: &Value) -> Vec<String> {
    let Some(wanted) = wanted.as_object() else {
        return Vec::new();
    };
    let same = |key: &str, value: &Value| match value {
        Value::Object(members) => members.iter().all(|(name, value)| found[key].get(name) == Some(value)),
        Value::Array(_) if LISTS.contains(&key) => texts(&found[key]) == texts(value),
        _ => found.get(key) == Some(value),
    };
    wanted
        .iter()
        .filter(|(key, value)| *key != "secret" && !same(key, value))
        .map(|(key, _)| key.clone())
        .collect()
}

/// `found` with everything of `wanted` in it; objects are merged, so that attributes of others stay.
pub(super) fn merged(found: &Value, wanted: &Value) -> Value {
    let mut result = found.as_object().cloned().unwrap_or_default();
    for (key, value) in wanted.as_object().into_iter().flatten() {
        match (result.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(members), Some(additions)) => {
                members.extend(additions.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => drop(result.insert(key.clone(), value.clone())),
        }
    }
    result.into()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use plexica_crds::names::TenantSlug;
    use std::time::Duration;
    use uuid::Uuid;

    pub(in super::super) fn spec() -> IdentitySpec {
        IdentitySpec {
            owner: Owner {
                tenant_id: Uuid::from_u128(7),
                installation: "prod-eu".into(),
            },
            slug: TenantSlug::parse("acme").unwrap(),
            display_name: "Acme".into(),
            login_theme: None,
            access_token_lifespan: Duration::from_mins(5),
            sso_session_idle: Duration::from_mins(30),
            sso_session_max: Duration::from_hours(10),
            redirect_uris: vec![
                "https://acme.example.com/*".into(),
                "https://other.example.com/*".into(),
            ],
            web_origins: vec!["+".into()],
            admins: vec![Admin {
                email: "Ann@Example.com".into(),
                first_name: Some("Ann".into()),
                last_name: None,
            }],
        }
    }

    #[test]
    fn a_realm_is_made_as_the_data_model_says() {
        let realm = new_realm(&spec(), false, &"derived".into());
        insta::assert_snapshot!(serde_json::to_string_pretty(&realm).unwrap());
    }

    #[test]
    fn what_was_made_does_not_differ() {
        let realm = new_realm(&spec(), true, &"derived".into());
        assert!(bears(&realm, &spec().owner) && is_full(&realm));
        assert_eq!(differing(&realm, &settings(&spec(), true).into()), Vec::<String>::new());
        for client in clients(&spec(), &"derived".into()) {
            assert_eq!(differing(&client, &client), Vec::<String>::new());
        }
    }

    #[test]
    fn lists_are_compared_without_order_and_secrets_not_at_all() {
        let [mut web, _, automation] = clients(&spec(), &"derived".into());
        let wanted = web.clone();
        web["redirectUris"].as_array_mut().unwrap().reverse();
        assert!(differing(&web, &wanted).is_empty());
        web["redirectUris"] = json!(["https://evil.example.com/*"]);
        assert_eq!(differing(&web, &wanted), ["redirectUris"]);
        let masked = merged(&automation, &json!({ "secret": "**********" }));
        assert!(differing(&masked, &automation).is_empty());
    }

    #[test]
    fn merging_keeps_what_others_wrote() {
        let found = json!({ "smtpServer": { "host": "mail" }, "attributes": { "theirs": "x" }, "enabled": false });
        let merged = merged(&found, &json!({ "enabled": true, "attributes": mark(&spec().owner) }));
        assert_eq!(merged["smtpServer"], json!({ "host": "mail" }));
        assert_eq!(merged["attributes"]["theirs"], "x");
        assert_eq!(merged["enabled"], true);
        assert!(bears(&merged, &spec().owner));
    }

    #[test]
    fn a_stub_and_another_mark_are_not_ours() {
        let stub = json!({ "realm": "tenant-acme" });
        assert!(!is_full(&stub) && !bears(&stub, &spec().owner));
        let other = Owner {
            tenant_id: Uuid::from_u128(8),
            ..spec().owner
        };
        assert!(!bears(&new_realm(&spec(), false, &"s".into()), &other));
    }
}
