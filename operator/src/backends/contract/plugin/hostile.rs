//! Scripts that mean harm, and what must become of each. Only a real PostgreSQL can refuse them.

use std::time::{Duration, Instant};

use plexica_crds::{names::TenantSlug, plugin::MigrationPhase};
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};

use super::{
    super::{Failure, Tenant, checks, expect},
    subject::PluginDatabases,
};
use crate::backends::{
    Observed,
    postgres::{
        PostgresBackend, PostgresConfig,
        plugin::{MigrationError, MigrationLimits, PluginMigration},
    },
};

/// A script that mean harm.
pub struct HostileScript {
    /// What it tries.
    pub name: &'static str,
    /// `{{neighbour}}` is another tenant's schema, `{{role}}` the script's own role; the rest as in any script.
    sql: &'static str,
    end: End,
}

/// What must become of it.
#[derive(Clone, Copy)]
enum End {
    /// PostgreSQL refuses it with one of these.
    Refused(&'static [&'static str]),
    /// The operator refuses it, in these words.
    Found(&'static str),
    /// A limit of PostgreSQL's or of the operator's ends it.
    Ended,
    /// It runs, and nothing comes of it.
    Vain,
}

const NO_PRIVILEGE: End = End::Refused(&["42501"]);
/// `feature_not_supported`: PL/pgSQL's EXECUTE neither begins nor ends a transaction, nor speaks with the client.
const NOT_HERE: End = End::Refused(&["0A000"]);

/// All of them.
pub const HOSTILE_SCRIPTS: &[HostileScript] = &[
    script("reads another tenant", "SELECT * FROM {{neighbour}}.users", NO_PRIVILEGE),
    script(
        "reads another tenant by search_path",
        "SET search_path = {{neighbour}}; SELECT * FROM policies",
        // To whom a schema is closed, its tables do not exist.
        End::Refused(&["42P01"]),
    ),
    script(
        "reads a table of its tenant that it does not declare",
        "SELECT * FROM {{tenant_schema}}.audit_logs",
        NO_PRIVILEGE,
    ),
    script(
        "reads the registry",
        "SELECT * FROM core.tenants",
        End::Refused(&["42501", "42P01"]),
    ),
    script("reads passwords", "SELECT * FROM pg_catalog.pg_authid", NO_PRIVILEGE),
    script("becomes the tenant", "SET ROLE {{tenant_role}}", NO_PRIVILEGE),
    script("becomes the operator", "SET ROLE {{operator}}", NO_PRIVILEGE),
    script(
        "becomes another session",
        "SET SESSION AUTHORIZATION {{operator}}",
        NO_PRIVILEGE,
    ),
    script(
        "returns to who it was before",
        "RESET ROLE; RESET SESSION AUTHORIZATION; SELECT * FROM {{neighbour}}.users",
        NO_PRIVILEGE,
    ),
    script(
        "runs a program",
        "COPY pg_catalog.pg_class TO PROGRAM 'cat > /tmp/plexica-hostile'",
        NO_PRIVILEGE,
    ),
    script("reads a file", "SELECT pg_catalog.pg_read_file('/etc/passwd')", NO_PRIVILEGE),
    script("speaks with the client", "COPY pg_catalog.pg_class TO STDOUT", NOT_HERE),
    script("waits for the client", "CREATE TABLE {{schema}}.c (a text); COPY {{schema}}.c FROM STDIN", NOT_HERE),
    script("drops the tenant's tables", "DROP TABLE {{tenant_schema}}.users CASCADE", NO_PRIVILEGE),
    script("drops the tenant", "DROP SCHEMA {{tenant_schema}} CASCADE", NO_PRIVILEGE),
    script("empties a table of the tenant", "TRUNCATE {{tenant_schema}}.teams", NO_PRIVILEGE),
    script(
        "hangs a trigger on a table of the tenant",
        "CREATE FUNCTION {{schema}}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER t BEFORE INSERT ON {{tenant_schema}}.teams FOR EACH ROW EXECUTE FUNCTION {{schema}}.f()",
        NO_PRIVILEGE,
    ),
    script("drops its own schema, and its mark with it", "DROP SCHEMA {{schema}} CASCADE", NO_PRIVILEGE),
    script("takes its schema's mark", "COMMENT ON SCHEMA {{schema}} IS 'mine'", NO_PRIVILEGE),
    script("takes its role's mark", "COMMENT ON ROLE {{role}} IS 'mine'", NO_PRIVILEGE),
    script(
        "makes a table in public",
        "CREATE TABLE public.hostile ()",
        NO_PRIVILEGE,
    ),
    script(
        "makes a table in its tenant's schema",
        "CREATE TABLE {{tenant_schema}}.hostile ()",
        NO_PRIVILEGE,
    ),
    script("makes a schema", "CREATE SCHEMA hostile", NO_PRIVILEGE),
    script("makes a role", "CREATE ROLE hostile", NO_PRIVILEGE),
    script(
        "reads the record of migrations",
        "SELECT * FROM plexica.plugin_migrations",
        NO_PRIVILEGE,
    ),
    script(
        "forges the record of migrations",
        "INSERT INTO plexica.plugin_migrations VALUES ('x', 'y', 'z')",
        NO_PRIVILEGE,
    ),
    script(
        "opens its schema to another tenant",
        "GRANT USAGE ON SCHEMA {{schema}} TO {{neighbour_role}}; SELECT * FROM {{neighbour}}.users",
        NO_PRIVILEGE,
    ),
    script("keeps what it did before it fails", "CREATE TABLE {{schema}}.a (); COMMIT; SELECT 1/0", NOT_HERE),
    script("commits and begins", "COMMIT AND CHAIN", NOT_HERE),
    script("gives up its transaction", "ROLLBACK", NOT_HERE),
    script("opens a transaction and never ends it", "BEGIN", NOT_HERE),
    script("sets a savepoint", "SAVEPOINT s", NOT_HERE),
    script("leaves a prepared transaction", "PREPARE TRANSACTION 'hostile'", NOT_HERE),
    script(
        "commits within a block",
        "DO $$ BEGIN CREATE TABLE x (); COMMIT; END $$",
        End::Refused(&["2D000"]),
    ),
    script(
        "commits behind quotes that it redefines",
        "SET standard_conforming_strings = off; SELECT '\\'; COMMIT; --'",
        // The text is read as the session is set: what is then left of it is not well formed, or is refused.
        End::Refused(&["42601", "0A000"]),
    ),
    script(
        "leaves a routine that runs with its owner's rights",
        "CREATE FUNCTION {{schema}}.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
        End::Found("SECURITY DEFINER"),
    ),
    script("lets its role log in for ever", "ALTER ROLE {{role}} VALID UNTIL 'infinity'", NO_PRIVILEGE),
    script("shuts its role out", "ALTER ROLE {{role}} NOLOGIN", NO_PRIVILEGE),
    script("lifts its role", "ALTER ROLE {{role}} CREATEROLE", NO_PRIVILEGE),
    script("gives itself connections", "ALTER ROLE {{role}} CONNECTION LIMIT 100", NO_PRIVILEGE),
    script("sets its own password", "ALTER ROLE {{role}} PASSWORD 'hostile'", End::Vain),
    script(
        "sets what its next session finds",
        "ALTER ROLE {{role}} SET statement_timeout = 0; ALTER ROLE {{role}} SET search_path = hostile",
        End::Vain,
    ),
    script(
        "runs for ever",
        "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$",
        End::Ended,
    ),
    script(
        "runs for ever without a limit",
        "SET statement_timeout = 0; SET transaction_timeout = 0; SELECT pg_catalog.pg_sleep(3600)",
        End::Ended,
    ),
    script(
        "runs for ever and catches its end",
        "SET statement_timeout = 0; SET transaction_timeout = 0;
         DO $$ BEGIN LOOP BEGIN PERFORM pg_catalog.pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$",
        End::Ended,
    ),
    script(
        "takes a lock and sleeps",
        "SET statement_timeout = 0; LOCK TABLE {{tenant_schema}}.teams IN ROW EXCLUSIVE MODE;
         SELECT pg_catalog.pg_sleep(3600)",
        End::Ended,
    ),
    script(
        "locks everybody out",
        "LOCK TABLE {{tenant_schema}}.teams IN ACCESS EXCLUSIVE MODE",
        NO_PRIVILEGE,
    ),
    script(
        "runs for ever at its end",
        "SET statement_timeout = 0; SET transaction_timeout = 0; CREATE TABLE {{schema}}.d (a int);
         CREATE FUNCTION {{schema}}.g() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_catalog.pg_sleep(3600); RETURN NULL; END';
         CREATE CONSTRAINT TRIGGER t AFTER INSERT ON {{schema}}.d DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION {{schema}}.g();
         INSERT INTO {{schema}}.d VALUES (1)",
        End::Ended,
    ),
    script(
        "floods the operator with notices",
        "SET client_min_messages = notice; SET statement_timeout = 0;
         DO $$ BEGIN LOOP RAISE NOTICE '%', repeat('x', 10000); END LOOP; END $$",
        End::Ended,
    ),
    script(
        "floods the operator with rows",
        "SELECT repeat('x', 10000) FROM generate_series(1, 10000)",
        End::Vain,
    ),
    script(
        "ends its own session",
        "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())",
        End::Refused(&["57P01"]),
    ),
];

const fn script(name: &'static str, sql: &'static str, end: End) -> HostileScript {
    HostileScript { name, sql, end }
}

/// Short, so that what runs for ever does not.
const LIMITS: MigrationLimits = MigrationLimits {
    lock_timeout: Duration::from_secs(1),
    statement_timeout: Duration::from_secs(2),
    deadline: Duration::from_secs(2),
};
/// How long one that would run for ever may keep the operator busy.
const AT_MOST: Duration = Duration::from_secs(8);

impl End {
    /// A script that ends by itself is not hurried: how long that takes is the machine's affair.
    fn limits(self) -> MigrationLimits {
        match self {
            Self::Ended => LIMITS,
            Self::Refused(_) | Self::Found(_) | Self::Vain => MigrationLimits::default(),
        }
    }
}

impl HostileScript {
    /// Runs it as the plugin of a fresh tenant beside another, and looks at what came of it. Both are deleted afterwards.
    ///
    /// # Errors
    /// What it could do, or how it ended instead.
    pub async fn run(&self, config: &PostgresConfig) -> Result<(), Failure> {
        let backend = PostgresBackend::connect(config.clone());
        let subject = PluginDatabases {
            tenants: &backend,
            plugins: &backend,
        };
        let (tenant, neighbour) = (Tenant::fresh()?, Tenant::fresh()?);
        let outcome = self.tried(&subject, config, &tenant, &neighbour).await;
        checks::delete(&subject, &tenant).await?;
        checks::delete(&subject, &neighbour).await?;
        outcome
    }

    async fn tried(
        &self,
        subject: &PluginDatabases<'_>,
        config: &PostgresConfig,
        tenant: &Tenant,
        neighbour: &Tenant,
    ) -> Result<(), Failure> {
        subject.installed(neighbour).await?;
        let spec = subject.installed(tenant).await?;
        let before = snapshot(config, tenant, neighbour).await?;
        let role = tenant.slug.plugin_owner_role(&spec.key.plugin);
        let sql = self
            .sql
            .replace("{{neighbour}}", neighbour.slug.schema().as_str())
            .replace("{{neighbour_role}}", neighbour.slug.login_roles()[0].as_str())
            .replace("{{tenant_role}}", tenant.slug.owner_role().as_str())
            .replace("{{operator}}", &config.username)
            .replace("{{role}}", role.as_str());
        let script = PluginMigration {
            name: "hostile".to_owned(),
            sql,
            phase: MigrationPhase::Expand,
            transactional: true,
        };
        let began = Instant::now();
        let end = subject
            .plugins
            .migrate(&spec, &[script], MigrationPhase::Expand, &self.end.limits())
            .await;
        let took = began.elapsed();
        let is_in_time = took < AT_MOST || !matches!(self.end, End::Ended);
        expect(is_in_time, format!("it took {took:?}"))?;
        self.as_expected(&end)?;
        let applied: &[&str] = if end.is_ok() { &["hostile"] } else { &[] };
        match subject.plugins.observe(&spec).await? {
            Observed::Present(state) if state.differences.is_empty() && state.applied == applied => {}
            other => return Err(Failure(format!("afterwards the plugin is {other:?}"))),
        }
        let after = snapshot(config, tenant, neighbour).await?;
        expect(before == after, format!("it changed {before} to {after}"))?;
        // And a decent script can run.
        let decent = PluginMigration {
            name: "decent".to_owned(),
            sql: "CREATE TABLE {{schema}}.decent (); SELECT 1 FROM {{tenant_schema}}.users".to_owned(),
            phase: MigrationPhase::Expand,
            transactional: true,
        };
        let limits = MigrationLimits::default();
        let applied = subject
            .plugins
            .migrate(&spec, &[decent], MigrationPhase::Expand, &limits)
            .await;
        applied.map_err(|error| Failure(format!("afterwards a decent script fails: {error}")))?;
        Ok(())
    }

    fn as_expected(
        &self,
        end: &Result<Vec<crate::backends::postgres::plugin::AppliedMigration>, MigrationError>,
    ) -> Result<(), Failure> {
        let holds = match (self.end, end) {
            (End::Vain, end) => end.is_ok(),
            (End::Refused(states), Err(MigrationError::Failed(failure))) => {
                failure.sqlstate.as_deref().is_some_and(|state| states.contains(&state))
            }
            (End::Found(words), Err(MigrationError::Failed(failure))) => failure.message.contains(words),
            (End::Ended, Err(MigrationError::Failed(failure))) => {
                matches!(
                    failure.sqlstate.as_deref(),
                    None | Some("57014" | "57P01" | "25P04" | "25P03")
                )
            }
            (End::Refused(_) | End::Found(_) | End::Ended, _) => false,
        };
        expect(holds, format!("it ended as {end:?}"))
    }
}

/// What no script may change: tenants and neighbours with their grants, roles, schemas, sessions; `$1` and `$2` the
/// tenants' schemas. Tables of the plugin's own are its own affair.
const SNAPSHOT: &str = "
SELECT jsonb_build_object(
  'tables', (SELECT jsonb_agg(format('%s.%s %s %s', n.nspname, c.relname, pg_get_userbyid(c.relowner), c.relacl)
                              ORDER BY n.nspname, c.relname)
             FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname IN ($1, $2) OR starts_with(n.nspname, $2 || '_plugin_') OR n.nspname = 'public'),
  'triggers', (SELECT count(*) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
               JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname IN ($1, $2)),
  'schemas', (SELECT jsonb_agg(format('%s %s %s %s', nspname, pg_get_userbyid(nspowner), nspacl,
                                      obj_description(oid, 'pg_namespace')) ORDER BY nspname)
              FROM pg_namespace WHERE starts_with(nspname, $1) OR starts_with(nspname, $2) OR nspname = 'hostile'),
  'roles', (SELECT jsonb_agg(format('%s %s %s %s %s %s %s', rolname, rolcanlogin, rolcreaterole, rolconnlimit,
                                    coalesce(rolvaliduntil, 'infinity'), rolconfig,
                                    shobj_description(oid, 'pg_authid')) ORDER BY rolname)
            FROM pg_roles WHERE starts_with(rolname, $1) OR starts_with(rolname, $2) OR rolname = 'hostile'),
  'role_settings', (SELECT count(*) FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole
                    WHERE s.setdatabase <> 0 AND (starts_with(r.rolname, $1) OR starts_with(r.rolname, $2))),
  'sessions', (SELECT count(*) FROM pg_stat_activity WHERE starts_with(usename, $1)),
  'prepared', (SELECT count(*) FROM pg_prepared_xacts))::text";

async fn snapshot(config: &PostgresConfig, tenant: &Tenant, neighbour: &Tenant) -> Result<String, Failure> {
    let failed = |error: sqlx::Error| Failure(format!("the snapshot failed: {error}"));
    let mut connection = operator(config).await.map_err(failed)?;
    let schema = |slug: &TenantSlug| slug.schema().to_string();
    let text = sqlx::query_scalar(SNAPSHOT)
        .bind(schema(&tenant.slug))
        .bind(schema(&neighbour.slug))
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(text)
}

async fn operator(config: &PostgresConfig) -> Result<PgConnection, sqlx::Error> {
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&config.host)
        .port(config.port)
        .database(&config.database)
        .username(&config.username)
        .password(config.password.expose_secret())
        .ssl_mode(sqlx::postgres::PgSslMode::Disable);
    PgConnection::connect_with(&options).await
}
