use super::*;

fn parts(identity: Outcome) -> Parts {
    Parts {
        slug: TenantSlug::parse("acme-corp").unwrap(),
        placement: Placement {
            postgres: "blue".into(),
            keycloak: Some("green".into()),
            s3: "red".into(),
        },
        suspended: false,
        namespace: Outcome::done(),
        database: Outcome::done(),
        identity,
        issuer: Some("https://id.example.com/realms/tenant-acme-corp".into()),
        storage: Outcome::done(),
        isolation: Outcome::Done(Reason::Verified, String::new()),
        registry: Outcome::done(),
        frontends: Outcome::done(),
        corrected: vec![],
    }
}

fn moment(second: i64, due: Option<i64>) -> Moment {
    let at = |second| Timestamp::from_second(second).unwrap();
    Moment {
        generation: 4,
        tenant_id: Some(Uuid::from_u128(1)),
        now: at(second),
        due: due.map(at),
    }
}

#[test]
fn a_converged_pass_leaves_the_status_as_it_is() {
    let findings = Findings::applied(parts(Outcome::done()));
    let first = after(&TenantStatus::default(), &findings, moment(10, None));
    assert_eq!(first, after(&first, &findings, moment(900, None)));
    assert_eq!(first.phase, Some(Phase::Active));
    assert_eq!(first.database.unwrap().schema, "tenant_acme_corp");
}

#[test]
fn a_slow_part_does_not_hide_what_others_have_said() {
    let begun = begun(
        &TenantStatus::default(),
        &TenantSlug::parse("acme-corp").unwrap(),
        &parts(Outcome::done()).placement,
        moment(10, None),
    );
    let status = so_far(&begun, &[(Type::DatabaseReady, Outcome::done())], moment(12, None));
    let find = |type_| condition::find(&status.conditions, type_).unwrap().status.clone();
    assert_eq!(
        (find("DatabaseReady").as_str(), find("IdentityReady").as_str()),
        ("True", "False")
    );
}

#[test]
fn a_backend_that_is_down_says_which_and_when_it_is_tried_again() {
    let down = Outcome::Waiting(Reason::BackendUnavailable, "keycloak pool green does not answer".into());
    let status = after(
        &TenantStatus::default(),
        &Findings::applied(parts(down)),
        moment(10, Some(3_600)),
    );
    let find = |type_| condition::find(&status.conditions, type_).unwrap().clone();
    assert_eq!(find("Reconciling").reason, "BackendUnavailable");
    assert_eq!(
        find("Reconciling").message,
        "keycloak pool green does not answer; tried again at 01:00:00Z"
    );
    assert_eq!(
        (find("Ready").status, find("IdentityReady").status),
        ("False".into(), "False".into())
    );
    assert_eq!(find("DatabaseReady").status, "True");
    assert!(condition::find(&status.conditions, "Stalled").is_none());
}

#[test]
fn what_heals_leaves_no_trace_of_reconciling_or_stalled() {
    let blocked = Outcome::Blocked(Reason::NotOwned, "realm tenant-acme-corp is not ours".into());
    let stalled = after(
        &TenantStatus::default(),
        &Findings::applied(parts(blocked)),
        moment(10, Some(20)),
    );
    assert!(condition::find(&stalled.conditions, "Stalled").is_some());
    let healed = after(&stalled, &Findings::applied(parts(Outcome::done())), moment(30, None));
    assert!(condition::find(&healed.conditions, "Stalled").is_none());
    assert_eq!(healed.phase, Some(Phase::Active));
}

#[test]
fn a_refused_spec_keeps_what_is_known_of_the_backends() {
    let ready = after(
        &TenantStatus::default(),
        &Findings::applied(parts(Outcome::done())),
        moment(10, None),
    );
    let refused = Findings::refused(Outcome::Blocked(Reason::InvalidSpec, "spec.settings: too large".into()));
    let status = after(&ready, &refused, moment(20, Some(30)));
    assert_eq!(status.database, ready.database);
    assert_eq!(
        condition::find(&status.conditions, "Ready").unwrap().reason,
        "InvalidSpec"
    );
    assert_eq!(
        condition::find(&status.conditions, "DatabaseReady").unwrap().status,
        "True"
    );
}
