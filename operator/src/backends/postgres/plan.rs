//! From what is there to what shall be: an ordered list of small steps, each with the difference it heals.
//!
//! Observing lists the differences, creating and updating run the statements: the two cannot disagree, and
//! creating is updating from nothing. Pure: no clock, no I/O; the verifier of a password comes in as text.

use plexica_crds::{
    names::{RoleName, TenantSlug},
    ownership::{INSTALLATION_KEY, Owner, TENANT_ID_KEY},
};
use serde_json::{Value, json};

use super::{
    DatabaseSpec,
    catalog::{Catalog, Grant, MIGRATIONS_TABLE, Role, Schema},
    migrations::{self, Applied},
    sql::{Script, identifier, literal},
};
use crate::backends::BackendError;

/// Key of the credential's id in the comment of the login role that has it.
const CREDENTIAL_KEY: &str = "plexica.io/credential";
/// A tenant's session that holds a transaction open and does nothing is ended after this time.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "60s";
/// A tenant's session waits for a lock no longer than this.
const LOCK_TIMEOUT: &str = "10s";
/// What a tenant's services may do with tables and sequences of the template; nothing of the kind of TRUNCATE,
/// ALTER or DROP, and no CREATE in the schema.
const TABLE_PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
const SEQUENCE_PRIVILEGES: [&str; 2] = ["USAGE", "SELECT"];

/// One thing to set right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What differs, for people.
    pub(super) difference: String,
    /// What heals it.
    pub(super) script: Script,
}

/// A new password for the active login role.
#[derive(Debug, Clone)]
pub(super) struct NewCredential {
    /// Id of the credential.
    pub(super) id: String,
    /// SCRAM verifier: what the server stores, so that the password never travels in SQL.
    pub(super) verifier: String,
}

/// The login role that has the credential: the first, as long as nothing rotates.
pub(super) fn active_role(slug: &TenantSlug) -> RoleName {
    let [active, _] = slug.login_roles();
    active
}

/// Id of the credential that a comment names.
pub(super) fn credential_id(comment: Option<&str>) -> Option<String> {
    let comment: Value = serde_json::from_str(comment?).ok()?;
    Some(comment.get(CREDENTIAL_KEY)?.as_str()?.to_owned())
}

/// The steps that lead from the catalog to the spec; none if it is as specified.
///
/// # Errors
/// [`BackendError::MigrationChanged`].
pub(super) fn plan(
    spec: &DatabaseSpec,
    catalog: &Catalog,
    applied: &Applied,
    credential: Option<&NewCredential>,
    connect_group: &str,
) -> Result<Vec<Step>, BackendError> {
    let mut plan = Plan {
        spec,
        steps: Vec::new(),
    };
    plan.owner_role(catalog.roles.get(spec.slug.owner_role().as_str()));
    for role in spec.slug.login_roles() {
        plan.login_role(&role, catalog.roles.get(role.as_str()), credential, connect_group);
    }
    plan.schema(catalog.schema.as_ref());
    plan.schema_grants(catalog.schema.as_ref());
    plan.default_grants(catalog.schema.as_ref());
    plan.migrations(catalog.schema.as_ref(), applied)?;
    // A role that is made now has none of the privileges that the catalog shows for the others.
    let login_is_missing = spec
        .slug
        .login_roles()
        .iter()
        .any(|role| !catalog.roles.contains_key(role.as_str()));
    plan.table_grants(catalog.schema.as_ref(), login_is_missing);
    Ok(plan.steps)
}

struct Plan<'a> {
    spec: &'a DatabaseSpec,
    steps: Vec<Step>,
}

impl Plan<'_> {
    fn step(&mut self, difference: impl Into<String>, statements: &[String]) {
        self.steps.push(Step {
            difference: difference.into(),
            script: statements.iter().collect(),
        });
    }

    fn logins(&self) -> String {
        self.spec
            .slug
            .login_roles()
            .map(|role| identifier(role.as_str()))
            .join(", ")
    }

    fn schema_name(&self) -> String {
        identifier(self.spec.slug.schema().as_str())
    }

    fn owner_name(&self) -> String {
        identifier(self.spec.slug.owner_role().as_str())
    }

    fn owner_role(&mut self, found: Option<&Role>) {
        let name = self.spec.slug.owner_role();
        let quoted = identifier(name.as_str());
        let Some(role) = found else {
            let mark = literal(&self.spec.owner.to_comment());
            let statements = [
                format!("CREATE ROLE {quoted} NOLOGIN"),
                format!("COMMENT ON ROLE {quoted} IS {mark}"),
            ];
            return self.step(format!("role {name} is missing"), &statements);
        };
        if role.login {
            self.step(
                format!("role {name} may log in"),
                &[format!("ALTER ROLE {quoted} NOLOGIN")],
            );
        }
        self.powers(&name, role);
    }

    fn login_role(
        &mut self,
        name: &RoleName,
        found: Option<&Role>,
        credential: Option<&NewCredential>,
        connect_group: &str,
    ) {
        let quoted = identifier(name.as_str());
        let active = *name == active_role(&self.spec.slug);
        let login = if active { "LOGIN" } else { "NOLOGIN" };
        let limit = self.spec.connection_limit;
        if found.is_none() {
            let mark = literal(&self.spec.owner.to_comment());
            self.step(
                format!("role {name} is missing"),
                &[
                    format!("CREATE ROLE {quoted} {login} CONNECTION LIMIT {limit}"),
                    format!("COMMENT ON ROLE {quoted} IS {mark}"),
                ],
            );
        }
        let fresh = Role {
            login: active,
            limit,
            ..Role::default()
        };
        let role = found.unwrap_or(&fresh);
        if role.login != active {
            let says = if active {
                "may not log in"
            } else {
                "may log in, and has no turn"
            };
            self.step(format!("role {name} {says}"), &[format!("ALTER ROLE {quoted} {login}")]);
        }
        if role.limit != limit {
            self.step(
                format!("role {name} has connection limit {}, not {limit}", role.limit),
                &[format!("ALTER ROLE {quoted} CONNECTION LIMIT {limit}")],
            );
        }
        self.settings(name, role);
        self.powers(name, role);
        if !role.member_of.iter().any(|group| group == connect_group) {
            let group = identifier(connect_group);
            self.step(
                format!("role {name} may not connect"),
                &[format!("GRANT {group} TO {quoted} WITH INHERIT TRUE, SET FALSE")],
            );
        }
        if let Some(NewCredential { id, verifier }) = credential.filter(|_| active) {
            let comment = literal(&comment_with_credential(&self.spec.owner, id));
            self.step(
                format!("role {name} gets credential {id}"),
                &[
                    format!("ALTER ROLE {quoted} PASSWORD {}", literal(verifier)),
                    format!("COMMENT ON ROLE {quoted} IS {comment}"),
                ],
            );
        }
    }

    fn settings(&mut self, name: &RoleName, role: &Role) {
        let timeout = format!("{}ms", self.spec.statement_timeout.as_millis());
        let wanted = [
            ("search_path", self.spec.slug.schema().to_string()),
            ("statement_timeout", timeout),
            (
                "idle_in_transaction_session_timeout",
                IDLE_IN_TRANSACTION_TIMEOUT.to_owned(),
            ),
            ("lock_timeout", LOCK_TIMEOUT.to_owned()),
        ];
        let missing: Vec<_> = wanted
            .iter()
            .filter(|(key, value)| !role.settings.contains(&format!("{key}={value}")))
            .collect();
        if missing.is_empty() {
            return;
        }
        let names = missing.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
        let quoted = identifier(name.as_str());
        let statements: Vec<_> = missing
            .iter()
            .map(|(key, value)| format!("ALTER ROLE {quoted} SET {key} = {}", literal(value)))
            .collect();
        self.step(format!("role {name} lacks its settings: {names}"), &statements);
    }

    fn powers(&mut self, name: &RoleName, role: &Role) {
        if role.powers.is_empty() {
            return;
        }
        let without = role
            .powers
            .iter()
            .map(|power| format!("NO{power}"))
            .collect::<Vec<_>>()
            .join(" ");
        self.step(
            format!("role {name} has {}", role.powers.join(", ")),
            &[format!("ALTER ROLE {} {without}", identifier(name.as_str()))],
        );
    }

    fn schema(&mut self, found: Option<&Schema>) {
        let name = self.spec.slug.schema();
        let (quoted, owner) = (self.schema_name(), self.owner_name());
        match found {
            None => {
                let mark = literal(&self.spec.owner.to_comment());
                let statements = [
                    format!("CREATE SCHEMA {quoted} AUTHORIZATION {owner}"),
                    format!("COMMENT ON SCHEMA {quoted} IS {mark}"),
                ];
                self.step(format!("schema {name} is missing"), &statements);
            }
            Some(schema) if schema.owner != self.spec.slug.owner_role().as_str() => {
                let statements = [format!("ALTER SCHEMA {quoted} OWNER TO {owner}")];
                self.step(format!("schema {name} belongs to {}", schema.owner), &statements);
            }
            Some(_) => {}
        }
    }

    /// Privileges of others than PUBLIC and the tenant's own roles are the platform's business: plugins have some.
    fn schema_grants(&mut self, found: Option<&Schema>) {
        let (name, quoted, logins) = (self.spec.slug.schema(), self.schema_name(), self.logins());
        let grants = found.map_or(&[][..], |schema| &schema.grants);
        if grants.iter().any(|grant| grant.grantee == "PUBLIC") {
            self.step(
                format!("schema {name} is open to PUBLIC"),
                &[format!("REVOKE ALL ON SCHEMA {quoted} FROM PUBLIC")],
            );
        }
        let roles = self.spec.slug.login_roles();
        if roles.iter().any(|role| has(grants, "", role, "CREATE")) {
            self.step(
                format!("a login role may create in schema {name}"),
                &[format!("REVOKE CREATE ON SCHEMA {quoted} FROM {logins}")],
            );
        }
        if !roles.iter().all(|role| has(grants, "", role, "USAGE")) {
            self.step(
                format!("a login role may not use schema {name}"),
                &[format!("GRANT USAGE ON SCHEMA {quoted} TO {logins}")],
            );
        }
    }

    fn default_grants(&mut self, found: Option<&Schema>) {
        let grants = found.map_or(&[][..], |schema| &schema.default_grants);
        let roles = self.spec.slug.login_roles();
        let kinds = [
            ("r", "TABLES", &TABLE_PRIVILEGES[..]),
            ("S", "SEQUENCES", &SEQUENCE_PRIVILEGES[..]),
        ];
        for (kind, objects, privileges) in kinds {
            if roles
                .iter()
                .all(|role| privileges.iter().all(|privilege| has(grants, kind, role, privilege)))
            {
                continue;
            }
            let statement = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {objects} TO {}",
                self.owner_name(),
                self.schema_name(),
                privileges.join(", "),
                self.logins()
            );
            let name = self.spec.slug.schema();
            self.step(
                format!("new {} of schema {name} are not granted", objects.to_lowercase()),
                &[statement],
            );
        }
    }

    /// Runs as the schema's owner, so that the tables are its own.
    fn migrations(&mut self, found: Option<&Schema>, applied: &Applied) -> Result<(), BackendError> {
        let pending = migrations::pending(migrations::TENANT, applied)?;
        if pending.is_empty() {
            return Ok(());
        }
        let names = pending.iter().map(|file| file.name).collect::<Vec<_>>().join(", ");
        let table = format!("{}.{MIGRATIONS_TABLE}", self.schema_name());
        let mut statements = vec![format!("SET LOCAL ROLE {}", self.owner_name())];
        if !found.is_some_and(|schema| schema.recorded) {
            statements.push(migrations::record_table(&table));
            statements.push(format!("REVOKE ALL ON {table} FROM {}", self.logins()));
        }
        for file in pending {
            statements.push(file.statements(self.spec.slug.schema().as_str()));
            statements.push(migrations::record(&table, file));
        }
        statements.push("RESET ROLE".to_owned());
        self.step(format!("migrations are pending: {names}"), &statements);
        Ok(())
    }

    fn table_grants(&mut self, found: Option<&Schema>, login_is_missing: bool) {
        // A schema that is made now needs none: default privileges grant it all.
        let Some(Schema {
            ungranted,
            public,
            record_exposed,
            ..
        }) = found
        else {
            return;
        };
        let (schema, logins) = (self.schema_name(), self.logins());
        let record = format!("REVOKE ALL ON {schema}.{MIGRATIONS_TABLE} FROM {logins}");
        if !ungranted.is_empty() || login_is_missing {
            let statements = [
                format!(
                    "GRANT {} ON ALL TABLES IN SCHEMA {schema} TO {logins}",
                    TABLE_PRIVILEGES.join(", ")
                ),
                format!(
                    "GRANT {} ON ALL SEQUENCES IN SCHEMA {schema} TO {logins}",
                    SEQUENCE_PRIVILEGES.join(", ")
                ),
                record.clone(),
            ];
            let on = if ungranted.is_empty() {
                "all tables".to_owned()
            } else {
                ungranted.join(", ")
            };
            self.step(format!("the login roles lack privileges on: {on}"), &statements);
        } else if *record_exposed {
            self.step("the login roles have privileges on the record of migrations", &[record]);
        }
        if !public.is_empty() {
            let statements = [
                format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC"),
                format!("REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC"),
            ];
            self.step(format!("open to PUBLIC: {}", public.join(", ")), &statements);
        }
    }
}

fn has(grants: &[Grant], kind: &str, role: &RoleName, privilege: &str) -> bool {
    grants
        .iter()
        .any(|grant| grant.kind == kind && grant.grantee == role.as_str() && grant.privilege == privilege)
}

fn comment_with_credential(owner: &Owner, id: &str) -> String {
    json!({ TENANT_ID_KEY: owner.tenant_id, INSTALLATION_KEY: owner.installation, CREDENTIAL_KEY: id }).to_string()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
