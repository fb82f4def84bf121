//! What a plugin may do with the tenant's own tables.

use std::collections::{BTreeMap, BTreeSet};

use plexica_crds::plugin::{Privilege, TenantTable, TenantTableName};
use serde::{Deserialize, Serialize};

/// A declared grant that no plugin gets. A manifest that declares one is not accepted; this is the last line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} on {} is granted to no plugin", privilege.as_ref(), table.as_ref())]
pub struct RefusedGrant {
    /// The table.
    pub table: TenantTableName,
    /// The privilege.
    pub privilege: Privilege,
}

/// Privileges on tables of the tenant, each one that a plugin may have.
///
/// TRUNCATE and MAINTAIN, which lock everybody out, and TRIGGER, whose functions would run with the rights of whoever
/// writes to the table, are no [`Privilege`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantTables(BTreeMap<TenantTableName, BTreeSet<Privilege>>);

impl TenantTables {
    /// What a manifest declares.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn of(declared: &[TenantTable]) -> Result<Self, RefusedGrant> {
        let mut tables = BTreeMap::<_, BTreeSet<_>>::new();
        for TenantTable { table, privileges } in declared {
            for privilege in privileges {
                if !table.grantable().contains(privilege) {
                    return Err(RefusedGrant {
                        table: *table,
                        privilege: *privilege,
                    });
                }
                tables.entry(*table).or_default().insert(*privilege);
            }
        }
        Ok(Self(tables))
    }

    /// Adds what another manifest declares.
    pub fn extend(&mut self, others: &Self) {
        for (table, privilege) in others.iter() {
            self.0.entry(table).or_default().insert(privilege);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this privilege is among them.
    pub fn allows(&self, table: TenantTableName, privilege: Privilege) -> bool {
        self.0
            .get(&table)
            .is_some_and(|privileges| privileges.contains(&privilege))
    }

    /// Each privilege.
    pub fn iter(&self) -> impl Iterator<Item = (TenantTableName, Privilege)> {
        self.0
            .iter()
            .flat_map(|(table, privileges)| privileges.iter().map(|privilege| (*table, *privilege)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(table: TenantTableName, privileges: &[Privilege]) -> Result<TenantTables, RefusedGrant> {
        let privileges = privileges.to_vec();
        TenantTables::of(&[TenantTable { table, privileges }])
    }

    #[test]
    fn what_is_declared_is_allowed_and_nothing_else() {
        let tables = tables(TenantTableName::Users, &[Privilege::Select, Privilege::References]).unwrap();
        assert_eq!(tables.iter().count(), 2);
        assert!(tables.allows(TenantTableName::Users, Privilege::References));
        assert!(!tables.allows(TenantTableName::Users, Privilege::Update));
        assert!(!tables.allows(TenantTableName::Teams, Privilege::Select));
    }

    #[test]
    fn privileges_that_lift_up_or_leave_no_trace_are_refused() {
        for (table, privilege, text) in [
            (TenantTableName::UserRoles, Privilege::Insert, "INSERT on user_roles"),
            (TenantTableName::Permissions, Privilege::Delete, "DELETE on permissions"),
            (TenantTableName::AuditLogs, Privilege::Update, "UPDATE on audit_logs"),
        ] {
            let error = tables(table, &[privilege]).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
