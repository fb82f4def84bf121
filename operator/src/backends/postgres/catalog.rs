//! What the catalogs say about a tenant, or a plugin of one: one query, one answer.

use std::collections::BTreeMap;

use plexica_crds::names::RoleName;
use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{holding::Holding, migrations::Applied, sql};

/// The record of a schema's migrations; not the tenant's to read or write.
pub(super) const MIGRATIONS_TABLE: &str = "_migrations";

/// Schema and roles of one holding as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Catalog {
    /// `None` if there is no such schema.
    pub(super) schema: Option<Schema>,
    /// The roles that exist, by name.
    pub(super) roles: BTreeMap<String, Role>,
}

/// A schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Schema {
    pub(super) owner: String,
    pub(super) comment: Option<String>,
    /// Who may do what with the schema itself.
    pub(super) grants: Vec<Grant>,
    /// What tables and sequences made later will grant.
    pub(super) default_grants: Vec<Grant>,
    /// Tables and sequences on which a login role lacks what it shall have.
    pub(super) ungranted: Vec<String>,
    /// Tables and sequences on which PUBLIC has anything.
    pub(super) public: Vec<String>,
    /// Whether the record of migrations exists.
    pub(super) recorded: bool,
    /// Whether a login role may touch that record.
    pub(super) record_exposed: bool,
}

/// A privilege of somebody; PUBLIC is the grantee `PUBLIC`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Grant {
    /// `r` for tables and `S` for sequences, in default privileges; empty otherwise.
    #[serde(default)]
    pub(super) kind: String,
    pub(super) grantee: String,
    pub(super) privilege: String,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Role {
    pub(super) login: bool,
    pub(super) limit: i32,
    /// `name=value`, as stored.
    pub(super) settings: Vec<String>,
    pub(super) comment: Option<String>,
    /// Attributes that no role of a tenant has: `SUPERUSER`, `CREATEROLE`, ...
    pub(super) powers: Vec<String>,
    /// Roles it is a member of.
    pub(super) member_of: Vec<String>,
}

/// `$1` schema, `$2` all roles, `$3` the login roles, `$4` the role that owns the tables.
const QUERY: &str = r"
SELECT jsonb_build_object(
  'schema', (
    SELECT jsonb_build_object(
      'owner', pg_get_userbyid(n.nspowner),
      'comment', obj_description(n.oid, 'pg_namespace'),
      'grants', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
          'grantee', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END,
          'privilege', x.privilege_type)), '[]')
        FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS x),
      'default_grants', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
          'kind', d.defaclobjtype::text,
          'grantee', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END,
          'privilege', x.privilege_type)), '[]')
        FROM pg_default_acl AS d, aclexplode(d.defaclacl) AS x
        WHERE d.defaclnamespace = n.oid AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = $4)),
      'ungranted', (
        SELECT coalesce(jsonb_agg(DISTINCT c.relname ORDER BY c.relname), '[]')
        FROM pg_class AS c, pg_roles AS r, (VALUES ('r', 'SELECT'), ('r', 'INSERT'), ('r', 'UPDATE'), ('r', 'DELETE'),
             ('S', 'USAGE'), ('S', 'SELECT')) AS wanted (kind, privilege)
        WHERE c.relnamespace = n.oid AND c.relname <> '_migrations' AND r.rolname = ANY ($3)
          AND CASE WHEN c.relkind IN ('r', 'p') AND wanted.kind = 'r'
                     THEN NOT has_table_privilege(r.oid, c.oid, wanted.privilege)
                   WHEN c.relkind = 'S' AND wanted.kind = 'S'
                     THEN NOT has_sequence_privilege(r.oid, c.oid, wanted.privilege)
                   ELSE false END),
      'public', (
        SELECT coalesce(jsonb_agg(DISTINCT c.relname ORDER BY c.relname), '[]')
        FROM pg_class AS c, aclexplode(c.relacl) AS x
        WHERE c.relnamespace = n.oid AND x.grantee = 0),
      'recorded', EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = '_migrations'),
      'record_exposed', EXISTS (
        SELECT FROM pg_class AS c, pg_roles AS r
        WHERE c.relnamespace = n.oid AND c.relname = '_migrations' AND r.rolname = ANY ($3)
          AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')))
    FROM pg_namespace AS n WHERE n.nspname = $1),
  'roles', (
    SELECT coalesce(jsonb_object_agg(r.rolname, jsonb_build_object(
      'login', r.rolcanlogin,
      'limit', r.rolconnlimit,
      'settings', coalesce(to_jsonb(r.rolconfig), '[]'),
      'comment', shobj_description(r.oid, 'pg_authid'),
      'powers', (
        SELECT coalesce(jsonb_agg(p.name), '[]')
        FROM (VALUES ('SUPERUSER', r.rolsuper), ('CREATEROLE', r.rolcreaterole), ('CREATEDB', r.rolcreatedb),
             ('REPLICATION', r.rolreplication), ('BYPASSRLS', r.rolbypassrls)) AS p (name, has) WHERE p.has),
      'member_of', (
        SELECT coalesce(jsonb_agg(DISTINCT pg_get_userbyid(m.roleid)), '[]')
        FROM pg_auth_members AS m WHERE m.member = r.oid))), '{}')
    FROM pg_roles AS r WHERE r.rolname = ANY ($2)))";

/// Reads the catalogs: one round trip.
pub(super) async fn read(connection: &mut PgConnection, holding: &Holding) -> Result<Catalog, sqlx::Error> {
    let names = |roles: &[&RoleName]| roles.iter().map(ToString::to_string).collect::<Vec<_>>();
    let [owner, a, b] = holding.roles();
    let sqlx::types::Json(catalog): sqlx::types::Json<Catalog> = sqlx::query_scalar(QUERY)
        .bind(holding.schema.as_str())
        .bind(names(&[owner, a, b]))
        .bind(names(&[a, b]))
        .bind(owner.as_str())
        .fetch_one(connection)
        .await?;
    Ok(catalog)
}

/// Reads the record of migrations, which must exist: one round trip.
pub(super) async fn read_record(connection: &mut PgConnection, schema: &str) -> Result<Applied, sqlx::Error> {
    let query = format!(
        "SELECT name, sha256 FROM {}.{MIGRATIONS_TABLE}",
        sql::identifier(schema)
    );
    let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query))
        .persistent(false)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

impl Catalog {
    /// Whether nothing of it exists.
    pub(super) fn is_empty(&self) -> bool {
        self.schema.is_none() && self.roles.is_empty()
    }

    /// The first thing of the holding's names that does not bear its mark.
    pub(super) fn foreign(&self, holding: &Holding) -> Option<String> {
        if self
            .schema
            .as_ref()
            .is_some_and(|schema| !holding.bears(schema.comment.as_deref()))
        {
            return Some(format!("schema {}", holding.schema));
        }
        let mut roles = self.roles.iter();
        let (name, _) = roles.find(|(_, role)| !holding.bears(role.comment.as_deref()))?;
        Some(format!("role {name}"))
    }

    /// Names of those roles that bear the holding's mark.
    pub(super) fn own_roles(&self, holding: &Holding) -> Vec<&str> {
        let own = self
            .roles
            .iter()
            .filter(|(_, role)| holding.bears(role.comment.as_deref()));
        own.map(|(name, _)| name.as_str()).collect()
    }
}
