//! What the catalogs say about a plugin beyond its own schema and roles: one query, one answer.

use serde::Deserialize;
use sqlx::PgConnection;

use crate::backends::postgres::{catalog::Grant, holding::Holding};

/// A plugin's surroundings as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Surroundings {
    /// The operator's own role, to which the schema belongs.
    pub(super) operator: String,
    /// The mark on the tenant's schema; `None` if there is no such schema, or no mark.
    pub(super) tenant_comment: Option<String>,
    /// What the plugin's roles may do with the tenant's schema.
    pub(super) tenant_schema: Vec<Grant>,
    /// What the plugin's roles may do with the tenant's tables; the kind is the table's name.
    pub(super) tenant_tables: Vec<Grant>,
    /// Routines of the plugin's that run with the rights of its owner role, as ALTER ROUTINE names them.
    pub(super) security_definer: Vec<String>,
    /// Whether the owner role has settings for this database alone.
    pub(super) owner_settings: bool,
}

/// `$1` the plugin's schema, `$2` the tenant's, `$3` the plugin's roles, `$4` its owner role.
const QUERY: &str = "
SELECT jsonb_build_object(
  'operator', current_user,
  'tenant_comment', (SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $2),
  'tenant_schema', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('grantee', r.rolname, 'privilege', x.privilege_type)), '[]')
    FROM pg_namespace AS n, aclexplode(n.nspacl) AS x JOIN pg_roles AS r ON r.oid = x.grantee
    WHERE n.nspname = $2 AND r.rolname = ANY ($3)),
  'tenant_tables', (
    SELECT coalesce(jsonb_agg(jsonb_build_object('kind', c.relname, 'grantee', r.rolname,
                                                 'privilege', x.privilege_type)), '[]')
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS x
    JOIN pg_roles AS r ON r.oid = x.grantee
    WHERE n.nspname = $2 AND r.rolname = ANY ($3)),
  'security_definer', (
    SELECT coalesce(jsonb_agg(format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
                              ORDER BY p.oid), '[]')
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = $1 AND p.prosecdef),
  'owner_settings', EXISTS (
    SELECT FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole
    WHERE r.rolname = $4 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())))";

/// Reads the catalogs: one round trip.
pub(super) async fn read(
    connection: &mut PgConnection,
    holding: &Holding,
    tenant_schema: &str,
) -> Result<Surroundings, sqlx::Error> {
    let roles: Vec<String> = holding.roles().iter().map(ToString::to_string).collect();
    let sqlx::types::Json(surroundings) = sqlx::query_scalar(QUERY)
        .bind(holding.schema.as_str())
        .bind(tenant_schema)
        .bind(roles)
        .bind(holding.owner_role.as_str())
        .fetch_one(connection)
        .await?;
    Ok(surroundings)
}
