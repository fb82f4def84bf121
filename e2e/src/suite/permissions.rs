//! The operator and its webhook may do what they do, and nothing else: in Kubernetes and in every backend.

mod rules;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, LimitRange, Namespace, Secret, ServiceAccount},
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::AuthInfo,
};
use plexica_crds::{LABEL_TENANT, tenant::conditions::Type};
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{
    Case,
    clients::{identity::Admin, storage},
    env::{Env, contains, eventually, post, unique},
    installations,
    observe::audit,
    releases::VERSION,
    shared_releases,
    tenant_plugins::TenantPlugins,
};
use crate::{
    cases,
    credentials::{OPERATOR, OPERATOR_ROLE},
    platform::{NAMESPACE, RELEASE},
    webhook,
};
use rules::{BOUND_IN_TENANTS, Granted};

/// Longest time until the audit log tells of the last thing that the operator did: events are sent beside the pass.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cases of this file. They come last: by then the operator has done all that it ever does.
pub fn cases() -> Vec<Case> {
    cases![true;
        what_the_operator_is_granted_is_what_it_uses,
        what_its_webhook_is_granted_is_what_it_uses,
        the_operators_token_opens_no_other_namespace,
        the_operator_is_no_superuser_of_postgresql,
        the_operator_may_only_create_realms_in_keycloak,
        the_operator_is_no_administrator_of_minio,
    ]
}

async fn what_the_operator_is_granted_is_what_it_uses(env: &Env) -> Result<()> {
    let granted = Granted::read(env).await?;
    granted.prove_narrow()?;
    use_everything(env).await?;
    eventually("grants and use agree", PATIENCE, || async {
        let used = audit::of_user(&env.stack.audit_log(), audit::OPERATOR)?;
        granted.compare(&used, granted_since(env, RELEASE).await?)
    })
    .await?;
    prove_bindings(env).await
}

async fn what_its_webhook_is_granted_is_what_it_uses(env: &Env) -> Result<()> {
    let granted = Granted::read_webhook(env).await?;
    let secrets: Api<Secret> = Api::namespaced(env.client.clone(), NAMESPACE);
    let certificates = format!("{}-certificates", webhook::NAME);
    let asked = json!({ "metadata": { "annotations": { "plexica.io/rotate": "the test says so" } } });
    secrets
        .patch(&certificates, &PatchParams::default(), &Patch::Merge(asked))
        .await?;
    let plugins = TenantPlugins::of_new_tenant(env).await?;
    plugins.install("contacts", json!({ "enabled": false })).await?;
    eventually("grants and use agree", PATIENCE, || async {
        let used = audit::of_user(&env.stack.audit_log(), audit::WEBHOOKS)?;
        granted.compare(&used, granted_since(env, webhook::NAME).await?)
    })
    .await
}

/// What an ordinary life does not show: drift, twice; the end of a tenant whose namespace is its own, and of one whose
/// namespace was adopted.
async fn use_everything(env: &Env) -> Result<()> {
    let (made, adopted) = (unique("made"), unique("adopted"));
    let namespace = format!("tenant-{adopted}");
    let namespaces: Api<Namespace> = Api::all(env.client.clone());
    let object = json!({ "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": namespace, "labels": { LABEL_TENANT: adopted } } });
    post(&namespaces, object).await?;
    let (api, name) = (namespaces.clone(), namespace.clone());
    env.afterwards(async move {
        api.delete(&name, &DeleteParams::default()).await?;
        Ok(())
    });
    for name in [&made, &adopted] {
        env.create(name, json!({})).await?;
    }
    try_join_all([&made, &adopted].map(|name| env.ready(name))).await?;
    let limits: Api<LimitRange> = Api::namespaced(env.client.clone(), &namespace);
    let mut told = String::new();
    for _ in 0..2 {
        // The second time, the event of the first is patched.
        told = eventually("it is said anew", PATIENCE, || async {
            for limit in limits.list(&ListParams::default()).await? {
                limits.delete(&limit.name_any(), &DeleteParams::default()).await?;
            }
            let now = env.reason(&adopted, Type::DriftDetected, "Corrected").await?.message;
            ensure!(now != told, "it still says {now}");
            Ok(now)
        })
        .await?;
    }
    for name in [&made, &adopted] {
        env.delete(name).await?;
    }
    use_a_release(env).await?;
    shared_releases::live(env).await?;
    installations::live(env).await
}

/// The life of a release whose migrations are in a ConfigMap.
async fn use_a_release(env: &Env) -> Result<()> {
    let id = unique("used");
    let maps: Api<ConfigMap> = Api::namespaced(env.client.clone(), NAMESPACE);
    post(
        &maps,
        json!({ "metadata": { "name": id }, "data": { "0001.sql": "SELECT 1" } }),
    )
    .await?;
    let (api, owned) = (maps, id.clone());
    env.afterwards(async move {
        api.delete(&owned, &DeleteParams::default()).await?;
        Ok(())
    });
    let reference = json!({ "name": id, "key": "0001.sql" });
    let spec = json!({ "migrations": [{ "name": "0001_nothing", "configMapRef": reference }] });
    let release = env.publish(&id, VERSION, spec).await?;
    env.registered(&release).await?;
    env.withdraw(&release).await
}

/// When the roles and the process of now came to be: what was used before tells nothing about them.
async fn granted_since(env: &Env, name: &str) -> Result<jiff::Timestamp> {
    let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(env.client.clone(), NAMESPACE);
    let labels = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
    let sets = sets.list(&labels).await?;
    let newest = sets
        .iter()
        .filter_map(ResourceExt::creation_timestamp)
        .map(|time| time.0)
        .max();
    newest.with_context(|| format!("Deployment {name} has no ReplicaSet"))
}

/// The bindings that name the operator are those of the chart and one in each tenant's namespace.
async fn prove_bindings(env: &Env) -> Result<()> {
    let everywhere: Api<ClusterRoleBinding> = Api::all(env.client.clone());
    let is_operator = |subjects: &Option<Vec<k8s_openapi::api::rbac::v1::Subject>>| {
        subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == OPERATOR
                && subject.namespace.as_deref() == Some(NAMESPACE)
        })
    };
    let list = ListParams::default();
    let clusterwide = everywhere.list(&list).await?;
    let clusterwide: Vec<_> = clusterwide
        .iter()
        .filter(|binding| is_operator(&binding.subjects))
        .map(|binding| binding.role_ref.name.as_str())
        .collect();
    ensure!(
        clusterwide == [OPERATOR],
        "cluster-wide the operator has the roles {clusterwide:?}"
    );
    let bindings: Api<RoleBinding> = Api::all(env.client.clone());
    let mut in_tenants = 0;
    for binding in bindings
        .list(&list)
        .await?
        .iter()
        .filter(|binding| is_operator(&binding.subjects))
    {
        let namespace = binding.namespace().unwrap_or_default();
        let role = (binding.role_ref.kind.as_str(), binding.role_ref.name.as_str());
        match role {
            ("ClusterRole", BOUND_IN_TENANTS) if namespace.starts_with("tenant-") => in_tenants += 1,
            ("ClusterRole", BOUND_IN_TENANTS) if namespace == rules::SHARED => {}
            ("Role", rules::EVENTS) if namespace == "default" => {}
            ("Role", rules::MIGRATIONS) if namespace == NAMESPACE => {}
            _ => bail!("in namespace {namespace} the operator has {} {}", role.0, role.1),
        }
    }
    // The only trace of verb `bind`: it is checked when a binding is made, and is no request of its own.
    ensure!(in_tenants > 0, "no tenant's namespace shows that `bind` is needed");
    Ok(())
}

/// A client with a token as the operator's pod has one.
async fn thief(env: &Env) -> Result<Client> {
    let accounts: Api<ServiceAccount> = Api::namespaced(env.client.clone(), NAMESPACE);
    let request = accounts
        .create_token_request(OPERATOR, &PostParams::default(), &TokenRequest::default())
        .await?;
    let token = request.status.context("no token was issued")?.token;
    let mut config = env.stack.kube_config().await?;
    config.auth_info = AuthInfo {
        token: Some(token.into()),
        ..AuthInfo::default()
    };
    Ok(Client::try_from(config)?)
}

async fn the_operators_token_opens_no_other_namespace(env: &Env) -> Result<()> {
    const POLICY: &str = "works in namespaces of tenants only";
    const RBAC: &str = "cannot";
    let tenant = unique("thief");
    env.create(&tenant, json!({})).await?;
    env.ready(&tenant).await?;
    let client = thief(env).await?;
    // It is the operator's token: the tenant's own namespace is open to it.
    let own: Api<Secret> = Api::namespaced(client.clone(), &format!("tenant-{tenant}"));
    own.get(storage::SECRET).await?;

    for namespace in ["kube-system", "default", NAMESPACE] {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        forbidden("reading a Secret", secrets.get("s3-main").await, RBAC)?;
        forbidden("listing Secrets", secrets.list(&ListParams::default()).await, RBAC)?;
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
        forbidden("binding its role", bind(&bindings, BOUND_IN_TENANTS).await, POLICY)?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "stolen": "true" } } }));
        forbidden(
            "patching a namespace",
            namespaces.patch(namespace, &dry, &patch).await,
            POLICY,
        )?;
    }
    // One of its own, should it not be refused.
    let foreign = unique("foreign");
    let namespaces: Api<Namespace> = Api::all(env.client.clone());
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": foreign } });
    post(&namespaces, object).await?;
    let (api, name) = (namespaces.clone(), foreign.clone());
    env.afterwards(async move {
        api.delete(&name, &DeleteParams::default()).await?;
        Ok(())
    });
    let stolen: Api<Namespace> = Api::all(client.clone());
    let deleted = stolen.delete(&foreign, &DeleteParams::default()).await;
    forbidden("deleting a namespace", deleted, POLICY)?;
    let platform: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let dry = DeleteParams {
        dry_run: true,
        ..DeleteParams::default()
    };
    let deleted = platform.delete("plexica-platform", &dry).await;
    forbidden("deleting the platform file", deleted, "copies of migrations only")?;
    let everywhere: Api<Secret> = Api::all(client.clone());
    forbidden(
        "listing all Secrets",
        everywhere.list(&ListParams::default()).await,
        RBAC,
    )?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &format!("tenant-{tenant}"));
    forbidden(
        "binding cluster-admin",
        bind(&bindings, "cluster-admin").await,
        "attempting to grant RBAC permissions",
    )?;
    env.delete(&tenant).await
}

/// Tries to give the operator a cluster role in a namespace; nothing is kept.
async fn bind(bindings: &Api<RoleBinding>, role: &str) -> kube::Result<RoleBinding> {
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "stolen" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": OPERATOR, "namespace": NAMESPACE }],
    }))
    .map_err(kube::Error::SerdeError)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    bindings.create(&dry, &binding).await
}

fn forbidden<T>(what: &str, result: kube::Result<T>, by: &str) -> Result<()> {
    match result {
        Ok(_) => bail!("{what} is allowed"),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            contains(&status.message, by).context(what.to_owned())
        }
        Err(error) => Err(error).with_context(|| format!("{what} is not refused but fails")),
    }
}

async fn the_operator_is_no_superuser_of_postgresql(env: &Env) -> Result<()> {
    let Json(facts): Json<Value> = sqlx::query_scalar(
        "SELECT jsonb_build_object('super', rolsuper, 'create databases', rolcreatedb, 'replicate', rolreplication,
             'bypass row security', rolbypassrls, 'create roles', rolcreaterole,
             'groups', (SELECT coalesce(jsonb_agg(roleid::regrole::text), '[]') FROM pg_auth_members
                        WHERE member = r.oid AND (SELECT g.rolname LIKE 'pg\\_%' OR g.rolsuper OR g.rolcreatedb
                            OR g.rolreplication OR g.rolbypassrls FROM pg_roles AS g WHERE g.oid = roleid)))
         FROM pg_roles AS r WHERE rolname = $1",
    )
    .bind(OPERATOR_ROLE)
    .fetch_one(&env.postgres)
    .await?;
    let wanted = json!({ "super": false, "create databases": false, "replicate": false, "bypass row security": false,
        "create roles": true, "groups": [] });
    ensure!(facts == wanted, "role {OPERATOR_ROLE} is {facts}");
    Ok(())
}

async fn the_operator_may_only_create_realms_in_keycloak(env: &Env) -> Result<()> {
    let admin = Admin::login(env).await?;
    let clients = admin.get(&format!("/master/clients?clientId={OPERATOR}")).await?;
    let id = clients[0]["id"]
        .as_str()
        .context("there is no client of the operator")?;
    let account = admin.get(&format!("/master/clients/{id}/service-account-user")).await?;
    let account = account["id"].as_str().context("the client has no service account")?;
    let roles = admin.get(&format!("/master/users/{account}/role-mappings")).await?;
    let names = |roles: &Value| {
        let roles = roles.as_array().into_iter().flatten();
        roles
            .filter_map(|role| role["name"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let realm = names(&roles["realmMappings"]);
    ensure!(realm == ["create-realm"], "it has the realm roles {realm:?}");
    // Keycloak gives the creator of a realm the management of that realm, as a client `<realm>-realm` of master.
    for (client, mapping) in roles["clientMappings"].as_object().into_iter().flatten() {
        ensure!(
            client.starts_with("tenant-") && client.ends_with("-realm"),
            "it has the roles {:?} of client {client}",
            names(&mapping["mappings"])
        );
    }
    let groups = admin.get(&format!("/master/users/{account}/groups")).await?;
    ensure!(groups == json!([]), "it is in the groups {groups}");
    Ok(())
}

async fn the_operator_is_no_administrator_of_minio(env: &Env) -> Result<()> {
    let admin = storage::admin(env)?;
    let user = admin
        .user_info(OPERATOR)
        .await?
        .context("there is no user of the operator")?;
    ensure!(user.policies == [OPERATOR], "it has the policies {:?}", user.policies);
    let policy = admin
        .info_canned_policy(OPERATOR)
        .await?
        .context("there is no policy of that name")?;
    let list = |value: &Value| match value {
        Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        Value::String(item) => vec![item.clone()],
        _ => vec![],
    };
    for statement in policy["Statement"].as_array().into_iter().flatten() {
        let actions: Vec<String> = list(&statement["Action"]);
        ensure!(!actions.is_empty(), "a statement names no actions: {statement}");
        for action in actions {
            match action.split_once(':') {
                Some(("admin", name)) => ensure!(!name.contains('*'), "it may {action}"),
                Some(("s3", _)) => {
                    let resources = list(&statement["Resource"]);
                    let of_tenants = |resource: &String| resource.starts_with("arn:aws:s3:::tenant-");
                    ensure!(
                        !resources.is_empty() && resources.iter().all(of_tenants),
                        "it may {action} on {resources:?}"
                    );
                }
                _ => bail!("it may {action}"),
            }
        }
    }
    Ok(())
}
