//! What a tenant's own credentials open, and what they do not: design.md sections 1 and 3.
//!
//! Everything here is tried with the Secrets that the operator wrote, as a service of the tenant would.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use plexica_crds::{names::TenantSlug, tenant::conditions::Type};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    Case,
    clients::{
        database::{self, INSUFFICIENT_PRIVILEGE},
        storage,
    },
    env::{Env, unique},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_tenant_reads_and_writes_its_own_tables,
        a_tenant_cannot_reach_schemas_of_others_or_become_anybody,
        a_tenant_cannot_reach_other_databases,
        connections_of_a_tenant_are_limited_as_the_spec_says,
        statements_of_a_tenant_end_when_the_spec_says,
        a_tenant_reads_and_writes_its_own_bucket,
        a_tenant_cannot_reach_buckets_of_others,
        a_tenant_cannot_change_what_its_bucket_is,
        a_bucket_has_the_quota_and_the_versioning_of_the_spec,
        the_operator_says_that_it_tried_the_isolation,
    ]
}

/// Two tenants that are Ready.
async fn neighbours(env: &Env) -> Result<[String; 2]> {
    let names = [unique("left"), unique("right")];
    for name in &names {
        env.create(name, json!({})).await?;
    }
    for name in &names {
        env.ready(name).await?;
    }
    Ok(names)
}

/// Writes and reads a row of its own.
async fn works(connection: &mut PgConnection) -> Result<()> {
    database::run(
        &mut *connection,
        "INSERT INTO users (keycloak_id, email) VALUES ('k-1', 'ann@example.com')",
    )
    .await?;
    let email: String = database::value(&mut *connection, "SELECT email FROM users WHERE keycloak_id = 'k-1'").await?;
    ensure!(email == "ann@example.com", "read {email}");
    Ok(())
}

/// Without naming the schema: the role's `search_path` leads there.
async fn a_tenant_reads_and_writes_its_own_tables(env: &Env) -> Result<()> {
    let name = unique("tables");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let mut connection = database::of_tenant(env, &name).await?;
    works(&mut connection).await?;
    for sql in [
        "UPDATE users SET name = 'Ann' WHERE keycloak_id = 'k-1'",
        "INSERT INTO teams (name) VALUES ('support')",
        "DELETE FROM users",
    ] {
        database::run(&mut connection, sql).await?;
    }
    Ok(())
}

async fn a_tenant_cannot_reach_schemas_of_others_or_become_anybody(env: &Env) -> Result<()> {
    let [left, right] = neighbours(env).await?;
    let (own, other) = (TenantSlug::parse(&left)?, TenantSlug::parse(&right)?);
    works(&mut database::of_tenant(env, &right).await?).await?;
    let mut connection = database::of_tenant(env, &left).await?;
    let (schema, owner) = (own.schema(), own.owner_role());
    let (other_schema, [other_login, _]) = (other.schema(), other.login_roles());
    for sql in [
        format!("SELECT * FROM {other_schema}.users"),
        format!("INSERT INTO {other_schema}.users (keycloak_id, email) VALUES ('x', 'y@example.com')"),
        format!("DROP TABLE {other_schema}.users"),
        "SELECT * FROM core.tenants".to_owned(),
        "UPDATE core.tenants SET status = 'DELETED'".to_owned(),
        "CREATE TABLE public.stolen (id int)".to_owned(),
        format!("CREATE TABLE {schema}.own (id int)"),
        format!("DROP TABLE {schema}.users"),
        format!("TRUNCATE {schema}.users"),
        format!("SELECT * FROM {schema}._migrations"),
        "CREATE SCHEMA stolen".to_owned(),
        "CREATE ROLE stolen".to_owned(),
        "CREATE TEMPORARY TABLE stolen (id int)".to_owned(),
        format!("SET ROLE {owner}"),
        format!("SET ROLE {other_login}"),
        "SET ROLE plexica_operator".to_owned(),
        "SET SESSION AUTHORIZATION postgres".to_owned(),
        format!("GRANT {owner} TO {other_login}"),
        "COPY (SELECT 1) TO PROGRAM 'true'".to_owned(),
        "SELECT pg_read_file('/etc/passwd')".to_owned(),
        "SELECT rolpassword FROM pg_authid".to_owned(),
    ] {
        database::refused(&mut connection, &sql, INSUFFICIENT_PRIVILEGE).await?;
    }
    Ok(())
}

/// CONNECT is given to those that need it, not to PUBLIC.
async fn a_tenant_cannot_reach_other_databases(env: &Env) -> Result<()> {
    let name = unique("elsewhere");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let mut secret = env.secret(&name, database::SECRET).await?;
    for other in ["postgres", "keycloak", "plexica_small"] {
        secret.insert("database".to_owned(), other.to_owned());
        let found = database::login_refused(env, &secret).await?;
        ensure!(found == INSUFFICIENT_PRIVILEGE, "{other}: SQLSTATE {found}");
    }
    Ok(())
}

async fn connections_of_a_tenant_are_limited_as_the_spec_says(env: &Env) -> Result<()> {
    let name = unique("few");
    env.create(&name, json!({ "database": { "connectionLimit": 2 } }))
        .await?;
    env.ready(&name).await?;
    let secret = env.secret(&name, database::SECRET).await?;
    let limit = limit_of(env, &secret).await?;
    ensure!(limit == 2, "the role's limit is {limit}");
    let _held = [
        database::login(env, &secret).await?,
        database::login(env, &secret).await?,
    ];
    // too_many_connections
    let third = database::login_refused(env, &secret).await?;
    ensure!(
        third == "53300",
        "the third connection is refused with SQLSTATE {third}"
    );

    env.patch(&name, json!({ "spec": { "database": { "connectionLimit": 5 } } }))
        .await?;
    env.ready(&name).await?;
    let limit = limit_of(env, &secret).await?;
    ensure!(limit == 5, "after the change the role's limit is {limit}");
    Ok(())
}

async fn limit_of(env: &Env, secret: &BTreeMap<String, String>) -> Result<i32> {
    let sql = format!(
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = '{}'",
        secret["username"]
    );
    database::value(&env.postgres, &sql).await
}

async fn statements_of_a_tenant_end_when_the_spec_says(env: &Env) -> Result<()> {
    let name = unique("quick");
    env.create(&name, json!({ "database": { "statementTimeout": "1500ms" } }))
        .await?;
    env.ready(&name).await?;
    let mut connection = database::of_tenant(env, &name).await?;
    let shown: String = database::value(&mut connection, "SHOW statement_timeout").await?;
    ensure!(shown == "1500ms", "statement_timeout is {shown}");
    // query_canceled
    database::refused(&mut connection, "SELECT pg_sleep(20)", "57014").await
}

async fn a_tenant_reads_and_writes_its_own_bucket(env: &Env) -> Result<()> {
    let name = unique("objects");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let secret = env.secret(&name, storage::SECRET).await?;
    let (client, bucket) = (storage::login(env, &secret), secret["bucket"].as_str());
    storage::put(&client, bucket, "folder/a.txt", "hello").await?;
    let read = storage::get(&client, bucket, "folder/a.txt").await?;
    ensure!(read == "hello", "read {read}");
    let list = client.list_objects_v2().bucket(bucket).send().await?;
    let keys: Vec<_> = list.contents().iter().filter_map(|object| object.key()).collect();
    ensure!(keys == ["folder/a.txt"], "listed {keys:?}");
    client.delete_object().bucket(bucket).key("folder/a.txt").send().await?;
    let shown = storage::buckets(&client).await?;
    ensure!(shown == [bucket], "ListBuckets shows {shown:?}");
    Ok(())
}

async fn a_tenant_cannot_reach_buckets_of_others(env: &Env) -> Result<()> {
    const DENIED: &[&str] = &["AccessDenied"];
    let [left, right] = neighbours(env).await?;
    let other = TenantSlug::parse(&right)?.bucket().to_string();
    storage::put(&storage::of_tenant(env, &right).await?, &other, "secret.txt", "theirs").await?;
    let client = storage::of_tenant(env, &left).await?;
    let get = client.get_object().bucket(&other).key("secret.txt").send().await;
    storage::refused("reading another's object", get, DENIED)?;
    let put = client
        .put_object()
        .bucket(&other)
        .key("x")
        .body(b"x".to_vec().into())
        .send()
        .await;
    storage::refused("writing into another's bucket", put, DENIED)?;
    let list = client.list_objects_v2().bucket(&other).send().await;
    storage::refused("listing another's bucket", list, DENIED)?;
    let delete = client.delete_object().bucket(&other).key("secret.txt").send().await;
    storage::refused("deleting another's object", delete, DENIED)?;
    let tags = client.get_bucket_tagging().bucket(&other).send().await;
    storage::refused("reading another's tags", tags, DENIED)?;
    let make = client.create_bucket().bucket(format!("{other}-more")).send().await;
    storage::refused("making a bucket", make, DENIED)?;
    let theirs = storage::get(&storage::root(env), &other, "secret.txt").await?;
    ensure!(theirs == "theirs", "the other's object has become {theirs}");
    Ok(())
}

/// Mark, policy and life of the bucket are the operator's.
async fn a_tenant_cannot_change_what_its_bucket_is(env: &Env) -> Result<()> {
    const DENIED: &[&str] = &["AccessDenied"];
    let name = unique("bounded");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let bucket = TenantSlug::parse(&name)?.bucket().to_string();
    let client = storage::of_tenant(env, &name).await?;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": { "AWS": ["*"] },
        "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{bucket}/*")] }] });
    let open = client
        .put_bucket_policy()
        .bucket(&bucket)
        .policy(policy.to_string())
        .send()
        .await;
    storage::refused("opening the bucket to everybody", open, DENIED)?;
    let untag = client.delete_bucket_tagging().bucket(&bucket).send().await;
    storage::refused("removing the mark", untag, DENIED)?;
    let delete = client.delete_bucket().bucket(&bucket).send().await;
    storage::refused("deleting the bucket", delete, DENIED)
}

async fn a_bucket_has_the_quota_and_the_versioning_of_the_spec(env: &Env) -> Result<()> {
    let name = unique("sized");
    env.create(&name, json!({ "storage": { "quota": "64Mi", "versioning": true } }))
        .await?;
    env.ready(&name).await?;
    let bucket = TenantSlug::parse(&name)?.bucket().to_string();
    ensure!(
        described(env, &bucket).await? == (Some(64 << 20), "Enabled".to_owned()),
        "{:?}",
        described(env, &bucket).await?
    );

    let change = json!({ "spec": { "storage": { "quota": "1.5Gi", "versioning": false } } });
    env.patch(&name, change).await?;
    env.ready(&name).await?;
    ensure!(
        described(env, &bucket).await? == (Some(1536 << 20), "Suspended".to_owned()),
        "after the change: {:?}",
        described(env, &bucket).await?
    );
    Ok(())
}

/// A bucket's quota in bytes and its versioning, as root sees them.
async fn described(env: &Env, bucket: &str) -> Result<(Option<u64>, String)> {
    let quota = storage::admin(env)?.get_bucket_quota(bucket).await?;
    let versioning = storage::root(env).get_bucket_versioning().bucket(bucket).send().await?;
    let versioning = versioning.status().map_or("Off", |status| status.as_str());
    Ok((quota, versioning.to_owned()))
}

async fn the_operator_says_that_it_tried_the_isolation(env: &Env) -> Result<()> {
    let name = unique("tried");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    // The pass after the one that made everything tries it: with what the Secrets hold.
    let said = env.reason(&name, Type::IsolationVerified, "Verified").await?;
    ensure!(said.status == "True", "IsolationVerified says {said:?}");
    Ok(())
}
