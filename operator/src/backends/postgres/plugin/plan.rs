//! From what is there of a plugin to what shall be: steps as for a tenant ([`super::super::plan`]).

use std::collections::BTreeSet;

use plexica_crds::names::RoleName;

use super::{PluginDatabaseSpec, Surplus, catalog::Surroundings, ledger};
use crate::backends::postgres::{
    catalog::{Catalog, Role, Schema},
    holding::Holding,
    sql::{identifier, literal},
    steps::{LoginRole, NewCredential, SEQUENCE_PRIVILEGES, Step, Steps, TABLE_PRIVILEGES, has, identifiers},
};

/// The owner role is logged in by the operator alone, once at a time.
const OWNER_CONNECTION_LIMIT: i32 = 1;

/// The steps that lead from the catalogs to the spec; none if it is as specified.
pub(super) fn plan(
    spec: &PluginDatabaseSpec,
    catalog: &Catalog,
    surroundings: &Surroundings,
    credential: Option<&NewCredential>,
    connect_group: &str,
) -> Vec<Step> {
    let holding = spec.holding();
    let tenant_schema = spec.key.slug.schema();
    let mut plan = Plan {
        spec,
        holding: &holding,
        tenant_schema: tenant_schema.as_str(),
        steps: Steps::default(),
    };
    let role = |name: &RoleName| catalog.roles.get(name.as_str());
    plan.owner_role(role(&holding.owner_role), surroundings, connect_group);
    for name in &holding.login_roles {
        let wanted = LoginRole {
            holding: &holding,
            name,
            connection_limit: spec.connection_limit,
            statement_timeout: spec.statement_timeout,
            search_path: &[holding.schema.as_str(), tenant_schema.as_str()],
            connect_group,
        };
        plan.steps.login_role(&wanted, role(name), credential);
    }
    let schema = catalog.schema.as_ref();
    plan.schema(schema, surroundings);
    plan.schema_grants(schema, surroundings);
    plan.default_grants(schema);
    // A role that is made now has none of the privileges that the catalog shows for the other.
    let login_is_missing = holding.login_roles.iter().any(|name| role(name).is_none());
    plan.table_grants(schema, login_is_missing);
    plan.security_definer(surroundings);
    plan.tenant_schema(surroundings);
    plan.tenant_tables(surroundings);
    plan.steps.into_vec()
}

struct Plan<'a> {
    spec: &'a PluginDatabaseSpec,
    holding: &'a Holding,
    tenant_schema: &'a str,
    steps: Steps,
}

impl Plan<'_> {
    fn schema_name(&self) -> String {
        identifier(self.holding.schema.as_str())
    }

    fn owner_name(&self) -> String {
        identifier(self.holding.owner_role.as_str())
    }

    fn logins(&self) -> String {
        identifiers(&self.holding.login_roles)
    }

    fn owner_role(&mut self, found: Option<&Role>, surroundings: &Surroundings, connect_group: &str) {
        let (name, quoted) = (&self.holding.owner_role, self.owner_name());
        if found.is_none() {
            let mark = literal(&self.holding.comment());
            self.steps.push(
                format!("role {name} is missing"),
                &[
                    format!("CREATE ROLE {quoted} NOLOGIN CONNECTION LIMIT {OWNER_CONNECTION_LIMIT}"),
                    format!("COMMENT ON ROLE {quoted} IS {mark}"),
                ],
            );
        }
        let fresh = Role {
            limit: OWNER_CONNECTION_LIMIT,
            ..Role::default()
        };
        let role = found.unwrap_or(&fresh);
        if role.login {
            self.steps.push(
                format!("role {name} may log in"),
                &[format!(
                    "ALTER ROLE {quoted} NOLOGIN PASSWORD NULL VALID UNTIL 'infinity'"
                )],
            );
        }
        if role.limit != OWNER_CONNECTION_LIMIT {
            let limit = role.limit;
            self.steps.push(
                format!("role {name} has connection limit {limit}, not {OWNER_CONNECTION_LIMIT}"),
                &[format!("ALTER ROLE {quoted} CONNECTION LIMIT {OWNER_CONNECTION_LIMIT}")],
            );
        }
        if !role.settings.is_empty() || surroundings.owner_settings {
            // Of this database: the one that the statement runs in.
            let here = format!(
                "DO $do$ BEGIN EXECUTE format('ALTER ROLE {quoted} IN DATABASE %I RESET ALL', current_database()); END $do$"
            );
            self.steps.push(
                format!("role {name} has settings of its own"),
                &[format!("ALTER ROLE {quoted} RESET ALL"), here],
            );
        }
        self.steps.powers(name, role);
        self.steps.connects(name, role, connect_group);
    }

    /// A schema that is made now has had no migration, whatever the record says of one of that name.
    fn schema(&mut self, found: Option<&Schema>, surroundings: &Surroundings) {
        let (name, quoted) = (&self.holding.schema, self.schema_name());
        match found {
            None => {
                let mark = literal(&self.holding.comment());
                let statements = [
                    format!("CREATE SCHEMA {quoted}"),
                    format!("COMMENT ON SCHEMA {quoted} IS {mark}"),
                    ledger::forget(name.as_str()),
                ];
                self.steps.push(format!("schema {name} is missing"), &statements);
            }
            Some(schema) if schema.owner != surroundings.operator => {
                let statements = [format!("ALTER SCHEMA {quoted} OWNER TO CURRENT_ROLE")];
                self.steps
                    .push(format!("schema {name} belongs to {}", schema.owner), &statements);
            }
            Some(_) => {}
        }
    }

    fn schema_grants(&mut self, found: Option<&Schema>, surroundings: &Surroundings) {
        let (name, quoted) = (&self.holding.schema, self.schema_name());
        let grants = found.map_or(&[][..], |schema| &schema.grants);
        let known: Vec<&str> = self
            .holding
            .roles()
            .map(RoleName::as_str)
            .into_iter()
            .chain([surroundings.operator.as_str()])
            .collect();
        let strangers: BTreeSet<&str> = grants
            .iter()
            .map(|grant| grant.grantee.as_str())
            .filter(|grantee| !known.contains(grantee))
            .collect();
        for stranger in strangers {
            let grantee = match stranger {
                "PUBLIC" => stranger.to_owned(),
                role => identifier(role),
            };
            self.steps.push(
                format!("schema {name} is open to {stranger}"),
                &[format!("REVOKE ALL ON SCHEMA {quoted} FROM {grantee}")],
            );
        }
        let [a, b] = &self.holding.login_roles;
        if [a, b].iter().any(|role| has(grants, "", role, "CREATE")) {
            self.steps.push(
                format!("a login role may create in schema {name}"),
                &[format!("REVOKE CREATE ON SCHEMA {quoted} FROM {}", self.logins())],
            );
        }
        let owner = &self.holding.owner_role;
        if !has(grants, "", owner, "USAGE") || !has(grants, "", owner, "CREATE") {
            self.steps.push(
                format!("role {owner} may not create in schema {name}"),
                &[format!(
                    "GRANT USAGE, CREATE ON SCHEMA {quoted} TO {}",
                    self.owner_name()
                )],
            );
        }
        if ![a, b].iter().all(|role| has(grants, "", role, "USAGE")) {
            self.steps.push(
                format!("a login role may not use schema {name}"),
                &[format!("GRANT USAGE ON SCHEMA {quoted} TO {}", self.logins())],
            );
        }
    }

    fn default_grants(&mut self, found: Option<&Schema>) {
        let grants = found.map_or(&[][..], |schema| &schema.default_grants);
        let kinds = [
            ("r", "TABLES", &TABLE_PRIVILEGES[..]),
            ("S", "SEQUENCES", &SEQUENCE_PRIVILEGES[..]),
        ];
        for (kind, objects, privileges) in kinds {
            let mut roles = self.holding.login_roles.iter();
            if roles.all(|role| privileges.iter().all(|privilege| has(grants, kind, role, privilege))) {
                continue;
            }
            let statement = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {objects} TO {}",
                self.owner_name(),
                self.schema_name(),
                privileges.join(", "),
                self.logins()
            );
            self.steps.push(
                format!(
                    "new {} of schema {} are not granted",
                    objects.to_lowercase(),
                    self.holding.schema
                ),
                &[statement],
            );
        }
    }

    fn table_grants(&mut self, found: Option<&Schema>, login_is_missing: bool) {
        let Some(schema) = found else {
            return;
        };
        if schema.ungranted.is_empty() && !login_is_missing {
            return;
        }
        let (name, logins) = (self.schema_name(), self.logins());
        let on = if schema.ungranted.is_empty() {
            "all tables".to_owned()
        } else {
            schema.ungranted.join(", ")
        };
        self.steps.push(
            format!("the login roles lack privileges on: {on}"),
            &[
                format!(
                    "GRANT {} ON ALL TABLES IN SCHEMA {name} TO {logins}",
                    TABLE_PRIVILEGES.join(", ")
                ),
                format!(
                    "GRANT {} ON ALL SEQUENCES IN SCHEMA {name} TO {logins}",
                    SEQUENCE_PRIVILEGES.join(", ")
                ),
            ],
        );
    }

    /// A script that makes such a routine is refused; one that slipped through, by a trigger at the commit, is found
    /// here.
    fn security_definer(&mut self, surroundings: &Surroundings) {
        for routine in &surroundings.security_definer {
            self.steps.push(
                format!("{routine} runs with the rights of its owner"),
                &[format!("ALTER ROUTINE {routine} SECURITY INVOKER")],
            );
        }
    }

    fn tenant_schema(&mut self, surroundings: &Surroundings) {
        let grants = &surroundings.tenant_schema;
        let (name, quoted) = (self.tenant_schema, identifier(self.tenant_schema));
        let roles = self.holding.roles();
        let needed = !self.spec.tenant_tables.is_empty();
        if needed && !roles.iter().all(|role| has(grants, "", role, "USAGE")) {
            self.steps.push(
                format!("the plugin may not use schema {name}"),
                &[format!("GRANT USAGE ON SCHEMA {quoted} TO {}", identifiers(roles))],
            );
        }
        if self.spec.surplus == Surplus::Kept {
            return;
        }
        let surplus: BTreeSet<&str> = grants
            .iter()
            .map(|grant| grant.privilege.as_str())
            .filter(|privilege| !needed || *privilege != "USAGE")
            .collect();
        for privilege in surplus {
            self.steps.push(
                format!("the plugin has {privilege} on schema {name}, which it does not declare"),
                &[format!(
                    "REVOKE {privilege} ON SCHEMA {quoted} FROM {}",
                    identifiers(roles)
                )],
            );
        }
    }

    fn tenant_tables(&mut self, surroundings: &Surroundings) {
        let grants = &surroundings.tenant_tables;
        let roles = self.holding.roles();
        for (table, privilege) in self.spec.tenant_tables.iter() {
            let (kind, privilege) = (table.as_ref(), privilege.as_ref());
            if !roles.iter().all(|role| has(grants, kind, role, privilege)) {
                self.table_step("lacks", "GRANT", kind, privilege, "TO");
            }
        }
        if self.spec.surplus == Surplus::Kept {
            return;
        }
        let declared = |table: &str, privilege: &str| {
            let mut all = self.spec.tenant_tables.iter();
            all.any(|(one, of_it)| one.as_ref() == table && of_it.as_ref() == privilege)
        };
        let surplus: BTreeSet<(&str, &str)> = grants
            .iter()
            .map(|grant| (grant.kind.as_str(), grant.privilege.as_str()))
            .filter(|(table, privilege)| !declared(table, privilege))
            .collect();
        for (table, privilege) in surplus {
            self.table_step("does not declare, and has,", "REVOKE", table, privilege, "FROM");
        }
    }

    fn table_step(&mut self, says: &str, verb: &str, table: &str, privilege: &str, preposition: &str) {
        let statement = format!(
            "{verb} {privilege} ON {}.{} {preposition} {}",
            identifier(self.tenant_schema),
            identifier(table),
            identifiers(self.holding.roles())
        );
        self.steps.push(
            format!("the plugin {says} {privilege} on the tenant's table {table}"),
            &[statement],
        );
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
