//! Deleting a tenant with its data, and deletions that meet trouble: design.md section 5.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::DeleteParams};
use plexica_crds::{names::TenantSlug, tenant::conditions::Type};
use serde_json::json;

use super::{
    Case,
    clients::{database, identity::Admin, storage},
    env::{Env, eventually, unique},
};

/// Namespaces go in the background.
const PATIENCE: Duration = Duration::from_mins(1);

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_confirmed_deletion_drops_everything,
        a_name_is_free_again_after_its_data_was_dropped,
        a_bucket_with_former_versions_is_dropped,
        a_tenant_that_never_had_a_place_can_be_deleted,
        a_tenant_can_be_deleted_while_it_is_being_made,
        a_namespace_deleted_by_hand_drops_no_data_and_is_made_again,
        a_tenant_can_be_deleted_after_its_namespace,
    ]
}

/// Nothing of the tenant is left in any backend.
async fn nothing_is_left(env: &Env, slug: &TenantSlug) -> Result<()> {
    let left = database::remains(env, slug).await?;
    ensure!(left.is_empty(), "in PostgreSQL: {left:?}");
    let realm = Admin::login(env).await?.find(&format!("/{}", slug.realm())).await?;
    ensure!(realm.is_none(), "the realm is left");
    let bucket = slug.bucket();
    ensure!(!storage::exists(env, bucket.as_str()).await?, "the bucket is left");
    let admin = storage::admin(env)?;
    for user in slug.storage_users() {
        ensure!(admin.user_info(user.as_str()).await?.is_none(), "user {user} is left");
    }
    ensure!(
        admin.info_canned_policy(bucket.as_str()).await?.is_none(),
        "the policy is left"
    );
    Ok(())
}

/// The namespace is gone, or on its way.
async fn namespace_goes(env: &Env, slug: &TenantSlug) -> Result<()> {
    let api: Api<Namespace> = Api::all(env.client.clone());
    let name = slug.namespace().to_string();
    eventually("the end of the namespace", PATIENCE, || async {
        ensure!(api.get_opt(&name).await?.is_none(), "{name} is still there");
        Ok(())
    })
    .await
}

async fn a_confirmed_deletion_drops_everything(env: &Env) -> Result<()> {
    let name = unique("dropped");
    let slug = TenantSlug::parse(&name)?;
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let mut connection = database::of_tenant(env, &name).await?;
    database::run(&mut connection, "INSERT INTO teams (name) VALUES ('gone')").await?;
    storage::put(
        &storage::of_tenant(env, &name).await?,
        slug.bucket().as_str(),
        "gone",
        "gone",
    )
    .await?;
    env.delete(&name).await?;
    nothing_is_left(env, &slug).await?;
    let row = database::row(env, &name).await?;
    ensure!(row["status"] == "DELETED", "the registry has {row}");
    namespace_goes(env, &slug).await
}

async fn a_name_is_free_again_after_its_data_was_dropped(env: &Env) -> Result<()> {
    let name = unique("again");
    env.create(&name, json!({})).await?;
    let first = env.ready(&name).await?;
    let mut connection = database::of_tenant(env, &name).await?;
    database::run(&mut connection, "INSERT INTO teams (name) VALUES ('of the first')").await?;
    env.delete(&name).await?;
    // At once: the first one's namespace may still be on its way.
    env.create(&name, json!({})).await?;
    let second = env.ready(&name).await?;
    ensure!(
        first.uid() != second.uid() && database::row(env, &name).await?["id"] == json!(second.uid()),
        "the registry does not know the second"
    );
    let mut connection = database::of_tenant(env, &name).await?;
    ensure!(
        !database::any(&mut connection, "SELECT FROM teams").await?,
        "the second reads what was the first's"
    );
    Ok(())
}

async fn a_bucket_with_former_versions_is_dropped(env: &Env) -> Result<()> {
    let name = unique("versions");
    let slug = TenantSlug::parse(&name)?;
    env.create(&name, json!({ "storage": { "versioning": true } })).await?;
    env.ready(&name).await?;
    let (client, bucket) = (storage::of_tenant(env, &name).await?, slug.bucket().to_string());
    for text in ["one", "two", "three"] {
        storage::put(&client, &bucket, "versioned", text).await?;
    }
    client.delete_object().bucket(&bucket).key("versioned").send().await?;
    env.delete(&name).await?;
    nothing_is_left(env, &slug).await
}

/// Nothing was written outside of Kubernetes, so there is nothing to wait for.
async fn a_tenant_that_never_had_a_place_can_be_deleted(env: &Env) -> Result<()> {
    let name = unique("placeless");
    env.create(&name, json!({ "database": { "pool": "nowhere" } })).await?;
    env.reason(&name, Type::Stalled, "PoolUnknown").await?;
    env.delete(&name).await?;
    ensure!(
        database::registry_row(env, &name).await?.is_none(),
        "the registry has a row of it"
    );
    nothing_is_left(env, &TenantSlug::parse(&name)?).await
}

/// Whatever the pass that makes it has made so far.
async fn a_tenant_can_be_deleted_while_it_is_being_made(env: &Env) -> Result<()> {
    let name = unique("hasty");
    env.create(&name, json!({})).await?;
    env.until(&name, "begun", |tenant| tenant.status.is_some()).await?;
    env.delete(&name).await?;
    nothing_is_left(env, &TenantSlug::parse(&name)?).await
}

async fn a_namespace_deleted_by_hand_drops_no_data_and_is_made_again(env: &Env) -> Result<()> {
    let name = unique("byhand");
    let slug = TenantSlug::parse(&name)?;
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let mut connection = database::of_tenant(env, &name).await?;
    database::run(&mut connection, "INSERT INTO teams (name) VALUES ('survivors')").await?;
    let client = storage::of_tenant(env, &name).await?;
    storage::put(&client, slug.bucket().as_str(), "survivor.txt", "alive").await?;

    let api: Api<Namespace> = Api::all(env.client.clone());
    let namespace = slug.namespace().to_string();
    let before = api.get(&namespace).await?.uid();
    api.delete(&namespace, &DeleteParams::default()).await?;
    eventually("a new namespace", PATIENCE, || async {
        let now = api.get(&namespace).await?;
        ensure!(now.uid() != before, "it is not gone yet");
        Ok(())
    })
    .await?;
    eventually("new Secrets", PATIENCE, || async {
        let mut connection = database::of_tenant(env, &name).await?;
        ensure!(
            database::any(&mut connection, "SELECT FROM teams WHERE name = 'survivors'").await?,
            "the row is lost"
        );
        let client = storage::of_tenant(env, &name).await?;
        let object = storage::get(&client, slug.bucket().as_str(), "survivor.txt").await?;
        ensure!(object == "alive", "the object has become {object}");
        Ok(())
    })
    .await?;
    env.ready(&name).await.map(drop)
}

/// The finalizer reads nothing from the namespace.
async fn a_tenant_can_be_deleted_after_its_namespace(env: &Env) -> Result<()> {
    let name = unique("bare");
    let slug = TenantSlug::parse(&name)?;
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let api: Api<Namespace> = Api::all(env.client.clone());
    api.delete(slug.namespace().as_str(), &DeleteParams::default()).await?;
    env.delete(&name).await?;
    nothing_is_left(env, &slug).await?;
    namespace_goes(env, &slug).await
}
