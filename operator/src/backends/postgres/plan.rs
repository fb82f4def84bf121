//! From what is there to what shall be: an ordered list of small steps, each with the difference it heals.
//!
//! Observing lists the differences, creating and updating run the statements: the two cannot disagree, and
//! creating is updating from nothing. Pure: no clock, no I/O; the verifier of a password comes in as text.

use plexica_crds::names::RoleName;

use super::{
    DatabaseSpec,
    catalog::{Catalog, MIGRATIONS_TABLE, Role, Schema},
    holding::Holding,
    migrations::{self, Applied},
    sql::{identifier, literal},
    steps::{LoginRole, NewCredential, SEQUENCE_PRIVILEGES, Step, Steps, TABLE_PRIVILEGES, has, identifiers},
};
use crate::backends::BackendError;

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
    let holding = spec.holding();
    let mut plan = Plan {
        spec,
        holding: &holding,
        steps: Steps::default(),
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
    Ok(plan.steps.into_vec())
}

struct Plan<'a> {
    spec: &'a DatabaseSpec,
    holding: &'a Holding,
    steps: Steps,
}

impl Plan<'_> {
    fn step(&mut self, difference: impl Into<String>, statements: &[String]) {
        self.steps.push(difference, statements);
    }

    fn logins(&self) -> String {
        identifiers(&self.holding.login_roles)
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
            let mark = literal(&self.holding.comment());
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
        self.steps.powers(&name, role);
    }

    fn login_role(
        &mut self,
        name: &RoleName,
        found: Option<&Role>,
        credential: Option<&NewCredential>,
        connect_group: &str,
    ) {
        let wanted = LoginRole {
            holding: self.holding,
            name,
            connection_limit: self.spec.connection_limit,
            statement_timeout: self.spec.statement_timeout,
            search_path: &[self.holding.schema.as_str()],
            connect_group,
        };
        self.steps.login_role(&wanted, found, credential);
    }

    fn schema(&mut self, found: Option<&Schema>) {
        let name = self.spec.slug.schema();
        let (quoted, owner) = (self.schema_name(), self.owner_name());
        match found {
            None => {
                let mark = literal(&self.holding.comment());
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

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
