//! What a database must be before tenants live in it: looked at once a process, written only where it differs.
//!
//! PostgreSQL lets everybody connect to every database. Here only members of one group may, and the login roles of
//! tenants are its members: granting CONNECT to each of them would grow one catalog row without end and make
//! tenants that are created at the same time collide on it.

use super::{
    connection::{Database, PostgresConfig},
    sql::{Script, identifier, literal},
};
use crate::backends::{BackendError, hash::sha256_hex};

/// First version whose CREATEROLE cannot be used to become superuser
/// (<https://www.postgresql.org/docs/16/release-16.html>).
const VERSION_MIN: i32 = 160_000;
/// A longer name of a database is cut and hashed, to keep the group's name within 63 bytes.
const DATABASE_NAME_KEPT: usize = 40;

/// The group whose members may connect to a database.
pub(super) fn connect_group(database: &str) -> String {
    if database.len() <= DATABASE_NAME_KEPT {
        return format!("{database}_tenants");
    }
    let hash = sha256_hex(database);
    let kept: String = database
        .chars()
        .filter(char::is_ascii)
        .take(DATABASE_NAME_KEPT)
        .collect();
    format!("{kept}_{}_tenants", &hash[..8])
}

/// The mark of the group. It names no installation: it belongs to the database.
fn group_mark(database: &str) -> String {
    serde_json::json!({ "plexica.io/connects-to": database }).to_string()
}

/// The database as it is.
#[derive(serde::Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "answers of one query, each looked at once")]
struct Facts {
    version: i32,
    create_role: bool,
    owns: bool,
    group_exists: bool,
    group_comment: Option<String>,
    group_connects: bool,
    public_connects: bool,
    public_creates: bool,
}

const FACTS: &str = "
SELECT to_jsonb(facts) FROM (SELECT current_setting('server_version_num')::int AS version,
       (SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user) AS create_role,
       pg_has_role(d.datdba, 'USAGE') AS owns,
       g.oid IS NOT NULL AS group_exists,
       shobj_description(g.oid, 'pg_authid') AS group_comment,
       coalesce(has_database_privilege(g.oid, d.oid, 'CONNECT'), false) AS group_connects,
       has_database_privilege('public', d.oid, 'CONNECT, TEMPORARY') AS public_connects,
       coalesce(has_schema_privilege('public', to_regnamespace('public'), 'CREATE'), false) AS public_creates
FROM pg_database AS d LEFT JOIN pg_roles AS g ON g.rolname = $1
WHERE d.datname = current_database()) AS facts";

/// Checks the operator's account and closes the database to all but tenants.
///
/// # Errors
/// [`BackendError::Refused`], with what to do, if the account or the version does not do.
pub(super) async fn prepare(database: &Database, group: &str) -> Result<(), BackendError> {
    let facts = read(&database.pool, group)
        .await
        .map_err(|error| database.error(&error))?;
    let PostgresConfig {
        host,
        port,
        database: name,
        username,
        ..
    } = &database.config;
    let refuse = |text: String| Err(BackendError::Refused(format!("PostgreSQL at {host}:{port}: {text}")));
    if facts.version < VERSION_MIN {
        return refuse(format!(
            "version {} is too old, 16 or later is needed",
            facts.version / 10_000
        ));
    }
    if !facts.create_role {
        return refuse(format!(
            "role {username} may not make roles; run: ALTER ROLE {} CREATEROLE",
            identifier(username)
        ));
    }
    if !facts.owns {
        let (name, role) = (identifier(name), identifier(username));
        return refuse(format!(
            "role {username} does not own its database; run: ALTER DATABASE {name} OWNER TO {role}"
        ));
    }
    if facts.group_exists && facts.group_comment.as_deref() != Some(&group_mark(name)) {
        return refuse(format!(
            "role {group} exists and is not the operator's; rename or drop it"
        ));
    }
    if statements(&facts, name, group).is_empty() {
        return Ok(());
    }
    let mut transaction = database.begin_locked(&format!("plexica:pool:{name}")).await?;
    // Another process may have been faster.
    let facts = read(&mut *transaction, group)
        .await
        .map_err(|error| database.error(&error))?;
    database.run(&mut transaction, statements(&facts, name, group)).await?;
    database.commit(transaction).await
}

async fn read<'c>(executor: impl sqlx::PgExecutor<'c>, group: &str) -> Result<Facts, sqlx::Error> {
    let sqlx::types::Json(facts) = sqlx::query_scalar(FACTS).bind(group).fetch_one(executor).await?;
    Ok(facts)
}

fn statements(facts: &Facts, database: &str, group: &str) -> Script {
    let (quoted, group) = (identifier(database), identifier(group));
    let mut script = Script::default();
    if !facts.group_exists {
        script.push(format!("CREATE ROLE {group} NOLOGIN"));
        script.push(format!("COMMENT ON ROLE {group} IS {}", literal(&group_mark(database))));
    }
    if !facts.group_connects || facts.public_connects {
        script.push(format!("GRANT CONNECT ON DATABASE {quoted} TO {group}"));
    }
    if facts.public_connects {
        script.push(format!("REVOKE ALL ON DATABASE {quoted} FROM PUBLIC"));
    }
    if facts.public_creates {
        script.push("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_any_database_fits_a_name() {
        for length in [1, 40, 41, 63] {
            assert!(connect_group(&"d".repeat(length)).len() <= 63, "{length}");
        }
        assert_ne!(connect_group(&"d".repeat(50)), connect_group(&"d".repeat(51)));
    }
}
