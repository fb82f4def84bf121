//! What is not ours is never touched: design.md section 3, "Ownership".
//!
//! A thing of the tenant's name is made beforehand by somebody else. The tenant says `NotOwned` and names it; the thing
//! is the same before and after, also when the tenant is deleted.

mod foreign;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use plexica_crds::{LABEL_TENANT, names::TenantSlug, tenant::conditions::Type};
use serde_json::{Value, json};

use super::{
    Case,
    env::{Env, condition_of, contains, post, unique},
};
use foreign::Foreign;

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_schema_that_is_not_ours_stays_untouched,
        a_role_that_is_not_ours_stays_untouched,
        a_realm_that_is_not_ours_stays_untouched,
        a_bucket_that_is_not_ours_stays_untouched,
        an_s3_user_that_is_not_ours_stays_untouched,
        a_tenant_recovers_by_itself_when_the_foreign_schema_is_gone,
        a_tenant_recovers_by_itself_when_the_foreign_bucket_is_gone,
        a_namespace_without_our_label_is_left_alone_until_it_is_labelled,
        an_adopted_namespace_outlives_its_tenant,
    ]
}

async fn a_schema_that_is_not_ours_stays_untouched(env: &Env) -> Result<()> {
    stays_untouched(env, Foreign::Schema).await
}

async fn a_role_that_is_not_ours_stays_untouched(env: &Env) -> Result<()> {
    stays_untouched(env, Foreign::Role).await
}

async fn a_realm_that_is_not_ours_stays_untouched(env: &Env) -> Result<()> {
    stays_untouched(env, Foreign::Realm).await
}

async fn a_bucket_that_is_not_ours_stays_untouched(env: &Env) -> Result<()> {
    stays_untouched(env, Foreign::Bucket).await
}

async fn an_s3_user_that_is_not_ours_stays_untouched(env: &Env) -> Result<()> {
    stays_untouched(env, Foreign::User).await
}

async fn a_tenant_recovers_by_itself_when_the_foreign_schema_is_gone(env: &Env) -> Result<()> {
    recovers(env, Foreign::Schema).await
}

async fn a_tenant_recovers_by_itself_when_the_foreign_bucket_is_gone(env: &Env) -> Result<()> {
    recovers(env, Foreign::Bucket).await
}

/// Makes the foreign thing and then the tenant; gives its name, and the thing as it was.
async fn stalled(env: &Env, foreign: Foreign) -> Result<(TenantSlug, Value)> {
    let name = unique("foreign");
    let slug = TenantSlug::parse(&name)?;
    let (later, name_of_it) = (env.clone(), slug.clone());
    env.afterwards(async move { foreign.remove(&later, &name_of_it).await });
    foreign.make(env, &slug).await?;
    let before = foreign.look(env, &slug).await?;
    env.create(&name, json!({})).await?;
    let told = env.reason(&name, Type::Stalled, "NotOwned").await?;
    contains(&told.message, &foreign.name(&slug))?;
    contains(&told.message, "it stays untouched")?;
    let tenant = env.tenants().get(&name).await?;
    let part = condition_of(&tenant, foreign.part()).map(|part| (part.status.as_str(), part.reason.as_str()));
    ensure!(
        part == Some(("False", "NotOwned")),
        "{:?} says {part:?}",
        foreign.part()
    );
    Ok((slug, before))
}

async fn unchanged(env: &Env, foreign: Foreign, slug: &TenantSlug, before: &Value, when: &str) -> Result<()> {
    let after = foreign.look(env, slug).await?;
    ensure!(
        after == *before,
        "{} has changed {when}: {}",
        foreign.name(slug),
        json_patch::diff(before, &after)
    );
    Ok(())
}

async fn stays_untouched(env: &Env, foreign: Foreign) -> Result<()> {
    let (slug, before) = stalled(env, foreign).await?;
    unchanged(env, foreign, &slug, &before, "while the tenant was there").await?;
    env.delete(slug.as_str()).await?;
    unchanged(env, foreign, &slug, &before, "by the tenant's deletion").await
}

async fn recovers(env: &Env, foreign: Foreign) -> Result<()> {
    let (slug, _) = stalled(env, foreign).await?;
    foreign.remove(env, &slug).await?;
    let tenant = env.ready(slug.as_str()).await?;
    ensure!(
        condition_of(&tenant, Type::Stalled).is_none(),
        "a Ready tenant has no condition Stalled"
    );
    Ok(())
}

/// A namespace of the tenant's name with something in it, that goes at the end of the test.
async fn make_namespace(env: &Env, name: &str, labels: Value) -> Result<Api<Namespace>> {
    let api: Api<Namespace> = Api::all(env.client.clone());
    let namespace = format!("tenant-{name}");
    post(&api, json!({ "metadata": { "name": namespace, "labels": labels } })).await?;
    let (later, name_of_it) = (api.clone(), namespace.clone());
    env.afterwards(async move { Ok(later.delete(&name_of_it, &DeleteParams::default()).await.map(drop)?) });
    let things: Api<ConfigMap> = Api::namespaced(env.client.clone(), &namespace);
    post(
        &things,
        json!({ "metadata": { "name": "theirs" }, "data": { "key": "value" } }),
    )
    .await?;
    Ok(api)
}

async fn a_namespace_without_our_label_is_left_alone_until_it_is_labelled(env: &Env) -> Result<()> {
    let name = unique("labelled");
    let namespace = format!("tenant-{name}");
    let api = make_namespace(env, &name, json!({})).await?;
    let before = api.get(&namespace).await?;
    env.create(&name, json!({})).await?;
    let told = env.reason(&name, Type::Stalled, "NotOwned").await?;
    contains(
        &told.message,
        &format!("kubectl label namespace {namespace} {LABEL_TENANT}={name}"),
    )?;
    let after = api.get(&namespace).await?;
    ensure!(
        before.labels() == after.labels() && before.annotations() == after.annotations(),
        "the namespace has changed: {:?}",
        after.metadata
    );
    let secrets: Api<Secret> = Api::namespaced(env.client.clone(), &namespace);
    ensure!(
        secrets.list(&ListParams::default()).await?.items.is_empty(),
        "Secrets were written into a namespace that is not ours"
    );

    // What the message says, done.
    let label = json!({ "metadata": { "labels": { LABEL_TENANT: name } } });
    api.patch(&namespace, &PatchParams::default(), &Patch::Merge(label))
        .await?;
    env.ready(&name).await.map(drop)
}

async fn an_adopted_namespace_outlives_its_tenant(env: &Env) -> Result<()> {
    let name = unique("adopted");
    let namespace = format!("tenant-{name}");
    let labels = json!({ LABEL_TENANT: name, "example.com/theirs": "yes" });
    let api = make_namespace(env, &name, labels).await?;
    env.create(&name, json!({})).await?;
    let tenant = env.ready(&name).await?;
    let told = condition_of(&tenant, Type::NamespaceReady).map_or("", |found| found.message.as_str());
    contains(told, "adopted")?;
    env.delete(&name).await?;
    let left = api.get(&namespace).await?;
    ensure!(
        left.metadata.deletion_timestamp.is_none(),
        "the adopted namespace is being deleted"
    );
    ensure!(
        left.labels()
            .get("example.com/theirs")
            .is_some_and(|value| value == "yes"),
        "a label is lost: {:?}",
        left.labels()
    );
    let things: Api<ConfigMap> = Api::namespaced(env.client.clone(), &namespace);
    things.get("theirs").await?;
    let secrets: Api<Secret> = Api::namespaced(env.client.clone(), &namespace);
    let left: Vec<_> = secrets
        .list(&ListParams::default())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    ensure!(left.is_empty(), "credentials of the deleted tenant are left: {left:?}");
    Ok(())
}
