//! `PostgreSQL`, as a tenant and as superuser.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use plexica_crds::names::TenantSlug;
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
    types::Json,
};

use crate::suite::env::Env;

/// `insufficient_privilege`.
pub const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Secret with a tenant's database credentials.
pub const SECRET: &str = "plexica-database";

/// A session with the credentials of a tenant's Secret. The host is the node's, which the Service leads to.
pub async fn login(env: &Env, secret: &BTreeMap<String, String>) -> Result<PgConnection, sqlx::Error> {
    let value = |key: &str| secret.get(key).map_or("", String::as_str);
    PgConnectOptions::new_without_pgpass()
        .host(&env.stack.node().to_string())
        .port(5432)
        .database(value("database"))
        .username(value("username"))
        .password(value("password"))
        .ssl_mode(PgSslMode::Disable)
        .connect()
        .await
}

/// A session with the credentials that the tenant's Secret holds now.
pub async fn of_tenant(env: &Env, tenant: &str) -> Result<PgConnection> {
    let secret = env.secret(tenant, SECRET).await?;
    login(env, &secret)
        .await
        .with_context(|| format!("login with Secret {SECRET} of {tenant}"))
}

/// Runs statements.
pub async fn run(executor: impl Executor<'_, Database = sqlx::Postgres>, sql: &str) -> Result<()> {
    executor
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .with_context(|| sql.to_owned())?;
    Ok(())
}

/// The one value that a query gives.
pub async fn value<'e, T>(executor: impl Executor<'e, Database = sqlx::Postgres>, sql: &str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .fetch_one(executor)
        .await
        .with_context(|| sql.to_owned())
}

/// The values of a query's only column.
pub async fn texts<'e>(executor: impl Executor<'e, Database = sqlx::Postgres>, sql: &str) -> Result<Vec<String>> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .fetch_all(executor)
        .await
        .with_context(|| sql.to_owned())
}

/// Whether a query gives any row.
pub async fn any<'e>(executor: impl Executor<'e, Database = sqlx::Postgres>, sql: &str) -> Result<bool> {
    value(executor, &format!("SELECT EXISTS ({sql})")).await
}

/// The SQLSTATE of an error of the server.
pub fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.map_or_else(|| format!("none: {error}"), std::borrow::Cow::into_owned)
}

/// Fails unless the server refuses the statement with this SQLSTATE.
pub async fn refused(connection: &mut PgConnection, sql: &str, wanted: &str) -> Result<()> {
    match connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await {
        Ok(_) => bail!("`{sql}` was not refused"),
        Err(error) => {
            let found = sqlstate(&error);
            ensure!(
                found == wanted,
                "`{sql}` was refused with SQLSTATE {found}, not {wanted}: {error}"
            );
            Ok(())
        }
    }
}

/// Fails unless a login with these credentials is refused; gives the SQLSTATE.
pub async fn login_refused(env: &Env, secret: &BTreeMap<String, String>) -> Result<String> {
    match login(env, secret).await {
        Ok(_) => bail!("role {:?} may still log in", secret.get("username")),
        Err(error) => Ok(sqlstate(&error)),
    }
}

/// The tenant's row of the registry; `None` if there is none.
pub async fn registry_row(env: &Env, tenant: &str) -> Result<Option<Value>> {
    let row: Option<Json<Value>> =
        sqlx::query_scalar("SELECT to_jsonb(t) - 'created_at' - 'updated_at' FROM core.tenants AS t WHERE slug = $1")
            .bind(tenant)
            .fetch_optional(&env.postgres)
            .await?;
    Ok(row.map(|Json(row)| row))
}

/// The tenant's row of the registry, which must be there.
pub async fn row(env: &Env, tenant: &str) -> Result<Value> {
    registry_row(env, tenant)
        .await?
        .with_context(|| format!("core.tenants has no row of {tenant}"))
}

/// Names of schema and roles of a tenant that exist.
pub async fn remains(env: &Env, tenant: &TenantSlug) -> Result<Vec<String>> {
    let schema = tenant.schema();
    texts(
        &env.postgres,
        &format!(
            "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname = '{schema}'
             UNION SELECT 'role ' || rolname FROM pg_roles WHERE rolname IN ('{schema}_owner', '{schema}_a', '{schema}_b')"
        ),
    )
    .await
}
