//! Roles, schema and template tables in one transaction.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use plexica_crds::names::TenantSlug;
use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};

use crate::{parts::postgres::DATABASE, stack::Stack};

/// The same files that the operator applies.
const TEMPLATE: &str = include_str!("../../../../operator/src/backends/postgres/migrations/tenant/0001_template.sql");
const SEED: &str = include_str!("../../../../operator/src/backends/postgres/migrations/tenant/0002_seed.sql");
/// A verifier of the right shape that no password fits: RFC 5803.
const VERIFIER: &str = "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$\
     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// As many connections as the operator holds.
const CONNECTIONS: u32 = 8;

/// Schemas, made and removed by the operator's role.
pub struct Databases(PgPool);

impl Databases {
    pub async fn connect(stack: &Stack) -> Result<Self> {
        let url = stack.postgres_operator_url(DATABASE);
        let options = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS);
        Ok(Self(
            options
                .connect(&url)
                .await
                .context("PostgreSQL refuses the operator's role")?,
        ))
    }

    /// Makes what a tenant has.
    pub async fn create(&self, slug: &TenantSlug) -> Result<()> {
        let (schema, owner, [a, b]) = (slug.schema(), slug.owner_role(), slug.login_roles());
        let mark = r#"'{"plexica.io/installation": "bench"}'"#;
        let mut script = format!(
            "SELECT pg_advisory_xact_lock(hashtextextended('plexica:{schema}', 0));
             CREATE ROLE {owner} NOLOGIN; COMMENT ON ROLE {owner} IS {mark};
             CREATE ROLE {a} LOGIN CONNECTION LIMIT 20; COMMENT ON ROLE {a} IS {mark};
             CREATE ROLE {b} NOLOGIN CONNECTION LIMIT 20; COMMENT ON ROLE {b} IS {mark};
             ALTER ROLE {a} PASSWORD '{VERIFIER}';
             GRANT {DATABASE}_tenants TO {a}, {b} WITH INHERIT TRUE, SET FALSE;
             CREATE SCHEMA {schema} AUTHORIZATION {owner}; COMMENT ON SCHEMA {schema} IS {mark};
             GRANT USAGE ON SCHEMA {schema} TO {a}, {b};
             ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema}
                 GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {a}, {b};
             ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT USAGE, SELECT ON SEQUENCES TO {a}, {b};\n"
        );
        for role in [&a, &b] {
            for setting in [
                format!("search_path = {schema}"),
                "statement_timeout = '30000ms'".to_owned(),
                "idle_in_transaction_session_timeout = '60s'".to_owned(),
                "lock_timeout = '10s'".to_owned(),
            ] {
                writeln!(script, "ALTER ROLE {role} SET {setting};")?;
            }
        }
        writeln!(script, "SET LOCAL ROLE {owner};")?;
        for file in [TEMPLATE, SEED] {
            script += &file.replace("{{schema}}", schema.as_str());
        }
        script += "RESET ROLE;";
        let mut transaction = self.0.begin().await?;
        transaction.execute(sqlx::raw_sql(AssertSqlSafe(script))).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes what there is of it.
    pub async fn remove(&self, slug: &TenantSlug) -> Result<()> {
        let mut script = format!("DROP SCHEMA IF EXISTS {} CASCADE;\n", slug.schema());
        let [a, b] = slug.login_roles();
        for role in [a, b, slug.owner_role()] {
            let known = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(role.as_str());
            if known.fetch_optional(&self.0).await?.is_some() {
                writeln!(script, "DROP OWNED BY {role} CASCADE; DROP ROLE {role};")?;
            }
        }
        self.0.execute(sqlx::raw_sql(AssertSqlSafe(script))).await?;
        Ok(())
    }
}
