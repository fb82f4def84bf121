//! The files that make tables: ordered, checksummed, never run twice.

use std::collections::BTreeMap;

use super::sql;
use crate::backends::{BackendError, hash::sha256_hex};

/// A file of SQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migration {
    /// Its name, by which it is recorded; names are in order.
    pub(super) name: &'static str,
    template: &'static str,
}

/// The files of a tenant's schema.
pub(super) const TENANT: &[Migration] = &[
    Migration {
        name: "0001_template",
        template: include_str!("migrations/tenant/0001_template.sql"),
    },
    Migration {
        name: "0002_seed",
        template: include_str!("migrations/tenant/0002_seed.sql"),
    },
];

/// The files of schema `core`.
pub(super) const CORE: &[Migration] = &[
    Migration {
        name: "0001_registry",
        template: include_str!("migrations/core/0001_registry.sql"),
    },
    Migration {
        name: "0002_ended_with_their_tenant",
        template: include_str!("migrations/core/0002_ended_with_their_tenant.sql"),
    },
];

/// The files of schema `plexica`: the operator's own record in each database that holds tenants.
pub(super) const OPERATOR: &[Migration] = &[Migration {
    name: "0001_plugin_migrations",
    template: include_str!("migrations/operator/0001_plugin_migrations.sql"),
}];

impl Migration {
    /// SHA-256 of the file as it is, before any name is put in.
    pub(super) fn checksum(&self) -> String {
        sha256_hex(self.template)
    }

    /// The statements for a schema.
    pub(super) fn statements(&self, schema: &str) -> String {
        self.template.replace("{{schema}}", &sql::identifier(schema))
    }
}

/// What a schema's record says: name of the file and its checksum then.
pub(super) type Applied = BTreeMap<String, String>;

/// The files not yet applied. Names in the record that this operator does not know were applied by a newer one and
/// are left alone.
///
/// # Errors
/// [`BackendError::MigrationChanged`] for the first file that is not what was applied.
pub(super) fn pending<'a>(files: &'a [Migration], applied: &Applied) -> Result<Vec<&'a Migration>, BackendError> {
    let mut pending = Vec::new();
    for file in files {
        let found = file.checksum();
        match applied.get(file.name) {
            None => pending.push(file),
            Some(checksum) if *checksum == found => {}
            Some(checksum) => {
                return Err(BackendError::MigrationChanged {
                    name: file.name.to_owned(),
                    applied: checksum.clone(),
                    found,
                });
            }
        }
    }
    Ok(pending)
}

/// The statements that make the record of a schema, if missing.
pub(super) fn record_table(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (name text PRIMARY KEY, sha256 text NOT NULL, \
         applied_at timestamptz NOT NULL DEFAULT now())"
    )
}

/// The statement that records a file.
pub(super) fn record(table: &str, file: &Migration) -> String {
    format!(
        "INSERT INTO {table} (name, sha256) VALUES ({}, {})",
        sql::literal(file.name),
        sql::literal(&file.checksum())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        for files in [TENANT, CORE, OPERATOR] {
            assert!(files.is_sorted_by_key(|file| file.name));
        }
    }

    #[test]
    fn only_what_is_not_recorded_is_pending() {
        let first = TENANT[0];
        let mut applied = Applied::from([
            (first.name.to_owned(), first.checksum()),
            ("9999_newer".into(), "x".into()),
        ]);
        let names: Vec<_> = pending(TENANT, &applied)
            .unwrap()
            .iter()
            .map(|file| file.name)
            .collect();
        assert_eq!(names, TENANT[1..].iter().map(|file| file.name).collect::<Vec<_>>());

        applied.insert(first.name.to_owned(), "other".into());
        let error = pending(TENANT, &applied).unwrap_err();
        assert!(matches!(error, BackendError::MigrationChanged { name, .. } if name == first.name));
    }

    #[test]
    fn every_table_is_named_with_its_schema() {
        let statements = TENANT[0].statements("tenant_acme");
        assert!(statements.contains("CREATE TABLE \"tenant_acme\".users"));
        assert!(!statements.contains("{{"));
    }
}
