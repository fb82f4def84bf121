use plexica_crds::{names::PluginId, ownership::Owner};
use uuid::Uuid;

use super::*;
use crate::backends::postgres::plugin::PluginKey;

fn migration(name: &str, phase: MigrationPhase) -> PluginMigration {
    PluginMigration {
        name: name.to_owned(),
        sql: format!("CREATE TABLE {{{{schema}}}}.t{name} ()"),
        phase,
        transactional: true,
    }
}

fn holding() -> (Holding, TenantSlug) {
    let slug = TenantSlug::parse("acme").unwrap();
    let owner = Owner {
        tenant_id: Uuid::from_u128(7),
        installation: "prod".into(),
    };
    let plugin = PluginId::parse("crm").unwrap();
    let key = PluginKey {
        slug: slug.clone(),
        plugin,
    };
    (Holding::of_plugin(&owner, &key), slug)
}

fn names(
    migrations: &[PluginMigration],
    applied: &[&str],
    phase: MigrationPhase,
) -> Result<Vec<String>, MigrationError> {
    let (holding, slug) = holding();
    let prepared = prepare(&holding, &slug, migrations)?;
    let applied = migrations
        .iter()
        .filter(|one| applied.contains(&one.name.as_str()))
        .map(|one| (one.name.clone(), sha256_hex(&one.sql)))
        .collect();
    let pending = pending(prepared, &applied, phase)?;
    Ok(pending.into_iter().map(|one| one.migration.name.clone()).collect())
}

#[test]
fn what_contracts_waits_for_all_that_expands() {
    use MigrationPhase::{Contract, Expand};
    let all = [migration("1", Expand), migration("2", Contract), migration("3", Expand)];
    assert_eq!(names(&all, &[], Expand).unwrap(), ["1", "3"]);
    assert_eq!(names(&all, &["1"], Expand).unwrap(), ["3"]);
    let error = names(&all, &["1"], Contract).unwrap_err();
    assert!(matches!(error, MigrationError::NotExpanded { migration } if migration == "3"));
    assert_eq!(names(&all, &["1", "3"], Contract).unwrap(), ["2"]);
    assert!(names(&all, &["1", "2", "3"], Contract).unwrap().is_empty());
}

#[test]
fn a_script_that_changed_is_not_run() {
    let (holding, slug) = holding();
    let all = [
        migration("1", MigrationPhase::Expand),
        migration("2", MigrationPhase::Contract),
    ];
    let applied = Applied::from([("2".to_owned(), "other".to_owned())]);
    let error = pending(
        prepare(&holding, &slug, &all).unwrap(),
        &applied,
        MigrationPhase::Expand,
    )
    .unwrap_err();
    assert!(matches!(
        error,
        MigrationError::Backend(BackendError::MigrationChanged { name, .. }) if name == "2"
    ));
}

#[test]
fn a_script_that_cannot_be_read_is_refused_before_any_runs() {
    let mut bad = migration("2", MigrationPhase::Contract);
    for (sql, transactional, part) in [
        ("SELECT {{secret}}", true, "stands for nothing"),
        ("SELECT 'a", true, "does not end"),
        (
            "VACUUM; DELETE FROM t",
            false,
            "statement 2: without a transaction only",
        ),
    ] {
        (bad.sql, bad.transactional) = (sql.to_owned(), transactional);
        let error = names(
            &[migration("1", MigrationPhase::Expand), bad.clone()],
            &[],
            MigrationPhase::Expand,
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("migration 2 cannot be run: ") && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn a_failure_says_where_what_and_what_to_do() {
    let trouble = Trouble {
        statement: Some(2),
        ..Trouble::ours("permission denied for table users", migration::hint("42501"), false)
    };
    let failure = MigrationFailure {
        sqlstate: Some("42501".into()),
        ..trouble.into_failure("0002_contacts", &[])
    };
    assert_eq!(
        failure.to_string(),
        "migration 0002_contacts, statement 2: permission denied for table users (SQLSTATE 42501); a plugin's script \
         may change its own schema only, and use those tables of the tenant that its manifest declares in \
         database.tenantTables"
    );
}
