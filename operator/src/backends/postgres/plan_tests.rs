use std::time::Duration;

use plexica_crds::{names::TenantSlug, ownership::Owner};
use uuid::Uuid;

use super::{super::catalog::Grant, *};

const GROUP: &str = "plexica_tenants";

fn spec() -> DatabaseSpec {
    DatabaseSpec {
        owner: Owner {
            tenant_id: Uuid::from_u128(7),
            installation: "prod-eu".into(),
        },
        slug: TenantSlug::parse("acme-corp").unwrap(),
        connection_limit: 20,
        statement_timeout: Duration::from_secs(30),
    }
}

fn grants(kind: &str, privileges: &[&str]) -> Vec<Grant> {
    let logins = ["tenant_acme_corp_a", "tenant_acme_corp_b"];
    let grant = |grantee: &str, privilege: &&str| Grant {
        kind: kind.into(),
        grantee: grantee.into(),
        privilege: (*privilege).into(),
    };
    logins
        .iter()
        .flat_map(|login| privileges.iter().map(|privilege| grant(login, privilege)))
        .collect()
}

/// A tenant as it is after it was made.
fn converged() -> (Catalog, Applied) {
    let mark = Some(spec().owner.to_comment());
    let login = |login| Role {
        login,
        limit: 20,
        settings: [
            "search_path=tenant_acme_corp",
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
        limit: -1,
        comment: mark.clone(),
        ..Role::default()
    };
    let schema = Schema {
        owner: "tenant_acme_corp_owner".into(),
        comment: mark.clone(),
        grants: grants("", &["USAGE"]),
        default_grants: [grants("r", &TABLE_PRIVILEGES), grants("S", &SEQUENCE_PRIVILEGES)].concat(),
        recorded: true,
        ..Schema::default()
    };
    let roles = [
        ("tenant_acme_corp_a", login(true)),
        ("tenant_acme_corp_b", login(false)),
        ("tenant_acme_corp_owner", owner),
    ];
    let roles = roles.into_iter().map(|(name, role)| (name.to_owned(), role)).collect();
    let applied = migrations::TENANT
        .iter()
        .map(|file| (file.name.to_owned(), file.checksum()))
        .collect();
    (
        Catalog {
            schema: Some(schema),
            roles,
        },
        applied,
    )
}

fn differences(catalog: &Catalog, applied: &Applied) -> Vec<String> {
    let steps = plan(&spec(), catalog, applied, None, GROUP).unwrap();
    steps.into_iter().map(|step| step.difference).collect()
}

#[test]
fn a_converged_tenant_needs_nothing() {
    let (catalog, applied) = converged();
    assert_eq!(differences(&catalog, &applied), Vec::<String>::new());
    assert_eq!(catalog.foreign(&spec().holding()), None);
}

#[test]
fn a_tenant_is_made_by_these_statements() {
    let credential = NewCredential {
        id: "cred1".into(),
        verifier: "SCRAM-SHA-256$4096:salt$stored:server".into(),
    };
    let steps = plan(&spec(), &Catalog::default(), &Applied::new(), Some(&credential), GROUP).unwrap();
    let is_migration = |step: &&Step| step.difference.starts_with("migrations");
    assert_eq!(steps.iter().filter(is_migration).count(), 1);
    let rest = steps.iter().filter(|step| !is_migration(step));
    let texts = rest.map(|step| format!("-- {}\n{}", step.difference, step.script.clone().into_text()));
    insta::assert_snapshot!(texts.collect::<Vec<_>>().concat());
}

#[test]
fn a_password_is_never_in_a_statement() {
    let verifier = postgres_protocol::password::scram_sha_256(b"hunter2-hunter2");
    let credential = NewCredential {
        id: "cred1".into(),
        verifier,
    };
    let steps = plan(&spec(), &Catalog::default(), &Applied::new(), Some(&credential), GROUP).unwrap();
    assert!(steps.iter().all(|step| !format!("{step:?}").contains("hunter2")));
}

/// Spoils one thing of a schema and a login role.
type Spoil = fn(&mut Schema, &mut Role);

#[test]
fn each_difference_is_named_and_healed() {
    let cases: [(Spoil, &str, &str); 14] = [
        (
            |_, role| role.login = false,
            "role tenant_acme_corp_a may not log in",
            "LOGIN",
        ),
        (
            |_, role| role.limit = -1,
            "role tenant_acme_corp_a has connection limit -1, not 20",
            "CONNECTION LIMIT 20",
        ),
        (
            |_, role| role.settings.retain(|setting| !setting.starts_with("search_path")),
            "role tenant_acme_corp_a lacks its settings: search_path",
            "SET search_path = 'tenant_acme_corp'",
        ),
        (
            |_, role| role.powers.push("CREATEROLE".into()),
            "role tenant_acme_corp_a has CREATEROLE",
            "NOCREATEROLE",
        ),
        (
            |_, role| role.member_of.clear(),
            "role tenant_acme_corp_a may not connect",
            "WITH INHERIT TRUE, SET FALSE",
        ),
        (
            |schema, _| schema.owner = "postgres".into(),
            "schema tenant_acme_corp belongs to postgres",
            "OWNER TO",
        ),
        (
            |schema, _| {
                schema.grants.push(Grant {
                    kind: String::new(),
                    grantee: "PUBLIC".into(),
                    privilege: "USAGE".into(),
                });
            },
            "schema tenant_acme_corp is open to PUBLIC",
            "FROM PUBLIC",
        ),
        (
            |schema, _| schema.grants.extend(grants("", &["CREATE"])),
            "a login role may create in schema tenant_acme_corp",
            "REVOKE CREATE",
        ),
        (
            |schema, _| schema.grants.clear(),
            "a login role may not use schema tenant_acme_corp",
            "GRANT USAGE ON SCHEMA",
        ),
        (
            |schema, _| schema.default_grants.retain(|grant| grant.kind == "S"),
            "new tables of schema tenant_acme_corp are not granted",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES",
        ),
        (
            |schema, _| schema.ungranted.push("users".into()),
            "the login roles lack privileges on: users",
            "ON ALL TABLES IN SCHEMA",
        ),
        (
            |schema, _| schema.record_exposed = true,
            "the login roles have privileges on the record of migrations",
            "REVOKE ALL ON \"tenant_acme_corp\"._migrations",
        ),
        (
            |schema, _| schema.public.push("roles".into()),
            "open to PUBLIC: roles",
            "REVOKE ALL ON ALL TABLES",
        ),
        (
            |schema, _| schema.default_grants.retain(|grant| grant.kind == "r"),
            "new sequences of schema tenant_acme_corp are not granted",
            "GRANT USAGE, SELECT ON SEQUENCES",
        ),
    ];
    for (spoil, difference, statement) in cases {
        let (mut catalog, applied) = converged();
        let active = catalog.roles.get_mut("tenant_acme_corp_a").unwrap();
        spoil(catalog.schema.as_mut().unwrap(), active);
        let steps = plan(&spec(), &catalog, &applied, None, GROUP).unwrap();
        let [step] = steps.as_slice() else {
            panic!("{difference}: {steps:?}")
        };
        assert_eq!(step.difference, difference);
        let text = step.script.clone().into_text();
        assert!(text.contains(statement), "{difference}: {text}");
    }
}

#[test]
fn a_missing_role_is_made_with_all_it_needs() {
    for name in ["tenant_acme_corp_b", "tenant_acme_corp_owner"] {
        let (mut catalog, applied) = converged();
        catalog.roles.remove(name);
        assert!(differences(&catalog, &applied).contains(&format!("role {name} is missing")));
    }
}

#[test]
fn a_pending_migration_is_a_difference_and_a_changed_one_an_error() {
    let (catalog, mut applied) = converged();
    applied.remove(migrations::TENANT[1].name);
    assert_eq!(differences(&catalog, &applied), ["migrations are pending: 0002_seed"]);
    applied.insert(migrations::TENANT[0].name.into(), "other".into());
    let error = plan(&spec(), &catalog, &applied, None, GROUP).unwrap_err();
    assert!(matches!(error, BackendError::MigrationChanged { .. }));
}

#[test]
fn what_bears_no_or_another_mark_is_foreign() {
    let (found, _) = converged();
    let other = Owner {
        tenant_id: Uuid::from_u128(8),
        ..spec().owner
    };
    let other = Holding::of_tenant(&other, &spec().slug);
    assert_eq!(found.foreign(&other), Some("schema tenant_acme_corp".into()));
    let mut unmarked = found.clone();
    unmarked.roles.get_mut("tenant_acme_corp_b").unwrap().comment = None;
    assert_eq!(
        unmarked.foreign(&spec().holding()),
        Some("role tenant_acme_corp_b".into())
    );
}
