//! What a deleted tenant left on purpose, removed with the rights of the backends' administrators.

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use plexica_crds::names::TenantSlug;

use super::{
    clients::{database, identity::Admin, storage},
    env::Env,
};

/// Removes everything of a tenant's name from all backends and from the registry. The object must be gone.
pub async fn wipe(env: &Env, tenant: &str) -> Result<()> {
    let slug = TenantSlug::parse(tenant)?;
    wipe_database(env, &slug).await?;
    Admin::login(env).await?.delete(&format!("/{}", slug.realm())).await?;
    wipe_storage(env, &slug).await?;
    let namespaces: Api<Namespace> = Api::all(env.client.clone());
    let name = slug.namespace().to_string();
    if namespaces.get_opt(&name).await?.is_some() {
        namespaces.delete(&name, &DeleteParams::default()).await?;
    }
    Ok(())
}

async fn wipe_database(env: &Env, slug: &TenantSlug) -> Result<()> {
    let schema = slug.schema();
    let postgres = &env.postgres;
    database::run(postgres, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
    let [a, b] = slug.login_roles();
    for role in [a, b, slug.owner_role()] {
        if database::any(postgres, &format!("SELECT FROM pg_roles WHERE rolname = '{role}'")).await? {
            database::run(postgres, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
        }
    }
    database::run(postgres, &format!("DELETE FROM core.tenants WHERE slug = '{slug}'")).await
}

async fn wipe_storage(env: &Env, slug: &TenantSlug) -> Result<()> {
    let bucket = slug.bucket();
    storage::remove_bucket(env, bucket.as_str()).await?;
    let admin = storage::admin(env)?;
    for user in slug.storage_users() {
        admin.remove_user(user.as_str()).await?;
    }
    // The tenant's policy is named as its bucket.
    admin.remove_canned_policy(bucket.as_str()).await?;
    Ok(())
}
