//! A tenant's namespace: what limits it, what it holds, and that others' changes are set right.
//!
//! The stack's network plugin enforces no NetworkPolicy (environment.md): only the policy's shape is looked at here.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota, Secret},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use plexica_crds::tenant::conditions::Type;
use serde_json::{Value, json};

use super::{
    Case,
    clients::{database, identity, storage},
    env::{Env, contains, eventually, unique},
};

/// Name of quota, limits and policy.
const OBJECT: &str = "plexica-tenant";
/// Longest wait for a change to be set right.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_namespace_is_restricted_and_limited,
        all_traffic_is_denied_but_dns,
        secrets_hold_exactly_the_documented_keys,
        labels_and_annotations_of_the_spec_are_on_the_namespace,
        limits_of_the_spec_are_applied_and_changed,
        a_quota_that_somebody_changed_is_set_right_and_shown,
        a_network_policy_that_somebody_deleted_comes_back,
        a_pod_security_label_that_somebody_changed_is_set_right,
        a_deleted_secret_comes_back_with_new_credentials,
        a_secret_that_somebody_changed_is_set_right,
        a_storage_key_that_the_secret_does_not_hold_is_set_right,
    ]
}

/// A tenant that is Ready.
async fn tenant(env: &Env, spec: Value) -> Result<String> {
    let name = unique("space");
    env.create(&name, spec).await?;
    env.ready(&name).await?;
    Ok(name)
}

async fn namespace(env: &Env, tenant: &str) -> Result<Namespace> {
    Ok(Api::all(env.client.clone()).get(&format!("tenant-{tenant}")).await?)
}

fn inside<K>(env: &Env, tenant: &str) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(env.client.clone(), &format!("tenant-{tenant}"))
}

fn quantities(map: Option<&BTreeMap<String, Quantity>>) -> BTreeMap<&str, &str> {
    let entries = map.into_iter().flatten();
    entries
        .map(|(key, Quantity(value))| (key.as_str(), value.as_str()))
        .collect()
}

async fn a_namespace_is_restricted_and_limited(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let namespace = namespace(env, &name).await?;
    for (key, wanted) in [
        ("pod-security.kubernetes.io/enforce", "restricted"),
        ("plexica.io/tenant", name.as_str()),
    ] {
        let found = namespace.labels().get(key).map(String::as_str);
        ensure!(found == Some(wanted), "label {key} is {found:?}");
    }
    let quota = inside::<ResourceQuota>(env, &name).get(OBJECT).await?;
    let hard = quota.spec.and_then(|spec| spec.hard);
    let wanted = BTreeMap::from([
        ("requests.cpu", "4"),
        ("requests.memory", "8Gi"),
        ("limits.cpu", "8"),
        ("limits.memory", "16Gi"),
        ("pods", "50"),
        ("services.nodeports", "0"),
        ("services.loadbalancers", "0"),
    ]);
    ensure!(quantities(hard.as_ref()) == wanted, "the quota is {hard:?}");
    let limits = inside::<LimitRange>(env, &name).get(OBJECT).await?;
    let limits = limits.spec.context("no limits")?.limits;
    let item = limits.first().context("no limits of a container")?;
    ensure!(item.type_ == "Container", "the limits are of a {}", item.type_);
    ensure!(
        quantities(item.default.as_ref()) == BTreeMap::from([("cpu", "500m"), ("memory", "256Mi")])
            && quantities(item.default_request.as_ref()) == BTreeMap::from([("cpu", "50m"), ("memory", "64Mi")]),
        "the limits are {item:?}"
    );
    Ok(())
}

async fn all_traffic_is_denied_but_dns(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let policy = inside::<NetworkPolicy>(env, &name).get(OBJECT).await?;
    let spec = json!(policy.spec.context("an empty policy")?);
    ensure!(spec["podSelector"] == json!({}), "not of all pods: {spec}");
    ensure!(spec["policyTypes"] == json!(["Ingress", "Egress"]), "{spec}");
    ensure!(
        spec["ingress"].as_array().is_none_or(Vec::is_empty),
        "something may come in: {spec}"
    );
    let ports = |rule: &Value| {
        rule["ports"]
            .as_array()
            .is_some_and(|ports| ports.iter().all(|port| port["port"] == 53))
    };
    ensure!(
        spec["egress"].as_array().is_some_and(|rules| rules.iter().all(ports)),
        "more than DNS may go out: {spec}"
    );
    let none = tenant(env, json!({ "namespace": { "networkPolicy": "None" } })).await?;
    ensure!(
        inside::<NetworkPolicy>(env, &none).get_opt(OBJECT).await?.is_none(),
        "a policy that is not wanted"
    );
    Ok(())
}

/// The keys are stable API: design.md section 2, "Names".
async fn secrets_hold_exactly_the_documented_keys(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    for (secret, keys) in [
        (
            database::SECRET,
            &["database", "host", "password", "port", "schema", "uri", "username"][..],
        ),
        (
            storage::SECRET,
            &["accessKeyId", "bucket", "endpoint", "region", "secretAccessKey"],
        ),
        (
            identity::SECRET,
            &["apiClientId", "issuer", "jwksUri", "realm", "webClientId"],
        ),
    ] {
        let found = env.secret(&name, secret).await?;
        let found: Vec<_> = found.keys().map(String::as_str).collect();
        ensure!(found == keys, "{secret} has {found:?}");
    }
    let secret = env.secret(&name, database::SECRET).await?;
    let schema = format!("tenant_{}", name.replace('-', "_"));
    ensure!(secret["schema"] == schema, "the schema is {}", secret["schema"]);
    contains(&secret["uri"], &secret["password"])?;
    contains(&secret["uri"], &format!("/{}", secret["database"]))
}

async fn labels_and_annotations_of_the_spec_are_on_the_namespace(env: &Env) -> Result<()> {
    let spec = json!({ "namespace": {
        "labels": { "example.com/cost-centre": "cc-1" }, "annotations": { "example.com/owner": "ops" },
    }});
    let name = tenant(env, spec).await?;
    let found = namespace(env, &name).await?;
    ensure!(
        found
            .labels()
            .get("example.com/cost-centre")
            .is_some_and(|v| v == "cc-1")
    );
    ensure!(found.annotations().get("example.com/owner").is_some_and(|v| v == "ops"));

    // What the spec no longer names goes; what is the platform's stays.
    let change =
        json!({ "spec": { "namespace": { "labels": { "example.com/cost-centre": null, "example.com/team": "a" } } } });
    env.patch(&name, change).await?;
    env.ready(&name).await?;
    let found = namespace(env, &name).await?;
    ensure!(found.labels().get("example.com/team").is_some_and(|v| v == "a"));
    ensure!(
        !found.labels().contains_key("example.com/cost-centre"),
        "a label stays that the spec no longer names: {:?}",
        found.labels()
    );
    ensure!(found.labels().contains_key("pod-security.kubernetes.io/enforce"));
    Ok(())
}

async fn limits_of_the_spec_are_applied_and_changed(env: &Env) -> Result<()> {
    let name = tenant(env, json!({ "namespace": { "resourceQuota": { "pods": "7" } } })).await?;
    let quota = inside::<ResourceQuota>(env, &name);
    let hard = quota.get(OBJECT).await?.spec.and_then(|spec| spec.hard);
    ensure!(
        quantities(hard.as_ref()) == BTreeMap::from([("pods", "7")]),
        "the quota is {hard:?}"
    );
    env.patch(
        &name,
        json!({ "spec": { "namespace": { "resourceQuota": { "pods": null, "requests.cpu": "1500m" } } } }),
    )
    .await?;
    env.ready(&name).await?;
    let hard = quota.get(OBJECT).await?.spec.and_then(|spec| spec.hard);
    ensure!(
        quantities(hard.as_ref()) == BTreeMap::from([("requests.cpu", "1500m")]),
        "after the change the quota is {hard:?}"
    );
    Ok(())
}

/// What somebody else writes, with a field manager of its own as kubectl has.
fn somebody() -> PatchParams {
    PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    }
}

async fn a_quota_that_somebody_changed_is_set_right_and_shown(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let api = inside::<ResourceQuota>(env, &name);
    let more = Patch::Merge(json!({ "spec": { "hard": { "pods": "999" } } }));
    api.patch(OBJECT, &somebody(), &more).await?;
    eventually("the quota as declared", PATIENCE, || async {
        let hard = api.get(OBJECT).await?.spec.and_then(|spec| spec.hard);
        let pods = hard.and_then(|hard| hard.get("pods").cloned());
        ensure!(pods == Some(Quantity("50".to_owned())), "pods: {pods:?}");
        Ok(())
    })
    .await?;
    let told = env.reason(&name, Type::DriftDetected, "Corrected").await?;
    contains(&told.message, "ResourceQuota had been changed")
}

async fn a_network_policy_that_somebody_deleted_comes_back(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let api = inside::<NetworkPolicy>(env, &name);
    let before = api.get(OBJECT).await?.uid();
    api.delete(OBJECT, &DeleteParams::default()).await?;
    eventually("the policy", PATIENCE, || async {
        ensure!(api.get(OBJECT).await?.uid() != before, "it is not deleted yet");
        Ok(())
    })
    .await?;
    let told = env.reason(&name, Type::DriftDetected, "Corrected").await?;
    contains(&told.message, "NetworkPolicy was missing")
}

async fn a_pod_security_label_that_somebody_changed_is_set_right(env: &Env) -> Result<()> {
    const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
    let name = tenant(env, json!({})).await?;
    let api: Api<Namespace> = Api::all(env.client.clone());
    let patch = Patch::Merge(json!({ "metadata": { "labels": { ENFORCE: "privileged" } } }));
    api.patch(&format!("tenant-{name}"), &somebody(), &patch).await?;
    eventually("the label as declared", PATIENCE, || async {
        let found = namespace(env, &name).await?.labels().get(ENFORCE).cloned();
        ensure!(found.as_deref() == Some("restricted"), "it is {found:?}");
        Ok(())
    })
    .await
}

/// Secrets are not watched (docs/decisions: "The operator reads Secrets only where it bound itself"): a change of the
/// tenant's annotations is the trigger here, instead of the resync.
async fn a_deleted_secret_comes_back_with_new_credentials(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let secrets = inside::<Secret>(env, &name);
    let database_before = env.secret(&name, database::SECRET).await?;
    let storage_before = env.secret(&name, storage::SECRET).await?;
    let all = [database::SECRET, storage::SECRET, identity::SECRET];
    for secret in all {
        secrets.delete(secret, &DeleteParams::default()).await?;
    }
    env.touch(&name).await?;
    for secret in all {
        eventually(secret, PATIENCE, || env.secret(&name, secret)).await?;
    }
    env.ready(&name).await?;

    database::of_tenant(env, &name).await?;
    let refused = database::login_refused(env, &database_before).await?;
    // invalid_password
    ensure!(
        refused == "28P01",
        "the old password is refused with SQLSTATE {refused}"
    );
    let bucket = storage_before["bucket"].as_str();
    storage::put(&storage::of_tenant(env, &name).await?, bucket, "new", "key").await?;
    let old = storage::login(env, &storage_before)
        .list_objects_v2()
        .bucket(bucket)
        .send()
        .await;
    storage::refused(
        "the old key",
        old,
        &["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"],
    )
}

async fn a_secret_that_somebody_changed_is_set_right(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let secrets = inside::<Secret>(env, &name);
    let host = env.secret(&name, database::SECRET).await?["host"].clone();
    let elsewhere = Patch::Merge(json!({ "stringData": { "host": "elsewhere.example.com" } }));
    secrets.patch(database::SECRET, &somebody(), &elsewhere).await?;
    env.touch(&name).await?;
    eventually("the host as declared", PATIENCE, || async {
        let found = env.secret(&name, database::SECRET).await?["host"].clone();
        ensure!(found == host, "it is {found}");
        Ok(())
    })
    .await?;
    database::of_tenant(env, &name).await.map(drop)
}

/// So it looks, too, when a request of a killed operator was carried out after those of its successor.
async fn a_storage_key_that_the_secret_does_not_hold_is_set_right(env: &Env) -> Result<()> {
    let name = tenant(env, json!({})).await?;
    let secret = env.secret(&name, storage::SECRET).await?;
    let (user, bucket) = (&secret["accessKeyId"], &secret["bucket"]);
    let other = "a key that no Secret holds".to_owned().into();
    storage::admin(env)?.add_user(user, &other).await?;
    let of_tenant = storage::login(env, &secret);
    let refused = of_tenant.list_objects_v2().bucket(bucket).send().await;
    storage::refused("the Secret's key", refused, &["SignatureDoesNotMatch"])?;
    env.touch(&name).await?;
    eventually("the key that the Secret holds", PATIENCE, || async {
        storage::put(&of_tenant, bucket, "again", "x").await
    })
    .await?;
    let told = env.reason(&name, Type::DriftDetected, "Corrected").await?;
    contains(&told.message, "the key of Secret plexica-storage was not accepted")?;
    env.ready(&name).await.map(drop)
}
