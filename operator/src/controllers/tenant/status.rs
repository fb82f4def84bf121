//! From what a pass found to the object's status. Pure; takes `now`.

use std::iter;

use jiff::Timestamp;
use plexica_crds::{
    condition::{self, Statement, Status},
    names::TenantSlug,
    tenant::{
        DatabaseStatus, IdentityStatus, Phase, PluginCounts, StorageStatus, TenantStatus,
        conditions::{self, Outcome, Reason, Type},
    },
};
use uuid::Uuid;

use super::build::{DATABASE_SECRET, IDENTITY_SECRET, STORAGE_SECRET};
use crate::backends::postgres::registry::Placement;

/// What a pass found.
#[derive(Debug, Clone)]
pub enum Findings {
    /// Nothing was applied, for this reason.
    Refused(Outcome),
    /// Everything was applied as far as it went.
    Applied(Box<Parts>),
}

/// How each part fares.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The tenant's name.
    pub slug: TenantSlug,
    /// Where it lives.
    pub placement: Placement,
    /// Whether it is shut on request.
    pub suspended: bool,
    /// Namespace.
    pub namespace: Outcome,
    /// Schema.
    pub database: Outcome,
    /// Realm.
    pub identity: Outcome,
    /// Issuer of the tenant's tokens, once the realm was made.
    pub issuer: Option<String>,
    /// Bucket.
    pub storage: Outcome,
    /// Isolation.
    pub isolation: Outcome,
    /// The registry's row.
    pub registry: Outcome,
    /// What others had changed and was set right.
    pub corrected: Vec<String>,
}

impl Parts {
    /// All outcomes that decide whether the tenant is Ready, in the order in which they explain it. That isolation has
    /// not been tried yet is no reason not to be: a breach is.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        [
            Some(&self.namespace),
            Some(&self.database),
            Some(&self.identity),
            Some(&self.storage),
            Some(&self.isolation).filter(|_| !self.is_untried()),
            Some(&self.registry),
        ]
        .into_iter()
        .flatten()
    }

    fn is_untried(&self) -> bool {
        matches!(self.isolation, Outcome::Waiting(Reason::NotYetVerified, _))
    }
}

impl Findings {
    /// Nothing was applied.
    pub fn refused(outcome: Outcome) -> Self {
        Self::Refused(outcome)
    }

    /// Parts were applied.
    pub fn applied(parts: Parts) -> Self {
        Self::Applied(Box::new(parts))
    }

    fn outcomes(&self) -> Box<dyn Iterator<Item = &Outcome> + '_> {
        match self {
            Self::Refused(outcome) => Box::new(iter::once(outcome)),
            Self::Applied(parts) => Box::new(parts.outcomes()),
        }
    }

    /// Whether another pass must follow at once, to try isolation.
    pub fn is_untried(&self) -> bool {
        matches!(self, Self::Applied(parts) if parts.is_untried())
    }

    /// What explains that the tenant is not ready: the first that is blocked, else the first that waits.
    pub fn worst(&self) -> Option<&Outcome> {
        self.outcomes()
            .find(|outcome| matches!(outcome, Outcome::Blocked(..)))
            .or_else(|| self.outcomes().find(|outcome| matches!(outcome, Outcome::Waiting(..))))
    }
}

/// What the status is computed from beside the findings.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Generation of the spec that the pass saw.
    pub generation: i64,
    /// Id of the tenant in all backends.
    pub tenant_id: Option<Uuid>,
    /// Now.
    pub now: Timestamp,
    /// When it is tried again, if something has to wait.
    pub due: Option<Timestamp>,
}

/// Says when a waiting part is tried again.
pub fn with_due(outcome: &Outcome, due: Option<Timestamp>) -> Outcome {
    match (outcome, due) {
        (Outcome::Waiting(reason, message), Some(due)) => Outcome::Waiting(
            *reason,
            format!("{message}; tried again at {}", due.strftime("%H:%M:%SZ")),
        ),
        _ => outcome.clone(),
    }
}

/// The status after a pass.
pub fn after(before: &TenantStatus, findings: &Findings, moment: Moment) -> TenantStatus {
    let Moment {
        generation,
        tenant_id,
        now,
        due,
    } = moment;
    let mut status = before.clone();
    status.observed_generation = Some(generation);
    status.tenant_id = before.tenant_id.or(tenant_id);
    let mut statements = match findings {
        Findings::Refused(outcome) => {
            let outcome = with_due(outcome, due);
            let (statements, phase) = conditions::summarize([&outcome]);
            status.phase = Some(phase);
            statements
        }
        Findings::Applied(parts) => {
            place(&mut status, parts, before);
            let parts = due_parts(parts, due);
            summarize(&mut status, &parts)
        }
    };
    if status.plugins.is_none() {
        status.plugins = Some(PluginCounts {
            installed: 0,
            ready: 0,
            summary: "0/0".to_owned(),
        });
    }
    conditions::drop_absent(&mut status.conditions, &statements);
    for statement in statements.drain(..) {
        condition::set(&mut status.conditions, statement, generation, now);
    }
    status
}

/// The status while the first pass is under way.
pub fn begun(before: &TenantStatus, slug: &TenantSlug, placement: &Placement, moment: Moment) -> TenantStatus {
    let under_way = || Outcome::Waiting(Reason::Provisioning, "under way".to_owned());
    let parts = Parts {
        slug: slug.clone(),
        placement: placement.clone(),
        suspended: false,
        namespace: under_way(),
        database: under_way(),
        identity: under_way(),
        issuer: None,
        storage: under_way(),
        isolation: Outcome::Waiting(
            Reason::NotYetVerified,
            "tried as soon as everything is provisioned".to_owned(),
        ),
        registry: Outcome::done(),
        corrected: vec![],
    };
    after(before, &Findings::applied(parts), moment)
}

/// The status while a pass takes long: what parts have said so far; the others keep what they said before.
pub fn so_far(before: &TenantStatus, said: &[(Type, Outcome)], moment: Moment) -> TenantStatus {
    let mut status = before.clone();
    for (type_, outcome) in said {
        condition::set(
            &mut status.conditions,
            outcome.statement(*type_),
            moment.generation,
            moment.now,
        );
    }
    status
}

fn due_parts(parts: &Parts, due: Option<Timestamp>) -> Parts {
    Parts {
        namespace: with_due(&parts.namespace, due),
        database: with_due(&parts.database, due),
        identity: with_due(&parts.identity, due),
        storage: with_due(&parts.storage, due),
        isolation: with_due(&parts.isolation, due),
        registry: with_due(&parts.registry, due),
        ..parts.clone()
    }
}

fn place(status: &mut TenantStatus, parts: &Parts, before: &TenantStatus) {
    let Parts {
        slug,
        placement,
        issuer,
        ..
    } = parts;
    status.namespace = Some(slug.namespace().to_string());
    status.database = Some(DatabaseStatus {
        pool: placement.postgres.clone(),
        schema: slug.schema().to_string(),
        secret_name: DATABASE_SECRET.to_owned(),
    });
    status.storage = Some(StorageStatus {
        pool: placement.s3.clone(),
        bucket: slug.bucket().to_string(),
        secret_name: STORAGE_SECRET.to_owned(),
    });
    status.identity = match (&placement.keycloak, issuer) {
        (Some(pool), Some(issuer)) => Some(IdentityStatus {
            pool: pool.clone(),
            realm: slug.realm().to_string(),
            issuer: issuer.clone(),
            secret_name: IDENTITY_SECRET.to_owned(),
        }),
        (Some(_), None) => before.identity.clone(),
        (None, _) => None,
    };
}

fn summarize(status: &mut TenantStatus, parts: &Parts) -> Vec<Statement> {
    let Parts {
        namespace,
        database,
        identity,
        storage,
        isolation,
        suspended,
        corrected,
        ..
    } = parts;
    let (mut statements, phase) = conditions::summarize(parts.outcomes());
    status.phase = Some(phase);
    if *suspended && phase == Phase::Active {
        status.phase = Some(Phase::Suspended);
        let message = "the tenant is shut because spec.suspended is true; its data is kept";
        statements = vec![Type::Ready.says(Status::False, Reason::SuspendRequested, message)];
    }
    statements.extend([
        namespace.statement(Type::NamespaceReady),
        database.statement(Type::DatabaseReady),
        identity.statement(Type::IdentityReady),
        storage.statement(Type::StorageReady),
    ]);
    statements.push(match isolation {
        Outcome::Waiting(Reason::NotYetVerified, message) => {
            Type::IsolationVerified.says(Status::Unknown, Reason::NotYetVerified, message)
        }
        other => other.statement(Type::IsolationVerified),
    });
    statements.push(if *suspended && phase == Phase::Active {
        Type::Suspended.says(
            Status::True,
            Reason::SuspendRequested,
            "realm, logins and bucket are shut",
        )
    } else {
        Type::Suspended.says(Status::False, Reason::NotSuspended, "the tenant is not shut")
    });
    statements.push(if corrected.is_empty() {
        Type::DriftDetected.says(Status::False, Reason::InSync, "nothing was found changed by others")
    } else {
        Type::DriftDetected.says(
            Status::True,
            Reason::Corrected,
            format!("set right: {}", corrected.join("; ")),
        )
    });
    statements
}

#[cfg(test)]
mod tests {
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
}
