use std::time::Duration;

use plexica_crds::{
    names::{PluginId, TenantSlug},
    ownership::Owner,
    plugin::{Privilege, TenantTable, TenantTableName},
};
use uuid::Uuid;

use super::*;
use crate::backends::postgres::{
    catalog::Grant,
    plugin::{PluginKey, TenantTables},
};

const GROUP: &str = "plexica_tenants";
const OPERATOR: &str = "plexica_operator";
const OWNER: &str = "tenant_acme_corp_plugin_crm_o";
const A: &str = "tenant_acme_corp_plugin_crm_a";
const B: &str = "tenant_acme_corp_plugin_crm_b";

fn spec() -> PluginDatabaseSpec {
    PluginDatabaseSpec {
        owner: Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod-eu".into(),
        },
        key: PluginKey {
            slug: TenantSlug::parse("acme-corp").unwrap(),
            plugin: PluginId::parse("crm").unwrap(),
        },
        connection_limit: 10,
        statement_timeout: Duration::from_secs(30),
        tenant_tables: TenantTables::of(&[
            TenantTable {
                table: TenantTableName::Users,
                privileges: vec![Privilege::Select, Privilege::References],
            },
            TenantTable {
                table: TenantTableName::Teams,
                privileges: vec![Privilege::Select, Privilege::Insert],
            },
        ])
        .unwrap(),
        surplus: Surplus::Removed,
    }
}

fn grants(kind: &str, grantees: &[&str], privileges: &[&str]) -> Vec<Grant> {
    let grant = |grantee: &str, privilege: &&str| Grant {
        kind: kind.into(),
        grantee: grantee.into(),
        privilege: (*privilege).into(),
    };
    grantees
        .iter()
        .flat_map(|grantee| privileges.iter().map(|privilege| grant(grantee, privilege)))
        .collect()
}

/// A plugin as it is after it was made.
fn converged() -> (Catalog, Surroundings) {
    let mark = Some(spec().holding().comment());
    let login = |login| Role {
        login,
        limit: 10,
        settings: [
            "search_path=tenant_acme_corp_plugin_crm, tenant_acme_corp",
            "statement_timeout=30000ms",
            "idle_in_transaction_session_timeout=60s",
            "lock_timeout=10s",
        ]
        .map(str::to_owned)
        .to_vec(),
        comment: mark.clone(),
        powers: vec![],
        member_of: vec![GROUP.into()],
    };
    let owner = Role {
        limit: 1,
        comment: mark.clone(),
        member_of: vec![GROUP.into()],
        ..Role::default()
    };
    let schema = Schema {
        owner: OPERATOR.into(),
        comment: mark.clone(),
        grants: [
            grants("", &[OPERATOR, OWNER], &["USAGE", "CREATE"]),
            grants("", &[A, B], &["USAGE"]),
        ]
        .concat(),
        default_grants: [
            grants("r", &[A, B], &TABLE_PRIVILEGES),
            grants("S", &[A, B], &SEQUENCE_PRIVILEGES),
        ]
        .concat(),
        ..Schema::default()
    };
    let roles = [(A, login(true)), (B, login(false)), (OWNER, owner)];
    let catalog = Catalog {
        schema: Some(schema),
        roles: roles.into_iter().map(|(name, role)| (name.to_owned(), role)).collect(),
    };
    let surroundings = Surroundings {
        operator: OPERATOR.into(),
        tenant_comment: Some(spec().owner.to_comment()),
        tenant_schema: grants("", &[OWNER, A, B], &["USAGE"]),
        tenant_tables: [
            grants("users", &[OWNER, A, B], &["SELECT", "REFERENCES"]),
            grants("teams", &[OWNER, A, B], &["SELECT", "INSERT"]),
        ]
        .concat(),
        ..Surroundings::default()
    };
    (catalog, surroundings)
}

fn steps(catalog: &Catalog, surroundings: &Surroundings) -> Vec<Step> {
    plan(&spec(), catalog, surroundings, None, GROUP)
}

#[test]
fn a_converged_plugin_needs_nothing() {
    let (catalog, surroundings) = converged();
    assert_eq!(steps(&catalog, &surroundings), vec![]);
    assert_eq!(catalog.foreign(&spec().holding()), None);
}

#[test]
fn a_plugin_is_made_by_these_statements() {
    let credential = NewCredential {
        id: "cred1".into(),
        verifier: "SCRAM-SHA-256$4096:salt$stored:server".into(),
    };
    let surroundings = Surroundings {
        operator: OPERATOR.into(),
        tenant_comment: Some(spec().owner.to_comment()),
        ..Surroundings::default()
    };
    let steps = plan(&spec(), &Catalog::default(), &surroundings, Some(&credential), GROUP);
    let texts = steps
        .iter()
        .map(|step| format!("-- {}\n{}", step.difference, step.script.clone().into_text()));
    insta::assert_snapshot!(texts.collect::<Vec<_>>().concat());
}

/// Spoils one thing.
type Spoil = fn(&mut Catalog, &mut Surroundings);

#[test]
fn each_difference_is_named_and_healed() {
    let cases: [(Spoil, &str, &str); 15] = [
        (
            |catalog, _| catalog.roles.get_mut(OWNER).unwrap().login = true,
            "role tenant_acme_corp_plugin_crm_o may log in",
            "NOLOGIN PASSWORD NULL",
        ),
        (
            |catalog, _| catalog.roles.get_mut(OWNER).unwrap().settings.push("role=x".into()),
            "role tenant_acme_corp_plugin_crm_o has settings of its own",
            "RESET ALL",
        ),
        (
            |_, surroundings| surroundings.owner_settings = true,
            "role tenant_acme_corp_plugin_crm_o has settings of its own",
            "IN DATABASE %I RESET ALL",
        ),
        (
            |catalog, _| catalog.roles.get_mut(OWNER).unwrap().limit = -1,
            "role tenant_acme_corp_plugin_crm_o has connection limit -1, not 1",
            "CONNECTION LIMIT 1",
        ),
        (
            |catalog, _| catalog.roles.get_mut(A).unwrap().login = false,
            "role tenant_acme_corp_plugin_crm_a may not log in",
            "LOGIN",
        ),
        (
            |catalog, _| catalog.roles.get_mut(B).unwrap().settings.remove(0).clear(),
            "role tenant_acme_corp_plugin_crm_b lacks its settings: search_path",
            "SET search_path = 'tenant_acme_corp_plugin_crm', 'tenant_acme_corp'",
        ),
        (
            |catalog, _| catalog.schema.as_mut().unwrap().owner = OWNER.into(),
            "schema tenant_acme_corp_plugin_crm belongs to tenant_acme_corp_plugin_crm_o",
            "OWNER TO CURRENT_ROLE",
        ),
        (
            |catalog, _| {
                let schema = catalog.schema.as_mut().unwrap();
                schema.grants.extend(grants("", &["tenant_globex_a"], &["USAGE"]));
            },
            "schema tenant_acme_corp_plugin_crm is open to tenant_globex_a",
            "FROM \"tenant_globex_a\"",
        ),
        (
            |catalog, _| {
                let schema = catalog.schema.as_mut().unwrap();
                schema.grants.extend(grants("", &[A], &["CREATE"]));
            },
            "a login role may create in schema tenant_acme_corp_plugin_crm",
            "REVOKE CREATE",
        ),
        (
            |catalog, _| catalog.schema.as_mut().unwrap().ungranted.push("contacts".into()),
            "the login roles lack privileges on: contacts",
            "ON ALL TABLES IN SCHEMA",
        ),
        (
            |_, surroundings| surroundings.security_definer.push("p.f(integer)".into()),
            "p.f(integer) runs with the rights of its owner",
            "ALTER ROUTINE p.f(integer) SECURITY INVOKER",
        ),
        (
            |_, surroundings| surroundings.tenant_schema.clear(),
            "the plugin may not use schema tenant_acme_corp",
            "GRANT USAGE ON SCHEMA \"tenant_acme_corp\" TO",
        ),
        (
            |_, surroundings| surroundings.tenant_schema.extend(grants("", &[OWNER], &["CREATE"])),
            "the plugin has CREATE on schema tenant_acme_corp, which it does not declare",
            "REVOKE CREATE ON SCHEMA \"tenant_acme_corp\"",
        ),
        (
            |_, surroundings| {
                surroundings
                    .tenant_tables
                    .retain(|grant| grant.grantee != B || grant.kind != "teams" || grant.privilege != "INSERT");
            },
            "the plugin lacks INSERT on the tenant's table teams",
            "GRANT INSERT ON \"tenant_acme_corp\".\"teams\" TO",
        ),
        (
            |_, surroundings| surroundings.tenant_tables.extend(grants("users", &[A], &["UPDATE"])),
            "the plugin does not declare, and has, UPDATE on the tenant's table users",
            "REVOKE UPDATE ON \"tenant_acme_corp\".\"users\" FROM",
        ),
    ];
    for (spoil, difference, statement) in cases {
        let (mut catalog, mut surroundings) = converged();
        spoil(&mut catalog, &mut surroundings);
        let steps = steps(&catalog, &surroundings);
        let [step] = steps.as_slice() else {
            panic!("{difference}: {steps:?}")
        };
        assert_eq!(step.difference, difference);
        let text = step.script.clone().into_text();
        assert!(text.contains(statement), "{difference}: {text}");
    }
}

#[test]
fn what_is_no_longer_declared_is_revoked() {
    let (catalog, surroundings) = converged();
    let spec = PluginDatabaseSpec {
        tenant_tables: TenantTables::default(),
        ..spec()
    };
    let steps = plan(&spec, &catalog, &surroundings, None, GROUP);
    let differences: Vec<_> = steps.iter().map(|step| step.difference.as_str()).collect();
    assert_eq!(
        differences,
        [
            "the plugin has USAGE on schema tenant_acme_corp, which it does not declare",
            "the plugin does not declare, and has, INSERT on the tenant's table teams",
            "the plugin does not declare, and has, SELECT on the tenant's table teams",
            "the plugin does not declare, and has, REFERENCES on the tenant's table users",
            "the plugin does not declare, and has, SELECT on the tenant's table users",
        ]
    );
    let kept = PluginDatabaseSpec {
        surplus: Surplus::Kept,
        ..spec
    };
    assert!(plan(&kept, &catalog, &surroundings, None, GROUP).is_empty());
}
