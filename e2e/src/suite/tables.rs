//! Schema `tenant_<slug>` and the registry are as other services expect them: data-model.md.

use anyhow::{Result, ensure};
use plexica_crds::names::TenantSlug;
use serde_json::json;

use super::{
    Case,
    clients::database,
    env::{Env, unique},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_schema_has_the_tables_and_columns_of_the_data_model,
        a_schema_has_the_indexes_of_the_data_model,
        a_schema_begins_with_the_system_roles_and_the_core_permissions,
        values_outside_the_data_model_are_refused,
        rows_of_a_join_table_go_with_their_parents_and_audit_logs_stay,
        the_registry_mirrors_the_tenant,
    ]
}

/// `table.column type[ null][ = default]`.
const COLUMNS: [&str; 54] = [
    "audit_logs.action text",
    "audit_logs.created_at timestamp with time zone = now()",
    "audit_logs.details jsonb null = '{}'::jsonb",
    "audit_logs.id uuid = gen_random_uuid()",
    "audit_logs.ip_address text null",
    "audit_logs.resource_id text null",
    "audit_logs.resource_type text null",
    "audit_logs.user_id uuid null",
    "permissions.created_at timestamp with time zone = now()",
    "permissions.description text null",
    "permissions.id uuid = gen_random_uuid()",
    "permissions.key text",
    "permissions.name text",
    "permissions.plugin_id text null",
    "policies.conditions jsonb = '{}'::jsonb",
    "policies.created_at timestamp with time zone = now()",
    "policies.description text null",
    "policies.effect text",
    "policies.id uuid = gen_random_uuid()",
    "policies.name text",
    "policies.plugin_id text null",
    "policies.priority integer = 0",
    "policies.resource text",
    "policies.source text",
    "role_permissions.permission_id uuid",
    "role_permissions.role_id uuid",
    "roles.created_at timestamp with time zone = now()",
    "roles.description text null",
    "roles.id uuid = gen_random_uuid()",
    "roles.is_system boolean = false",
    "roles.name text",
    "team_members.role text = 'MEMBER'::text",
    "team_members.team_id uuid",
    "team_members.user_id uuid",
    "teams.created_at timestamp with time zone = now()",
    "teams.description text null",
    "teams.id uuid = gen_random_uuid()",
    "teams.name text",
    "user_roles.role_id uuid",
    "user_roles.user_id uuid",
    "users.avatar_url text null",
    "users.created_at timestamp with time zone = now()",
    "users.email text",
    "users.id uuid = gen_random_uuid()",
    "users.keycloak_id text",
    "users.name text null",
    "users.preferences jsonb = '{}'::jsonb",
    "users.status text = 'ACTIVE'::text",
    "users.updated_at timestamp with time zone = now()",
    // Primary keys of join tables and unique columns: what a conflicting row is refused by.
    "permissions unique(key)",
    "roles unique(name)",
    "team_members unique(team_id, user_id)",
    "user_roles unique(user_id, role_id)",
    "users unique(keycloak_id)",
];

/// `table(column)`.
const INDEXES: [&str; 10] = [
    "users(keycloak_id)",
    "users(email)",
    "users(status)",
    "team_members(user_id)",
    "team_members(team_id)",
    "user_roles(user_id)",
    "role_permissions(role_id)",
    "audit_logs(user_id)",
    "audit_logs(created_at DESC)",
    "audit_logs(action)",
];

/// `role: permissions`.
const SEEDED: [&str; 3] = [
    "admin: plugins.read plugins.write roles.delete roles.read roles.write settings.read settings.write users.delete \
     users.read users.write",
    "guest: users.read",
    "user: settings.read users.read",
];

/// A tenant that is Ready.
async fn tenant(env: &Env) -> Result<TenantSlug> {
    let name = unique("model");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    Ok(TenantSlug::parse(&name)?)
}

async fn a_schema_has_the_tables_and_columns_of_the_data_model(env: &Env) -> Result<()> {
    let schema = tenant(env).await?.schema();
    let found = database::texts(
        &env.postgres,
        &format!(
            "SELECT table_name || '.' || column_name || ' ' || data_type
                 || CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END || coalesce(' = ' || column_default, '')
             FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name <> '_migrations'
             UNION ALL
             SELECT c.relname || ' unique' || substring(pg_get_indexdef(i.indexrelid) FROM ' (\\(.*\\))')
             FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
             WHERE c.relnamespace = '{schema}'::regnamespace AND i.indisunique"
        ),
    )
    .await?;
    let missing: Vec<_> = COLUMNS
        .iter()
        .filter(|wanted| {
            !found
                .iter()
                .any(|found| found.replace(" unique (", " unique(") == **wanted)
        })
        .collect();
    ensure!(
        missing.is_empty(),
        "not as the data model says: {missing:?}\nfound: {found:#?}"
    );
    let surplus: Vec<_> = found
        .iter()
        .filter(|found| found.contains('.') && !COLUMNS.contains(&found.as_str()))
        .collect();
    ensure!(surplus.is_empty(), "not in the data model: {surplus:?}");
    Ok(())
}

async fn a_schema_has_the_indexes_of_the_data_model(env: &Env) -> Result<()> {
    let schema = tenant(env).await?.schema();
    let found = database::texts(
        &env.postgres,
        &format!(
            "SELECT tablename || substring(indexdef FROM 'btree (\\(.*\\))') FROM pg_indexes WHERE schemaname = '{schema}'"
        ),
    )
    .await?;
    let missing: Vec<_> = INDEXES
        .iter()
        .filter(|wanted| !found.iter().any(|found| found == **wanted))
        .collect();
    ensure!(missing.is_empty(), "missing: {missing:?}; there are {found:?}");
    Ok(())
}

async fn a_schema_begins_with_the_system_roles_and_the_core_permissions(env: &Env) -> Result<()> {
    let slug = tenant(env).await?;
    let mut connection = database::of_tenant(env, slug.as_str()).await?;
    let found = database::texts(
        &mut connection,
        "SELECT r.name || ': ' || string_agg(p.key, ' ' ORDER BY p.key COLLATE \"C\")
         FROM roles AS r JOIN role_permissions ON role_id = r.id JOIN permissions AS p ON p.id = permission_id
         WHERE r.is_system AND p.plugin_id IS NULL GROUP BY r.name ORDER BY r.name",
    )
    .await?;
    ensure!(found == SEEDED, "seeded: {found:#?}");
    let counts: String = database::value(
        &mut connection,
        "SELECT (SELECT count(*) FROM roles) || ' ' || (SELECT count(*) FROM permissions)",
    )
    .await?;
    ensure!(counts == "3 10", "roles and permissions: {counts}");
    Ok(())
}

/// The words that the data model lists, and no others.
async fn values_outside_the_data_model_are_refused(env: &Env) -> Result<()> {
    let slug = tenant(env).await?;
    let mut connection = database::of_tenant(env, slug.as_str()).await?;
    for sql in [
        "INSERT INTO users (keycloak_id, email, status) VALUES ('k', 'a@example.com', 'GONE')",
        "INSERT INTO policies (name, resource, effect, source) VALUES ('p', 'r', 'MAYBE', 'CORE')",
        "INSERT INTO policies (name, resource, effect, source) VALUES ('p', 'r', 'ALLOW', 'SOMEBODY')",
    ] {
        // check_violation
        database::refused(&mut connection, sql, "23514").await?;
    }
    for status in ["ACTIVE", "INACTIVE", "SUSPENDED"] {
        let sql = format!(
            "INSERT INTO users (keycloak_id, email, status) VALUES ('{status}', '{status}@example.com', '{status}')"
        );
        database::run(&mut connection, &sql).await?;
    }
    // unique_violation
    let again = "INSERT INTO users (keycloak_id, email) VALUES ('ACTIVE', 'other@example.com')";
    database::refused(&mut connection, again, "23505").await
}

async fn rows_of_a_join_table_go_with_their_parents_and_audit_logs_stay(env: &Env) -> Result<()> {
    let slug = tenant(env).await?;
    let mut connection = database::of_tenant(env, slug.as_str()).await?;
    for sql in [
        "INSERT INTO users (keycloak_id, email) VALUES ('k-1', 'ann@example.com')",
        "INSERT INTO teams (name) VALUES ('support')",
        "INSERT INTO team_members (team_id, user_id) SELECT t.id, u.id FROM teams AS t, users AS u",
        "INSERT INTO user_roles (user_id, role_id) SELECT u.id, r.id FROM users AS u, roles AS r WHERE r.name = 'user'",
        "INSERT INTO audit_logs (user_id, action) SELECT id, 'login' FROM users",
        "DELETE FROM users",
    ] {
        database::run(&mut connection, sql).await?;
    }
    let left: String = database::value(
        &mut connection,
        "SELECT (SELECT count(*) FROM team_members) || ' ' || (SELECT count(*) FROM user_roles) || ' '
             || (SELECT count(*) FROM audit_logs WHERE user_id IS NULL AND action = 'login')",
    )
    .await?;
    ensure!(left == "0 0 1", "members, roles of users, audit logs: {left}");
    Ok(())
}

async fn the_registry_mirrors_the_tenant(env: &Env) -> Result<()> {
    let name = unique("mirror");
    let spec = json!({
        "displayName": "Mirror GmbH", "settings": { "plan": "gold", "seats": 7 }, "theme": { "primaryColor": "#0057b8" },
    });
    env.create(&name, spec).await?;
    let tenant = env.ready(&name).await?;
    let row = database::row(env, &name).await?;
    for (column, wanted) in [
        ("id", json!(tenant.metadata.uid)),
        ("slug", json!(name)),
        ("name", json!("Mirror GmbH")),
        ("status", json!("ACTIVE")),
        ("settings", json!({ "plan": "gold", "seats": 7 })),
        ("theme", json!({ "primaryColor": "#0057b8" })),
        ("postgres_pool", json!("main")),
        ("keycloak_pool", json!("main")),
        ("s3_pool", json!("main")),
    ] {
        ensure!(row[column] == wanted, "{column} is {}, not {wanted}", row[column]);
    }

    let change = json!({ "spec": { "displayName": "Mirror AG", "settings": { "plan": "silver", "seats": null } } });
    env.patch(&name, change).await?;
    env.ready(&name).await?;
    let row = database::row(env, &name).await?;
    ensure!(
        row["name"] == "Mirror AG" && row["settings"] == json!({ "plan": "silver" }),
        "after the change the registry has {row}"
    );
    Ok(())
}
