//! Through the Gateway to plugins: whose they are, with what they are told of the tenant, and when not.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use plexica_crds::{names::TenantSlug, plugin_installation::conditions::Type};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Case,
    clients::{
        gateway::{Entrance, answer, routes},
        users::{self, token_for_test},
    },
    env::{Env, eventually, post, unique},
    releases::VERSION,
    tenant_plugins::{PATIENCE, TenantPlugins},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        users_of_a_tenant_store_and_read_through_the_gateway_and_others_are_refused,
        who_the_tenant_is_says_the_gateway_and_never_the_caller,
        the_gateway_leads_to_a_plugin_while_it_is_switched_on_and_no_longer,
        a_route_of_somebody_else_is_never_touched,
        front_ends_of_what_is_live_are_listed_for_the_tenants_shell,
    ]
}

/// The tenant for which `cargo dev up` installs the plugins of the examples, and another one.
fn acme_and_globex() -> Result<(TenantSlug, TenantSlug)> {
    Ok((TenantSlug::parse("acme-corp")?, TenantSlug::parse("globex-inc")?))
}

async fn users_of_a_tenant_store_and_read_through_the_gateway_and_others_are_refused(env: &Env) -> Result<()> {
    let (acme, globex) = acme_and_globex()?;
    let entrance = Entrance::of(&acme)?;
    let user = token_for_test(env, &acme, users::USER).await?;
    let as_user = |method: Method, id: &str, path: &str| entrance.request(method, id, path).bearer_auth(&user);
    let name = unique("Grace");
    let contact = json!({ "name": name, "email": format!("{name}@example.com") });
    let made = answer(
        as_user(Method::POST, "contacts", "/contacts").json(&contact),
        StatusCode::CREATED,
    )
    .await?;
    let id = made["id"].as_str().context("the contact has no id")?.to_owned();
    let found = answer(
        as_user(Method::GET, "contacts", &format!("/contacts/{id}")),
        StatusCode::OK,
    )
    .await?;
    ensure!(found["name"] == name.as_str(), "it is {found}");

    // crm asks contacts, with the caller's token.
    let deal = json!({ "title": "Compiler", "contactId": id, "amount": 250_000 });
    let made = answer(as_user(Method::POST, "crm", "/deals").json(&deal), StatusCode::CREATED).await?;
    let deal = made["id"].as_str().context("the deal has no id")?.to_owned();
    let found = answer(as_user(Method::GET, "crm", &format!("/deals/{deal}")), StatusCode::OK).await?;
    ensure!(found["contact"]["name"] == name.as_str(), "it is {found}");

    let foreign = token_for_test(env, &globex, users::ADMIN).await?;
    let stranger = entrance.request(Method::GET, "contacts", "/contacts");
    answer(stranger.bearer_auth(&foreign), StatusCode::UNAUTHORIZED).await?;
    let nobody = entrance.request(Method::GET, "contacts", "/contacts");
    answer(nobody, StatusCode::UNAUTHORIZED).await?;
    // The tenant that has no plugins has no routes.
    ensure!(
        Entrance::of(&globex)?.version("contacts").await? == StatusCode::NOT_FOUND,
        "globex-inc is led to a plugin"
    );

    let admin = token_for_test(env, &acme, users::ADMIN).await?;
    for (plugin, path) in [
        ("crm", format!("/deals/{deal}")),
        ("contacts", format!("/contacts/{id}")),
    ] {
        let removed = entrance.request(Method::DELETE, plugin, &path).bearer_auth(&admin);
        answer(removed, StatusCode::NO_CONTENT).await?;
    }
    Ok(())
}

/// The plugins refuse a header that names another tenant than theirs (examples/plugins/kit/src/auth): that they do not
/// shows that the caller's never arrives.
async fn who_the_tenant_is_says_the_gateway_and_never_the_caller(env: &Env) -> Result<()> {
    let (acme, _) = acme_and_globex()?;
    let entrance = Entrance::of(&acme)?;
    let user = token_for_test(env, &acme, users::USER).await?;
    let forged = [
        ("X-Tenant-Slug", "globex-inc"),
        ("x-tenant-slug", "globex-inc"),
        ("X-TENANT-ID", "00000000-0000-0000-0000-000000000000"),
        // The Gateway lets these pass, and a plugin must not take them for the same.
        ("X_Tenant_Slug", "globex-inc"),
        ("x_tenant_id", "00000000-0000-0000-0000-000000000000"),
    ];
    for header in forged {
        let list = entrance
            .request(Method::GET, "contacts", "/contacts")
            .bearer_auth(&user);
        answer(list.header(header.0, header.1), StatusCode::OK)
            .await
            .with_context(|| format!("with {header:?}"))?;
    }
    let mut all = entrance
        .request(Method::GET, "contacts", "/contacts")
        .bearer_auth(&user);
    for (name, value) in forged {
        all = all.header(name, value);
    }
    answer(all, StatusCode::OK).await?;
    let version = answer(
        entrance
            .request(Method::GET, "contacts", "/version")
            .header("X-Tenant-Slug", "globex-inc"),
        StatusCode::OK,
    )
    .await?;
    ensure!(version["tenant"] == acme.as_str(), "it says {version}");
    // The prefix ends where a segment does, and a way around it leads out of the plugin.
    for path in ["x/version", "/../contacts2/version"] {
        let beside = entrance.request(Method::GET, "contacts", path);
        answer(beside, StatusCode::NOT_FOUND).await?;
    }
    Ok(())
}

async fn the_gateway_leads_to_a_plugin_while_it_is_switched_on_and_no_longer(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let entrance = Entrance::of(&plugins.slug)?;
    let answers = |status: StatusCode| {
        let entrance = &entrance;
        eventually("the Gateway's answer", PATIENCE, move || async move {
            let given = entrance.version("contacts").await?;
            ensure!(given == status, "it answers {given}");
            Ok(())
        })
    };
    answers(StatusCode::NOT_FOUND).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.says("contacts", Type::Routed, "True", "RouteAccepted").await?;
    let ready = plugins.ready("contacts").await?;
    let url = ready.status.and_then(|status| status.url);
    ensure!(url == Some(entrance.url("contacts")), "status.url is {url:?}");
    answers(StatusCode::OK).await?;

    // What somebody changes is set right.
    let routes = routes(env, &plugins.slug);
    let declared = routes.get("contacts").await?;
    let theirs = Patch::Merge(json!({ "spec": { "hostnames": ["globex-inc.plexica.test"] } }));
    routes.patch("contacts", &PatchParams::default(), &theirs).await?;
    eventually("the route as declared", PATIENCE, || async {
        let found = routes.get("contacts").await?;
        ensure!(found.data["spec"] == declared.data["spec"], "it is changed");
        Ok(())
    })
    .await?;

    plugins
        .patch("contacts", json!({ "spec": { "enabled": false } }))
        .await?;
    plugins.says("contacts", Type::Routed, "False", "Disabled").await?;
    answers(StatusCode::NOT_FOUND).await?;
    ensure!(routes.get_opt("contacts").await?.is_none(), "the route is there");
    plugins
        .patch("contacts", json!({ "spec": { "enabled": true } }))
        .await?;
    plugins.ready("contacts").await?;
    answers(StatusCode::OK).await?;

    let tenant = plugins.slug.as_str();
    env.patch(tenant, json!({ "spec": { "suspended": true } })).await?;
    plugins
        .says("contacts", Type::Routed, "False", "TenantSuspended")
        .await?;
    answers(StatusCode::NOT_FOUND).await?;
    env.patch(tenant, json!({ "spec": { "suspended": false } })).await?;
    plugins.ready("contacts").await?;
    answers(StatusCode::OK).await?;

    plugins.remove("contacts").await?;
    ensure!(routes.get_opt("contacts").await?.is_none(), "the route is left");
    answers(StatusCode::NOT_FOUND).await
}

async fn a_route_of_somebody_else_is_never_touched(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let routes = routes(env, &plugins.slug);
    let theirs = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "contacts" },
        "spec": { "parentRefs": [{ "name": "somewhere" }], "hostnames": ["theirs.example.com"] },
    });
    let theirs = post(&routes, theirs).await?;
    plugins.install("contacts", json!({})).await?;
    plugins.says("contacts", Type::Routed, "False", "NotOwned").await?;
    plugins.says("contacts", Type::Deployed, "True", "PodsReady").await?;
    let found = routes.get("contacts").await?;
    ensure!(
        found.resource_version() == theirs.resource_version(),
        "it was written: {}",
        found.data
    );
    plugins
        .patch("contacts", json!({ "spec": { "enabled": false } }))
        .await?;
    plugins.says("contacts", Type::Ready, "False", "Disabled").await?;
    ensure!(routes.get_opt("contacts").await?.is_some(), "it was removed");
    routes.delete("contacts", &DeleteParams::default()).await?;
    plugins
        .patch("contacts", json!({ "spec": { "enabled": true } }))
        .await?;
    plugins.ready("contacts").await.map(drop)
}

async fn front_ends_of_what_is_live_are_listed_for_the_tenants_shell(env: &Env) -> Result<()> {
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    let id = unique("shop");
    // A plugin that works: contacts, under another name and with a front end.
    let manifest = env
        .stack
        .layout()
        .repository
        .join("examples/plugins/contacts/plugin.yaml");
    let manifest: Value = serde_saphyr::from_str(&std::fs::read_to_string(manifest)?)?;
    let mut spec = manifest["spec"].clone();
    for (key, value) in [
        ("id", json!(id)),
        ("version", json!(VERSION)),
        ("permissions", json!([])),
        ("api", json!({})),
        (
            "frontend",
            json!({ "remoteEntry": "/remoteEntry.js", "routePrefix": "/shop", "exposes": ["./Routes"] }),
        ),
    ] {
        spec[key] = value;
    }
    let release = env.publish(&id, VERSION, spec).await?;
    env.registered(&release).await?;
    let maps: Api<ConfigMap> = plugins.objects();
    ensure!(
        maps.get_opt("plexica-frontends").await?.is_none(),
        "there is a list before there is a front end"
    );
    let lists = |wanted: Value| {
        let maps = &maps;
        eventually("the list of front ends", PATIENCE, move || {
            let wanted = wanted.clone();
            async move {
                let map = maps.get_opt("plexica-frontends").await?.context("there is none")?;
                let list = map.data.and_then(|mut data| data.remove("frontends.json"));
                let list: Value = serde_json::from_str(&list.context("it has no frontends.json")?)?;
                ensure!(list == wanted, "it is {list}");
                Ok(())
            }
        })
    };
    plugins.install(&id, json!({})).await?;
    plugins.ready(&id).await?;
    let entry = format!("/api/plugins/{id}/remoteEntry.js");
    lists(json!([{ "plugin": id, "version": VERSION, "remoteEntry": entry,
        "routePrefix": "/shop", "exposes": ["./Routes"] }]))
    .await?;
    plugins.patch(&id, json!({ "spec": { "enabled": false } })).await?;
    lists(json!([])).await?;
    plugins.remove(&id).await
}
