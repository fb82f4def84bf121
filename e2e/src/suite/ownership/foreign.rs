//! Things of a tenant's names that are not ours: made, looked at and removed with an administrator's rights.

use anyhow::{Context as _, Result};
use plexica_crds::{names::TenantSlug, tenant::conditions::Type};
use serde_json::{Value, json};
use sqlx::types::Json;

use crate::suite::{
    clients::{database, identity::Admin, storage},
    env::Env,
};

/// Secret of the foreign S3 user.
const SECRET_KEY: &str = "not-the-operators-key";

/// A thing that somebody else made.
#[derive(Clone, Copy, Debug)]
pub enum Foreign {
    /// A schema with a table.
    Schema,
    /// A login role.
    Role,
    /// A realm with a user.
    Realm,
    /// A bucket with an object.
    Bucket,
    /// An S3 user.
    User,
}

impl Foreign {
    /// Its name, which the tenant would need.
    pub fn name(self, slug: &TenantSlug) -> String {
        let [role, _] = slug.login_roles();
        let [user, _] = slug.storage_users();
        match self {
            Self::Schema => slug.schema().to_string(),
            Self::Role => role.to_string(),
            Self::Realm => slug.realm().to_string(),
            Self::Bucket => slug.bucket().to_string(),
            Self::User => user.to_string(),
        }
    }

    /// The condition of the part that it is in the way of.
    pub fn part(self) -> Type {
        match self {
            Self::Schema | Self::Role => Type::DatabaseReady,
            Self::Realm => Type::IdentityReady,
            Self::Bucket | Self::User => Type::StorageReady,
        }
    }

    /// Makes it.
    pub async fn make(self, env: &Env, slug: &TenantSlug) -> Result<()> {
        let name = self.name(slug);
        match self {
            Self::Schema => {
                let sql = format!(
                    "CREATE SCHEMA {name}; COMMENT ON SCHEMA {name} IS 'ledger of the accountants';
                     GRANT USAGE ON SCHEMA {name} TO PUBLIC;
                     CREATE TABLE {name}.ledger (id int PRIMARY KEY, amount numeric);
                     INSERT INTO {name}.ledger VALUES (1, 9.99)"
                );
                database::run(&env.postgres, &sql).await
            }
            Self::Role => {
                let sql = format!(
                    "CREATE ROLE {name} LOGIN PASSWORD 'theirs' CONNECTION LIMIT 3;
                     COMMENT ON ROLE {name} IS 'of the accountants'; ALTER ROLE {name} SET work_mem = '8MB'"
                );
                database::run(&env.postgres, &sql).await
            }
            Self::Realm => {
                let realm = json!({
                    "realm": name, "enabled": true, "displayName": "Somebody else's", "sslRequired": "none",
                    "attributes": { "theirs": "yes" },
                    "users": [{ "username": "theirs", "enabled": true }],
                });
                Admin::login(env).await?.post("", &realm).await
            }
            Self::Bucket => make_bucket(env, &name).await,
            Self::User => {
                let admin = storage::admin(env)?;
                admin.add_user(&name, &SECRET_KEY.into()).await?;
                Ok(admin.set_user_policy(&name, "readonly").await?)
            }
        }
    }

    /// Everything about it that the operator could have changed.
    pub async fn look(self, env: &Env, slug: &TenantSlug) -> Result<Value> {
        let name = self.name(slug);
        match self {
            Self::Schema => {
                query(
                    env,
                    &format!(
                        "SELECT jsonb_build_object('row', to_jsonb(n), 'comment', obj_description(n.oid, 'pg_namespace'),
                    'tables', (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.relname) FROM pg_class AS c WHERE relnamespace = n.oid),
                    'content', (SELECT jsonb_agg(l) FROM {name}.ledger AS l))
                 FROM pg_namespace AS n WHERE nspname = '{name}'"
                    ),
                )
                .await
            }
            Self::Role => {
                query(
                    env,
                    &format!(
                        "SELECT jsonb_build_object('row', to_jsonb(r), 'comment', shobj_description(r.oid, 'pg_authid'),
                    'settings', (SELECT jsonb_agg(setconfig) FROM pg_db_role_setting WHERE setrole = r.oid),
                    'member', (SELECT jsonb_agg(to_jsonb(m)) FROM pg_auth_members AS m
                               WHERE m.member = r.oid OR m.roleid = r.oid))
                 FROM pg_authid AS r WHERE rolname = '{name}'"
                    ),
                )
                .await
            }
            Self::Realm => look_at_realm(env, &name).await,
            Self::Bucket => look_at_bucket(env, &name).await,
            Self::User => look_at_user(env, &name).await,
        }
    }

    /// Removes it.
    pub async fn remove(self, env: &Env, slug: &TenantSlug) -> Result<()> {
        let name = self.name(slug);
        match self {
            Self::Schema => database::run(&env.postgres, &format!("DROP SCHEMA IF EXISTS {name} CASCADE")).await,
            Self::Role => database::run(&env.postgres, &format!("DROP ROLE IF EXISTS {name}")).await,
            Self::Realm => Admin::login(env).await?.delete(&format!("/{name}")).await,
            Self::Bucket => storage::remove_bucket(env, &name).await,
            Self::User => Ok(storage::admin(env)?.remove_user(&name).await?),
        }
    }
}

async fn query(env: &Env, sql: &str) -> Result<Value> {
    let Json(value): Json<Value> = database::value(&env.postgres, sql).await?;
    Ok(value)
}

async fn look_at_realm(env: &Env, name: &str) -> Result<Value> {
    let admin = Admin::login(env).await?;
    Ok(sorted(json!({
        "realm": admin.get(&format!("/{name}")).await?,
        "clients": admin.get(&format!("/{name}/clients")).await?,
        "roles": admin.get(&format!("/{name}/roles")).await?,
        "users": admin.get(&format!("/{name}/users")).await?,
    })))
}

/// The same with every list in order: Keycloak's are sets, and an answer may name them in another order than the last.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<_> = list.into_iter().map(sorted).collect();
            list.sort_by_cached_key(Value::to_string);
            list.into()
        }
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, sorted(value))).collect(),
        other => other,
    }
}

async fn make_bucket(env: &Env, name: &str) -> Result<()> {
    let root = storage::root(env);
    root.create_bucket().bucket(name).send().await?;
    let tag = aws_sdk_s3::types::Tag::builder()
        .key("department")
        .value("accounting")
        .build()?;
    let tagging = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build()?;
    root.put_bucket_tagging().bucket(name).tagging(tagging).send().await?;
    root.put_bucket_policy()
        .bucket(name)
        .policy(bucket_policy(name).to_string())
        .send()
        .await?;
    storage::put(&root, name, "ledger.csv", "1;9.99").await
}

fn bucket_policy(name: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "AWS": ["*"] },
        "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{name}/public/*")] }] })
}

async fn look_at_bucket(env: &Env, name: &str) -> Result<Value> {
    let root = storage::root(env);
    let tags = root.get_bucket_tagging().bucket(name).send().await?;
    let tags: Vec<_> = tags.tag_set().iter().map(|tag| [tag.key(), tag.value()]).collect();
    let policy = root.get_bucket_policy().bucket(name).send().await?;
    let versioning = root.get_bucket_versioning().bucket(name).send().await?;
    let objects = root.list_object_versions().bucket(name).send().await?;
    Ok(json!({
        "tags": tags,
        "policy": policy.policy().context("the bucket has lost its policy")?,
        "versioning": versioning.status().map(|status| status.as_str().to_owned()),
        "quota": storage::admin(env)?.get_bucket_quota(name).await?,
        "versions": objects.versions().len(),
        "object": storage::get(&root, name, "ledger.csv").await?,
    }))
}

async fn look_at_user(env: &Env, name: &str) -> Result<Value> {
    let info = storage::admin(env)?
        .user_info(name)
        .await?
        .context("the user is gone")?;
    // `readonly` lists nothing, and says so with AccessDenied: what matters is that the key is still accepted.
    let answer = storage::client(env, name, SECRET_KEY).list_buckets().send().await;
    let key = match &answer {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{:?}", aws_sdk_s3::error::ProvideErrorMetadata::code(error)),
    };
    Ok(json!({ "policies": info.policies, "enabled": info.enabled, "key": key }))
}
