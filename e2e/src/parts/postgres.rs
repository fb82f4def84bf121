//! PostgreSQL: its data from the snapshot of an earlier start where there is one, else from initdb; then the roles and
//! databases that Keycloak and the operator are given.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::User;
use secrecy::ExposeSecret;
use sqlx::{Connection, PgConnection};

use crate::credentials::{Credentials, KEYCLOAK_ROLE, OPERATOR_ROLE, POSTGRES_SUPERUSER};
use crate::host::cgroup;
use crate::host::command;
use crate::host::network::{EVERYTHING, NODE};
use crate::host::process::{self, Launch};
use crate::layout::{self, Layout};
use crate::parts::{Context, Part};
use crate::wait;

/// Port of PostgreSQL.
pub const PORT: u16 = 5432;
/// The operator's main database.
pub const DATABASE: &str = "plexica";
/// A second database, for a pool with room for one tenant.
pub const SMALL_DATABASE: &str = "plexica_small";

/// PostgreSQL refuses to run as root. This user exists everywhere and owns nothing.
const USER: &str = "nobody";

/// Fast rather than safe: the data is thrown away with the stack.
const CONFIGURATION: &str = "
max_connections = 300
shared_buffers = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
log_destination = stderr
log_line_prefix = '%m [%p] %u@%d %a '
log_statement = mod
log_timezone = UTC
";

/// PostgreSQL, ready for connections, with roles and databases.
pub async fn postgres(context: &Context) -> Result<()> {
    let layout = &context.layout;
    let programs = context.tools.postgres().await?;
    context
        .ui
        .step("postgres", async |step| {
            let home = layout.state_dir("postgres")?;
            let data = home.join("data");
            let programs = install(&programs, &home).await?;
            if !data.exists() {
                step.says("initdb");
                initdb(context, &programs, &data).await?;
            }
            own(&home)?;
            if process::pid(layout, Part::Postgres).is_none() {
                remove_locks_of_the_dead(&home).await?;
            }
            let launch = Launch::new(programs.join("bin/postgres"))
                .args([
                    "-D".to_owned(),
                    data.display().to_string(),
                    format!("--listen_addresses={NODE}"),
                    format!("--port={PORT}"),
                    format!("--unix_socket_directories={}", home.display()),
                ])
                .as_user(USER)
                .configured_by(&data.join("postgresql.auto.conf"), CONFIGURATION.as_bytes())?
                .configured_by(&data.join("pg_hba.conf"), access_rules().as_bytes())?;
            let ready = async || {
                connect(&context.credentials, "postgres").await?.close().await?;
                Ok(())
            };
            context.ensure(Part::Postgres, step, &launch, ready).await?;
            set_up(layout, &context.credentials).await
        })
        .await
}

/// URL by which the superuser reaches a database from the host.
pub fn superuser_url(credentials: &Credentials, database: &str) -> String {
    url(
        POSTGRES_SUPERUSER,
        credentials.postgres_superuser.expose_secret(),
        database,
    )
}

/// URL by which the operator's role reaches a database from the host.
pub fn operator_url(credentials: &Credentials, database: &str) -> String {
    url(OPERATOR_ROLE, credentials.postgres_operator.expose_secret(), database)
}

/// Makes the data folder readable for PostgreSQL, after it was copied.
pub fn own(folder: &Path) -> Result<()> {
    let user = User::from_name(USER)?.with_context(|| format!("there is no user {USER}"))?;
    chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .with_context(|| format!("cannot give {} to {USER}", folder.display()))
}

fn url(user: &str, password: &str, database: &str) -> String {
    // Passwords are hexadecimal: nothing to escape.
    format!("postgres://{user}:{password}@{NODE}:{PORT}/{database}?sslmode=disable")
}

async fn connect(credentials: &Credentials, database: &str) -> Result<PgConnection> {
    Ok(PgConnection::connect(&superuser_url(credentials, database)).await?)
}

/// Copies the programs into the state: the cache may lie in a home directory that `nobody` cannot enter.
async fn install(programs: &Path, home: &Path) -> Result<PathBuf> {
    let own_programs = home.join("programs");
    own(home)?;
    if !own_programs.exists() {
        command::script(&format!(
            "cp -a --reflink=auto '{from}' '{to}.new' && mv '{to}.new' '{to}'",
            from = programs.display(),
            to = own_programs.display()
        ))
        .await?;
    }
    Ok(own_programs)
}

async fn initdb(context: &Context, programs: &Path, data: &Path) -> Result<()> {
    let fresh = data.with_extension("new");
    let password = data.with_extension("password");
    let _ = std::fs::remove_dir_all(&fresh);
    layout::write_private(
        &password,
        context.credentials.postgres_superuser.expose_secret().as_bytes(),
    )?;
    own(&password)?;
    let mut initdb = command::inside_cgroup("setpriv")?;
    initdb
        .args(["--reuid", USER, "--regid", "nogroup", "--clear-groups", "--"])
        .arg(programs.join("bin/initdb"))
        .args([
            "--username",
            POSTGRES_SUPERUSER,
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--no-sync",
        ])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(&fresh);
    command::run(
        &context.layout,
        "initdb",
        initdb,
        "the log tells why; `cargo dev down` starts over",
    )
    .await?;
    std::fs::remove_file(password)?;
    std::fs::rename(fresh, data).context("cannot put the new data folder in its place")
}

/// PostgreSQL takes its lock files for valid as long as the process in them is listed, and a killed one is listed until its
/// parent asks for it. Sessions of a killed server end by themselves; only then may the data be opened again.
async fn remove_locks_of_the_dead(home: &Path) -> Result<()> {
    wait::until(
        "the end of the sessions of a killed PostgreSQL",
        Duration::from_secs(20),
        async || {
            let alive = cgroup::processes()?
                .into_iter()
                .filter(|pid| process::name(*pid).as_deref() == Some("postgres"));
            anyhow::ensure!(alive.count() == 0, "some are still there");
            Ok(())
        },
    )
    .await?;
    for lock in [
        home.join("data/postmaster.pid"),
        home.join(format!(".s.PGSQL.{PORT}.lock")),
    ] {
        if lock.exists() {
            std::fs::remove_file(&lock).with_context(|| format!("cannot remove {}", lock.display()))?;
        }
    }
    Ok(())
}

/// Passwords from everywhere inside, nobody from outside.
fn access_rules() -> String {
    format!("local all all scram-sha-256\nhost all all {EVERYTHING} scram-sha-256\n")
}

/// Roles and databases; nothing happens where they are there.
async fn set_up(layout: &Layout, credentials: &Credentials) -> Result<()> {
    let complete = layout.state.join("postgres/data/plexica-complete");
    if complete.exists() {
        return Ok(());
    }
    let mut connection = connect(credentials, "postgres").await?;
    // Passwords do not belong in the log.
    run(&mut connection, "SET log_statement = none").await?;
    // The operator is no superuser: it may make roles and gets SET and INHERIT on those it makes (PostgreSQL 16).
    ensure_role(
        &mut connection,
        OPERATOR_ROLE,
        "CREATEROLE",
        credentials.postgres_operator.expose_secret(),
    )
    .await?;
    run(
        &mut connection,
        &format!("ALTER ROLE {OPERATOR_ROLE} SET createrole_self_grant = 'set, inherit'"),
    )
    .await?;
    ensure_role(
        &mut connection,
        KEYCLOAK_ROLE,
        "",
        credentials.postgres_keycloak.expose_secret(),
    )
    .await?;
    for (database, owner) in [
        (DATABASE, OPERATOR_ROLE),
        (SMALL_DATABASE, OPERATOR_ROLE),
        (KEYCLOAK_ROLE, KEYCLOAK_ROLE),
    ] {
        let known = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(database);
        if known.fetch_optional(&mut connection).await?.is_none() {
            run(&mut connection, &format!("CREATE DATABASE {database} OWNER {owner}")).await?;
        }
        run(
            &mut connection,
            &format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"),
        )
        .await?;
    }
    run(
        &mut connection,
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    )
    .await?;
    // What Keycloak writes is not what tests look for in the log.
    run(
        &mut connection,
        &format!("ALTER DATABASE {KEYCLOAK_ROLE} SET log_statement = none"),
    )
    .await?;
    connection.close().await?;
    layout::write(&complete, b"")
}

async fn ensure_role(connection: &mut PgConnection, role: &str, options: &str, password: &str) -> Result<()> {
    let known = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(role);
    let verb = if known.fetch_optional(&mut *connection).await?.is_none() {
        "CREATE"
    } else {
        "ALTER"
    };
    // The password is hexadecimal and ours: nothing to escape.
    run(
        connection,
        &format!("{verb} ROLE {role} LOGIN {options} PASSWORD '{password}'"),
    )
    .await
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}
