//! The isolation self-test: with the tenant's or plugin's own password, try what must work and what must not.

use plexica_crds::{
    names::TenantSlug,
    plugin::{Privilege, TenantTableName},
};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use strum::IntoEnumIterator;

use super::{
    connection::{PostgresConfig, explain, sqlstate},
    plugin::PluginDatabaseSpec,
    sql::{identifier, literal},
};
use crate::backends::{BackendError, Breaches, http};

/// `insufficient_privilege`.
const REFUSED: &str = "42501";
/// SQLSTATEs of something that is not there to be refused: no schema, no table.
const NOT_THERE: [&str; 2] = ["3F000", "42P01"];

/// Another tenant's schema, if there is one; a tenant's own plugins live in `<schema>_plugin_<id>`.
const NEIGHBOUR: &str = r"
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE nspname LIKE 'tenant\_%' AND nspname <> $1 AND NOT starts_with(nspname::text, $1 || '_plugin_')
ORDER BY pg_catalog.random() LIMIT 1";

/// Other tenants' and plugins' schemas that the session may use; `$1` its own, `$2` its tenant's.
const OPEN_SCHEMAS: &str = r"
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE (nspname LIKE 'tenant\_%' OR nspname IN ('core', 'plexica')) AND nspname NOT IN ($1, $2)
  AND pg_catalog.has_schema_privilege(oid, 'USAGE, CREATE') ORDER BY 1 LIMIT 5";

/// Roles the session may act as, beyond itself. Inherited membership in the group of those that may connect is no
/// `SET`.
const MAY_BECOME: &str = r"
SELECT rolname::text FROM pg_catalog.pg_roles
WHERE rolname <> current_user AND pg_catalog.pg_has_role(current_user, oid, 'SET') ORDER BY 1 LIMIT 5";

/// Logs in with the tenant's credential and probes. Everything probed is rolled back.
pub(super) async fn verify(
    config: &PostgresConfig,
    slug: &TenantSlug,
    username: &str,
    password: &SecretString,
) -> Result<Breaches, BackendError> {
    probed(config, username, password, async |connection| {
        probe(connection, slug).await
    })
    .await
}

/// Logs in with the plugin's credential and probes. Everything probed is rolled back.
pub(super) async fn verify_plugin(
    config: &PostgresConfig,
    spec: &PluginDatabaseSpec,
    username: &str,
    password: &SecretString,
) -> Result<Breaches, BackendError> {
    probed(config, username, password, async |connection| {
        probe_plugin(connection, spec).await
    })
    .await
}

async fn probed(
    config: &PostgresConfig,
    username: &str,
    password: &SecretString,
    probe: impl AsyncFnOnce(&mut PgConnection) -> Result<Breaches, sqlx::Error>,
) -> Result<Breaches, BackendError> {
    let system = format!("PostgreSQL at {}:{} (role {username})", config.host, config.port);
    let options = config
        .options(username, password)
        .application_name("plexica-isolation-test");
    let mut connection = match options.connect().await {
        Ok(connection) => connection,
        Err(error) if sqlstate(&error).is_some_and(|code| code.starts_with("28")) => {
            return Ok(vec![format!("cannot log in as {username} with its credential")]);
        }
        Err(error) => return Err(explain(&error, &system)),
    };
    let found = probe(&mut connection).await.map_err(|error| explain(&error, &system));
    // A failed farewell says nothing about isolation.
    let _ = connection.close().await;
    found
}

async fn probe(connection: &mut PgConnection, slug: &TenantSlug) -> Result<Breaches, sqlx::Error> {
    let mut breaches = Breaches::new();
    // Unqualified: the role's search_path must lead to its own schema.
    if let Err(error) = attempt(connection, "SELECT 1 FROM roles LIMIT 1").await? {
        breaches.push(format!("cannot read its own schema: {error}"));
    }
    let owner = identifier(slug.owner_role().as_str());
    let schema = identifier(slug.schema().as_str());
    let mut forbidden = vec![
        (
            "SELECT 1 FROM core.tenants LIMIT 1".to_owned(),
            "may read schema core".to_owned(),
        ),
        (
            "CREATE TABLE public.plexica_probe ()".to_owned(),
            "may create tables in schema public".to_owned(),
        ),
        (
            format!("CREATE TABLE {schema}.plexica_probe ()"),
            "may create tables in its own schema".to_owned(),
        ),
        (
            format!("SET LOCAL ROLE {owner}"),
            "may become the owner of its schema".to_owned(),
        ),
        ("CREATE ROLE plexica_probe".to_owned(), "may create roles".to_owned()),
    ];
    let neighbour: Option<String> = sqlx::query_scalar(NEIGHBOUR)
        .bind(slug.schema().as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(neighbour) = neighbour {
        let query = format!("SELECT 1 FROM {}.roles LIMIT 1", identifier(&neighbour));
        forbidden.push((query, format!("may read schema {neighbour}")));
    }
    refused(connection, forbidden, &mut breaches).await?;
    Ok(breaches)
}

async fn probe_plugin(connection: &mut PgConnection, spec: &PluginDatabaseSpec) -> Result<Breaches, sqlx::Error> {
    let holding = spec.holding();
    let (own, tenant) = (holding.schema.as_str(), spec.key.slug.schema());
    let mut breaches = Breaches::new();
    let current: Option<String> = sqlx::query_scalar("SELECT pg_catalog.current_schema()::text")
        .fetch_one(&mut *connection)
        .await?;
    if current.as_deref() != Some(own) {
        breaches.push(format!("its search_path leads to {current:?}, not to its own schema"));
    }
    let mut forbidden = vec![
        (
            "CREATE TABLE public.plexica_probe ()".to_owned(),
            "may create tables in schema public".to_owned(),
        ),
        (
            format!("CREATE TABLE {}.plexica_probe ()", identifier(own)),
            "may create tables in its own schema".to_owned(),
        ),
        ("CREATE ROLE plexica_probe".to_owned(), "may create roles".to_owned()),
        (
            format!("SET LOCAL ROLE {}", literal(holding.owner_role.as_str())),
            "may become the owner of its tables".to_owned(),
        ),
    ];
    for table in TenantTableName::iter().filter(|table| !spec.tenant_tables.allows(*table, Privilege::Select)) {
        let name = identifier(table.as_ref());
        forbidden.push((
            format!("SELECT FROM {}.{name} LIMIT 1", identifier(tenant.as_str())),
            format!(
                "may read the tenant's table {}, which it does not declare",
                table.as_ref()
            ),
        ));
    }
    refused(connection, forbidden, &mut breaches).await?;
    let open: Vec<String> = sqlx::query_scalar(OPEN_SCHEMAS)
        .bind(own)
        .bind(tenant.as_str())
        .fetch_all(&mut *connection)
        .await?;
    breaches.extend(open.into_iter().map(|schema| format!("may use schema {schema}")));
    Ok(breaches)
}

/// Tries what must be refused, and which roles the session may act as.
async fn refused(
    connection: &mut PgConnection,
    forbidden: Vec<(String, String)>,
    breaches: &mut Breaches,
) -> Result<(), sqlx::Error> {
    for (statement, breach) in forbidden {
        match attempt(connection, &statement).await? {
            Ok(()) => breaches.push(breach),
            Err(Refusal { code, .. }) if code == REFUSED || NOT_THERE.contains(&code.as_str()) => {}
            Err(error) => breaches.push(format!(
                "{breach}: not refused for lack of privilege, but failed: {error}"
            )),
        }
    }
    let may_become: Vec<String> = sqlx::query_scalar(MAY_BECOME).fetch_all(&mut *connection).await?;
    breaches.extend(may_become.into_iter().map(|role| format!("may act as role {role}")));
    Ok(())
}

/// What the server said no with.
#[derive(Debug, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
struct Refusal {
    code: String,
    message: String,
}

/// Tries one statement in a transaction that is rolled back. The outer error is a lost connection.
async fn attempt(connection: &mut PgConnection, statement: &str) -> Result<Result<(), Refusal>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let outcome = transaction
        .execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
        .await;
    let outcome = match outcome {
        Ok(_) => Ok(()),
        Err(error) => match error.as_database_error() {
            Some(refusal) => Err(Refusal {
                code: refusal.code().unwrap_or_default().into_owned(),
                message: http::excerpt(refusal.message()),
            }),
            None => return Err(error),
        },
    };
    transaction.rollback().await?;
    Ok(outcome)
}
