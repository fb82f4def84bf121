//! What a plugin may do with the tenant's own tables.

use std::collections::{BTreeMap, BTreeSet};

use strum::IntoEnumIterator;

/// A table of the tenant's template (data-model.md).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
    strum::Display,
)]
#[strum(serialize_all = "snake_case")]
pub enum TenantTable {
    /// People.
    Users,
    /// Teams.
    Teams,
    /// Who is in which team.
    TeamMembers,
    /// Roles.
    Roles,
    /// Permissions.
    Permissions,
    /// What a role may do.
    RolePermissions,
    /// Who has which role.
    UserRoles,
    /// Rules of access.
    Policies,
    /// The record of what happened.
    AuditLogs,
}

/// A privilege that a plugin may be given on a table of the tenant.
///
/// Not among them: TRUNCATE and MAINTAIN, which lock everybody out; TRIGGER, whose functions would run with the rights
/// of whoever writes to the table.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
    strum::Display,
)]
#[strum(serialize_all = "UPPERCASE")]
pub enum TablePrivilege {
    /// Read rows.
    Select,
    /// Add rows.
    Insert,
    /// Change rows.
    Update,
    /// Remove rows.
    Delete,
    /// Refer to rows by foreign keys.
    References,
}

impl TenantTable {
    /// What plugins may be given at most. Who may do what is decided in the tenant, not by a plugin: it reads those
    /// tables (its own permissions are seeded by the operator). And nobody changes a record that was written.
    pub fn grantable(self) -> &'static [TablePrivilege] {
        use TablePrivilege::{Delete, Insert, References, Select, Update};
        match self {
            Self::Users | Self::Teams | Self::TeamMembers => &[Select, Insert, Update, Delete, References],
            Self::Roles | Self::Permissions | Self::RolePermissions | Self::UserRoles | Self::Policies => {
                &[Select, References]
            }
            Self::AuditLogs => &[Select, Insert],
        }
    }
}

/// Why a declared grant is refused; a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedGrant {
    /// The template has no such table.
    #[error("the tenant's template has no table `{table}`; it has: {}", names::<TenantTable>())]
    UnknownTable {
        /// The name declared.
        table: String,
    },
    /// Plugins get no such privilege on this table.
    #[error("a plugin may not have {privilege} on table {table}, only: {}", grantable(*.table))]
    Privilege {
        /// The table.
        table: TenantTable,
        /// The privilege declared.
        privilege: String,
    },
}

fn names<T: IntoEnumIterator + std::fmt::Display>() -> String {
    T::iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn grantable(table: TenantTable) -> String {
    let privileges = table.grantable().iter().map(ToString::to_string);
    privileges.collect::<Vec<_>>().join(", ")
}

/// Privileges on tables of the tenant, each one that a plugin may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantTables(BTreeMap<TenantTable, BTreeSet<TablePrivilege>>);

impl TenantTables {
    /// Parses what a manifest declares: tables with privileges, whose case does not matter.
    ///
    /// # Errors
    /// The first table or privilege that is refused.
    pub fn parse<'a, P>(declared: impl IntoIterator<Item = (&'a str, P)>) -> Result<Self, RefusedGrant>
    where
        P: IntoIterator<Item = &'a str>,
    {
        let mut tables = BTreeMap::<_, BTreeSet<_>>::new();
        for (name, privileges) in declared {
            let table: TenantTable = name
                .parse()
                .map_err(|_| RefusedGrant::UnknownTable { table: name.to_owned() })?;
            for name in privileges {
                let privilege = name.to_ascii_uppercase().parse().ok();
                let privilege: TablePrivilege = privilege
                    .filter(|privilege| table.grantable().contains(privilege))
                    .ok_or_else(|| RefusedGrant::Privilege {
                        table,
                        privilege: name.to_owned(),
                    })?;
                tables.entry(table).or_default().insert(privilege);
            }
        }
        Ok(Self(tables))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this privilege is among them.
    pub fn allows(&self, table: TenantTable, privilege: TablePrivilege) -> bool {
        self.0
            .get(&table)
            .is_some_and(|privileges| privileges.contains(&privilege))
    }

    /// Each privilege.
    pub fn iter(&self) -> impl Iterator<Item = (TenantTable, TablePrivilege)> {
        self.0
            .iter()
            .flat_map(|(table, privileges)| privileges.iter().map(|privilege| (*table, *privilege)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_parsed() {
        let tables = TenantTables::parse([("users", vec!["select", "REFERENCES"]), ("audit_logs", vec!["Insert"])]);
        let tables = tables.unwrap();
        assert_eq!(tables.iter().count(), 3);
        assert!(tables.allows(TenantTable::Users, TablePrivilege::References));
        assert!(!tables.allows(TenantTable::Users, TablePrivilege::Update));
    }

    #[test]
    fn tables_outside_the_template_are_refused_with_those_there_are() {
        for table in [
            "_migrations",
            "pg_class",
            "users; DROP TABLE users",
            "tenant_x.users",
            "",
        ] {
            let error = TenantTables::parse([(table, vec!["SELECT"])]).unwrap_err().to_string();
            assert!(error.contains("it has: users, teams, team_members"), "{error}");
        }
    }

    #[test]
    fn privileges_that_lock_out_or_lift_up_are_refused() {
        for (table, privilege) in [
            ("users", "TRUNCATE"),
            ("users", "TRIGGER"),
            ("users", "MAINTAIN"),
            ("users", "ALL"),
            ("users", "SELECT WITH GRANT OPTION"),
            ("user_roles", "INSERT"),
            ("role_permissions", "UPDATE"),
            ("permissions", "DELETE"),
            ("audit_logs", "DELETE"),
            ("audit_logs", "UPDATE"),
        ] {
            let error = TenantTables::parse([(table, vec![privilege])]).unwrap_err();
            assert!(
                error.to_string().contains("only: SELECT"),
                "{table} {privilege}: {error}"
            );
        }
    }
}
